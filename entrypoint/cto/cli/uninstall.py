"""`cto uninstall`: takes the platform away; data stays unless asked otherwise."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from cto.cli.describe import plan_text, time_text
from cto.cli.options import ClusterOptions, cluster_options, output_options
from cto.cli.outcome import raise_errors
from cto.cli.output import Terminal
from cto.cli.wiring import Wiring
from cto.engine.report import Report
from cto.errors import UsageError
from cto.plan.remove import Options
from cto.plan.steps import Note, Plan
from cto.ports import Provider
from cto.result import Result

_OPTIONS = (
    click.option(
        "--component",
        "components",
        metavar="NAME",
        multiple=True,
        help="Take only this component away; may be repeated.",
    ),
    click.option(
        "--delete-data",
        is_flag=True,
        help="Delete volumes, generated secrets and your custom resources too.",
    ),
    click.option("--delete-crds", is_flag=True, help="Delete our CRDs that have no instances too."),
)


def removal_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what may go; the command gets `removal`, an Options."""

    @functools.wraps(function)
    def collect(*args: Any, **values: Any) -> Any:
        removal = Options(
            components=values.pop("components"),
            delete_data=values.pop("delete_data"),
            delete_crds=values.pop("delete_crds"),
        )
        return function(*args, removal=removal, **values)

    decorated: Callable[..., Any] = collect
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@click.command()
@cluster_options
@removal_options
@click.option("--cluster", is_flag=True, help="Delete the cluster that cto made, with all in it.")
@output_options()
@click.pass_obj
def uninstall(
    terminal: Terminal, *, options: ClusterOptions, removal: Options, cluster: bool
) -> Result:
    """Remove the platform. Volumes, generated secrets and your own objects stay.

    `cto plan uninstall` shows what would go and what would stay.
    """
    wiring = Wiring(options)
    if cluster:
        return _destroy(wiring, terminal)
    provider = wiring.existing()
    terminal.simulated = provider.simulated
    _check_names(wiring, removal)
    _confirm(wiring, provider, terminal, removal)
    with (
        terminal.screen(wiring.clock) as screen,
        wiring.installer(provider, provider.access(), screen, configured=False) as installer,
    ):
        plan, report = installer.uninstall(removal)
        terminal.simulated = plan.simulated
        terminal.data = _data(plan, report)
        raise_errors(report)
    return _result(plan, report)


def _check_names(wiring: Wiring, removal: Options) -> None:
    for name in removal.components:
        if name not in wiring.catalog:
            known = ", ".join(component.name for component in wiring.catalog.components)
            hint = f"Components are {known}."
            raise UsageError("CTO-1200", f"There is no component {name!r}", hint=hint)


def _confirm(wiring: Wiring, provider: Provider, terminal: Terminal, removal: Options) -> None:
    """Show what would go and ask.

    Raises:
        UsageError: CTO-1204, nobody is there to answer.
    """
    if wiring.options.yes:
        return
    if wiring.options.non_interactive or not sys.stdin.isatty() or terminal.format == "json":
        raise UsageError("CTO-1204", "uninstall needs a confirmation")
    with (
        terminal.screen(wiring.clock) as screen,
        wiring.installer(provider, provider.access(), screen, configured=False) as installer,
    ):
        plan = installer.plan_uninstall(removal)
    click.echo(plan_text(plan), err=True)
    click.confirm(f"Carry this out on {plan.context}?", default=False, abort=True, err=True)


def _destroy(wiring: Wiring, terminal: Terminal) -> Result:
    terminal.simulated = True
    if not wiring.options.yes:
        asks = sys.stdin.isatty() and not wiring.options.non_interactive
        if not asks or terminal.format == "json":
            raise UsageError("CTO-1204", "deleting the cluster needs a confirmation")
        text = f"Delete the cluster {wiring.kwok.access().context} with everything in it?"
        click.confirm(text, default=False, abort=True, err=True)
    gone = wiring.kwok.destroy()
    text = "The cluster is gone, with all its files." if gone else "There is no cluster of cto's."
    return Result(command="uninstall", data={"cluster": gone}, text=text, simulated=True)


def _data(plan: Plan, report: Report) -> dict[str, Any]:
    return {
        "context": plan.context,
        "components": [component.name for component in plan.components],
        "kept": [
            {"component": step.component, "what": step.title, "reason": step.reason}
            for step in plan.steps
            if isinstance(step, Note)
        ],
        "report": report.to_json(),
    }


def _result(plan: Plan, report: Report) -> Result:
    kept = [f"  {step.title}: {step.reason}" for step in plan.steps if isinstance(step, Note)]
    namespaces = [
        f"  {run.title}: {run.message}"
        for run in report.runs
        if run.id.startswith("namespace:") and run.message.startswith("kept")
    ]
    names = ", ".join(component.title for component in plan.components)
    removed = f"Removed: {names}." if plan.components else "Nothing of cto's is installed."
    stays = ["", "What stays:", *kept, *namespaces] if kept or namespaces else []
    return Result(
        command="uninstall",
        data=_data(plan, report),
        text="\n".join([removed, *stays, "", time_text(report)]),
        simulated=plan.simulated,
    )
