"""Runs an installer until a moment comes, and does something to it then: kills it, mostly.

A moment is told from outside, by what the installer says or by what the API server shows: the
product has no hook for tests. A delay from a fixed seed moves it to between two steps.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.errors import CtoError
from cto.objects import ObjectRef, labels_of

from .conftest import INSIDE, Lab

_LOOK_S = 0.02
_PATIENCE_S = 240.0

INSTALL = ("install", "--provider", "kwok", "--profile", "minimal", "--config", str(INSIDE))
LEASE = ObjectRef("coordination.k8s.io/v1", "Lease", "cto-system", "cto-lock")


class Run:
    """An installer at work, in a process group of its own.

    Attributes:
        lines: What it said on stderr so far.
    """

    def __init__(self, lab: Lab, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.lab = lab
        self.process = lab.popen(*arguments, env=env or {}, start_new_session=True)
        self.lines: list[str] = []
        self.stdout = ""
        self._cluster: KubeCluster | None = None
        self._readers = [Thread(target=work, daemon=True) for work in (self._talk, self._data)]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cluster(self) -> KubeCluster:
        if self._cluster is None:
            self._cluster = self.lab.cluster()
        return self._cluster

    def until(self, moment: Sign) -> None:
        """Wait for a moment."""
        end = time.monotonic() + _PATIENCE_S
        while not self._sees(moment):
            assert self.process.poll() is None, f"it ended before the moment\n{self.text}"
            assert time.monotonic() < end, f"the moment did not come\n{self.text}"
            time.sleep(_LOOK_S)

    def kill(self, *, group: bool) -> None:
        """Kill -9, alone or with its process group."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)
        self.end()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.text) from None
        for reader in self._readers:
            reader.join()
        return code

    def _sees(self, moment: Sign) -> bool:
        try:
            return moment(self)
        except CtoError:  # there is no cluster yet
            self._cluster = None
            return False

    def _talk(self) -> None:
        assert self.process.stderr
        with self.process.stderr as stream:
            self.lines.extend(line.rstrip() for line in stream)

    def _data(self) -> None:
        assert self.process.stdout
        with self.process.stdout as stream:
            self.stdout = stream.read()


Sign: TypeAlias = Callable[[Run], bool]


def says(pattern: str) -> Sign:
    """It said a line that matches."""
    found = re.compile(pattern)
    return lambda run: any(found.search(line) for line in list(run.lines))


def there(api_version: str, kind: str, name: str, namespace: str = "") -> Sign:
    """An object exists."""
    ref = ObjectRef(api_version, kind, namespace, name)
    return lambda run: run.cluster.get(ref) is not None


def going(namespace: str) -> Sign:
    """A namespace is being deleted, or gone."""
    ref = ObjectRef("v1", "Namespace", "", namespace)

    def sign(run: Run) -> bool:
        found = run.cluster.get(ref)
        return found is None or "deletionTimestamp" in found["metadata"]

    return sign


def gone(api_version: str, kind: str, name: str, namespace: str = "") -> Sign:
    ref = ObjectRef(api_version, kind, namespace, name)
    return lambda run: run.cluster.get(ref) is None


def record(release: str, status: str) -> Sign:
    """Helm's newest record of a release has a status."""

    def sign(run: Run) -> bool:
        found = run.cluster.list_metadata("v1", "Secret", labels=f"owner=helm,name={release}")
        newest = max(found, key=lambda item: int(labels_of(item)["version"]), default=None)
        return newest is not None and labels_of(newest)["status"] == status

    return sign


def held() -> Sign:
    """Somebody holds the lock of the cluster."""
    return lambda run: bool(holder(run.cluster))


def file(path: str) -> Sign:
    """A file of the installer's state exists."""
    return lambda run: any((run.lab.folder / "state").glob(path))


def holder(cluster: KubeCluster) -> str:
    """Return who holds the lock of the cluster, '' if it is free."""
    lease = cluster.get(LEASE) or {}
    return str(lease.get("spec", {}).get("holderIdentity") or "")


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        delay_s: From the sign to the kill.
        group: With its process group, or alone.
    """

    name: str
    sign: Sign
    delay_s: float = 0.0
    group: bool = False

    def __str__(self) -> str:
        how = "with its group" if self.group else "alone"
        return f"{self.name} + {self.delay_s * 1000:.0f} ms, {how}"


def killed(lab: Lab, moment: Moment, *arguments: str) -> Run:
    """Run a command and kill it at the moment; see that its children are gone, too."""
    run = Run(lab, *arguments)
    run.until(moment.sign)
    time.sleep(moment.delay_s)
    run.kill(group=moment.group)
    assert run.process.returncode == -signal.SIGKILL, f"{moment}: it had ended\n{run.text}"
    no_child_is_left(lab)
    return run


def no_child_is_left(lab: Lab, within_s: float = 5.0) -> None:
    """See that no program of this lab's installers lives: children die with their installer."""
    end = time.monotonic() + within_s
    while (alive := children(lab)) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    assert not alive, alive


def children(lab: Lab, *programs: str) -> dict[int, list[str]]:
    """Return the programs that installers of this lab run now: pid -> command line."""
    names = tuple(f"/{name}" for name in programs or ("helm", "kwokctl"))
    found: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        words = _read(folder / "cmdline").split("\0") if folder.name.isdecimal() else []
        is_one = any(word.endswith(names) for word in words[:5])
        if is_one and str(lab.folder) in _read(folder / "environ"):
            found[int(folder.name)] = words
    return found


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def data_of(run: Run) -> dict[str, Any]:
    """Return the document that a command with `--output json` wrote."""
    import json

    document: dict[str, Any] = json.loads(run.stdout)
    return document
