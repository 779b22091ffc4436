"""Runs programs. No other module of the package starts one.

A child must not outlive the installer: a helm that goes on working would write its record while
the next run repairs it. Three nets, each for what the one before lets through:

1. `run` ends the child's whole process group (TERM, two seconds, KILL) on timeout, on
   cancellation and on every exception.
2. If the installer itself is killed, the kernel kills the child: util-linux' `setpriv
   --pdeathsig`, see prctl(2), PR_SET_PDEATHSIG. The signal comes when the *thread* that started
   the child ends, so `run` starts and reaps it in one thread.
3. Where there is no such setpriv (macOS, busybox), nothing kills the child, but it holds
   `keep_fds`: a lock on an inherited descriptor stays locked as long as the child lives, and the
   next run sees it.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from threading import Event as Flag
from threading import Timer
from typing import NoReturn

from cto.adapters.pipes import LineReader, Reader, Writer
from cto.errors import Cancelled, CtoError, ToolError, WaitError
from cto.ports import Clock, Completed
from cto.redaction import Lines, redacted

# Flags are looked at this often: select cannot wait for them.
_LOOK_S = 0.1
# A grandchild that went into the background may keep the pipes open for ever.
_DRAIN_S = 0.5
# helm marks its release as failed when it is asked to end, and that needs the API.
_GRACE_S = 2.0
SLOW_S = 3.0
"""Before, somebody who watches takes it for the usual start."""
_TAIL_LINES = 20
_TAIL_COLUMNS = 500
_HIDDEN = "(a line that holds a secret is not shown)"


class ProcessRunner:
    """Implements `ports.Runner`.

    Args:
        log: Gets each command line, quoted for a shell, and how it ended.
        clock: Measures.
        keep_fds: Returns descriptors that a child is to inherit.
        guard: Tells whether a text holds a secret: such an argument is refused, such a line of
            output is left out.
        redact: Takes out of everything that a program says what is secret in it.
    """

    def __init__(
        self,
        *,
        log: Callable[[str], None],
        clock: Clock,
        keep_fds: Callable[[], Sequence[int]] = tuple,
        guard: Callable[[str], bool] | None = None,
        redact: Callable[[str], str] = redacted,
    ) -> None:
        self._write = log
        self._clock = clock
        self._keep_fds = keep_fds
        self._guard = guard or (lambda _: False)
        self._redact = redact
        self._stopped = Flag()
        self._at_once = Flag()
        self._interrupted = Flag()

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
        self._refuse_secrets(argv, env or {})
        interrupted = self._interrupted
        flags = (self._stopped, interrupted, *([cancel] if cancel else ()))
        if any(flag.is_set() for flag in flags):
            raise Cancelled
        environment = _environment(env or {})
        program = _find(argv[0], environment)
        self._log(f"+ {shlex.join(argv)}")
        start = self._clock.monotonic()
        process = self._start([program, *argv[1:]], environment, cwd, feed=stdin is not None)
        at_once = (self._at_once, interrupted)
        child = _Child(process, stdin, on_line and self._shown(on_line), at_once)
        reason = child.follow(self._clock, start + timeout_s, flags)
        seconds = self._clock.monotonic() - start
        done = Completed(
            tuple(argv), process.returncode, child.stdout.text(), child.stderr.text(), seconds
        )
        self._log(f"= {Path(argv[0]).name}: {reason or done.returncode} after {seconds:.1f} s")
        self._judge(done, reason, timeout_s, check=check)
        return done

    def interrupt(self) -> None:
        flag, self._interrupted = self._interrupted, Flag()
        flag.set()

    def stop(self, *, at_once: bool = False) -> None:
        # Only flags: a signal handler may call this while `run` is anywhere in this thread.
        if at_once:
            self._at_once.set()
        self._stopped.set()

    def _log(self, text: str) -> None:
        self._write(self._redact(text))

    def _judge(self, done: Completed, reason: str, timeout_s: float, *, check: bool) -> None:
        name = Path(done.argv[0]).name
        if reason == _CANCELLED:
            raise Cancelled
        if reason == _TIMEOUT:
            text = f"{name} did not end within {timeout_s:g} s"
            raise WaitError("CTO-1700", text, details=self._tail(done))
        if check and done.returncode:
            text = f"{name} ended with {_ending(done.returncode)}"
            raise ToolError("CTO-1500", text, details=self._tail(done))

    def _start(
        self, argv: list[str], environment: dict[str, str], cwd: Path | None, *, feed: bool
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*self._death_signal, *argv],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environment,
                start_new_session=True,
                pass_fds=self._keep_fds(),
                bufsize=0,
            )
        except OSError as error:
            raise _not_started(argv[0], error) from error

    @cached_property
    def _death_signal(self) -> tuple[str, ...]:
        """The words before a command that let it die with the installer; () if there are none."""
        setpriv = shutil.which("setpriv")
        if not setpriv:
            return ()
        words = (setpriv, "--pdeathsig", "KILL", "--")
        probe = subprocess.run([*words, "true"], capture_output=True, check=False, timeout=10)
        return words if probe.returncode == 0 else ()

    def _refuse_secrets(self, argv: Sequence[str], env: Mapping[str, str | None]) -> None:
        program = Path(argv[0]).name
        for index, word in enumerate(argv):
            if self._guard(word):
                text = f"argument {index} of {program} would show a secret"
                raise CtoError("CTO-1100", text)
        for name, value in env.items():
            if value and self._guard(value):
                text = f"the variable {name} of {program} would show a secret"
                raise CtoError("CTO-1100", text)

    def _shown(self, on_line: Callable[[str], None]) -> Callable[[str], None]:
        lines = Lines(self._redact)
        return lambda line: on_line(_HIDDEN if self._guard(line) else lines.redacted(line))

    def _tail(self, done: Completed) -> str:
        text = done.stderr.strip() or done.stdout.strip()
        # A key has several lines, and may begin before the last ones.
        kept = "\n".join(_HIDDEN if self._guard(line) else line for line in text.splitlines())
        lines = self._redact(kept).splitlines()[-_TAIL_LINES:]
        return "\n".join(line[:_TAIL_COLUMNS] for line in lines)


@contextmanager
def told_if_slow(
    notice: Callable[[str], None], text: str, *, after_s: float = SLOW_S
) -> Iterator[None]:
    """Say what is waited for, if that takes long: the program itself is silent."""
    timer = Timer(after_s, notice, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


_CANCELLED = "cancelled"
_TIMEOUT = "timeout"


class _Child:
    """A process with its pipes."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: str | None,
        on_line: Callable[[str], None] | None,
        at_once: Sequence[Flag],
    ) -> None:
        self._at_once_flags = at_once
        if process.stdout is None or process.stderr is None:  # pragma: no cover - always pipes
            raise AssertionError
        self._process = process
        self._selector = selectors.DefaultSelector()
        self.stdout = Reader(process.stdout)
        self.stderr = LineReader(process.stderr, on_line) if on_line else Reader(process.stderr)
        for reader in (self.stdout, self.stderr):
            self._selector.register(reader.file, selectors.EVENT_READ, reader)
        if process.stdin is not None:
            writer = Writer(process.stdin, (stdin or "").encode())
            self._selector.register(writer.file, selectors.EVENT_WRITE, writer)

    def follow(self, clock: Clock, deadline: float, flags: Sequence[Flag]) -> str:
        """Move data until the process ended; return why it was ended, '' if it ended itself."""
        reason = ""
        try:
            while not reason and not self._over():
                self._move(_LOOK_S)
                if any(flag.is_set() for flag in flags):
                    reason = _CANCELLED
                elif clock.monotonic() >= deadline:
                    reason = _TIMEOUT
            if not reason:
                self._drain(clock, clock.monotonic() + _DRAIN_S)
        except BaseException:
            reason = _CANCELLED
            raise
        finally:
            if reason:
                self._end(clock)
            self._process.wait()
            self._close()
        return reason

    def _over(self) -> bool:
        """Tell whether the process ended, without reaping it: its group must stay its own."""
        if not hasattr(os, "waitid"):  # pragma: no cover - macOS before Python 3.13
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def _move(self, timeout_s: float) -> None:
        if not self._selector.get_map():
            # All pipes are closed and the process still lives: nothing left to wait on.
            Flag().wait(timeout_s / 10)
            return
        for key, _ in self._selector.select(timeout_s):
            if not key.data.move():
                self._selector.unregister(key.fileobj)
                key.data.file.close()

    def _drain(self, clock: Clock, deadline: float) -> None:
        while self._selector.get_map() and clock.monotonic() < deadline:
            self._move(_LOOK_S)

    def _end(self, clock: Clock) -> None:
        """End the group: politely, then not."""
        if not self._at_once():
            self._signal(signal.SIGTERM)
        deadline = clock.monotonic() + _GRACE_S
        while not (self._over() or self._at_once()) and clock.monotonic() < deadline:
            self._move(_LOOK_S)
        self._signal(signal.SIGKILL)
        self._drain(clock, clock.monotonic() + _DRAIN_S)

    def _at_once(self) -> bool:
        return any(flag.is_set() for flag in self._at_once_flags)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.data.file.close()
        self._selector.close()


def become(argv: Sequence[str], changes: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program: it gets the signals, and its end is ours.

    Args:
        argv: Program, with its folder, and arguments.
        changes: To the environment.

    Raises:
        ToolError: CTO-1500, it cannot be started.
    """
    try:
        os.execve(argv[0], list(argv), _environment(changes))  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise _not_started(argv[0], error) from error


def _not_started(program: str, error: OSError) -> ToolError:
    hint = (
        f"See that {program} may be run and is for this machine; `--tools DIR` takes another one."
    )
    return ToolError("CTO-1500", f"{program} cannot be started", details=str(error), hint=hint)


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the environment of a child: ours, without our own settings, in a fixed language."""
    # CTO_ variables may hold secrets of the configuration, and no other program reads them.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CTO_")}
    environment["LC_ALL"] = "C.UTF-8"
    environment.pop("LANGUAGE", None)
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def _find(program: str, environment: Mapping[str, str]) -> str:
    found = shutil.which(program, path=environment.get("PATH"))
    if found is None:
        text = f"there is no program {program}"
        raise ToolError("CTO-1501", text)
    return found


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"code {returncode}"
