"""Takes back what a run made of components that failed: release, own objects, state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cto.engine.managers import applied_by
from cto.engine.report import Report
from cto.objects import Manifest, ObjectRef
from cto.plan.back import Before, back, before, own_objects
from cto.plan.observed import Observed
from cto.plan.steps import Plan
from cto.ports import Cluster

_US = "cto"


class Undo:
    """Knows what the components were that a plan changes.

    Args:
        cluster: Asked once for the own objects of these components, before anything changes.
        plan: What is about to be done.
        observed: What it was made from.
    """

    def __init__(self, cluster: Cluster, plan: Plan, observed: Observed) -> None:
        self._plan = plan
        self._cluster = cluster
        self.before: Mapping[str, Before] = {
            name: replace(item, own=self._own(item.known.glue, observed))
            for name, item in before(plan, observed).items()
        }

    def plan_for(self, report: Report) -> Plan:
        """Return the plan that brings back the components of which a step failed."""
        components = {step.id: step.component for step in self._plan.steps}
        failed = {components.get(run.id, "") for run in report.runs if run.error is not None}
        items = [item for name, item in self.before.items() if name in failed]
        return back(items, self._plan, own_objects(self._plan))

    def _own(self, refs: tuple[ObjectRef, ...], observed: Observed) -> tuple[Manifest, ...]:
        # What is in a Secret is kept nowhere else.
        plain = (ref for ref in refs if ref in observed.present and ref.kind != "Secret")
        found = (self._cluster.get(ref, managed_fields=True) for ref in plain)
        return tuple(applied_by(item, _US) for item in found if item is not None)
