"""The plan of an upgrade as text for people: by component, from what to what, object by object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cto import __version__
from cto.cli.describe import counted, step_lines, summary, table
from cto.plan import change
from cto.plan.changes import CHANGING, Action, ObjectChange
from cto.plan.observed import State
from cto.plan.steps import ApplyManifests, ApplyRelease, Plan, Step

_VERBS = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.DELETE: "-",
    Action.REPAIR: "!",
}
_FIELDS = 8


def upgrade_text(plan: Plan, state: State | None) -> str:
    """Return what an upgrade changes.

    Args:
        plan: What it would do.
        state: What is installed.
    """
    lines = [_headline(plan, state), ""]
    if rows := list(_rows(plan)):
        lines += [*table([("component", "chart", "app", "objects"), *rows]), ""]
    told = change.hazards(plan)
    for component in plan.components:
        steps = [one for one in plan.changes if one.component == component.name]
        if steps:
            lines += [f"{component.title}:", *(line for one in steps for line in _lines(one))]
            lines += [f"  know: {text}" for text in told.get(component.name, ())]
    lines += [line for step in plan.changes if not step.component for line in step_lines(step)]
    return "\n".join([*lines, summary(plan), *(f"warning: {text}" for text in plan.warnings)])


def _headline(plan: Plan, state: State | None) -> str:
    profile = _arrow(state.profile if state else "", plan.profile)
    writer = _arrow(state.writer if state else "", __version__)
    return f"Plan: upgrade {plan.context} ({plan.provider}): cto {writer}, profile {profile}"


def _arrow(old: str, new: str) -> str:
    return f"{old} -> {new}" if old and old != new else new


def _rows(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    for step in plan.steps:
        if isinstance(step, ApplyRelease) and step.action in CHANGING:
            chart, app = step.installed
            spec = step.release.chart
            objects = [
                one
                for other in plan.steps
                if isinstance(other, ApplyRelease | ApplyManifests)
                and other.component == step.component
                for one in other.objects
            ]
            yield (
                step.component,
                _arrow(chart, f"{spec.name}-{spec.version}"),
                _arrow(app, spec.app_version),
                _count(objects),
            )


def _count(objects: Sequence[ObjectChange]) -> str:
    told = {
        "new": sum(one.action is Action.CREATE for one in objects),
        "changed": sum(one.action is Action.UPDATE for one in objects),
        "deleted": sum(one.action is Action.DELETE for one in objects),
        "replaced": sum(one.action is Action.REPAIR for one in objects),
    }
    restarts = sum(one.restarts for one in objects)
    parts = [f"{number} {what}" for what, number in told.items() if number]
    parts += [counted(restarts, "restart")] if restarts else []
    return ", ".join(parts)


def _lines(step: Step) -> Iterator[str]:
    yield from step_lines(step)
    if isinstance(step, ApplyRelease | ApplyManifests):
        for one in step.objects:
            yield from _object_lines(one)


def _object_lines(change: ObjectChange) -> Iterator[str]:
    notes = ["deleted and made again"] if change.action is Action.REPAIR else []
    notes += ["its pods restart"] if change.restarts else []
    note = f" ({', '.join(notes)})" if notes else ""
    yield f"      {_VERBS[change.action]} {change.ref}{note}"
    for field in change.fields[:_FIELDS]:
        yield f"          {field}"
    if (more := len(change.fields) - _FIELDS) > 0:
        yield f"          and {counted(more, 'field')} more"
