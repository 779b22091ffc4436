"""The script that nodes run, in a real shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cto.adapters.kind import mirrors

NAME = "cto-registry-0123456789ab"
OLD = "cto-registry-ba9876543210"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "certs.d"


def write(folder: Path, texts: dict[str, str]) -> None:
    script = mirrors.script(texts, str(folder))
    subprocess.run(["/bin/sh", "-s"], input=script, text=True, check=True, capture_output=True)


def read(folder: Path) -> str:
    done = subprocess.run(mirrors.reader(str(folder)), text=True, check=True, capture_output=True)
    return done.stdout


def held(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_what_was_meant(folder: Path) -> None:
    texts = mirrors.files(["docker.io", "local:5000"], [NAME], network="kind", air_gapped=True)
    write(folder, texts)
    assert held(folder) == texts
    write(folder, texts)
    assert held(folder) == texts


def test_what_was_written_before_goes_and_what_others_wrote_stays(folder: Path) -> None:
    """Somebody's own mirror of a host that the bundle does not have is theirs."""
    write(folder, mirrors.files(["docker.io", "quay.io"], [OLD], network="kind", air_gapped=True))
    (folder / "example.com").mkdir()
    (folder / "example.com" / "hosts.toml").write_text("server = 'https://mirror'\n")
    texts = mirrors.files(["docker.io"], [NAME, OLD], network="kind", air_gapped=False)
    write(folder, texts)
    assert held(folder) == {**texts, "example.com": "server = 'https://mirror'\n"}
    assert {path.name for path in folder.iterdir()} == {*texts, "example.com"}


def test_what_was_written_is_read_again(folder: Path) -> None:
    assert mirrors.registries(read(folder)) == ()
    write(folder, mirrors.files(["docker.io"], [NAME, OLD], network="kind", air_gapped=False))
    assert mirrors.registries(read(folder)) == (NAME, OLD)


def test_nothing_to_write_sweeps_all(folder: Path) -> None:
    write(folder, mirrors.files(["docker.io"], [NAME], network="kind", air_gapped=True))
    write(folder, {})
    assert held(folder) == {}
