"""What a plan writes: the pods that a workload's controller makes of its template."""

from __future__ import annotations

from typing import Any

from cto.engine.planned import pod_template

MOUNTED = {"containers": [{"name": "db", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}


def workload(kind: str, pod: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "db"},
        "spec": {"template": {"spec": pod}, **spec},
    }


def test_pods_of_a_stateful_set_have_its_claims_as_volumes() -> None:
    """The API server refuses a pod that mounts what is not among its volumes."""
    other = {"name": "config", "configMap": {"name": "db"}}
    pod = {**MOUNTED, "volumes": [other, {"name": "data", "emptyDir": {}}]}
    claims = [{"metadata": {"name": "data"}, "spec": {}}]

    made = pod_template(workload("StatefulSet", pod, volumeClaimTemplates=claims, replicas=2))

    assert made is not None
    assert made.replicas == 2
    assert made.spec == {
        **MOUNTED,
        "volumes": [
            other,
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
        ],
    }


def test_other_pods_are_as_their_template_says() -> None:
    made = pod_template(workload("Deployment", MOUNTED))
    assert made is not None
    assert made.spec == MOUNTED
