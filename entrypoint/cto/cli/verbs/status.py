"""Tells what is installed, and whether it is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

from cto import goyaml
from cto.cli.describe import checks_text, table
from cto.cli.output import Terminal
from cto.cli.reaching import IsFree, access_data, access_lines, installed, way
from cto.cli.verbs.install import health
from cto.cli.verbs.opening import frame, installed_state, not_installed, opened, opened_existing
from cto.cli.verbs.outside import Outside, outside
from cto.cli.wiring import Wiring
from cto.config.load import remembered
from cto.engine.installer import Installer
from cto.errors import Cancelled, DegradedError, Exit
from cto.plan import labels
from cto.plan.observed import Observed
from cto.ports import Reach
from cto.result import Check, CheckStatus, Result

WATCH_S = 2.0


def run(wiring: Wiring, terminal: Terminal, *, watch: bool) -> Result:
    """Look once, or again and again until Ctrl-C."""
    provider = wiring.clusters.there()
    frame(provider, terminal)
    with (
        outside(wiring) as asked,
        opened(wiring, provider, terminal, configured=False) as installer,
    ):
        ways = Ways(provider.reach(), wiring.is_free, asked)
        result = look(installer, ways)
        try:
            while watch:
                result = _next(installer, ways, result, terminal)
        except KeyboardInterrupt:
            told = "It is no longer watched; nothing was changed by that."
            raise Cancelled(told) from None
        return result


@dataclass(frozen=True)
class Ways:
    """How the user reaches the cluster, and the checks the outside."""

    reach: Reach
    is_free: IsFree | None
    outside: Outside


def configuration(wiring: Wiring, terminal: Terminal) -> Result:
    """Return the configuration of the last installation, from the cluster alone.

    Raises:
        DegradedError: CTO-1901, nothing is installed, or what is kept of it cannot be read.
    """
    with opened_existing(wiring, terminal) as installer:
        state = installed_state(installer)
        config = remembered(state.config)
    if config is None:
        message = f"cto {state.writer} kept a configuration that this version cannot read"
        raise DegradedError("CTO-1901", message, hint=f"Use cto {state.writer} for this.")
    public = config.public()
    return Result(command="status", data={"config": public}, text=goyaml.dump(public).rstrip())


def look(installer: Installer, ways: Ways) -> Result:
    """Return the status as it is now.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
    """
    observed = installer.observe()
    if observed.state is None:
        raise not_installed(installer)
    rows = _rows(installer, observed)
    records = {row["component"]: row["release"] if row["revision"] else "" for row in rows}
    other = installer.at_work()
    checks = health(
        installer,
        observed.state,
        simulated=observed.simulated,
        outside=ways.outside,
        records=records,
        at_work=other,
    )
    failed = any(check.status is CheckStatus.FAILED for check in checks)
    there = installed(installer.known.components, observed.state)
    places = () if observed.simulated else there
    reach = way(ways.reach, observed.state)
    lines = access_lines(places, reach, is_free=ways.is_free, log_in=False)
    access = ["", "Access:", *(f"  {line}" for line in lines)] if lines else []
    head = [_headline(observed), *([f"Another run works on it: {other}"] if other else [])]
    return Result(
        command="status",
        data={
            **_data(observed, rows, checks),
            "at_work": other,
            "access": access_data(places, reach),
        },
        text="\n".join([*head, "", *_table(rows), "", "Health:", checks_text(checks), *access]),
        exit_code=Exit.DEGRADED if failed else Exit.OK,
        simulated=observed.simulated,
    )


def _headline(observed: Observed) -> str:
    state = observed.state
    profile = f", profile {state.profile}" if state and state.profile else ""
    writer = f", installed by cto {state.writer}" if state and state.writer else ""
    return f"{observed.context}: Kubernetes {observed.kube_version}{profile}{writer}"


def _rows(installer: Installer, observed: Observed) -> list[dict[str, Any]]:
    rows = []
    releases = observed.state.releases if observed.state else {}
    for component in installer.known.components:
        record = observed.records.get(f"{component.namespace}/{component.release}")
        if component.name not in releases:
            continue
        rows.append(
            {
                "component": component.name,
                "title": component.title,
                "namespace": component.namespace,
                "chart": record.labels.get(labels.CHART, "") if record else "",
                "release": record.status if record else "missing",
                "revision": record.revision if record else 0,
                "objects": len(releases[component.name].objects),
            }
        )
    return rows


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    columns = ("component", "namespace", "chart", "release", "revision", "objects")
    return table([columns, *(tuple(str(row[name]) for name in columns) for row in rows)])


def _data(
    observed: Observed, rows: Sequence[dict[str, Any]], checks: Sequence[Check]
) -> dict[str, Any]:
    state = observed.state
    return {
        "context": observed.context,
        "kubernetes": observed.kube_version,
        "provider": state.provider if state else "",
        "profile": state.profile if state else "",
        "writer": state.writer if state else "",
        "unfinished": sorted(state.unfinished) if state else [],
        "components": list(rows),
        "checks": [check.to_json() for check in checks],
    }


def _next(installer: Installer, ways: Ways, last: Result, terminal: Terminal) -> Result:
    """Show a status, and wait for another one."""
    terminal.show(last)
    while True:
        installer.clock.wait(Flag(), WATCH_S)
        now = look(installer, ways)
        if _essence(now) != _essence(last):
            return now


def _essence(result: Result) -> Any:
    """What of a status is news: not how long the checks took."""
    checks = [(c["name"], c["status"], c["message"]) for c in result.data["checks"]]
    return checks, result.data["components"]
