"""What `cto rollback` goes back to: what components were before one run, or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from cto.catalog import Catalog
from cto.engine.history import DONE, History, Point, RunRecord
from cto.errors import UsageError
from cto.events import Phase
from cto.objects import ObjectRef
from cto.plan.back import ROLLBACK, Before, back
from cto.plan.changes import Action
from cto.plan.observed import Observed, ReleaseState
from cto.plan.steps import Note, Plan, RollbackRelease
from cto.ports import Cluster
from cto.result import Check, Topic

_REVISIONS = Topic("revisions", "Revisions to go back to")
_KINDS = Topic("kinds", "Kinds of what comes back")
_MAKING = ("install", "upgrade", ROLLBACK)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What to go back to.

    Attributes:
        runs: What is taken back, the newest last.
        point: What there was before the first of them.
        components: What each component was that they changed.
        added: Components that were not there, and stay.
    """

    runs: tuple[RunRecord, ...]
    point: Point
    components: tuple[Before, ...]
    added: tuple[str, ...]


def goal(history: History, to: int | None) -> Goal:
    """Return what to go back to.

    Args:
        history: Of the cluster.
        to: Number of the run whose result shall be there again; None: that of the last run but
            one, if these two came to their ends; see `_last`.

    Raises:
        UsageError: CTO-1207, there is nothing to go back to, or nobody kept it.
    """
    runs = [run for run in history.runs() if run.command in _MAKING]
    taken = _taken_back(runs, to)
    points = [(run, history.point_before(run.number)) for run in taken]
    lost = [str(run.number) for run, point in points if point is None]
    if lost:
        _refuse(f"what was there before run {', '.join(lost)} was not kept")
    found: dict[str, Before] = {}
    for _, point in points:
        for name, item in (point.components if point else {}).items():
            found.setdefault(name, item)
    first = points[0][1]
    assert first is not None  # noqa: S101 - nothing is lost; for the type checker
    if not first.config:
        _refuse(f"before run {taken[0].number} nothing was installed")
    changed = {name for run in taken for name in run.changes}
    return Goal(
        runs=tuple(taken),
        point=first,
        components=tuple(found[name] for name in sorted(found)),
        added=tuple(sorted(changed - found.keys())),
    )


def _taken_back(runs: Sequence[RunRecord], to: int | None) -> list[RunRecord]:
    if to is None:
        if not runs:
            _refuse("no run of cto is known here")
        return _last(runs)
    if to not in [run.number for run in runs]:
        known = ", ".join(str(run.number) for run in runs) or "none"
        _refuse(f"--to {to}: there is no such run; there are {known}")
    later = [run for run in runs if run.number > to]
    if not later:
        _refuse(f"--to {to}: that is the last run, and what is there is its result")
    return later


def _last(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the last run, with what it went on with: those right before it that did not end well.

    A rollback that was killed is gone on with: it takes back what it was to take back.
    """
    last = runs[-1]
    if last.command == ROLLBACK and last.outcome != DONE:
        numbers = {*last.takes_back, last.number}
        return [run for run in runs if run.number in numbers]
    first = len(runs) - 1
    while first and runs[first - 1].outcome != DONE:
        first -= 1
    return list(runs[first:])


def _refuse(message: str) -> NoReturn:
    raise UsageError("CTO-1207", message)


def plan(target: Goal, catalog: Catalog, observed: Observed) -> Plan:
    """Return the plan that goes back. Components that are not there any more stay away."""
    state = observed.state
    there = state.releases if state else {}
    like = Plan(
        command=ROLLBACK,
        context=observed.context,
        provider=state.provider if state else "",
        profile=target.point.profile,
        simulated=observed.simulated,
        components=tuple(one for one in catalog.components if one.name in there),
    )
    differing = [
        item for item in target.components if _differs(item, there.get(item.component), observed)
    ]
    same = [item for item in target.components if item not in differing and item.component in there]
    own = {name: set(one.glue) for name, one in there.items()}
    made = back(differing, like, own, there=same)
    notes = [
        Note(
            id=f"added:{name}",
            phase=Phase.OPTIONAL,
            title=f"Leave {name} as it is",
            action=Action.KEEP,
            reason="it was not there before; `cto uninstall --component` removes it",
            component=name,
        )
        for name in target.added
        if name in there
    ]
    return replace(made, steps=(*made.steps, *notes))


def _differs(item: Before, known: ReleaseState | None, observed: Observed) -> bool:
    """Tell whether a component that is there is another one than it was."""
    if known is None:
        return False
    record = observed.records.get(f"{known.namespace}/{known.release}")
    same = (known.digest, known.glue) == (item.known.digest, item.known.glue)
    return not (same and record and record.deployed)


def checks(made: Plan, cluster: Cluster) -> Iterator[Check]:
    """Yield what speaks against going back: revisions that are gone, kinds that nobody serves."""
    lost, unserved = [], []
    served = {(kind.api_version, kind.kind) for kind in cluster.kinds()}
    for step in made.steps:
        if not isinstance(step, RollbackRelease):
            continue
        record = f"sh.helm.release.v1.{step.release}.v{step.revision}"
        if cluster.get(ObjectRef("v1", "Secret", step.namespace, record)) is None:
            lost.append(f"{step.component}: Helm keeps revision {step.revision} no more")
        kinds = {(ref.api_version, ref.kind) for ref in step.known.objects} - served
        unserved += [f"{step.component}: {kind} of {version}" for version, kind in sorted(kinds)]
    if lost:
        yield _REVISIONS.failed(
            "they are gone: Helm keeps ten of each release",
            fix="Name a later run (--to N); or give the older charts (--charts DIR, "
            "components.NAME.version) to `cto upgrade --allow-downgrade`, after a backup.",
            code="CTO-1474",
            items=tuple(lost),
        )
    if unserved:
        yield _KINDS.failed(
            "the definitions that are installed serve them no more, and stay as they are",
            fix="Stay with the new version: an older program could not read the new objects.",
            code="CTO-1472",
            items=tuple(unserved),
        )
