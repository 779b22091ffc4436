"""Installs: eight phases, from the prerequisites to how to log in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Event as Flag
from typing import Any

from cto.catalog import Component
from cto.cli.bundled import described
from cto.cli.describe import checks_text, counted, plan_text, tell, time_text
from cto.cli.output import Terminal
from cto.cli.progress import Screen
from cto.cli.reaching import (
    NOTHING_RUNS,
    IsFree,
    access_data,
    access_lines,
    adapted,
    context_option,
    kubeconfig_option,
    kubectl_line,
    reachable,
    trust_lines,
)
from cto.cli.verbs import githubstep
from cto.cli.verbs.opening import frame, raise_errors
from cto.cli.verbs.outside import Outside, outside
from cto.cli.wiring import Wiring
from cto.engine.health import run_checks
from cto.engine.installer import Installer
from cto.engine.look import HealthContext
from cto.engine.planning import charts_of
from cto.engine.preflight_errors import refuse_failed
from cto.engine.report import Report, StepRun, shown
from cto.errors import Exit, if_interrupted
from cto.events import Outcome, Phase, PhaseStarted
from cto.plan.build import INSTALL, Manner
from cto.plan.limits import nodes_warnings
from cto.plan.observed import Observed, State
from cto.plan.steps import Plan
from cto.ports import Access, Provider, Reach
from cto.result import Check, CheckStatus, Result

# Charts, their definitions, Helm's own caches; programs, if they are to be fetched.
_CACHE_BYTES = 512 << 20
# What etcd and the logs of a day of playing take.
_SIMULATED_BYTES = 1 << 30
# How often the health is looked at before it is called bad. An EventSource of Argo Events is ready
# as soon as its pod runs, and listens once it has found its bus: half a minute on a busy machine.
_LOOKS, _PAUSE_S = 30, 2.0
# What others answer for is not asked again and again.
_ASKED_ONCE = frozenset({"github"})
_UNCHANGED = "nothing was changed, and what was fetched is kept"


def run(wiring: Wiring, terminal: Terminal) -> Result:
    """Install, and check the platform's health."""
    terminal.tell_unread(wiring.options.files)
    wiring.configure()
    provider = wiring.clusters.chosen()
    frame(provider, terminal)
    if not provider.creates:
        _confirm(wiring, provider, terminal)
    with terminal.screen(wiring.clock) as screen:
        wiring.notice = screen.notice
        return InstallRun(wiring, provider, terminal, screen).run()


@dataclass(frozen=True)
class _Told:
    """What there is to tell at the end."""

    plan: Plan
    report: Report
    reach: Reach
    access: Access
    reachable: tuple[Component, ...]
    preflight: tuple[Check, ...]
    is_free: IsFree | None
    trust: Sequence[str]
    checks: tuple[Check, ...] = ()
    github: githubstep.Told = githubstep.NOTHING

    @property
    def warnings(self) -> list[str]:
        return [*self.plan.warnings, *self.reach.notes]

    @property
    def kubeconfig(self) -> str:
        """The user's; '' if it is yet to be got, as a warning says."""
        reach = self.reach
        file = reach.kubeconfig or reach.found_in or self.access.kubeconfig
        return str(file) if reach.is_there else ""


class InstallRun:
    """One run: of `cto install`, or of `cto upgrade`, which makes no Apps.

    A cluster that is there is given what it lacks: the images of another bundle, above all.
    """

    def __init__(
        self,
        wiring: Wiring,
        provider: Provider,
        terminal: Terminal,
        screen: Screen,
        manner: Manner = INSTALL,
    ) -> None:
        self._manner = manner
        self._wiring = wiring
        self._provider = provider
        self._terminal = terminal
        self._screen = screen
        self._begin_s = wiring.clock.monotonic()
        self._before: list[StepRun] = []

    def run(self) -> Result:
        """Carry it out.

        Raises:
            CtoError: What the first step that failed raised.
        """
        self._prepare()
        self._phase(Phase.CLUSTER)
        with if_interrupted("in the middle of: making the cluster; not begun: everything else"):
            access = self._cluster()
        reach = self._reach()
        with self._wiring.installer(self._provider, access, self._screen) as installer:
            told = self._installed(installer, access, reach)
            state = installer.store.known
        self._phase(Phase.ACCESS)
        if self._manner is INSTALL:
            opened = partial(self._wiring.installer, self._provider, access, self._screen)
            github = githubstep.run(self._wiring, self._terminal, told.plan, state, opened)
            told = replace(told, github=github)
        return _result(told)

    def _installed(self, installer: Installer, access: Access, reach: Reach) -> _Told:
        """Install, and see that what is there is healthy."""
        try:
            plan, report = installer.install(self._manner)
        finally:
            # Also of a run that they end.
            self._terminal.data = {"preflight": _json(installer.checks)}
        self._terminal.simulated = plan.simulated
        told = _Told(
            plan,
            report.preceded_by(self._before, seconds=self._now()),
            reach,
            access,
            self._reachable(plan),
            is_free=self._wiring.is_free,
            trust=trust_lines(self._wiring.loaded.config.public()),
            preflight=tuple(installer.checks),
        )
        self._terminal.data = _data(told)
        raise_errors(told.report)
        self._phase(Phase.VALIDATION)
        with if_interrupted("done: everything is installed; not done: the check of its health"):
            # Not before: a run that is refused, or was second, has changed nothing.
            self._provider.label(installer.cluster, self._wiring.loaded.config.profile)
            told = replace(told, checks=tuple(self._checks(installer, plan)))
        # Also of a run that is interrupted while somebody is to click.
        self._terminal.data = _data(told)
        return told

    def _prepare(self) -> None:
        """Do what changes nothing: check the machine, get charts and programs."""
        self._announce_sources()
        self._phase(Phase.PREREQUISITES)
        tell(
            self._screen.notice,
            prerequisites(self._wiring, self._provider, self._terminal, self._screen),
        )
        self._refuse_nodes()
        self._phase(Phase.CONFIGURATION)
        self._screen.notice(_configuration(self._wiring))
        with (
            if_interrupted(f"in the middle of: getting charts and programs; {_UNCHANGED}"),
            self._timed(Phase.CONFIGURATION, "fetch", "Get charts and programs"),
        ):
            _fetch(self._wiring)

    def _phase(self, phase: Phase) -> None:
        self._screen.listen(PhaseStarted(phase))

    def _announce_sources(self) -> None:
        options = self._wiring.options
        if options.tools:
            self._screen.notice(f"programs come from {options.tools}, as they are")
        if options.charts:
            text = f"charts come from {options.charts}, not from their published archives"
            self._screen.notice(text, warning=True)
        if source := self._wiring.settings.source:
            self._screen.notice(described(source, source.folder))

    def _reach(self) -> Reach:
        reach = self._provider.reach()
        for note in reach.notes:
            self._screen.notice(note, warning=True)
        return adapted(reach, self._wiring.loaded.config.public())

    def _reachable(self, plan: Plan) -> tuple[Component, ...]:
        """Return the components that users can go to."""
        if plan.simulated:
            return ()
        return reachable(plan.components, self._wiring.loaded.config.public())

    def _refuse_nodes(self) -> None:
        """See that there will be enough nodes, before any is made or told of a new profile."""
        provider = self._provider
        if provider.creates:
            kept = provider.kept_nodes()
            seen = Observed(
                exists=kept > 0, kube_version="", nodes=kept, simulated=provider.simulated
            )
            nodes_warnings(self._wiring.loaded.config, seen, resizes=provider.resizes)

    def _cluster(self) -> Access:
        if not self._provider.creates:
            return self._provider.access()
        title = f"Make the {self._provider.name} cluster"
        with self._timed(Phase.CLUSTER, "cluster", title) as progress:
            return self._provider.provision(self._wiring.node_options(), progress)

    def _checks(self, installer: Installer, plan: Plan) -> Sequence[Check]:
        """Check the health, again while it is bad: what follows a removal may yet lose a pod.

        Garbage collection of the old objects goes on for some seconds after the new ones are ready.
        """
        state = installer.store.load()
        with (
            outside(self._wiring) as asked,
            self._shown(Phase.VALIDATION, "health", "Check the platform's health") as progress,
        ):
            look = partial(health, installer, state, simulated=plan.simulated, outside=asked)
            checks = look()
            if _bad(checks) and installer.observation.lists():
                # Lists of some seconds ago may tell of what is over.
                installer.observation.drop()
                checks = look()
            for _ in range(_LOOKS - 1):
                bad = [check for check in _bad(checks) if check.name not in _ASKED_ONCE]
                if not bad:
                    break
                progress(f"{bad[0].message}; looking again")
                self._wiring.clock.wait(Flag(), _PAUSE_S)
                checks = look()
            return checks

    @contextmanager
    def _timed(self, phase: Phase, name: str, title: str) -> Iterator[Callable[[str], None]]:
        """Show a step that the report has, too."""
        start = self._now()
        with self._shown(phase, name, title) as progress:
            yield progress
        run = StepRun(
            id=name, title=title, outcome=Outcome.DONE, started_s=start, ended_s=self._now()
        )
        self._before.append(run)

    def _now(self) -> float:
        return self._wiring.clock.monotonic() - self._begin_s

    def _shown(
        self, phase: Phase, name: str, title: str
    ) -> AbstractContextManager[Callable[[str], None]]:
        return shown(self._screen.listen, self._wiring.clock, phase, name, title)


def _bad(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.status is CheckStatus.FAILED]


def health(
    installer: Installer,
    state: State | None,
    *,
    simulated: bool,
    outside: Outside,
    records: Mapping[str, str] | None = None,
    at_work: str = "",
) -> tuple[Check, ...]:
    """Run the health checks against what the state says is installed.

    `records` is how Helm's newest records stand, for those who did not just write them; `at_work`
    is who else works on the cluster.
    """
    context = HealthContext(
        cluster=installer.cluster,
        clock=installer.clock,
        state=state,
        components=installer.known.components,
        records=records or {},
        at_work=at_work,
        simulated=simulated,
        lacking=installer.lacking,
        view=installer.observation.lists(),
        github=outside.github(installer, state),
        delivery=outside.delivery(installer, state),
    )
    return tuple(run_checks(context))


def _confirm(wiring: Wiring, provider: Provider, terminal: Terminal) -> None:
    """Show the plan and ask, where somebody is there to answer."""
    options = wiring.options
    if options.yes or options.non_interactive or not terminal.can_ask:
        return
    told = if_interrupted(f"in the middle of: making the plan; {_UNCHANGED}")
    with told, terminal.screen(wiring.clock) as screen:
        wiring.notice = screen.notice
        prerequisites(wiring, provider, terminal, screen)
        with wiring.installer(provider, provider.access(), screen) as installer:
            plan = installer.plan_install()
            refuse_failed(installer.checks)
    if plan.changes:
        terminal.confirm(f"Carry this out on {plan.context}?", plan_text(plan))


def prerequisites(
    wiring: Wiring, provider: Provider, terminal: Terminal, screen: Screen
) -> Sequence[Check]:
    """Check what can be checked without the plan; a cluster that is there has to answer.

    Raises:
        PreflightError: With everything that is in the way.
    """
    there = "" if provider.creates else provider.access().context
    title = f"Reach context {there}" if there else "Check this machine"
    told = if_interrupted("in the middle of: the prerequisites; nothing was changed")
    with told, shown(screen.listen, wiring.clock, Phase.PREREQUISITES, "prerequisites", title):
        state = _SIMULATED_BYTES if provider.creates and provider.simulated else 0
        folders = wiring.folder_checks(cache=_CACHE_BYTES, state=state)
        checks = [*provider.validate(), *folders]
        refuse_failed(checks)
        terminal.simulated = provider.simulated
    return checks


def _fetch(wiring: Wiring) -> None:
    """Get helm and every chart: what cannot be had is told before anything is made."""
    wiring.relocations  # noqa: B018 - images without a digest are among that
    charts_of(wiring.selection, wiring.charts.resolve)
    wiring.tools.path("helm")


def _configuration(wiring: Wiring) -> str:
    config, profile = wiring.loaded.config, wiring.loaded.profile
    on = [name for name, value in config.features.model_dump().items() if value]
    features = ", ".join(on) or "none"
    return f"profile {profile.name}, features: {features}, about {profile.minutes} minutes"


def _data(told: _Told) -> dict[str, Any]:
    plan, reach = told.plan, told.reach
    return {
        "context": told.access.context,
        "kubeconfig": told.kubeconfig,
        "provider": plan.provider,
        "profile": plan.profile,
        "components": [component.name for component in plan.components],
        "changes": [step.id for step in plan.changes],
        "warnings": told.warnings,
        "preflight": _json(told.preflight),
        "report": told.report.to_json(),
        "checks": _json(told.checks),
        "access": access_data(told.reachable, reach),
        **({"github": told.github.data} if told.github.data else {}),
    }


def _json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    return [check.to_json() for check in checks]


def _result(told: _Told) -> Result:
    plan, checks = told.plan, told.checks
    failed = any(check.status is CheckStatus.FAILED for check in checks)
    changes = counted(len(plan.changes), "change")
    changed = changes if plan.changes else "nothing had to be changed"
    lines = [
        f"{counted(len(plan.components), 'component')} on {told.access.context}: {changed}.",
        "",
        "Health:",
        checks_text(checks),
        "",
        time_text(told.report),
        "",
        *(f"warning: {text}" for text in told.warnings),
        *_access(told),
        *(["", *told.github.lines] if told.github.lines else []),
    ]
    return Result(
        command=plan.command,
        data=_data(told),
        text="\n".join(lines),
        exit_code=Exit.DEGRADED if failed else Exit.OK,
        simulated=plan.simulated,
    )


def _access(told: _Told) -> list[str]:
    reach = told.reach
    file = kubeconfig_option(reach)
    look = [
        "Look around:",
        f"  cto status{file}{context_option(reach)}",
        f"  {kubectl_line(reach)} get pods -A",
        f"  helm{file}{context_option(reach, '--kube-context')} list -A",
    ]
    if told.plan.simulated:
        return [NOTHING_RUNS, *look]
    lines = access_lines(told.reachable, reach, is_free=told.is_free)
    return [*lines, *told.trust, *look]
