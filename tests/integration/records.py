"""Helm's records, read and written as Helm does: how a killed helm leaves them is made here."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.objects import Manifest, labels_of


def newest(cluster: KubeCluster, release: str) -> Manifest:
    """Return the Secret with the newest record of a release."""
    return max(_all(cluster, release), key=_revision)


def statuses(cluster: KubeCluster, release: str) -> dict[int, str]:
    """Return revision -> status."""
    found = _all(cluster, release)
    return {_revision(item): labels_of(item)["status"] for item in found}


def set_status(cluster: KubeCluster, record: Manifest, status: str) -> None:
    """Change a record's status, in its label and in its payload."""
    cluster.update(_with(record, status, _revision(record)))


def add(cluster: KubeCluster, release: str, status: str, *, without: int = 0) -> None:
    """Add a revision as a helm leaves it that was killed at work: a copy of the newest one.

    Its chart renders the first objects no more, as many as `without` says.
    """
    last = newest(cluster, release)
    record = _with(last, status, _revision(last) + 1, without=without)
    metadata = record["metadata"]
    name = f"sh.helm.release.v1.{release}.v{_revision(record)}"
    kept = {"name": name, "namespace": metadata["namespace"], "labels": metadata["labels"]}
    cluster.create({**record, "metadata": kept})


def _all(cluster: KubeCluster, release: str) -> list[Manifest]:
    return list(cluster.list("v1", "Secret", labels=f"owner=helm,name={release}"))


def _revision(record: Manifest) -> int:
    return int(labels_of(record)["version"])


def _with(record: Manifest, status: str, revision: int, *, without: int = 0) -> Manifest:
    payload = _decode(record["data"]["release"])
    payload["info"]["status"] = status
    payload["version"] = revision
    first, *documents = payload["manifest"].split("---\n")
    payload["manifest"] = "---\n".join([first, *documents[without:]])
    labels = {**labels_of(record), "status": status, "version": str(revision)}
    return {
        **record,
        "metadata": {**record["metadata"], "labels": labels},
        "data": {"release": _encode(payload)},
    }


def _decode(text: str) -> dict[str, Any]:
    # The API's base64, then Helm's own around gzip.
    packed = base64.b64decode(base64.b64decode(text))
    payload: dict[str, Any] = json.loads(gzip.decompress(packed))
    return payload


def _encode(payload: dict[str, Any]) -> str:
    packed = gzip.compress(json.dumps(payload).encode())
    return base64.b64encode(base64.b64encode(packed)).decode()
