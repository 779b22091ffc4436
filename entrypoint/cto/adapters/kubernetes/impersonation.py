"""Who may act as whom: what a kubeconfig's `as` needs, and how it looks where it is refused.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_REFUSED = re.compile(r'User "(?P<user>[^"]*)" cannot impersonate resource ')
_ACCOUNT = re.compile(r"system:serviceaccount:[^:]+:(?P<name>[^:]+)")
_AUTHENTICATION = "authentication.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_ROLE = "cto-impersonation"
HINT = (
    "The kubeconfig's user acts as somebody else (`as`, `as-uid`, `as-groups`, `as-user-extra`): "
    "ask for the permission to impersonate what is named, or change these fields."
)


def refused_user(message: str) -> str:
    """Return who may not act as somebody else; '' if that is not what the API server says."""
    found = _REFUSED.search(message)
    return found["user"] if found else ""


def role_for(user: Mapping[str, Any], asking: str) -> tuple[dict[str, Any], ...]:
    """Return a ClusterRole for all that a kubeconfig's user asks to act as, bound to who asks."""
    role, binding = (
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": _ROLE}}
        for kind in ("ClusterRole", "ClusterRoleBinding")
    )
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _ROLE}
    subject = {"apiGroup": _RBAC, "kind": "User", "name": asking}
    return (
        {**role, "rules": list(_rules(user))},
        {**binding, "roleRef": reference, "subjects": [subject]},
    )


def _rules(user: Mapping[str, Any]) -> Iterator[dict[str, list[str]]]:
    account = _ACCOUNT.fullmatch(str(user["as"]))
    if account:
        yield _rule("", "serviceaccounts", [account["name"]])
    else:
        yield _rule("", "users", [user["as"]])
    if user.get("as-uid"):
        yield _rule(_AUTHENTICATION, "uids", [user["as-uid"]])
    if user.get("as-groups"):
        yield _rule("", "groups", user["as-groups"])
    for key, values in (user.get("as-user-extra") or {}).items():
        if values:
            # Names of headers are in any case: the API server takes these for lower case.
            yield _rule(_AUTHENTICATION, f"userextras/{str(key).lower()}", values)


def _rule(group: str, resource: str, names: list[Any]) -> dict[str, list[str]]:
    return {
        "apiGroups": [group],
        "resources": [resource],
        "resourceNames": [str(name) for name in names],
        "verbs": ["impersonate"],
    }
