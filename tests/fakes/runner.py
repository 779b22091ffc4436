"""A runner that starts nothing: tests script what programs answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag

from cto.errors import Cancelled, ToolError, WaitError
from cto.ports import Completed

# A program that hangs looks at its flags this often.
_LOOK_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a program was started with."""

    argv: tuple[str, ...]
    stdin: str | None
    env: Mapping[str, str | None]
    cwd: Path | None
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a program answers.

    Attributes:
        seconds: How long it pretends to take; more than the timeout is a timeout.
        hangs: It only ends by `cancel` or `stop`.
        effect: Called when the program starts; what it raises, `run` raises.
    """

    stdout: str = ""
    stderr: str = ""
    returncode: int = 0
    seconds: float = 0.0
    hangs: bool = False
    effect: Callable[[Call], None] | None = None


@dataclass
class FakeRunner:
    """Implements `ports.Runner`.

    A program without a scripted answer is not installed (CTO-1501).
    """

    calls: list[Call] = field(default_factory=list)
    _script: dict[tuple[str, ...], list[Reply]] = field(default_factory=dict)
    at_once: bool = False
    _stopped: Flag = field(default_factory=Flag)
    _interrupted: Flag = field(default_factory=Flag)

    def on(self, *prefix: str, reply: Reply | None = None, stdout: str = "") -> FakeRunner:
        """Script the answer to calls that begin so; the longest prefix counts.

        The program is named with or without its folder. Several answers to one prefix are given
        in their order, the last one again and again.
        """
        self._script.setdefault(prefix, []).append(reply or Reply(stdout=stdout))
        return self

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        cancel: Flag | None = None,
    ) -> Completed:
        if self._ends(cancel):
            raise Cancelled
        call = Call(argv=tuple(argv), stdin=stdin, env=env or {}, cwd=cwd, timeout_s=timeout_s)
        self.calls.append(call)
        reply = self._reply(call.argv)
        if reply.effect:
            reply.effect(call)
        if on_line:
            for line in reply.stderr.splitlines():
                on_line(line)
        self._take_time(reply, call, cancel, self._interrupted)
        if check and reply.returncode:
            text = f"{Path(argv[0]).name} ended with code {reply.returncode}"
            tail = (reply.stderr or reply.stdout).splitlines()[-20:]
            raise ToolError("CTO-1500", text, details="\n".join(tail))
        return Completed(call.argv, reply.returncode, reply.stdout, reply.stderr, reply.seconds)

    def interrupt(self) -> None:
        flag, self._interrupted = self._interrupted, Flag()
        flag.set()

    def stop(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self._stopped.set()

    def argvs(self) -> list[tuple[str, ...]]:
        return [call.argv for call in self.calls]

    def _take_time(self, reply: Reply, call: Call, cancel: Flag | None, interrupted: Flag) -> None:
        while reply.hangs and not (self._ends(cancel) or interrupted.is_set()):
            self._stopped.wait(_LOOK_S)
        if self._ends(cancel) or interrupted.is_set():
            raise Cancelled
        if reply.seconds > call.timeout_s:
            text = f"{Path(call.argv[0]).name} did not end within {call.timeout_s:g} s"
            raise WaitError("CTO-1700", text)

    def _ends(self, cancel: Flag | None) -> bool:
        return self._stopped.is_set() or (cancel is not None and cancel.is_set())

    def _reply(self, argv: tuple[str, ...]) -> Reply:
        names = (argv, (Path(argv[0]).name, *argv[1:]))
        fitting = [p for p in self._script if any(name[: len(p)] == p for name in names)]
        if not fitting:
            raise ToolError("CTO-1501", f"{argv[0]} is not there")
        replies = self._script[max(fitting, key=len)]
        return replies.pop(0) if len(replies) > 1 else replies[0]
