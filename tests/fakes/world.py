"""A whole installer over fakes: the true path from configuration to cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cto import __version__
from cto.catalog import Catalog, Component
from cto.config.model import Config
from cto.engine.installer import Installer
from cto.engine.state import NAMESPACE
from cto.events import Event
from cto.objects import Manifest, ref_of
from cto.plan.desired import DesiredState, Destination
from cto.plan.observed import Observed
from cto.plan.selection import select
from cto.plan.steps import ApplyCrds, Plan
from cto.ports import Chart
from cto.result import Check
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.components import chart
from fakes.controllers import make_ready
from fakes.releases import FakeReleases
from fakes.runner import FakeRunner


def write_components(bundle: Path, components: Mapping[str, Mapping[str, str]]) -> None:
    """Write component folders: name -> file name -> text."""
    for name, files in components.items():
        folder = bundle / "components" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")


def crd(name: str, kind: str) -> Manifest:
    """Return a small CRD, e.g. `webs.example.com` and `Web`."""
    plural, _, group = name.partition(".")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }


@dataclass
class World:
    """Everything that an installer touches, faked.

    Attributes:
        crds: Component name -> its CRDs.
        checks: What the preflight finds.
        during_lock: Called when the lock was taken, with the flag that says it is lost.
    """

    catalog: Catalog
    config: Config
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(controllers=[make_ready]))
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    crds: dict[str, Sequence[Manifest]] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    during_lock: Callable[[Flag], object] = lambda _: None
    releases: FakeReleases = field(init=False)
    runner: FakeRunner = field(default_factory=FakeRunner)

    def __post_init__(self) -> None:
        self.releases = FakeReleases(self.cluster)

    def installer(self, **changes: Any) -> Installer:
        """Return an installer as a new process would have it: nothing is remembered."""
        settings: dict[str, Any] = {
            "catalog": self.catalog,
            "config": self.config,
            "destination": Destination(provider="existing", base="minimal"),
            "context": "test",
            "version": __version__,
            "cluster": self.cluster,
            "releases": self.releases,
            "runner": self.runner,
            "clock": self.clock,
            "charts": self._chart,
            "crds_of": self._crds_of,
            "lock": self._lock,
            "preflight": self._preflight,
            "listen": self.events.append,
        }
        settings |= changes
        if config := settings["config"]:
            settings.setdefault("selection", select(settings["catalog"], config))
        return Installer(**{"selection": None, **settings})

    def _chart(self, component: Component) -> Chart:
        return self.charts.get(component.name) or chart(component.chart.name)

    def _crds_of(self, step: ApplyCrds) -> Sequence[Manifest]:
        return self.crds[step.component]

    @contextmanager
    def _lock(self, lost: Flag) -> Iterator[Callable[[], bool]]:
        metadata = {"name": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "cto"}}
        own = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        if self.cluster.peek(ref_of(own)) is None:
            self.cluster.apply_quietly(own)
        self.during_lock(lost)
        yield lambda: not lost.is_set()

    def _preflight(self, observed: Observed, wanted: DesiredState, plan: Plan) -> Sequence[Check]:
        return self.checks
