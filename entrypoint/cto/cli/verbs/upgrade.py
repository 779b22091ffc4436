"""Upgrades what is installed: configuration and secrets come from the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from cto import __version__
from cto.cli.output import Terminal
from cto.cli.progress import Screen
from cto.cli.upgradetext import upgrade_text
from cto.cli.verbs.install import InstallRun, prerequisites
from cto.cli.verbs.opening import frame, opened
from cto.cli.verbs.plan import noted, refuse
from cto.cli.wiring import Wiring
from cto.config.load import Installed
from cto.engine.installer import Installer
from cto.engine.preflight_errors import refuse_failed
from cto.engine.recall import Recall
from cto.engine.state import StateStore
from cto.errors import DegradedError, Exit, UsageError, nearest
from cto.plan.build import Manner
from cto.plan.selection import with_installed
from cto.plan.steps import Plan
from cto.ports import Provider
from cto.result import Result


def run(wiring: Wiring, terminal: Terminal, only: Sequence[str]) -> Result:
    """Upgrade the platform, or some of its components.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        UsageError: CTO-1204, nobody is there to confirm it.
    """
    provider, manner = _opened(wiring, terminal, only)
    if not wiring.options.yes:
        _confirm(wiring, provider, terminal, manner)
    with terminal.screen(wiring.clock) as screen:
        wiring.notice = screen.notice
        return InstallRun(wiring, provider, terminal, screen, manner).run()


def plan(wiring: Wiring, terminal: Terminal, only: Sequence[str], *, check: bool) -> Result:
    """Plan an upgrade.

    Args:
        wiring: The command's adapters.
        terminal: Its output.
        only: Names of components; empty for all.
        check: Whether the exit code tells if there is anything to do.
    """
    provider, manner = _opened(wiring, terminal, only)
    refuse_failed(provider.validate())
    with opened(wiring, provider, terminal) as installer:
        try:
            made = noted(installer, installer.plan_install(manner))
        finally:
            # Also of a plan that they end.
            terminal.data = {"preflight": [one.to_json() for one in installer.checks]}
        result = _result(made, installer)
    refuse(installer.checks, result, terminal)
    pending = check and made.changes
    return replace(result, exit_code=Exit.PENDING) if pending else result


def _opened(wiring: Wiring, terminal: Terminal, only: Sequence[str]) -> tuple[Provider, Manner]:
    """Find the cluster, and read its configuration."""
    terminal.tell_unread(wiring.options.files)
    provider = wiring.clusters.there()
    frame(provider, terminal)
    configure(wiring, provider)
    _check_names(wiring, only)
    return provider, _manner(only)


def _manner(only: Sequence[str]) -> Manner:
    return Manner(command="upgrade", in_order=True, takes_back=True, only=tuple(only))


def preview(wiring: Wiring, provider: Provider, screen: Screen) -> Result:
    """Plan an upgrade for whoever looks for a fault: what speaks against it is no error.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        CtoError: Something that it takes is not at hand.
    """
    configure(wiring, provider)
    with wiring.installer(provider, provider.access(), screen) as installer:
        return _result(noted(installer, installer.plan_install(_manner(()))), installer)


def configure(wiring: Wiring, provider: Provider) -> None:
    """Read the configuration over what is installed, with the values of its secrets.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        ConfigError: Something in it is wrong, or the value of a secret is lost.
    """
    access = provider.access()
    with closing(wiring.connect(access)) as cluster:
        state = StateStore(cluster, __version__).load()
        if state is None:
            text = f"the platform is not installed on {access.context}"
            raise DegradedError("CTO-1901", text)
        components = with_installed(wiring.settings.catalog(), state).components
        recall = Recall(components, cluster)
        loaded = wiring.configure(
            Installed(config=state.config, given=state.given, value_of=recall)
        )
    recall.refuse_lost(loaded.config)


def _check_names(wiring: Wiring, only: Sequence[str]) -> None:
    names = [component.name for component in wiring.selection.managed]
    for name in only:
        if name not in names:
            near = nearest(name, names)
            hint = f"Did you mean {near}?" if near else f"There are {', '.join(names)}."
            text = f"--only {name}: no such component is installed, or to be installed"
            raise UsageError("CTO-1200", text, hint=hint)


def _confirm(wiring: Wiring, provider: Provider, terminal: Terminal, manner: Manner) -> None:
    """Show the plan and ask.

    Raises:
        UsageError: CTO-1204, nobody is there to answer.
    """
    if wiring.options.non_interactive or not terminal.can_ask:
        raise UsageError("CTO-1204", "upgrade needs a confirmation")
    with terminal.screen(wiring.clock) as screen:
        wiring.notice = screen.notice
        prerequisites(wiring, provider, terminal, screen)
        with wiring.installer(provider, provider.access(), screen) as installer:
            made = installer.plan_install(manner)
            refuse_failed(installer.checks)
            text = upgrade_text(made, installer.store.known)
    if made.changes:
        terminal.confirm(f"Carry this out on {made.context}?", text)


def _result(made: Plan, installer: Installer) -> Result:
    state = installer.store.known
    return Result(
        command="plan upgrade",
        data={
            "context": made.context,
            "provider": made.provider,
            "profile": made.profile,
            "from": {"version": state.writer, "profile": state.profile} if state else {},
            "to": {"version": __version__, "profile": made.profile},
            "changes": len(made.changes),
            "warnings": list(made.warnings),
            "preflight": [check.to_json() for check in installer.checks],
            "steps": [step.to_json() for step in made.steps],
        },
        text=upgrade_text(made, state),
        simulated=made.simulated,
    )
