"""Takes the platform away; data stays unless asked otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cto.catalog import Component
from cto.cli.clusters import refuse_busy
from cto.cli.describe import plan_text, time_text
from cto.cli.options import refuse_both
from cto.cli.output import Terminal
from cto.cli.verbs.opening import frame, opened, raise_errors
from cto.cli.wiring import Wiring
from cto.engine.preflight_errors import refuse_failed
from cto.engine.report import Report
from cto.errors import UsageError
from cto.plan.remove import Options
from cto.plan.steps import Note, Plan
from cto.ports import Provider
from cto.result import Result


def run(wiring: Wiring, terminal: Terminal, removal: Options) -> Result:
    """Remove the platform, or some of its components."""
    provider = wiring.clusters.there()
    frame(provider, terminal)
    refuse_failed(wiring.folder_checks())
    _confirm(wiring, provider, terminal, removal)
    with opened(wiring, provider, terminal, configured=False) as installer:
        try:
            plan, report = installer.uninstall(removal)
        finally:
            # Also of a run that they end.
            terminal.data = {"preflight": [check.to_json() for check in installer.checks]}
        terminal.simulated = plan.simulated
        result = _result(plan, report, terminal.data)
        terminal.data = result.data
        raise_errors(report)
    return result


def _confirm(wiring: Wiring, provider: Provider, terminal: Terminal, removal: Options) -> None:
    """Show what would go and ask.

    Raises:
        UsageError: CTO-1204, nobody is there to answer.
    """
    if wiring.options.yes:
        return
    _need_somebody(wiring, terminal, "uninstall needs a confirmation")
    with opened(wiring, provider, terminal, configured=False) as installer:
        plan = installer.plan_uninstall(removal)
        refuse_failed(installer.checks)
    terminal.confirm(f"Carry this out on {plan.context}?", plan_text(plan))


def _need_somebody(wiring: Wiring, terminal: Terminal, message: str) -> None:
    if wiring.options.non_interactive or not terminal.can_ask:
        raise UsageError("CTO-1204", message)


def destroy(wiring: Wiring, terminal: Terminal, removal: Options) -> Result:
    """Delete the cluster that we made, with all in it.

    Raises:
        UsageError: CTO-1200, another option says that something else is meant.
        LockedError: CTO-2000, an installer is at work on it.
    """
    _check_alone(wiring, removal)
    provider = wiring.clusters.made()
    frame(provider, terminal)
    if not wiring.options.yes:
        _need_somebody(wiring, terminal, "deleting the cluster needs a confirmation")
        name = f"{provider.name}-{wiring.settings.cluster.name}"
        terminal.confirm(f"Delete the cluster {name} with everything in it?")
    with terminal.screen(wiring.clock) as screen:
        refuse_busy(provider, wiring.connect, partial(wiring.lock, notice=screen.notice))
    gone = provider.destroy()
    kept = list(provider.leftovers())
    text = "The cluster is gone, with all its files." if gone else "There is no cluster of cto's."
    stays = ["", "What stays:", *(f"  {line}" for line in kept)] if kept else []
    return Result(
        command="uninstall",
        data={"cluster": gone, "kept": kept},
        text="\n".join([text, *stays]),
        simulated=terminal.simulated,
    )


def _check_alone(wiring: Wiring, removal: Options) -> None:
    """Refuse what would be smaller than the cluster, or elsewhere.

    Data and definitions go with the cluster anyway; a kubeconfig is where its entry is.
    """
    if removal.components:
        hint = "Every component goes with the cluster: leave one of the two away."
        refuse_both("--cluster", "--component", hint)
    if "cluster.context" in wiring.options.flags:
        hint = (
            "Only a cluster that cto made is deleted, and --provider and --cluster-name say which. "
            "To take the platform away from a context, leave --cluster away."
        )
        refuse_both("--cluster", "--context", hint)


def _data(plan: Plan, report: Report) -> dict[str, Any]:
    return {
        "context": plan.context,
        "components": [component.name for component in _gone(plan)],
        "kept": [
            {"component": step.component, "what": step.title, "reason": step.reason}
            for step in plan.steps
            if isinstance(step, Note)
        ],
        "warnings": list(plan.warnings),
        "report": report.to_json(),
    }


def _gone(plan: Plan) -> list[Component]:
    """Return the components of which something goes; of others it went long ago."""
    going = {step.component for step in plan.changes}
    return [component for component in plan.components if component.name in going]


def _result(plan: Plan, report: Report, data: Mapping[str, Any]) -> Result:
    kept = [f"  {step.title}: {step.reason}" for step in plan.steps if isinstance(step, Note)]
    namespaces = [
        f"  {run.title}: {run.message}"
        for run in report.runs
        if run.id.startswith("namespace:")
        and run.message.startswith(("kept", "it is being deleted"))
    ]
    names = ", ".join(component.title for component in _gone(plan))
    removed = f"Removed: {names}." if names else "Nothing of cto's is installed."
    stays = ["", "What stays:", *kept, *namespaces] if kept or namespaces else []
    warnings = [f"warning: {text}" for text in plan.warnings]
    return Result(
        command="uninstall",
        data={**_data(plan, report), **data},
        text="\n".join([removed, *stays, *warnings, "", time_text(report)]),
        simulated=plan.simulated,
    )
