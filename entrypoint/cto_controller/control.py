"""Does what `decide` says, again and again, from what the watches tell."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag

from cto.backoff import Backoff
from cto.engine.agentsettings import Settings
from cto.engine.cache import Cache
from cto.engine.causes import causes_of
from cto.engine.evidence import CLAIM, EVENT, POD, Evidence, one_line
from cto.engine.tasks import API, KINDS, RUN, RunPhase
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, Cancelled, ConfigError
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of, ref_of
from cto.ports import Clock, Cluster
from cto.render import Renderer
from cto_controller import decide
from cto_controller.attempts import Attempt
from cto_controller.runs import EXPIRES, JOB, Run, moment, written
from cto_controller.serving import Metrics, log
from cto_controller.tokens import AppTokens, TokenError

MANAGER = "cto-controller"
# Changes come in bursts, and one look tells of all of them.
_BURST_S = 0.2
# Times go by without an event: deadlines of tokens, and of what is cleaned away.
PAUSE_S = 10.0
# What could not begin is tried again after so long, twice as long after each failure.
_BACKOFF = Backoff(10.0, 300.0)
# What it goes by.
FOLLOWED = (*((API, kind) for kind in KINDS), JOB, POD, EVENT, CLAIM)


@dataclass
class Controller:
    """Runs the runs of one namespace.

    Attributes:
        cluster: Where all is; what it refuses to write ends a pass, and nothing else.
        view: What it goes by: all kinds of `FOLLOWED`.
        templates: The folder of prompts, and of what runs are made of.
        github: Mints tokens.
    """

    cluster: Cluster
    view: Cache
    clock: Clock
    namespace: str
    settings: Settings
    templates: Path
    github: AppTokens
    metrics: Metrics
    _renderer: Renderer = field(default_factory=lambda: Renderer({}, env={}))
    _failures: dict[str, tuple[int, float]] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def tick(self) -> None:
        """Look once, and do all that is to be done. What fails is logged, and done next time."""
        try:
            world = self._world()
            self._forget({run.uid for run in world.runs})
            self.metrics.show(world.runs, self.settings)
            for action in decide.decide(world, self.settings):
                self._try(action, world)
        except ApiError as error:
            log("error", error.message)
        except Cancelled:
            log("warning", "the lease is not ours: nothing is changed")

    def _try(self, action: decide.Action, world: decide.World) -> None:
        """Do something, unless it is refused: one run's trouble is not another's."""
        try:
            self._do(action, world)
        except ApiError as error:
            if error.is_silence:
                raise
            log("error", error.message)

    # looking

    def _world(self) -> decide.World:
        runs = [Run(found) for kind in KINDS for found in self._objects((API, kind))]
        evidence = Evidence(self.view, self.namespace, self.cluster.now)
        return decide.World(
            runs=runs,
            jobs=self._jobs(runs),
            pods=_grouped(self._objects(POD), "job-name"),
            tokens=self._tokens(),
            cause=lambda job: next((cause.message for cause in causes_of(evidence, job)), ""),
            now=self.cluster.now(),
            put_off=self._is_too_soon,
        )

    def _objects(self, kind: tuple[str, str]) -> Iterable[Manifest]:
        return self.view.objects(*kind, self.namespace).values()

    def _jobs(self, runs: Sequence[Run]) -> Mapping[str, Sequence[Manifest]]:
        jobs = _grouped(self._objects(JOB), RUN)
        for run in runs:
            # A watch may be behind: a Job that the status knows of is gone only if it is not there.
            known = {job["metadata"]["name"] for job in jobs.get(run.uid, ())}
            ref = run.job(run.attempts)
            is_lost = run.attempts and not run.has_ended and ref.name not in known
            if is_lost and (found := self.cluster.get(ref)):
                jobs[run.uid] = [*jobs.get(run.uid, ()), found]
        return jobs

    def _tokens(self) -> list[decide.Token]:
        listed = self.cluster.list_metadata("v1", "Secret", namespace=self.namespace, labels=RUN)
        found = []
        for item in listed:
            expires = moment(annotations_of(item).get(EXPIRES)) or self.cluster.now()
            found.append(decide.Token(ref_of(item), labels_of(item)[RUN], expires))
        return found

    # doing

    def _do(self, action: decide.Action, world: decide.World) -> None:
        match action:
            case decide.StartAttempt():
                self._start(action, world)
            case decide.WriteStatus():
                self._report(action.run, action.status)
            case decide.Suspend():
                uid, spec = action.job["metadata"]["uid"], {"suspend": action.suspend}
                self.cluster.apply(partial(ref_of(action.job), uid, spec=spec), manager=MANAGER)
            case decide.Renew():
                self._renew(action)
            case decide.Remove():
                if self.cluster.delete(action.ref, uid=action.uid):
                    log("info", f"{action.ref} was removed")

    def _start(self, action: decide.StartAttempt, world: decide.World) -> None:
        try:
            attempt = self._attempt(action.run, action.attempt)
            self._make(attempt)
        except (TokenError, ApiError, ConfigError) as error:
            if isinstance(error, ApiError) and error.is_silence:
                raise
            why = str(error) if isinstance(error, TokenError) else error.message
            self._put_off(action.run, action.attempt - 1, why, world)
            return
        self._failures.pop(action.run.uid, None)
        job = action.run.job(action.attempt)
        log("info", f"{job} was made", run=str(action.run.ref), agent=attempt.name)

    def _attempt(self, run: Run, number: int) -> Attempt:
        found = self.settings.agent_of(run.app)
        if found is None:
            text = f"no agent has the GitHub App {run.app!r}"
            raise TokenError(text)
        return Attempt(run, number, *found, self.settings)

    def _make(self, attempt: Attempt) -> None:
        """Make what the Job needs, the Job last: a run without it has not begun."""
        objects = attempt.objects(self.templates, self._renderer)
        if attempt.slug:
            self._give_token(attempt)
        for manifest in objects:
            try:
                self.cluster.create(manifest)
            except ApiError as error:
                # An earlier try made it, or an earlier run its workspace.
                if error.reason != "AlreadyExists":
                    raise
                # Its task is what the run says now: somebody may have mended it since.
                if manifest["kind"] == "ConfigMap":
                    self.cluster.apply(manifest, manager=MANAGER)

    def _give_token(self, attempt: Attempt) -> None:
        minted = self.github.mint(attempt)
        self.cluster.apply(attempt.secret(minted.value, minted.expires), manager=MANAGER)

    def _renew(self, action: decide.Renew) -> None:
        if self._is_too_soon(action.run):
            return
        try:
            self._give_token(self._attempt(action.run, action.run.attempts))
            self._failures.pop(action.run.uid, None)
        except TokenError as error:
            self._fail(action.run)
            log("error", f"its token was not renewed: {error}", run=str(action.run.ref))

    def _report(self, run: Run, status: Mapping[str, object]) -> None:
        told = partial(run.ref, run.uid, status=status)
        try:
            self.cluster.apply(told, manager=MANAGER, subresource="status")
        except ApiError as error:
            if error.is_absence or error.is_conflict:
                return
            raise
        phase = str(status.get("phase", ""))
        # The watch may be behind, and the same decided twice.
        if phase != run.status.get("phase") and self._told.get(run.uid) != phase:
            self._told[run.uid] = phase
            log("info", f"{phase}: {status.get('message')}", run=str(run.ref))
            self.metrics.count(run, status, self.settings)
            self._tell(run, phase, str(status.get("message")))

    def _put_off(self, run: Run, attempts: int, why: str, world: decide.World) -> None:
        """Say why a run does not begin, and try it again later."""
        self._fail(run)
        log("error", f"it does not begin: {why}", run=str(run.ref))
        status = decide.not_started(run, attempts, one_line(why), world.now)
        if status != run.status:
            self._report(run, status)

    def _forget(self, alive: Collection[str]) -> None:
        """Keep nothing of runs that are gone."""
        self._failures = {uid: row for uid, row in self._failures.items() if uid in alive}
        self._told = {uid: phase for uid, phase in self._told.items() if uid in alive}

    def _fail(self, run: Run) -> None:
        count, _ = self._failures.get(run.uid, (0, 0.0))
        self._failures[run.uid] = count + 1, self.clock.monotonic() + _BACKOFF.pause_s(count)

    def _is_too_soon(self, run: Run) -> bool:
        return self.clock.monotonic() < self._failures.get(run.uid, (0, 0.0))[1]

    def _tell(self, run: Run, phase: str, text: str) -> None:
        """Leave an event at the run, for `kubectl describe`; once, whoever is told it again."""
        ref, now = run.ref, written(self.cluster.now())
        key = hashlib.sha256(f"{run.uid}/{phase}/{run.attempts}".encode()).hexdigest()[:10]
        about = {"apiVersion": ref.api_version, "kind": ref.kind, "namespace": ref.namespace}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{ref.name[:200]}.{key}", "namespace": ref.namespace},
            "involvedObject": {**about, "name": ref.name, "uid": run.uid},
            "type": "Warning" if phase == RunPhase.FAILED else "Normal",
            "reason": phase,
            "message": text,
            "source": {"component": MANAGER},
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        # Whoever looks at the run sees its status: an event less is no loss.
        with suppress(ApiError):
            self.cluster.create(event)


def follow(
    live: WatchCache, namespace: str, tick: Callable[[], None], beat: Callable[[], None], stop: Flag
) -> None:
    """Make a pass for every change, until `stop` is set."""
    for kind in FOLLOWED:
        live.track(*kind, namespace)
    seen = -1
    while not stop.is_set():
        seen = live.wait_change(seen, PAUSE_S)
        if all(live.synced(*kind, namespace) for kind in FOLLOWED) and not stop.is_set():
            tick()
            beat()
            stop.wait(_BURST_S)


def partial(ref: ObjectRef, uid: str, **fields: object) -> Manifest:
    """Return what is changed of an object; with its uid, as another of the name is another one."""
    metadata = {"name": ref.name, "namespace": ref.namespace, "uid": uid}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, **fields}


def _grouped(objects: Iterable[Manifest], label: str) -> dict[str, Sequence[Manifest]]:
    found: defaultdict[str, list[Manifest]] = defaultdict(list)
    for item in objects:
        if name := labels_of(item).get(label):
            found[name].append(item)
    return dict(found)
