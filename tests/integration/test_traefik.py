"""The real Traefik, as a process, with the arguments and the rights that the platform gives it.

Nodes are simulated: where the Service of Argo CD leads is a web server of the test.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

import pytest

from cto.objects import dump_yaml, load_yaml
from fakes.programs import program
from fakes.webserver import WebServer, answer, free_port

from .conftest import Lab

pytestmark = pytest.mark.slow

CONFIG = """\
platform:
  ingress_type: ingress
  domain: example.test
  access: {github_org: acme, client_id: Ov23li, client_secret: planted-oauth, admins: [ops]}
"""
HOST = "argocd.example.test"
LATE_S = 30.0
CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "nginx"},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}


@pytest.fixture(scope="module")
def installed(vacant: Lab) -> Lab:
    program("traefik")
    file = vacant.folder / "ingress.yaml"
    file.write_text(CONFIG)
    vacant.install("minimal", "--config", str(file))
    return vacant


def own_address() -> str:
    """Return an address of this machine that a Service may lead to: none of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        found: str = probe.getsockname()[0]
        return found
    pytest.skip("this machine has no address but loopback")


@pytest.fixture
def page(installed: Lab) -> Iterator[WebServer]:
    """Let the Service of Argo CD lead to a page."""
    address = own_address()
    kubectl = partial(installed.kubectl, "-n", "argocd")
    server = WebServer(address=address)
    server.on("GET", "/", answer(200, b"a page"))
    with server:
        gone = json.dumps([{"op": "remove", "path": "/spec/selector"}])
        kubectl("patch", "service", "argocd-server", "--type=json", "-p", gone)
        label = "kubernetes.io/service-name=argocd-server"
        kubectl("delete", "endpointslice", "-l", label)
        kubectl("delete", "endpoints", "argocd-server", "--ignore-not-found")
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "page",
                "labels": {"kubernetes.io/service-name": "argocd-server"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": server.port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        }
        kubectl("apply", "-f", "-", stdin=json.dumps(slice_))
        yield server


@pytest.fixture
def traefik(installed: Lab, tmp_path: Path) -> Iterator[dict[str, int]]:
    """Run it; return the ports of its entry points."""
    found = json.loads(
        installed.kubectl("get", "deployment", "traefik", "-n", "traefik", "-o", "json")
    )
    pod = found["spec"]["template"]["spec"]
    ports = {name: free_port() for name in ("traefik", "web", "websecure")}
    words = []
    for word in pod["containers"][0]["args"]:
        entry = re.fullmatch(r"--entrypoints\.(\w+)\.address=:\d+", word)
        words.append(
            f"--entrypoints.{entry[1]}.address=127.0.0.1:{ports[entry[1]]}" if entry else word
        )
    account = pod["serviceAccountName"]
    token = installed.kubectl("create", "token", account, "-n", "traefik").strip()
    kubeconfig = load_yaml((installed.folder / "kubeconfig").read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(dump_yaml(kubeconfig))
    with (tmp_path / "log").open("wb") as log:
        made = subprocess.Popen(
            [program("traefik"), *words],
            env={"KUBECONFIG": str(tmp_path / "kubeconfig")},
            stdout=log,
            stderr=log,
        )
    try:
        yield ports
    finally:
        made.kill()
        made.wait()
    told = (tmp_path / "log").read_text()
    assert "forbidden" not in told
    assert '"level":"error"' not in told, told


def asked(lab: Lab, port: int) -> tuple[int, bytes]:
    """Ask as a browser does that trusts the platform's authority."""
    trust = ssl.create_default_context(cadata=lab.run("access", "--ca").stdout)
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with raw, trust.wrap_socket(raw, server_hostname=HOST) as line:
        line.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        answer = HTTPResponse(line)
        answer.begin()
        return answer.status, answer.read()


def test_a_page_comes_by_its_name_with_a_certificate_of_the_platform_s_authority(
    installed: Lab, page: WebServer, traefik: dict[str, int]
) -> None:
    end, told = time.monotonic() + LATE_S, ""
    while told != "(200, b'a page')":
        assert time.monotonic() < end, told
        time.sleep(0.2)
        try:
            told = str(asked(installed, traefik["websecure"]))
        except OSError as error:
            told = str(error)


def test_dex_and_the_user_interfaces_know_the_same_secrets_and_authority(installed: Lab) -> None:
    def data(place: str, name: str) -> dict[str, str]:
        found = installed.kubectl("get", "secret", name, "-n", place, "-o", "json")
        return {k: base64.b64decode(v).decode() for k, v in json.loads(found)["data"].items()}

    known = data("dex", "dex-clients")
    assert data("dex", "dex-github") == {"client-secret": "planted-oauth"}
    assert data("argocd", "dex-client") == {"secret": known["argocd"]}
    assert data("argo", "dex-client") == {"id": "argo-workflows", "secret": known["argo-workflows"]}
    told = installed.run("access", "--ca").stdout
    assert all(data(place, "ingress-tls")["ca.crt"] in told for place in ("argocd", "argo"))
    # Argo CD looks a Secret's name up among those that have its label only.
    labelled = ("-l", "app.kubernetes.io/part-of=argocd", "-o", "name")
    assert "secret/dex-client" in installed.kubectl("get", "secret", "-n", "argocd", *labelled)
    host = installed.kubectl("get", "ingress", "dex", "-n", "dex", "-o", "jsonpath={..host}")
    assert host == "dex.example.test"


def test_another_class_keeps_it_and_a_new_platform_takes_that(installed: Lab) -> None:
    """Who has it keeps it; where another one was first, it is not installed."""
    installed.kubectl("apply", "-f", "-", stdin=json.dumps(CLASS))
    file = str(installed.folder / "ingress.yaml")
    assert not installed.install("minimal", "--config", file)["changes"]
    installed.run("uninstall", "--yes", "--delete-data")
    made = installed.install("minimal", "--config", file)
    assert "traefik" not in made["components"]
    shown = installed.kubectl(
        "get", "ingress", "-A", "-o", "jsonpath={.items[*].spec.ingressClassName}"
    )
    assert {*shown.split()} == {"nginx"}
