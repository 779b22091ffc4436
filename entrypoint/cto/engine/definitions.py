"""Versions that custom resource definitions would lose by a plan.

Objects that are stored in a version that is gone cannot be read any more, so the API server refuses
that; and who writes objects of a version that is no longer served has to know.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cto.objects import Manifest, ObjectRef
from cto.plan.changes import Action
from cto.plan.steps import ApplyCrds, Plan
from cto.ports import Cluster
from cto.result import Check, Topic

_CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_PARALLEL = 8
_STORED_VERSIONS = Topic("stored-versions", "Versions of definitions")
_SERVED_VERSIONS = Topic("served-versions", "Versions of definitions")

CrdSource = Callable[[ApplyCrds], Sequence[Manifest]]


@dataclass(frozen=True, kw_only=True)
class LostVersion:
    """A version that a definition has and the chart's definition has not.

    Attributes:
        stored: Whether objects are stored in it.
    """

    step: ApplyCrds
    definition: str
    version: str
    stored: bool


def changing(plan: Plan) -> list[ApplyCrds]:
    """Return the steps that change definitions that are there."""
    return [
        step
        for step in plan.steps
        if isinstance(step, ApplyCrds) and step.action in {Action.UPDATE, Action.REPAIR}
    ]


def lost_versions(cluster: Cluster, plan: Plan, crds_of: CrdSource) -> list[LostVersion]:
    """Compare the definitions that change with those that are there."""
    pairs = [(step, wanted) for step in changing(plan) for wanted in crds_of(step)]
    if not pairs:
        return []
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="definitions") as pool:
        found = pool.map(lambda pair: list(_lost(cluster, *pair)), pairs)
        return [one for several in found for one in several]


def _lost(cluster: Cluster, step: ApplyCrds, wanted: Manifest) -> Iterator[LostVersion]:
    name = str(wanted["metadata"]["name"])
    live = cluster.get(ObjectRef(*_CRD, "", name))
    if live is None:
        return
    versions = wanted["spec"]["versions"]
    stored = set((live.get("status") or {}).get("storedVersions") or ())
    gone = stored - {item["name"] for item in versions}
    was_served = {item["name"] for item in live["spec"].get("versions") or () if item.get("served")}
    unserved = was_served - {item["name"] for item in versions if item.get("served")} - gone
    for version in sorted(gone | unserved):
        yield LostVersion(step=step, definition=name, version=version, stored=version in gone)


def checks(plan: Plan, lost: Sequence[LostVersion]) -> Iterator[Check]:
    """Yield what speaks against a plan: nobody can consent to the loss of stored objects."""
    titles = {component.name: component.title for component in plan.components}

    def lines(*, stored: bool) -> tuple[str, ...]:
        return tuple(
            f"{titles.get(one.step.component, one.step.component)}: {one.definition} "
            f"{'has no' if stored else 'no longer serves'} {one.version} in chart "
            f"{one.step.release.chart.name} {one.step.release.chart.version}"
            for one in lost
            if one.stored is stored
        )

    if stored := lines(stored=True):
        yield _STORED_VERSIONS.failed(
            "objects are stored in versions that would be gone",
            fix="Take a chart whose definitions have these versions; or migrate the objects, and "
            "then take the version out of the definition's status.storedVersions.",
            code="CTO-1472",
            items=stored,
        )
    if served := lines(stored=False):
        yield _SERVED_VERSIONS.warning(
            "versions are no longer served",
            fix="Whoever reads or writes objects of these versions has to be changed first.",
            items=served,
        )
