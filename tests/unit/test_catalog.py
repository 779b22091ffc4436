"""Reading component folders: what is wrong with one is told by file, field and value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cto.catalog import Catalog, load
from cto.errors import ConfigError
from cto.objects import dump_yaml

_MINIMAL: Mapping[str, Any] = {
    "title": "Demo",
    "category": "core",
    "namespace": "demo",
    "release": "demo",
    "chart": {"name": "demo", "version": "1.0.0", "path": "charts/demo"},
    "homepage": "https://example.com",
    "licence": "Apache-2.0",
}


def bundle(folder: Path, **components: Mapping[str, Any] | str) -> Path:
    """Write component files: fields on top of the smallest component, or a text as it is."""
    for key, fields in components.items():
        name = key.replace("_", "-")
        file = folder / "components" / name / "component.yaml"
        file.parent.mkdir(parents=True)
        text = (
            fields if isinstance(fields, str) else dump_yaml({"name": name, **_MINIMAL, **fields})
        )
        file.write_text(text, encoding="utf-8")
    return folder


def names(catalog: Catalog) -> list[str]:
    return [component.name for component in catalog.components]


def test_components_come_after_what_they_depend_on_then_by_name(tmp_path: Path) -> None:
    catalog = load(
        bundle(
            tmp_path,
            a={"depends_on": ["z", "c"]},
            b={},
            c={"depends_on": ["z"]},
            z={},
        )
    )
    assert names(catalog) == ["z", "c", "a", "b"]


def test_a_catalog_answers_by_name(tmp_path: Path) -> None:
    catalog = load(bundle(tmp_path, some_thing={}))
    assert catalog["some-thing"].title == "Demo"
    assert "some-thing" in catalog
    assert "other" not in catalog
    assert catalog["some-thing"].folder == tmp_path / "components" / "some-thing"


def test_a_folder_without_components_is_an_empty_catalog(tmp_path: Path) -> None:
    assert names(load(tmp_path)) == []


def test_bare_on_and_off_are_words_not_truth(tmp_path: Path) -> None:
    """YAML 1.1 reads them as booleans."""
    text = dump_yaml({"name": "a", **_MINIMAL}) + (
        "crds:\n  source: templates\n  on: {install: true}\n  off: {install: false}\n"
    )
    crds = load(bundle(tmp_path, a=text))["a"].crds
    assert crds is not None
    assert crds.on == {"install": True}
    assert crds.off == {"install": False}


def test_sizes_alone_are_those_of_one_pod(tmp_path: Path) -> None:
    sizes = {"minimal": {"cpu": "1", "memory": "1Gi"}}
    (container,) = load(bundle(tmp_path, a={"resources": sizes}))["a"].resources.values()
    assert (container.pods, container.requests["minimal"].cpu) == ("1", "1")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted, got 'red'"),
        ({"category": "toys"}, "category: Input should be 'core'"),
        ({"namespace": "No_Name"}, "namespace: String should match pattern"),
        ({"chart": {"name": "a", "version": "1"}}, "give either url (with sha256) or path"),
        (
            {"chart": {"name": "a", "version": "1", "url": "https://x", "path": "y"}},
            "give either url (with sha256) or path",
        ),
        (
            {"chart": {"name": "a", "version": "1", "url": "https://x", "sha256": "12"}},
            "chart.sha256: String should match pattern",
        ),
        ({"crds": "none"}, "crds: Input should be a valid dictionary"),
        (
            {"generated_secrets": [{"name": "s", "keys": {"k": {}}}]},
            "generated_secrets.0.keys.k: Value error, give either random (a length) or value",
        ),
        (
            {"generated_secrets": [{"name": "s", "keys": {"k": {"random": 8}}}]},
            "greater than or equal to 16",
        ),
        ({"depends_on": ["b"]}, "depends_on: there is no component 'b'"),
        (
            {"supplied_secrets": [{"name": "s", "of": "b", "keys": {"k": "n/k"}}]},
            "supplied_secrets: there is no component 'b'",
        ),
        (
            {"network": {"g": {"pods": {}, "in": [{"peers": ["b/g"], "why": "x"}]}}},
            "network.g.in: there is no 'b/g'",
        ),
        ({"depends_on": ["a"]}, "depends_on: the component depends on itself in the end"),
        ({"manifests": {"after": ["x.yaml.j2"]}}, "manifests: there is no file 'x.yaml.j2'"),
        ({"name": "other"}, "name: 'other' is not the folder's name"),
        (
            {"resources": {"a-b": {"requests": {}}}},
            "resources.a-b.[key]: String should match pattern",
        ),
        (
            {
                "resources": {
                    "web": {"requests": {"minimal": {"cpu": "1", "memory": "1Gi"}}},
                    "db": {"requests": {}},
                }
            },
            "all containers of resources need the same sizes (web: minimal; db: )",
        ),
        ({"checked": [{"what": "", "against": "x", "date": "2026-11-30"}]}, "checked.0.what: "),
        ({"checked": [{"what": "x", "against": "x", "date": "soon"}]}, "checked.0.date: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, fields: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(bundle(tmp_path, a=fields))
    assert caught.value.code == "CTO-1310"
    assert str(tmp_path / "components" / "a" / "component.yaml") in caught.value.message
    assert told in caught.value.details


def test_a_circle_of_components_is_refused(tmp_path: Path) -> None:
    one = {"depends_on": ["b", "d"]}
    with pytest.raises(ConfigError) as caught:
        load(bundle(tmp_path, a=one, b={"depends_on": ["c"]}, c={"depends_on": ["a"]}, d={}))
    assert "depends on itself" in caught.value.details


def test_a_circle_elsewhere_does_not_hide_the_first_error(tmp_path: Path) -> None:
    """The search ends even where it meets a circle that it is not looking for."""
    circle = {"b": {"depends_on": ["c"]}, "c": {"depends_on": ["b"]}}
    with pytest.raises(ConfigError, match="components/b/"):
        load(bundle(tmp_path, a={"depends_on": ["b"]}, **circle))


@pytest.mark.parametrize("text", ["a: [", "just a word", "- 1"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(bundle(tmp_path, a=text))
    assert caught.value.code == "CTO-1310"


def own(folder: Path, name: str = "mine", **fields: Any) -> Path:
    """Write one component of a user's; return its folder."""
    return bundle(folder, **{name: fields}) / "components" / name


def test_a_users_component_is_one_like_the_others(tmp_path: Path) -> None:
    mine = own(tmp_path / "own", depends_on=["a"])
    catalog = load(bundle(tmp_path / "bundle", a={}), [mine])
    assert names(catalog) == ["a", "mine"]
    assert catalog["mine"].own
    assert not catalog["a"].own


def test_the_chart_of_a_users_component_is_beside_it(tmp_path: Path) -> None:
    catalog = load(bundle(tmp_path / "bundle", a={}), [own(tmp_path / "own")])
    assert catalog["mine"].chart_folder == tmp_path / "own/components/mine/charts/demo"
    assert catalog["a"].chart_folder == tmp_path / "bundle/charts/demo"


def test_a_folder_of_folders_brings_all_of_them(tmp_path: Path) -> None:
    bundle(tmp_path / "own", one={}, two={})
    catalog = load(bundle(tmp_path / "bundle"), [tmp_path / "own/components"])
    assert names(catalog) == ["one", "two"]


def test_a_name_that_is_taken_is_refused_with_both_files(tmp_path: Path) -> None:
    mine = own(tmp_path / "own", "grafana")
    with pytest.raises(ConfigError) as caught:
        load(bundle(tmp_path / "bundle", grafana={}), [mine])
    assert caught.value.code == "CTO-1310"
    told = f"{caught.value.message} {caught.value.details}"
    assert str(mine / "component.yaml") in told
    assert str(tmp_path / "bundle/components/grafana/component.yaml") in told


def test_a_folder_without_a_component_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no component.yaml in .*empty") as caught:
        load(bundle(tmp_path / "bundle"), [tmp_path / "empty"])
    assert "component's folder" in caught.value.hint


def test_a_users_component_is_known_by_its_definition(tmp_path: Path) -> None:
    """It is removed by the state alone: its folder may be on another machine."""
    fields: dict[str, Any] = {
        "network": {"web": {"pods": {"app": "mine"}, "in": [], "out": []}},
        "depends_on": ["a"],
    }
    builtin = bundle(tmp_path / "bundle", a={})
    found = load(builtin, [own(tmp_path / "own", **fields)])["mine"]
    again = load(builtin).with_remembered(json.loads(json.dumps({"mine": found.definition})))
    assert names(again) == ["a", "mine"]
    assert again["mine"].model_dump() == found.model_dump()


def test_a_definition_that_this_version_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cto-state/mine: not a valid component"):
        load(bundle(tmp_path)).with_remembered({"mine": {"name": "mine", "color": "blue"}})


def test_a_remembered_name_that_came_into_the_catalog_is_the_catalogs(tmp_path: Path) -> None:
    catalog = load(bundle(tmp_path, a={}))
    assert catalog.with_remembered({"a": {"nonsense": 1}}) is catalog
