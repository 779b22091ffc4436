"""The wait for the installer's own namespace to go, outside of any plan."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag

from cto.engine.live import Live
from cto.engine.verdict import Verdict
from cto.engine.waiting import GoneWait
from cto.errors import Cancelled
from cto.objects import ObjectRef
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
    live = Live(cluster, clock)
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
