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
    Cause,
    Timers,
    causes_of,
    sort,
)
from cto.engine.evidence import ClaimLookup, Evidence
from cto.engine.queries import Query, QueryAnswer, checked, names_of, served_by, silence
from cto.engine.readiness import (
    Readiness,
    ReadyState,
    has_status,
    status_of,
)
from cto.engine.verdict import Verdict
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.ports import Clock, Cluster

# Something may be wrong for longer by now, even if nothing changed.
_LOOK_S = 1.0
# Few, and without a namespace: asked for one by one until they are ready, not watched.
_ASKED = {"CustomResourceDefinition", "APIService", "Namespace"}
# A definition is up to a megabyte, and each look at one costs the API server more than a tenth of a
# second, just when it is busy with establishing them. What it serves by now is one small answer
# for all of them. A definition itself is looked at when it takes long: it knows why.
_DEFINITION = "CustomResourceDefinition"
_SERVED = "served"
_SERVED_S = 0.25
_EXPLAIN_S = 3.0
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
