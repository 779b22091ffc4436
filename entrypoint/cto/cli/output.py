"""What a command shows: progress on stderr, its result on stdout, for people or as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from cto.cli.failure import Failure, failure_of, trace_of
from cto.cli.progress import Screen, clean
from cto.cli.streams import SafeStream
from cto.errors import Cancelled, CtoError
from cto.events import Event
from cto.redaction import Secrets
from cto.result import SCHEMA_VERSION, Result
from cto.storage import is_there

if TYPE_CHECKING:
    from cto.cli.settings import ClusterOptions
    from cto.cli.wiring import Wiring
    from cto.ports import Clock

MERMAID = "mermaid"
STARTER = "cto.yaml"
"""What `cto config init` writes, unless told otherwise."""
SIMULATED = "SIMULATED: nodes run nothing; only the API server and its objects are real."


def _wiring(options: ClusterOptions) -> Wiring:
    from cto.cli.settings import CommandSettings  # noqa: PLC0415 - as above
    from cto.cli.wiring import Wiring  # noqa: PLC0415 - `cto install --help` need not wait for it

    return Wiring(CommandSettings(options))


def _attended() -> bool:
    return SafeStream(sys.stdin, talk=True).isatty() and _stderr().isatty()


@dataclass
class Terminal:
    """Where one command writes. Commands get it with `click.pass_obj`.

    Attributes:
        format: Of the result: `human`, `json`, or another one that the command offers.
        debug: Show tracebacks, and what is run and asked.
        quiet: No progress, only what went wrong.
        command: `install`, `plan install`, ...
        simulated: Set it as soon as it is known: every screen and document says so.
        data: What the document holds if the command fails.
        wiring: Makes what a verb works with.
        attended: Whether somebody sits in front of it.
        secrets: What must be shown nowhere, as far as it is known by then. What is told is also
            searched for the shapes of secrets; results are data, and may show such shapes.
    """

    format: str = "human"
    debug: bool = False
    quiet: bool = False
    command: str = ""
    simulated: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    wiring: Callable[[ClusterOptions], Wiring] = _wiring
    attended: Callable[[], bool] = _attended
    secrets: Secrets = field(default_factory=Secrets)
    _written: bool = False
    # Whether the last line on stderr says that all is simulated.
    _closed: bool = False
    _screen: Screen | None = None

    def __post_init__(self) -> None:
        make = self.wiring

        def connected(options: ClusterOptions) -> Wiring:
            from cto.network.proxies import passwords  # noqa: PLC0415 - `--help` need not wait for it

            made = make(options)
            made.debug, made.listen, made.secrets = self.trace, self.listen, self.secrets
            # Go's programs quote an address that they cannot read, password and all.
            self.secrets.add(passwords(made.settings.env))
            return made

        self.wiring = connected

    @property
    def can_ask(self) -> bool:
        """Whether a question reaches somebody who can answer it."""
        return self.format != "json" and self.attended()

    @property
    def is_kept(self) -> bool:
        """Whether results go to a file, a pipe or a program, and not to somebody's screen."""
        return self.format != "human" or not SafeStream(sys.stdout, talk=True).isatty()

    def confirm(self, question: str, text: str = "") -> None:
        """Ask, on stderr.

        Raises:
            Cancelled: The answer is no.
        """
        if text:
            self._talk().line(self._framed(text, talk=True))
        self._closed = False
        if not click.confirm(question, default=False, err=True):
            told = "The answer was no: nothing was changed."
            raise Cancelled(told)

    @contextmanager
    def screen(self, clock: Clock) -> Iterator[Screen]:
        """Show progress on stderr until the end of the block."""
        screen = _screen(self._talk(), clock, quiet=self.quiet, frame=self._frame)
        try:
            screen.open()
            self._screen = screen
            yield screen
        finally:
            self._screen = None
            screen.close()

    def listen(self, event: Event) -> None:
        """Tell what goes on, if there is a screen. May be called by any thread."""
        if screen := self._screen:
            screen.listen(event)

    def trace(self, text: str) -> None:
        """Tell what was run or asked, with `--debug`. May be called by any thread."""
        if not self.debug:
            return
        if (screen := self._screen) and not self.quiet:
            screen.notice(text)
        else:
            self._talk().line(clean(text))

    def remark(self, text: str) -> None:
        """Tell what users should know, before there is a screen."""
        if not self.quiet:
            self._talk().line(clean(text))

    def tell_unread(self, files: Sequence[str]) -> None:
        """Say that a configuration lies here that nobody named: it does not count."""
        if not files and is_there(Path(STARTER)):
            self.remark(f"./{STARTER} is not read: add `-c {STARTER}` to have it count")

    def _frame(self) -> str:
        self._closed = self._closed or self.simulated
        return SIMULATED if self.simulated else ""

    def _framed(self, text: str, *, talk: bool) -> str:
        """Say before and after a text that all is simulated; not twice in a row on a terminal."""
        # Where both streams are a terminal it is one and the same.
        same = talk or (_stderr().isatty() and SafeStream(sys.stdout, talk=True).isatty())
        above = f"{SIMULATED}\n" if self.simulated and not (same and self._closed) else ""
        self._closed = self.simulated if same else self._closed
        return f"{above}{text}\n{SIMULATED}" if self.simulated else text

    def show(self, result: Result) -> int:
        """Write a result to stdout. Returns the exit code.

        Whoever follows something shows one result after the other: that many documents.
        """
        self.simulated = self.simulated or result.simulated
        if self.format == "json":
            self._document(result.command, result.exit_code, result.data, None)
        elif result.text:
            text = self.secrets.without(result.text)
            self._out(self._framed(text, talk=False))
        return result.exit_code

    def fail(self, error: BaseException) -> int:
        """Write an exception: to stderr for people, to stdout as JSON. Returns the exit code."""
        failure = failure_of(error).redacted(self.secrets.redacted)
        if self.debug and not isinstance(error, CtoError | click.ClickException):
            self._closed = False
            self._talk().line(trace_of(error))
        self._talk().line(self._framed(clean(str(failure)), talk=True))
        if self.format == "json":
            self._document(self.command, failure.exit_code, self.data, failure)
        return failure.exit_code

    def _document(
        self, command: str, exit_code: int, data: Mapping[str, Any], failure: Failure | None
    ) -> None:
        import json  # noqa: PLC0415 - `cto --help` need not wait for it

        document = {
            "schema": SCHEMA_VERSION,
            "command": command,
            "ok": exit_code == 0,
            "exit_code": exit_code,
            "simulated": self.simulated,
            "data": self.secrets.without_all(data),
            "error": failure.to_json() if failure else None,
        }
        text = json.dumps(document, indent=2)
        if failure and self._written:  # e.g. interrupted while the result was written
            return
        self._written = True
        self._out(text, talk=failure is not None)

    def _talk(self) -> SafeStream:
        return SafeStream(sys.stderr, talk=True, redact=self.secrets.redacted)

    def _out(self, text: str, *, talk: bool = False) -> None:
        SafeStream(sys.stdout, talk=talk).line(text)


def _stderr() -> SafeStream:
    return SafeStream(sys.stderr, talk=True)


class _Opened(Screen, Protocol):
    def open(self) -> None: ...


def _screen(talk: SafeStream, clock: Clock, *, quiet: bool, frame: Callable[[], str]) -> _Opened:
    if talk.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}:
        from cto.cli.live import Live  # noqa: PLC0415 - rich is slow to import

        return Live(talk, clock, quiet=quiet, frame=frame)
    from cto.cli.plain import Plain  # noqa: PLC0415 - only commands that change something need it

    return Plain(talk.line, clock, quiet=quiet, frame=frame)
