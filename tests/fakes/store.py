"""Objects of a fake API server, and who watches them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Condition
from threading import Event as Flag

from cto.objects import Manifest
from cto.ports import WatchEvent, WatchType

# A watcher looks at its stop flag this often: flags cannot notify a condition.
_LOOK_S = 0.02

Key = tuple[str, str, str, str]
"""group, plural, namespace, name"""


@dataclass
class _Watcher:
    matches: Callable[[Key], bool]
    events: deque[tuple[WatchType, Manifest] | None] = field(default_factory=deque)


class Store:
    """Keeps copies, counts resource versions, tells watchers."""

    def __init__(self) -> None:
        self.changed = Condition()
        self._objects: dict[Key, Manifest] = {}
        self._watchers: list[_Watcher] = []
        self._version = 100
        self._uids = 0

    def get(self, key: Key) -> Manifest | None:
        with self.changed:
            return copy.deepcopy(self._objects.get(key))

    def items(self, matches: Callable[[Key], bool]) -> list[tuple[Key, Manifest]]:
        with self.changed:
            return [
                (key, copy.deepcopy(manifest))
                for key, manifest in sorted(self._objects.items(), key=lambda item: item[0])
                if matches(key)
            ]

    def put(self, key: Key, manifest: Manifest) -> Manifest:
        """Store a new version, unless nothing changed; return what is stored."""
        with self.changed:
            live = self._objects.get(key)
            if live is not None and _without_version(live) == _without_version(manifest):
                return copy.deepcopy(live)
            self._version += 1
            stored = copy.deepcopy(manifest)
            metadata = stored["metadata"]
            metadata["resourceVersion"] = str(self._version)
            self._uids += 1
            new = f"00000000-0000-4000-8000-{self._uids:012d}"
            metadata.setdefault("uid", live["metadata"]["uid"] if live else new)
            self._objects[key] = stored
            self._tell(key, WatchType.MODIFIED if live else WatchType.ADDED, stored)
            return copy.deepcopy(stored)

    def remove(self, key: Key) -> None:
        with self.changed:
            gone = self._objects.pop(key)
            self._version += 1
            gone["metadata"]["resourceVersion"] = str(self._version)
            self._tell(key, WatchType.DELETED, gone)

    def resync(self) -> None:
        """Let every watcher start again with a SYNC, as after a broken connection."""
        with self.changed:
            for watcher in self._watchers:
                watcher.events.clear()
                watcher.events.append(None)
            self.changed.notify_all()

    def watch(self, matches: Callable[[Key], bool], stop: Flag) -> Iterator[WatchEvent]:
        watcher = _Watcher(matches)
        watcher.events.append(None)
        with self.changed:
            self._watchers.append(watcher)
        try:
            while not stop.is_set():
                yield from self._next(watcher)
        finally:
            with self.changed:
                self._watchers.remove(watcher)

    def _next(self, watcher: _Watcher) -> tuple[WatchEvent, ...]:
        with self.changed:
            if not watcher.events:
                self.changed.wait(_LOOK_S)
            if not watcher.events:
                return ()
            event = watcher.events.popleft()
            if event is None:
                everything = tuple(manifest for _, manifest in self.items(watcher.matches))
                watcher.events.clear()
                return (WatchEvent(WatchType.SYNC, everything),)
            return (WatchEvent(event[0], (copy.deepcopy(event[1]),)),)

    def _tell(self, key: Key, change: WatchType, manifest: Manifest) -> None:
        for watcher in self._watchers:
            if watcher.matches(key):
                watcher.events.append((change, copy.deepcopy(manifest)))
        self.changed.notify_all()


def _without_version(manifest: Manifest) -> Manifest:
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "resourceVersion"}
    return {**manifest, "metadata": metadata}
