"""What runs did to a cluster: who, when, from where, what, for how long, and how it ended.

Each run that changes something has a ConfigMap of its own, with what its components were before: a
release can be rolled back to it for as long as Helm keeps the revision. No secret is in one.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cto import goyaml
from cto.engine.lease import LEASE, NAME
from cto.engine.permissions import user_of
from cto.engine.report import Report
from cto.engine.state import NAMESPACE, decode_release, encode_release
from cto.errors import ApiError, Cancelled, CtoError
from cto.holder import Holder
from cto.objects import Manifest, ObjectRef
from cto.plan import labels
from cto.plan.back import ROLLBACK, Before
from cto.plan.limits import MOST_BYTES, packed, unpacked
from cto.plan.observed import State
from cto.plan.steps import ApplyRelease, Plan, UninstallRelease
from cto.ports import Clock, Cluster

MARK = "cto.dev/history"
KEPT = 20
RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
_KEY, _BEFORE = "run.json", "before.json.gz"
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        version: Of the cto that ran.
        user: What the API server knows whoever ran it as; '' if it does not tell.
        host: The machine that it ran on.
        started: UTC, by the API server's clock.
        outcome: `running` of one that goes on, or that was killed.
        changes: For each component that had to change: its charts, or `changed`.
        rolled_back: Components that were brought back to what they were.
        takes_back: Numbers of the runs that a rollback takes back.
    """

    number: int
    command: str
    version: str
    user: str = ""
    host: str = ""
    profile: str = ""
    started: str = ""
    seconds: float = 0.0
    outcome: str = RUNNING
    error: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    rolled_back: tuple[str, ...] = ()
    takes_back: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        lists = {"rolled_back": list(self.rolled_back), "takes_back": list(self.takes_back)}
        return {**asdict(self), **lists}


@dataclass(frozen=True, kw_only=True)
class Point:
    """What the platform was before a run.

    Attributes:
        config: `Config.public()`; empty if there was no platform.
        given: Paths of what somebody said in it.
        writer: The cto that had written it.
        components: Those that the run changed, and that can be brought back.
    """

    config: Mapping[str, Any]
    given: tuple[str, ...] | None
    profile: str
    writer: str
    components: Mapping[str, Before]


class History:
    """Reads and writes the runs of a cluster. Only the holder of its lock may write."""

    def __init__(self, cluster: Cluster, version: str) -> None:
        self._cluster = cluster
        self._version = version

    def runs(self) -> list[RunRecord]:
        """Return the runs, the oldest first; one that cannot be read is left out."""
        return [run for item in self._items() if (run := _run_in(item))]

    def point_before(self, number: int) -> Point | None:
        """Return what was before a run; None if nobody kept it."""
        item = self._cluster.get(_ref(number))
        text = (item or {}).get("binaryData", {}).get(_BEFORE)
        if text is None:
            return None
        try:
            return _point(goyaml.load_json(unpacked(b64decode(text))))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @contextmanager
    def kept(
        self,
        plan: Plan,
        state: State | None,
        before: Mapping[str, Before],
        clock: Clock,
        *,
        takes_back: Sequence[int] = (),
    ) -> Iterator[Callable[[Report], None]]:
        """Keep a run from its begin to its end, whatever that is; gives what takes its report.

        One that has nothing to change or to finish is not worth it; one that forgets everything
        forgets this, too.
        """
        if plan.forgets or not (plan.changes or takes_back or (state and state.unfinished)):
            yield lambda _: None
            return
        run, begin_s = self.begin(plan, state, before, takes_back), clock.monotonic()
        ended = [replace(run, outcome=INTERRUPTED)]

        def record(report: Report) -> None:
            back = (one.id.partition(":") for one in report.runs if one.error is None)
            ended[0] = replace(
                run,
                outcome=FAILED if report.errors else DONE,
                error=_told(report.errors),
                rolled_back=tuple(sorted(name for what, _, name in back if what == ROLLBACK)),
            )

        try:
            yield record
        except CtoError as error:
            ended[0] = replace(run, outcome=FAILED, error=_told((error,)))
            raise
        finally:
            self.end(replace(ended[0], seconds=round(clock.monotonic() - begin_s, 1)))

    def begin(
        self,
        plan: Plan,
        state: State | None,
        before: Mapping[str, Before],
        takes_back: Sequence[int] = (),
    ) -> RunRecord:
        """Write that a run begins, and what was before it; forget the oldest."""
        items = self._items()
        lease = self._cluster.get(ObjectRef(*LEASE, NAMESPACE, NAME)) or {}
        holder = str(lease.get("spec", {}).get("holderIdentity") or "")
        run = RunRecord(
            number=max(map(_number, items), default=0) + 1,
            command=plan.command,
            version=self._version,
            user=user_of(self._cluster),
            host=Holder.parse(holder).host,
            profile=plan.profile,
            started=f"{self._cluster.now():%Y-%m-%dT%H:%M:%SZ}",
            changes=_changes(plan),
            takes_back=tuple(takes_back),
        )
        point = packed(json.dumps(_kept(state, before), sort_keys=True))
        manifest = _config_map(run)
        if len(point) < MOST_BYTES * 3 // 4:
            manifest["binaryData"] = {_BEFORE: b64encode(point).decode()}
        self._cluster.create(manifest)
        for item in items[: max(0, len(items) + 1 - KEPT)]:
            self._cluster.delete(_ref(_number(item)))
        return run

    def end(self, run: RunRecord) -> None:
        """Write how a run ended; that it cannot be written ends nothing."""
        with suppress(ApiError, Cancelled):
            found = self._cluster.get(_ref(run.number))
            if found is not None:
                self._cluster.update({**found, "data": _config_map(run)["data"]})

    def _items(self) -> list[Manifest]:
        found = self._cluster.list("v1", "ConfigMap", namespace=NAMESPACE, labels=f"{MARK}=run")
        return sorted(found, key=_number)


def _told(errors: Sequence[CtoError]) -> str:
    """Return the first line of the first error: details may be long, and of anything."""
    return f"{errors[0].code}: {errors[0].message}".partition("\n")[0] if errors else ""


def _ref(number: int) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", NAMESPACE, f"cto-run-{number:06}")


def _number(item: Manifest) -> int:
    tail = item["metadata"]["name"].rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 0


def _config_map(run: RunRecord) -> Manifest:
    ref = _ref(run.number)
    marks = {labels.MANAGED_BY: labels.OWNER, labels.TRACE: "true", MARK: "run"}
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            # Another day's would not fit what is there, as with the state.
            "labels": {**marks, "velero.io/exclude-from-backup": "true"},
        },
        "data": {_KEY: json.dumps({"schema": _SCHEMA, **run.to_json()}, sort_keys=True)},
    }


def _run_in(item: Manifest) -> RunRecord | None:
    try:
        data = goyaml.load_json((item.get("data") or {})[_KEY])
        known = {name: data[name] for name in RunRecord.__dataclass_fields__ if name in data}
        run = RunRecord(**known)
        return replace(
            run,
            changes=dict(run.changes),
            rolled_back=tuple(run.rolled_back),
            takes_back=tuple(run.takes_back),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _changes(plan: Plan) -> dict[str, str]:
    found = {step.component: "changed" for step in plan.changes if step.component}
    for step in plan.changes:
        match step:
            case ApplyRelease(release=spec, installed=(old, _)):
                new = labels.value_of(f"{spec.chart.name}-{spec.chart.version}")
                found[step.component] = new if old in {"", new} else f"{old} -> {new}"
            case UninstallRelease():
                found[step.component] = "removed"
            case _:
                pass
    return found


def _kept(state: State | None, before: Mapping[str, Before]) -> dict[str, Any]:
    return {
        "config": state.config if state else {},
        "given": list(state.given) if state and state.given is not None else None,
        "profile": state.profile if state else "",
        "writer": state.writer if state else "",
        "components": {
            name: {**one.to_json(), "known": encode_release(one.known), "own": list(one.own)}
            for name, one in before.items()
        },
    }


def _point(data: Mapping[str, Any]) -> Point:
    given: Sequence[str] | None = data["given"]
    return Point(
        config=data["config"],
        given=None if given is None else tuple(given),
        profile=data["profile"],
        writer=data["writer"],
        components={
            name: Before(
                component=name,
                chart=str(one["chart"]),
                revision=int(one["revision"]),
                known=decode_release(name, one["known"]),
                own=tuple(one["own"]),
            )
            for name, one in data["components"].items()
        },
    )
