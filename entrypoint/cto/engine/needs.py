"""What an installation needs of a cluster, from what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from cto.catalog import Component
from cto.engine.ownership import ComponentNeeds
from cto.engine.preflight import Needs, VersionRange
from cto.engine.room import quantity
from cto.plan.wish import Wanted, WantedComponent


def needs_of(
    wanted: Wanted, versions: VersionRange, crds: Mapping[str, Sequence[str]], *, ha: bool
) -> Needs:
    """Return what must be free, allowed and there.

    `crds` has the names of the CRDs by component. A profile of one's own asks for as much as
    production does with high availability (`ha`), and as standard without.
    """
    sizes = [_requests(item, wanted.profile, ha=ha) for item in wanted.components]
    return Needs(
        kubernetes=versions,
        components=tuple(_component(item.component, crds) for item in wanted.components),
        volumes=any(item.component.volumes for item in wanted.components),
        cpu=f"{ceil(sum(quantity(cpu) for cpu, _ in sizes) * 1000)}m",
        memory=str(ceil(sum(quantity(memory) for _, memory in sizes))),
    )


def _component(component: Component, crds: Mapping[str, Sequence[str]]) -> ComponentNeeds:
    return ComponentNeeds(
        name=component.name,
        namespace=component.namespace,
        release=component.release,
        crds=tuple(crds.get(component.name, ())),
    )


def _requests(item: WantedComponent, profile: str, *, ha: bool) -> tuple[str, str]:
    size = item.component.size(profile, high_availability=ha)
    requests = item.component.resources.get(size)
    return (requests.cpu, requests.memory) if requests else ("0", "0")
