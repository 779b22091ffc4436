"""The way in by names: an Ingress for each component that has one, and a certificate."""

from __future__ import annotations

from typing import Any

import pytest

from cto.config.model import Config
from cto.errors import ConfigError
from cto.plan import labels
from cto.plan.network import brings_class, class_of, host_of, is_own, ways
from cto.plan.observed import Observed, ReleaseRecord
from fakes.components import component

ACCESS = {"service": "web-server", "port": 80, "subdomain": "web"}
PAIR = {"certificate": "planted", "private_key": "planted"}


def config(kind: str = "ingress", **ingress: Any) -> Config:
    platform = {"ingress_type": kind, "domain": "example.com"}
    return Config.model_validate({"platform": platform, "ingress": ingress})


@pytest.mark.parametrize(
    ("given", "own", "annotations"),
    [
        ({}, True, {}),
        (PAIR, False, {}),
        ({"issuer": "lets"}, False, {"cert-manager.io/cluster-issuer": "lets"}),
        ({"issuer": "lets", **PAIR}, False, {}),
    ],
)
def test_whoever_signs_the_certificate_has_one_place(
    given: dict[str, str], annotations: dict[str, str], *, own: bool
) -> None:
    settings = config(**given)
    (made,) = ways(component("web", access=ACCESS), settings, "")
    assert is_own(settings.public()) == own
    assert made["metadata"]["annotations"] == annotations
    assert made["spec"]["tls"] == [{"secretName": "ingress-tls", "hosts": ["web.example.com"]}]
    assert "ingressClassName" not in made["spec"]
    assert "planted" not in str(made)


@pytest.mark.parametrize(
    ("more", "path"),
    [({}, ("/", "Prefix")), ({"path": "/hook", "annotations": {"a": "b"}}, ("/hook", "Prefix"))],
)
def test_it_leads_to_the_service(more: dict[str, Any], path: tuple[str, str]) -> None:
    (made,) = ways(component("web", access={**ACCESS, **more}), config(), "nginx")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("web-server", "web-ns")
    assert made["metadata"]["annotations"] == more.get("annotations", {})
    assert made["spec"]["ingressClassName"] == "nginx"
    (rule,) = made["spec"]["rules"]
    (way,) = rule["http"]["paths"]
    assert (rule["host"], way["path"], way["pathType"]) == ("web.example.com", *path)
    assert way["backend"] == {"service": {"name": "web-server", "port": {"number": 80}}}


@pytest.mark.parametrize(
    ("settings", "access"),
    [
        (config("nodeport"), ACCESS),
        (config("none"), ACCESS),
        (config(), {**ACCESS, "subdomain": ""}),
        (config(), {**ACCESS, "when": "github.organization"}),
        (config(), None),
    ],
)
def test_without_a_name_there_is_none(settings: Config, access: dict[str, Any] | None) -> None:
    web = component("web", access=access)
    assert (host_of(web, settings), ways(web, settings, "")) == ("", ())


PROXY = component("proxy", required=False, ingress_class="proxy")
OURS = ReleaseRecord(
    name="proxy",
    namespace="proxy-ns",
    revision=1,
    status="deployed",
    labels={labels.MANAGED: "true"},
)


def cluster(classes: dict[str, bool], *, ours: bool = False) -> Observed:
    records = {"proxy-ns/proxy": OURS} if ours else {}
    return Observed(kube_version="v1.34.4", ingress_classes=classes, records=records)


@pytest.mark.parametrize(
    ("given", "classes", "ours", "taken", "named"),
    [
        ({}, {}, False, True, "proxy"),
        ({}, {"nginx": False}, False, False, "nginx"),
        # The API server writes the default one into objects that name none.
        ({}, {"nginx": False, "haproxy": True}, False, False, ""),
        # Who has it keeps it.
        ({}, {"nginx": True}, True, True, "proxy"),
        ({"class_name": "nginx"}, {"nginx": False, "haproxy": False}, False, False, "nginx"),
        ({"class_name": "nginx"}, {}, False, False, "nginx"),
        ({"class_name": "proxy"}, {}, False, True, "proxy"),
        ({"class_name": "proxy"}, {"proxy": False}, False, False, "proxy"),
    ],
)
def test_an_ingress_controller_is_added_where_the_cluster_has_none(
    given: dict[str, str], classes: dict[str, bool], named: str, *, ours: bool, taken: bool
) -> None:
    settings, seen = config(**given), cluster(classes, ours=ours)
    assert brings_class(PROXY, settings, seen) == taken
    assert class_of(settings, [PROXY] if taken else [], seen) == named
    assert not brings_class(PROXY, config("nodeport"), seen)


@pytest.mark.parametrize("mode", ["managed", "external", "disabled"])
def test_a_mode_that_is_given_counts_whatever_is_there(mode: str) -> None:
    text = {**config().public(), "components": {"proxy": {"mode": mode}}}
    assert brings_class(PROXY, Config.model_validate(text), cluster({"nginx": True}))


def test_of_several_classes_one_has_to_be_named() -> None:
    with pytest.raises(ConfigError, match="classes haproxy, nginx, and no default one") as caught:
        class_of(config(), [], cluster({"nginx": False, "haproxy": False}))
    assert (caught.value.code, caught.value.hint) == ("CTO-1320", "Name one: ingress.class_name.")
