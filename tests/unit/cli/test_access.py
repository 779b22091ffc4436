"""`cto access`: where the interfaces are, what they answer, and passwords for eyes only."""

from __future__ import annotations

import base64
import re

import pytest

from cto.cli.output import Terminal
from cto.objects import ObjectRef
from fakes.desk import API, Desk, node

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "web"}}
SECRET = ObjectRef("v1", "Secret", "web", "web-admin")


@pytest.fixture
def installed(desk: Desk) -> Desk:
    assert desk.cto("install").exit_code == 0
    desk.cluster.add(SERVICE)
    return desk


def password(desk: Desk) -> str:
    secret = desk.cluster.peek(SECRET)
    assert secret is not None
    return base64.b64decode(secret["data"]["password"]).decode()


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, "it answers"), (401, "it answers"), (503, "it does not answer now (503)")],
)
def test_the_way_is_shown_with_what_answers_there(installed: Desk, status: int, told: str) -> None:
    installed.cluster.probes["web", "web"] = status
    result = installed.cto("access")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Web: http://localhost:")
    assert any("get secret web-admin" in line for line in lines)
    assert lines[-1] == f"  {told}"
    assert password(installed) not in result.output
    (row,) = installed.document("access", "web")["data"]["access"]
    assert (row["component"], row["answer"]) == ("web", told)


def test_on_simulated_nodes_there_is_no_way_to_anything(installed: Desk) -> None:
    installed.cluster.remove(ObjectRef("v1", "Node", "", "one"))
    installed.cluster.add(node("one", simulated=True))
    result = installed.cto("access")
    assert result.exit_code == 0
    assert "no program runs on simulated nodes" in result.stdout
    assert "port-forward" not in result.stdout
    assert installed.document("access")["data"]["access"] == []


def test_two_ways_have_two_ports(desk: Desk) -> None:
    desk.component(API.rstrip("\n") + "\naccess: {service: api, port: 80}\n")
    assert desk.cto("install").exit_code == 0
    ports = re.findall(r"http://localhost:(\d+)", desk.cto("access").stdout)
    assert len(ports) == len({*ports}) == 2


def test_a_password_is_shown_on_a_terminal_only(
    installed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = installed.cto("access", "web", "--show-password")
    assert refused.exit_code == 2
    assert "this is no terminal" in refused.stderr
    assert password(installed) not in refused.output
    monkeypatch.setattr(Terminal, "is_kept", False)
    assert installed.cto("access", "web", "--show-password").stdout == f"{password(installed)}\n"


def test_a_password_without_a_component_is_refused(installed: Desk) -> None:
    result = installed.cto("access", "--show-password")
    assert result.exit_code == 2
    assert "one password at a time" in result.stderr


def test_a_password_that_is_gone_is_told(installed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "is_kept", False)
    installed.cluster.remove(SECRET)
    result = installed.cto("access", "web", "--show-password")
    assert result.exit_code == 2
    assert "web: there is no password to show" in result.stderr


def test_a_name_that_is_not_there_is_told_with_those_that_are(installed: Desk) -> None:
    result = installed.cto("access", "grafana")
    assert result.exit_code == 2
    assert "There are: web." in result.stderr


def test_what_is_not_installed_is_nowhere(desk: Desk) -> None:
    result = desk.cto("access")
    assert result.exit_code == 9
    assert "CTO-1901" in result.stderr


NAMED = API.rstrip("\n") + "\naccess: {service: api, port: 80, subdomain: api}\n"
INGRESS = {"CTO_PLATFORM__INGRESS_TYPE": "ingress", "CTO_PLATFORM__DOMAIN": "example.com"}
AUTHORITY = ObjectRef("v1", "Secret", "cto-system", "ingress-authority")
SERVER = ObjectRef("v1", "Secret", "api", "ingress-tls")


def test_names_have_certificates_of_one_authority_whose_key_nobody_sees(desk: Desk) -> None:
    desk.env |= INGRESS
    desk.component(NAMED)
    first = desk.cto("install", "--debug")
    assert first.exit_code == 0, first.output
    assert "`cto access --ca`" in first.stdout
    made = {ref: (desk.cluster.peek(ref) or {})["data"] for ref in (AUTHORITY, SERVER)}
    shown = desk.cto("access", "--ca")
    assert shown.stdout == base64.b64decode(made[AUTHORITY]["tls.crt"]).decode()
    assert desk.document("access", "--ca")["data"]["ca"] == shown.stdout
    ways = {row["component"]: row["url"] for row in desk.document("access")["data"]["access"]}
    assert ways["api"] == "https://api.example.com"
    again = desk.document("install")
    assert again["data"]["changes"] == []
    assert {ref: (desk.cluster.peek(ref) or {})["data"] for ref in made} == made
    others = [str(item) for ref, item in desk.cluster.everything().items() if ref not in made]
    told = [first.output, shown.output, str(again), *others]
    for data in made.values():
        key = base64.b64decode(data["tls.key"]).decode().splitlines()[1]
        assert not any(key in text or data["tls.key"] in text for text in told)
    assert desk.cto("uninstall", "--yes").exit_code == 0
    assert desk.cluster.peek(AUTHORITY) is None


@pytest.mark.parametrize("given", [{"ISSUER": "lets"}, {"CERTIFICATE": "c", "PRIVATE_KEY": "k"}])
def test_who_brings_certificates_has_no_other_authority(desk: Desk, given: dict[str, str]) -> None:
    desk.env |= INGRESS | {f"CTO_INGRESS__{name}": value for name, value in given.items()}
    desk.component(NAMED)
    installed = desk.cto("install")
    assert installed.exit_code == 0
    assert "--ca" not in installed.stdout
    assert desk.cluster.peek(AUTHORITY) is None
    result = desk.cto("access", "--ca")
    assert result.exit_code == 2
    assert "no authority of its own" in result.stderr
