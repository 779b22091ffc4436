"""What RBAC lets the user do, and what it asks of those who write roles and bindings.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

from cto.engine.planned import PlannedObject
from cto.errors import ApiError
from cto.objects import ObjectRef
from cto.ports import Cluster

_REVIEWS = "authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@dataclass(frozen=True)
class Right:
    """Something to be allowed; everywhere, if no namespace is named.

    Attributes:
        resource: In the plural; of a subresource, `services/proxy`; a path that is no resource
            begins with a slash.
        name: Of the only object that it is about, if it is about one.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    @property
    def kind(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True)
class Role:
    """A Role or ClusterRole that a plan writes: nobody gives rights that he does not have."""

    kind: str
    name: str
    namespace: str
    rules: tuple[Mapping[str, Any], ...]

    @property
    def plural(self) -> str:
        return f"{self.kind.lower()}s"


@dataclass(frozen=True)
class Binding:
    """A binding that a plan writes, to a role that the plan may write too."""

    name: str
    namespace: str
    role_kind: str
    role: str


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a plan needs to be let do.

    Attributes:
        absent: Namespaces that are not there: before a Role can be. None if nobody could look.
    """

    single: tuple[Right, ...] = ()
    roles: tuple[Role, ...] = ()
    bindings: tuple[Binding, ...] = ()
    absent: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Missing:
    """A right that is missing, and why it is needed, where that needs a word."""

    right: Right
    why: str = ""


@dataclass
class Answers:
    """Asks the API server what the user may do, each question once.

    Attributes:
        pool: Few questions at a time.
        rules: namespace -> what roles tell, which saves most questions.
    """

    cluster: Cluster
    pool: Executor
    rules: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    _known: dict[Right, bool] = field(default_factory=dict)

    def denied(self, rights: Iterable[Right]) -> list[Right]:
        asked = tuple(dict.fromkeys(rights))
        unknown = [right for right in asked if right not in self._known]
        self._known |= {right: True for right in unknown if self._is_told(right)}
        unknown = [right for right in unknown if right not in self._known]
        answers = self.pool.map(partial(allowed, self.cluster), unknown)
        self._known |= dict(zip(unknown, answers, strict=True))
        return [right for right in asked if not self._known[right]]

    def missing(self, rights: Iterable[Right]) -> list[Right]:
        """Return what is denied: who may not do it everywhere may still do it where it matters."""
        asked = tuple(dict.fromkeys(rights))
        open_ = [right for right in asked if not self._is_told(right)]
        nowhere = set(self.denied(replace(right, namespace="") for right in open_))
        return self.denied(right for right in open_ if replace(right, namespace="") in nowhere)

    def _is_told(self, right: Right) -> bool:
        return any(_grants(rule, right) for rule in self.rules.get(right.namespace, ()))


def allowed(cluster: Cluster, right: Right) -> bool:
    review = cluster.create(
        {"apiVersion": _REVIEWS, "kind": "SelfSubjectAccessReview", "spec": _question(right)}
    )
    return bool(review["status"]["allowed"])


def _question(right: Right) -> Mapping[str, Any]:
    if right.resource.startswith("/"):
        return {"nonResourceAttributes": {"verb": right.verb, "path": right.resource}}
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    return {"resourceAttributes": {key: value for key, value in attributes.items() if value}}


def rules_in(cluster: Cluster, namespace: str) -> Sequence[Mapping[str, Any]]:
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
    names = rule.get("resourceNames")
    return (
        (not names or right.name in names)
        and bool({"*", right.verb} & {*rule["verbs"]})
        and bool({"*", right.group} & {*rule.get("apiGroups", ())})
        and bool(named & {*rule.get("resources", ())})
    )


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


def escalations(answers: Answers, rights: Rights) -> Iterator[Missing]:
    """Yield `escalate` and `bind`, where the user has not all that would be given either."""
    yield from _roles(answers, rights.roles)
    yield from _bindings(answers, rights)


def _roles(answers: Answers, roles: Sequence[Role]) -> Iterator[Missing]:
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
