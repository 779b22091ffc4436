"""Whether the user may do what an installation does."""

from __future__ import annotations

from collections import defaultdict
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
# What every look at the cluster begins with. Helm's records are Secrets of any namespace.
_READ = {
    "": ("namespaces", "nodes", "secrets"),
    "apiextensions.k8s.io": ("customresourcedefinitions",),
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

    @property
    def kind(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def check(cluster: Cluster, namespaces: Sequence[str]) -> Check:
    """Ask the API server: one question of an administrator, a bounded number of anybody else."""
    if _allowed(cluster, _Right("*", "*", "*")):
        return _passed("everything is allowed")
    with ThreadPoolExecutor(_PARALLEL) as pool:

        def denied(rights: Sequence[_Right]) -> list[_Right]:
            answers = pool.map(lambda right: _allowed(cluster, right), rights)
            return [r for r, allowed in zip(rights, answers, strict=True) if not allowed]

        missing = denied((*_rights(_READ, ("get", "list")), *_rights(_IN_CLUSTER)))
        # Who may not do it everywhere may still do it in the namespaces that matter.
        missing += denied(
            [
                replace(right, namespace=namespace)
                for right in denied(tuple(_rights(_IN_NAMESPACES)))
                for namespace in dict.fromkeys(namespaces)
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
        items=_texts(missing),
    )


def _texts(rights: Sequence[_Right]) -> tuple[str, ...]:
    """Return a line for each kind: which verbs are missing, and where."""
    verbs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for right in rights:
        verbs[right.kind, right.namespace].append(right.verb)
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (kind, namespace), missing in verbs.items():
        places[", ".join(missing), kind].append(namespace)
    return tuple(f"{missing} {kind}{_where(names)}" for (missing, kind), names in places.items())


def _where(namespaces: Sequence[str]) -> str:
    names = [name for name in namespaces if name]
    word = "namespaces" if len(names) > 1 else "namespace"
    return f" in {word} {', '.join(names)}" if names else ""


def _rights(
    resources: dict[str, tuple[str, ...]], verbs: Sequence[str] = _VERBS
) -> Iterable[_Right]:
    for group, names in resources.items():
        for name in names:
            for verb in verbs:
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
