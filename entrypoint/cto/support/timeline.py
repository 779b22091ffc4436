"""One sorted list of everything that has a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cto.engine.evidence import one_line
from cto.support import facts

_Entry = tuple[datetime, str]


def timeline(files: Mapping[str, Any]) -> str:
    """Return a line for each run, event, restart and change of a node, the oldest first.

    Args:
        files: What was gathered, by file.
    """
    found = [*_runs(files), *_events(files), *_restarts(files), *_nodes(files)]
    # All at one second stay as they were told.
    return "".join(f"{at:%Y-%m-%dT%H:%M:%SZ} {text}\n" for at, text in sorted(found, key=_at))


def _at(entry: _Entry) -> datetime:
    return entry[0]


def _records(files: Mapping[str, Any], file: str, key: str) -> Iterator[Mapping[str, Any]]:
    yield from (files.get(file) or {}).get(key) or ()


def _runs(files: Mapping[str, Any]) -> Iterator[_Entry]:
    for run in _records(files, facts.HISTORY, "runs"):
        began = moment(run["started"])
        if began is None:
            continue
        name = f"run {run['number']} (cto {run['command']})"
        yield began, f"{name} begins, from {run['host'] or 'an unknown machine'}"
        if run["outcome"] != "running":
            ended = began + timedelta(seconds=run["seconds"])
            yield ended, f"{name} ends: {run['outcome']} {run['error']}".rstrip()


def _events(files: Mapping[str, Any]) -> Iterator[_Entry]:
    for event in _records(files, facts.EVENTS, "events"):
        last = moment(event["last"])
        if last is None:
            continue
        where = f"{event['kind']} {event['namespace']}/{event['name']}"
        often = f" ({event['count']} times since {event['first']})" if event["count"] > 1 else ""
        text = one_line(event["message"])
        yield last, f"{event['type'] or 'Event'} {where}: {event['reason']}: {text}{often}"


def _restarts(files: Mapping[str, Any]) -> Iterator[_Entry]:
    for one in _records(files, facts.PODS, "restarts"):
        if ended := moment(one["time"]):
            what = f"container {one['container']} of {one['pod']}"
            how = f"exit code {one['exit_code']}, {one['reason'] or 'no reason given'}"
            yield ended, f"{what} ended: {how}; {one['restarts']} restarts by now"


def _nodes(files: Mapping[str, Any]) -> Iterator[_Entry]:
    for node in _records(files, facts.NODES, "nodes"):
        for condition in node["conditions"]:
            if changed := moment(condition.get("lastTransitionTime")):
                state = f"{condition['type']} is {condition.get('status')}"
                yield changed, f"node {node['name']}: {state} since then"


def moment(text: Any) -> datetime | None:
    """Return a time as Kubernetes writes it, in UTC; None if it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
