"""Carries a plan out: what can run runs, what must be waited for is watched, causes are told.

One loop in the calling thread decides; a few workers act. Waits never hold a worker: they are
looked at whenever the cluster changes. A failed step stops what depends on it and nothing else,
so that one run shows every cause there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from threading import Event as Flag

from cto.engine.report import Report, RunProgress, StepRun
from cto.engine.verdict import Wait
from cto.errors import Cancelled, CtoError, ToolError, WaitError
from cto.events import Listener, Outcome, PhaseStarted, StepFinished, StepProgress, StepStarted
from cto.plan.build import remaining_s
from cto.plan.changes import Action
from cto.plan.steps import ApplyCrds, ApplyRelease, Plan, Step
from cto.ports import Clock

# Helm waits for hooks most of its time, and the API server is busy with CRDs for the rest: more
# workers than this do not shorten an installation (docs/performance.md).
LANES = 4
# The API server needs a fifth of a second of a processor for every definition, whoever waits for
# it: those of the most urgent component first, all others meanwhile do something else.
CRD_LANES = 1
# A step that the end waits for, with so much time in hand for all others, works alone: an API
# server and several helms on a laptop's cores slow each other down. Unless it takes long: then it
# waits for something else than a processor.
_IN_HAND_S = 5.0
_ALONE_S = 10.0
_TICK_S = 0.25
# A helm that is asked to end gets two seconds to mark its release; an API request takes less.
_ENDING_S = 10.0


Run = Callable[[Step, Flag], "Wait | str"]
Journal = Callable[[Mapping[str, object]], None]


@dataclass
class _Running:
    """A step that has begun."""

    step: Step
    started_s: float
    cancel: Flag = field(default_factory=Flag)
    future: Future[Wait | str] | None = None
    wait: Wait | None = None
    hook: Wait | None = None
    shown: str = ""
    done: str = ""
    error: CtoError | None = None
    patient_until_s: float = 0.0
    interrupted: bool = False
    again: bool = False

    @property
    def deadline_s(self) -> float:
        return max(self.started_s, self.patient_until_s) + self.step.timeout_s


class PlanRunner:
    """Runs one plan.

    Args:
        run: Does a step; `cto.engine.execute.Executor.run`.
        hook_of: Returns what watches a step's Helm hooks while the step runs, or None.
        clock: For times and deadlines.
        listen: Gets events, from this thread only.
        journal: Writes how the run goes; may fail, it is a hint.
        stop: Set from outside (lock lost): the run ends as soon as possible.
        wake: Set when the cluster changed.
        may_act: Whether steps may be begun: not while the lock cannot be renewed.
        interrupt: Called when that begins: ends the programs that steps run, for now.
        end_children: Called when the run ends half-way: ends the programs that steps run.
        estimates: Seconds that steps took the last time, by id.
    """

    def __init__(
        self,
        *,
        run: Run,
        hook_of: Callable[[Step], Wait | None],
        clock: Clock,
        listen: Listener,
        journal: Journal = lambda _: None,
        stop: Flag | None = None,
        wake: Flag | None = None,
        may_act: Callable[[], bool] = lambda: True,
        interrupt: Callable[[], None] = lambda: None,
        end_children: Callable[[], None] = lambda: None,
        estimates: Mapping[str, float] | None = None,
        lanes: int = LANES,
    ) -> None:
        self._run = run
        self._hook_of = hook_of
        self._clock = clock
        self._listen = listen
        self._journal = journal
        self._stop = stop or Flag()
        self._wake = wake or Flag()
        self._end_children = end_children
        self._may_act = may_act
        self._interrupt = interrupt
        self._paused = False
        self._announced: set[str] = set()
        self._estimates = estimates or {}
        self._lanes = lanes
        self._priority: Mapping[str, float] = {}
        self._running: dict[str, _Running] = {}
        self._queue: list[Step] = []
        self._runs: list[StepRun] = []
        self._phases: set[str] = set()
        self._begin_s = 0.0

    def apply(self, plan: Plan) -> Report:
        """Carry the plan out.

        Raises:
            Cancelled: `stop` was set.
            KeyboardInterrupt: As it came. Whatever the exception, nothing is at work any more.
        """
        self._begin_s = self._clock.monotonic()
        steps = {step.id: step for step in plan.steps}
        hooked = frozenset(c.name for c in plan.components if c.upgrade.hooks)
        self._priority = remaining_s(plan.steps, self._estimates, hooked)
        sorter = TopologicalSorter(plan.graph())
        sorter.prepare()
        pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="step")
        try:
            while self._go_on(sorter, steps, pool):
                self._clock.wait(self._wake, _TICK_S)
                self._wake.clear()
        except BaseException:
            self._end(pool)
            raise
        pool.shutdown()
        self._write_journal()
        finished = {run.id for run in self._runs}
        return Report(
            runs=tuple(self._runs),
            seconds=self._now(),
            not_run=tuple(name for name in steps if name not in finished),
        )

    def progress(self, plan: Plan) -> RunProgress:
        """Return how far the plan got. For what is told of a run that was stopped."""
        over = {run.id for run in self._runs} | self._running.keys()
        return RunProgress(
            done=tuple(run.title for run in self._runs if run.error is None),
            failed=tuple(run.title for run in self._runs if run.error is not None),
            running=tuple(running.step.title for running in self._running.values()),
            not_begun=tuple(step.title for step in plan.steps if step.id not in over),
        )

    def _end(self, pool: ThreadPoolExecutor) -> None:
        """End what is at work, and see it end: nothing may write once the lock is given back."""
        self._end_children()
        for running in self._running.values():
            running.cancel.set()
        pool.shutdown(wait=False)
        # One that could be cancelled never began, and `wait` would wait for it until the timeout.
        began = [r.future for r in self._running.values() if r.future and not r.future.cancel()]
        wait_for(began, timeout=_ENDING_S)

    def _now(self) -> float:
        return self._clock.monotonic() - self._begin_s

    def _go_on(
        self,
        sorter: TopologicalSorter[str],
        steps: Mapping[str, Step],
        pool: ThreadPoolExecutor,
    ) -> bool:
        """Do all that can be done now; return whether something is left to wait for."""
        if self._stop.is_set():
            raise Cancelled
        self._pause_or_go_on()
        progress = True
        while progress:
            self._queue += [steps[name] for name in sorter.get_ready()]
            self._queue.sort(key=lambda step: -self._priority[step.id])
            self._start(pool)
            ended = [running for running in self._running.values() if self._has_ended(running)]
            for running in ended:
                self._finish(running, sorter)
            progress = bool(ended)
        return bool(self._running or self._queue)

    def _pause_or_go_on(self) -> None:
        """Begin nothing while the run may not write, and end what would write by itself.

        A step that ends badly because of that is done again: each looks first, and mends.
        """
        paused = not self._may_act()
        if paused and not self._paused:
            self._interrupt()
        self._paused = paused
        for running in self._running.values() if paused else ():
            running.patient_until_s = self._now()
            running.interrupted = running.interrupted or running.wait is None

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """Start the most urgent steps, as many as there are free lanes; the rest stays queued."""
        while not self._paused and (step := self._next(has_lane=self._has_lane())) is not None:
            running = _Running(step, self._now())
            self._running[step.id] = running
            if _is_told(step) and step.id not in self._announced:
                self._announced.add(step.id)
                self._announce(step)
            if not _needs_lane(step):
                running.done = step.reason
                continue
            running.future = pool.submit(self._run, step, running.cancel)
            running.future.add_done_callback(lambda _: self._wake.set())
            running.hook = self._hook_of(step)

    def _has_lane(self) -> bool:
        """Whether the next step may start beside those that are at work."""
        busy = [r for r in self._running.values() if r.future is not None and not r.future.done()]
        queued = (self._priority[step.id] for step in self._queue if _needs_lane(step))
        urgent = next(queued, 0.0) + _IN_HAND_S
        young = self._now() - _ALONE_S
        if any(self._priority[r.step.id] > urgent and r.started_s > young for r in busy):
            return False
        return len(busy) < self._lanes

    def _next(self, *, has_lane: bool) -> Step | None:
        """Take the most urgent step that may start now from the queue."""
        crds = sum(isinstance(running.step, ApplyCrds) for running in self._running.values())
        for index, step in enumerate(self._queue):
            if not _needs_lane(step):
                return self._queue.pop(index)
            if has_lane and (crds < CRD_LANES or not isinstance(step, ApplyCrds)):
                return self._queue.pop(index)
        return None

    def _announce(self, step: Step) -> None:
        if step.phase not in self._phases:
            self._phases.add(step.phase)
            self._listen(PhaseStarted(step.phase))
        estimate = self._estimates.get(step.id, 0.0)
        self._listen(StepStarted(step.id, step.phase, step.title, estimate))

    def _has_ended(self, running: _Running) -> bool:
        if running.future is None:
            return True
        if not running.future.done():
            self._look_at(running, running.hook)
            return False
        if running.wait is None and not self._take_result(running, running.future):
            return True
        return self._look_at(running, running.wait)

    def _take_result(self, running: _Running, future: Future[Wait | str]) -> bool:
        """Take what the worker returned; True if there is something to wait for now."""
        try:
            result = future.result()
        except CtoError as error:
            running.again = running.interrupted and running.error is None
            running.error = running.error or _explained(error, running.hook)
            return False
        except Cancelled:
            running.again = running.interrupted and running.error is None
            if running.error is None and not running.again:
                raise
            return False
        if isinstance(result, str):
            running.done = result
            return False
        running.wait = result
        return True

    def _look_at(self, running: _Running, wait: Wait | None) -> bool:
        """Evaluate a wait; True if the step is over, for good or bad."""
        verdict = wait.evaluate() if wait is not None else None
        if verdict is not None:
            self._show(running, verdict.message)
            if verdict.patient:
                running.patient_until_s = self._now()
        error = verdict.error if verdict else None
        if error is None and self._now() > running.deadline_s:
            error = _too_late(running)
        if error is not None and running.error is None:
            running.error = error
            running.cancel.set()
        return running.error is not None or (verdict is not None and verdict.done)

    def _show(self, running: _Running, message: str) -> None:
        if message and message != running.shown:
            running.shown = message
            self._listen(StepProgress(running.step.id, message))

    def _finish(self, running: _Running, sorter: TopologicalSorter[str]) -> None:
        step = running.step
        del self._running[step.id]
        if running.again:
            self._queue.append(step)
            return
        run = StepRun(
            id=step.id,
            title=step.title,
            outcome=_outcome(running),
            started_s=running.started_s,
            ended_s=self._now(),
            after=step.after,
            message=running.error.message if running.error else running.done,
            error=running.error,
        )
        self._runs.append(run)
        if _is_told(step):
            self._listen(StepFinished(step.id, run.outcome, run.seconds, run.message))
        if running.error is None:
            sorter.done(step.id)

    def _write_journal(self) -> None:
        try:
            self._journal({run.id: run.to_json() for run in self._runs})
        except CtoError:
            # A hint that is not written costs the next run its estimates.
            return


def _explained(error: CtoError, hook: Wait | None) -> CtoError:
    """Return why a hook failed, if that is why Helm did: Helm itself says only that it failed."""
    failed = hook.evaluate().failed if hook and isinstance(error, ToolError) else None
    if failed is None:
        return error
    return failed.told(details="\n".join(filter(None, (failed.details, error.details))))


def _needs_lane(step: Step) -> bool:
    return step.action not in {Action.KEEP, Action.SKIP}


def _is_told(step: Step) -> bool:
    """Whether it is news: what is kept is not, but for releases, by which people think."""
    return step.action is not Action.KEEP or isinstance(step, ApplyRelease)


def _outcome(running: _Running) -> Outcome:
    if running.error is not None:
        return Outcome.FAILED
    if running.step.action is Action.SKIP:
        return Outcome.SKIPPED
    if running.step.action is Action.KEEP:
        return Outcome.UNCHANGED
    return Outcome.DONE


def _too_late(running: _Running) -> WaitError:
    step = running.step
    message = f"{step.title}: not over after {step.timeout_s:.0f} s"
    return WaitError("CTO-1700", message, details=running.shown)
