"""The verbs: plan, install, uninstall. Everything from outside comes in through ports.

No verb believes an earlier run: each one observes, decides, and does what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from cto.catalog import Catalog
from cto.config.model import Config
from cto.engine.cache import Lacking, nothing_lacks
from cto.engine.definitions import CrdSource
from cto.engine.dryrun import DryRun
from cto.engine.history import History
from cto.engine.lease import LockHistory, Loss, lock_history
from cto.engine.listcache import ListCache, ObservationCache
from cto.engine.namespaces import delete_own
from cto.engine.observe import Observer, glimpsed, glimpsed_installation
from cto.engine.planning import (
    ChartSource,
    charts_of,
    estimates,
    secret_values,
    taken_back,
    to_be_done,
)
from cto.engine.preflight_errors import NOTHING, all_told, refuse_failed
from cto.engine.report import Report, shown
from cto.engine.state import NAMESPACE, StateStore
from cto.engine.undo import Undo
from cto.engine.work import PlanWork
from cto.engine.writeguard import Gate, guarded_cluster
from cto.errors import (
    Cancelled,
    CtoError,
    if_interrupted,
)
from cto.events import Listener, Phase, StepProgress
from cto.plan import change, remove
from cto.plan.back import Before
from cto.plan.build import INSTALL, Manner, install
from cto.plan.desired import DesiredState, Destination, desired_state
from cto.plan.observed import Observed, State
from cto.plan.selection import Selection, completed, with_installed
from cto.plan.steps import Plan
from cto.ports import Clock, Cluster, Releases, Runner
from cto.result import Check, CheckStatus

_LOOK_S = 0.5
_MADE = "The cluster is there; nothing was changed on it."

Lock = Callable[[Loss], AbstractContextManager[Callable[[], bool]]]
"""Takes what it sets when the lock is lost; gives what tells whether nobody else can have it now.

Neither is so during a pause: the lock could not be renewed, and may turn out to be ours still.
"""

Preflight = Callable[[Observed, DesiredState, Plan], Sequence[Check]]
RemovalChecks = Callable[[Plan, Observed], Sequence[Check]]


@dataclass(frozen=True, kw_only=True)
class Installer:
    """Installs the platform on one cluster, or takes it away.

    Attributes:
        config: None for verbs that need no configuration.
        selection: What the configuration asks for; None without one.
        given: Dotted paths of what somebody said in it.
        destination: What the desired state depends on besides what is observed.
        lock: Makes the lock of the cluster, a context manager.
        preflight: Checks the cluster against what is wanted.
        at_work: Returns who has the lock now, in a line; '' for nobody.
        removal_checks: Checks it against what is to be taken away.
        on_checks: Told what the preflight found, before anything follows from it.
        allow_downgrade: Whether older charts and definitions may replace newer ones.
        may_replace: Whether objects may be deleted and made again, where no data go with them.
    """

    catalog: Catalog
    config: Config | None
    selection: Selection | None
    given: tuple[str, ...] = ()
    destination: Destination
    context: str
    version: str
    cluster: Cluster
    releases: Releases
    runner: Runner
    clock: Clock
    charts: ChartSource
    crds_of: CrdSource
    lock: Lock
    preflight: Preflight
    removal_checks: RemovalChecks = lambda _plan, _observed: ()
    at_work: Callable[[], str] = lambda: ""
    listen: Listener
    on_checks: Callable[[Sequence[Check]], None] = lambda _: None
    lacking: Lacking = nothing_lacks
    allow_downgrade: bool = False
    may_replace: bool = False
    gate: Gate = field(default_factory=Gate)
    store: StateStore = field(init=False)
    observation: ObservationCache = field(init=False)
    checks: list[Check] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        store = StateStore(guarded_cluster(self.cluster, self.gate), self.version)
        object.__setattr__(self, "store", store)
        object.__setattr__(self, "observation", ObservationCache(self.clock))

    @property
    def known(self) -> Catalog:
        """The catalog, with what the state that was loaded remembers of a user's components."""
        return with_installed(self.catalog, self.store.known)

    def observe(self, *, for_uninstall: bool = False) -> Observed:
        view = ListCache(self.cluster, self.lacking)
        self.observation.keep(view)
        state = self.store.load()
        observer = Observer(
            cluster=self.cluster,
            view=view,
            releases=self.releases,
            state=state,
            components=self.known.components,
            context=self.context,
        )
        return observer.observe(for_uninstall=for_uninstall)

    def _first_look(self) -> Observed:
        with all_told(self._unseen_checks):
            return self.observe()

    def _unseen_checks(self) -> Sequence[Check]:
        """Check a cluster that may not be looked at, as if nothing were there."""
        observed = glimpsed(self.cluster, self.context)
        desired = self.wanted(observed)
        found = self.preflight(observed, desired, install(desired, observed))
        # What could not be checked for want of the same permissions is no news.
        self.checks[:] = [check for check in found if check.status is CheckStatus.FAILED]
        return self.checks

    def wanted(self, observed: Observed) -> DesiredState:
        config, asked = self._config()
        selection = asked.on(config, observed)
        # What a cluster was made with stays, by whatever way it is reached now.
        state, there = observed.state, self.destination
        ports = there.ports or (state.ports if state else {})
        provider = state.provider if state and not there.creates else there.provider
        return desired_state(
            config,
            selection,
            charts_of(selection, self.charts),
            observed,
            replace(there, ports=ports, provider=provider),
        )

    def plan_install(self, manner: Manner = INSTALL) -> Plan:
        """Return what `install` would do; `checks` then has what its preflight finds."""
        observed = self._first_look()
        desired = self.wanted(observed)
        return self._checked(observed, desired, manner)

    def _checked(self, observed: Observed, desired: DesiredState, manner: Manner) -> Plan:
        """Return the plan, with everything told that speaks against it."""
        plan = install(desired, observed, manner)
        found = self.preflight(observed, desired, plan)
        try:
            plan = self._tried(plan, observed)
        except CtoError:
            # What the preflight found says more than what could not be tried because of it.
            self.checks[:] = found
            refuse_failed(found)
            raise
        self.checks[:] = [*found, *plan.checks]
        if plan.changes:
            self.on_checks(self.checks)
        return plan

    def _tried(self, plan: Plan, observed: Observed) -> Plan:
        """Return the plan, with what it takes back and what speaks against it."""
        checks = (*change.check(plan, allowed=self.allow_downgrade), *change.stops(plan))
        plan = replace(plan, checks=checks)
        trial = DryRun(
            cluster=self.cluster,
            releases=self.releases,
            crds_of=self.crds_of,
            may_replace=self.may_replace,
        )
        return trial.tried(plan, observed)

    def plan_uninstall(self, options: remove.Options) -> Plan:
        """Return what `uninstall` would do; `checks` then has what speaks against it."""
        return self._planned_removal(options)[0]

    def _planned_removal(self, options: remove.Options) -> tuple[Plan, Observed]:
        with all_told(lambda: self._unseen_removal(options)):
            observed = self.observe(for_uninstall=True)
        plan = remove.uninstall(self.known, observed, options)
        self.checks[:] = self.removal_checks(plan, observed)
        return plan, observed

    def _unseen_removal(self, options: remove.Options) -> Sequence[Check]:
        """Check the removal of what the state tells of a cluster that may not be looked at."""
        observed = glimpsed_installation(self.cluster, self.context, self.store, self.catalog)
        plan = remove.uninstall(self.known, observed, options)
        return self.removal_checks(plan, observed)

    @if_interrupted("not begun: every step")
    def install(self, manner: Manner = INSTALL) -> tuple[Plan, Report]:
        """Install, or finish or repair an installation; or upgrade one.

        A component of an upgrade that fails is brought back to what it was.

        Raises:
            PreflightError: CTO-1400, nothing was changed.
            LockedError: Another installer is at work.
        """
        with all_told(self._unseen_checks):
            before = lock_history(self.cluster)
        observed = self._first_look()
        desired = self.wanted(observed)
        with shown(self.listen, self.clock, Phase.CLUSTER, "preflight", "Check the cluster"):
            so_far = _MADE if self.destination.creates else NOTHING
            plan = self._checked(observed, desired, manner)
            refuse_failed(self.checks, so_far=so_far)
            for line in taken_back(plan):
                self.listen(StepProgress("preflight", line))
        with self.locked() as lost:
            if self._was_changed(before):
                observed = self.observe()
                desired = self.wanted(observed)
                plan = self._checked(observed, desired, manner)
                refuse_failed(self.checks, so_far=so_far)
            undo = Undo(guarded_cluster(self.cluster, self.gate), plan, observed)
            with self.kept(plan, observed, undo.before) as record:
                self.store.begin(self._state(desired, observed, plan))
                report = self.carry_out(plan, observed, lost)
                if report.errors and manner.takes_back:
                    report = self._brought_back(undo, report, observed, lost)
                record(report)
            if not report.errors:
                self.store.finish()
            return plan, report

    def _brought_back(self, undo: Undo, report: Report, observed: Observed, lost: Loss) -> Report:
        """Bring back what failed, and say so in the report."""
        plan = undo.plan_for(report)
        if not plan.steps:
            return report
        return report.followed_by(self.carry_out(plan, observed, lost))

    @if_interrupted("not begun: every step")
    def uninstall(self, options: remove.Options) -> tuple[Plan, Report]:
        """Take the platform away, as far as the options go.

        Raises:
            PreflightError: CTO-1400, nothing was changed.
            LockedError: Another installer is at work.
        """
        with all_told(lambda: self._unseen_removal(options)):
            before = lock_history(self.cluster)
        plan, observed = self._planned_removal(options)
        refuse_failed(self.checks)
        self.on_checks(self.checks)
        with self.locked() as lost:
            if self._was_changed(before):
                plan, observed = self._planned_removal(options)
                refuse_failed(self.checks)
            with self.kept(plan, observed, {}) as record:
                report = self.carry_out(plan, observed, lost)
                record(report)
        if not report.errors and plan.forgets:
            with if_interrupted(
                f"done: everything is removed; namespace {NAMESPACE} is being deleted"
            ):
                report = delete_own(self.cluster, self.clock, self.listen, report)
        return plan, report

    def kept(
        self,
        plan: Plan,
        observed: Observed,
        before: Mapping[str, Before],
        takes_back: Sequence[int] = (),
    ) -> AbstractContextManager[Callable[[Report], None]]:
        """Keep a run in the history; what it gives takes the report."""
        state = observed.state
        return self.history.kept(plan, state, before, self.clock, takes_back=takes_back)

    @property
    def history(self) -> History:
        """The runs of this cluster."""
        return History(guarded_cluster(self.cluster, self.gate), self.version)

    def _was_changed(self, before: LockHistory) -> bool:
        """Whether another installer has worked between the look and the lock.

        What there is to do may be something else then, of which nothing was checked.
        """
        return before.taken or lock_history(self.cluster) != LockHistory(
            before.count + 1, taken=True
        )

    def secret_values(self, path: str) -> Mapping[str, str]:
        """Return the values of a secret field; references are read from the cluster."""
        return secret_values(completed(*self._config()), self.cluster, path)

    @contextmanager
    def alone(self) -> Iterator[Cluster]:
        """Hold the cluster's lock, and give the cluster: nothing is written once it is lost.

        Raises:
            LockedError: Another installer is at work.
        """
        with self.locked():
            yield guarded_cluster(self.cluster, self.gate)

    @contextmanager
    def locked(self) -> Iterator[Loss]:
        """Hold the cluster's lock; what it gives is set when the lock is lost."""
        lost = Loss()
        with self.lock(lost) as held:
            self.gate.held = held
            self.gate.paused = lambda: not lost.is_set()
            self.gate.wait = lambda: self.clock.wait(lost, _LOOK_S)
            try:
                yield lost
            except Cancelled:
                if not lost.is_set():
                    raise
                raise lost.error("") from None
            finally:
                self.gate.shut()

    def carry_out(self, plan: Plan, observed: Observed, lost: Loss) -> Report:
        """Do what a plan says; the lock is held."""
        work = PlanWork(
            cluster=self.cluster,
            releases=self.releases,
            runner=self.runner,
            clock=self.clock,
            store=self.store,
            observation=self.observation,
            gate=self.gate,
            lost=lost,
            crds_of=self.crds_of,
            secret_values=self.secret_values,
            lacking=self.lacking,
            listen=self.listen,
        )
        return work.apply(plan, estimates(observed.state))

    def _config(self) -> tuple[Config, Selection]:
        if self.config is None or self.selection is None:
            text = "this verb needs a configuration"
            raise ValueError(text)
        return self.config, self.selection

    def _state(self, desired: DesiredState, observed: Observed, plan: Plan) -> State:
        return State(
            writer=self.version,
            provider=desired.provider,
            profile=desired.profile,
            simulated=observed.simulated,
            config=self._config()[0].public(),
            given=self.given,
            releases=observed.state.releases if observed.state else {},
            ports=desired.ports,
            components={
                item.component.name: item.component.definition
                for item in desired.components
                if item.component.own
            },
            namespaces=tuple(sorted({item.component.namespace for item in desired.components})),
            unfinished=to_be_done(plan),
        )
