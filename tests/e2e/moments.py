"""Moments of an installation, told from outside: what Docker shows, what the installer said."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import TypeAlias

from .delivery import registries, sent
from .installer import CLUSTER, Installer, Running

NODE = f"{CLUSTER}-control-plane"
_LOOK_S = 0.03
_PATIENCE_S = 420.0


class Run:
    """An installer at work; `lines` is what it said on stderr so far."""

    def __init__(self, installer: Installer, *arguments: str) -> None:
        self.installer = installer
        self.engine = installer.engine
        self.running: Running = installer.start(*arguments)
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, sign: Sign) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not sign(self):
            assert self.running.process.poll() is None, f"it ended before the moment\n{self.text}"
            assert time.monotonic() < end, f"the moment did not come\n{self.text}"
            time.sleep(_LOOK_S)

    def kill(self, *, process: bool) -> None:
        """End the container as `docker kill` does, or its first process behind Docker's back.

        A sign may be there before the container runs: there is nothing to kill until then.
        """
        while self.running.process.poll() is None and not self.engine.pids(self.running.name):
            time.sleep(_LOOK_S)
        if process:
            for pid in self.engine.pids(self.running.name):
                subprocess.run(["/bin/kill", "-KILL", str(pid)], check=False)
        else:
            self.engine.run("kill", self.running.name, code=None)
        self.end()

    def end(self) -> int:
        """Wait for its end, and for Docker to have removed its container; return the code."""
        code = self.running.process.wait(_PATIENCE_S)
        self._reader.join()
        end = time.monotonic() + 30
        while self.engine.container(self.running.name) and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return code

    def _read(self) -> None:
        assert self.running.process.stderr
        assert self.running.process.stdout
        with self.running.process.stderr as stream:
            self.lines.extend(line.rstrip() for line in stream)
        self.running.process.stdout.close()


Sign: TypeAlias = Callable[[Run], bool]


def says(pattern: str) -> Sign:
    found = re.compile(pattern)
    return lambda run: any(found.search(line) for line in list(run.lines))


def either(*signs: Sign) -> Sign:
    return lambda run: any(sign(run) for sign in signs)


def container(name: str) -> Sign:
    return lambda run: run.engine.container(name) is not None


def gone(name: str) -> Sign:
    return lambda run: run.engine.container(name) is None


def registry() -> Sign:
    return lambda run: bool(registries(run.engine))


def no_registry() -> Sign:
    return lambda run: not registries(run.engine)


def blobs_sent(at_least: int) -> Sign:
    """The registry has sent some bytes of blobs."""

    def sign(run: Run) -> bool:
        return (
            sum(blob.size for name in registries(run.engine) for blob in sent(run.engine, name))
            >= at_least
        )

    return sign


def file_in_node(path: str) -> Sign:
    def sign(run: Run) -> bool:
        test = ["exec", NODE, "sh", "-c", f"ls {path}"]
        return run.engine.run(*test, code=None).returncode == 0

    return sign


def in_kubeconfig(text: str) -> Sign:
    def sign(run: Run) -> bool:
        file = run.installer.kubeconfig
        return file.exists() and text in file.read_text()

    return sign


@dataclass(frozen=True)
class Moment:
    """When to kill, and how.

    Attributes:
        delay_s: From the sign to the kill.
        process: Kill the first process of the container, not the container.
    """

    name: str
    sign: Sign
    delay_s: float = 0.0
    process: bool = False

    def __str__(self) -> str:
        return f"{self.name} + {self.delay_s * 1000:.0f} ms"


def killed(installer: Installer, moment: Moment, *arguments: str) -> Run:
    """Run a command and kill it at the moment; see that it had not ended by itself."""
    run = Run(installer, *arguments)
    run.until(moment.sign)
    time.sleep(moment.delay_s)
    run.kill(process=moment.process)
    assert run.running.process.returncode == 137, f"{moment}: it had ended\n{run.text}"
    return run
