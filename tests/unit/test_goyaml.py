"""YAML by Go's rules: what a text means, and how a value is written so that all mean the same."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cto import goyaml
from fakes.documents import AMBIGUOUS, DATA


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # What YAML 1.1 in Python has a type for, and Go does not.
        ("=", "="),
        ("<<", "<<"),
        ("2001-01-01", "2001-01-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("1:30", "1:30"),
        ("190:20:30.15", "190:20:30.15"),
        # Truth values and nothing.
        *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "on", "ON")),
        *((word, False) for word in ("n", "N", "no", "No", "NO", "false", "FALSE", "off", "Off")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        ("nULL", "nULL"),
        ("yES", "yES"),
        # Whole numbers.
        ("012", 10),
        ("0o17", 15),
        ("0O17", 15),
        ("08", 8.0),
        ("089012345678", 89012345678.0),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("+0b11", 3),
        ("0b-11", -3),
        ("1_000", 1000),
        ("-_1_", -1),
        ("0_x1F", 31),
        ("-0", 0),
        ("18446744073709551615", (1 << 64) - 1),
        ("-9223372036854775808", -(1 << 63)),
        ("0x8000000000000000", 1 << 63),
        ("0x10000000000000000", "0x10000000000000000"),
        ("-0x8000000000000001", "-0x8000000000000001"),
        ("0o", "0o"),
        ("1e", "1e"),
        ("0b12", "0b12"),
        ("+", "+"),
        ("-_", "-_"),
        ("٣", "٣"),
        # Other numbers.
        ("1e3", 1000.0),
        ("12e45", 12e45),
        ("12e4567", "12e4567"),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5E-1", -0.05),
        (".5_0", 0.5),
        ("._5", "._5"),
        ("1_0.5_0", 10.5),
        (".", "."),
        ("0x1p-2", "0x1p-2"),
        ("1,000", "1,000"),
        ("1.2.3", "1.2.3"),
        # Tags.
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("!!bool 'yes'", True),
        ("!!str 5", "5"),
        ("!!null ''", None),
        ("!!binary aGk=", "hi"),
        ("!!timestamp 2001-01-01", "2001-01-01"),
        ("!theirs word", "word"),
        ("!!set {a, b}", {"a": None, "b": None}),
    ],
)
def test_a_value_means_what_it_means_to_go(text: str, value: object) -> None:
    found = goyaml.load(f"a: {text}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_number_that_64_bits_cannot_hold_stays_exact() -> None:
    assert goyaml.load("18446744073709551617") == (1 << 64) + 1
    assert goyaml.dump({"a": (1 << 64) + 1}) == "a: 18446744073709551617\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: .inf", "JSON has no number .inf; in quotes it is text"),
        ("a: -.INF", "JSON has no number -.INF"),
        ("a: .NaN", "JSON has no number .NaN"),
        ("a: !!int x", "does not fit its YAML tag"),
        ("a: !!int 5.0", "does not fit its YAML tag"),
        ("a: !!bool 1", "does not fit its YAML tag"),
        ("a: !!null x", "does not fit its YAML tag"),
        ("a: !!binary x", "does not fit its YAML tag"),
        ("a: !!python/name:os.system ''", "has a YAML tag that is not supported"),
        ("~: 1", "a key must be text"),
        ("? [1]\n: 2", "a key must be text"),
        ("a: &x {b: *x}", "an alias that contains itself"),
        ("a: 1\nb: 2\na: 3", "the key 'a' is given twice"),
        ("1: a\n'1': b", "the key '1' is given twice"),
        ("<<: 5", "<< takes mappings only"),
        ("<<: [{}, 5]", "<< takes mappings only"),
        ("a: 1\n---\nb: 2", "a second document starts here"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 3_000 + "x", "nested too deeply"),
        ("- " * 600 + "x", "nested too deeply"),
        ("a: \ud800", "it holds characters that are not allowed"),
    ],
)
def test_what_json_cannot_hold_is_refused(text: str, told: str) -> None:
    with pytest.raises(goyaml.YAMLError) as caught:
        goyaml.load(text)
    assert told in str(caught.value)


def test_brackets_in_a_text_are_no_nesting() -> None:
    text = "[" * 2_000
    assert goyaml.load(f"a: '{text}'") == {"a": text}


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(goyaml.YAMLError, match="aliases of aliases"):
        goyaml.load("\n".join(lines))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("8080", "8080"),
        ("0x1F", "31"),
        ("017", "15"),
        ("1.0", "1"),
        ("1.10", "1.1"),
        ("12345678.9", "1.2345679e+07"),
        (".5e1_0", "5e+09"),
        ("1e-7", "1e-07"),
        ("4e54", ".inf"),
        ("-4e54", "-.inf"),
        ("+.Inf", ".inf"),
        (".NaN", ".nan"),
        ("true", "true"),
        ("FALSE", "false"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("'<<'", "<<"),
        # Go makes "true" of these. Nobody means that; Go's programs put such keys in quotes.
        *((word, word) for word in ("on", "y", "n", "No", "off")),
    ],
)
def test_keys_are_text(key: str, name: str) -> None:
    assert goyaml.load(f"? {key}\n: x\n") == {name: "x"}


def test_merge_keys_are_gos() -> None:
    base = "x: &x {a: 1, b: 2}\n"
    assert goyaml.load(base + "y: {<<: *x, b: 3}")["y"] == {"a": 1, "b": 3}
    assert goyaml.load(base + "y: {b: 3, <<: *x}")["y"] == {"a": 1, "b": 2}
    assert goyaml.load(base + "y: {<<: [*x, {a: 9, c: 4}]}")["y"] == {"a": 1, "b": 2, "c": 4}


def test_of_two_equal_keys_the_last_one_counts_where_helm_reads_too() -> None:
    assert goyaml.load("a: 1\nb: 2\na: 3", duplicates=True) == {"a": 3, "b": 2}
    assert list(goyaml.load_all("---\na: 1\na: 2\n---\n--- # no\n", duplicates=True)) == [
        {"a": 2},
        None,
        None,
    ]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_text_that_some_reader_takes_for_something_else_is_in_quotes(text: str) -> None:
    for written in (goyaml.dump({text: text}), goyaml.dump({"key": [text]})):
        assert written.count("'") + written.count('"') >= 2 or "|\n" in written
        assert goyaml.load(written) == yaml.safe_load(written)
    assert goyaml.load(goyaml.dump({text: text})) == {text: text}


@pytest.mark.parametrize(
    "text", ["word", "two words", "10Gi", "500m", "0.1.0", "10.96.0.1", "a:b", "--flag=1", "v1"]
)
def test_a_text_that_all_take_for_text_is_plain(text: str) -> None:
    assert goyaml.dump({"a": text}) == f"a: {text}\n"


@given(DATA)
def test_what_is_written_is_read_again_by_readers_of_both_versions(data: Any) -> None:
    for text in (goyaml.dump(data), goyaml.dump_flow(data)):
        assert goyaml.load(text) == data
        assert yaml.safe_load(text) == data
    # JSON's 5e-324 is text to readers of YAML 1.1, and a number to Go's.
    for read in (goyaml.load, json.loads):
        assert read(goyaml.dump_json(data)) == data


def test_a_number_without_a_point_is_one_to_readers_of_both_versions() -> None:
    assert yaml.safe_load(goyaml.dump(5e-324)) == 5e-324
    assert goyaml.load(goyaml.dump_json(5e-324)) == 5e-324


@given(DATA)
def test_flow_and_json_are_one_line(data: Any) -> None:
    assert len(goyaml.dump_flow(data).splitlines()) <= 1
    assert len(goyaml.dump_json(data).splitlines()) <= 1


def test_texts_are_not_folded_and_nothing_has_an_alias() -> None:
    long = "word " * 60 + "end"
    shared = {"a": [long]}
    assert goyaml.dump([shared, shared]) == f"- a:\n  - {long}\n" * 2
    assert goyaml.dump({"script": "a:\n  b\n\nc\n"}) == "script: |\n  a:\n    b\n\n  c\n"


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_has_not_is_not_written(number: float) -> None:
    with pytest.raises(goyaml.YAMLError, match="JSON has no number"):
        goyaml.dump({"a": number})


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(goyaml.YAMLError):
        goyaml.load(text)
