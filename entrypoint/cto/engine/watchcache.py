"""What happens in the cluster, kept up to date by watches.

Nobody polls: one daemon thread per kind and namespace follows the API server's changes, and
whoever waits looks at the copies.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from threading import Event as Flag
from threading import Lock, Thread
from types import MappingProxyType

from cto.engine import controlplane
from cto.engine.cache import NOTHING, Lacking, Scope, Tail, nothing_lacks, read_last_line
from cto.engine.queries import Queries, Query, QueryAnswer, heals, unreachable
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, ref_of
from cto.ports import Clock, Cluster, WatchEvent, WatchType

# A watch that failed is begun again after this time.
_PAUSE_S = 1.0
_CLOSE_S = 1.0
# Watches mend themselves in silence: after so long without news, ask whether anybody is there.
_QUIET_S = 5.0


class WatchCache:
    """An informer-like cache over `Cluster.watch`.

    Close it: its threads end within a second.

    Args:
        cluster: Whose watches are followed.
        clock: For `wait_change`, and to say since when something is wrong.
        on_change: Called in any thread whenever the generation has grown; must return at once.
        pause_s: How long to pause before a failed watch is begun again.
        lacking: See `Cache`.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        *,
        on_change: Callable[[], None] = lambda: None,
        pause_s: float = _PAUSE_S,
        lacking: Lacking = nothing_lacks,
    ) -> None:
        self.lacking = lacking
        self._cluster = cluster
        self._clock = clock
        self._on_change = on_change
        self._pause_s = pause_s
        self._lock = Lock()
        self._stop = Flag()
        self._changed = Flag()
        self._generation = 0
        self._heard_s = clock.monotonic()
        self._silent = False
        self._watches: dict[Scope, _Watch] = {}
        self._questions = Queries("questions", clock, self.wake)
        # Logs come through the API server from a kubelet, which may take its time to answer.
        self._logs = Queries("logs", clock, self._take_line)
        self._lines = 0

    def track(self, api_version: str, kind: str, namespace: str = "") -> None:
        """Begin to follow a kind in a namespace, unless that is done already."""
        scope = Scope(api_version, kind, namespace)
        with self._lock:
            if scope in self._watches or self._stop.is_set():
                return
            watch = self._watches[scope] = _Watch()
        name = f"watch {kind} {namespace}".rstrip()
        watch.thread = Thread(target=self._follow, args=(scope, watch), name=name, daemon=True)
        watch.thread.start()

    def objects(self, api_version: str, kind: str, namespace: str = "") -> Mapping[str, Manifest]:
        """Return a snapshot by name (`NAMESPACE/NAME` where all namespaces are followed)."""
        watch = self._watches.get(Scope(api_version, kind, namespace))
        return watch.objects if watch else NOTHING

    def get(self, ref: ObjectRef) -> Manifest | None:
        return self.objects(ref.api_version, ref.kind, ref.namespace).get(ref.name)

    def last_line(self, tail: Tail) -> str:
        """Return the last line of a container's log; asked for once per restart.

        Until it is there, the line of the restart before stands in.
        """
        answer = self._logs.ask(tail, lambda: read_last_line(self._cluster, tail))
        if answer is None and tail.restarts > 1:
            answer = self._logs.known(tail._replace(restarts=tail.restarts - 1))
        return answer.value if answer and answer.value else ""

    def unchanged_s(self, manifest: Manifest) -> float:
        """See `Cache`."""
        ref = ref_of(manifest)
        watch = self._watches.get(Scope(ref.api_version, ref.kind, ref.namespace))
        since = watch.since.get(ref.name) if watch else None
        return 0.0 if since is None else self._clock.monotonic() - since

    def silent_programs(self) -> Mapping[str, str]:
        """See `Cache`; asked for in the background."""
        question = partial(controlplane.silent, self._cluster)
        answer = self.ask("control plane", question, fresh_s=_QUIET_S)
        return answer.value if answer and not answer.error else {}

    def ask(
        self,
        key: Hashable,
        question: Query,
        *,
        not_before: float = 0.0,
        fresh_s: float = float("inf"),
    ) -> QueryAnswer | None:
        """Have a request answered in the background; see Queries.ask."""
        return self._questions.ask(key, question, not_before=not_before, fresh_s=fresh_s)

    def synced(self, api_version: str, kind: str, namespace: str = "") -> bool:
        """Return whether the objects are known, be there any or not."""
        watch = self._watches.get(Scope(api_version, kind, namespace))
        return watch is not None and watch.synced

    @property
    def generation(self) -> int:
        """A number that grows with every change."""
        return self._generation

    def stamp(self, scopes: Iterable[Scope]) -> int:
        """Return a number that grows with every change in these scopes, and every log line."""
        found = (self._watches.get(scope) for scope in scopes)
        return self._lines + sum(watch.changes for watch in found if watch)

    def wait_change(self, since: int, timeout_s: float) -> int:
        """Return the generation as soon as it is no longer `since`, or after the timeout."""
        with self._lock:
            if self._generation != since or self._stop.is_set():
                return self._generation
            if self._changed.is_set():
                self._changed = Flag()
            flag = self._changed
        self._clock.wait(flag, timeout_s)
        return self._generation

    def wake(self) -> None:
        """Raise the generation: something is worth looking at."""
        with self._lock:
            self._generation += 1
            self._changed.set()
        self._on_change()

    def trouble(self, scopes: Iterable[Scope]) -> str:
        """Return what is wrong with the watches of these scopes, '' if they work.

        Raises:
            ApiError: The API server refuses to answer (not: it cannot be reached).
        """
        for watch in filter(None, map(self._watches.get, scopes)):
            if watch.failure is not None and not heals(watch.failure):
                raise watch.failure
        silent_s = self._clock.monotonic() - self._heard_s
        return "" if self._is_alive() else unreachable(silent_s)

    def _is_alive(self) -> bool:
        now = self._clock.monotonic()
        if now - self._heard_s < _QUIET_S:
            return True
        answer = self.ask(
            "alive", self._cluster.server_version, not_before=self._heard_s, fresh_s=_QUIET_S / 2
        )
        if answer is None:
            # A request to a server that hangs ends late: half a minute is too long to say nothing.
            return not self._silent and self._questions.pending_s("alive") < _QUIET_S
        self._silent = answer.error is not None and heals(answer.error)
        if not self._silent:
            self._heard_s = max(self._heard_s, answer.at)
        return not self._silent

    def close(self) -> None:
        """End all threads."""
        self._stop.set()
        self.wake()
        self._questions.close()
        self._logs.close()
        deadline = self._clock.monotonic() + _CLOSE_S
        for watch in tuple(self._watches.values()):
            if watch.thread:
                watch.thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _take_line(self) -> None:
        self._lines += 1
        self.wake()

    def _follow(self, scope: Scope, watch: _Watch) -> None:
        while not self._stop.is_set():
            try:
                self._take_all(scope, watch)
            except Exception as error:  # noqa: BLE001 - `trouble` raises it where it is seen
                self._fail(watch, error)
            # Not the clock's wait: this thread must not move a clock that others go by.
            self._stop.wait(self._pause_s)

    def _take_all(self, scope: Scope, watch: _Watch) -> None:
        events = self._cluster.watch(
            scope.api_version, scope.kind, namespace=scope.namespace, stop=self._stop
        )
        for event in events:
            self._heard_s = self._clock.monotonic()
            watch.take(event, by_namespace=not scope.namespace, now=self._heard_s)
            self._silent = False
            self.wake()
            if self._stop.is_set():
                return

    def _fail(self, watch: _Watch, error: Exception) -> None:
        if self._stop.is_set():
            return
        if isinstance(error, ApiError) and error.is_absence:
            # There is nothing of a kind that is not served; its CRD may come.
            watch.take(WatchEvent(WatchType.SYNC, ()), by_namespace=False, now=0.0)
        else:
            watch.fail(error)
        self.wake()


class _Watch:
    """The objects of one scope. Written by its thread only; readers get snapshots."""

    def __init__(self) -> None:
        self.objects = NOTHING
        self.since: Mapping[str, float] = {}
        self.synced = False
        self.changes = 0
        self.failure: Exception | None = None
        self.thread: Thread | None = None

    def take(self, event: WatchEvent, *, by_namespace: bool, now: float) -> None:
        new = {_name(item, by_namespace=by_namespace): item for item in event.items}
        if event.type is WatchType.SYNC:
            objects = {name: _slim(item) for name, item in new.items()}
        elif event.type is WatchType.DELETED:
            objects = {name: item for name, item in self.objects.items() if name not in new}
        else:
            objects = {**self.objects, **{name: _slim(item) for name, item in new.items()}}
        changed = {
            name: now
            for name, item in new.items()
            if name in objects and _version(self.objects.get(name)) != _version(item)
        }
        kept = {name: since for name, since in self.since.items() if name in objects}
        self.since = {**kept, **changed}
        self.objects = MappingProxyType(objects)
        self.failure = None
        self.synced = True
        self.changes += 1

    def fail(self, error: Exception) -> None:
        self.failure = error
        self.changes += 1


def _version(manifest: Manifest | None) -> object:
    """Return what tells whether an object changed; objects without a version always did."""
    return manifest["metadata"].get("resourceVersion", object()) if manifest else None


def _name(manifest: Manifest, *, by_namespace: bool) -> str:
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace", "") if by_namespace else ""
    return sys.intern(f"{namespace}/{metadata['name']}" if namespace else metadata["name"])


def _slim(manifest: Manifest) -> Manifest:
    """Leave out the managed fields: they can be half of an object, and nobody here reads them."""
    metadata = manifest["metadata"]
    if "managedFields" not in metadata:
        return manifest
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**manifest, "metadata": kept}
