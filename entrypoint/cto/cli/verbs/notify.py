"""Sends a test mail by each way that the platform has."""

from __future__ import annotations

from cto.cli.describe import table
from cto.cli.output import Terminal
from cto.cli.verbs.opening import installed_state, opened_existing
from cto.cli.wiring import Wiring
from cto.engine.mails import Mails
from cto.errors import Exit
from cto.result import Result

_COLUMNS = ("component", "status", "message")


def test(wiring: Wiring, terminal: Terminal) -> Result:
    """Send them, and wait for what comes of it.

    Raises:
        DegradedError: CTO-1901, nothing is installed; CTO-1903, it sends no mails.
    """
    with opened_existing(wiring, terminal) as installer:
        state = installed_state(installer)
        file = wiring.settings.root / "templates" / "mail" / "send.py"
        source = file.read_text(encoding="utf-8")
        mails = Mails(installer.cluster, installer.clock, source, simulated=terminal.simulated)
        found = mails.test(installer.known.components, state)
    rows = [one.to_json() for one in found]
    to = ", ".join(state.config["smtp"]["recipients"])
    lines = table([_COLUMNS, *([row[column] for column in _COLUMNS] for row in rows)])
    failed = any(one.status == "failed" for one in found)
    return Result(
        command="notify test",
        data={"mails": rows, "recipients": state.config["smtp"]["recipients"]},
        text="\n".join([*lines, f"Look for what was sent: {to}."]),
        exit_code=Exit.DEGRADED if failed else Exit.OK,
        simulated=terminal.simulated,
    )
