"""Carries a plan out on one cluster, while its lock is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event as Flag

from cto.engine.apply import PlanRunner
from cto.engine.cache import Lacking
from cto.engine.definitions import CrdSource
from cto.engine.execute import Executor
from cto.engine.hooks import HookWatch, ProgramWatch, TerminatingWatch
from cto.engine.lease import Loss
from cto.engine.listcache import ObservationCache
from cto.engine.nodeports import PortsWatch, ReservedPorts
from cto.engine.report import Report
from cto.engine.secretsteps import SecretValues
from cto.engine.state import StateStore
from cto.engine.verdict import Wait
from cto.engine.watchcache import WatchCache
from cto.engine.writeguard import Gate, guarded_cluster, guarded_releases
from cto.errors import Cancelled
from cto.events import Listener
from cto.objects import ref_of
from cto.plan.steps import (
    ApplyRelease,
    EnsureNamespace,
    Plan,
    ProbeService,
    RollbackRelease,
    Step,
)
from cto.ports import Clock, Cluster, Releases, Runner


@dataclass(frozen=True, kw_only=True)
class PlanWork:
    """What carries plans out.

    Attributes:
        gate: Lets writes through, as long as the lock is ours.
        lost: Set when it is not any more, with the reason.
    """

    cluster: Cluster
    releases: Releases
    runner: Runner
    clock: Clock
    store: StateStore
    observation: ObservationCache
    gate: Gate
    lost: Loss
    crds_of: CrdSource
    secret_values: SecretValues
    lacking: Lacking
    listen: Listener

    def apply(self, plan: Plan, estimates: Mapping[str, float]) -> Report:
        """Carry a plan out.

        Args:
            plan: The plan.
            estimates: Seconds that steps took the last time, by id.

        Raises:
            CtoError: What the lock was lost by.
            Cancelled: The run is to end.
        """
        if plan.changes:
            self.observation.drop()
        wake = Flag()
        live = WatchCache(self.cluster, self.clock, on_change=wake.set, lacking=self.lacking)
        ports = ReservedPorts(guarded_cluster(self.cluster, self.gate), self.clock)
        engine = PlanRunner(
            run=self._executor(live, ports).run,
            hook_of=lambda step: self._hook_of(step, live, ports),
            clock=self.clock,
            listen=self.listen,
            journal=self._journal(plan),
            stop=self.lost,
            wake=wake,
            may_act=self.gate.held_now,
            interrupt=self.runner.interrupt,
            end_children=self._end_children,
            estimates=estimates,
        )
        try:
            return engine.apply(plan)
        except Cancelled:
            if not self.lost.is_set():
                raise
            raise self.lost.error(str(engine.progress(plan))) from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(str(engine.progress(plan))) from None
        finally:
            live.close()

    def _executor(self, live: WatchCache, ports: ReservedPorts) -> Executor:
        return Executor(
            cluster=guarded_cluster(self.cluster, self.gate),
            releases=guarded_releases(self.releases, self.gate),
            store=self.store,
            clock=self.clock,
            live=live,
            secret_values=self.secret_values,
            crds_of=self.crds_of,
            ports=ports,
            observation=self.observation,
        )

    def _end_children(self) -> None:
        self.gate.shut()
        # A helm that may end by itself marks its release as failed: not under another's feet.
        self.runner.stop(at_once=self.lost.is_set())

    def _journal(self, plan: Plan) -> Callable[[Mapping[str, object]], None]:
        # That of the run that is taken back says more.
        back = any(isinstance(step, RollbackRelease) for step in plan.steps)
        return (lambda _: None) if plan.forgets or back else self.store.journal

    def _hook_of(self, step: Step, live: WatchCache, ports: ReservedPorts) -> Wait | None:
        if isinstance(step, EnsureNamespace):
            return TerminatingWatch(ref_of(step.manifest), live, self.cluster, self.clock)
        if isinstance(step, ProbeService):
            known = self.store.release(step.component)
            objects = known.objects if known else ()
            return ProgramWatch(objects, live, self.cluster, self.clock)
        if not isinstance(step, ApplyRelease):
            return None
        release = step.release
        hooks = HookWatch(release.namespace, live, self.clock, release=release.name)
        return PortsWatch(ports, release.name, hooks)
