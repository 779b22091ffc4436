"""The step list on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cto.cli.live import Live
from cto.cli.streams import SafeStream
from cto.events import (
    Notice,
    Outcome,
    Phase,
    StepFinished,
    StepProgress,
    StepStarted,
    Transfer,
)
from fakes.clock import FakeClock


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(live: Live, width: int = 60) -> list[str]:
    """What the region looks like now."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(live.rows())
    return [line.rstrip() for line in capture.get().splitlines()]


def plain(text: str) -> str:
    # A row that was erased is a line of its own, whenever the region's thread may have drawn it.
    text = text.replace("\x1b[2K", "\n")
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def make(*, quiet: bool = False) -> tuple[Live, Tty, FakeClock]:
    stream, clock = Tty(), FakeClock()
    return Live(SafeStream(stream, talk=True), clock, quiet=quiet, width=60), stream, clock


def test_each_running_step_has_a_row_with_its_age_and_cause() -> None:
    live, _, clock = make()
    live.listen(StepStarted("a", Phase.CORE, "Install Argo CD", 40))
    clock.advance(12)
    live.listen(StepStarted("n", Phase.CORE, "Install NATS"))
    live.listen(StepProgress("n", "Pod nats-0: ContainerCreating, and more to come\nsecond"))
    clock.advance(1)
    assert shown(live) == [
        "  0:13    ⠼ Install Argo CD (13 s of about 40 s)",
        "  0:13    ⠼ Install NATS (1.0 s): Pod nats-0: ContainerCrea…",
    ]


def test_lines_of_what_is_over_stay() -> None:
    live, stream, clock = make()
    live.open()
    live.listen(StepStarted("n", Phase.CORE, "Install NATS"))
    clock.advance(3)
    live.listen(StepFinished("n", Outcome.DONE, 3))
    live.notice("look out", warning=True)
    live.listen(StepStarted("g", Phase.CORE, "Install Grafana"))
    live.close()
    lines = [line.rstrip() for line in plain(stream.getvalue()).splitlines() if line.strip()]
    for line in (
        "  0:00  [4/8] core",
        "  0:03    ✓ Install NATS (3.0 s)",
        "  0:03    ! look out",
        "  0:03    · Install Grafana: not finished",
    ):
        assert lines.count(line) == 1
    assert lines[-1] == "  0:03    · Install Grafana: not finished"
    assert shown(live) == []


def test_a_frame_is_around_what_was_said() -> None:
    stream = Tty()
    live = Live(SafeStream(stream, talk=True), FakeClock(), frame=lambda: "SIMULATED", width=60)
    live.notice("hello")
    live.close()
    assert [line for line in plain(stream.getvalue()).splitlines() if line] == [
        "SIMULATED",
        "  0:00    · hello",
        "SIMULATED",
    ]


def test_quiet_has_no_rows_and_only_bad_news() -> None:
    live, stream, _ = make(quiet=True)
    live.listen(StepStarted("n", Phase.CORE, "Install NATS"))
    live.listen(Notice("by the way"))
    assert shown(live) == []
    live.listen(StepFinished("n", Outcome.FAILED, 1, "no"))
    assert plain(stream.getvalue()) == "  0:00    ✗ Install NATS (1.0 s): no\n"


def test_marks_are_coloured_unless_colour_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    live, stream, _ = make()
    live.listen(StepFinished("n", Outcome.DONE, 1))
    assert "\x1b[32m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    live, stream, _ = make()
    live.listen(StepFinished("n", Outcome.DONE, 1))
    assert "\x1b[32m" not in stream.getvalue()


def test_long_lines_are_not_cut() -> None:
    live, stream, _ = make()
    live.notice("word " * 30)
    assert plain(stream.getvalue()) == f"  0:00    · {('word ' * 30).strip()}\n"


def test_brackets_are_text() -> None:
    live, stream, _ = make()
    live.notice("[bold]not markup[/bold] :smile:")
    assert "[bold]not markup[/bold] :smile:" in plain(stream.getvalue())


def test_a_download_has_a_row_with_its_bytes() -> None:
    live, _, clock = make()
    live.listen(Transfer(name="helm.tgz", source="https://h/helm.tgz", done=0, total=58_000_000))
    clock.advance(1)
    live.listen(Transfer(name="helm.tgz", source="https://h/helm.tgz", done=12_300_000, total=0))
    live.listen(Transfer(name="x.tgz", source="https://h/x.tgz", done=300_000, total=0))
    assert shown(live) == [
        "  0:01    ⠇ Download helm.tgz (58 MB) (1.0 s): 12 MB",
        "  0:01    ⠇ Download x.tgz (0.0 s): 0.3 MB",
    ]
    over = Transfer(name="x.tgz", source="https://h/x.tgz", done=1, total=1, over=True)
    live.listen(over)
    assert len(shown(live)) == 1
