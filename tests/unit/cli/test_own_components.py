"""A component of a user's own on the command line; its folder is gone when it is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakes.components import definition
from fakes.desk import CHART, Desk


@pytest.fixture
def folder(desk: Desk, tmp_path: Path) -> Path:
    made = tmp_path / "own" / "shop"
    (made / "chart").mkdir(parents=True)
    write(made)
    (made / "values.yaml.j2").write_text("{}\n")
    (made / "chart" / "Chart.yaml").write_text(CHART.format(name="shop", version="2.0.0"))
    return made


def write(folder: Path, **fields: str) -> None:
    chart = {"name": "shop", "version": "2.0.0", "path": "chart"}
    text = definition("shop", category="optional", required=False, chart=chart, **fields)
    (folder / "component.yaml").write_text(text)


def test_a_removal_asks_for_the_rights_that_it_takes_in_its_namespace(
    desk: Desk, folder: Path
) -> None:
    desk.document("install", "--components", str(folder))
    shutil.rmtree(folder)
    desk.cluster.denied.add(("*", "*", "*"))
    told = desk.document("uninstall", "--component", "shop", "--yes", code=4)
    (check,) = [item for item in told["data"]["preflight"] if item["name"] == "permissions"]
    (claims,) = [line for line in check["items"] if "persistentvolumeclaims" in line]
    assert "shop" in claims
    desk.cluster.denied.clear()
    desk.document("uninstall", "--component", "shop", "--yes")


def test_a_feature_that_is_none_is_refused(desk: Desk, folder: Path) -> None:
    """Nothing could switch it on: the component would be left out in silence."""
    write(folder, feature="monitorng")
    told = desk.document("plan", "install", "--components", str(folder), code=3)["error"]
    assert told["code"] == "CTO-1310"
    assert "own/shop/component.yaml" in told["message"]
    assert "did you mean monitoring?" in told["details"]


def test_a_name_that_nobody_has_is_refused_with_the_nearest(desk: Desk, folder: Path) -> None:
    desk.document("install", "--components", str(folder))
    told = desk.document("uninstall", "--component", "shoop", "--yes", code=2)["error"]
    assert (told["code"], told["fix"]) == ("CTO-1200", "Did you mean shop?")


@pytest.mark.parametrize(
    "words",
    [("--components", "nope"), ("--cluster-name", "Not_A_Name")],
    ids=lambda words: words[0],
)
def test_a_wrong_value_names_the_option_that_gave_it(desk: Desk, words: tuple[str, str]) -> None:
    error = desk.document("plan", "install", *words, code=3)["error"]
    assert f"({words[0]})" in error["details"]
