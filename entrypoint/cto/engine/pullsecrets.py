"""Pull secrets: what nodes log in with at the registry that images come from.

A pod pulls with the Secrets that it names itself, or else with those of its account. Manifests get
theirs when they are rendered; pods that a program makes under the default account get it here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cto.objects import Manifest, ObjectRef
from cto.plan import labels
from cto.plan.steps import RemovePullSecret, SupplyPullSecret
from cto.ports import Cluster

_TYPE = "kubernetes.io/dockerconfigjson"
_KEY = ".dockerconfigjson"
# What Docker calls its own registry in such files, and kubelet after it.
_ADDRESSES = {"docker.io": "https://index.docker.io/v1/"}


def supply(cluster: Cluster, step: SupplyPullSecret, password: str) -> str:
    """Write the Secret if it is not there or says something else; return what was done."""
    wanted = _secret(step, password)
    found = cluster.get(_ref(step))
    same = found is not None and found.get("data") == wanted["data"]
    if not same:
        cluster.apply(wanted)
    # Only then: an account that names a Secret which is not there makes every pod complain.
    named = _names(_account(cluster, step.namespace))
    if step.name not in named:
        _write(cluster, step.namespace, [*named, step.name])
    return "unchanged" if same else ""


def remove(cluster: Cluster, step: RemovePullSecret) -> str:
    """Delete the Secret, and what names it."""
    named = _names(_account(cluster, step.namespace))
    if step.name in named:
        _write(cluster, step.namespace, [name for name in named if name != step.name])
    cluster.delete(_ref(step))
    return ""


def docker_config(host: str, username: str, password: str) -> str:
    """Return the text of the file that `docker login` would write."""
    login = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"username": username, "password": password, "auth": login}
    return json.dumps({"auths": {_ADDRESSES.get(host, host): entry}})


def password_in(data: Mapping[str, str]) -> str:
    """Return the password that a Secret's decoded data has; '' if it has none."""
    try:
        hosts = json.loads(data.get(_KEY, "{}"))["auths"].values()
        return next((str(entry["password"]) for entry in hosts), "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _secret(step: SupplyPullSecret, password: str) -> Manifest:
    text = docker_config(step.host, step.username, password)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": step.name,
            "namespace": step.namespace,
            "labels": {labels.MANAGED_BY: labels.OWNER},
        },
        "type": _TYPE,
        "data": {_KEY: base64.b64encode(text.encode()).decode()},
    }


def _ref(step: SupplyPullSecret | RemovePullSecret) -> ObjectRef:
    return ObjectRef("v1", "Secret", step.namespace, step.name)


def _account(cluster: Cluster, namespace: str) -> Mapping[str, Any]:
    return cluster.get(ObjectRef("v1", "ServiceAccount", namespace, "default")) or {}


def _names(account: Mapping[str, Any]) -> list[str]:
    return [item["name"] for item in account.get("imagePullSecrets") or ()]


def _write(cluster: Cluster, namespace: str, names: list[str]) -> None:
    # The list is one field to the API server (atomic): those that others put there are kept.
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
            "imagePullSecrets": [{"name": name} for name in names],
        }
    )
