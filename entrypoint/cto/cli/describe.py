"""Plans, reports and checks as text for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cto.engine.report import Report
from cto.events import Phase
from cto.plan.changes import Action
from cto.plan.steps import Plan, Step
from cto.result import Check, CheckStatus

_MARKS = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPAIR: "!",
    Action.DELETE: "-",
    Action.KEEP: "=",
    Action.WAIT: ".",
    Action.CHECK: "?",
    Action.SKIP: " ",
}
CHECK_MARKS = {
    CheckStatus.PASSED: "ok",
    CheckStatus.FAILED: "FAILED",
    CheckStatus.WARNING: "warning",
    CheckStatus.SKIPPED: "skipped",
}
_SLOW_STEPS = 5


def plan_text(plan: Plan) -> str:
    """Return a plan by phase: what each step does and why, and what it touches."""
    lines = [_headline(plan), ""]
    for phase in Phase:
        steps = [step for step in plan.steps if step.phase is phase]
        if steps:
            lines.append(f"{phase.value}:")
            lines += [line for step in steps for line in step_lines(step)]
    lines += ["", summary(plan), *(f"warning: {text}" for text in plan.warnings)]
    return "\n".join(lines)


def _headline(plan: Plan) -> str:
    profile = f", profile {plan.profile}" if plan.profile else ""
    where = f"context {plan.context}" if plan.context else "a new cluster"
    return f"Plan: {plan.command} on {where} ({plan.provider}{profile})"


def step_lines(step: Step) -> list[str]:
    """Return what a step does and why, and what it touches."""
    reason = f" ({step.reason})" if step.reason else ""
    lines = [f"  {_MARKS[step.action]} {step.title}{reason}"]
    if step.action in {Action.CREATE, Action.UPDATE, Action.REPAIR, Action.DELETE}:
        lines += [f"      {text}" for text in step.touches()]
    return lines


def summary(plan: Plan) -> str:
    if not plan.changes:
        return "Nothing to change."
    counts = {action: sum(s.action is action for s in plan.steps) for action in _MARKS}
    named = [
        f"{counts[action]} to {action.value}"
        for action in (Action.CREATE, Action.UPDATE, Action.REPAIR, Action.DELETE)
        if counts[action]
    ]
    changes = counted(len(plan.changes), "change")
    return f"{changes}: {', '.join(named)}; {counts[Action.KEEP]} unchanged."


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plan_mermaid(plan: Plan) -> str:
    """Return the graph as a Mermaid flowchart."""
    ids = {step.id: f"s{number}" for number, step in enumerate(plan.steps)}
    lines = ["flowchart TD"]
    for step in plan.steps:
        title = f"{step.title} ({step.action.value})".replace('"', "'")
        lines.append(f'  {ids[step.id]}["{title}"]')
    for step in plan.steps:
        lines += [f"  {ids[name]} --> {ids[step.id]}" for name in step.after]
    return "\n".join(lines)


def time_text(report: Report) -> str:
    """Return where the time went: the slowest steps, and the chain that the end waited for."""
    slow = sorted(report.runs, key=lambda run: -run.seconds)[:_SLOW_STEPS]
    slow = [run for run in slow if run.seconds >= 0.1]
    if not slow:
        return f"{report.seconds:.1f} s."
    width = max(len(run.title) for run in slow)
    lines = [f"Where {report.seconds:.1f} s went:"]
    lines += [f"  {run.title:{width}}  {run.seconds:6.1f} s" for run in slow]
    chain = [run for run in report.critical_path if run.seconds >= 0.1]
    path = [f"{run.title} {run.seconds:.1f} s" for run in chain]
    return "\n".join([*lines, f"Critical path: {' -> '.join(path)}"])


def checks_text(checks: Sequence[Check]) -> str:
    """Return checks as a table, with items and fixes below what failed."""
    width = max((len(check.title) for check in checks), default=0)
    lines = []
    for check in checks:
        mark = CHECK_MARKS[check.status]
        lines.append(f"  {mark:8}{check.title:{width}}  {check.message} ({check.seconds:.2f} s)")
        if check.status in {CheckStatus.FAILED, CheckStatus.WARNING}:
            lines += [f"          {item}" for item in check.items]
            lines += [f"          fix: {check.fix}"] if check.fix else []
    return "\n".join(lines)


def tell(notice: Callable[..., None], checks: Sequence[Check]) -> None:
    """Show what is no reason to stop: what may become one, and what nobody knows."""
    for check in checks:
        if check.status in (CheckStatus.WARNING, CheckStatus.SKIPPED):
            lines = [f"{check.title}: {check.message}", *check.items, check.fix]
            text = "; ".join(line for line in lines if line)
            notice(text, warning=check.status is CheckStatus.WARNING)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of columns; the first row has their titles."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{v:{w}}" for v, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
