"""A component of a user's own: installed from a folder, removed where that folder is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto.catalog import load
from cto.config.model import Config
from cto.objects import ObjectRef
from cto.plan.remove import Options
from fakes.components import definition
from fakes.world import World, write_components

BUILTIN = definition("web")
SECRETS = """
generated_secrets:
  - name: shop-admin
    keys: {password: {random: 32}}
"""
OWN = definition(
    "shop",
    SECRETS,
    category="optional",
    required=False,
    depends_on=["web"],
    chart={"name": "shop", "version": "2.0.0", "path": "chart"},
)
DEPLOYMENT = ObjectRef("apps/v1", "Deployment", "shop", "shop")
ADMIN = ObjectRef("v1", "Secret", "shop", "shop-admin")


@pytest.fixture
def world(tmp_path: Path) -> World:
    values = {"values.yaml.j2": "{}\n"}
    write_components(tmp_path / "bundle", {"web": {"component.yaml": BUILTIN, **values}})
    write_components(tmp_path / "own", {"shop": {"component.yaml": OWN, **values}})
    catalog = load(tmp_path / "bundle", [tmp_path / "own/components"])
    return World(catalog, Config())


def without_folder(world: World, folder: Path) -> World:
    """Let the next installer be one that has only what the image carries."""
    world.catalog = load(folder / "bundle")
    return world


def test_it_is_installed_after_what_it_needs(world: World) -> None:
    plan, report = world.installer().install()
    assert report.errors == ()
    releases = [step.id for step in plan.changes if step.id.startswith("release:")]
    assert releases == ["release:web", "release:shop"]
    assert {DEPLOYMENT, ADMIN} <= world.cluster.everything().keys()


def test_it_is_seen_and_removed_without_its_folder(world: World, tmp_path: Path) -> None:
    world.installer().install()
    without_folder(world, tmp_path)
    installer = world.installer(config=None)
    assert "shop/shop" in installer.observe().records
    assert "shop" in installer.known
    plan, report = installer.uninstall(Options(components=("shop",)))
    assert report.errors == ()
    assert [one.name for one in plan.components] == ["shop"]
    there = world.cluster.everything()
    assert DEPLOYMENT not in there
    assert ADMIN in there, "generated passwords stay without --delete-data"
    world.installer(config=None).uninstall(Options(delete_data=True))
    assert not [ref for ref in world.cluster.everything() if "shop" in {ref.namespace, ref.name}]


def test_who_leaves_its_folder_out_keeps_it(world: World, tmp_path: Path) -> None:
    """As with a feature that is switched off: only an uninstallation takes something away."""
    world.installer().install()
    _, report = without_folder(world, tmp_path).installer().install()
    assert report.errors == ()
    assert DEPLOYMENT in world.cluster.everything()
    state = world.installer(config=None).store.load()
    assert state is not None
    assert "shop" in state.components


def test_it_may_be_disabled(world: World) -> None:
    config = {"components": {"shop": {"mode": "disabled"}}}
    plan, _ = world.installer(config=Config.model_validate(config)).install()
    assert not [step for step in plan.steps if step.component == "shop" and step in plan.changes]
