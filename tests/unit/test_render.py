"""Rendering: references instead of secrets, the same bytes twice, errors with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import Component
from cto.config.model import Config
from cto.errors import ConfigError
from cto.objects import dump_yaml
from cto.render import Renderer, base64, exactly, k8s_name, merge, port_of

_CONTEXT: Mapping[str, Any] = {
    "config": {"platform": {"name": "acme"}},
    "profile": "minimal",
    "features": {"high_availability": False},
    "components": ["demo"],
    "cluster": {"nodes": 1, "simulated": True, "kube_version": "v1.34.4", "provider": "kwok"},
}


def component(folder: Path, **fields: Any) -> Component:
    """Make a component whose templates lie in a folder."""
    return Component.model_validate(
        {
            "name": "demo",
            "title": "Demo",
            "category": "core",
            "namespace": "demo",
            "release": "demo",
            "chart": {"name": "demo", "version": "1.0.0", "path": "charts/demo"},
            "generated_secrets": [{"name": "demo-admin", "keys": {"password": {"random": 32}}}],
            "supplied_secrets": [{"name": "demo-keys", "keys": {"*_API_KEY": "providers.*"}}],
            "resources": {
                "web": {
                    "pods": "2 if features.high_availability else 1",
                    "requests": {
                        "minimal": {"cpu": "1", "memory": "1Gi"},
                        "standard": {"cpu": "2", "memory": "1Gi"},
                        "production": {"cpu": "3", "memory": "1Gi"},
                    },
                }
            },
            "homepage": "https://example.com",
            "licence": "Apache-2.0",
            "folder": folder,
            **fields,
        }
    )


def renderer(env: Mapping[str, str] | None = None, **context: Any) -> Renderer:
    return Renderer({**_CONTEXT, **context}, env=env or {})


def values(folder: Path, text: str, **fields: Any) -> dict[str, Any]:
    (folder / "values.yaml.j2").write_text(text, encoding="utf-8")
    return renderer({"REGION": "north"}).values(component(folder, **fields))


def test_values_see_the_context_and_the_component(tmp_path: Path) -> None:
    """Config, cluster and the component itself are names in every template."""
    text = (
        "name: {{ config.platform.name }}\n"
        "nodes: {{ cluster.nodes }}\n"
        "in: {{ component.namespace }}\n"
    )
    assert values(tmp_path, text) == {"name": "acme", "nodes": 1, "in": "demo"}


def test_values_switch_off_crds_and_let_the_user_have_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "values.yaml.j2").write_text("crds: {install: true, keep: true}\na: 1\n")
    demo = component(
        tmp_path, crds={"source": "templates", "on": {}, "off": {"crds": {"install": False}}}
    )
    assert renderer().values(demo, {"a": 2, "b": {"c": None}}) == {
        "crds": {"install": False, "keep": True},
        "a": 2,
        "b": {"c": None},
    }


KNOWN = "there is no 'wed' (did you mean 'web'?); known are web"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("requests.wed | tojson", KNOWN),
        ("requests['wed'] | tojson", KNOWN),
        ("[1, {'a': requests.wed}] | tojson", KNOWN),
        ("requests.wed.cpu", KNOWN),
        ("pods.wed + 1", KNOWN),
        (
            "requests.web.gpu | tojson",
            "there is no 'gpu' (did you mean 'cpu'?); known are cpu, memory",
        ),
        ("config.platform.nam", "there is no 'nam' (did you mean 'name'?); known are name"),
        ("secret('demo-admin', requests.wed)", KNOWN),
        ("random(requests.wed)", KNOWN),
        ("env(requests.wed)", KNOWN),
        ("k8s_name(requests.wed)", KNOWN),
        ("requests.wed | base64", KNOWN),
        ("requests.wed | exactly", KNOWN),
        ("unheard_of | tojson", "'unheard_of' is undefined"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, expression: str, problem: str
) -> None:
    """However it is written: a filter does not stumble over what is missing."""
    folder = tmp_path / "demo"
    folder.mkdir()
    with pytest.raises(ConfigError) as caught:
        values(folder, f"a: 1\nb: {{{{ {expression} }}}}\n")
    assert caught.value.code == "CTO-1311"
    assert caught.value.message == f"demo/values.yaml.j2:2: {problem}"


def test_fields_of_the_configuration_are_known_too(tmp_path: Path) -> None:
    (tmp_path / "values.yaml.j2").write_text("a: {{ config.cluster.contxt | tojson }}\n")
    with pytest.raises(ConfigError, match=r"no 'contxt' .did you mean 'context'.*use_context"):
        renderer(config=Config()).values(component(tmp_path))


def test_an_empty_template_means_no_values(tmp_path: Path) -> None:
    assert values(tmp_path, "{# nothing to set #}\n") == {}


def test_the_helpers_give_references_and_plain_text(tmp_path: Path) -> None:
    """No secret value is anywhere: a name, or a name and a key."""
    text = (
        "admin: {{ random('demo-admin') }}\n"
        "password: {{ secret('demo-admin', 'password') }}\n"
        "key: {{ secret('demo-keys', 'OPENAI_API_KEY', optional=true) }}\n"
        "label: {{ k8s_name('My Org') }}/{{ 'A_b' | k8s_name }}\n"
        "code: {{ base64('héllo') }}\n"
        "region: {{ env('REGION') }}/{{ env('ZONE', 'a') }}\n"
        "second: {{ data('list.yaml')[1].name }}\n"
    )
    (tmp_path / "list.yaml").write_text("- {name: one}\n- {name: two}\n")
    assert values(tmp_path, text) == {
        "admin": "demo-admin",
        "password": {"name": "demo-admin", "key": "password"},
        "key": {"name": "demo-keys", "key": "OPENAI_API_KEY", "optional": True},
        "label": "my-org/a-b",
        "code": "aMOpbGxv",
        "region": "north/a",
        "second": "two",
    }


@pytest.mark.parametrize(
    ("profile", "replicas", "size"),
    [("minimal", 2, "minimal"), ("mine", 1, "standard"), ("mine", 2, "production")],
)
def test_a_profile_of_ones_own_takes_the_sizes_of_the_nearest(
    tmp_path: Path, profile: str, replicas: int, size: str
) -> None:
    (tmp_path / "values.yaml.j2").write_text("size: {{ size }}")
    made = renderer(profile=profile, features={"high_availability": replicas > 1})
    assert made.values(component(tmp_path)) == {"size": size}


def test_a_component_without_sizes_takes_the_profile_as_it_is(tmp_path: Path) -> None:
    assert component(tmp_path, resources={}).size("mine", high_availability=True) == "mine"


def test_templates_and_the_preflight_are_told_the_same_of_pods_and_requests(tmp_path: Path) -> None:
    text = "replicas: {{ pods.web }}\nrequests: {{ requests.web | tojson }}\n"
    (tmp_path / "values.yaml.j2").write_text(text)
    made = renderer(profile="production", features={"high_availability": True})
    demo = component(tmp_path)
    assert made.values(demo) == {"replicas": 2, "requests": {"cpu": "3", "memory": "1Gi"}}
    asked = made.asked(demo)["web"]
    assert (asked.pods, asked.requests.cpu, asked.requests.memory) == (2, "3", "1Gi")


@pytest.mark.parametrize("pods", ["2 if", "nodes", "'many'", "config.nothing.there"])
def test_an_expression_that_gives_no_number_of_pods_is_told_with_its_place(
    tmp_path: Path, pods: str
) -> None:
    requests = {"minimal": {"cpu": "1", "memory": "1Gi"}}
    demo = component(tmp_path, resources={"web": {"pods": pods, "requests": requests}})
    with pytest.raises(ConfigError) as error:
        renderer(profile="minimal").asked(demo)
    assert error.value.code == "CTO-1310"
    assert f"resources.web.pods: {pods!r}: " in error.value.details


@pytest.mark.parametrize("text", ["push", "a.b", "is (not)", "[x]", "a|b", "^", "$"])
def test_exactly_matches_a_text_and_no_other(text: str) -> None:
    assert re.search(exactly(text), text)
    assert not re.search(exactly(text), f"{text}_more")
    assert not re.search(exactly(text), f"more_{text}")
    assert not re.search(exactly("a.b"), "axb")


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    text = "z: {{ random('demo-admin') }}\na: {{ config | tojson }}\n"
    assert dump_yaml(values(tmp_path, text)) == dump_yaml(values(tmp_path, text))


def test_manifests_keep_the_order_of_files_and_documents(tmp_path: Path) -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
    (tmp_path / "b.yaml.j2").write_text(f"{one % 'first'}---\n{one % 'second'}")
    (tmp_path / "a.yaml.j2").write_text(one % "third")
    (tmp_path / "none.yaml.j2").write_text("{% if false %}\nx: 1\n{% endif %}\n")
    demo = component(tmp_path)
    made = renderer().manifests(demo, ["b.yaml.j2", "none.yaml.j2", "a.yaml.j2"])
    assert [manifest["metadata"]["name"] for manifest in made] == ["first", "second", "third"]


@pytest.mark.parametrize(
    "text",
    [
        "kind: A\nmetadata: {name: a}",
        "apiVersion: v1\nkind: A",
        "apiVersion: v1\nkind: A\nmetadata:",
    ],
)
def test_what_is_no_object_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml.j2").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml\.j2:1: object 1 lacks apiVersion"):
        renderer().manifests(component(tmp_path), ["a.yaml.j2"])


def test_a_manifest_that_is_a_mere_word_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml.j2").write_text("word\n")
    with pytest.raises(ConfigError, match=r"a\.yaml\.j2:1: not a stream of mappings"):
        renderer().manifests(component(tmp_path), ["a.yaml.j2"])


def test_text_renders_what_belongs_to_no_component(tmp_path: Path) -> None:
    """There is no component there, and so no Secret to refer to."""
    path = tmp_path / "namespace.yaml.j2"
    path.write_text("name: {{ config.platform.name }}\n")
    assert renderer().text(path) == "name: acme\n"
    path.write_text("name: {{ random('demo-admin') }}\n")
    with pytest.raises(ConfigError, match="'random' is undefined"):
        renderer().text(path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "a: 1\nb: {{ config.platform.nam }}\n",
            r"values\.yaml\.j2:2: there is no 'nam' .*known are name",
        ),
        ("a: 1\n\nb: {{ unknown }}\n", r"values\.yaml\.j2:3: 'unknown' is undefined"),
        ("a: 1\nb: {% if %}\n", r"values\.yaml\.j2:2: Expected an expression"),
        ("a: {{ random('other') }}\n", r"values\.yaml\.j2:1: random: demo declares no .*'other'"),
        ("\na: {{ secret('demo-admin', 'x') }}\n", r"values\.yaml\.j2:2: secret: demo declares"),
        ("\na: {{ secret('other', 'x') }}\n", r"values\.yaml\.j2:2: secret: demo declares"),
        ("\na: {{ env('ABSENT') }}\n", r"values\.yaml\.j2:2: .*ABSENT is not set"),
        (
            "\na: {{ data('gone.yaml') }}\n",
            r"values\.yaml\.j2:2: data: demo has no file 'gone.yaml'",
        ),
        ("\na: {{ 1 // 0 }}\n", r"values\.yaml\.j2:2: .*zero"),
        ("\na: {{ k8s_name('__') }}\n", r"values\.yaml\.j2:2: k8s_name: nothing of '__'"),
        ("- 1\n", r"values\.yaml\.j2:1: the values are not a mapping"),
        ("a: 1\n\x00b: 1", r"values\.yaml\.j2:\d: not valid YAML"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ConfigError, match=where) as caught:
        values(tmp_path, text)
    assert caught.value.code == "CTO-1311"


@pytest.mark.parametrize(
    ("text", "line", "shown"),
    [
        ("a: 1\n: : b: [\nc: 2\n", 2, ": : b: ["),
        ("{% if true %}\na: 1\n{% endif %}\nb: 2\nc: ]\n", 5, "c: ]"),
        ("{% for i in [1, 2, 3] %}\n\n{% endfor %}\na: {{ 1 }}\nb: }\n", 5, "b: }"),
        ("a:\n  b: {{ config.platform.name }}\n c: 1\n", 3, "c: 1"),
    ],
)
def test_broken_yaml_names_the_line_of_the_template(
    tmp_path: Path, text: str, line: int, shown: str
) -> None:
    """The line is the template's, not that of the text it wrote; the text is shown."""
    with pytest.raises(ConfigError, match=rf"values\.yaml\.j2:{line}: not valid YAML") as caught:
        values(tmp_path, text)
    assert caught.value.details == f"the line once rendered: {shown}"


def test_broken_yaml_at_the_very_end_names_the_last_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"values\.yaml\.j2:2: not valid YAML") as caught:
        values(tmp_path, "a: 1\nb: {c: 1\n")
    assert caught.value.details == "the line once rendered: b: {c: 1"


def test_an_error_within_a_macro_names_the_line_of_the_macro(tmp_path: Path) -> None:
    text = "{% macro name() %}\n{{ unknown }}\n{% endmacro %}\na: {{ name() }}\n"
    with pytest.raises(ConfigError, match=r"values\.yaml\.j2:2: 'unknown'"):
        values(tmp_path, text)


def test_a_template_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"values\.yaml\.j2:1: there is no such template"):
        renderer().values(component(tmp_path))


@given(st.text())
def test_k8s_name_is_a_label_or_an_error(text: str) -> None:
    try:
        name = k8s_name(text)
    except ValueError:
        assert not re.search(r"[a-z0-9]", text.lower())
    else:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
        assert k8s_name(name) == name


@given(st.text("ab", min_size=70, max_size=70), st.text("ab", min_size=70, max_size=70))
def test_two_long_names_stay_two(one: str, other: str) -> None:
    assert (k8s_name(one) == k8s_name(other)) == (one == other)


def test_base64_is_that_of_utf8() -> None:
    assert base64("ü") == "w7w="


_TREES = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=8,
)
_MAPPINGS = st.dictionaries(st.sampled_from("abc"), _TREES, max_size=3)


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {p: leaf for key in tree for p, leaf in _leaves(tree[key], (*path, key)).items()}


@given(_MAPPINGS, _MAPPINGS)
def test_merging_keeps_all_of_the_last_and_what_is_only_below(
    base: dict[str, Any], overlay: dict[str, Any]
) -> None:
    merged = _leaves(merge(base, overlay))
    above = _leaves(overlay)
    assert above.items() <= merged.items()
    assert merged.keys() <= _leaves(base).keys() | above.keys() | {()}
    assert merge(base, {}) == base == merge(base, base)


def test_merging_replaces_lists_and_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": [1, 2], "c": 1}}
    assert merge(base, {"a": {"b": [3]}}, {"a": {"c": None}}) == {"a": {"b": [3], "c": None}}
    assert base == {"a": {"b": [1, 2], "c": 1}}


@pytest.mark.parametrize(
    ("url", "port"),
    [
        (None, 443),
        ("https://s3.example.com", 443),
        ("http://s3.example.com/", 80),
        ("https://s3.example.com:9000", 9000),
        ("http://[2001:db8::1]:9000", 9000),
        ("http://[2001:db8::1]", 80),
    ],
)
def test_an_address_leads_to_a_port(url: str | None, port: int) -> None:
    assert port_of(url) == port
