"""The end of what goes: the pods of objects that are deleted, and the installer's own namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event as Flag

from cto.engine.evidence import POD
from cto.engine.verdict import Verdict
from cto.engine.waiting import GoneWait
from cto.engine.watchcache import WatchCache
from cto.errors import Cancelled
from cto.objects import ObjectRef, ref_of
from cto.ports import Clock, Cluster

# The namespace controller looks at every kind that there is; on a busy server this takes a while.
_LONGEST_S = 60.0
_LOOK_S = 0.5


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
