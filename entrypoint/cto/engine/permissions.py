"""Whether the user may do what an installation does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from cto.engine.state import NAMESPACE
from cto.errors import ApiError
from cto.ports import Cluster
from cto.result import Check, CheckStatus

_PARALLEL = 8
_REVIEWS = "authorization.k8s.io/v1"

_Rows: TypeAlias = tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]
"""Verbs, group, resources"""

_READ = ("get", "list")
# An apply is a patch that may create. What a new version lacks is deleted.
MADE = (*_READ, "create", "patch", "delete")
_KEPT = ("get", "create", "update", "delete")

# What the charts of the catalog make besides, and what every look at the cluster begins with:
# Helm's records are Secrets of any namespace.
_EVERYWHERE: _Rows = (
    (MADE, "", ("namespaces",)),
    (_READ, "", ("nodes", "secrets")),
    (MADE, "apiextensions.k8s.io", ("customresourcedefinitions",)),
    (MADE, "rbac.authorization.k8s.io", ("clusterroles", "clusterrolebindings")),
    (
        MADE,
        "admissionregistration.k8s.io",
        ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
    ),
    # The health check asks what the platform's accounts may do.
    (("create",), "authorization.k8s.io", ("subjectaccessreviews",)),
)
# The state and the lock.
_OWN: _Rows = (
    (_KEPT, "", ("configmaps",)),
    (_KEPT, "coordination.k8s.io", ("leases",)),
)
# What the charts make, what waits follow, and where the causes of trouble show.
_IN_NAMESPACES: _Rows = (
    ((*_READ, "watch"), "", ("events", "pods")),
    (MADE, "", ("configmaps", "serviceaccounts")),
    # Helm replaces its records.
    ((*MADE, "update"), "", ("secrets",)),
    ((*MADE, "watch"), "", ("persistentvolumeclaims", "services")),
    # A change of the strategy replaces a Deployment first.
    ((*MADE, "watch", "update"), "apps", ("deployments",)),
    ((*MADE, "watch"), "apps", ("statefulsets",)),
    ((*MADE, "watch"), "batch", ("jobs",)),
    (MADE, "networking.k8s.io", ("networkpolicies",)),
    ((*MADE, "watch"), "policy", ("poddisruptionbudgets",)),
    (MADE, "rbac.authorization.k8s.io", ("rolebindings", "roles")),
)


@dataclass(frozen=True)
class Right:
    """Something to be allowed; everywhere, if no namespace is named.

    Attributes:
        resource: In the plural; of a subresource, `services/proxy`.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""

    @property
    def kind(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def check(
    cluster: Cluster,
    namespaces: Sequence[str],
    more: Sequence[Right] = (),
) -> Check:
    """Ask the API server: one question of an administrator, few of who has the rights by roles.

    Args:
        cluster: Who is asked.
        namespaces: Those of the components.
        more: What single components need besides, in their namespaces.
    """
    if _allowed(cluster, Right("*", "*", "*")):
        return _passed("everything is allowed")
    places = dict.fromkeys((NAMESPACE, *namespaces))
    with ThreadPoolExecutor(_PARALLEL) as pool:

        def denied(rights: Iterable[Right]) -> list[Right]:
            asked = tuple(dict.fromkeys(rights))
            answers = pool.map(partial(_allowed, cluster), asked)
            return [r for r, allowed in zip(asked, answers, strict=True) if not allowed]

        rules = dict(zip(places, pool.map(partial(_rules, cluster), places), strict=True))
        unknown = [
            right
            for right in (*_inside(places), *more)
            if not any(_grants(rule, right) for rule in rules.get(right.namespace, ()))
        ]
        missing = denied(_rights(_EVERYWHERE))
        # Who may not do it everywhere may still do it in the namespaces that matter.
        nowhere = set(denied(replace(right, namespace="") for right in unknown))
        missing += denied(right for right in unknown if replace(right, namespace="") in nowhere)
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


def _inside(namespaces: Iterable[str]) -> Iterator[Right]:
    for namespace in namespaces:
        yield from _rights(_OWN if namespace == NAMESPACE else _IN_NAMESPACES, namespace)


def _rules(cluster: Cluster, namespace: str) -> Sequence[Mapping[str, Any]]:
    """Return what roles allow there, () if nobody tells: an answer that saves many questions.

    What it lacks is not denied, other authorizers may allow it.
    https://kubernetes.io/docs/reference/access-authn-authz/authorization/
    """
    review = {
        "apiVersion": _REVIEWS,
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    with suppress(ApiError):
        return tuple(cluster.create(review).get("status", {}).get("resourceRules") or ())
    return ()


def _grants(rule: Mapping[str, Any], right: Right) -> bool:
    _, slash, subresource = right.resource.partition("/")
    named = {"*", right.resource, *([f"*/{subresource}"] if slash else ())}
    return (
        not rule.get("resourceNames")
        and bool({"*", right.verb} & {*rule["verbs"]})
        and bool({"*", right.group} & {*rule.get("apiGroups", ())})
        and bool(named & {*rule.get("resources", ())})
    )


def _texts(rights: Sequence[Right]) -> tuple[str, ...]:
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


def _rights(rows: _Rows, namespace: str = "") -> Iterator[Right]:
    for verbs, group, resources in rows:
        for resource in resources:
            for verb in verbs:
                yield Right(verb, group, resource, namespace)


def _allowed(cluster: Cluster, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
    }
    review = cluster.create(
        {
            "apiVersion": _REVIEWS,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }
    )
    return bool(review["status"]["allowed"])


def _passed(message: str) -> Check:
    return Check(
        name="permissions", title="Permissions", status=CheckStatus.PASSED, message=message
    )
