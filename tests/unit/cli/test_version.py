"""`cto version` tells what it would install."""

from __future__ import annotations

import json
import platform
from dataclasses import replace

from click.testing import CliRunner

from cto import __version__, assets, catalog
from cto.cli.root import cli
from unit.airgap.conftest import client, fake, world
from unit.airgap.world import World

__all__ = ["client", "fake", "world"]


def document(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["version", "-o", "json", *words], prog_name="cto")
    assert result.exit_code == 0, result.output
    data: dict[str, object] = json.loads(result.stdout)["data"]
    return data


def test_tools_and_charts_are_those_of_the_bundle() -> None:
    data = document()
    charts = catalog.load(assets.root() / "bundle").components
    assert data["cto"] == __version__
    assert data["python"] == platform.python_version()
    assert isinstance(data["tools"], dict)
    assert {"kubectl", "helm", "kind", "kwok"} <= data["tools"].keys()
    assert data["charts"] == {c.name: f"{c.chart.name} {c.chart.version}" for c in charts}


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
