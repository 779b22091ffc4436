"""Goes back to what there was before a run, and shows the runs that there were."""

from __future__ import annotations

from cto.cli.describe import plan_mermaid, plan_text, table, time_text
from cto.cli.output import MERMAID, Terminal
from cto.cli.verbs.opening import frame, installed_state, opened, opened_existing, raise_errors
from cto.cli.verbs.plan import noted, refuse
from cto.cli.wiring import Wiring
from cto.engine.history import RUNNING, RunRecord
from cto.engine.preflight_errors import refuse_failed
from cto.engine.rollback import Goal
from cto.engine.upkeep import plan_rollback, roll_back
from cto.errors import UsageError
from cto.plan.steps import Plan
from cto.ports import Provider
from cto.result import Result

_KILLED = "ended without a word: it was killed, or lost the cluster"


def run(wiring: Wiring, terminal: Terminal, to: int | None) -> Result:
    """Go back.

    Raises:
        UsageError: CTO-1204, nobody is there to confirm it; CTO-1207, there is nothing to go to.
    """
    provider = wiring.clusters.there()
    frame(provider, terminal)
    refuse_failed(wiring.folder_checks())
    if not wiring.options.yes:
        _confirm(wiring, provider, terminal, to)
    with opened(wiring, provider, terminal, configured=False) as installer:
        installed_state(installer)
        made, target, report = roll_back(installer, to)
        terminal.data = {**_data(made, target), "report": report.to_json()}
        raise_errors(report)
    done = f"The platform is what it was before {_runs(target)}."
    nothing = f"The platform is what it was before {_runs(target)}: nothing had to be changed."
    text = "\n".join([done, "", time_text(report)]) if made.changes else nothing
    return Result(command="rollback", data=terminal.data, text=text, simulated=made.simulated)


def plan(wiring: Wiring, terminal: Terminal, to: int | None) -> Result:
    """Plan the way back."""
    with opened_existing(wiring, terminal) as installer:
        installed_state(installer)
        made, target = plan_rollback(installer, to)
        made = noted(installer, made)
    text = plan_mermaid(made) if terminal.format == MERMAID else _text(made, target)
    checks = [check.to_json() for check in installer.checks]
    result = Result(
        command="plan rollback",
        data={**_data(made, target), "preflight": checks},
        text=text,
        simulated=made.simulated,
    )
    refuse(installer.checks, result, terminal)
    return result


def history(wiring: Wiring, terminal: Terminal) -> Result:
    """Show the runs, the newest first."""
    with opened_existing(wiring, terminal) as installer:
        installed_state(installer)
        runs = installer.history.runs()[::-1]
        at_work = bool(installer.at_work())
    rows = [("run", "started", "command", "cto", "by", "took", "ended")]
    lines: list[str] = []
    for one in runs:
        who = "@".join(filter(None, (one.user, one.host)))
        ended = _ended(one, is_last=one is runs[0], at_work=at_work)
        took = f"{one.seconds:.0f} s" if one.outcome != RUNNING else ""
        row = (str(one.number), one.started, one.command, one.version, who, took, ended)
        rows.append(row)
        lines += [f"  {one.number}  {name}: {change}" for name, change in one.changes.items()]
    text = "\n".join([*table(rows), "", "Changes:", *lines]) if runs else "No run is known."
    return Result(command="history", data={"runs": [one.to_json() for one in runs]}, text=text)


def _ended(one: RunRecord, *, is_last: bool, at_work: bool) -> str:
    if one.outcome == RUNNING:
        return RUNNING if is_last and at_work else _KILLED
    back = f"; rolled back: {', '.join(one.rolled_back)}" if one.rolled_back else ""
    return f"{one.outcome}{f': {one.error}' if one.error else ''}{back}"


def _confirm(wiring: Wiring, provider: Provider, terminal: Terminal, to: int | None) -> None:
    if wiring.options.non_interactive or not terminal.can_ask:
        raise UsageError("CTO-1204", "rollback needs a confirmation")
    with opened(wiring, provider, terminal, configured=False) as installer:
        installed_state(installer)
        made, target = plan_rollback(installer, to)
        refuse_failed(installer.checks)
    if made.changes:
        terminal.confirm(f"Carry this out on {made.context}?", _text(made, target))


def _text(made: Plan, target: Goal) -> str:
    return f"{plan_text(made)}\nThis takes back {_runs(target)}."


def _runs(target: Goal) -> str:
    numbers = ", ".join(str(one.number) for one in target.runs)
    return f"run{'' if len(target.runs) == 1 else 's'} {numbers}"


def _data(made: Plan, target: Goal) -> dict[str, object]:
    return {
        "context": made.context,
        "takes_back": [one.number for one in target.runs],
        "changes": [step.id for step in made.changes],
        "steps": [step.to_json() for step in made.steps],
    }
