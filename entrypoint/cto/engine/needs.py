"""What an installation needs of a cluster, from what is wanted and what the plan does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from cto.engine.admission import ANY_IMAGE, ENFORCE
from cto.engine.ownership import ComponentNeeds
from cto.engine.planned import Known, planned_objects
from cto.engine.preflight import Needs, VersionRange
from cto.engine.quantities import quantity
from cto.engine.rights import rights_of
from cto.plan.desired import DesiredComponent, DesiredState
from cto.plan.steps import CHANGING


def needs_of(wanted: DesiredState, versions: VersionRange, known: Known) -> Needs:
    """Return what must be free, allowed and there."""
    asked = [one for item in wanted.components for one in item.asked]
    objects = planned_objects(known)
    return Needs(
        kubernetes=versions,
        components=tuple(_component(item, known) for item in wanted.components),
        objects=objects,
        rights=rights_of(known, objects),
        volumes=any(
            item.component.volumes or {one["kind"] for one in item.after} & {*item.component.data}
            for item in wanted.components
        ),
        cpu=f"{ceil(sum(one.pods * quantity(one.requests.cpu) for one in asked) * 1000)}m",
        memory=str(ceil(sum(one.pods * quantity(one.requests.memory) for one in asked))),
        changes=any(step.action in CHANGING for step in known.steps),
        image=next(_images(wanted.components), ANY_IMAGE),
    )


def _component(item: DesiredComponent, known: Known) -> ComponentNeeds:
    component = item.component
    record = known.records.get(f"{component.namespace}/{component.release}")
    return ComponentNeeds(
        name=component.name,
        namespace=component.namespace,
        release=component.release,
        crds=tuple(crd["metadata"]["name"] for crd in known.crds.get(component.name, ())),
        installed=record is not None and record.deployed and record.ours,
        level=component.namespace_labels.get(ENFORCE, ""),
    )


def _images(items: Iterable[DesiredComponent]) -> Iterator[str]:
    """Yield images as nodes pull them; those that a registry of the user's lacks are not needed."""
    for item in items:
        for image in item.component.images:
            if item.relocation is None:
                yield image.reference
            elif image.reference in item.relocation.images:
                yield item.relocation.images[image.reference]
