"""Whether the user may do what a plan does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from typing import Any

from cto.digests import of_data
from cto.errors import ApiError
from cto.plan.labels import MANAGED_BY, OWNER
from cto.ports import Cluster
from cto.result import Check, CheckStatus

_PARALLEL = 8
_REVIEWS = "authorization.k8s.io/v1"
_ANYTHING = "*"


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
    """A Role or ClusterRole that a plan writes: nobody gives rights that he does not have.

    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
    """

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
        answers = self.pool.map(partial(_allowed, self.cluster), unknown)
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


def check(cluster: Cluster, rights_of: Callable[[], Rights]) -> Check:
    """Ask the API server: one question of an administrator, few of who has the rights by roles.

    Args:
        cluster: Who is asked.
        rights_of: Returns what is needed; asked only if not everything is allowed.
    """
    from cto.engine import escalation  # noqa: PLC0415 - it builds on what is here

    if _allowed(cluster, Right(_ANYTHING, _ANYTHING, _ANYTHING)):
        return _passed("everything is allowed")
    rights = rights_of()
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="right") as pool:
        places = dict.fromkeys(right.namespace for right in rights.single if right.namespace)
        told = zip(places, pool.map(partial(_rules, cluster), places), strict=True)
        answers = Answers(cluster, pool, dict(told))
        missing = [Missing(right) for right in answers.missing(rights.single)]
        missing += escalation.missing(answers, rights)
    if not missing:
        return _passed("everything that is needed is allowed")
    return _failed(missing, rights.absent, _user(cluster))


def _user(cluster: Cluster) -> str:
    """Return who asks, '' if the API server does not tell (it does since Kubernetes 1.28)."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with suppress(ApiError):
        status = cluster.create(review).get("status", {})
        return str(status.get("userInfo", {}).get("username", ""))
    return ""


def _failed(missing: Sequence[Missing], absent: Collection[str] | None, user: str) -> Check:
    bind = "" if user else " and to bind it to you"
    count = "1 permission is" if len(missing) == 1 else f"{len(missing)} permissions are"
    return Check(
        name="permissions",
        title="Permissions",
        status=CheckStatus.FAILED,
        message=f"{count} missing{f': the API server knows you as {user}' if user else ''}",
        fix=f"Ask an administrator to `kubectl apply` what follows{bind}, or use another context. "
        "`kubectl auth can-i --list` shows what you may do.",
        code="CTO-1602",
        items=_texts(missing),
        manifests=roles_for([item.right for item in missing], absent, user),
    )


def _passed(message: str) -> Check:
    return Check(
        name="permissions", title="Permissions", status=CheckStatus.PASSED, message=message
    )


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
    names = rule.get("resourceNames")
    return (
        (not names or right.name in names)
        and bool({"*", right.verb} & {*rule["verbs"]})
        and bool({"*", right.group} & {*rule.get("apiGroups", ())})
        and bool(named & {*rule.get("resources", ())})
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


def _allowed(cluster: Cluster, right: Right) -> bool:
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
