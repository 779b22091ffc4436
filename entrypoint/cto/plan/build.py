"""Builds the plan of an installation: what is wanted, compared with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

from cto.events import Phase
from cto.plan import labels, pulling
from cto.plan.changes import Action
from cto.plan.component import ComponentSteps, namespaces_of
from cto.plan.desired import DesiredState, phase_of
from cto.plan.limits import simulated_warnings
from cto.plan.network import AUTHORITY, RENEWED
from cto.plan.observed import Observed
from cto.plan.steps import (
    ApplyCrds,
    ApplyRelease,
    Certify,
    EnsureNamespace,
    Note,
    Plan,
    ProbeService,
    Step,
    UninstallRelease,
    WaitReady,
)

# Without an earlier run: medians of local clusters, good enough to order steps by.
_RELEASE_S = 2.0
_HOOK_S = 10.0
_READY_S = 10.0
_CRDS_S = 2.0
_OTHER_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a plan goes about making a cluster as it is wanted.

    Attributes:
        command: `install` or `upgrade`.
        in_order: A component follows only when those that it needs are ready again, not as soon as
            their releases are there.
        takes_back: A component that fails is brought back to what it was.
        only: Names of components; all others stay as they are. Empty: all change.
    """

    command: str = "install"
    in_order: bool = False
    takes_back: bool = False
    only: tuple[str, ...] = ()


INSTALL = Manner()


def install(wanted: DesiredState, observed: Observed, manner: Manner = INSTALL) -> Plan:
    """Return the plan that makes the cluster as wanted. Nothing is done twice."""
    steps: list[Step] = list(_cluster(wanted, observed))
    steps += _namespaces(wanted, observed)
    steps += _authority(wanted, observed)
    steps += pulling.supplies(wanted.login, steps, observed)
    installed = {item.component.name for item in wanted.components}
    for item in wanted.components:
        steps += ComponentSteps(item, observed, installed, wanted).steps()
    steps = _ordered(steps, wanted) if manner.in_order else steps
    steps += pulling.removals(wanted.login, steps, observed)
    core = tuple(step.id for step in steps if step.phase is Phase.CORE)
    steps += _notes(wanted, observed, installed, core)
    return Plan(
        command=manner.command,
        context=observed.context,
        provider=wanted.provider,
        profile=wanted.profile,
        simulated=observed.simulated,
        steps=_of_some(steps, manner.only),
        warnings=(
            *wanted.warnings,
            *simulated_warnings(observed),
            *_warnings(installed, observed),
        ),
        components=tuple(item.component for item in wanted.components),
    )


def _ordered(steps: Sequence[Step], wanted: DesiredState) -> list[Step]:
    """Let every component wait for the last step of those that it needs."""
    last = {step.component: step.id for step in steps if isinstance(step, WaitReady | ProbeService)}
    needs = {item.component.name: item.component.depends_on for item in wanted.components}

    def after(step: Step) -> tuple[str, ...]:
        more = [last[name] for name in needs.get(step.component, ()) if name in last]
        return tuple(dict.fromkeys((*step.after, *more)))

    return [replace(step, after=after(step)) for step in steps]


def _of_some(steps: Sequence[Step], only: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps of some components, and those of none."""
    kept = [step for step in steps if not only or step.component in {"", *only}]
    ids = {step.id for step in kept}
    return tuple(replace(s, after=tuple(name for name in s.after if name in ids)) for s in kept)


def _cluster(wanted: DesiredState, observed: Observed) -> Sequence[Step]:
    if not wanted.creates_cluster:
        return ()
    there = observed.exists
    return (
        Note(
            id="cluster",
            phase=Phase.CLUSTER,
            title=f"Make the {wanted.provider} cluster",
            action=Action.KEEP if there else Action.CREATE,
            reason=f"{observed.context} is there" if there else _none(wanted.ports),
        ),
    )


def _none(ports: Mapping[int, int]) -> str:
    """Say that there is no cluster, and where the one to be made will be reached."""
    shown = ", ".join(str(port) for port in sorted(ports.values()))
    return f"there is none; it gets ports {shown} of localhost" if ports else "there is none"


def _namespaces(wanted: DesiredState, observed: Observed) -> Sequence[Step]:
    steps: dict[str, Step] = {}
    after = ("cluster",) if wanted.creates_cluster else ()
    # Those of components first: what other components put there has no say in their labels.
    places = [(item.component, item.component.namespace) for item in wanted.components]
    places += [
        (item.component, name)
        for item in wanted.components
        for name in namespaces_of(item, observed)
    ]
    for component, name in places:
        if name in steps:
            continue
        wanted_labels = {labels.MANAGED_BY: labels.OWNER, **component.namespace_labels}
        found = observed.namespaces.get(name)
        action, reason = Action.CREATE, "not there"
        if found is not None:
            same = wanted_labels.items() <= found.items()
            action = Action.KEEP if same else Action.UPDATE
            reason = "unchanged" if same else "labels changed"
        steps[name] = EnsureNamespace(
            id=f"namespace:{name}",
            phase=phase_of(component),
            title=f"Create namespace {name}",
            action=action,
            reason=reason,
            after=after,
            component=component.name,
            manifest={
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": wanted_labels},
            },
        )
    return tuple(steps.values())


def _authority(wanted: DesiredState, observed: Observed) -> Sequence[Step]:
    if not wanted.authority:
        return ()
    # Its namespace is looked at by nobody who need not: whether it is there shows when it runs.
    action, reason = (Action.CHECK, RENEWED) if observed.state else (Action.CREATE, "not there")
    return (
        Certify(
            id="authority",
            phase=Phase.CORE,
            title=f"Make an authority for names below {wanted.authority}",
            action=action,
            reason=reason,
            after=("cluster",) if wanted.creates_cluster else (),
            secret=AUTHORITY,
            host=wanted.authority,
        ),
    )


def _notes(
    wanted: DesiredState, observed: Observed, installed: set[str], core: tuple[str, ...]
) -> list[Step]:
    notes: list[Step] = [
        Note(
            id="github",
            phase=Phase.GITHUB,
            title="Set up the agents' GitHub Apps",
            action=Action.SKIP,
            reason="at the end, or by `cto github setup`",
            after=core,
        )
    ]
    for name in wanted.external:
        reason = "mode is external: yours is used"
        notes.append(_kept(name, "external", Action.SKIP, reason))
    there = observed.state.releases if observed.state else {}
    notes += [
        _kept(name, "disabled", Action.SKIP, "mode is disabled: it is not installed")
        for name in wanted.disabled
        if name not in there
    ]
    if observed.state:
        kept = sorted(set(observed.state.releases) - installed - set(wanted.external))
        notes += [
            _kept(name, "kept", Action.KEEP, "no longer wanted, not removed") for name in kept
        ]
    return notes


def _kept(name: str, what: str, action: Action, reason: str) -> Note:
    return Note(
        id=f"{what}:{name}",
        phase=Phase.OPTIONAL,
        title=f"Leave {name} as it is",
        action=action,
        reason=reason,
        component=name,
    )


def _warnings(installed: set[str], observed: Observed) -> list[str]:
    if not observed.state:
        return []
    return [
        f"{name} is installed and no longer wanted: `cto uninstall --component {name}` removes it"
        for name in sorted(set(observed.state.releases) - installed)
    ]


def estimate_s(step: Step, last: Mapping[str, float], *, hooks: bool = False) -> float:
    """Return the seconds that a step will take, by the last run if there was one."""
    if step.action in {Action.KEEP, Action.SKIP}:
        return 0.0
    if step.id in last:
        return last[step.id]
    match step:
        case ApplyRelease() | UninstallRelease():
            return _RELEASE_S + (_HOOK_S if hooks else 0.0)
        case WaitReady():
            return _READY_S * step.waves
        case ApplyCrds():
            return _CRDS_S
        case _:
            return _OTHER_S


def remaining_s(
    steps: Sequence[Step], last: Mapping[str, float], hooked: frozenset[str] = frozenset()
) -> dict[str, float]:
    """Return for each step how long it is from its start to the plan's end, along the graph.

    `hooked` names the components whose releases run hooks.
    """
    by_id = {step.id: step for step in steps}
    followers: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for before in step.after:
            followers[before].append(step.id)
    result: dict[str, float] = {}
    for name in TopologicalSorter(followers).static_order():
        step = by_id[name]
        rest = max((result[follower] for follower in followers[name]), default=0.0)
        result[name] = estimate_s(step, last, hooks=step.component in hooked) + rest
    return result
