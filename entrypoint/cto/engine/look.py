"""What the health checks look at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from cto.catalog import Component
from cto.engine.answering import Nodes, ProbeAnswer, Program
from cto.engine.cache import Lacking, nothing_lacks
from cto.engine.listcache import ListCache
from cto.objects import ObjectRef
from cto.plan.observed import ReleaseState, State
from cto.ports import Clock, Cluster
from cto.result import Check, Topic


@dataclass(frozen=True, kw_only=True)
class HealthContext:
    """What the checks look at.

    Attributes:
        state: What is installed; None if nothing is.
        components: All that are known; of a user's, those that are installed.
        records: The status of Helm's newest record, by component; '' where there is none.
        at_work: Who else works on the cluster now; '' for nobody.
        simulated: What only a running program could answer is skipped.
        lacking: Says which images the bundle lacks.
        view: What was just seen, if anything was.
        github: Asks GitHub about the Apps, where somebody may; told what is known without.
        delivery: Tries whether events arrive, likewise.
    """

    cluster: Cluster
    clock: Clock
    state: State | None
    components: Sequence[Component] = ()
    records: Mapping[str, str] = field(default_factory=dict)
    at_work: str = ""
    simulated: bool = False
    lacking: Lacking = nothing_lacks
    view: ListCache | None = None
    github: Callable[[Topic, str], Check] | None = None
    delivery: Callable[[Topic, str], Check] | None = None

    @property
    def releases(self) -> Sequence[ReleaseState]:
        return tuple(self.state.releases.values()) if self.state else ()

    def refs(self) -> Iterator[ObjectRef]:
        for release in self.releases:
            yield from inventory(release)

    def title(self, name: str) -> str:
        """Return what people call a component."""
        return next((one.title for one in self.components if one.name == name), name)

    def programs(self) -> dict[str, Program]:
        """Return what answers of each component that is installed."""
        installed = {release.component for release in self.releases}
        return {
            one.name: Program(one.namespace, one.ready.probe)
            for one in self.components
            if one.ready.probe and one.name in installed and not self.simulated
        }


@dataclass(frozen=True, kw_only=True)
class Look(HealthContext):
    """What several checks need: asked for once, and waited for by whoever needs it."""

    view: ListCache
    version: str
    nodes: Future[Nodes]
    asked: Future[Mapping[str, ProbeAnswer]]
    silent_programs: Future[dict[str, str]]

    def silent_nodes(self) -> Mapping[str, str]:
        """Return who has not been heard of, and since when; {} where that cannot be told."""
        return {} if self.nodes.exception() else self.nodes.result().silent

    def simulated_nodes(self) -> Collection[str]:
        return () if self.nodes.exception() else self.nodes.result().simulated


def receiver_of(
    components: Iterable[Component], state: State | None
) -> tuple[ReleaseState, Component] | None:
    """Return what is installed that receives webhooks; None if nothing does."""
    releases = state.releases if state else {}
    for one in components:
        if one.health.webhooks and one.name in releases:
            return releases[one.name], one
    return None


@dataclass(frozen=True)
class PodsOwner:
    """An object whose pods a controller makes.

    Attributes:
        pods: The selector of their labels.
    """

    ref: ObjectRef
    pods: str


def sources_of(found: tuple[ReleaseState, Component] | None) -> tuple[PodsOwner, ...]:
    """Return what listens for webhooks, of what `receiver_of` found."""
    release, told = (found[0], found[1].health.webhooks) if found else (None, None)
    if release is None or told is None:
        return ()
    refs = (ref for ref in inventory(release) if ref.kind == told.kind)
    return tuple(PodsOwner(ref, f"{told.label}={ref.name}") for ref in refs)


def starter_of(release: ReleaseState, component: Component) -> PodsOwner | None:
    """Return what starts agents of what webhooks tell; None if nothing does."""
    told = component.health.webhooks.starts if component.health.webhooks else None
    for ref in inventory(release):
        if told and (ref.kind, ref.name) == (told.kind, told.name):
            return PodsOwner(ref, f"{told.label}={told.name}")
    return None


def inventory(release: ReleaseState) -> tuple[ObjectRef, ...]:
    """Return all objects of a component."""
    return (*release.objects, *release.glue)
