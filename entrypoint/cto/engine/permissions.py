"""Whether the user may do what a plan does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from typing import Any

from cto.digests import of_data
from cto.engine.rbac import Answers, Missing, Right, Rights, allowed, escalations, rules_in
from cto.errors import ApiError
from cto.plan.labels import MANAGED_BY, OWNER
from cto.ports import Cluster
from cto.result import Check, Topic

TOPIC = Topic("permissions", "Permissions")

_PARALLEL = 8
_ANYTHING = "*"


def check(cluster: Cluster, rights_of: Callable[[], Rights]) -> Check:
    """Ask the API server: one question of an administrator, few of who has the rights by roles.

    Args:
        cluster: Who is asked.
        rights_of: Returns what is needed; asked only if not everything is allowed.
    """
    if allowed(cluster, Right(_ANYTHING, _ANYTHING, _ANYTHING)):
        return TOPIC.passed("everything is allowed")
    rights = rights_of()
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="right") as pool:
        places = dict.fromkeys(right.namespace for right in rights.single if right.namespace)
        told = zip(places, pool.map(partial(rules_in, cluster), places), strict=True)
        answers = Answers(cluster, pool, dict(told))
        missing = [Missing(right) for right in answers.missing(rights.single)]
        missing += escalations(answers, rights)
    if not missing:
        return TOPIC.passed("everything that is needed is allowed")
    return _failed(missing, rights.absent, user_of(cluster))


def user_of(cluster: Cluster) -> str:
    """Return who asks, '' if the API server does not tell (it does since Kubernetes 1.28)."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with suppress(ApiError):
        status = cluster.create(review).get("status", {})
        return str(status.get("userInfo", {}).get("username", ""))
    return ""


def _failed(missing: Sequence[Missing], absent: Collection[str] | None, user: str) -> Check:
    bind = "" if user else " and to bind it to you"
    count = "1 permission is" if len(missing) == 1 else f"{len(missing)} permissions are"
    return TOPIC.failed(
        f"{count} missing{f': the API server knows you as {user}' if user else ''}",
        fix=f"Ask an administrator to `kubectl apply` what follows{bind}, or use another context. "
        "`kubectl auth can-i --list` shows what you may do.",
        code="CTO-1602",
        items=_texts(missing),
        manifests=roles_for([item.right for item in missing], absent, user),
    )


def _texts(missing: Sequence[Missing]) -> tuple[str, ...]:
    """Return a line for each kind: which verbs are missing, and where."""
    verbs: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for item in missing:
        right = item.right
        what = f"{right.kind} {right.name}" if right.name else right.kind
        verbs[what, right.namespace, item.why].append(right.verb)
    places: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (what, namespace, why), found in verbs.items():
        places[", ".join(found), what, why].append(namespace)
    return tuple(
        f"{found} {what}{_where(names)}{f' ({why})' if why else ''}"
        for (found, what, why), names in places.items()
    )


def _where(namespaces: Sequence[str]) -> str:
    names = [name for name in namespaces if name]
    word = "namespaces" if len(names) > 1 else "namespace"
    return f" in {word} {', '.join(names)}" if names else ""


# a role that would do

_ROLE = "cto-installer"


def roles_for(
    rights: Sequence[Right], absent: Collection[str] | None = (), user: str = ""
) -> tuple[dict[str, Any], ...]:
    """Return the ClusterRole, and the Role of each namespace, that grant exactly these rights.

    Before them, the namespaces that a Role needs and that are not there yet, as ours; behind them,
    what binds them to the user. Where nobody knows which namespaces are there, all is in the
    ClusterRole: a Role of one that is not there could not be applied, and to make it might mean to
    take over somebody's.
    """
    if absent is None:
        absent, rights = (), tuple(dict.fromkeys(replace(item, namespace="") for item in rights))
    places = sorted({right.namespace for right in rights})
    name = _role_name(rights, user)
    namespaces = tuple(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": place, "labels": {MANAGED_BY: OWNER}},
        }
        for place in places
        if place in absent
    )
    roles = tuple(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role" if place else "ClusterRole",
            "metadata": {"name": name, **({"namespace": place} if place else {})},
            "rules": _role_rules([right for right in rights if right.namespace == place]),
        }
        for place in places
    )
    return (*namespaces, *roles, *(_bound(role, user) for role in roles if user))


def _role_name(rights: Sequence[Right], user: str) -> str:
    """Return a name that no other rights or users have: `kubectl apply` replaces what has it.

    Whoever got some rights by an earlier message, or for another user, would lose them.
    """
    return f"{_ROLE}-{of_data([user, sorted(map(astuple, rights))])[:8]}"


def _bound(role: Mapping[str, Any], user: str) -> dict[str, Any]:
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    return {
        "apiVersion": role["apiVersion"],
        "kind": f"{role['kind']}Binding",
        "metadata": role["metadata"],
        "roleRef": {**group, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [{**group, "kind": "User", "name": user}],
    }


def _role_rules(rights: Sequence[Right]) -> list[dict[str, list[str]]]:
    """Return as few rules as possible: of one group, what has the same verbs stands together."""
    verbs: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for right in rights:
        verbs[right.group, right.resource, right.name].append(right.verb)
    resources: defaultdict[tuple[str, tuple[str, ...], str], list[str]] = defaultdict(list)
    for (group, resource, name), found in verbs.items():
        resources[group, tuple(dict.fromkeys(found)), name].append(resource)
    return [_rule(*key, found) for key, found in resources.items()]


def _rule(group: str, verbs: Sequence[str], name: str, resources: list[str]) -> dict[str, Any]:
    if resources[0].startswith("/"):
        return {"nonResourceURLs": resources, "verbs": list(verbs)}
    named = {"resourceNames": [name]} if name else {}
    return {"apiGroups": [group], "resources": resources, **named, "verbs": list(verbs)}
