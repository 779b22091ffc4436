"""What a real API server would refuse, told by the plan at once and with whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import SMALL, Lab
from .kubeconfigs import failure

PLAN = ("plan", "install", "--provider", "existing", "--config", str(SMALL))
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata: {name: cto, labels: {app.kubernetes.io/managed-by: cto}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: wide, namespace: cto}
spec: {limits: [{type: Container, min: {cpu: "3"}, max: {cpu: "4"}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: small, namespace: cto}
spec: {hard: {pods: "0", services: "9"}}
"""
WEBHOOK = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: dead}
webhooks:
  - name: dead.example.com
    admissionReviewVersions: [v1]
    sideEffects: None
    clientConfig: {service: {name: gone, namespace: operators}}
    rules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [namespaces, services]
"""
AUTOSCALER = ("configmap", "cluster-autoscaler-status", "--namespace", "kube-system")


@pytest.fixture
def narrow(vacant: Lab) -> Iterator[Lab]:
    """A cluster without room, with limits, and with a webhook that does not answer."""
    vacant.kubectl("apply", "-f", "-", stdin=NAMESPACE)
    vacant.kubectl("apply", "-f", "-", stdin=WEBHOOK)
    vacant.kubectl("cordon", "--selector", "type=kwok")
    yield vacant
    vacant.kubectl("uncordon", "--selector", "type=kwok")
    vacant.kubectl("delete", "-f", "-", stdin=f"{WEBHOOK}---\n{NAMESPACE}")


def checks(lab: Lab, *more: str, code: int) -> dict[str, dict[str, Any]]:
    document = json.loads(lab.run(*PLAN, *more, "--output", "json", code=code).stdout)
    return {check["name"]: check for check in document["data"]["preflight"]}


def test_what_would_be_refused_is_told_at_once_and_with_whose_it_is(narrow: Lab) -> None:
    told = failure(narrow, *PLAN, code=4)["details"]
    assert "ValidatingWebhookConfiguration dead (webhook dead.example.com) refuses " in told
    assert "its Service gone in operators is not there" in told
    assert "kubectl delete validatingwebhookconfiguration dead" in told
    assert "The LimitRange of namespace cto is too narrow for the platform's pods" in told
    assert "kubectl describe resourcequota -n NAMESPACE, of cto" in told
    assert "Room: 0 usable nodes" in told
    # Nobody's policy is blamed.
    assert "Admission policies" not in told


def test_a_cluster_that_grows_is_warned_of_and_what_is_left_out_ends_nothing(narrow: Lab) -> None:
    narrow.kubectl("create", *AUTOSCALER)
    try:
        room = checks(narrow, code=4)["room"]
    finally:
        narrow.kubectl("delete", *AUTOSCALER)
    assert room["status"] == "warning"
    assert "cluster-autoscaler adds nodes on demand" in room["message"]
    left_out = ("room", "quotas", "pods", "webhooks")
    skipped = [argument for name in left_out for argument in ("--skip-preflight", name)]
    found = checks(narrow, *skipped, code=0)
    assert {name for name, check in found.items() if check["status"] == "skipped"} >= set(left_out)
