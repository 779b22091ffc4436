"""The loop that carries a plan out: order, lanes, waits, failures, ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Barrier, Lock
from threading import Event as Flag
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import Crds
from cto.engine.apply import LANES, PlanRunner
from cto.engine.report import Report, StepRun
from cto.engine.verdict import Verdict, Wait
from cto.errors import ApiError, Cancelled, CtoError, LockedError, ToolError, WaitError
from cto.events import Event, Outcome, Phase, PhaseStarted, StepFinished, StepProgress, StepStarted
from cto.plan.changes import Action
from cto.plan.steps import ApplyCrds, ApplyRelease, Note, Plan, Step
from cto.ports import ReleaseSpec
from fakes.clock import FakeClock
from fakes.components import chart, component
from fakes.graphs import graphs

BROKEN = ToolError("CTO-1500", "it broke")
# Workers and the loop run at once: nobody waits for the other longer than this.
PATIENCE_S = 10.0

Work = Callable[[Flag], "Wait | str"]


def step(name: str, *after: str, **fields: Any) -> Step:
    common = {"phase": Phase.CORE, "title": name.upper(), "action": Action.CREATE}
    return Step(id=name, after=after, **{**common, **fields})


def plan(*steps: Step, **fields: Any) -> Plan:
    settings = {"command": "install", "context": "c", "provider": "p", "profile": "minimal"}
    return Plan(steps=steps, **{**settings, **fields})


def raising(error: BaseException) -> Work:
    def work(_: Flag) -> str:
        raise error

    return work


def obedient(cancel: Flag) -> str:
    """Work until it is told to end."""
    assert cancel.wait(PATIENCE_S)
    raise Cancelled


class Says:
    """A wait that says one thing after the other, the last one again and again."""

    def __init__(self, *verdicts: Verdict) -> None:
        self._verdicts: Iterator[Verdict] = iter(verdicts)
        self._last = verdicts[0]

    def evaluate(self) -> Verdict:
        self._last = next(self._verdicts, self._last)
        return self._last


def not_yet(message: str, error: CtoError | None = None) -> Verdict:
    return Verdict(done=False, message=message, error=error)


DONE = Verdict(done=True, message="1 of 1 ready")


@dataclass
class Lab:
    """An engine whose steps do what a test says; all others are done at once."""

    work: dict[str, Work] = field(default_factory=dict)
    hooks: dict[str, Wait] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    ended_children: int = 0
    interrupted: list[float] = field(default_factory=list)
    journal: Mapping[str, Any] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def engine(self) -> PlanRunner:
        settings = {"listen": self.events.append, "journal": self._journal, **self.settings}
        return PlanRunner(
            run=self._run,
            hook_of=lambda step: self.hooks.get(step.id),
            clock=self.clock,
            end_children=self._end_children,
            **settings,
        )

    def apply(self, *steps: Step) -> Report:
        return self.engine().apply(plan(*steps))

    def _run(self, step: Step, cancel: Flag) -> Wait | str:
        with self._lock:
            self.ran.append(step.id)
        work = self.work.get(step.id)
        return work(cancel) if work else ""

    def _journal(self, steps: Mapping[str, object]) -> None:
        self.journal = steps

    def _end_children(self) -> None:
        self.ended_children += 1


@pytest.fixture
def lab() -> Lab:
    return Lab()


def outcomes(report: Report) -> dict[str, Outcome]:
    return {run.id: run.outcome for run in report.runs}


def run_of(report: Report, name: str) -> StepRun:
    return next(run for run in report.runs if run.id == name)


class TestOrder:
    @given(graphs())
    def test_no_step_begins_before_all_that_it_waits_for_are_over(
        self, graph: dict[str, tuple[str, ...]]
    ) -> None:
        lab = Lab()
        report = lab.apply(*(step(name, *after) for name, after in graph.items()))
        assert sorted(lab.ran) == sorted(graph)
        assert report.not_run == ()
        for name, after in graph.items():
            assert set(after) <= set(lab.ran[: lab.ran.index(name)])

    def test_steps_that_wait_for_nothing_run_at_once(self, lab: Lab) -> None:
        together = Barrier(LANES)

        def meet(_: Flag) -> str:
            together.wait(PATIENCE_S)
            return ""

        names = [f"s{number}" for number in range(LANES)]
        lab.work = dict.fromkeys(names, meet)
        assert lab.apply(*map(step, names)).errors == ()

    def test_there_are_never_more_at_once_than_lanes(self, lab: Lab) -> None:
        at_work, most = 0, 0
        lock = Lock()

        def count(cancel: Flag) -> str:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            cancel.wait(0.002)
            with lock:
                at_work -= 1
            return ""

        names = [f"s{number}" for number in range(8)]
        lab.work = dict.fromkeys(names, count)
        lab.settings["lanes"] = 2
        lab.apply(*map(step, names))
        assert most <= 2

    def test_the_longest_way_to_the_end_goes_first(self, lab: Lab) -> None:
        lab.settings |= {"lanes": 1, "estimates": {"short": 1.0, "long": 2.0, "rest": 5.0}}
        lab.apply(step("long"), step("short"), step("rest", "short"))
        assert lab.ran[0] == "short"

    @pytest.mark.parametrize(("seconds", "first"), [(1.0, ["urgent"]), (60.0, ["urgent", "small"])])
    def test_what_the_end_waits_for_works_alone_unless_it_takes_long(
        self, lab: Lab, seconds: float, first: list[str]
    ) -> None:
        """Half-way through the urgent step: has the other one begun?"""
        seen: list[str] = []

        def work(_: Flag) -> str:
            middle = lab.clock.monotonic() + seconds / 2
            end = lab.clock.monotonic() + seconds
            while lab.clock.monotonic() < end:
                if not seen and lab.clock.monotonic() >= middle:
                    seen.extend(lab.ran)
                time.sleep(0.001)
            return ""

        lab.work["urgent"] = work
        lab.settings["estimates"] = {"urgent": 30.0, "small": 1.0}
        lab.apply(step("urgent", timeout_s=600), step("small"))
        assert seen == first
        assert lab.ran == ["urgent", "small"]

    def test_a_release_with_hooks_counts_as_longer(self, lab: Lab) -> None:
        hooked = component("b", upgrade={"hooks": ["migrate"]})

        def release(name: str) -> Step:
            spec = ReleaseSpec(name=name, namespace=name, chart=chart(name), values={})
            common: dict[str, Any] = {"phase": Phase.CORE, "title": name, "action": Action.CREATE}
            return ApplyRelease(id=name, component=name, release=spec, **common)

        lab.settings["lanes"] = 1
        lab.engine().apply(plan(release("a"), release("b"), components=(hooked,)))
        assert lab.ran == ["b", "a"]

    def test_definitions_are_applied_one_component_after_the_other(self, lab: Lab) -> None:
        """Until they are established: that is what keeps the API server busy."""

        def definitions(name: str) -> Step:
            spec = ReleaseSpec(name=name, namespace=name, chart=chart(name), values={})
            common: dict[str, Any] = {"phase": Phase.CORE, "title": name, "action": Action.CREATE}
            crds = Crds(source="crds")
            return ApplyCrds(id=name, release=spec, crds=crds, digest="", **common)

        established = Says(not_yet("0 of 1 ready"), not_yet("0 of 1 ready"), DONE)
        lab.work["long"] = lambda _: established
        lab.settings["estimates"] = {"short": 1.0, "long": 2.0}
        lab.apply(definitions("short"), definitions("long"), step("other"))
        news = [
            (type(e), e.step_id) for e in lab.events if isinstance(e, StepStarted | StepFinished)
        ]
        over = news.index((StepFinished, "long"))
        assert news.index((StepStarted, "other")) < over < news.index((StepStarted, "short"))


class TestNews:
    def test_a_step_is_told_when_it_begins_and_ends_after_its_phase(self, lab: Lab) -> None:
        lab.settings["estimates"] = {"a": 3.0}
        lab.work["a"] = lambda _: "pruned 1"
        lab.apply(step("a"), step("b", "a", phase=Phase.CLUSTER), step("c", "b"))
        assert lab.events[:3] == [
            PhaseStarted(Phase.CORE),
            StepStarted("a", Phase.CORE, "A", 3.0),
            StepFinished("a", Outcome.DONE, 0.0, "pruned 1"),
        ]
        phases = [event.phase for event in lab.events if isinstance(event, PhaseStarted)]
        assert phases == [Phase.CORE, Phase.CLUSTER]

    def test_what_is_kept_or_skipped_is_not_run(self, lab: Lab) -> None:
        report = lab.apply(
            step("kept", action=Action.KEEP, reason="unchanged"),
            step("skipped", action=Action.SKIP, reason="simulated"),
        )
        assert lab.ran == []
        assert outcomes(report) == {"kept": Outcome.UNCHANGED, "skipped": Outcome.SKIPPED}
        assert run_of(report, "skipped").message == "simulated"

    def test_what_is_kept_is_no_news_but_for_releases(self, lab: Lab) -> None:
        spec = ReleaseSpec(name="web", namespace="web", chart=chart("web"), values={})
        common: dict[str, Any] = {"phase": Phase.CORE, "action": Action.KEEP}
        lab.apply(
            Note(id="note", title="Keep a note", **common),
            ApplyRelease(id="web", title="Keep Web", release=spec, **common),
        )
        started = [event.step_id for event in lab.events if isinstance(event, StepStarted)]
        assert started == ["web"]

    def test_a_cause_is_told_when_it_changes(self, lab: Lab) -> None:
        wait = Says(*map(not_yet, ("", "0 of 2", "0 of 2", "1 of 2")), DONE)
        lab.work["a"] = lambda _: wait
        lab.apply(step("a"))
        told = [event.message for event in lab.events if isinstance(event, StepProgress)]
        assert told == ["0 of 2", "1 of 2", "1 of 1 ready"]


class TestWaits:
    def test_a_wait_holds_no_lane(self, lab: Lab) -> None:
        """The step that it waits for can run, although there is one lane only."""
        ready = Flag()

        class UntilReady:
            def evaluate(self) -> Verdict:
                return DONE if ready.is_set() else not_yet("waiting")

        def make_ready(_: Flag) -> str:
            ready.set()
            return ""

        lab.settings |= {"lanes": 1, "estimates": {"wait": 9.0, "other": 1.0}}
        lab.work = {"wait": lambda _: UntilReady(), "other": make_ready}
        assert lab.apply(step("wait"), step("other")).errors == ()

    def test_what_can_not_become_ready_fails_early(self, lab: Lab) -> None:
        error = WaitError("CTO-1701", "no such image")
        lab.work["a"] = lambda _: Says(not_yet("pulling"), not_yet("", error))
        report = lab.apply(step("a", timeout_s=600))
        assert report.errors == (error,)
        assert lab.clock.monotonic() < 1600

    def test_what_is_not_ready_in_time_fails_with_the_last_cause(self, lab: Lab) -> None:
        lab.work["a"] = lambda _: Says(not_yet("0 of 1 ready: Pod x is pending"))
        (error,) = lab.apply(step("a", timeout_s=30)).errors
        assert (error.code, error.message) == ("CTO-1700", "A: not over after 30 s")
        assert error.details == "0 of 1 ready: Pod x is pending"

    def test_a_program_that_takes_too_long_is_ended(self, lab: Lab) -> None:
        lab.work["a"] = obedient
        (error,) = lab.apply(step("a", timeout_s=5)).errors
        assert error.code == "CTO-1700"

    def test_time_that_is_granted_does_not_count(self, lab: Lab) -> None:
        granted = Verdict(done=False, message="a port is reserved", patient=True)
        lab.work["a"] = obedient
        lab.hooks["a"] = Says(*[granted] * 100, not_yet("a hook runs"))
        (error,) = lab.apply(step("a", timeout_s=5)).errors
        assert error.details == "a hook runs"

    def test_a_hook_that_can_not_end_well_ends_its_release(self, lab: Lab) -> None:
        error = WaitError("CTO-1704", "Job migrate failed")
        lab.work["a"] = obedient
        lab.hooks["a"] = Says(not_yet("Job migrate runs"), not_yet("Job migrate", error))
        report = lab.apply(step("a"))
        assert report.errors == (error,)
        told = [event.message for event in lab.events if isinstance(event, StepProgress)]
        assert told == ["Job migrate runs", "Job migrate"]

    def test_the_hooks_cause_stays_when_the_program_fails_of_it(self, lab: Lab) -> None:
        error = WaitError("CTO-1704", "Job migrate failed")

        def fail(cancel: Flag) -> str:
            assert cancel.wait(PATIENCE_S)
            raise BROKEN

        lab.work["a"] = fail
        lab.hooks["a"] = Says(not_yet("", error))
        assert lab.apply(step("a")).errors == (error,)


class TestFailures:
    def test_a_failed_step_stops_what_depends_on_it_and_nothing_else(self, lab: Lab) -> None:
        lab.work["a"] = raising(BROKEN)
        report = lab.apply(step("a"), step("b", "a"), step("c", "b"), step("d"))
        assert outcomes(report) == {"a": Outcome.FAILED, "d": Outcome.DONE}
        assert report.not_run == ("b", "c")
        assert report.errors == (BROKEN,)
        assert run_of(report, "a").message == "it broke"

    def test_every_failure_is_reported(self, lab: Lab) -> None:
        other = ApiError("CTO-1601", "no answer")
        lab.work |= {"a": raising(BROKEN), "b": raising(other)}
        assert set(lab.apply(step("a"), step("b")).errors) == {BROKEN, other}

    def test_the_journal_says_how_each_step_went(self, lab: Lab) -> None:
        lab.work["a"] = raising(BROKEN)
        lab.apply(step("a"), step("b"))
        assert lab.journal["a"]["error"] == "CTO-1500"
        assert lab.journal["b"]["outcome"] == "done"

    def test_a_journal_that_can_not_be_written_fails_nothing(self, lab: Lab) -> None:
        def refuse(_: Mapping[str, object]) -> None:
            raise BROKEN

        lab.settings["journal"] = refuse
        assert lab.apply(step("a")).errors == ()

    def test_a_bug_in_a_step_ends_the_run(self, lab: Lab) -> None:
        lab.work["a"] = raising(RuntimeError("a bug"))
        with pytest.raises(RuntimeError, match="a bug"):
            lab.apply(step("a"))
        assert lab.ended_children == 1


class TestEnds:
    def test_a_run_that_is_stopped_ends_its_workers_and_begins_nothing(self, lab: Lab) -> None:
        ended = Flag()
        stop = lab.settings["stop"] = Flag()

        def work(cancel: Flag) -> str:
            stop.set()
            assert cancel.wait(PATIENCE_S)
            ended.set()
            raise Cancelled

        lab.work["a"] = work
        with pytest.raises(Cancelled):
            lab.apply(step("a"), step("b", "a"))
        assert ended.is_set()
        assert lab.ran == ["a"]
        assert lab.ended_children == 1

    def test_a_step_that_was_cancelled_by_others_ends_the_run(self, lab: Lab) -> None:
        lab.work["a"] = raising(Cancelled())
        with pytest.raises(Cancelled):
            lab.apply(step("a"))

    def test_ctrl_c_passes_on_and_says_how_far_the_plan_got(self, lab: Lab) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, StepStarted) and event.step_id == "c":
                raise KeyboardInterrupt

        lab.settings["listen"] = interrupt
        lab.work["a"] = raising(BROKEN)
        steps = plan(step("a"), step("b"), step("c", "b"), step("d", "c"))
        engine = lab.engine()
        with pytest.raises(KeyboardInterrupt):
            engine.apply(steps)
        progress = engine.progress(steps)
        assert "B" in progress.done
        assert "C" in progress.running
        assert "D" in progress.not_begun
        assert lab.ended_children == 1

    def test_a_plan_without_steps_is_over(self, lab: Lab) -> None:
        report = lab.apply()
        assert (report.runs, report.not_run, report.seconds) == ((), (), 0.0)

    def test_an_error_of_the_lock_is_an_error_like_others(self, lab: Lab) -> None:
        error = LockedError("CTO-2001", "lost")
        lab.work["a"] = raising(error)
        assert lab.apply(step("a")).errors == (error,)


class TestPause:
    """While the lock cannot be renewed nothing is begun, and what that interrupts is done again."""

    @staticmethod
    def paused(lab: Lab) -> Flag:
        held = Flag()
        interrupted: list[float] = []
        lab.settings.update(
            may_act=held.is_set, interrupt=lambda: interrupted.append(lab.clock.monotonic())
        )
        lab.interrupted = interrupted
        return held

    def test_nothing_is_begun_during_a_pause(self, lab: Lab) -> None:
        held = self.paused(lab)
        begun: list[float] = []
        lab.work["a"] = lambda _: begun.append(lab.clock.monotonic()) or ""  # type: ignore[func-returns-value]
        lab.clock.at(40, held.set)
        report = lab.apply(step("a"), step("b", "a"))
        assert report.errors == ()
        assert begun[0] >= 1040
        assert len(lab.interrupted) == 1

    @pytest.mark.parametrize(
        "error", [Cancelled(), BROKEN, ApiError("CTO-1601", "no answer"), ApiError("CTO-1600", "x")]
    )
    def test_a_step_that_ends_badly_in_a_pause_is_done_again(
        self, lab: Lab, error: Exception
    ) -> None:
        held = self.paused(lab)
        held.set()
        tries: list[int] = []

        def work(_: Flag) -> str:
            tries.append(len(tries))
            if len(tries) > 1:
                return "done"
            held.clear()
            assert interrupted.wait(PATIENCE_S)
            lab.clock.at(40, held.set)
            raise error

        interrupted = Flag()
        lab.settings["interrupt"] = interrupted.set
        lab.work["a"] = work
        report = lab.apply(step("a"), step("b", "a"))
        assert tries == [0, 1]
        assert outcomes(report) == {"a": Outcome.DONE, "b": Outcome.DONE}
        started = [e.step_id for e in lab.events if isinstance(e, StepStarted)]
        assert started == ["a", "b"]

    def test_a_step_that_ends_well_in_a_pause_is_not_done_again(self, lab: Lab) -> None:
        held = self.paused(lab)
        held.set()
        interrupted = Flag()

        def work(_: Flag) -> str:
            held.clear()
            assert interrupted.wait(PATIENCE_S)
            lab.clock.at(40, held.set)
            return "done"

        lab.settings["interrupt"] = interrupted.set
        lab.work["a"] = work
        report = lab.apply(step("a"), step("b", "a"))
        assert lab.ran == ["a", "b"]
        assert report.errors == ()

    def test_what_fails_again_after_the_pause_fails(self, lab: Lab) -> None:
        held = self.paused(lab)
        held.set()
        interrupted = Flag()

        def work(_: Flag) -> str:
            if not interrupted.is_set():
                held.clear()
                assert interrupted.wait(PATIENCE_S)
                lab.clock.at(1, held.set)
            raise BROKEN

        lab.settings["interrupt"] = interrupted.set
        lab.work["a"] = work
        assert lab.apply(step("a")).errors == (BROKEN,)
        assert lab.ran == ["a", "a"]

    def test_a_pause_takes_no_time_from_a_wait(self, lab: Lab) -> None:
        held = self.paused(lab)
        held.set()
        lab.work["a"] = lambda _: Says(*[not_yet("soon")] * 40, DONE)
        lab.clock.at(1, held.clear)
        lab.clock.at(8, held.set)
        assert lab.apply(step("a", timeout_s=5)).errors == ()

    def test_a_lock_that_is_lost_in_a_pause_ends_the_run(self, lab: Lab) -> None:
        self.paused(lab)
        stop = Flag()
        lab.settings["stop"] = stop
        lab.clock.at(40, stop.set)
        with pytest.raises(Cancelled):
            lab.apply(step("a"))
        assert lab.ran == []


@given(graphs(), st.sets(st.sampled_from([f"n{number}" for number in range(8)])))
def test_what_ran_failed_and_was_not_begun_is_the_whole_plan(
    graph: dict[str, tuple[str, ...]], failing: set[str]
) -> None:
    lab = Lab(work=dict.fromkeys(failing, raising(BROKEN)))
    report = lab.apply(*(step(name, *after) for name, after in graph.items()))
    ran = outcomes(report)
    assert sorted([*ran, *report.not_run]) == sorted(graph)
    assert {name for name, out in ran.items() if out is Outcome.FAILED} == failing & ran.keys()
    for name in report.not_run:
        assert set(graph[name]) & (failing | set(report.not_run))
