"""What is done to a platform that is there: back to what it was, and drift put right."""

from __future__ import annotations

from cto.engine import drift, rollback
from cto.engine.drift import Drifts
from cto.engine.installer import Installer
from cto.engine.preflight_errors import refuse_failed
from cto.engine.report import Report
from cto.engine.undo import Undo
from cto.errors import if_interrupted
from cto.objects import Manifest
from cto.plan import labels
from cto.plan.observed import Observed
from cto.plan.steps import Plan

_NOT_BEGUN = "not begun: every step"


def plan_rollback(installer: Installer, to: int | None) -> tuple[Plan, rollback.Goal]:
    """Return what `roll_back` would do; `installer.checks` then has what speaks against it.

    Raises:
        UsageError: CTO-1207, there is nothing to go back to.
    """
    return _planned_rollback(installer, to, installer.observe())


def _planned_rollback(
    installer: Installer, to: int | None, observed: Observed
) -> tuple[Plan, rollback.Goal]:
    target = rollback.goal(installer.history, to)
    plan = rollback.plan(target, installer.known, observed)
    installer.checks[:] = [*rollback.checks(plan, installer.cluster)]
    return plan, target


@if_interrupted(_NOT_BEGUN)
def roll_back(installer: Installer, to: int | None) -> tuple[Plan, rollback.Goal, Report]:
    """Bring components back to what they were before a run.

    Raises:
        PreflightError: CTO-1400, nothing was changed.
        LockedError: Another installer is at work.
    """
    with installer.locked() as lost:
        observed = installer.observe()
        plan, target = _planned_rollback(installer, to, observed)
        refuse_failed(installer.checks)
        undo = Undo(installer.cluster, plan, observed)
        numbers = [run.number for run in target.runs]
        with installer.kept(plan, observed, undo.before, numbers) as record:
            report = installer.carry_out(plan, observed, lost)
            record(report)
        if not report.errors:
            point = target.point
            installer.store.restore(
                config=point.config,
                given=point.given,
                profile=point.profile,
                writer=point.writer,
            )
        return plan, target, report


def drifts(installer: Installer) -> tuple[Drifts, Plan]:
    """Return what is not as it was installed, and the plan that puts it back.

    The platform's own objects are looked at where there is a configuration to render them with.
    """
    return _drifts(installer, installer.observe())


def _drifts(installer: Installer, observed: Observed) -> tuple[Drifts, Plan]:
    known = installer.known.components
    found = drift.drifts(
        installer.cluster, installer.releases, observed, known, _own(installer, observed)
    )
    return found, drift.repair(found.found, observed, known)


def _own(installer: Installer, observed: Observed) -> dict[str, tuple[Manifest, ...]]:
    if installer.config is None:
        return {}
    return {
        item.component.name: tuple(
            labels.marked(manifest, item.component.name, moment)
            for moment, manifests in (("before", item.before), ("after", item.after))
            for manifest in manifests
        )
        for item in installer.wanted(observed).components
    }


@if_interrupted(_NOT_BEGUN)
def repair(installer: Installer) -> tuple[Drifts, Plan, Report]:
    """Put back what drifted, and nothing else.

    Raises:
        LockedError: Another installer is at work.
    """
    with installer.locked() as lost:
        observed = installer.observe()
        found, plan = _drifts(installer, observed)
        with installer.kept(plan, observed, {}) as record:
            report = installer.carry_out(plan, observed, lost)
            record(report)
        return found, plan, report
