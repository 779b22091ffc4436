"""The objects of one moment, each kind and namespace listed once, and only if asked for.

A run that finds nothing to do looks at every object once, not three times: whether it exists,
whether it is ready, and whether the platform is healthy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from cto.engine import controlplane
from cto.engine.cache import Group, Lacking, Tail, nothing_lacks, read_last_line
from cto.engine.evidence import ClaimLookup
from cto.engine.nodes import listed
from cto.engine.readiness import has_status, status_of
from cto.objects import Manifest, ObjectRef
from cto.ports import Clock, Cluster

# Requests that wait for the server while another one's answer is decoded.
_PARALLEL = 8
# A log line comes from a node: few are worth waiting for when many pods fail for one reason.
_LOGS = 3
# What is older has to be asked for again. Pods of a node that is gone are called ready for as long,
# until its --node-monitor-grace-period is over: younger lists say no less than new ones would.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
_FRESH_S = 40.0


class ListCache:
    """A Cache over lists instead of watches.

    Kinds without a status are listed as metadata.
    """

    def __init__(self, cluster: Cluster, lacking: Lacking = nothing_lacks) -> None:
        self.lacking = lacking
        self._cluster = cluster
        self._lists: dict[Group, Mapping[str, Manifest]] = {}
        self._nodes: tuple[Manifest, ...] | None = None
        self._lines: dict[Tail, str] = {}
        self._lock = Lock()
        self._silent: Mapping[str, str] | None = None
        self._nodes_lock = Lock()

    def fetch(self, groups: Iterable[Group]) -> None:
        """List several at once.

        Raises:
            ApiError: The first refusal.
        """
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="list") as pool:
            for _ in pool.map(lambda group: self.objects(*group), groups):
                pass

    def objects(self, api_version: str, kind: str, namespace: str) -> Mapping[str, Manifest]:
        group = (api_version, kind, namespace)
        known = self._lists.get(group)
        if known is None:
            known = self._list(api_version, kind, namespace)
            with self._lock:
                self._lists[group] = known
        return known

    def nodes(self) -> tuple[Manifest, ...]:
        """Return what counts of every node, see engine.nodes."""
        # One list at a time, while others go on: it is the longest of all.
        with self._nodes_lock:
            if self._nodes is None:
                self._nodes = listed(self._cluster)
            return self._nodes

    def last_line(self, tail: Tail) -> str:
        if tail not in self._lines:
            if len(self._lines) >= _LOGS:
                return ""
            self._lines[tail] = read_last_line(self._cluster, tail)
        return self._lines[tail]

    def unchanged_s(self, manifest: Manifest) -> float:
        """See `Cache`: there was no look before this one."""
        del manifest
        return math.inf

    def silent_programs(self) -> Mapping[str, str]:
        """See `Cache`."""
        if self._silent is None:
            self._silent = controlplane.silent(self._cluster)
        return self._silent

    def _list(self, api_version: str, kind: str, namespace: str) -> dict[str, Manifest]:
        # Events and classes have no status and tell by their fields.
        full = has_status(api_version, kind) or kind in {"Event", "StorageClass"}
        ask = self._cluster.list if full else self._cluster.list_metadata
        items = ask(api_version, kind, namespace=namespace)
        return {item["metadata"]["name"]: item for item in items}


class ObservationCache:
    """Keeps the lists of the last observation as long as they tell how things are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lists: ListCache | None = None
        self._at_s = 0.0

    def keep(self, lists: ListCache) -> None:
        """Remember lists that are made from now on."""
        self._lists, self._at_s = lists, self._clock.monotonic()

    def drop(self) -> None:
        """Forget them: something changes."""
        self._lists = None

    def lists(self) -> ListCache | None:
        """Return the lists; None if there are none, or they are old."""
        age_s = self._clock.monotonic() - self._at_s
        return self._lists if age_s < _FRESH_S else None

    def shows_ready(self, refs: Iterable[ObjectRef]) -> bool:
        """Whether all these objects were there, and ready; False if that was not seen."""
        lists = self.lists()
        return lists is not None and all(_is_ready(lists, ref) for ref in refs)


def _is_ready(lists: ListCache, ref: ObjectRef) -> bool:
    manifest = lists.objects(ref.api_version, ref.kind, ref.namespace).get(ref.name)
    if manifest is None:
        return False
    judged = has_status(ref.api_version, ref.kind)
    return not judged or status_of(manifest, ClaimLookup(lists)).ready
