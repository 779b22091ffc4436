"""What changes about a release, told by the labels of its records, and whether that is a step back.

Whoever goes back asks for it: the older program may not read what the newer one wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cto.objects import ObjectRef
from cto.plan import labels
from cto.plan.changes import Action, Downgrade
from cto.plan.steps import ApplyCrds, ApplyRelease, Plan
from cto.ports import Chart
from cto.result import Check, CheckStatus, Topic
from cto.versions import is_older, key

OPTION = "--allow-downgrade"
_DOWNGRADE = Topic("downgrade", "Downgrades")
_STOPS = Topic("stops", "Required stops")
# Of what an older cto installed only the whole digest is known.
_UNKNOWN = "its chart, values or images changed"


def reason(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Say what differs between two records of a release: chart, values, images, Kubernetes."""
    return ", ".join(_differences(found, wanted)) or _UNKNOWN


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    old, new = found.get(labels.CHART, "another chart"), wanted[labels.CHART]
    if old != new:
        yield f"{old} -> {new}"
    elif _differ(labels.CHART_DIGEST, found, wanted):
        yield f"the content of chart {new} changed"
    if _differ(labels.VALUES_DIGEST, found, wanted):
        yield "values changed"
    if _differ(labels.IMAGES_DIGEST, found, wanted):
        yield "images come from elsewhere"
    if _differ(labels.KUBERNETES, found, wanted):
        yield f"Kubernetes {found[labels.KUBERNETES]} -> {wanted[labels.KUBERNETES]}"


def _differ(label: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return label in found and found[label] != wanted.get(label)


def downgrade(chart: Chart, records: Iterable[Mapping[str, str]]) -> Downgrade | None:
    """Return the step back from what was installed with these labels; None if it is none.

    What cannot be compared counts as one: a version that is unknown is none that is known to be
    older. The app's version is free text in charts, so there only what is a version counts. A chart
    of another name came with a release that was handed over: its versions say nothing of ours.
    """
    new = labels.value_of(f"{chart.name}-{chart.version}")
    for found in sorted(records, key=lambda item: _rank(chart, item), reverse=True):
        old = found.get(labels.CHART, "")
        if not old.startswith(f"{chart.name}-"):
            continue
        older = old != new and is_older(chart.version, old.removeprefix(f"{chart.name}-"))
        if older is None:
            return Downgrade(old, new, "versions that cannot be compared")
        if older:
            return Downgrade(old, new, "an older chart")
        app_old, app_new = found.get(labels.APP_VERSION, ""), labels.value_of(chart.app_version)
        if is_older(app_new, app_old):
            return Downgrade(f"{old}, app {app_old}", f"{new}, app {app_new}", "an older app")
    return None


def _rank(chart: Chart, found: Mapping[str, str]) -> tuple[bool, object]:
    order = key(found.get(labels.CHART, "").removeprefix(f"{chart.name}-"))
    return (order is not None, order or 0)


def check(plan: Plan, *, allowed: bool) -> tuple[Check, ...]:
    """Name the steps back that a plan holds: a reason not to begin, unless they are asked for."""
    found = _downgrades(plan)
    if not found:
        return ()
    return (
        _DOWNGRADE.check(
            CheckStatus.WARNING if allowed else CheckStatus.FAILED,
            "asked for" if allowed else "nobody asked for them",
            fix=""
            if allowed
            else "Take a cto, a bundle or charts that are not older, or no older `components.NAME"
            f".version`. To go back all the same: back up the data, then {OPTION}.",
            code="" if allowed else "CTO-1470",
            items=tuple(found),
        ),
    )


def stops(plan: Plan) -> tuple[Check, ...]:
    """Name the charts that may not follow what is installed: something lies in between."""
    components = {component.name: component for component in plan.components}
    found = []
    for step in plan.changes:
        if not isinstance(step, ApplyRelease):
            continue
        component, old = components[step.component], installed_version(step)
        oldest = component.upgrade.from_
        if old and oldest and is_older(old, oldest):
            chart = step.release.chart
            found.append(f"{component.title}: {old} -> {chart.version}, which follows {oldest}")
    if not found:
        return ()
    fix = (
        "Upgrade with a cto of the time in between first, and then with this one: its bundle has "
        "the charts that are named, or newer ones."
    )
    told = "a chart in between is needed"
    return (_STOPS.failed(told, fix=fix, code="CTO-1473", items=tuple(found)),)


def installed_version(step: ApplyRelease) -> str:
    """Return the version of the chart that is there; '' for none, or for one of another name."""
    name = f"{step.release.chart.name}-"
    chart, _ = step.installed
    return chart.removeprefix(name) if chart.startswith(name) else ""


def hazards(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return what to know of components whose charts change, by their names."""
    components = {component.name: component for component in plan.components}
    found = {}
    for step in plan.changes:
        if isinstance(step, ApplyRelease) and (old := installed_version(step)):
            new = step.release.chart.version
            if new != old:
                found[step.component] = components[step.component].upgrade.hazards_between(old, new)
    return {name: told for name, told in found.items() if told}


def _downgrades(plan: Plan) -> Sequence[str]:
    titles = {component.name: component.title for component in plan.components}
    return [
        f"{titles.get(step.component, step.component)}: {what} {step.downgrade}"
        for step in plan.steps
        if step.action not in {Action.KEEP, Action.SKIP} and (what := _what(step))
        if isinstance(step, ApplyCrds | ApplyRelease) and step.downgrade
    ]


def _what(step: object) -> str:
    match step:
        case ApplyRelease():
            return "release"
        case ApplyCrds():
            return "CRDs"
        case _:
            return ""


def with_downgrade(reason: str, back: Downgrade | None) -> str:
    """Return the reason, with the step back in the place of its two charts."""
    if back is None:
        return reason
    parts = [part for part in reason.split(", ") if part != f"{back.old} -> {back.new}"]
    return ", ".join((f"downgrade: {back}", *parts))


def missing(refs: Sequence[ObjectRef]) -> str:
    """Name what is missing, the first three."""
    shown = ", ".join(str(ref) for ref in refs[:3])
    more = f" and {len(refs) - 3} more" if len(refs) > 3 else ""
    return f"missing: {shown}{more}"
