"""The end of what goes: the pods of objects that are deleted, and the installer's own namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from threading import Event as Flag

from cto.engine.cache import Group, grouped
from cto.engine.causes import (
    FOREIGN,
    Cause,
    Timers,
    finalizers_of,
    stuck,
)
from cto.engine.controlplane import CONTROLLERS
from cto.engine.evidence import POD, Evidence
from cto.engine.queries import QueryAnswer, checked, items_of, silence
from cto.engine.readiness import (
    conditions_of,
)
from cto.engine.unanswered import obstacles
from cto.engine.verdict import Verdict
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, Cancelled
from cto.objects import Manifest, ObjectRef, ref_of
from cto.ports import Clock, Cluster

# The namespace controller looks at every kind that there is; on a busy server this takes a while.
_LONGEST_S = 60.0
_LOOK_S = 0.5
_FRESH_S = 1.0
_EXPLAIN_S = 3.0
# Looking for them reads every definition.
_OBSTACLES_S = 10.0


def until_gone(
    ref: ObjectRef,
    cluster: Cluster,
    clock: Clock,
    *,
    tell: Callable[[str], None],
    stop: Flag | None = None,
) -> Verdict:
    """Wait for a namespace that is being deleted; return how it stood at last.

    Args:
        ref: The namespace.
        cluster: Where it is.
        clock: Measures, and waits.
        tell: Gets what holds it, whenever that changes.
        stop: Ends the wait with Cancelled.
    """
    end = clock.monotonic() + _LONGEST_S
    live = WatchCache(cluster, clock)
    wait = GoneWait([ref], live, cluster, clock)
    told = ""
    try:
        while not (verdict := wait.evaluate()).done:
            if verdict.error or clock.monotonic() >= end:
                break
            if verdict.message != told:
                told = verdict.message
                tell(told)
            live.wait_change(live.generation, _LOOK_S)
            if stop and stop.is_set():
                raise Cancelled
    finally:
        live.close()
    return verdict


# Each may be made for one before it.
_MAKERS = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("apps/v1", "ReplicaSet"),
)


def pods_of(cluster: Cluster, refs: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
    """Return the pods that were made for objects, by whatever in between. Core objects make none.

    The API server lets an object go first, and collects what it owned after that.

    Raises:
        ApiError: They could not be listed.
    """
    going = {(ref.namespace, ref.kind, ref.name) for ref in refs if ref.namespace and ref.group}
    pods: list[ObjectRef] = []
    for namespace in sorted({place for place, _, _ in going}):
        for api_version, kind in (*_MAKERS, POD):
            for item in cluster.list_metadata(api_version, kind, namespace=namespace):
                name, owners = item["metadata"]["name"], item["metadata"].get("ownerReferences")
                if not any((namespace, one["kind"], one["name"]) in going for one in owners or ()):
                    continue
                going.add((namespace, kind, name))
                if kind == "Pod":
                    pods.append(ref_of(item))
    return tuple(pods)


class GoneWait:
    """Waits until objects are gone, and names what holds them."""

    def __init__(
        self, refs: Sequence[ObjectRef], live: WatchCache, cluster: Cluster, clock: Clock
    ) -> None:
        self._live = live
        self._cluster = cluster
        self._clock = clock
        self._timers = Timers(clock)
        self._started_s = clock.monotonic()
        self._total = len(set(refs))
        self._left = grouped(refs)
        self._uids: dict[ObjectRef, str] = {}

    def evaluate(self) -> Verdict:
        """Return what is still there."""
        try:
            answers = {group: self._ask(group) for group in tuple(self._left)}
            left = [item for group, answer in answers.items() for item in self._rest(group, answer)]
        except ApiError as error:
            return Verdict(done=False, message=error.message, error=error)
        count = sum(len(names) for names in self._left.values())
        progress = f"{self._total - count} of {self._total} gone"
        if not count:
            return Verdict(done=True, message=progress)
        silent = silence(answers.values(), self._clock.monotonic())
        evidence = Evidence(self._live, "", self._clock.now)
        away = self._away(left)
        asleep = self._asleep(left)
        expired = self._timers.expired(filter(None, (stuck(evidence, item) for item in left)))
        return Verdict(
            done=False,
            message=silent or ": ".join(filter(None, (progress, asleep, away, _held(left)))),
            error=_named(expired, away).error() if expired else None,
        )

    def _away(self, left: Sequence[Manifest]) -> str:
        """Name what of somebody else's keeps Kubernetes from emptying a namespace.

        It is looked for before Kubernetes says anything: that may take half a minute.
        """
        namespaces = [item for item in left if item["kind"] == "Namespace"]
        told = any(finalizers_of(item) for item in namespaces)
        if told and not any(_is_true(item, name) for item in namespaces for name in FOREIGN):
            return ""
        if not namespaces or self._clock.monotonic() - self._started_s < _EXPLAIN_S:
            return ""
        look = partial(obstacles, self._cluster)
        answer = self._live.ask("obstacles", look, not_before=self._started_s, fresh_s=_OBSTACLES_S)
        return "; ".join(answer.value) if answer and not answer.error else ""

    def _asleep(self, left: Sequence[Manifest]) -> str:
        """Say that the controllers are not at work that would empty and collect, if so."""
        told = any(finalizers_of(item) for item in left if item["kind"] == "Namespace")
        if told or not left or self._clock.monotonic() - self._started_s < _EXPLAIN_S:
            return ""
        since = self._live.silent_programs().get(CONTROLLERS)
        return f"{CONTROLLERS} was last heard of at {since}" if since else ""

    def _ask(self, group: Group) -> QueryAnswer | None:
        # What a namespace waits for stands in its status; of all others the metadata says it.
        full = group[1] == "Namespace"
        items = items_of(self._cluster, group, full=full)
        key = ("items", *group)
        answer = self._live.ask(key, items, not_before=self._started_s, fresh_s=_FRESH_S)
        return checked(answer)

    def _rest(self, group: Group, answer: QueryAnswer | None) -> list[Manifest]:
        if answer is None or answer.error:
            return []
        found = {item["metadata"]["name"]: item for item in answer.value}
        still = {name for name in self._left[group] if self._is_same(found.get(name))}
        if still:
            self._left[group] = still
        else:
            del self._left[group]
        return [found[name] for name in sorted(still)]

    def _is_same(self, manifest: Manifest | None) -> bool:
        """Return whether it is the object that was deleted, not a new one of its name."""
        if manifest is None:
            return False
        uid = uid_of(manifest)
        return self._uids.setdefault(ref_of(manifest), uid) == uid


def uid_of(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("uid", ""))


def _named(cause: Cause, away: str) -> Cause:
    """Return the cause with the names of the API services that it comes from."""
    if not away or cause.row != "namespace-kinds":
        return cause
    message = f"{cause.object}: {away}"
    return replace(cause, message=message, details=cause.message)


def _is_true(manifest: Manifest, condition: str) -> bool:
    return conditions_of(manifest).get(condition, {}).get("status") == "True"


def _held(left: Sequence[Manifest]) -> str:
    for item in sorted(left, key=lambda item: not finalizers_of(item)):
        return f"{item['kind']} {item['metadata']['name']} {finalizers_of(item)}".rstrip()
    return ""
