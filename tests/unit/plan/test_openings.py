"""Openings of the network, as policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cto.plan.network import policies
from cto.render import Renderer
from fakes.components import component

WEB = component(
    "web",
    network={
        "server": {
            "pods": {"app": "web"},
            "in": [{"ports": [80], "peers": ["metrics/scraper", "jobs"], "why": "pages"}],
            "out": [
                {"peers": ["api"], "why": "objects"},
                {"ports": ["port if on else 0"], "peers": ["anywhere"], "why": "mails"},
            ],
        },
        "jobs": {
            "pods": {"job": "*"},
            "out": [
                {"ports": [443], "peers": ["internet"], "why": "downloads"},
                {"peers": ["agent_networks"], "why": "models"},
            ],
        },
    },
)
METRICS = component("metrics", network={"scraper": {"pods": {"app": "metrics"}}})
SERVER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web-ns"}},
    "podSelector": {"matchLabels": {"app": "web"}},
}
JOBS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web-ns"}},
    "podSelector": {"matchExpressions": [{"key": "job", "operator": "Exists"}]},
}
SCRAPER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "metrics-ns"}},
    "podSelector": {"matchLabels": {"app": "metrics"}},
}
API = {"ports": [{"protocol": "TCP", "port": port} for port in (443, 6443, 8443, 16443)]}
PAGES = [{"protocol": "TCP", "port": 80}]


def specs(
    *managed: Any, external: Any = (), on: bool = False, networks: Sequence[str] = ()
) -> dict[str, Any]:
    renderer = Renderer({"port": 25, "on": on}, env={})
    renderer._context |= {"profile": "minimal", "features": {"high_availability": False}}
    made = [
        item for one in managed for item in policies(one, managed, external, renderer, networks)
    ]
    return {item["metadata"]["name"]: item["spec"] for item in made}


def test_all_is_closed_and_what_is_let_in_is_open_on_both_sides() -> None:
    made = specs(WEB, METRICS)
    both = ["Ingress", "Egress"]
    assert made["cto-web"] == {"policyTypes": both, "podSelector": {}}
    assert made["cto-web-server"]["ingress"] == [{"from": [SCRAPER, JOBS], "ports": PAGES}]
    assert made["cto-web-server"]["egress"][1:] == [API]
    assert made["cto-web-jobs"]["podSelector"] == JOBS["podSelector"]
    assert made["cto-web-jobs"]["ingress"] == []
    assert made["cto-web-jobs"]["egress"][2] == {"to": [SERVER], "ports": PAGES}
    assert made["cto-metrics-scraper"]["egress"][1:] == [{"to": [SERVER], "ports": PAGES}]
    assert made["cto-metrics-scraper"]["policyTypes"] == both


def test_who_is_not_there_is_let_in_nowhere() -> None:
    assert specs(WEB)["cto-web-server"]["ingress"] == [{"from": [JOBS], "ports": PAGES}]


def test_pods_of_the_users_own_component_may_be_anywhere() -> None:
    let_in = specs(WEB, external=[METRICS])["cto-web-server"]
    reaching = specs(METRICS, external=[WEB])["cto-metrics-scraper"]
    assert let_in["ingress"] == reaching["egress"][1:] == [{"ports": PAGES}]


@pytest.mark.parametrize(("on", "ports"), [(True, [25]), (False, [])])
def test_a_port_that_is_nought_is_closed(ports: list[int], *, on: bool) -> None:
    mails = specs(WEB, on=on)["cto-web-server"]["egress"][2:]
    assert mails == [{"ports": [{"protocol": "TCP", "port": port}]} for port in ports]


def test_networks_of_the_configuration_are_open_at_every_port() -> None:
    jobs = specs(WEB, networks=["10.1.2.0/24"])["cto-web-jobs"]
    assert jobs["egress"][2:-1] == [{"to": [{"ipBlock": {"cidr": "10.1.2.0/24"}}]}]
