"""What the cluster's state keeps of a configuration is that configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.config.fields import Secret
from cto.config.load import Installed, Loaded, remembered
from cto.config.model import Config
from cto.engine.state import NAMESPACE, StateStore
from cto.plan.observed import State
from fakes.cluster import FakeCluster
from fakes.documents import DATA
from unit.config.loading import Loader

_names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_references = st.fixed_dictionaries({"secret": _names, "key": _names})
_secrets = _references | st.text(min_size=6).filter(str.strip)


def _fields(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_features = _fields(**dict.fromkeys(("monitoring", "databases", "backup"), st.booleans()))
_configs = _fields(
    profile=st.sampled_from(["minimal", "standard", "production", "./mine.yaml"]),
    platform=_fields(name=_names, domain=_names.map("{}.example.com".format)),
    github=_fields(organization=_names, webhook_secret=_secrets),
    registry=st.fixed_dictionaries(
        {
            "type": st.just("generic"),
            "url": st.just("r.example.com"),
            "username": _names,
            "password": _secrets,
        }
    ),
    air_gapped=st.none() | st.booleans(),
    features=_features,
    agents=st.dictionaries(
        st.sampled_from(["rex", "tess", "my-own-agent"]),
        _fields(
            enabled=st.booleans(),
            github_app_id=st.none() | st.integers(1, 1 << 53),
            resources=_fields(cpu=st.sampled_from(["2", "500m"])),
            features=st.dictionaries(_names, st.booleans(), max_size=2),
        ),
    ),
    cluster=_fields(provider=st.sampled_from(["kind", "existing", "kwok"]), context=_names),
    providers=st.dictionaries(_names, _secrets, max_size=3),
    smtp=_fields(
        host=_names,
        port=st.integers(1, 65535),
        password=_secrets,
        recipients=st.lists(_names.map("{}@example.com".format), max_size=2),
    ),
    components=st.dictionaries(
        _names,
        _fields(
            mode=st.sampled_from(["managed", "external", "disabled"]),
            version=st.sampled_from(["1.2.3", "0.1.0"]),
            values=st.dictionaries(st.text(), DATA, max_size=3),
        ),
        max_size=3,
    ),
)


def _kept(config: Config) -> dict[str, Any]:
    """Return what the next run finds in the cluster's state."""
    cluster = FakeCluster()
    cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    state = State(writer="1.0.0", provider="kind", profile="minimal", config=config.public())
    StateStore(cluster, "1.0.0").begin(state)
    found = StateStore(cluster, "1.0.0").load()
    assert found is not None
    return dict(found.config)


@given(_configs)
def test_the_state_gives_the_same_configuration_again(data: dict[str, Any]) -> None:
    config = Config.model_validate(data)
    again = remembered(_kept(config))
    assert again is not None
    assert again.public() == config.public()
    assert remembered(_kept(again)) == again
    without: dict[str, Any] = {"github": {}, "registry": {}, "smtp": {}, "providers": {}}
    assert again.model_copy(update=without) == config.model_copy(update=without)


def test_references_are_whole_and_of_other_secrets_the_source_is_known(loading: Loader) -> None:
    config = loading(
        "github: {webhook_secret: in-the-file}\nproviders: {a: '${KEY}', b: {secret: s, key: k}}",
        env={"KEY": "in-the-environment"},
    ).config
    kept = _kept(config)
    assert "in-the" not in json.dumps(kept)
    again = remembered(kept)
    assert again is not None
    assert again.providers["b"] == config.providers["b"]
    assert again.secret_reference("providers.b") == config.secret_reference("providers.b")
    assert again.secret_values("providers.*") == {}
    assert again.secret_values("github.webhook_secret") == {}
    assert repr(again.providers["a"]) == "Secret({'from': 'env KEY'})"
    assert not again.providers["a"].known


@pytest.mark.parametrize(
    "data", [{"profile": 5}, {"new_field": 1}, {"version": "9"}, {"providers": {"a": {"from": 1}}}]
)
def test_what_this_version_cannot_read_is_none(data: dict[str, Any]) -> None:
    assert remembered(data) is None


def test_an_empty_secret_is_still_refused() -> None:
    with pytest.raises(ValueError, match="is empty"):
        Config.model_validate({"providers": {"a": Secret("", "env A")}})


def _again(loading: Loader, before: Loaded, *texts: str, **given: Any) -> Loaded:
    """Load a configuration over one that is installed."""
    kept = Installed(
        config=_kept(before.config), given=given.pop("said", before.given), value_of=lambda _: None
    )
    return loading(*texts, installed=kept, **given)


@pytest.mark.parametrize("tells", [True, False])
def test_what_was_given_counts_again_and_what_a_profile_gave_does_not(
    loading: Loader, *, tells: bool
) -> None:
    text = "platform: {name: shop}\nfeatures: {backup: true}\nsmtp: {recipients: [a@example.com]}"
    before = loading(text, env={"CTO_PROFILE": "standard"})
    said = before.given if tells else None
    after = _again(loading, before, flags={"profile": "minimal"}, said=said).config
    assert after.platform.name == "shop"
    assert after.features.backup
    assert before.config.features.monitoring
    assert not after.features.monitoring
    assert after.smtp.recipients == ("a@example.com",)
    same = _again(loading, before, said=said)
    assert same.config == before.config
    assert same.given == before.given


def test_what_a_command_says_wins_over_what_is_installed(loading: Loader) -> None:
    before = loading("platform: {name: shop, domain: a.example.com}")
    after = _again(loading, before, "platform: {domain: b.example.com}")
    assert after.config.platform.name == "shop"
    assert after.config.platform.domain == "b.example.com"
    assert str(after.origins["platform.name"]) == "what is installed"


def test_a_text_that_looks_like_a_variable_stays_what_it_is(loading: Loader) -> None:
    before = loading("profile: minimal\nsmtp: {username: 'a$${b}c'}")
    assert _again(loading, before).config.smtp.username == "a${b}c"


def test_helm_values_count_as_one_and_as_they_are(loading: Loader) -> None:
    values = {"grafana.ini": {"a": {"b": 1}}, "list": [{"c": None}]}
    before = loading(json.dumps({"components": {"grafana": {"values": values}}}))
    assert before.given == ("components.grafana.values",)
    assert _again(loading, before).config.components == before.config.components


def test_secrets_get_their_values_where_somebody_knows_them(loading: Loader) -> None:
    before = loading("providers: {a: '${KEY}', b: plain-text-value}", env={"KEY": "the-value"})
    kept = _kept(before.config)
    known = {"providers.a": "the-value"}
    installed = Installed(config=kept, given=before.given, value_of=known.get)
    after = loading(installed=installed)
    assert after.config.secret_values("providers.*") == {"a": "the-value"}
    assert after.config.public() == before.config.public()
    assert after.config.unknown_secrets() == ("providers.b",)
