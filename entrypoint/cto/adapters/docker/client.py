"""Docker by its own command line.

Not by its API: kind runs the same program, so both see the same daemon, whatever DOCKER_HOST,
DOCKER_CONTEXT or a configuration file name, and both negotiate the API version the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from cto import goyaml
from cto.adapters.docker.container import (
    LOOPBACK,
    ContainerSpec,
    Daemon,
    DockerContainer,
    Image,
    Network,
)
from cto.adapters.docker.errors import failure, is_in_use, is_missing, is_stuck
from cto.errors import CtoError, PreflightError, ToolError, WaitError
from cto.ports import Completed, Runner

# A daemon under load answers late; one that hangs must not hang us.
_COMMAND_S = 90.0
# So long an answer is waited for that may never come.
_ANSWER_S = 10.0
_DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
# Docker mounts these three files into every container, from a folder named by its id.
_OWN_FILES = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_THAW = """\
find /cgroups/freezer -path "*$1*" -name freezer.state |
while read -r file; do echo THAWED > "$file"; done
"""
_ID = re.compile(r"[0-9a-f]{64}")
_SHORT_ID = re.compile(r"[0-9a-f]{12}")


class Docker:
    """Implements `adapters.docker.container.Engine`.

    Args:
        runner: Starts docker.
        program: Returns the program; asked only when it is run.
        environ: The installer's environment: which daemon docker would ask.
        own_ids: Returns what may be the id of the container that we run in.
    """

    def __init__(
        self,
        runner: Runner,
        program: Callable[[], str],
        *,
        environ: Mapping[str, str],
        own_ids: Callable[[], Iterable[str]],
    ) -> None:
        self._runner = runner
        self._program = program
        self._environ = environ
        self._own_ids = own_ids

    @property
    def endpoint(self) -> str:
        """The daemon's address with where it is named, for people."""
        if host := self._environ.get("DOCKER_HOST"):
            return f"{host} (DOCKER_HOST)"
        if context := self._environ.get("DOCKER_CONTEXT"):
            return f"context {context} (DOCKER_CONTEXT)"
        return _DEFAULT_ENDPOINT

    def daemon(self) -> Daemon:
        return self._daemon

    @cached_property
    def _daemon(self) -> Daemon:
        done = self._docker("info", "--format", "{{json .}}")
        data = _json(done.stdout)
        # `docker info` ends with 0 although nobody answered.
        if errors := data.get("ServerErrors"):
            raise self._failure(("info",), "\n".join(errors))
        return Daemon.parse(data, self._address(str(_client(data).get("Context", ""))))

    def _address(self, context: str) -> str:
        """Return the daemon's address: DOCKER_HOST comes before every context."""
        if host := self._environ.get("DOCKER_HOST"):
            return host
        if context in ("", "default"):
            return _DEFAULT_ENDPOINT
        done = self._docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}", context)
        return done.stdout.strip()

    def containers(self, **labels: str) -> Sequence[DockerContainer]:
        filters = [
            f"--filter=label={name}={value}" if value else f"--filter=label={name}"
            for name, value in labels.items()
        ]
        done = self._docker("ps", "--all", "--quiet", "--no-trunc", *filters)
        found = [
            DockerContainer.parse(one) for one in self._inspect("container", *done.stdout.split())
        ]
        return sorted(found, key=lambda one: one.name)

    def container(self, name: str) -> DockerContainer | None:
        return self.first(name)

    def first(self, *names: str) -> DockerContainer | None:
        return next(
            (DockerContainer.parse(one) for one in self._inspect("container", *names)), None
        )

    def own(self) -> DockerContainer | None:
        return self._own

    @cached_property
    def _own(self) -> DockerContainer | None:
        for name in self._own_ids():
            found = self.container(name)
            # Twelve hex digits may also be a host's name, or the id on another daemon.
            if found and found.running and found.id.startswith(name):
                return found
        return None

    def create(self, spec: ContainerSpec) -> str:
        return self._docker("create", *_create_arguments(spec)).stdout.strip()

    def start(self, name: str) -> None:
        try:
            self._docker("start", name)
        except CtoError:
            # Docker starts no paused container: it wants to be told to unpause it.
            found = self.container(name)
            if found is None or found.state != "paused":
                raise
            self._docker("unpause", name)

    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        self._docker("stop", "--time", str(timeout_s), name, absent_is_fine=True)

    def remove(self, name: str) -> bool:
        there = self.container(name)
        if there is None:
            return False
        words = ("rm", "--force", "--volumes", name)
        try:
            self._docker(*words, absent_is_fine=True)
        except ToolError as error:
            if not is_stuck(error.details):
                raise
            self._thaw(there)
            self._docker(*words, absent_is_fine=True)
        return True

    def _thaw(self, container: DockerContainer) -> None:
        """Let go what a runc within it held when it was killed; where nothing is held, do nothing.

        With cgroup v1 runc freezes a container while it changes what that may do, and what is
        frozen does not even hear of its own end:
        https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html
        """
        flags = ("--rm", "--pull=never", "--privileged", "--network=none", "--entrypoint=sh")
        # The folder of Docker's host, wherever we are.
        mount = "--volume=/sys/fs/cgroup:/cgroups"
        script = ("-c", _THAW, "sh", container.id)
        words = ("run", *flags, mount, container.image_id, *script)
        self._run(words, timeout_s=_COMMAND_S)

    def keep_running(self, *names: str) -> None:
        self._docker("update", "--restart=unless-stopped", *names)

    def rename(self, name: str, new: str) -> None:
        self._docker("rename", name, new)

    def execute(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> Completed:
        flags = ["--interactive"] if stdin is not None else []
        words = ("exec", *flags, name, *argv)
        done = self._run(words, timeout_s=timeout_s, stdin=stdin)
        if check and done.returncode:
            raise self._failure(words, done.stderr)
        return done

    def logs(self, name: str, *, lines: int = 20) -> str:
        done = self._docker("logs", "--tail", str(lines), name, absent_is_fine=True)
        return "" if done.returncode else done.stdout + done.stderr

    def network(self, name: str) -> Network | None:
        return next((Network.parse(one) for one in self._inspect("network", name)), None)

    def networks(self) -> Sequence[Network]:
        names = self._docker("network", "ls", "--quiet", "--no-trunc").stdout.split()
        found = [Network.parse(one) for one in self._inspect("network", *names)]
        return sorted(found, key=lambda one: one.name)

    def connect(self, network: str, name: str, *, aliases: Sequence[str] = ()) -> None:
        there = self.container(name)
        if there and network in there.networks:
            return
        flags = [f"--alias={alias}" for alias in aliases]
        self._docker("network", "connect", *flags, network, name)

    def disconnect(self, network: str, name: str) -> None:
        if not self._is_in(network, name):
            return
        words = ("network", "disconnect", "--force", network, name)
        try:
            self._docker(*words, absent_is_fine=True, timeout_s=_ANSWER_S)
        except WaitError:
            # A daemon at a TCP address may be on the other side of the very network that we leave:
            # it has done it, and its answer does not reach us.
            if self._is_in(network, name):
                self._docker(*words, absent_is_fine=True)

    def _is_in(self, network: str, name: str) -> bool:
        there = self.container(name)
        return bool(there and network in there.networks)

    def remove_network(self, name: str) -> bool:
        done = self._run(("network", "rm", name), timeout_s=_COMMAND_S)
        if done.returncode and not (is_missing(done.stderr) or is_in_use(done.stderr)):
            raise self._failure(("network", "rm", name), done.stderr)
        return not done.returncode

    def image(self, reference: str) -> Image | None:
        return next((Image.parse(one) for one in self._inspect("image", reference)), None)

    def pull(self, reference: str, *, timeout_s: float = 1800) -> Image:
        words = ("pull", reference)
        done = self._run(words, timeout_s=timeout_s)
        found = None if done.returncode else self.image(reference)
        if found is None:
            raise self._failure(words, done.stderr, code="CTO-1521")
        return found

    def tag(self, reference: str, new: str) -> None:
        self._docker("tag", reference, new)

    def untag(self, reference: str) -> None:
        # Without force the name of an image stays while a container of it is there.
        self._docker("rmi", "--force", reference, absent_is_fine=True)

    def _inspect(self, kind: str, *names: str) -> Sequence[Mapping[str, Any]]:
        """Return what is there; what is not, or vanished meanwhile, is left out."""
        if not names:
            return ()
        done = self._docker(kind, "inspect", *names, absent_is_fine=True)
        found: Sequence[Mapping[str, Any]] = goyaml.load_json(done.stdout or "[]")
        return found

    def _docker(
        self, *words: str, absent_is_fine: bool = False, timeout_s: float = _COMMAND_S
    ) -> Completed:
        done = self._run(words, timeout_s=timeout_s)
        if done.returncode and not (absent_is_fine and is_missing(done.stderr)):
            raise self._failure(words, done.stderr)
        return done

    def _run(
        self, words: Sequence[str], *, timeout_s: float, stdin: str | None = None
    ) -> Completed:
        argv = (self._program(), *words)
        try:
            return self._runner.run(argv, timeout_s=timeout_s, stdin=stdin, check=False)
        except WaitError as error:
            hint = (
                f"Docker at {self.endpoint} is slow or hangs: look whether `docker ps` answers. "
                "Running the same command again is safe."
            )
            raise error.told(hint=hint) from error

    def _failure(self, words: Sequence[str], text: str, *, code: str = "CTO-1520") -> CtoError:
        what = " ".join(("docker", words[0], *_object(words)))
        return failure(what, text, self.endpoint, code=code)


def own_ids(mountinfo: str, hostname: str) -> tuple[str, ...]:
    """Return what may be the id of the container that a process runs in.

    Args:
        mountinfo: The text of /proc/self/mountinfo.
        hostname: Docker makes it the short id, unless told otherwise.
    """
    found = [
        match.group()
        for line in mountinfo.splitlines()
        if len(words := line.split(" ")) > _MOUNT_POINT
        and words[_MOUNT_POINT] in _OWN_FILES
        and (match := _ID.search(words[_MOUNT_ROOT]))
    ]
    if _SHORT_ID.fullmatch(hostname):
        found.append(hostname)
    return tuple(dict.fromkeys(found))


# proc_pid_mountinfo(5), counted from 0.
_MOUNT_ROOT = 3
_MOUNT_POINT = 4


def _create_arguments(spec: ContainerSpec) -> list[str]:
    flags = [f"--name={spec.name}", "--pull=never", f"--restart={spec.restart}"]
    flags += [f"--label={name}={value}" for name, value in sorted(spec.labels.items())]
    flags += [
        f"--publish={LOOPBACK}:{port.host_port or ''}:{port.container_port}"
        for port in spec.publish
    ]
    flags += [f"--env={name}={value}" for name, value in sorted(spec.env.items())]
    if spec.once:
        flags.append("--rm")
    if spec.entrypoint:
        flags.append(f"--entrypoint={spec.entrypoint}")
    if spec.network:
        flags.append(f"--network={spec.network}")
    flags += [f"--network-alias={alias}" for alias in spec.aliases]
    return [*flags, spec.image, *spec.command]


def _object(words: Sequence[str]) -> tuple[str, ...]:
    """Return what a command is about, for a message. Never what `exec` runs."""
    if words[0] == "exec":
        return tuple(word for word in words[1:3] if not word.startswith("-"))[:1]
    if words[0] == "create":
        return (words[1].removeprefix("--name="),)
    return tuple(words[1:])


def _client(info: Mapping[str, Any]) -> Mapping[str, Any]:
    client: Mapping[str, Any] = info.get("ClientInfo") or {}
    return client


def _json(text: str) -> Mapping[str, Any]:
    try:
        data: Mapping[str, Any] = goyaml.load_json(text)
    except ValueError as error:
        message = "the docker client answers something that is no JSON"
        raise PreflightError("CTO-1423", message, details=text[:500]) from error
    return data
