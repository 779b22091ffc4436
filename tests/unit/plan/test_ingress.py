"""The way in by names: an Ingress for each component that has one, and a certificate."""

from __future__ import annotations

from typing import Any

import pytest

from cto.config.model import Config
from cto.plan.ingress import host_of, is_own, ways
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
    [({}, ("/", "Prefix")), ({"path": "/hook", "annotations": {"a": "b"}}, ("/hook", "Exact"))],
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
        (config(), None),
    ],
)
def test_without_a_name_there_is_none(settings: Config, access: dict[str, Any] | None) -> None:
    web = component("web", access=access)
    assert (host_of(web, settings), ways(web, settings, "")) == ("", ())
