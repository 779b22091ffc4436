"""A Docker daemon of the tests' own, in a network namespace that one cable leads out of.

So everything that Docker, a node or a pod sends out of the machine passes one place, and the daemon
may be restarted, and its disk filled, without harm to what else runs here. The namespace at the
other end of the cable (`outside`) passes nothing on: this is a machine without a way out, where a
route to everywhere exists, so that whatever wants to leave is seen trying.

Nothing is left when it ends, nor after a run that was killed: the next one ends what that one left.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lab.dockerd import engine as dockerd

from .engine import Engine
from .namespaces import identity

NAME = "cto-e2e"
OUTSIDE = f"{NAME}-outside"
# Short: the path of a socket has at most 107 characters.
RUN = Path("/run") / NAME
NAMESPACES = Path("/run/netns")
# Of the range for benchmarks (RFC 2544): nobody's network.
INNER, _OUTER, _BITS = "198.18.0.2", "198.18.0.1", 30
_INNER6, _OUTER6 = "fdc7:0e2e::2", "fdc7:0e2e::1"
# Both ends of the cable itself.
CABLE_RANGES = (f"{INNER}/{_BITS}", f"{_INNER6}/64")
_PROGRAMS = ("ip", "nsenter", "setpriv", "mkfs.ext4", "mount", "umount")
DATA = RUN / "data"
CAPPED = Path(dockerd.__file__).with_name("capped.py")
_READY_S = 60
_END_S = 30


def find() -> dict[str, Path]:
    """Return Docker's programs: in PATH, where the client's package has them, or the lab's own."""
    client = shutil.which("docker")
    if client is None:
        return {}
    beside = Path(client).resolve().parent
    lab = dockerd.programs() / "usr"
    places = ["/usr/sbin", beside, f"{beside}/../sbin", lab / "sbin", lab / "bin"]
    path = os.pathsep.join([os.environ["PATH"], *map(str, places)])
    found = {name: shutil.which(name, path=path) for name in ("docker", "dockerd", "containerd")}
    return {name: Path(where) for name, where in found.items() if where}


def oldest() -> dict[str, Path]:
    """Return the programs of the oldest Docker that the installer takes, fetched at first.

    Raises:
        BuildError: Debian's archive does not give them.
    """
    dockerd.fetch(dockerd.OLDEST)
    usr = dockerd.programs(dockerd.OLDEST) / "usr"
    found = {"docker": "bin", "dockerd": "sbin", "containerd": "bin"}
    return {name: usr / folder / name for name, folder in found.items()}


def lacking() -> list[str]:
    """List what keeps this machine from a daemon of the tests' own."""
    found = [] if os.geteuid() == 0 else ["root"]
    found += [name for name in ("docker", "dockerd", "containerd") if name not in find()]
    return found + [name for name in _PROGRAMS if shutil.which(name) is None]


@dataclass
class Daemon:
    """The daemon; `start` and `stop` may be called in turns.

    Attributes:
        folder: Where the disk of Docker is, a file that grows up to `gib` GiB, and the log.
        programs: What is run.
    """

    folder: Path
    gib: int = 24
    programs: Mapping[str, Path] = field(default_factory=find)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def engine(self) -> Engine:
        return Engine(str(self.programs["docker"]), RUN / "docker.sock", NAMESPACES / NAME)

    @property
    def cable(self) -> Path:
        return NAMESPACES / OUTSIDE

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Run it; nobody else's tests may at the same time."""
        RUN.mkdir(mode=0o711, exist_ok=True)
        with Path(f"{RUN}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _end_leftovers()
            try:
                self._prepare()
                self.start()
                yield self
            finally:
                self.stop()
                _end_leftovers()

    @contextmanager
    def before_23(self) -> Iterator[Engine]:
        """Run the oldest Docker in its place for a while, with data of its own on the same disk."""
        usual, data = self.programs, DATA / "oldest"
        libraries = dockerd.programs(dockerd.OLDEST) / "lib" / f"{platform.machine()}-linux-gnu"
        # It knows neither containerd's image store nor which capabilities there are.
        changes = {
            "features": {},
            "data-root": str(data),
            "runtimes": {"capped": {"path": str(CAPPED)}},
            "default-runtime": "capped",
        }
        self.programs = oldest()
        self.stop()
        try:
            self.start(changes, {"LD_LIBRARY_PATH": str(libraries)})
            yield self.engine
        finally:
            self.stop()
            self.programs = usual
            shutil.rmtree(data)
            self.start()

    def start(
        self,
        changes: Mapping[str, object] = MappingProxyType({}),
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start it, with other settings and another environment if it has to be so."""
        settings = {
            "features": {"containerd-snapshotter": True},
            "hosts": [f"unix://{RUN / 'docker.sock'}"],
            "data-root": str(DATA),
            "exec-root": str(RUN),
            "pidfile": str(RUN / "docker.pid"),
            "cgroup-parent": f"/{NAME}",
            **changes,
        }
        config = self.folder / "daemon.json"
        config.write_text(json.dumps(settings))
        for stale in ("docker.pid", "containerd/containerd.pid"):
            (RUN / stale).unlink(missing_ok=True)
        own = os.pathsep.join(sorted({str(path.parent) for path in self.programs.values()}))
        argv = ["nsenter", f"--net={NAMESPACES / NAME}", "setpriv", "--pdeathsig", "TERM"]
        argv += [str(self.programs["dockerd"]), "--config-file", str(config)]
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                argv,
                env={**os.environ, "PATH": f"{own}{os.pathsep}{os.environ['PATH']}", **env},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._await()

    def stop(self) -> None:
        """End it as a shutdown of the machine would."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _await(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not self.engine.answers():
            said = self.log.read_text()[-3000:]
            assert self.process, said
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def _prepare(self) -> None:
        disk = self.folder / "disk"
        with disk.open("wb") as file:
            file.truncate(self.gib << 30)
        DATA.mkdir()
        _run("mkfs.ext4", "-q", "-m", "0", str(disk))
        _run("mount", "-o", "loop,discard", str(disk), str(DATA))
        # The mount holds it; so its room is free again even after a kill.
        disk.unlink()
        _lay_cable()


def _lay_cable() -> None:
    for name in (NAME, OUTSIDE):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run(*f"ip link add cable netns {NAME} type veth peer name cable netns {OUTSIDE}".split())
    for name, v4, v6 in ((NAME, INNER, _INNER6), (OUTSIDE, _OUTER, _OUTER6)):
        _run("ip", "-n", name, "address", "add", f"{v4}/{_BITS}", "dev", "cable")
        _run("ip", "-n", name, "-6", "address", "add", f"{v6}/64", "dev", "cable", "nodad")
        _run("ip", "-n", name, "link", "set", "cable", "up")
    _run("ip", "-n", NAME, "route", "add", "default", "via", _OUTER)
    _run("ip", "-n", NAME, "-6", "route", "add", "default", "via", _OUTER6)


def _end_leftovers() -> None:
    """End what an earlier run left: the daemon, containers, mounts, namespaces."""
    for pid in {*_in_namespace(), *_in_cgroups()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted(mounted, reverse=True):
        if Path(path).is_relative_to(RUN):
            _run("umount", "--lazy", path)
    for name in (NAME, OUTSIDE):
        if (NAMESPACES / name).exists():
            _run("ip", "netns", "delete", name)
    shutil.rmtree(RUN)
    RUN.mkdir(mode=0o711)


def _in_namespace() -> Iterator[int]:
    """Yield every process in the daemon's namespace: itself, containerd, shims, proxies."""
    if not (NAMESPACES / NAME).exists():
        return
    ours = identity(NAMESPACES / NAME)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if identity(folder / "ns" / "net") == ours:
                yield int(folder.name)


def _in_cgroups() -> Iterator[int]:
    """Yield every process of the daemon's containers, with cgroups of either version."""
    root = Path("/sys/fs/cgroup")
    for group in (*root.glob(f"*/{NAME}"), *root.glob(NAME)):
        for processes in group.rglob("cgroup.procs"):
            with suppress(OSError):
                yield from (int(pid) for pid in processes.read_text().split())


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
