"""Whether the user may do what an installation does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cto.ports import Cluster
from cto.result import Check, CheckStatus

_PARALLEL = 8
_VERBS = ("create", "patch", "delete")
# group -> resources; what the charts of the catalog and the installer itself make.
_IN_CLUSTER = {
    "": ("namespaces",),
    "apiextensions.k8s.io": ("customresourcedefinitions",),
    "rbac.authorization.k8s.io": ("clusterroles", "clusterrolebindings"),
    "admissionregistration.k8s.io": (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ),
}
_IN_NAMESPACES = {
    "": ("configmaps", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"),
    "apps": ("deployments", "statefulsets"),
    "batch": ("jobs",),
    "coordination.k8s.io": ("leases",),
    "networking.k8s.io": ("networkpolicies",),
    "policy": ("poddisruptionbudgets",),
    "rbac.authorization.k8s.io": ("rolebindings", "roles"),
}


@dataclass(frozen=True)
class _Right:
    verb: str
    group: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{group}{where}"


def check(cluster: Cluster, namespaces: Sequence[str]) -> Check:
    """Ask the API server: one question of an administrator, a bounded number of anybody else."""
    if _allowed(cluster, _Right("*", "*", "*")):
        return _passed("everything is allowed")
    with ThreadPoolExecutor(_PARALLEL) as pool:

        def denied(rights: Sequence[_Right]) -> list[_Right]:
            answers = pool.map(lambda right: _allowed(cluster, right), rights)
            return [r for r, allowed in zip(rights, answers, strict=True) if not allowed]

        missing = denied(tuple(_rights(_IN_CLUSTER)))
        # Who may not do it everywhere may still do it in the namespaces that matter.
        missing += denied(
            [
                replace(right, namespace=namespace)
                for right in denied(tuple(_rights(_IN_NAMESPACES)))
                for namespace in namespaces
            ]
        )
    if not missing:
        return _passed("everything that is needed is allowed")
    return Check(
        name="permissions",
        title="Permissions",
        status=CheckStatus.FAILED,
        message=f"{len(missing)} permissions are missing",
        fix="Ask for them, or use another context. `kubectl auth can-i --list` shows yours.",
        code="CTO-1602",
        items=tuple(map(str, missing)),
    )


def _rights(resources: dict[str, tuple[str, ...]]) -> Iterable[_Right]:
    for group, names in resources.items():
        for name in names:
            for verb in _VERBS:
                yield _Right(verb, group, name)


def _allowed(cluster: Cluster, right: _Right) -> bool:
    attributes = {"verb": right.verb, "group": right.group, "resource": right.resource}
    if right.namespace:
        attributes["namespace"] = right.namespace
    review = cluster.create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
    )
    return bool(review["status"]["allowed"])


def _passed(message: str) -> Check:
    return Check(
        name="permissions", title="Permissions", status=CheckStatus.PASSED, message=message
    )
