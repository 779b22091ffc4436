"""What is to be done: runs, their Jobs and pods go in, actions come out. Nothing else is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeAlias

from cto.engine.agentsettings import AgentSettings, Settings
from cto.engine.readiness import conditions_of
from cto.engine.tasks import APP_KEYS, ENDED, RunPhase, attempt_of
from cto.objects import Manifest, ObjectRef, is_being_deleted, ref_of
from cto_controller.runs import AttemptResult, Run, end_of, moment, workspaces_of, written

# As the scheduler says it: a claim that is not bound, or a taint, is no lack of room.
_NO_ROOM = re.compile(r"Insufficient|Too many pods")
_ROOM_WAIT = timedelta(minutes=10)
# Tokens of GitHub Apps live for an hour; who pushes at its end needs one that still works.
RENEWAL = timedelta(minutes=15)
# Velero makes an object first, and writes its old status then.
_UNTOLD = timedelta(seconds=30)


@dataclass(frozen=True)
class Token:
    """The Secret of a run that holds its token."""

    ref: ObjectRef
    run: str
    expires: datetime


@dataclass(frozen=True)
class World:
    """What the cluster holds.

    Attributes:
        jobs: Of every run, by its uid.
        pods: Of every Job, by its name.
        cause: Says why a Job's pod does not run; '' if it does, or nothing tells.
        put_off: Says whether a run failed to begin, and its time to be tried again has not come.
    """

    runs: Sequence[Run]
    jobs: Mapping[str, Sequence[Manifest]]
    pods: Mapping[str, Sequence[Manifest]]
    tokens: Sequence[Token]
    cause: Callable[[Manifest], str]
    now: datetime
    put_off: Callable[[Run], bool]


@dataclass(frozen=True)
class StartAttempt:
    run: Run
    attempt: int


@dataclass(frozen=True)
class WriteStatus:
    """Write what a run's status is now; what is not named there goes."""

    run: Run
    status: Mapping[str, Any]


@dataclass(frozen=True)
class Suspend:
    job: Manifest
    suspend: bool


@dataclass(frozen=True)
class Renew:
    run: Run
    token: Token


@dataclass(frozen=True)
class Remove:
    """Delete something of a run that ended, or the run. It goes with this uid only."""

    ref: ObjectRef
    uid: str = ""


Action: TypeAlias = StartAttempt | WriteStatus | Suspend | Renew | Remove


@dataclass(frozen=True)
class _Course:
    """How far a run is."""

    run: Run
    jobs: Sequence[Manifest]
    limit: int

    @cached_property
    def last(self) -> Manifest | None:
        """The Job of the newest attempt, if it is there."""
        newest = max(self.jobs, key=attempt_of, default=None)
        return newest if newest and attempt_of(newest) >= self.run.attempts else None

    @property
    def attempt(self) -> int:
        return max([self.run.attempts, *map(attempt_of, self.jobs)])

    @property
    def is_going(self) -> bool:
        return self.last is not None and end_of(self.last) is None


def decide(world: World, settings: Settings) -> list[Action]:
    """Return what is to be done now, in this order."""
    alive = [run for run in world.runs if not is_being_deleted(run.manifest)]
    alive.sort(key=lambda run: run.place)
    courses = [_Course(r, world.jobs.get(r.uid, ()), settings.job.attempts) for r in alive]
    open_ones = [course for course in courses if not course.run.has_ended]
    return [
        *_Queue(world, settings, open_ones).actions(),
        *_tokens(world, courses),
        *_cleaning(world, settings, courses),
    ]


@dataclass
class _Queue:
    """Lets runs begin, the oldest first, as far as limits, workspaces and nodes allow."""

    world: World
    settings: Settings
    courses: Sequence[_Course]
    agents: Counter[str] = field(default_factory=Counter)
    workspaces: dict[str, str] = field(default_factory=dict)
    without_room: str = ""

    def actions(self) -> Iterator[Action]:
        for course in self.courses:
            if course.is_going:
                self._occupy(course.run)
                self.without_room = self.without_room or self._unscheduled(course)
        # Also where its run was deleted, or its time is over: it is told to end, and takes a while.
        for pod in (pod for pods in self.world.pods.values() for pod in pods):
            for workspace in workspaces_of(pod):
                self.workspaces.setdefault(workspace, f"pod {pod['metadata']['name']}")
        for course in self.courses:
            yield from self._going(course) if course.is_going else self._next(course)

    def _occupy(self, run: Run) -> None:
        self.agents[self._agent(run)[0]] += 1
        self.workspaces[run.workspace] = f"run {run.ref.name}"

    def _agent(self, run: Run) -> tuple[str, AgentSettings | None]:
        """Return whose run it is, however it names its agent; '' and None if nobody's."""
        return self.settings.agent_of(run.app) or ("", None)

    def _unscheduled(self, course: _Course) -> str:
        """Return the run's name if no node has room for its pod: who comes next waits as well.

        Not for ever: it may be too large for every node, and others are not.
        """
        assert course.last is not None  # noqa: S101 - it is going
        for pod in self.world.pods.get(course.last["metadata"]["name"], ()):
            scheduled = conditions_of(pod).get("PodScheduled", {})
            lacks_room = _NO_ROOM.search(str(scheduled.get("message", "")))
            since = moment(scheduled.get("lastTransitionTime")) or self.world.now
            if lacks_room and self.world.now - since < _ROOM_WAIT:
                return course.run.ref.name
        return ""

    def _going(self, course: _Course) -> Iterator[Action]:
        job = course.last
        assert job is not None  # noqa: S101 - it is going
        wanted = bool(course.run.spec.get("suspend"))
        if wanted != bool(job["spec"].get("suspend")):
            yield Suspend(job, suspend=wanted)
        reason, text = ("Suspended", "suspended") if wanted else ("Running", "running")
        text = f"attempt {course.attempt} of {course.limit} is {text}"
        text += "".join(
            f"; attempt {attempt_of(other)} failed: {self._result(other).summary}"
            for other in course.jobs
            if attempt_of(other) == course.attempt - 1
        )
        if not wanted and (cause := self.world.cause(job)):
            reason, text = "Waiting", f"{text}: {cause}"
        yield from self._report(course, RunPhase.RUNNING, reason, text)

    def _result(self, job: Manifest) -> AttemptResult:
        return AttemptResult.of(job, self.world.pods.get(job["metadata"]["name"], ()))

    def _next(self, course: _Course) -> Iterator[Action]:
        if course.run.is_restored:
            made = moment(course.run.manifest["metadata"]["creationTimestamp"])
            if not course.run.status and made and self.world.now - made < _UNTOLD:
                return
            text = "it comes from a backup: what it was to do may be done; make it anew if not"
            yield from self._report(course, RunPhase.FAILED, "Restored", text)
            return
        result = self._result(course.last) if course.last else None
        if result is None and course.attempt:
            result = AttemptResult(succeeded=False, summary="its Job was removed")
        if result and (result.succeeded or result.final or course.attempt >= course.limit):
            phase = RunPhase.SUCCEEDED if result.succeeded else RunPhase.FAILED
            yield from self._report(course, phase, phase, result.summary, result)
            return
        if not course.attempt and (text := _rounds_are_over(course.run, self.world.runs)):
            yield from self._report(course, RunPhase.FAILED, "TooManyRounds", text)
            return
        reason, text = self._obstacle(course.run)
        if reason:
            yield from self._report(course, RunPhase.PENDING, reason, text)
            return
        if self.world.put_off(course.run):
            # It has no place meanwhile: what keeps it may never be mended, and others could begin.
            return
        self._occupy(course.run)
        yield StartAttempt(course.run, course.attempt + 1)

    def _obstacle(self, run: Run) -> tuple[str, str]:  # noqa: PLR0911 - a line for each
        """Return what keeps a run from beginning, as reason and text; empty if nothing does."""
        if reason_and_text := _flaw(run, self.settings):
            return reason_and_text
        name, agent = self._agent(run)
        limits = self.settings.queue.max_concurrent, agent.max_concurrent if agent else 0
        if run.spec.get("suspend"):
            return "Suspended", "suspended by its spec"
        if self.agents.total() >= limits[0]:
            return "Queued", f"{limits[0]} runs go on, as many as may (queue.maxConcurrent)"
        if self.agents[name] >= limits[1]:
            return "Queued", f"agent {name} has {limits[1]} runs, as many as it may (maxConcurrent)"
        if other := self.workspaces.get(run.workspace):
            return "Queued", f"{other} works in the same workspace, {run.workspace}"
        if self.without_room:
            return "Queued", f"no node has room: the pod of run {self.without_room} waits for one"
        return "", ""

    def _report(
        self,
        course: _Course,
        phase: RunPhase,
        reason: str,
        text: str,
        result: AttemptResult | None = None,
    ) -> Iterator[WriteStatus]:
        run, old, job, now = course.run, course.run.status, course.last, self.world.now
        ended = end_of(job) if job else None
        values = {
            "phase": phase,
            "message": text,
            "attempts": course.attempt,
            "jobName": job["metadata"]["name"] if job else old.get("jobName"),
            "startedAt": old.get("startedAt") or (job or {}).get("status", {}).get("startTime"),
            "finishedAt": (ended or {}).get("lastTransitionTime") or written(now),
            "pullRequestUrl": result.pull_request_url if result else old.get("pullRequestUrl"),
            "workCompleted": phase is RunPhase.SUCCEEDED,
            "contextVersion": run.spec.get("contextVersion"),
            "observedGeneration": run.manifest["metadata"].get("generation"),
            "conditions": _conditions(old, phase, reason, text, now),
        }
        if phase not in ENDED:
            del values["finishedAt"]
        status = {key: value for key, value in values.items() if value not in (None, "")}
        if status != old:
            yield WriteStatus(run, status)


def _rounds_are_over(run: Run, runs: Sequence[Run]) -> str:
    """Say that enough was tried on its branch: somebody has to look; '' if it may go on."""
    rounds, branch = run.spec.get("rounds"), run.spec.get("sourceBranch")
    if not rounds:
        return ""
    earlier = [
        other
        for other in runs
        if other.spec.get("rounds")
        and other.spec["repositoryUrl"] == run.spec["repositoryUrl"]
        and other.spec.get("sourceBranch") == branch
        # Not those that were refused here.
        and (other.attempts or (other.place < run.place and not other.has_ended))
    ]
    if len(earlier) < rounds:
        return ""
    return f"{len(earlier)} rounds on {branch} did not help, more are not begun (spec.rounds)"


def _flaw(run: Run, settings: Settings) -> tuple[str, str] | None:
    """Return what is wrong with a run, or with the settings for it: it waits until that changes."""
    if run.spec.get("enableDocker"):
        text = "enableDocker needs a privileged container, which agents do not get here"
        return "Refused", text
    for row in run.spec.get("envFromSecrets") or ():
        if row["secretName"].startswith(APP_KEYS):
            # Who may make runs may not act as an App, whose key gives a token for anything it may.
            text = f"envFromSecrets: Secret {row['secretName']} has the key of a GitHub App"
            return "Refused", text
    if run.address is None:
        return "Refused", f"repositoryUrl is no address: {run.spec['repositoryUrl']!r}"
    found = settings.agent_of(run.app)
    if found is None:
        known = ", ".join(sorted(settings.agents)) or "none"
        return "UnknownAgent", f"no agent has the GitHub App {run.app!r}; agents: {known}"
    name, agent = found
    cli = run.cli or agent.cli
    if not settings.image_of(agent, cli):
        text = f"agent {name} has no image, nor its CLI {cli!r} (agents.{name}.image)"
        return "NoImage", text
    return None


STALLED = ("Refused", "UnknownAgent", "NoImage")


def not_started(run: Run, attempts: int, text: str, now: datetime) -> dict[str, Any]:
    """Return the status of a run that could not begin, and will be tried again."""
    rows = _conditions(run.status, RunPhase.PENDING, "NotStarted", text, now)
    told = {"phase": RunPhase.PENDING, "message": text, "attempts": attempts}
    return {**run.status, **told, "conditions": rows}


def _conditions(
    old: Mapping[str, Any], phase: RunPhase, reason: str, text: str, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions that kstatus reads: Ready, Reconciling, Stalled."""
    before = conditions_of({"status": old})
    failed = phase is RunPhase.FAILED or reason in STALLED
    truths = {
        "Ready": phase is RunPhase.SUCCEEDED,
        "Reconciling": phase not in ENDED and not failed,
        "Stalled": failed,
    }
    made = []
    for name, truth in truths.items():
        status = str(truth)
        known = before.get(name, {})
        same = known.get("status") == status
        since = known.get("lastTransitionTime") if same else None
        row = {"type": name, "status": status, "reason": reason, "message": text}
        made.append({**row, "lastTransitionTime": since or written(now)})
    return made


def _tokens(world: World, courses: Sequence[_Course]) -> Iterator[Action]:
    going = {course.run.uid: course.run for course in courses if course.is_going}
    for token in world.tokens:
        run = going.get(token.run)
        if run is None:
            if not any(c.run.uid == token.run and not c.run.has_ended for c in courses):
                yield Remove(token.ref)
        elif token.expires - world.now < RENEWAL:
            yield Renew(run, token)


def _cleaning(world: World, settings: Settings, courses: Sequence[_Course]) -> Iterator[Action]:
    if not settings.cleanup.enabled:
        return
    rules = settings.cleanup
    ended = [course for course in courses if course.run.has_ended]
    ended.sort(key=lambda c: (c.run.finished or world.now, c.run.place), reverse=True)
    for rank, course in enumerate(ended):
        run = course.run
        age = world.now - (run.finished or world.now)
        if rank >= rules.keep_runs or age > timedelta(days=rules.keep_days):
            yield Remove(run.ref, run.uid)
            continue
        succeeded = run.status.get("phase") == RunPhase.SUCCEEDED
        minutes = rules.completed_job_delay_minutes if succeeded else rules.failed_job_delay_minutes
        if age >= timedelta(minutes=minutes):
            for job in course.jobs:
                yield Remove(ref_of(job), job["metadata"].get("uid", ""))
