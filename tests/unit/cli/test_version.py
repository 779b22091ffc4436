"""`cto version` tells what it would install."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cto import __version__, assets, catalog
from cto.cli import toolbox
from cto.cli.root import cli
from cto.objects import load_yaml
from unit.airgap.conftest import client, fake, world
from unit.airgap.world import World

__all__ = ["client", "fake", "world"]


def document(*words: str) -> dict[str, object]:
    argv = ["version", "-o", "json", *words]
    result = CliRunner().invoke(cli, argv, prog_name="cto", env={"CTO_TOOLS": ""})
    assert result.exit_code == 0, result.output
    data: dict[str, object] = json.loads(result.stdout)["data"]
    return data


def pinned() -> dict[str, str]:
    tools = load_yaml((assets.root() / "bundle" / "tools.yaml").read_text())["tools"]
    return {name: str(tool["version"]) for name, tool in tools.items()}


def test_tools_and_charts_are_those_of_the_bundle() -> None:
    data = document()
    charts = catalog.load(assets.root() / "bundle").components
    assert data["cto"] == __version__
    assert data["python"] == platform.python_version()
    assert data["tools"] == pinned()
    assert {"kubectl", "helm", "kind", "kwok"} <= pinned().keys()
    assert data["charts"] == {c.name: f"{c.chart.name} {c.chart.version}" for c in charts}


def test_programs_of_a_folder_are_as_given_and_the_others_as_pinned(tmp_path: Path) -> None:
    (tmp_path / "helm").write_text("")
    assert document("--tools", str(tmp_path))["tools"] == {**pinned(), "helm": "as given"}


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Client Version: v1.34.5\nKustomize Version: v5.7.1", "1.34.5, as given"),
        ("v4.1.4+g05fa379", "4.1.4+g05fa379, as given"),
        ("etcd Version: 3.6.5\nGit SHA: a061450\n", "3.6.5, as given"),
        ("0.21.7", "0.21.7, as given"),
        ("registry github.com/distribution/distribution/v3 v3.0.0", "3.0.0, as given"),
        ("(devel)", "as given"),
        ("", "as given"),
    ],
)
def test_given_programs_are_asked(tmp_path: Path, said: str, version: str) -> None:
    asked: list[Sequence[str]] = []

    def ask(command: Sequence[str]) -> str:
        asked.append(command)
        return said

    (tmp_path / "kubectl").write_text("")
    found = toolbox.versions(tmp_path, {"kubectl": "1", "kind": "2"}, ask)
    assert found == {"kubectl": version, "kind": "2"}
    assert asked == [(str(tmp_path / "kubectl"), "version", "--client")]


def test_the_image_tells_what_it_holds_and_nothing_else(tmp_path: Path) -> None:
    """Its folder was filled by `cto bundle tools`, from pinned programs and given ones."""
    versions = {"helm": "4.1.4", "kind": "as given"}
    toolbox.write(tmp_path, versions)
    assert document("--tools", str(tmp_path))["tools"] == versions
    assert [path.name for path in tmp_path.iterdir()] == ["cto-tools.json"]


@pytest.mark.parametrize("text", ["", "[]", "\xff"])
def test_a_record_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "cto-tools.json").write_text(text, encoding="latin-1")
    assert document("--tools", str(tmp_path))["tools"] == pinned()


def test_people_get_a_list() -> None:
    result = CliRunner().invoke(cli, ["version"], prog_name="cto")
    assert result.exit_code == 0, result.output
    head, empty, tools, *rest = result.stdout.splitlines()
    assert head == f"cto {__version__} (Python {platform.python_version()})"
    assert (empty, tools) == ("", "Tools:")
    assert "Charts:" in rest


def test_a_bundle_is_told_by_its_digest(world: World) -> None:
    world.wanted = replace(world.wanted, profile="minimal")
    held = {
        "folder": str(world.bundle),
        "digest": world.build().digest,
        "profile": "minimal",
        "platform": "linux/amd64",
        "images": "2",
    }
    assert document("--bundle", str(world.bundle))["bundle"] == held
    result = CliRunner().invoke(cli, ["version", "--bundle", str(world.bundle)], prog_name="cto")
    rows = [f"  {name:8}  {value}" for name, value in held.items()]
    assert result.stdout.splitlines()[-6:] == ["Bundle:", *rows]
    assert document()["bundle"] == {}
