#!/usr/bin/env python3
"""Docker Engine for the tests: the daemon that answers or, as root on Debian, one of its own.

    python3 tests lab.dockerd.engine up      use what answers, else fetch, start, wait
    python3 tests lab.dockerd.engine down    end what `up` started, and nothing else

It is Debian 13's Docker 26.1 with the containerd image store, which is what most users have by
now; Debian 12 itself has 20.10. The programs are unpacked into the lab's cache, not installed, so
that nothing which is installed changes; runc and iptables are the machine's own, because newer
ones ask for a newer libc. Docker 26 gives a privileged container only the capabilities that there
are: kind works with it where root lacks some.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.tools import apt, build

SUITE = "trixie"
# The oldest Docker that the installer takes, 20.10: the tests also have one of their own of it.
OLDEST = "bookworm"
PACKAGES = {
    SUITE: ("docker.io", "docker-cli", "docker-buildx", "containerd"),
    OLDEST: ("docker.io", "containerd", "libdevmapper1.02.1"),
}
# skopeo only reads what we made.
HOST_PACKAGES = {"runc": "runc", "iptables": "iptables", "skopeo": "skopeo"}

# What a daemon keeps while it runs. Paths of sockets are short: the kernel takes 107 characters.
RUNTIME = Path("/run/cto-lab-docker")
SOCKET = Path("/run/docker.sock")
_CONTAINERD_PID = "containerd/containerd.pid"
_USUAL_SOCKET = Path("/var/run/docker.sock")
READY_S = 60
STOP_S = 30
ANSWER_S = 20

_FORBIDDEN = re.compile("operation not permitted|permission denied", re.IGNORECASE)

ABSENT = "no Docker daemon answers (CTO_LAB=install brings one, as root on Debian)"

SECONDS, KEPT_MIB, PEAK_MIB = 40, 330, 480


def folder() -> Path:
    return build.cache_dir() / "docker"


def programs(suite: str = SUITE) -> Path:
    """Say where the unpacked packages are; named by their suite, so that another one replaces."""
    return folder() / f"{suite}-programs"


@dataclass(frozen=True)
class Link:
    """A name of ours in a folder where everybody looks; never in place of somebody else's."""

    name: Path
    member: str

    @property
    def target(self) -> Path:
        return programs() / self.member

    @property
    def is_ours(self) -> bool:
        return self.name.is_symlink() and self.name.readlink().is_relative_to(folder())

    def make(self) -> None:
        if self.is_ours:
            self.name.unlink()
        if not os.path.lexists(self.name):
            self.name.parent.mkdir(parents=True, exist_ok=True)
            self.name.symlink_to(self.target)

    def remove(self) -> None:
        if self.is_ours:
            self.name.unlink()


PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
LINKS = (
    Link(Path("/usr/local/bin/docker"), "usr/bin/docker"),
    Link(PLUGINS / "docker-buildx", "usr/libexec/docker/cli-plugins/docker-buildx"),
)


# --- is there one, may there be one --------------------------------------------------------------


def client() -> str | None:
    own = programs() / "usr/bin/docker"
    return shutil.which("docker") or (str(own) if own.exists() else None)


def version() -> str:
    """Ask the daemon for its version; empty if none answers."""
    return ask("version", "--format", "{{.Server.Version}}")


def socket() -> str:
    """Return the socket on this machine that the client uses; empty if it uses another way."""
    named = os.environ.get("DOCKER_HOST") or f"unix://{_USUAL_SOCKET}"
    return named.removeprefix("unix://") if named.startswith("unix://") else ""


def keeps_layouts() -> bool:
    """Tell whether the daemon has the containerd image store, which writes OCI layouts."""
    return "io.containerd.snapshotter" in ask("info", "--format", "{{json .DriverStatus}}")


def ask(*words: str) -> str:
    """Ask the daemon; empty if there is no answer, or no client."""
    docker = client()
    if docker is None:
        return ""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [docker, *words], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
        return "" if done.returncode else done.stdout.strip()
    return ""


def is_wanted() -> bool:
    """Tell whether Docker may be installed and started here, as CI does."""
    return os.environ.get("CTO_LAB") == "install"


def lacking() -> list[str]:
    """List what keeps this machine from having a Docker of its own."""
    found = []
    if host := os.environ.get("DOCKER_HOST"):
        found.append(f"an answer from {host}, which DOCKER_HOST names")
    found += apt.lacking()
    if build.machine() not in {"amd64", "arm64"}:
        found.append(f"amd64 or arm64; this is {build.machine()}")
    return found


# --- the programs --------------------------------------------------------------------------------


def fetch(suite: str = SUITE) -> None:
    """Unpack the packages.

    Raises:
        BuildError: Debian's archive does not give them.
    """
    apt.install(HOST_PACKAGES)
    apt.keep(PACKAGES[suite], suite, programs(suite))


# --- the daemon ----------------------------------------------------------------------------------


def record() -> Path:
    return folder() / "daemon.json"


def started_at(pid: int) -> str:
    """Tell processes with one number apart, by the kernel's clock; empty if there is none."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    return ""


def ours() -> int:
    """Return the number of the daemon that `up` started; 0 if it does not live any more."""
    try:
        known = json.loads(record().read_text())
        pid, began = int(known["pid"]), str(known["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if began and started_at(pid) == began else 0


def drop_stale_pid_files(runtime: Path) -> None:
    """Remove what a hard kill left: Docker takes any process of that number for its own.

    https://github.com/moby/moby/blob/v26.1.5/libcontainerd/supervisor/remote_daemon.go
    """
    files = {
        "dockerd": runtime / "docker.pid",
        "containerd": runtime / _CONTAINERD_PID,
    }
    for program, file in files.items():
        if file.exists() and not runs(program, file):
            file.unlink()


def runs(program: str, file: Path) -> bool:
    with suppress(OSError, ValueError):
        pid = int(file.read_text())
        return bool(started_at(pid)) and Path(f"/proc/{pid}/comm").read_text().strip() == program
    return False


def start() -> None:
    drop_stale_pid_files(RUNTIME)
    RUNTIME.mkdir(mode=0o711, parents=True, exist_ok=True)
    config = folder() / "daemon.json.config"
    settings = {
        "features": {"containerd-snapshotter": True},
        "hosts": [f"unix://{SOCKET}"],
        "data-root": str(folder() / "data"),
        "exec-root": str(RUNTIME),
        "pidfile": str(RUNTIME / "docker.pid"),
    }
    config.write_text(json.dumps(settings, indent=2) + "\n")
    own = os.pathsep.join(str(programs() / name) for name in ("usr/sbin", "usr/bin"))
    env = {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}
    log = folder() / "dockerd.log"
    with log.open("w") as said:
        daemon = subprocess.Popen(
            [str(programs() / "usr/sbin/dockerd"), "--config-file", str(config)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    write_down(daemon.pid)
    await_ready(daemon, log)


def write_down(pid: int) -> None:
    temporary = record().with_suffix(".tmp")
    temporary.write_text(json.dumps({"pid": pid, "started": started_at(pid)}) + "\n")
    temporary.replace(record())


def await_ready(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not version():
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = "\n  ".join(log.read_text().strip().splitlines()[-8:])
            text = f"Docker did not start ({log}):\n  {last}"
            raise build.BuildError(text)
        time.sleep(0.2)


def up() -> None:
    """Make a daemon answer.

    Raises:
        BuildError: It cannot be; the text says why.
    """
    if version():
        return
    if found := lacking():
        raise build.BuildError("\n  ".join(["this machine lacks:", *found]))
    with build.alone(folder()):
        if version():
            return
        if pid := ours():
            # It lives and does not answer: still starting, after a run that was killed.
            wait_for(pid)
            return
        fetch()
        for link in LINKS:
            link.make()
        start()


def forbidden(begin: Callable[[], None] = up) -> str:
    """Try to make a daemon answer; return what this machine forbids it, empty if that is nothing.

    Root is not enough in some containers. What else goes wrong is no reason to do without: it comes
    again where somebody wants the daemon, and fails there.
    """
    try:
        begin()
    except build.BuildError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        return next((line for line in lines if _FORBIDDEN.search(line)), "")
    return ""


def wait_for(pid: int) -> None:
    deadline = time.monotonic() + READY_S
    while not version():
        if time.monotonic() > deadline:
            text = f"Docker (process {pid}) does not answer ({folder() / 'dockerd.log'})"
            raise build.BuildError(text)
        time.sleep(0.2)


def down() -> bool:
    """End the daemon that `up` started; tell whether there was one. Its images stay."""
    with build.alone(folder()):
        pid = ours()
        if pid:
            end(pid)
        # After a hard kill of dockerd, its containerd lives on, and holds the data.
        file = RUNTIME / _CONTAINERD_PID
        left = runs("containerd", file)
        if left:
            end(int(file.read_text()))
        record().unlink(missing_ok=True)
        for link in LINKS:
            link.remove()
    return bool(pid) or left


def end(pid: int) -> None:
    began = started_at(pid)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, sent)
        deadline = time.monotonic() + STOP_S
        while started_at(pid) == began and time.monotonic() < deadline:
            time.sleep(0.1)
        if started_at(pid) != began:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description="Docker for the tests.")
    parser.add_argument("command", choices=("up", "down"))
    command = parser.parse_args().command
    try:
        if command == "down":
            print("ended" if down() else "none of ours runs", file=sys.stderr)
        else:
            up()
            print(f"Docker {version()} answers; client: {client()}", file=sys.stderr)
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
