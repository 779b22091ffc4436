"""`${NAME}` in files, and what stays as it is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.config.layers import Layer, Origin, Setting, from_plain, to_plain
from cto.config.problems import Problem
from cto.config.source import resolve
from unit.config.loading import Loader

_FILE = Origin(Layer.FILE, "cto.yaml:1")
_names = st.text(string.ascii_letters + string.digits + "_", min_size=1).filter(
    lambda name: not name[0].isdigit()
)


def _resolved(
    text: str, env: dict[str, str], origin: Origin = _FILE
) -> tuple[object, list[Problem]]:
    found, problems = resolve({(): Setting(text, origin, text)}, env)
    return to_plain(found), problems


@given(_names, st.text(), st.text(string.printable).filter(lambda text: "$" not in text))
def test_a_set_variable_stands_in_its_place(name: str, value: str, around: str) -> None:
    found, problems = _resolved(f"{around}${{{name}}}{around}", {name: value})
    assert found == f"{around}{value}{around}"
    assert not problems


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_a_placeholder_stays(text: str) -> None:
    assert _resolved(text, {})[0] == text


@given(_names, st.text())
def test_values_are_not_searched_for_placeholders(name: str, value: str) -> None:
    found, _ = _resolved(f"${{{name}}}", {name: f"${{{name}}}{value}"})
    assert found == f"${{{name}}}{value}"


@given(_names)
def test_two_dollars_escape(name: str) -> None:
    assert _resolved(f"$${{{name}}}", {name: "x"})[0] == f"${{{name}}}"


@pytest.mark.parametrize("layer", [Layer.ENV, Layer.FLAG, Layer.DEFAULT])
def test_only_files_and_profiles_hold_placeholders(layer: Layer) -> None:
    assert _resolved("${A}", {"A": "x"}, Origin(layer, ""))[0] == "${A}"


def test_lists_and_mappings_are_searched_through() -> None:
    found, _ = resolve(from_plain({"a": ["${A}", 1]}, _FILE), {"A": "x"})
    assert to_plain(found) == {"a": ["x", 1]}


def test_every_variable_that_is_missing_is_named_with_its_field(loading: Loader) -> None:
    text = "platform: {name: '${A}-${B}'}\nsmtp: {recipients: ['${C}']}\nproviders: {a: '${D}'}"
    assert [line.split(";")[0] for line in loading.lines(text)] == [
        "platform.name (0.yaml:1): the environment variable A is not set",
        "platform.name (0.yaml:1): the environment variable B is not set",
        "providers.a (0.yaml:3): the environment variable D is not set",
        "smtp.recipients.0 (0.yaml:2): the environment variable C is not set",
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A:-b}", "a ${A"])
def test_what_only_looks_like_a_placeholder_is_an_error(loading: Loader, text: str) -> None:
    (line,) = loading.lines(f"providers: {{a: '{text}'}}")
    assert "has a ${ that starts no ${NAME}; write $${ for a plain ${" in line


def test_a_value_that_another_layer_replaces_needs_no_variable(loading: Loader) -> None:
    loaded = loading("platform: {name: '${NOPE}'}", "platform: {name: there}")
    assert loaded.config.platform.name == "there"


def test_placeholders_become_what_the_field_is(loading: Loader) -> None:
    loaded = loading(
        "cluster: {nodes: '${N}', provider: '${P}'}\nfeatures: {backup: '${B}'}\n"
        "agents:\n  rex:\n    github_app_id: ${N}\n",
        env={"N": "3", "B": "true", "P": "kwok"},
    )
    config = loaded.config
    assert (config.cluster.nodes, config.features.backup) == (3, True)
    assert config.agents["rex"].github_app_id == 3
    assert config.cluster.provider == "kwok"


VALUES = """\
components:
  grafana:
    values:
      a: ${N}
      b: "${N}"
      c: ['${job}', $VAR, $$, '${VAR:-x}', '$${kept}', '${', '${}', '$(run)', '{{ .Values.x }}']
      "${N}": {"${HOME}": "${N}x"}
      script: |
        for i in "${items[@]}"; do echo "${HOME}/$i" "${#i}" '$${x}'; done
"""


@pytest.mark.parametrize("env", [{}, {"N": "3", "HOME": "/root", "job": "x", "kept": "y"}])
def test_helm_values_are_the_charts_byte_for_byte(loading: Loader, env: dict[str, str]) -> None:
    """Grafana's dashboards and scripts have variables of their own."""
    loaded = loading(VALUES, env=env)
    values = {
        "a": "${N}",
        "b": "${N}",
        "c": [
            *("${job}", "$VAR", "$$", "${VAR:-x}", "$${kept}", "${", "${}", "$(run)"),
            "{{ .Values.x }}",
        ],
        "${N}": {"${HOME}": "${N}x"},
        "script": 'for i in "${items[@]}"; do echo "${HOME}/$i" "${#i}" \'$${x}\'; done\n',
    }
    assert loaded.config.components["grafana"].values == values
    assert loaded.config.public()["components"]["grafana"]["values"] == values


def test_values_in_a_profile_of_ones_own_stay_too(loading: Loader) -> None:
    path = loading.file(
        "extends: minimal\ntitle: Mine\n"
        "config:\n  components: {grafana: {values: {a: '${job}'}}}\n",
        "mine.yaml",
    )
    loaded = loading(flags={"profile": path})
    assert loaded.config.components["grafana"].values == {"a": "${job}"}


@pytest.mark.parametrize(
    "text",
    [
        "providers: {a: 'x${NOPE}'}",
        "smtp: {password: '${NOPE}'}",
        "platform: {name: '${NOPE}'}",
        "components: {grafana: {version: '${NOPE}'}}",
    ],
)
def test_where_they_count_the_fix_names_the_way_to_the_plain_text(
    loading: Loader, text: str
) -> None:
    (line,) = loading.lines(text)
    assert line.endswith(
        "the environment variable NOPE is not set; "
        "set NOPE, or write $${NOPE} for the plain text ${NOPE}"
    )


@pytest.mark.parametrize(("text", "value"), [("$VAR", "$VAR"), ("a$$b", "a$$b"), ("$${A}", "${A}")])
def test_a_secret_keeps_dollars_that_are_no_placeholder(
    loading: Loader, text: str, value: str
) -> None:
    config = loading(f"providers: {{a: '{text}'}}", env={"A": "x", "VAR": "y"}).config
    assert config.secret_values("providers.a") == {"": value}
