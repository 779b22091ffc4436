"""A kubeconfig whose user acts as somebody else, and values that hardly fit, on an API server.

An account that may do nothing but act as `installer` installs: whatever succeeds was asked for as
that identity, by us and by helm alike. A policy refuses what lacks the rest of it.
"""

from __future__ import annotations

import base64
import json
import random
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cto.objects import ObjectRef, dump_yaml, load_yaml

from .conftest import SMALL, Lab
from .kubeconfigs import Kubeconfig, failure

INSTALLER = "installer@example.com"
IDENTITY: dict[str, Any] = {
    "as": INSTALLER,
    "as-groups": ["089", "installers"],
    "as-user-extra": {"example.com/reason": ["change 1", "change 2"]},
}
ACCOUNT = "system:serviceaccount:default:weak"
INSTALL = ("install", "--provider", "existing")
STATE = ObjectRef("v1", "Namespace", "", "cto-system")
RULES = f"""\
apiVersion: v1
kind: ServiceAccount
metadata: {{name: weak, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: acting}}
rules:
  - {{apiGroups: [""], resources: [users], resourceNames: [{INSTALLER}], verbs: [impersonate]}}
  - apiGroups: [""]
    resources: [groups]
    resourceNames: ["089", installers]
    verbs: [impersonate]
  - apiGroups: [authentication.k8s.io]
    resources: [userextras/example.com/reason]
    resourceNames: [change 1, change 2]
    verbs: [impersonate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: acting}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: acting}}
subjects: [{{kind: ServiceAccount, name: weak, namespace: default}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: installers}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: Group, name: installers}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: whole-identity}}
spec:
  matchConstraints:
    resourceRules:
      - {{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}}
  matchConditions:
    - {{name: installers, expression: "'installers' in request.userInfo.groups"}}
  validations:
    - expression: >-
        request.userInfo.username == '{INSTALLER}' && '089' in request.userInfo.groups &&
        request.userInfo.extra['example.com/reason'] == ['change 1', 'change 2']
      message: not the whole identity
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: whole-identity}}
spec: {{policyName: whole-identity, validationActions: [Deny]}}
"""
LINE = "the same words again and again, as dashboards have them"


@pytest.fixture(scope="module")
def ruled(vacant: Lab) -> Iterator[Lab]:
    vacant.kubectl("apply", "-f", "-", stdin=RULES)
    wait_for_policy(vacant)
    yield vacant
    vacant.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=RULES)


def wait_for_policy(lab: Lab) -> None:
    """A policy is in force some moments after it is there."""
    for _ in range(100):
        try:
            lab.kubectl(
                *("create", "configmap", "tried", "--namespace", "default", "--dry-run=server"),
                *("--as", "somebody", "--as-group", "installers"),
            )
        except AssertionError as error:
            if "not the whole identity" in str(error):
                return
    pytest.fail("the policy never came into force")


@pytest.fixture(scope="module")
def token(ruled: Lab) -> str:
    return ruled.kubectl("create", "token", "weak", "--namespace", "default").strip()


def large(lab: Lab, blob: Any) -> str:
    document = load_yaml(SMALL.read_text())
    document["components"]["controller"] = {"values": {"unused": blob}}
    file = lab.folder / "large.yaml"
    file.write_text(dump_yaml(document))
    return str(file)


@dataclass(frozen=True)
class Story:
    """An installation with 1.2 MB of values, and what came after it, as somebody else."""

    installed: dict[str, Any]
    again: dict[str, Any]
    status: dict[str, Any]
    config: str
    written_by: set[str]
    removed: dict[str, Any]


@pytest.fixture(scope="module")
def story(ruled: Lab, token: str) -> Story:
    lines = [f"{number}: {LINE}" for number in range(20_000)]
    config = large(ruled, lines)
    assert Path(config).stat().st_size > 1_200_000
    file = Kubeconfig(ruled, ruled.folder / "acting").with_token("weak", token, **IDENTITY)
    way = ("--kubeconfig", str(file))
    installed = ruled.data(*INSTALL, *way, "--config", config)
    again = ruled.data(*INSTALL, *way, "--config", config)
    shown = ruled.run("status", "--show-config", "--output", "json", *way).stdout
    status = ruled.data("status", *way)
    found = json.loads(
        ruled.kubectl(
            *("get", "deployments,secrets,configmaps", "--namespace", "cto", "-o", "json"),
            "--show-managed-fields",
        )
    )
    managers = {
        entry["manager"]
        for item in found["items"]
        for entry in item["metadata"].get("managedFields", ())
        if item["metadata"]["name"] != "kube-root-ca.crt"
    }
    return Story(installed, again, status, shown, managers, ruled.data("uninstall", "--yes", *way))


def test_whatever_is_asked_is_asked_as_the_one_that_the_kubeconfig_names(story: Story) -> None:
    assert story.installed["error"] is None
    assert sorted(story.installed["components"]) == ["controller"]
    # Both have written.
    assert {"helm", "cto"} & story.written_by
    assert story.removed["error"] is None
    assert story.removed["components"] == ["controller"]


def test_large_values_are_kept_compared_and_read_back_from_the_cluster_alone(story: Story) -> None:
    assert story.again["changes"] == []
    assert story.status["error"] is None
    assert f"19999: {LINE}" in story.config


def test_what_cannot_be_kept_is_told_before_anything_is_changed(vacant: Lab) -> None:
    noise = base64.b64encode(random.Random(1).randbytes(1_200_000)).decode()  # noqa: S311 - data
    error = failure(vacant, *INSTALL, "--config", large(vacant, noise), code=3)
    assert error["code"] == "CTO-1355"
    assert "the values of controller are too large: 1.5 MiB packed" in error["message"]
    assert vacant.cluster().get(ObjectRef("v1", "Namespace", "", "cto")) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"as": "root@example.com"}, 'users "root@example.com"'),
        (
            {
                "as-uid": "42",
                "as-groups": ["installers", "others"],
                "as-user-extra": {"Example.com/Reason": ["3"], "scopes": ["view", "edit"]},
            },
            'groups "others"',
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_identity_that_may_not_be_taken_is_named_with_the_role_that_would_do(
    ruled: Lab, token: str, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    user = {**IDENTITY, **changes}
    file = str(Kubeconfig(ruled, tmp_path / "config").with_token("weak", token, **user))
    error = failure(ruled, "plan", *INSTALL, "--kubeconfig", file, code=4)
    assert error["code"] == "CTO-1400"
    told = error["details"]
    assert f"{ACCOUNT} may not act as {user['as']}" in told
    assert named in told
    lines = told.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.strip() == "apiVersion: v1")
    role = textwrap.dedent("\n".join(lines[begin:]))
    ruled.kubectl("apply", "-f", "-", stdin=role)
    try:
        # Whoever that is: the next request gets past the question who asks.
        done = ruled.run("status", "--kubeconfig", file, code=9)
        assert "impersonate" not in done.stderr
    finally:
        ruled.kubectl("delete", "-f", "-", stdin=role)


def test_an_administrator_who_acts_as_nobody_has_the_rights_of_nobody(
    ruled: Lab, tmp_path: Path
) -> None:
    file = Kubeconfig(ruled, tmp_path / "config").as_administrator(**{"as": "nobody@example.com"})
    error = failure(ruled, *INSTALL, "--kubeconfig", str(file), code=4)
    assert (
        "permissions are missing: the API server knows you as nobody@example.com"
        in (error["details"])
    )
    assert ruled.cluster().get(STATE) is None
