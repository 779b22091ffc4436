"""The plain log, line by line."""

from __future__ import annotations

from threading import Event as Flag

from cto.cli.plain import Plain
from cto.events import (
    Notice,
    Outcome,
    Phase,
    PhaseStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    Transfer,
)
from fakes.clock import FakeClock

CREATING = "Pod grafana-0: ContainerCreating"


class Log:
    """A plain screen, its clock and its lines."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.clock = FakeClock()
        self.lines: list[str] = []
        self.screen = Plain(self.lines.append, self.clock, quiet=quiet)

    def start(self, step: str, phase: Phase = Phase.CORE, estimate_s: float = 0.0) -> None:
        self.screen.listen(StepStarted(step, phase, f"Install {step}", estimate_s))

    def cause(self, step: str, text: str) -> None:
        self.screen.listen(StepProgress(step, text))

    def finish(
        self, step: str, seconds: float, outcome: Outcome = Outcome.DONE, message: str = ""
    ) -> None:
        self.screen.listen(StepFinished(step, outcome, seconds, message))

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.screen.tick()


def test_a_run_reads_from_top_to_bottom() -> None:
    log = Log()
    log.screen.listen(PhaseStarted(Phase.PREREQUISITES))
    log.start("tools", Phase.PREREQUISITES)
    log.finish("tools", 0.31)
    log.screen.listen(PhaseStarted(Phase.CORE))
    log.start("grafana", estimate_s=40)
    log.pass_time(2)
    log.cause("grafana", CREATING)
    log.pass_time(30)
    log.finish("grafana", 32)
    log.start("argo-cd")
    log.finish("argo-cd", 0.01, Outcome.UNCHANGED)
    log.start("github", Phase.GITHUB)
    log.finish("github", 0, Outcome.SKIPPED, "not part of this version")
    log.start("nats", Phase.OPTIONAL)
    log.pass_time(61)
    log.finish("nats", 61, Outcome.FAILED, "ImagePullBackOff\nregistry says 404")
    log.screen.close()
    assert log.lines == [
        "  0:00  [1/8] prerequisites",
        "  0:00    ✓ Install tools (0.3 s)",
        "  0:00  [2/8] configuration",
        "  0:00  [3/8] cluster",
        "  0:00  [4/8] core",
        "  0:02    … Install grafana (about 40 s)",
        "  0:02    … Install grafana: " + CREATING,
        f"  0:32    … still at work on 1 step: Install grafana, 32 s of about 40 s: {CREATING}",
        "  0:32    ✓ Install grafana (32 s)",
        "  0:32    = Install argo-cd",
        "  0:32  [5/8] github",
        "  0:32    - Install github: skipped, not part of this version",
        "  0:32  [6/8] optional",
        "  1:33    … Install nats",
        "  1:33    ✗ Install nats (1 min 01 s): ImagePullBackOff\n            registry says 404",
    ]


def test_a_short_step_has_one_line() -> None:
    log = Log()
    log.start("nats")
    log.pass_time(1.9)
    log.finish("nats", 1.9)
    assert log.lines == ["  0:00  [4/8] core", "  0:01    ✓ Install nats (1.9 s)"]


def test_a_long_step_is_announced_once() -> None:
    log = Log()
    log.start("nats")
    for _ in range(5):
        log.pass_time(2)
    assert log.lines[1:] == ["  0:02    … Install nats"]


def test_a_cause_announces_the_step() -> None:
    log = Log()
    log.start("nats")
    log.cause("nats", "looking at the cluster")
    log.cause("nats", "Pod nats-0: Unschedulable")
    log.pass_time(2)
    log.pass_time(5)
    assert log.lines[1:] == ["  0:02    … Install nats: Pod nats-0: Unschedulable"]


def test_a_new_cause_of_a_long_step_is_told_at_once() -> None:
    log = Log()
    log.start("nats")
    log.pass_time(2)
    log.cause("nats", "Pod nats-0: ContainerCreating")
    log.cause("nats", "Pod nats-0: ImagePullBackOff")
    assert log.lines[1:] == [
        "  0:02    … Install nats",
        "  0:02    … Install nats: Pod nats-0: ContainerCreating",
        "  0:02    … Install nats: Pod nats-0: ImagePullBackOff",
    ]


def test_counting_up_is_told_every_two_seconds() -> None:
    log = Log()
    log.start("nats")
    for ready in range(1, 13):
        log.cause("nats", f"{ready} of 13 objects are ready")
        log.pass_time(0.5)
    assert log.lines[1:] == [
        "  0:02    … Install nats: 4 of 13 objects are ready",
        "  0:04    … Install nats: 8 of 13 objects are ready",
        "  0:06    … Install nats: 12 of 13 objects are ready",
    ]


def test_the_last_count_is_left_to_the_end_of_the_step() -> None:
    log = Log()
    log.start("nats")
    log.cause("nats", "7 of 8 ready")
    log.pass_time(4)
    log.cause("nats", "8 of 8 ready")
    log.finish("nats", 4)
    assert log.lines[1:] == [
        "  0:04    … Install nats: 7 of 8 ready",
        "  0:04    ✓ Install nats (4.0 s)",
    ]


def test_a_cause_of_the_past_is_not_told_again() -> None:
    log = Log()
    log.start("nats")
    log.pass_time(2)
    log.cause("nats", "Pod nats-0: Pending")
    log.cause("nats", "")
    log.pass_time(5)
    log.cause("gone", "of a step that is over")
    assert log.lines[2:] == ["  0:02    … Install nats: Pod nats-0: Pending"]


def test_a_step_of_an_earlier_phase_names_it() -> None:
    log = Log()
    log.start("argo-cd")
    log.start("nats", Phase.OPTIONAL)
    log.finish("argo-cd", 3)
    log.finish("nats", 4)
    assert log.lines[2:] == [
        "  0:00    ✓ [4/8] Install argo-cd (3.0 s)",
        "  0:00    ✓ Install nats (4.0 s)",
    ]


def test_phases_have_one_order_whatever_begins_first() -> None:
    log = Log()
    for phase in (Phase.PREREQUISITES, Phase.OPTIONAL, Phase.CORE, Phase.GITHUB):
        log.screen.listen(PhaseStarted(phase))
    assert log.lines == [
        "  0:00  [1/8] prerequisites",
        "  0:00  [2/8] configuration",
        "  0:00  [3/8] cluster",
        "  0:00  [4/8] core",
        "  0:00  [5/8] github",
        "  0:00  [6/8] optional",
    ]


def test_an_uninstallation_has_only_some_phases() -> None:
    log = Log()
    for phase in (Phase.OPTIONAL, Phase.CORE, Phase.ACCESS):
        log.screen.listen(PhaseStarted(phase))
    assert log.lines == ["  0:00  [6/8] optional", "  0:00  [4/8] core", "  0:00  [8/8] access"]


def test_silence_is_broken_after_half_a_minute() -> None:
    log = Log()
    log.start("argo-cd")
    log.pass_time(2)
    log.start("nats")
    log.pass_time(2)
    log.pass_time(29)
    assert len(log.lines) == 3
    log.pass_time(1)
    assert log.lines[3:] == ["  0:34    … still at work on 2 steps: Install argo-cd, 34 s"]


def test_nobody_is_kept_posted_of_nothing() -> None:
    log = Log()
    log.pass_time(300)
    assert log.lines == []


def test_what_is_left_is_told_at_the_end() -> None:
    log = Log()
    log.start("argo-cd")
    log.start("nats")
    log.cause("nats", "Pod nats-0: Pending")
    log.screen.close()
    log.screen.close()
    assert log.lines[1:] == [
        "  0:00    · Install argo-cd: not finished",
        "  0:00    · Install nats: not finished (Pod nats-0: Pending)",
    ]


def test_notices_have_a_mark() -> None:
    log = Log()
    log.screen.notice("Charts come from the folder that was named.")
    log.screen.listen(Notice("The lock is old.", warning=True))
    assert log.lines == [
        "  0:00    · Charts come from the folder that was named.",
        "  0:00    ! The lock is old.",
    ]


def test_quiet_tells_only_what_went_wrong() -> None:
    log = Log(quiet=True)
    log.start("argo-cd")
    log.start("nats")
    log.cause("nats", "Pod nats-0: Pending")
    log.pass_time(60)
    log.finish("argo-cd", 60)
    log.finish("nats", 60, Outcome.FAILED, "Pending")
    log.screen.notice("by the way")
    log.screen.notice("look out", warning=True)
    assert log.lines == [
        "  1:00    ✗ Install nats (1 min 00 s): Pending",
        "  1:00    ! look out",
    ]


def test_a_step_that_never_started_may_end() -> None:
    log = Log()
    log.finish("check:github", 0, Outcome.SKIPPED)
    assert log.lines == ["  0:00    - check:github: skipped"]


def test_time_alone_makes_lines_while_it_is_open() -> None:
    clock, told = FakeClock(), Flag()
    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        if "…" in line:
            told.set()

    screen = Plain(write, clock)
    screen.open(interval_s=0.001)
    screen.listen(StepStarted("nats", Phase.CORE, "Install nats"))
    clock.advance(3)
    assert told.wait(10)
    screen.close()
    assert lines[1] == "  0:03    … Install nats"


def transfer(done: int, total: int = 58_000_000, *, over: bool = False) -> Transfer:
    source = "https://get.example.com/helm.tar.gz"
    return Transfer(name="helm.tar.gz", source=source, done=done, total=total, over=over)


def test_a_long_download_has_a_line_at_both_ends() -> None:
    log = Log()
    log.screen.listen(transfer(0))
    for done in range(10):
        log.pass_time(1)
        log.screen.listen(transfer(done * 5_000_000))
    log.screen.listen(transfer(58_000_000, over=True))
    log.pass_time(60)
    assert log.lines == [
        "  0:02    … Download helm.tar.gz (58 MB)",
        "  0:10    ✓ Download helm.tar.gz (58 MB) (10 s)",
    ]


def test_a_very_long_one_tells_how_far_it_is() -> None:
    log = Log()
    log.screen.listen(transfer(0))
    log.pass_time(2)
    log.screen.listen(transfer(1_500_000))
    log.pass_time(31)
    said = "still at work on 1 step: Download helm.tar.gz (58 MB), 33 s: 1.5 MB of 58 MB"
    assert log.lines[1:] == [f"  0:33    … {said}"]


def test_a_quick_download_has_no_line() -> None:
    log = Log()
    log.screen.listen(transfer(0))
    log.pass_time(1)
    log.screen.listen(transfer(58_000_000, over=True))
    log.pass_time(60)
    assert log.lines == []


def test_one_that_breaks_off_is_told_with_what_came() -> None:
    log = Log()
    log.screen.listen(transfer(0, total=0))
    log.pass_time(3)
    log.screen.listen(transfer(1_000_000, total=58_000_000, over=True))
    said = "· Download helm.tar.gz (3.0 s): broke off after 1.0 MB of 58 MB"
    assert log.lines[-1] == f"  0:03    {said}"
