"""How long steps take, and which of them the end of a plan waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

from cto.plan.steps import Action, ApplyCrds, ApplyRelease, Step, UninstallRelease, WaitReady

# Without an earlier run: medians of local clusters, good enough to order steps by.
_RELEASE_S = 2.0
_HOOK_S = 10.0
_READY_S = 10.0
_CRDS_S = 2.0
_OTHER_S = 0.2


def estimate_s(step: Step, last: Mapping[str, float], *, hooks: bool = False) -> float:
    """Return the seconds that a step will take, by the last run if there was one."""
    if step.action in {Action.KEEP, Action.SKIP}:
        return 0.0
    if step.id in last:
        return last[step.id]
    match step:
        case ApplyRelease() | UninstallRelease():
            return _RELEASE_S + (_HOOK_S if hooks else 0.0)
        case WaitReady():
            return _READY_S * step.waves
        case ApplyCrds():
            return _CRDS_S
        case _:
            return _OTHER_S


def remaining_s(
    steps: Sequence[Step], last: Mapping[str, float], hooked: frozenset[str] = frozenset()
) -> dict[str, float]:
    """Return for each step how long it is from its start to the plan's end, along the graph.

    `hooked` names the components whose releases run hooks.
    """
    by_id = {step.id: step for step in steps}
    followers: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for before in step.after:
            followers[before].append(step.id)
    result: dict[str, float] = {}
    for name in TopologicalSorter(followers).static_order():
        step = by_id[name]
        rest = max((result[follower] for follower in followers[name]), default=0.0)
        result[name] = estimate_s(step, last, hooks=step.component in hooked) + rest
    return result
