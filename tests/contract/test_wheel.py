"""What the wheel has: the installer with its assets, and nothing of the lab."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    here = ["--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run([*pip, *here], check=True)
    (wheel,) = folder.glob("cto-*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_has_all_that_an_installation_reads(names: list[str]) -> None:
    held = {name.removeprefix("cto/_assets/") for name in names}
    for folder in ("bundle", "profiles", "templates"):
        files = [f.relative_to(ROOT) for f in (ROOT / folder).rglob("*") if f.is_file()]
        assert files
        assert not {file.as_posix() for file in files} - held


def test_the_wheel_has_nothing_of_the_lab(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    (record,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"cto", "cto_airgap", "cto_controller", record}
    assert not [
        name for name in names if "/tests/" in name or "/lab/" in name or "kwok_driver" in name
    ]
