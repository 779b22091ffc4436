"""The step list on a terminal: lines that stay, and below them what is running now.

The only module that uses rich.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console, Group
from rich.live import Live as Region
from rich.text import Text

from cto.cli.progress import MARKS, WARNING, Frame, Ledger, Line, Running, duration, stopwatch
from cto.cli.streams import SafeStream
from cto.events import Event, Notice, Outcome

if TYPE_CHECKING:
    from cto.ports import Clock

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PER_SECOND = 8
_STYLES = {
    "": "bold",
    MARKS[Outcome.DONE]: "green",
    MARKS[Outcome.UNCHANGED]: "dim",
    MARKS[Outcome.SKIPPED]: "dim",
    MARKS[Outcome.FAILED]: "bold red",
    WARNING: "yellow",
}


class Live:
    """Writes lines and keeps a region below them up to date.

    Two locks, because rich calls `_rows` from its own thread while it holds its own lock: only
    the inner one is taken there, and nothing is printed while that one is held.
    """

    def __init__(
        self,
        outlet: SafeStream,
        clock: Clock,
        *,
        quiet: bool = False,
        frame: Callable[[], str] = str,
        width: int | None = None,
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._ledger = Ledger(clock)
        self._telling = Lock()
        self._knowing = Lock()
        # NO_COLOR is rich's own business: https://no-color.org
        self._console = Console(
            file=cast("TextIO", outlet), markup=False, highlight=False, emoji=False, width=width
        )
        self._frame = Frame(frame, self._console.print)
        self._region = Region(
            console=self._console,
            get_renderable=self.rows,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self) -> None:
        self._region.start()

    def listen(self, event: Event) -> None:
        """Tell an event. May be called by any thread."""
        with self._telling:
            with self._knowing:
                lines = self._ledger.take(event)
            self._show(lines)

    def notice(self, text: str, *, warning: bool = False) -> None:
        self.listen(Notice(text, warning=warning))

    def close(self) -> None:
        """Take the region away, and tell what is not finished."""
        self._region.stop()
        with self._telling:
            with self._knowing:
                lines = self._ledger.abandoned()
            self._show(lines)
            self._frame.close()

    def rows(self) -> Group:
        """Return a row for each step that is running."""
        with self._knowing:
            steps = [] if self._quiet else list(self._ledger.running.values())
            return Group(*(self._row(step) for step in steps))

    def _row(self, step: Running) -> Text:
        frame = _FRAMES[int(self._clock.monotonic() * _PER_SECOND) % len(_FRAMES)]
        row = Text(f"{stopwatch(self._ledger.elapsed_s)}    ", no_wrap=True, overflow="ellipsis")
        row.append(frame, style="cyan")
        row.append(f" {self._ledger.label(step)} ({duration(self._ledger.age_s(step))}")
        row.append(f" of about {duration(step.estimate_s)})" if step.estimate_s else ")")
        if step.amount:
            row.append(f": {step.amount}", style="cyan")
        if step.cause:
            row.append(": " + step.cause.partition("\n")[0], style="yellow")
        return row

    def _show(self, lines: list[Line]) -> None:
        for line in lines:
            if line.loud or not self._quiet:
                self._frame.open()
                self._console.print(_styled(line), soft_wrap=True)


def _styled(line: Line) -> Text:
    text = Text(f"{stopwatch(line.elapsed_s)}  ", style="dim")
    return Text.assemble(text, Text(line.body, style=_STYLES.get(line.mark, "")))
