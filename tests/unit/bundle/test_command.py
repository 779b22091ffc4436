"""`cto bundle` on the command line, as far as it needs neither Helm nor a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cto import assets
from cto.bundle.lock import Lock, LockedImage, check_fresh, read_lock, write_lock
from cto.bundle.rendering import PROFILES
from cto.catalog import load
from cto.cli import bundle
from cto.cli.root import cli
from cto_airgap.reference import normalise
from unit.bundle.test_bundling import World

COMMITTED = assets.root() / "bundle" / "lock.yaml"


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bundle", *map(str, words)], prog_name="cto")


def data(*words: str | Path, code: int = 0) -> dict[str, Any]:
    result = invoke(*words, "-o", "json")
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return {**document["data"], "error": document["error"]}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    world = World(tmp_path)
    world.bundling().lock(world.lock, update=False)
    return world.build()


def test_without_a_folder_the_committed_lock_is_listed() -> None:
    found = data("list", "--profile", "production")
    assert found["lock"] == str(COMMITTED)
    assert len(found["images"]) == len(read_lock(COMMITTED).images)


def test_another_lock_is_listed_when_it_is_named(tmp_path: Path) -> None:
    assert data("list", "--lock", tmp_path / "none.yaml")["images"] == []


def test_a_bundle_is_listed_verified_and_compared(built: Path) -> None:
    listed = data("list", built)
    assert data("verify", built)["digest"] == listed["digest"]
    assert data("diff", built, built)["new"] == listed["digest"]


def test_a_folder_without_a_bundle_is_an_error_of_integrity(tmp_path: Path) -> None:
    for words in (("list", tmp_path), ("verify", tmp_path), ("diff", tmp_path, tmp_path)):
        assert data(*words, code=8)["error"]["code"] == "CTO-1811"


def test_options_of_the_lock_do_not_fit_a_bundle(tmp_path: Path) -> None:
    result = invoke("list", tmp_path, "--profile", "minimal")
    assert result.exit_code == 2
    assert "about the lock" in result.stderr


def test_a_build_without_digests_is_refused(tmp_path: Path) -> None:
    bare = [LockedImage(image=i.image, needed_by=i.needed_by) for i in read_lock(COMMITTED).images]
    lock, out = tmp_path / "lock.yaml", tmp_path / "bundle"
    write_lock(lock, Lock(images=tuple(bare)))
    error = data("build", "--lock", lock, "--out", out, code=8)["error"]
    assert error["code"] == "CTO-1801"
    assert error["details"].splitlines() == [i.image for i in bare if "minimal" in i.profiles]
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("build", "--platform", "amd64", "--out", "x"), "not a platform"),
        (("push", "x", "ftp://registry.example.com"), "is not the address of a registry"),
    ],
)
def test_what_cannot_be_carried_out_is_an_error_of_usage(
    words: tuple[str, ...], message: str
) -> None:
    error = data(*words, code=2)["error"]
    assert error["code"] == "CTO-1200"
    assert message in error["message"]


def test_the_committed_lock_has_what_the_catalog_lists() -> None:
    check_fresh(read_lock(COMMITTED), load(COMMITTED.parent).components, normalise)


def test_the_profiles_of_options_are_those_that_are_rendered() -> None:
    assert bundle.PROFILES == PROFILES
