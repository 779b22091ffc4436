"""Which layer wins, and what every value remembers of where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.config.layers import (
    Layer,
    Origin,
    Setting,
    Settings,
    from_plain,
    leaves,
    merge,
    nearest_origin,
    settings_at,
    to_plain,
)
from cto.config.problems import Path as PathOf
from cto.errors import ConfigError
from unit.config.loading import Loader


def test_without_anything_the_minimal_profile_counts(loading: Loader) -> None:
    loaded = loading()
    assert loaded.config.profile == "minimal"
    assert loaded.profile.cpu == 4
    assert [n for n, a in loaded.config.agents.items() if a.enabled] == ["rex", "cleo", "tess"]
    assert str(loaded.origins["profile"]) == "default"


def test_a_flag_beats_a_variable_beats_a_file_beats_the_profile_beats_the_default(
    loading: Loader,
) -> None:
    text = "cluster: {nodes: 2, context: file}\nplatform: {name: file, domain: file.example.com}\n"
    loaded = loading(
        text,
        flags={"cluster.context": "flag", "cluster.provider": None, "profile": ""},
        env={
            "CTO_CLUSTER__CONTEXT": "env",
            "CTO_PLATFORM__NAME": "env",
            "CTO_PROFILE": "production",
        },
    )
    config = loaded.config
    assert (config.cluster.context, config.platform.name) == ("flag", "env")
    assert (config.platform.domain, config.cluster.nodes) == ("file.example.com", 2)
    assert config.platform.environment == "prod"
    assert config.smtp.port == 587
    wanted = {
        "cluster.context": "--context",
        "platform.name": "env CTO_PLATFORM__NAME",
        "platform.domain": f"{loading.folder}/0.yaml:2",
        "platform.environment": "profile production",
        "smtp.port": "default",
    }
    assert {path: str(loaded.origins[path]) for path in wanted} == wanted


def test_later_files_win_and_mappings_are_merged_deeply(loading: Loader) -> None:
    loaded = loading(
        "agents:\n  rex:\n    enabled: false\n    resources: {cpu: 2}\n",
        "agents:\n  rex:\n    resources:\n      memory: 2Gi\n",
    )
    rex = loaded.config.agents["rex"]
    assert (rex.enabled, rex.resources.cpu, rex.resources.memory) == (False, "2", "2Gi")
    assert str(loaded.origins["agents.rex.resources.memory"]).endswith("1.yaml:4")


def test_lists_are_replaced_as_a_whole(loading: Loader) -> None:
    loaded = loading(
        "smtp: {recipients: [a@example.com, b@example.com]}", "smtp: {recipients: [c@example.com]}"
    )
    assert loaded.config.smtp.recipients == ("c@example.com",)


def test_stdin_is_a_file_like_any_other(loading: Loader) -> None:
    loaded = loading("platform: {name: first}", files=["-"], stdin="platform:\n  name: piped\n")
    assert loaded.config.platform.name == "piped"
    assert str(loaded.origins["platform.name"]) == "stdin:2"


def test_stdin_is_read_once(loading: Loader) -> None:
    error = loading.failure(files=["-", "-"], stdin="profile: minimal")
    assert error.code == "CTO-1301"
    assert error.details == "stdin: stdin can be read only once"


def test_headlines_without_lines_say_nothing(loading: Loader) -> None:
    text = "smtp:\nagents:\n  rex:\nsmtp2: &x\ncomponents:\n  grafana:\n    values:\n"
    loaded = loading(text.replace("smtp2: &x\n", ""))
    assert loaded.config.smtp.port == 587
    assert loaded.config.agents["rex"].enabled


def test_null_takes_an_optional_value_back(loading: Loader) -> None:
    loaded = loading("platform: {domain: a.example.com}", "platform: {domain: null}")
    assert loaded.config.platform.domain is None


def test_every_value_of_the_configuration_has_an_origin(loading: Loader) -> None:
    text = (
        "agents: {max: {enabled: true}}\n"
        "providers: {anthropic: key, xai: {secret: llm, key: xai}}\n"
        "components: {grafana: {values: {a: [1], grafana.ini: {b: '${HOME}'}}}}\n"
    )
    loaded = loading(text, env={"HOME": "/root"})
    file = f"{loading.folder}/0.yaml"
    assert str(loaded.origins["agents.max.resources.cpu"]) == "default"
    assert str(loaded.origins["providers.anthropic"]) == f"{file}:2"
    assert str(loaded.origins["providers.xai"]) == f"{file}:2"
    assert str(loaded.origins['components.grafana.values."grafana.ini".b']) == f"{file}:3"
    assert str(loaded.origins["components.grafana.version"]) == "default"
    assert not [path for path in loaded.origins if path.endswith((".from", ".secret", ".key"))]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("missing.yaml", None, "missing.yaml: there is no such file"),
        ("latin.yaml", b"name: caf\xe9", "latin.yaml: cannot be read: it is not UTF-8 text"),
        ("list.yaml", b"- a", "list.yaml: must be a mapping of settings, `key: value`"),
        ("two.yaml", b"a: 1\n---\nb: 2\n", "two.yaml:3: a second YAML document starts here"),
    ],
)
def test_what_is_no_configuration_file_is_refused(
    loading: Loader, name: str, content: bytes | None, line: str
) -> None:
    path = Path(loading.folder / name)
    if content is not None:
        path.write_bytes(content)
    error = loading.failure(files=[str(path)])
    assert error.code == "CTO-1301"
    assert line in error.details


def test_a_file_that_is_not_there_comes_with_what_else_may_have_been_meant(
    loading: Loader,
) -> None:
    (loading.folder / "cto.yaml").write_text("profile: minimal\n")
    error = loading.failure(files=[str(loading.folder / "cto.yml")])
    assert error.details.endswith(f"no such file; did you mean {loading.folder / 'cto.yaml'}?")
    assert error.hint.startswith("Name a file that is there; `cto config init FILE`")
    error = loading.failure(files=[str(loading.folder / "cto.yml"), str(loading.folder)])
    assert error.hint == error.kind.fix


def test_a_byte_order_mark_and_an_empty_file_do_no_harm(loading: Loader) -> None:
    assert loading("\ufeffprofile: standard", "").config.profile == "standard"


def test_unreadable_files_are_all_named(loading: Loader) -> None:
    error = loading.failure(files=["nope-1.yaml", "nope-2.yaml"])
    assert [line.split(":")[0] for line in error.details.splitlines()] == [
        "nope-1.yaml",
        "nope-2.yaml",
    ]


# Settings in which a key of one letter holds a mapping, one of two letters a value or list: layers
# that put a value where others have a mapping are the one case where order of merging matters.
_values = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.lists(st.integers()))
_plain: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), _values, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)


def _layer(data: dict[str, Any], layer: Layer) -> Settings:
    return from_plain(data, Origin(layer, layer.name))


@given(_plain, _plain, _plain)
def test_merging_is_associative(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    a, b, c = (
        _layer(first, Layer.DEFAULT),
        _layer(second, Layer.FILE),
        _layer(third, Layer.FLAG),
    )
    left = merge(merge(a, b), c)
    right = merge(a, merge(b, c))
    assert to_plain(left) == to_plain(right)
    assert dict(leaves(left)) == dict(leaves(right))


@given(_plain, _plain)
def test_the_later_layer_wins_and_the_origin_names_the_winner(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    merged = merge(_layer(first, Layer.FILE), _layer(second, Layer.FLAG))
    earlier = {path for path, _ in leaves(_layer(first, Layer.FILE))}
    later = {path for path, _ in leaves(_layer(second, Layer.FLAG))}
    for path, item in leaves(merged):
        if path in later and not item.is_mapping:
            assert _at(merged, path) == _at(_layer(second, Layer.FLAG), path)
            assert item.origin.layer is Layer.FLAG
        elif not item.is_mapping:
            assert path in earlier
            assert item.origin.layer is Layer.FILE


def _at(settings: Settings, path: PathOf) -> Any:
    return to_plain(settings_at(settings, path))


@given(_plain)
def test_merging_with_nothing_or_itself_changes_nothing(data: dict[str, Any]) -> None:
    layer = _layer(data, Layer.FILE)
    empty = _layer({}, Layer.FILE)
    assert merge(layer, layer) == layer
    assert to_plain(merge(empty, layer)) == data
    assert to_plain(merge(layer, empty)) == data


@given(_plain, _plain)
def test_the_order_is_that_of_the_first_mention(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    merged = to_plain(merge(_layer(first, Layer.FILE), _layer(second, Layer.FLAG)))
    assert list(merged) == list(first | second)
    for key in merged.keys() & first.keys() & second.keys() & {"a", "b"}:
        assert list(merged[key]) == list(first[key] | second[key])


def test_settings_are_found_by_path_and_the_nearest_origin_is_told() -> None:
    origin, deeper = Origin(Layer.FILE, "f:1"), Origin(Layer.FILE, "f:2")
    leaf = Setting(1, deeper)
    layer = {**from_plain({"a": [0]}, origin), ("a", 0): leaf}
    assert settings_at(layer, ("a", 0)) == {(): leaf}
    assert not settings_at(layer, ("a", 1))
    assert not settings_at({(): leaf}, ("a",))
    assert nearest_origin(layer, ("a", 0, "b")) == deeper
    assert nearest_origin(layer, ("x",)) == origin


def test_errors_of_one_kind_keep_their_code(loading: Loader) -> None:
    with pytest.raises(ConfigError) as caught:
        loading("profile: standrd")
    assert caught.value.code == "CTO-1302"
