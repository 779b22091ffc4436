"""What is wanted, with everything rendered, and the digests that tell whether it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cto import digests
from cto.catalog import Category, Component, Crds, PodRequests
from cto.events import Phase
from cto.objects import Manifest
from cto.plan import labels
from cto.plan.pulling import Login
from cto.ports import Chart
from cto.relocation import Relocation

# Raised when the same inputs must lead to another release than before, e.g. by a new Helm flag.
_RELEASE_FORMAT = 1

# A hook that pulls an image over a slow line, and a workload that does: what the peers' users
# report as still normal (zarf waits 15 minutes for a whole package, idpbuilder 5).
# Where no configuration says how long a step may take.
STEP_TIMEOUT_S = 600.0
_CORE = (Category.CORE, Category.ORCHESTRATION)


@dataclass(frozen=True, kw_only=True)
class WantedComponent:
    """A component with everything rendered.

    Attributes:
        supplied: For each supplied Secret that gets at least one value: name -> (type, keys).
        marked: For those of them that each entry of a mapping has: name -> (labels, what is no
            secret in it).
        relocation: Where its images come from, if not from upstream.
        asked: What its pods ask for, container by container.
        certified: The host for which the platform's own authority signs; '' for none.
    """

    component: Component
    chart: Chart
    values: Mapping[str, Any]
    before: tuple[Manifest, ...] = ()
    after: tuple[Manifest, ...] = ()
    supplied: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    marked: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = field(default_factory=dict)
    relocation: Relocation | None = None
    asked: tuple[PodRequests, ...] = ()
    certified: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The platform as it should be.

    Attributes:
        ports: Port of every node -> port of localhost, as far as anybody knows.
        authority: The domain below which an authority of the platform's own signs; '' for none.
        login: What nodes log in with where images come from; None if they need not.
    """

    provider: str
    profile: str
    components: tuple[WantedComponent, ...]
    external: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    creates_cluster: bool = False
    ports: Mapping[int, int] = field(default_factory=dict)
    authority: str = ""
    login: Login | None = None
    step_timeout_s: float = STEP_TIMEOUT_S
    warnings: tuple[str, ...] = ()


def release_digest(item: WantedComponent, kube_version: str) -> str:
    """Return the digest that a release's record carries as its label.

    It covers whatever changes what Helm would apply: charts look at the Kubernetes version too.
    """
    parts = {
        "format": _RELEASE_FORMAT,
        "chart": item.chart.digest,
        "values": item.values,
        "kubernetes": _minor(kube_version),
    }
    if item.relocation:
        parts["relocation"] = item.relocation.to_json()
    return _digest(parts)


def release_labels(item: WantedComponent, kube_version: str) -> dict[str, str]:
    """Return what a release's record says of itself besides its digest: what that is made of."""
    chart = item.chart
    found = {
        labels.MANAGED: "true",
        labels.COMPONENT: item.component.name,
        labels.CHART: labels.value_of(f"{chart.name}-{chart.version}"),
        labels.APP_VERSION: labels.value_of(chart.app_version),
        labels.CHART_DIGEST: digests.for_label(chart.digest),
        labels.VALUES_DIGEST: _digest(item.values),
        labels.IMAGES_DIGEST: _digest(item.relocation.to_json()) if item.relocation else "upstream",
        labels.KUBERNETES: labels.value_of(_minor(kube_version)),
    }
    return {key: value for key, value in found.items() if value}


def _minor(kube_version: str) -> str:
    return ".".join(kube_version.split(".")[:2])


def _digest(data: Any) -> str:
    return digests.for_label(digests.of_data(data))


def crds_digest(chart: Chart, crds: Crds) -> str:
    data = {"format": _RELEASE_FORMAT, "chart": chart.digest, "on": crds.on, "source": crds.source}
    return digests.for_label(digests.of_data(data))


def phase_of(component: Component) -> Phase:
    return Phase.CORE if component.category in _CORE else Phase.OPTIONAL
