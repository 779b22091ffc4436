"""Plans: what install or uninstall would do, and why. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cto.cli.describe import plan_mermaid, plan_text
from cto.cli.installers import destination
from cto.cli.output import MERMAID, Terminal
from cto.cli.verbs.opening import frame, opened, opened_existing
from cto.cli.wiring import Wiring
from cto.engine.installer import Installer
from cto.engine.planning import plan_new_cluster
from cto.engine.preflight_errors import refuse_failed
from cto.plan.remove import Options
from cto.plan.steps import Plan
from cto.ports import Provider, ProviderState
from cto.result import Check, CheckStatus, Result


def install(wiring: Wiring, terminal: Terminal) -> Result:
    """Plan an installation, be it on a cluster that is still to be made."""
    terminal.tell_unread(wiring.options.files)
    wiring.configure()
    provider = wiring.clusters.chosen()
    frame(provider, terminal)
    refuse_failed(provider.validate())
    if provider.creates and provider.state() is not ProviderState.READY:
        with terminal.screen(wiring.clock):
            planned = _new_cluster(wiring, provider)
        return _result(planned, terminal)
    with opened(wiring, provider, terminal) as installer:
        try:
            made = noted(installer, installer.plan_install())
        finally:
            # Also of a plan that they end.
            terminal.data = {"preflight": [check.to_json() for check in installer.checks]}
    result = _result(made, terminal, installer.checks)
    refuse(installer.checks, result, terminal)
    return result


def noted(installer: Installer, made: Plan) -> Plan:
    """Return the plan with a warning if it may be something else when the other run is over."""
    other = installer.at_work()
    return (
        replace(made, warnings=(*made.warnings, f"another run works on it: {other}"))
        if other
        else made
    )


def refuse(checks: Sequence[Check], result: Result, terminal: Terminal) -> None:
    """Refuse what `install` or `uninstall` would refuse, with the plan all the same."""
    terminal.data = result.data
    if terminal.format != "json" and any(check.status is CheckStatus.FAILED for check in checks):
        terminal.show(result)
    refuse_failed(checks)


def uninstall(wiring: Wiring, terminal: Terminal, removal: Options) -> Result:
    """Plan a removal."""
    with opened_existing(wiring, terminal) as installer:
        made = noted(installer, installer.plan_uninstall(removal))
    result = _result(made, terminal, installer.checks)
    refuse(installer.checks, result, terminal)
    return result


def _new_cluster(wiring: Wiring, provider: Provider) -> Plan:
    return plan_new_cluster(
        wiring.selection,
        wiring.loaded.config,
        wiring.charts.resolve,
        provider,
        destination(provider, wiring.settings.env, wiring.configured()),
    )


def _result(made: Plan, terminal: Terminal, checks: Sequence[Check] = ()) -> Result:
    text = plan_mermaid(made) if terminal.format == MERMAID else plan_text(made)
    return Result(
        command=f"plan {made.command}",
        data={
            "context": made.context,
            "provider": made.provider,
            "profile": made.profile,
            "changes": len(made.changes),
            "warnings": list(made.warnings),
            "preflight": [check.to_json() for check in checks],
            "steps": [step.to_json() for step in made.steps],
        },
        text=text,
        simulated=made.simulated,
    )
