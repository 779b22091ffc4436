"""Waits: what must become true, whether it is, and why not yet.

A wait never blocks. The engine looks at all of them whenever the cluster changed and at least
once a second, and passes on what they say.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from cto.engine import evidence as ev
from cto.engine.cache import Group, Scope, grouped
from cto.engine.causes import (
    FOREIGN,
    Cause,
    Timers,
    causes_of,
    finalizers_of,
    sort,
    stuck,
)
from cto.engine.controlplane import CONTROLLERS
from cto.engine.evidence import ClaimLookup, Evidence
from cto.engine.queries import Query, QueryAnswer, checked, items_of, names_of, served_by, silence
from cto.engine.readiness import (
    Readiness,
    ReadyState,
    conditions_of,
    has_status,
    status_of,
)
from cto.engine.unanswered import obstacles
from cto.engine.verdict import Verdict
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, CtoError
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of, ref_of
from cto.ports import Clock, Cluster

# Something may be wrong for longer by now, even if nothing changed.
_LOOK_S = 1.0
# A hook of an earlier run is deleted by Helm when its turn comes; not much later than this.
_OLD_HOOK_S = 20.0
_JOB = ("batch/v1", "Job")
_HOOK = "helm.sh/hook"
_INSTANCE = "app.kubernetes.io/instance"
# Few, and without a namespace: asked for one by one until they are ready, not watched.
_ASKED = {"CustomResourceDefinition", "APIService", "Namespace"}
# A definition is up to a megabyte, and each look at one costs the API server more than a tenth of a
# second, just when it is busy with establishing them. What it serves by now is one small answer
# for all of them. A definition itself is looked at when it takes long: it knows why.
_DEFINITION = "CustomResourceDefinition"
_SERVED = "served"
_SERVED_S = 0.25
_EXPLAIN_S = 3.0
# Looking for them reads every definition.
_OBSTACLES_S = 10.0
_CLAIMING = {"PersistentVolumeClaim", "StatefulSet"}
_BUILT_IN = {"", "apps", "batch", "policy"}

_Answers: TypeAlias = dict[Group | ObjectRef | str, QueryAnswer | None]


class ReadyWait:
    """Waits until objects exist and are ready."""

    def __init__(
        self, objects: Sequence[ObjectRef], live: WatchCache, cluster: Cluster, clock: Clock
    ) -> None:
        self._live = live
        self._cluster = cluster
        self._clock = clock
        self._timers = Timers(clock)
        self._started_s = clock.monotonic()
        refs = tuple(dict.fromkeys(objects))
        judged = [ref for ref in refs if has_status(ref.api_version, ref.kind)]
        self._asked = tuple(ref for ref in judged if ref.kind in _ASKED)
        self._watched = tuple(ref for ref in judged if ref.kind not in _ASKED)
        self._plain = grouped(ref for ref in refs if ref not in set(judged))
        self._scopes: tuple[Scope, ...] = ()
        self._needed: set[Scope] = set()
        self._track(Scope(ref.api_version, ref.kind, ref.namespace) for ref in self._watched)
        self._explaining = False
        self._complete: set[ObjectRef] = set()
        self._established: set[ObjectRef] = set()
        self._there: set[Group] = set()
        self._looked: tuple[int, tuple[QueryAnswer | None, ...], float] | None = None
        self._last = Verdict(done=False, message="")

    def _track(self, scopes: Iterable[Scope], *, needed: bool = True) -> None:
        for scope in dict.fromkeys(scopes):
            self._live.track(*scope)
            if scope not in self._scopes:
                self._scopes += (scope,)
            if needed:
                self._needed.add(scope)

    def evaluate(self) -> Verdict:
        """Return how it stands now."""
        try:
            trouble = self._live.trouble(self._needed)
            answers = self._ask()
        except ApiError as error:
            return Verdict(done=False, message=error.message, error=error)
        now = self._clock.monotonic()
        stamp = self._live.stamp(self._scopes)
        before = self._looked
        unchanged = before is not None and before[:2] == (stamp, tuple(answers.values()))
        if before is None or not unchanged or now - before[2] >= _LOOK_S:
            self._last = self._look(answers)
            self._looked = stamp, tuple(answers.values()), now
        trouble = trouble or silence(answers.values(), now)
        if trouble and not self._last.done:
            return replace(self._last, message=trouble)
        return self._last

    def _ask(self) -> _Answers:
        """Have what is not watched looked up, once, and again while it is not as it should be."""
        answers: _Answers = {}
        for group in self._plain:
            if group not in self._there:
                answers[group] = self._question(("names", *group), names_of(self._cluster, group))
        for ref in self._asked:
            if ref not in self._established and self._is_worth_asking(ref, answers):
                answers[ref] = self._question(ref, partial(self._cluster.get, ref))
        return answers

    def _is_worth_asking(self, ref: ObjectRef, answers: _Answers) -> bool:
        """Return whether the object itself must be looked at; not a definition that is served."""
        if ref.kind != _DEFINITION:
            return True
        if _SERVED not in answers:
            served_now = served_by(self._cluster)
            answers[_SERVED] = self._question(_SERVED, served_now, fresh_s=_SERVED_S)
        served = answers[_SERVED]
        if served and not served.error and ref.name in served.value:
            self._established.add(ref)
            return False
        return self._clock.monotonic() - self._started_s >= _EXPLAIN_S

    def _question(
        self, key: Hashable, question: Query, *, fresh_s: float = _LOOK_S
    ) -> QueryAnswer | None:
        answer = self._live.ask(key, question, not_before=self._started_s, fresh_s=fresh_s)
        return checked(answer)

    def _look(self, answers: _Answers) -> Verdict:
        missing = self._absent(answers)
        judged = self._judged(answers)
        unknown = len(judged) < len(self._asked) + len(self._watched) or any(
            answer is None or answer.error for answer in answers.values()
        )
        missing += [ref for ref, (manifest, _) in judged.items() if manifest is None]
        waiting = {
            ref: (manifest, readiness)
            for ref, (manifest, readiness) in judged.items()
            if manifest is not None and not readiness.ready
        }
        if not (missing or waiting or unknown):
            return Verdict(done=True, message=self._progress(len(judged)))
        if (missing or waiting) and not self._explaining:
            # Not before: where all is ready, nobody asks why, and a watch costs a connection.
            # Who may not look at it learns no cause, and waits all the same.
            self._explaining = True
            self._track(_evidence(self._watched), needed=False)
        causes = self._causes(manifest for manifest, _ in waiting.values())
        expired = self._timers.expired(causes)
        gone = sum(manifest is None for manifest, _ in judged.values())
        ready = len(judged) - len(waiting) - gone
        return Verdict(
            done=False,
            message=_message(causes, missing, waiting, self._progress(ready)),
            error=expired.error() if expired else None,
            missing=tuple(missing),
        )

    def _progress(self, ready: int) -> str:
        total = len(self._asked) + len(self._watched)
        # Of what only exists, there is nothing to count.
        return f"{ready} of {total} ready" if total else "objects exist"

    def _absent(self, answers: _Answers) -> list[ObjectRef]:
        """Return those without a status that are known not to exist."""
        missing: list[ObjectRef] = []
        for group, names in self._plain.items():
            answer = answers.get(group)
            if answer is None or answer.error:
                continue
            gone = sorted(names - answer.value)
            missing += [ObjectRef(*group, name) for name in gone]
            if not gone:
                self._there.add(group)
        return missing

    def _judged(self, answers: _Answers) -> dict[ObjectRef, tuple[Manifest | None, Readiness]]:
        """Return those of which something is known."""
        lookup = ClaimLookup(self._live)
        result: dict[ObjectRef, tuple[Manifest | None, Readiness]] = {}
        for ref in self._watched:
            if self._live.synced(ref.api_version, ref.kind, ref.namespace):
                result[ref] = self._judge(ref, self._live.get(ref), lookup)
        for ref in self._asked:
            answer = answers.get(ref)
            if ref in self._established:
                result[ref] = ({}, Readiness(ReadyState.READY))
            elif answer and not answer.error:
                result[ref] = self._judge(ref, answer.value, lookup)
                if result[ref][1].ready:
                    self._established.add(ref)
        return result

    def _judge(
        self, ref: ObjectRef, manifest: Manifest | None, lookup: ClaimLookup
    ) -> tuple[Manifest | None, Readiness]:
        # Jobs with ttlSecondsAfterFinished vanish when they have done their work.
        if ref in self._complete:
            return manifest or {}, Readiness(ReadyState.READY)
        if manifest is None:
            return None, Readiness(ReadyState.PROGRESSING, "is missing")
        readiness = status_of(manifest, lookup)
        if readiness.ready and ref.kind == "Job":
            self._complete.add(ref)
        return manifest, readiness

    def _causes(self, manifests: Iterable[Manifest]) -> list[Cause]:
        evidences: dict[str, Evidence] = {}
        causes: list[Cause] = []
        for manifest in manifests:
            namespace = manifest["metadata"].get("namespace", "")
            if namespace not in evidences:
                evidences[namespace] = Evidence(self._live, namespace, self._clock.now)
            causes += causes_of(evidences[namespace], manifest)
        return sort(causes)


class HookWatch:
    """Looks at what a Helm hook in flight waits for. It is never `done`: Helm says when it is."""

    def __init__(
        self, namespace: str, live: WatchCache, clock: Clock, *, release: str = ""
    ) -> None:
        self._namespace = namespace
        self._live = live
        self._clock = clock
        self._release = release
        self._timers = Timers(clock)
        self._scopes = tuple(Scope(*kind, namespace) for kind in (_JOB, ev.POD, ev.EVENT))
        for scope in self._scopes:
            live.track(*scope)
        self._old: dict[str, bool] | None = None
        self._first_s = 0.0
        # Kept: the hook may be deleted at once (hook-delete-policy: hook-failed).
        self._failed: CtoError | None = None

    def evaluate(self) -> Verdict:
        """Return what the hooks wait for, or why they cannot succeed."""
        try:
            trouble = self._live.trouble(self._scopes)
        except ApiError as error:
            # Helm says whether the hooks succeed; only why they do not stays unknown.
            return Verdict(done=False, message=f"why hooks wait is not known: {error.message}")
        if trouble:
            return Verdict(done=False, message=trouble)
        evidence = Evidence(self._live, self._namespace, self._clock.now)
        hooks = [hook for hook in self._hooks() if not status_of(hook).ready]
        causes = sort(cause for hook in hooks for cause in causes_of(evidence, hook))
        expired = self._timers.expired(causes)
        failed = next((cause.error() for cause in causes if cause.row == "job-failed"), None)
        self._failed = failed or self._failed
        return Verdict(
            done=False,
            message=f"hook {causes[0].message}" if causes else _running(hooks),
            error=expired.error() if expired else None,
            failed=self._failed,
        )

    def _hooks(self) -> list[Manifest]:
        """Return the hooks of this run: Jobs and pods, without what earlier runs left."""
        if not all(self._live.synced(*scope) for scope in self._scopes):
            return []
        found = [
            manifest
            for kind in (_JOB, ev.POD)
            for manifest in self._live.objects(*kind, self._namespace).values()
            if self._is_ours(manifest)
        ]
        now = self._clock.monotonic()
        if self._old is None:
            self._old = {uid_of(hook): _is_over(hook) for hook in found}
            self._first_s = now
        elif now - self._first_s > _OLD_HOOK_S:
            # Still there and not over: Helm has made it in the moment before we looked.
            self._old = {uid: over for uid, over in self._old.items() if over}
        return [hook for hook in found if uid_of(hook) not in self._old]

    def _is_ours(self, manifest: Manifest) -> bool:
        instance = labels_of(manifest).get(_INSTANCE, self._release)
        return _HOOK in annotations_of(manifest) and instance == (self._release or instance)


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
        answer = self._live.ask(key, items, not_before=self._started_s, fresh_s=_LOOK_S)
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


def _evidence(refs: Sequence[ObjectRef]) -> tuple[Scope, ...]:
    """Return what to watch where the causes of trouble with the objects show."""
    scopes: dict[Scope, None] = {}
    for ref in refs:
        custom = ref.group not in _BUILT_IN
        kinds = [ev.POD, ev.EVENT] if custom or ref.kind != "Service" else []
        if custom or ref.kind in _CLAIMING:
            kinds.append(ev.CLAIM)
            scopes[Scope(*ev.STORAGE_CLASS, "")] = None
        if custom:
            # Operators put these between their objects and the pods.
            kinds += [("apps/v1", "StatefulSet"), ("apps/v1", "Deployment")]
        scopes.update(dict.fromkeys(Scope(*kind, ref.namespace) for kind in kinds))
    return tuple(scopes)


def _message(
    causes: Sequence[Cause],
    missing: Sequence[ObjectRef],
    waiting: Mapping[ObjectRef, tuple[Manifest, Readiness]],
    progress: str,
) -> str:
    if causes:
        more = len(causes) - 1
        return causes[0].message + (f" (and {more} more)" if more else "")
    if missing:
        return f"{progress}: {missing[0]} is missing"
    for ref, (_, readiness) in waiting.items():
        return f"{progress}: {ref.kind} {ref.name} {readiness.message}"
    return f"{progress}: looking at the cluster"


def _running(hooks: Sequence[Manifest]) -> str:
    if not hooks:
        return ""
    first = hooks[0]
    return f"hook {first['kind']} {first['metadata']['name']}: {status_of(first).message}"


def _is_over(hook: Manifest) -> bool:
    return status_of(hook).state is not ReadyState.PROGRESSING


class TerminatingWatch:
    """Looks at what holds a namespace that has to go before it can be made anew.

    It is never `done`: whoever makes the namespace says when it is.
    """

    def __init__(self, ref: ObjectRef, live: WatchCache, cluster: Cluster, clock: Clock) -> None:
        self._ref = ref
        self._live = live
        self._cluster = cluster
        self._clock = clock
        self._begun_s = clock.monotonic()
        self._gone: GoneWait | None = None

    def evaluate(self) -> Verdict:
        """Return what holds it; nothing as long as nobody had to wait for it."""
        if self._gone is None:
            if self._clock.monotonic() - self._begun_s < _LOOK_S:
                return Verdict(done=False, message="")
            self._gone = GoneWait([self._ref], self._live, self._cluster, self._clock)
        verdict = self._gone.evaluate()
        text = "" if verdict.done else f"the old one is being deleted, {verdict.message}"
        return Verdict(done=False, message=text, error=verdict.error)


class ProgramWatch:
    """Looks at the objects of a program while it is asked: one that ends again does not answer.

    It is never `done`: whoever asks says when there was an answer.
    """

    def __init__(
        self, objects: Sequence[ObjectRef], live: WatchCache, cluster: Cluster, clock: Clock
    ) -> None:
        self._ready = ReadyWait(objects, live, cluster, clock)

    def evaluate(self) -> Verdict:
        """Return why it does not answer; nothing as long as its objects say that it could."""
        verdict = self._ready.evaluate()
        return replace(verdict, done=False, message="" if verdict.done else verdict.message)


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
