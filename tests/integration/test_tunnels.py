"""What brings webhooks in, installed on an API server: Secret, configuration, rights."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cto.objects import dump_yaml, load_yaml

from .conftest import Lab

pytestmark = pytest.mark.slow

GITHUB = {"organization": "acme", "repository": "shop"}
NGROK = {"provider": "ngrok", "url": "https://acme.ngrok.app", "credentials": "planted-authtoken"}
FORWARD = {"forward": True, "url": "https://hooks.example.com"}


def install(lab: Lab, **tunneling: Any) -> dict[str, Any]:
    file = lab.folder / "tunnel.yaml"
    file.write_text(dump_yaml({"github": GITHUB, "tunneling": tunneling}))
    return lab.install("minimal", "--config", str(file))


def test_a_tunnel_and_then_the_pod_that_forwards(vacant: Lab) -> None:
    install(vacant, **NGROK)
    secret = json.loads(vacant.kubectl("get", "secret", "ngrok", "-n", "ngrok", "-o", "json"))
    assert base64.b64decode(secret["data"]["authtoken"]).decode() == "planted-authtoken"
    text = vacant.kubectl("get", "configmap", "ngrok", "-n", "ngrok", "-o", "jsonpath={.data}")
    (endpoint,) = load_yaml(json.loads(text)["ngrok.yml"])["endpoints"]
    assert endpoint["url"] == "https://acme.ngrok.app"
    assert endpoint["upstream"] == {"url": "http://github-webhook.argo-events.svc:12000"}
    assert "planted" not in vacant.kubectl("get", "configmaps", "-A", "-o", "json")
    assert "planted" not in vacant.kubectl("get", "deployments", "-n", "ngrok", "-o", "json")
    install(vacant, **FORWARD)
    account = "--as=system:serviceaccount:cto:github-forward"
    for words, may in (
        (("get", "secret/github-app-webhooks", "-n", "argo-events"), "yes"),
        (("get", "secret/github-webhook-secret", "-n", "argo-events"), "no"),
        (("get", "secret/github-app-cto-agent-rex", "-n", "cto"), "yes"),
        (("get", "secret/cto-secrets", "-n", "cto"), "no"),
        (("list", "secrets", "-n", "cto"), "no"),
        (
            (
                "create",
                "services/http:github-webhook:12000",
                "--subresource=proxy",
                "-n",
                "argo-events",
            ),
            "yes",
        ),
        (("create", "services/http:other:12000", "--subresource=proxy", "-n", "argo-events"), "no"),
        (("update", "configmap/github-deliveries", "-n", "cto"), "yes"),
        (("update", "configmap/other", "-n", "cto"), "no"),
    ):
        argv = ["auth", "can-i", *words, account]
        try:
            said = vacant.kubectl(*argv)
        except AssertionError:
            said = "no"
        assert said.split()[-1] == may, words
