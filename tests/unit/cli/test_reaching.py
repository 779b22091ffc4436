"""Where the user interfaces are: rendered, planned and told are the ports that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cto.cli.reaching import access_lines, adapted, reachable, url_of
from cto.objects import ObjectRef
from cto.ports import INGRESS_NODE_PORT, Reach, ReleaseSpec
from fakes.components import component, definition
from fakes.desk import Desk
from fakes.provider import FakeProvider

UI = definition(
    "ui",
    """
access: {service: ui, port: 80, node_port: 30080, host_port: 8080, subdomain: ui}
""",
    title="UI",
)
VALUES = """
data: {url: "http://{{ cluster.localhost.ui }}", https: "x{{ cluster.https_port }}"}
"""
RELEASE = ObjectRef("apps/v1", "Deployment", "ui", "ui")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.component(UI, {"values.yaml.j2": VALUES})
    made.kind = FakeProvider(name="kind", kubeconfig=made.kubeconfig)
    return made


def on_kind(desk: Desk, ports: dict[int, int]) -> FakeProvider:
    assert isinstance(desk.kind, FakeProvider)
    desk.kind.ports = ports
    return desk.kind


KIND = ("--provider", "kind")


def installed(desk: Desk) -> dict[str, Any]:
    """Install; return the values that the release got."""
    seen: list[ReleaseSpec] = []
    desk.releases.during_upgrade = seen.append
    result = desk.cto("install", *KIND, existing=False)
    assert result.exit_code == 0, result.output
    return dict(seen[0].values["data"])


def test_a_port_that_moved_is_what_is_rendered_and_told(desk: Desk) -> None:
    on_kind(desk, {30080: 8081})
    assert installed(desk)["url"] == "http://localhost:8081"
    result = desk.cto("install", *KIND, existing=False)
    assert "UI: http://localhost:8081\n" in result.stdout
    assert "  UI: http://localhost:8081\n" in desk.cto("status", *KIND, existing=False).stdout


@pytest.mark.parametrize("ports", [{30080: 8080}, {}])
def test_the_usual_port_and_an_unknown_one_render_the_same(
    desk: Desk, ports: dict[int, int]
) -> None:
    on_kind(desk, ports)
    assert installed(desk) == {"url": "http://localhost:8080", "https": "x"}


def test_the_https_port_of_an_ingress_is_rendered_where_it_moved(desk: Desk) -> None:
    on_kind(desk, {30080: 80, INGRESS_NODE_PORT: 8443})
    assert installed(desk) == {"url": "http://localhost", "https": "x:8443"}


def test_nothing_is_upgraded_as_long_as_the_ports_stay(desk: Desk) -> None:
    on_kind(desk, {30080: 8081})
    installed(desk)
    assert "nothing had to be changed" in desk.cto("install", *KIND, existing=False).stdout


def test_a_cluster_of_ours_that_is_named_by_its_context_keeps_its_ports(desk: Desk) -> None:
    """Who names the context knows nothing of Docker."""
    on_kind(desk, {30080: 8081})
    installed(desk)
    result = desk.cto("install", "--context", "test")
    assert "nothing had to be changed" in result.stdout, result.output
    assert "UI: http://localhost:8081\n" in desk.cto("status", "--context", "test").stdout


def test_the_plan_of_a_cluster_to_be_made_shows_the_ports_that_it_would_get(desk: Desk) -> None:
    desk.kind = FakeProvider(name="kind", ready=False)
    on_kind(desk, {30080: 8081, 31443: 443})
    result = desk.cto("plan", "install", *KIND, existing=False)
    text = "+ Make the kind cluster (there is none; it gets ports 443, 8081 of localhost)"
    assert text in result.stdout


def test_status_names_no_place_where_nothing_runs(desk: Desk) -> None:
    desk.kwok = FakeProvider(name="kwok", simulated=True, kubeconfig=desk.kubeconfig)
    node = desk.cluster.peek(ObjectRef("v1", "Node", "", "one"))
    assert node
    node["metadata"]["annotations"] = {"kwok.x-k8s.io/node": "fake"}
    desk.cluster.add(node)
    desk.cto("install", "--provider", "kwok", existing=False)
    document = desk.document("status", "--provider", "kwok", existing=False)
    assert document["data"]["access"] == []


def test_an_address_that_is_proposed_is_free_on_this_machine(desk: Desk) -> None:
    desk.taken = {8080, 8081}
    result = desk.cto("install")
    assert "UI: http://localhost:8082 after" in result.stdout
    assert "port-forward svc/ui 8082:80" in result.stdout


def test_in_a_container_nobody_knows_what_is_free_and_that_is_said(desk: Desk) -> None:
    (desk.machine.root / ".dockerenv").touch()
    desk.taken = {8080}
    result = desk.cto("install")
    assert "port-forward svc/ui 8080:80" in result.stdout
    assert "A number before a colon that is taken on your machine may be any other." in (
        result.stdout
    )


# the lines themselves


def item(name: str, **access: Any) -> Any:
    return component(name, access={"service": name, "port": 80, **access})


def ports(lines: list[str]) -> list[str]:
    return [line.split()[-1] for line in lines if "port-forward" in line]


def test_the_usual_port_of_a_component_is_kept_for_it() -> None:
    """What it takes for its own address is the one where it is found."""
    found = [item("api"), item("ui", host_port=8080), item("graphs", host_port=3000)]
    assert ports(access_lines(found, Reach(context="c"))) == ["8081:80", "8080:80", "3000:80"]


def test_no_port_is_proposed_twice_or_where_somebody_listens() -> None:
    found = [item("api"), item("ui", host_port=8080), item("web", host_port=80)]
    busy = {8080, 8082}
    lines = access_lines(found, Reach(context="c"), is_free=lambda port: port not in busy)
    assert ports(lines) == ["8081:80", "8083:80", "8084:80"]


def test_a_port_that_needs_privileges_is_proposed_higher() -> None:
    assert ports(access_lines([item("web", host_port=443)], Reach(context="c"))) == ["8443:80"]


@pytest.mark.parametrize(
    ("https", "url"), [(443, "https://ui.example.com/x"), (8443, "https://ui.example.com:8443/x")]
)
def test_below_a_domain_the_port_of_the_ingress_counts(https: int, url: str) -> None:
    reach = Reach(context="c", ports={INGRESS_NODE_PORT: https}, domain="example.com")
    access = item("ui", subdomain="ui", path="/x").access
    assert url_of(access, reach) == url


@pytest.mark.parametrize(
    ("config", "node_ports", "domain"),
    [
        ({}, True, ""),
        ({"platform": None}, True, ""),
        ({"platform": "damaged"}, True, ""),
        ({"platform": {"ingress_type": "unheard of"}}, True, ""),
        ({"platform": {"ingress_type": "nodeport", "domain": "a.b"}}, True, ""),
        ({"platform": {"ingress_type": "none"}}, False, ""),
        ({"platform": {"ingress_type": "ingress", "domain": "a.b"}}, False, "a.b"),
    ],
)
def test_the_way_is_that_of_the_configuration(
    config: dict[str, Any], domain: str, *, node_ports: bool
) -> None:
    reach = adapted(Reach(context="c"), config)
    assert (reach.node_ports, reach.domain) == (node_ports, domain)


@pytest.mark.parametrize(
    ("config", "there"),
    [
        ({}, False),
        ({"github": {"organization": None}}, False),
        ({"github": "damaged"}, False),
        ({"github": {"organization": "acme"}}, True),
    ],
)
def test_what_listens_only_with_a_setting_is_reached_only_then(
    config: dict[str, Any], *, there: bool
) -> None:
    found = (item("hook", when="github.organization"), component("plain"))
    assert reachable(found, config) == (found[:1] if there else ())
