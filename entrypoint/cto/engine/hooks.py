"""What is looked at while Helm or another step is at work: its hooks, namespaces, programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cto.engine import evidence as ev
from cto.engine.cache import Scope
from cto.engine.causes import (
    Timers,
    causes_of,
    sort,
)
from cto.engine.evidence import Evidence
from cto.engine.gone import GoneWait, uid_of
from cto.engine.readiness import (
    ReadyState,
    status_of,
)
from cto.engine.verdict import Verdict
from cto.engine.waiting import ReadyWait
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, CtoError
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of
from cto.ports import Clock, Cluster

# Something may be wrong for longer by now, even if nothing changed.
_LOOK_S = 1.0
# A hook of an earlier run is deleted by Helm when its turn comes; not much later than this.
_OLD_HOOK_S = 20.0
_JOB = ("batch/v1", "Job")
_HOOK = "helm.sh/hook"
_INSTANCE = "app.kubernetes.io/instance"


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
