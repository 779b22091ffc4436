"""What an installation needs of a cluster, from what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from cto.engine.admission import ANY_IMAGE
from cto.engine.health import CONTROLLER, OF_THE_CONTROLLER
from cto.engine.ownership import ComponentNeeds
from cto.engine.permissions import MADE, Right
from cto.engine.preflight import Needs, VersionRange
from cto.engine.room import quantity
from cto.objects import Manifest
from cto.plan.observed import ReleaseRecord
from cto.plan.wish import Wanted, WantedComponent
from cto.ports import ApiKind


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the cluster and of what will be in it.

    Attributes:
        crds: The definitions that will be applied, by component.
        kinds: What the API server offers already.
        records: What Helm keeps, by `NAMESPACE/RELEASE`.
    """

    crds: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    kinds: Sequence[ApiKind] = ()
    records: Mapping[str, ReleaseRecord] = field(default_factory=dict)


def needs_of(wanted: Wanted, versions: VersionRange, known: Known, *, ha: bool) -> Needs:
    """Return what must be free, allowed and there.

    A profile of one's own asks for as much as production does with high availability (`ha`), and as
    standard without.
    """
    sizes = [_requests(item, wanted.profile, ha=ha) for item in wanted.components]
    plurals = _plurals(known)
    return Needs(
        kubernetes=versions,
        components=tuple(_component(item, known, plurals) for item in wanted.components),
        volumes=any(item.component.volumes for item in wanted.components),
        cpu=f"{ceil(sum(quantity(cpu) for cpu, _ in sizes) * 1000)}m",
        memory=str(ceil(sum(quantity(memory) for _, memory in sizes))),
        image=next(_images(wanted.components), ANY_IMAGE),
    )


_Plurals = Mapping[tuple[str, str], str]
"""(group, kind) -> plural, of what is in namespaces"""


def _component(item: WantedComponent, known: Known, plurals: _Plurals) -> ComponentNeeds:
    component = item.component
    record = known.records.get(f"{component.namespace}/{component.release}")
    return ComponentNeeds(
        name=component.name,
        namespace=component.namespace,
        release=component.release,
        crds=tuple(crd["metadata"]["name"] for crd in known.crds.get(component.name, ())),
        rights=tuple(dict.fromkeys(_rights(item, plurals))),
        installed=record is not None and record.deployed and record.ours,
    )


def _plurals(known: Known) -> _Plurals:
    offered = {
        (kind.api_version.rpartition("/")[0], kind.kind): kind.plural
        for kind in known.kinds
        if kind.namespaced
    }
    coming = {
        (crd["spec"]["group"], crd["spec"]["names"]["kind"]): crd["spec"]["names"]["plural"]
        for definitions in known.crds.values()
        for crd in definitions
        if crd["spec"]["scope"] == "Namespaced"
    }
    return {**offered, **coming}


def _rights(item: WantedComponent, plurals: _Plurals) -> Iterator[Right]:
    """Yield what a component needs that not every one does: for its own objects, for one."""
    component = item.component
    for manifest in (*item.before, *item.after):
        group = manifest["apiVersion"].rpartition("/")[0]
        plural = plurals.get((group, manifest["kind"]))
        namespace = manifest["metadata"].get("namespace") or component.namespace
        if plural:
            yield from (Right(verb, group, plural, namespace) for verb in (*MADE, "watch"))
    of_chart = [Right(verb, "networking.k8s.io", "ingresses") for verb in MADE]
    rights = of_chart if _has_ingress(item.values) else []
    if component.ready.probe:
        rights.append(Right("get", "", "services/proxy"))
    if component.name == CONTROLLER:
        rights += OF_THE_CONTROLLER
    yield from (Right(r.verb, r.group, r.resource, component.namespace) for r in rights)


def _has_ingress(values: Any) -> bool:
    """Tell whether a chart is asked for an Ingress: all charts agree on how that is written."""
    if not isinstance(values, Mapping):
        return False
    own = values.get("ingress")
    asked = isinstance(own, Mapping) and own.get("enabled") is True
    return asked or any(map(_has_ingress, values.values()))


def _images(items: Iterable[WantedComponent]) -> Iterator[str]:
    """Yield images as nodes pull them; those that a registry of the user's lacks are not needed."""
    for item in items:
        for image in item.component.images:
            if item.relocation is None:
                yield image.ref
            elif image.ref in item.relocation.images:
                yield item.relocation.images[image.ref]


def _requests(item: WantedComponent, profile: str, *, ha: bool) -> tuple[str, str]:
    size = item.component.size(profile, high_availability=ha)
    requests = item.component.resources.get(size)
    return (requests.cpu, requests.memory) if requests else ("0", "0")
