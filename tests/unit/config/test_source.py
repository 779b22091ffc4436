"""YAML into settings that know their lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.config.layers import Layer, to_plain
from cto.config.problems import Path
from cto.config.source import Parsed, YamlSource, parse
from cto.objects import dump_yaml

_SOURCE = YamlSource(Layer.FILE, "cto.yaml")


def _plain(text: str) -> Any:
    parsed = parse(text, _SOURCE)
    assert parsed.settings is not None
    assert not parsed.problems
    return to_plain(parsed.settings)


def _problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, _SOURCE).problems]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _json, max_size=4))
def test_what_was_written_is_read(data: dict[str, Any]) -> None:
    assert _plain(dump_yaml(data)) == data


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    parsed = parse(text, _SOURCE)
    assert isinstance(parsed, Parsed)
    assert (parsed.settings is None) <= bool(parsed.problems)


def test_values_are_those_of_json() -> None:
    """Numbers are Go's, and so those that Helm makes of a chart's values."""
    text = "{a: 0o7, b: 2024-01-01, c: ~, d: yes, e: 1.5, f: '1', on: 1, 5: x, g: =}"
    assert _plain(text) == {
        "a": 7,
        "b": "2024-01-01",
        "c": None,
        "d": True,
        "e": 1.5,
        "f": "1",
        "on": 1,
        "5": "x",
        "g": "=",
    }


def test_every_value_knows_the_line_of_its_key() -> None:
    settings = parse("a:\n  b: |\n    text\n  c:\n    - x\n    - y\n", _SOURCE).settings
    assert settings is not None
    paths: list[Path] = [("a",), ("a", "b"), ("a", "c"), ("a", "c", 1)]
    found = [str(settings[path].origin) for path in paths]
    assert found == ["cto.yaml:1", "cto.yaml:2", "cto.yaml:4", "cto.yaml:6"]


def test_a_key_that_is_given_twice_is_refused_with_both_lines() -> None:
    assert _problems("a:\n  b: 1\n  c: 2\n  b: 3\n") == [
        "a.b (cto.yaml:4): is given twice, first in cto.yaml:2"
    ]


def test_duplicates_in_a_variable_have_no_lines() -> None:
    parsed = parse("{a: 1, a: 2}", YamlSource(Layer.ENV, "env CTO_SMTP", lines=False))
    assert [str(problem) for problem in parsed.problems] == ["a (env CTO_SMTP): is given twice"]


def test_anchors_and_merge_keys_work() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4, a: 9}]}\n"
    data = _plain(text)
    assert data["y"] == {"a": 1, "b": 3}
    assert data["z"] == {"a": 1, "b": 2, "c": 4}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [*a]", "a.0 (cto.yaml:1): an alias that contains itself"),
        ("a: !!binary aGk=", "a (cto.yaml:1): has a YAML tag that is not supported"),
        ("a: !!int x", "a (cto.yaml:1): does not fit its YAML tag"),
        ("a: {<<: 5}", "a (cto.yaml:1): << takes mappings only"),
        ("? [a]\n: 1", "cto.yaml:1: a key must be text"),
        ("a: [1", "cto.yaml:2: not valid YAML: did not find expected ',' or ']' (column "),
        ("a: \x00", "cto.yaml"),
        ("a: 1\n---\nb: 1", "cto.yaml:3: a second YAML document starts here"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, told: str) -> None:
    (problem,) = _problems(text)
    assert told in problem


def test_a_placeholder_that_needs_quotes_is_recognized() -> None:
    (problem,) = _problems("a: 1\nproviders: {anthropic: ${KEY}}\n")
    assert problem.startswith("cto.yaml:2: not valid YAML: ")
    assert problem.endswith("; inside { } and [ ] put ${NAME} in quotes")


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (problem,) = _problems("\n".join(lines))
    assert "more than 100000 values" in problem


@pytest.mark.parametrize(
    ("text", "value"),
    [("=", "="), ("<<", "<<"), ("1:30", "1:30"), ("1_000", 1000), ("0x1F", 31), ("012", 10)],
)
def test_values_of_a_chart_are_what_helm_reads(text: str, value: object) -> None:
    assert _plain(f"a: {text}\nb: [{text}]\n") == {"a": value, "b": [value]}


def test_a_number_that_json_has_not_is_refused_with_its_line() -> None:
    assert _problems("a:\n  b: .inf\n") == [
        "a.b (cto.yaml:2): JSON has no number .inf; in quotes it is text"
    ]
