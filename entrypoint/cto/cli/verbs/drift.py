"""Tells what of the platform is not what was installed, and puts it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cto.cli.describe import counted
from cto.cli.output import Terminal
from cto.cli.verbs.opening import frame, opened, raise_errors
from cto.cli.verbs.upgrade import configure
from cto.cli.wiring import Wiring
from cto.engine import upkeep
from cto.engine.drift import Drift, Drifts
from cto.errors import Exit, UsageError
from cto.ports import Provider
from cto.result import Result

_NONE = "(none)"


def run(wiring: Wiring, terminal: Terminal, *, repair: bool) -> Result:
    """Show the drift, and put it back if that is asked for.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        UsageError: CTO-1204, nobody is there to confirm the repair.
    """
    provider = wiring.clusters.there()
    frame(provider, terminal)
    configure(wiring, provider)
    if repair:
        return _repair(wiring, terminal, provider)
    with opened(wiring, provider, terminal) as installer:
        found, plan = upkeep.drifts(installer)
    result = Result(
        command="status",
        data=_data(found),
        text="\n".join(_lines(found, plan.context)),
        simulated=plan.simulated,
    )
    return replace(result, exit_code=Exit.PENDING) if found.found else result


def _repair(wiring: Wiring, terminal: Terminal, provider: Provider) -> Result:
    if not wiring.options.yes:
        _confirm(wiring, terminal, provider)
    with opened(wiring, provider, terminal) as installer:
        found, plan, report = upkeep.repair(installer)
        terminal.data = {**_data(found), "report": report.to_json()}
        raise_errors(report)
    done = f"{counted(len(found.found), 'object')} put back." if found.found else "No drift."
    return Result(command="status", data=terminal.data, text=done, simulated=plan.simulated)


def _confirm(wiring: Wiring, terminal: Terminal, provider: Provider) -> None:
    if wiring.options.non_interactive or not terminal.can_ask:
        raise UsageError("CTO-1204", "--repair needs a confirmation")
    with opened(wiring, provider, terminal) as installer:
        found, plan = upkeep.drifts(installer)
    if found.found:
        text = "\n".join(_lines(found, plan.context))
        terminal.confirm(f"Put this back on {plan.context}?", text)


def _data(found: Drifts) -> dict[str, object]:
    return {
        "drift": [one.to_json() for one in found.found],
        "unknown": list(found.unknown),
    }


def _lines(found: Drifts, context: str) -> Iterator[str]:
    if not found.found:
        yield f"{context}: everything is as it was installed."
    for one in found.found:
        yield from _object_lines(one)
    yield from (f"not compared: {text}" for text in found.unknown)


def _object_lines(one: Drift) -> Sequence[str]:
    ref = one.change.ref
    lines = [f"--- {ref} (installed with {one.component})"]
    if one.is_missing:
        return [*lines, "+++ nothing: it is missing", ""]
    lines.append(f"+++ {ref} (now)")
    for field in one.change.fields:
        who = one.who(field)
        by = (
            f"    # {' '.join(filter(None, (who.manager, who.subresource, who.time)))}"
            if who
            else ""
        )
        lines += [
            f"-{field.path}: {field.new or '(none)'}",
            f"+{field.path}: {field.old or '(none)'}{by}",
        ]
    return [*lines, ""]
