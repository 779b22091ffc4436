"""What the steps do that write Secrets: those that are generated, supplied and certified."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cto.catalog import CERTIFICATE
from cto.engine import pullsecrets
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, labels_of
from cto.plan import labels
from cto.plan.steps import (
    Certify,
    GenerateSecret,
    RemovePullSecret,
    SupplyPullSecret,
    SupplySecret,
)
from cto.ports import Cluster

_ALPHABET = string.ascii_letters + string.digits

SecretValues = Callable[[str], Mapping[str, str]]
"""Dotted path of the configuration -> name -> value; the name is '' for a single value."""


SecretStep: TypeAlias = (
    GenerateSecret | SupplySecret | Certify | SupplyPullSecret | RemovePullSecret
)


def run(cluster: Cluster, step: SecretStep, values: SecretValues) -> str:
    """Do what a step says; return what was done, '' if its title says it."""
    match step:
        case GenerateSecret():
            return generate(cluster, step)
        case SupplySecret():
            return supply(cluster, step, values)
        case Certify():
            return certify(cluster, step)
        case SupplyPullSecret():
            return pullsecrets.supply(cluster, step, values(step.secret_path).get("", ""))
        case RemovePullSecret():
            return pullsecrets.remove(cluster, step)


def generate(cluster: Cluster, step: GenerateSecret) -> str:
    """Create the Secret if it is not there; return what was done."""
    data = {
        key: wanted.value if wanted.value is not None else random_text(wanted.random or 0)
        for key, wanted in step.secret.keys.items()
    }
    ref = ObjectRef("v1", "Secret", step.namespace, step.secret.name)
    made = _secret(ref, "Opaque", data, step.component)
    if step.secret.entries and (found := cluster.get(ref)):
        return _added(cluster, found.get("data") or {}, made)
    try:
        cluster.create(made)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        return "was there already"
    return ""


def _added(cluster: Cluster, there: Mapping[str, str], made: Manifest) -> str:
    """Add the keys that a Secret lacks; those that it has stay as they are."""
    lacking = sorted(made["data"].keys() - there.keys())
    if not lacking:
        return "was there already"
    cluster.apply({**made, "data": {**made["data"], **there}})
    return f"now for {', '.join(lacking)}, too"


def supply(cluster: Cluster, step: SupplySecret, values: SecretValues) -> str:
    """Write the user's values if others are there; return what was done."""
    data = {**step.plain, **supplied_data(step.keys, values)}
    ref = ObjectRef("v1", "Secret", step.namespace, step.name)
    made = _secret(ref, step.type, data, step.component)
    wanted = labels.labelled(made, {**step.labels})
    found = cluster.get(ref)
    there = (found or {}).get("data") or {}
    same = wanted["data"].items() <= there.items()
    if step.labels:
        marks = labels_of(found or {"metadata": {}})
        same = wanted["data"] == there and step.labels.items() <= marks.items()
    if found is not None and same:
        return "unchanged"
    cluster.apply(wanted)
    return ""


def certify(cluster: Cluster, step: Certify) -> str:
    """Make a certificate if there is none, or its end is near; return what was done."""
    from cto.engine import certificates  # noqa: PLC0415 - slow to import, few clusters need it

    found, now = cluster.get(step.secret), cluster.now()
    if step.by is None:
        data = certificates.authority(found, step.host, now)
    else:
        data = certificates.server(found, cluster.get(step.by), step.host, now)
    if not data:
        return "unchanged"
    wanted = _secret(step.secret, CERTIFICATE.type, data, step.component)
    # The authority goes with the installer's memory: trust in it is to end then.
    trace = {} if step.by else {labels.TRACE: "true"}
    cluster.apply(labels.labelled(wanted, trace))
    return ""


def supplied_data(keys: Mapping[str, str], values: SecretValues) -> dict[str, str]:
    """Return the data of a supplied Secret: key -> value, only where the user gave one.

    A key with `*` stands for every entry of the mapping at its path, in upper case.
    """
    data: dict[str, str] = {}
    for key, path in keys.items():
        for name, value in values(path).items():
            data[supplied_key(key, name)] = value
    return data


def supplied_key(key: str, name: str) -> str:
    """Return the key of an entry of a mapping."""
    return key.replace("*", name.upper().replace("-", "_"))


def random_text(length: int) -> str:
    """Return a secret: letters and digits that nobody guesses."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _secret(ref: ObjectRef, kind: str, data: Mapping[str, str], component: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {labels.MANAGED_BY: labels.OWNER, labels.COMPONENT: component},
        },
        "type": kind,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
