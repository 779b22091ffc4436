"""What RBAC asks of those who write roles and bindings: nobody gives what he does not have.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any

from cto.engine.permissions import Answers, Binding, Missing, Right, Rights, Role
from cto.engine.planned import PlannedObject
from cto.errors import ApiError
from cto.objects import ObjectRef

_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def roles_of(objects: Iterable[PlannedObject]) -> tuple[Role, ...]:
    return tuple(_role(item.ref, item.manifest) for item in objects if _is(item.ref, _ROLES))


def bindings_of(objects: Iterable[PlannedObject]) -> tuple[Binding, ...]:
    return tuple(
        Binding(
            name=item.ref.name,
            namespace=item.ref.namespace,
            role_kind=item.manifest["roleRef"]["kind"],
            role=item.manifest["roleRef"]["name"],
        )
        for item in objects
        if _is(item.ref, _BINDINGS)
    )


def missing(answers: Answers, rights: Rights) -> Iterator[Missing]:
    """Yield `escalate` and `bind`, where the user has not all that would be given either."""
    yield from _escalations(answers, rights.roles)
    yield from _bindings(answers, rights)


def _escalations(answers: Answers, roles: Sequence[Role]) -> Iterator[Missing]:
    asked = [Right("escalate", _GROUP, role.plural, role.namespace) for role in roles]
    denied = set(answers.missing(asked))
    told: set[Right] = set()
    for role, right in zip(roles, asked, strict=True):
        if right not in denied or right in told:
            continue
        lacking = answers.missing(_granted(role.rules, role.namespace))
        if lacking and not _is_there_alike(answers, role):
            told.add(right)
            yield Missing(right, _why(f"{role.kind} {role.name}", lacking))


def _bindings(answers: Answers, rights: Rights) -> Iterator[Missing]:
    known = {(role.kind, role.name, role.namespace): role for role in rights.roles}
    asked = {binding: _bind(binding) for binding in rights.bindings}
    denied = set(answers.missing(asked.values()))
    for binding, right in asked.items():
        if right not in denied:
            continue
        place = binding.namespace if binding.role_kind == "Role" else ""
        role = known.get((binding.role_kind, binding.role, place)) or _live(
            answers, binding.role_kind, place, binding.role
        )
        rules = role.rules if role else (_EVERYTHING,)
        lacking = answers.missing(_granted(rules, binding.namespace))
        if lacking:
            yield Missing(right, _why(f"{binding.role_kind} {binding.role}", lacking))


def _bind(binding: Binding) -> Right:
    plural = f"{binding.role_kind.lower()}s"
    return Right("bind", _GROUP, plural, binding.namespace, binding.role)


def _why(what: str, lacking: Sequence[Right]) -> str:
    first = f"{lacking[0].verb} {lacking[0].kind}"
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"or, of what {what} grants: {first}{more}"


def _granted(rules: Iterable[Mapping[str, Any]], namespace: str) -> Iterator[Right]:
    for rule in rules:
        verbs = rule.get("verbs") or ()
        for verb, group, resource, name in product(
            verbs,
            rule.get("apiGroups") or (),
            rule.get("resources") or (),
            rule.get("resourceNames") or ("",),
        ):
            yield Right(verb, group, resource, namespace, name)
        for verb, path in product(verbs, rule.get("nonResourceURLs") or ()):
            yield Right(verb, "", path)


def _is_there_alike(answers: Answers, role: Role) -> bool:
    """Tell whether the role grants the same already: then the API server asks for nothing."""
    live = _live(answers, role.kind, role.namespace, role.name)
    return live is not None and live.rules == role.rules


def _live(answers: Answers, kind: str, namespace: str, name: str) -> Role | None:
    ref = ObjectRef(f"{_GROUP}/v1", kind, namespace, name)
    # Who may not even look at it learns what he lacks all the same.
    with suppress(ApiError):
        found = answers.cluster.get(ref)
        return _role(ref, found) if found else None
    return None


def _role(ref: ObjectRef, manifest: Mapping[str, Any]) -> Role:
    # What an aggregated role grants nobody knows: to write one asks for everything.
    rules = (_EVERYTHING,) if manifest.get("aggregationRule") else manifest.get("rules") or ()
    return Role(ref.kind, ref.name, ref.namespace, tuple(rules))


def _is(ref: ObjectRef, kinds: Sequence[str]) -> bool:
    return ref.group == _GROUP and ref.kind in kinds
