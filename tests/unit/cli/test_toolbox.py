"""`cto bundle tools` fills a folder that --tools takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cto.cli.root import cli

NAMES = ("kubectl", "helm", "kind", "docker", "crane", "registry")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"#!/bin/sh\n# {name}\n")
        (folder / name).chmod(0o755)
    return folder


def run(out: Path, given: Path, *words: str) -> Result:
    argv = ["bundle", "tools", "--out", str(out), "--tools", str(given), *words]
    env = {"CTO_CACHE_DIR": str(given.parent / "cache")}
    return CliRunner().invoke(cli, argv, prog_name="cto", env=env)


def test_every_program_of_the_image_is_copied(tmp_path: Path, given: Path) -> None:
    out = tmp_path / "deep" / "out"

    def copied() -> Result:
        done = run(out, given)
        assert done.exit_code == 0, done.output
        assert {path.name for path in out.iterdir()} == {*NAMES, "cto-tools.json"}
        return done

    copied()
    done = copied()
    for name in NAMES:
        assert (out / name).read_text() == (given / name).read_text()
        assert (out / name).stat().st_mode & 0o777 == 0o755
    record = out / "cto-tools.json"
    assert json.loads(record.read_text()) == dict.fromkeys(NAMES, "as given")
    assert record.stat().st_mode & 0o777 == 0o644
    assert done.stdout.splitlines()[0] == f"{out}:"
    assert "helm 4.1.4 as given" in done.stderr


def test_the_document_tells_what_was_given(tmp_path: Path, given: Path) -> None:
    done = run(tmp_path / "out", given, "-o", "json")
    found = json.loads(done.stdout)["data"]
    assert found == {"folder": str(tmp_path / "out"), "tools": dict.fromkeys(NAMES, "as given")}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, given: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tmp_path / "file" / "out", given)
    assert done.exit_code == 4
    assert "CTO-1485" in done.stderr


def test_a_platform_that_is_none_is_refused(tmp_path: Path, given: Path) -> None:
    assert run(tmp_path / "out", given, "--platform", "amd64").exit_code == 2
