"""Go's programs read what we write, and we what they write and read: the same data."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from cto import goyaml
from fakes.documents import AMBIGUOUS, DATA

pytestmark = pytest.mark.lab

# Each example starts programs.
_FEW = settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_REFUSED = "refused"
_SCALARS = (
    *("=", "2001-01-01", "1:30", "y", "No", "on", "~", "", "null", "012", "0o17", "08", "0x1F"),
    *("0b-11", "1_000", "-_1_", "0_x1F", "1e3", "12e45", "12e4567", "1.", ".5", ".5_0", "._5"),
    *("0x1p-2", "18446744073709551615", "-9223372036854775808", "0x10000000000000000", "1.2.3"),
    *("!!int '5'", "!!float 5", "!!str 5", "!!binary aGk=", "!theirs word", "!!bool 'yes'"),
)


# JSON of a value, Helm's own YAML of it, and JSON of what Helm reads from that. In a list, as Helm
# takes the last line's end away.
_ECHO = """made:
{{ range .Values.data -}}
{{- $yaml := list . 1 | toYaml -}}
- ['{{ toJson . | b64enc }}', '{{ b64enc $yaml }}', '{{ fromYamlArray $yaml | toJson | b64enc }}']
{{ end }}"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Write a chart that gives its values back."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: echo\nversion: 1.0.0\n")
    (tmp_path / "templates" / "echo.yaml").write_text(_ECHO)
    return tmp_path


def _helm(tools: Path, chart: Path, values: str) -> list[list[str]]:
    """Return what Helm makes of each value: see the chart."""
    done = subprocess.run(
        [tools / "helm", "template", "echo", chart, "--values", "-"],
        input=values,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    made = goyaml.load(done.stdout)["made"]
    return [[base64.b64decode(text).decode() for text in texts] for texts in made]


def _numbers(data: Any) -> Any:
    """Return the data with its numbers as JSON has them: 1.0 is 1, and Go prints either."""
    return json.loads(json.dumps(data), parse_int=float)


def _check(data: list[Any], made: list[list[str]]) -> None:
    for one, (read, written, again) in zip(data, made, strict=True):
        assert _numbers(json.loads(read)) == _numbers(one)
        # Helm has no YAML for control characters, and loses spaces at line ends of Unicode's.
        if written:
            assert _numbers(_or_refusal(written)) == _numbers(_without_reason(json.loads(again)))


def _or_refusal(text: str) -> Any:
    """Return what we read. A key `<<` is written by Helm as a merge, which often is none."""
    try:
        return goyaml.load(text)
    except goyaml.YAMLError:
        return [_REFUSED]


def _without_reason(read: Any) -> Any:
    """Return what Helm read; it tells of an error in an item of the list."""
    refused = isinstance(read, list) and str(read[:1]).startswith("['error converting YAML")
    return [_REFUSED] if refused else read


@_FEW
@example(data=[{"<<": 1}, {"a": {"<<": "b"}}, {"<<": {"a": 1}}])
@given(data=st.lists(DATA, min_size=5))
def test_helm_reads_what_we_write(data: Any, lab_tools: Path, chart: Path) -> None:
    for text in (goyaml.dump({"data": data}), goyaml.dump_json({"data": data})):
        _check(data, _helm(lab_tools, chart, text))


@pytest.mark.parametrize("write", [goyaml.dump, goyaml.dump_json, goyaml.dump_flow])
def test_helm_reads_every_doubtful_text(write: Any, lab_tools: Path, chart: Path) -> None:
    data = [*AMBIGUOUS, dict.fromkeys(AMBIGUOUS, 1), "word\n  indented\n"]
    made = _helm(lab_tools, chart, write({"data": data}))
    _check(data, made)
    assert sum(bool(written) for _, written, _ in made) > len(AMBIGUOUS) - 10


def test_we_read_what_helm_reads(lab_tools: Path, chart: Path) -> None:
    text = "data:\n" + "".join(f"- {scalar}\n- {{a: {scalar}}}\n" for scalar in _SCALARS)
    read = [json.loads(texts[0]) for texts in _helm(lab_tools, chart, text)]
    assert _numbers(goyaml.load(text)["data"]) == _numbers(read)


def test_keys_and_merges_are_helms(lab_tools: Path, chart: Path) -> None:
    text = "x: &x {a: 1, b: 2}\ndata:\n" + "".join(
        f"- {item}\n"
        for item in (
            *("{8080: a, 0x1F: b, 017: c, 1.0: d, 1.10: e, 12345678.9: f, true: g, = : h}",),
            *("{<<: *x, b: 3}", "{b: 3, <<: *x}", "{<<: [*x, {a: 9, c: 4}]}", "{a: 1, a: 2}"),
        )
    )
    read = [json.loads(texts[0]) for texts in _helm(lab_tools, chart, text)]
    assert goyaml.load(text, duplicates=True)["data"] == read


def test_kubectl_reads_what_we_write(lab_tools: Path) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "y", "namespace": "089012345678"},
        "data": {f"key-{number}": text for number, text in enumerate(AMBIGUOUS)},
    }
    done = subprocess.run(
        [lab_tools / "kubectl", "label", "--local", "-f", "-", "-o", "json", "a=b"],
        input=goyaml.dump(manifest),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    read = json.loads(done.stdout)
    assert read["metadata"].pop("labels") == {"a": "b"}
    assert read == manifest
