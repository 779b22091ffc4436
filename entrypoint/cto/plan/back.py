"""Builds the plan that brings components back to what they were before a run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from cto.catalog import Component
from cto.objects import Manifest, ObjectRef, ref_of
from cto.plan import labels
from cto.plan.changes import Action
from cto.plan.desired import STEP_TIMEOUT_S, phase_of
from cto.plan.observed import Observed, ReleaseState
from cto.plan.steps import ApplyManifests, ApplyRelease, Plan, RollbackRelease, Step, WaitReady

ROLLBACK = "rollback"
"""What the id of a step begins with that rolls a release back: `rollback:COMPONENT`."""
_ALL = "every object, by its status"


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a component was before a run.

    Attributes:
        chart: `NAME-VERSION`.
        revision: Helm's, that was deployed.
        known: What the state knew of it.
        own: Its own objects, as they can be applied, without Secrets: these stay as they are.
    """

    component: str
    chart: str
    revision: int
    known: ReleaseState
    own: tuple[Manifest, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what tells it apart, for people."""
        return {"chart": self.chart, "revision": self.revision}


def before(plan: Plan, observed: Observed) -> dict[str, Before]:
    """Return what the components were that a plan changes, without their own objects.

    A component that was never deployed, or whose inventory nobody has, cannot be brought back.
    """
    known = observed.state.releases if observed.state else {}
    found: dict[str, Before] = {}
    for step in plan.changes:
        release = known.get(step.component)
        if release is None or not isinstance(step, ApplyRelease | ApplyManifests | RollbackRelease):
            continue
        record = observed.records.get(f"{release.namespace}/{release.release}")
        if record and record.deployed_revision and release.objects:
            found[step.component] = Before(
                component=step.component,
                chart=record.deployed_labels.get(labels.CHART, ""),
                revision=record.deployed_revision,
                known=release,
            )
    return found


def back(
    items: Sequence[Before],
    like: Plan,
    own: Mapping[str, AbstractSet[ObjectRef]],
    *,
    there: Sequence[Before] = (),
    timeout_s: float = STEP_TIMEOUT_S,
) -> Plan:
    """Return the plan that brings components back to what they were, one beside the other.

    Args:
        items: What they were.
        like: A plan for the same cluster, that knows the components.
        own: The own objects of components as they are now, or may be.
        there: Components that are back already, by a run that was killed: they may not be ready.
        timeout_s: How long a step may take.
    """
    components = {one.name: one for one in like.components}
    going = [item for item in items if item.component in components]
    steps: list[Step] = []
    for item in going:
        component, now = components[item.component], own.get(item.component, frozenset())
        steps += _steps(component, item, now, timeout_s)
    for item in there:
        if item.component in components:
            steps.append(_ready(components[item.component], item, (), timeout_s))
    return Plan(
        command=ROLLBACK,
        context=like.context,
        provider=like.provider,
        profile=like.profile,
        simulated=like.simulated,
        steps=tuple(steps),
        components=tuple(components[item.component] for item in going),
    )


def own_objects(plan: Plan) -> dict[str, set[ObjectRef]]:
    """Return the own objects that components get by a plan."""
    found: dict[str, set[ObjectRef]] = {}
    for step in plan.steps:
        if isinstance(step, ApplyManifests):
            found.setdefault(step.component, set()).update(map(ref_of, step.manifests))
    return found


def _steps(
    component: Component, item: Before, new: AbstractSet[ObjectRef], timeout_s: float
) -> Iterator[Step]:
    yield RollbackRelease(
        **_common(component, ROLLBACK, Action.UPDATE, f"to {item.chart}", timeout_s),
        title=f"Roll {component.title} back to {item.chart}",
        release=component.release,
        namespace=component.namespace,
        revision=item.revision,
        known=item.known,
    )
    after = f"{ROLLBACK}:{component.name}"
    added = new - set(item.known.glue)
    if item.own or added:
        yield ApplyManifests(
            **_common(component, "own", Action.UPDATE, "as they were", timeout_s),
            title=f"Bring the own objects of {component.title} back",
            after=(after,),
            manifests=item.own,
            prune=tuple(sorted(added)),
        )
        after = f"own:{component.name}"
    yield _ready(component, item, (after,), timeout_s)


def _ready(
    component: Component, item: Before, after: tuple[str, ...], timeout_s: float
) -> WaitReady:
    return WaitReady(
        **_common(component, "back", Action.WAIT, _ALL, timeout_s),
        title=f"{component.title} is ready again",
        after=after,
        namespace=component.namespace,
        objects=item.known.objects,
        waves=component.ready.waves,
    )


def _common(
    component: Component, name: str, action: Action, reason: str, timeout_s: float
) -> dict[str, Any]:
    return {
        "id": f"{name}:{component.name}",
        "phase": phase_of(component),
        "component": component.name,
        "action": action,
        "reason": reason,
        "timeout_s": timeout_s,
    }
