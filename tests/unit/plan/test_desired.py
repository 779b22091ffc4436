"""From configuration and catalog to what is wanted: who takes part, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cto.catalog import Catalog, Component
from cto.config.model import Config
from cto.errors import ConfigError
from cto.plan.build import install
from cto.plan.desired import DesiredState, Destination, desired_state
from cto.plan.observed import Observed
from cto.plan.selection import Selection, completed, select
from cto.plan.steps import ApplyRelease, SupplySecret, WaitReady
from fakes.components import chart, component

NO_PORTS: Mapping[int, int] = MappingProxyType({})
CLUSTER = Observed(kube_version="v1.34.4", nodes=3)


def config(**values: Any) -> Config:
    return Config.model_validate(values)


def catalog(*components: Component) -> Catalog:
    return Catalog(Path("/bundle"), {item.name: item for item in components})


def names(selection: Selection) -> tuple[list[str], list[str], list[str]]:
    managed = [item.name for item in selection.managed]
    external = [item.name for item in selection.external]
    return managed, external, [c.name for c in selection.disabled]


def render(
    folder: Path,
    settings: Config,
    *,
    values: str = "{}",
    observed: Observed = CLUSTER,
    base: str = "minimal",
    **fields: Any,
) -> DesiredState:
    (folder / "values.yaml.j2").write_text(values, encoding="utf-8")
    item = component("web", folder=folder, **fields)
    return desired_state(
        settings,
        select(catalog(item), settings),
        {"web": chart("web")},
        observed,
        Destination(provider="existing", base=base),
    )


WEB = component("web")
METRICS = component("metrics", required=False, feature="monitoring", depends_on=["web"])
_NGROK = {"provider": "ngrok", "url": "https://a.ngrok.app", "credentials": "planted"}


@pytest.mark.parametrize(("on", "made"), [(True, ["cto-web", "cto-web-all"]), (False, [])])
def test_policies_are_the_first_objects_of_a_component(
    tmp_path: Path, made: list[str], *, on: bool
) -> None:
    settings = config(platform={"network_policies": on})
    item = render(tmp_path, settings, network={"all": {"pods": {"app": "web"}}}).components[0]
    assert [manifest["metadata"]["name"] for manifest in item.before] == made


STORE = component(
    "store",
    required=False,
    feature="object_store",
    generated_secrets=[{"name": "keys", "keys": {"k": {"random": 16}}}],
    provides={
        "object_store": {
            "endpoint": "http://store.store-ns.svc:7070",
            "bucket": "cto",
            "access_key": {"secret": "keys", "key": "k"},
            "secret_key": {"secret": "keys", "key": "k"},
        }
    },
)


def test_a_component_stands_for_a_section_of_the_configuration(tmp_path: Path) -> None:
    """Its values are those that templates see, and its Secret is there before it is read."""
    settings = config(features={"object_store": True, "backup": True})
    store = STORE.model_copy(update={"folder": tmp_path})
    web = component(
        "web",
        folder=tmp_path,
        supplied_secrets=[{"name": "login", "keys": {"a": "object_store.access_key"}}],
    )
    (tmp_path / "values.yaml.j2").write_text("{bucket: {{ config.object_store.bucket }}}")
    found = desired_state(
        settings,
        selection := select(catalog(web, store), settings),
        {"web": chart("web"), "store": chart("store")},
        CLUSTER,
        Destination(provider="existing", base="minimal"),
    )
    assert [item.values for item in found.components] == [{"bucket": "cto"}] * 2
    assert [warning[:31] for warning in found.warnings] == ["backups stay in this cluster (f"]
    steps = {step.id: step for step in install(found, CLUSTER).steps}
    assert "secret:store-ns/keys" in steps["supply:web-ns/login"].after
    reference = completed(settings, selection).secret_reference("object_store.access_key")[""]
    assert (reference.namespace, reference.secret, reference.key) == ("store-ns", "keys", "k")


DOOR = component(
    "door",
    required=False,
    when="platform.access.github_org",
    generated_secrets=[{"name": "clients", "keys": {"web": {"random": 16}}}],
)
BY_GITHUB = {
    "ingress_type": "ingress",
    "domain": "example.com",
    "access": {"github_org": "acme", "client_id": "i", "client_secret": "planted"},
}


def with_door(folder: Path, settings: Config, ports: Mapping[int, int] = NO_PORTS) -> DesiredState:
    secret = {"name": "client", "of": "door", "labels": {"part-of": "web"}}
    web = component(
        "web", folder=folder, supplied_secrets=[{**secret, "keys": {"secret": "clients/web"}}]
    )
    door = DOOR.model_copy(update={"folder": folder})
    (folder / "values.yaml.j2").write_text("{}")
    return desired_state(
        settings,
        select(catalog(web, door), settings),
        {"web": chart("web"), "door": chart("door")},
        CLUSTER,
        Destination(provider="existing", base="minimal", ports=ports),
    )


def test_a_copy_of_another_component_s_secret_is_made_after_it(tmp_path: Path) -> None:
    found = with_door(tmp_path, config(platform=BY_GITHUB))
    steps = {step.id: step for step in install(found, CLUSTER).steps}
    copy = steps["supply:web-ns/client"]
    assert isinstance(copy, SupplySecret)
    assert copy.keys == {"secret": "secret:door-ns/clients/web"}
    assert copy.labels == {"part-of": "web"}
    assert "secret:door-ns/clients" in copy.after
    # Its program asks the other one when it starts.
    assert "release:door" in steps["release:web"].after


def test_a_component_that_nobody_asks_for_is_neither_there_nor_copied_from(tmp_path: Path) -> None:
    plan = install(with_door(tmp_path, config()), CLUSTER)
    assert not [step.id for step in plan.steps if "door" in step.id or "client" in step.id]


@pytest.mark.parametrize(
    ("kind", "ports", "said", "hint"),
    [
        ("ingress", {31443: 8443}, "cluster is at localhost:8443", "load balancer"),
        ("nodeport", {}, "ingress_type is nodeport", "platform.ingress_type: ingress"),
        ("none", {}, "ingress_type is none", "platform.ingress_type: ingress"),
    ],
)
def test_without_an_address_for_all_nobody_logs_in_by_github(
    tmp_path: Path, kind: str, ports: dict[int, int], said: str, hint: str
) -> None:
    """What localhost is to a browser is another place to a pod."""
    settings = config(platform={**BY_GITHUB, "ingress_type": kind})
    with pytest.raises(ConfigError, match=rf"platform.access.github_org: .*{said}$") as caught:
        with_door(tmp_path, settings, ports)
    assert caught.value.code == "CTO-1320"
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("given", [{"bucket": "mine"}, {"region": "eu-central-1"}])
def test_a_store_outside_and_one_in_the_cluster_are_one_too_many(given: dict[str, str]) -> None:
    settings = config(features={"object_store": True}, object_store=given)
    with pytest.raises(ConfigError) as caught:
        completed(settings, select(catalog(STORE), settings))
    assert caught.value.code == "CTO-1320"
    assert "features.object_store" in (caught.value.hint or "")
    # Whose store is the user's own has to say where it is.
    components = {"store": {"mode": "external"}}
    mine = config(features={"object_store": True}, object_store=given, components=components)
    assert completed(mine, select(catalog(STORE), mine)) == mine


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"features": {"backup": True}}, "features.backup makes no backups yet"),
        ({"features": {"backup": True}, "object_store": {"bucket": "mine"}}, ""),
        ({}, ""),
    ],
)
def test_where_backups_go_is_said(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    warnings = render(tmp_path, config(**settings)).warnings
    assert [text.partition(":")[0] for text in warnings] == [said] * bool(said)


def test_a_database_in_a_namespace_of_the_platform_is_refused(tmp_path: Path) -> None:
    """Its pods could not reach each other there."""
    where = {"name": "shop", "namespace": "web-ns"}
    settings = config(features={"databases": True}, databases={"redis": [where]})
    with pytest.raises(ConfigError) as caught:
        render(tmp_path, settings)
    assert caught.value.code == "CTO-1320"
    assert "databases.redis: shop: namespace web-ns is the platform's" in caught.value.message


class TestSelect:
    def test_what_is_required_is_there_and_a_feature_adds_its_components(self) -> None:
        found = catalog(WEB, METRICS)
        assert names(select(found, config())) == (["web"], [], [])
        with_feature = config(features={"monitoring": True})
        assert names(select(found, with_feature)) == (["web", "metrics"], [], [])

    def test_a_component_of_no_feature_that_is_not_required_is_left_out(self) -> None:
        assert names(select(catalog(component("x", required=False)), config())) == ([], [], [])

    def test_external_and_disabled_ones_are_named_and_not_managed(self) -> None:
        modes = {"web": {"mode": "external"}, "other": {"mode": "disabled"}}
        found = catalog(WEB, component("other"), component("third", depends_on=["web"]))
        assert names(select(found, config(components=modes))) == (["third"], ["web"], ["other"])

    def test_a_disabled_component_that_another_one_needs_is_refused_with_both_ways_out(
        self,
    ) -> None:
        settings = config(features={"monitoring": True}, components={"web": {"mode": "disabled"}})
        with pytest.raises(ConfigError) as caught:
            select(catalog(WEB, METRICS), settings)
        assert caught.value.code == "CTO-1320"
        assert caught.value.message == "metrics needs web, which is not to be installed"
        assert caught.value.hint == "Enable web, or set components.metrics.mode: disabled."

    @pytest.mark.parametrize("mode", ["disabled", "external"])
    def test_who_is_not_installed_needs_nobody(self, mode: str) -> None:
        modes = {"web": {"mode": "disabled"}, "metrics": {"mode": mode}}
        settings = config(features={"monitoring": True}, components=modes)
        assert names(select(catalog(WEB, METRICS), settings))[0] == []


def test_a_component_may_be_asked_for_by_one_value_of_a_field() -> None:
    one = component("one", required=False, when="tunneling.provider=ngrok")
    other = component("other", required=False, when="tunneling.provider=cloudflare")
    assert names(select(catalog(one, other), config(tunneling=_NGROK)))[0] == ["one"]
    assert names(select(catalog(one, other), config()))[0] == []


class TestWanted:
    def test_templates_see_configuration_cluster_and_the_size_of_the_profile(
        self, tmp_path: Path
    ) -> None:
        values = """
profile: "{{ profile }}"
name: "{{ config.platform.name }}"
monitoring: {{ features.monitoring }}
components: {{ components }}
cluster: "{{ cluster.nodes }} {{ cluster.kube_version }} {{ cluster.provider }}"
simulated: {{ cluster.simulated }}
"""
        settings = config(platform={"name": "acme"}, features={"monitoring": True})
        made = render(tmp_path, settings, values=values, base="standard")
        assert made.components[0].values == {
            "profile": "standard",
            "name": "acme",
            "monitoring": True,
            "components": ["web"],
            "cluster": "3 v1.34.4 existing",
            "simulated": False,
        }

    def test_values_of_the_configuration_count_more_than_the_templates(
        self, tmp_path: Path
    ) -> None:
        settings = config(components={"web": {"values": {"a": {"b": 2}}}})
        made = render(tmp_path, settings, values="a: {b: 1, c: 1}")
        assert made.components[0].values == {"a": {"b": 2, "c": 1}}

    def test_the_version_that_is_asked_for_must_be_the_one_that_was_found(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            render(tmp_path, config(components={"web": {"version": "2.0.0"}}))
        assert caught.value.code == "CTO-1320"
        assert "web.version is 2.0.0, the chart that was found is 1.0.0" in caught.value.message
        made = render(tmp_path, config(components={"web": {"version": "1.0.0"}}))
        assert made.components[0].chart.version == "1.0.0"

    def test_only_secrets_that_get_a_value_are_supplied(self, tmp_path: Path) -> None:
        secrets = [
            {"name": "hook", "keys": {"secret": "github.webhook_secret"}},
            {"name": "llm", "keys": {"*_KEY": "providers.*"}},
            {"name": "mail", "keys": {"password": "smtp.password"}},
        ]
        settings = config(
            github={"webhook_secret": {"secret": "mine", "key": "hook"}},
            providers={"anthropic": "planted-key"},
        )
        made = render(tmp_path, settings, supplied_secrets=secrets)
        assert made.components[0].supplied == {
            "hook": ("Opaque", {"secret": "github.webhook_secret"}),
            "llm": ("Opaque", {"*_KEY": "providers.*"}),
        }
        assert "planted" not in repr(made)

    def test_what_has_no_effect_yet_is_said(self, tmp_path: Path) -> None:
        settings = config(
            tunneling=_NGROK,
            ingress={"class_name": "traefik"},
        )
        assert [
            text.partition(" has no effect")[0] for text in render(tmp_path, settings).warnings
        ] == [
            "tunneling.provider ngrok",
            "ingress",
        ]
        unused = config(tunneling={"credentials": "planted"})
        (told,) = render(tmp_path, unused).warnings
        assert told == "tunneling.credentials has no effect: tunneling.provider is local"
        forwarding = {"url": "https://a.example.com", "forward": True}
        (told,) = render(tmp_path, config(tunneling=forwarding)).warnings
        assert told == "tunneling.forward has no effect yet: github.organization is not set"
        owned = {"tunneling": forwarding, "github": {"organization": "acme"}}
        assert render(tmp_path, config(**owned)).warnings == ()
        assert render(tmp_path, config()).warnings == ()

    def test_a_tunnel_does_not_go_with_a_network_without_a_way_out(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            render(tmp_path, config(air_gapped=True, tunneling=_NGROK))
        assert caught.value.code == "CTO-1320"
        assert "tunneling.provider ngrok opens a connection" in caught.value.message

    def test_steps_get_the_time_that_the_configuration_gives_them(self, tmp_path: Path) -> None:
        assert render(tmp_path, config()).step_timeout_s == 600
        slow = config(cluster={"step_timeout": "30m"})
        wish = render(tmp_path, slow)
        plan = install(wish, CLUSTER)
        assert {
            step.timeout_s for step in plan.steps if isinstance(step, ApplyRelease | WaitReady)
        } == {1800}

    def test_a_simulated_cluster_is_told_to_templates(self, tmp_path: Path) -> None:
        values = "replicas: {{ 0 if cluster.simulated else 1 }}"
        made = render(tmp_path, config(), values=values, observed=replace(CLUSTER, simulated=True))
        assert made.components[0].values == {"replicas": 0}
