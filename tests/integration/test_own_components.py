"""The example of docs/own-components.md, installed and taken away as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.conftest import Lab

pytestmark = pytest.mark.lab

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-components.md"
FILE = re.compile(r"^`(components/[^`]+)`.*?\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(vacant: Lab) -> Path:
    """Write the files that the page shows."""
    for name, text in FILE.findall(PAGE.read_text(encoding="utf-8")):
        file = vacant.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return vacant.folder / "components"


def test_the_example_of_the_guide(vacant: Lab, folder: Path) -> None:
    plan = vacant.data(
        *("plan", "install", "--provider", "kwok", "--components", str(folder), "--yes")
    )
    assert "release:board" in {step["id"] for step in plan["steps"]}
    vacant.install("minimal", "--components", str(folder))
    assert "board" in vacant.kubectl("get", "deployments", "-n", "board", "-o", "name")
    assert "board-admin" in vacant.kubectl("get", "secrets", "-n", "board", "-o", "name")
    policies = vacant.kubectl("get", "networkpolicies", "-n", "board", "-o", "name")
    assert len(policies.split()) >= 2, "closed, with an opening for readers"

    # From here on as another machine, or an image that never had the folder.
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    rows = vacant.data("status", "--provider", "kwok")["components"]
    assert "board" in {row["component"] for row in rows}
    vacant.data("uninstall", "--provider", "kwok", "--component", "board", "--yes")
    rows = vacant.data("status", "--provider", "kwok")["components"]
    assert "board" not in {row["component"] for row in rows}
    assert not vacant.kubectl("get", "deployments", "-n", "board", "-o", "name").strip()
