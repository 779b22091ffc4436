"""Provider `kwok`: a real API server, scheduler and controllers with simulated nodes.

Nothing runs in its pods, and no image is pulled: https://kwok.sigs.k8s.io/. kwokctl makes the
cluster from local programs and ends; its daemons have sessions of their own and stay.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cto.adapters.host import Host, Process
from cto.adapters.kubernetes.kubeconfig import Entry, SharedFile, named, read
from cto.adapters.kwok.checks import Programs, all_ready, by_name, established, tools_check
from cto.adapters.kwok.config import (
    NEEDED_TOOLS,
    OUR_NODES,
    PROGRAMS,
    configuration,
    free_ports,
    node,
)
from cto.adapters.kwok.lock import exclusive
from cto.adapters.replacing import replace_file
from cto.errors import ApiError, ToolError, WaitError
from cto.objects import Manifest, dump_yaml
from cto.ports import Access, Clock, Cluster, NodeOptions, ProviderState, Reach, Runner
from cto.result import Check
from cto.storage import is_there

# Measured: 3 s on two cores. kwokctl itself would wait two minutes for an API server that died.
_CREATE_TIMEOUT_S = 90.0
# Seconds on a quiet machine; on one whose processors are wanted by many, a minute was seen.
_READY_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 10.0
_POLL_S = 0.1


class Kwok:
    """Makes, repairs, starts and removes one simulated cluster.

    Everything lies in one folder. A marker in it is written last: a folder without it is a
    half-made cluster, which is removed and made again.

    Args:
        runner: Starts kwokctl.
        tools: Where the programs are.
        clock: For waits.
        host: Whose processes the daemons are.
        connect: Opens the API.
        manifests: Returns stages and other objects that a new cluster gets.
        folder: Where everything is kept.
        shared: The user's kubeconfig file that gets an entry.
        beside: Other files that kubectl reads together with it.
        cluster: The cluster's name.
        environ: The installer's environment.
        ports: Returns that many free ports of the loopback address.
    """

    name: str = "kwok"
    simulated: bool = True
    creates: bool = True
    resizes: bool = True

    def __init__(
        self,
        *,
        runner: Runner,
        tools: Programs,
        clock: Clock,
        host: Host,
        connect: Callable[[Access], Cluster],
        manifests: Callable[[], Sequence[Manifest]],
        folder: Path,
        shared: Path | None,
        beside: Sequence[Path] = (),
        cluster: str = "cto",
        environ: Mapping[str, str] | None = None,
        ports: Callable[[int], Sequence[int]] = free_ports,
    ) -> None:
        self._runner = runner
        self._tools = tools
        self._clock = clock
        self._host = host
        self._connect = connect
        self._manifests = manifests
        # Processes are recognized by this path in their command lines.
        self.folder = Path(os.path.realpath(folder))
        self._shared = shared
        self._beside = tuple(beside)
        self._cluster = cluster
        self._environ = environ or {}
        self._ports = ports
        self._work = self.folder / "clusters" / cluster
        self._marker = self.folder / "complete.json"
        self._merged = self.folder / "merged.json"

    # ports.Provider

    def validate(self) -> Sequence[Check]:
        return (tools_check(self._tools),)

    def state(self) -> ProviderState:
        processes = tuple(self._processes())
        if not processes and not self._files():
            return ProviderState.ABSENT
        if not self._marker.exists():
            return ProviderState.PARTIAL
        running = {Path(process.argv[0]).name for process in processes}
        return ProviderState.READY if running >= set(PROGRAMS) else ProviderState.STOPPED

    def kept_nodes(self) -> int:
        return 0

    def kube_version(self) -> str:
        if self.state() is ProviderState.READY:
            with closing(self._connect(self.access())) as cluster:
                return cluster.server_version()
        if self._tools.is_given("kube-apiserver"):
            argv = [str(self._tools.path("kube-apiserver")), "--version"]
            return self._runner.run(argv, timeout_s=30).stdout.split()[-1]
        return f"v{self._tools.version('kube-apiserver')}"

    def provision(self, options: NodeOptions, progress: Callable[[str], None]) -> Access:
        with exclusive(self.folder):
            match self.state():
                case ProviderState.READY:
                    pass
                case ProviderState.STOPPED:
                    self._start(progress)
                case ProviderState.ABSENT | ProviderState.PARTIAL:
                    self._clear()
                    with self._nothing_left_running():
                        self._create(progress)
            self._add_nodes(options, progress)
            self._share(progress)
            if not self._marker.exists():
                replace_file(self._marker, json.dumps({"version": 1}))
        return self.access()

    def access(self) -> Access:
        return Access(self.folder / "kubeconfig", self._context)

    def reach(self) -> Reach:
        access = self.access()
        return Reach(context=access.context, kubeconfig=access.kubeconfig)

    def published(self) -> Mapping[int, int]:
        return {}

    def label(self, cluster: Cluster, profile: str) -> None:
        """Leave simulated nodes as they are: nothing ever runs on them."""

    def destroy(self) -> bool:
        if not is_there(self.folder) and not any(self._processes()):
            return False
        with exclusive(self.folder):
            self._unshare()
            self._clear()
            self._merged.unlink(missing_ok=True)
            (self.folder / "lock").unlink()
        # Another installer may have begun anew at this very moment: then the folder is its own.
        with suppress(OSError):
            self.folder.rmdir()
            for parent in self.folder.parents[:2]:
                if parent.name in ("kwok", "cto"):
                    parent.rmdir()
        return True

    def leftovers(self) -> Sequence[str]:
        return ()

    # making

    def _create(self, progress: Callable[[str], None]) -> None:
        version = self._tools.version("kube-apiserver")
        paths = {name: self._tools.path(name) for name in NEEDED_TOOLS}
        progress(f"Starting etcd and Kubernetes {version} with simulated nodes")
        config = self.folder / "kwokctl.yaml"
        settings = configuration(paths, f"v{version}", self._ports(len(PROGRAMS) + 1))
        replace_file(config, dump_yaml(settings))
        self._kwokctl("create", "cluster", "--config", str(config), "--kubeconfig", "")
        entry = self._entry()
        replace_file(self.access().kubeconfig, dump_yaml(entry.document()))
        with closing(self._connect(self.access())) as cluster:
            self._wait_for(lambda: established(cluster), "the definitions of simulated objects")
            for manifest in self._manifests():
                cluster.apply(manifest)

    def _start(self, progress: Callable[[str], None]) -> None:
        progress(f"Starting the stopped cluster {self._cluster} again")
        alive = {str(process.pid) for process in self._processes()}
        for file in (self._work / "pids").glob("*.pid"):
            # After a reboot the number may be another program's, and kwokctl would believe it.
            if file.read_text(encoding="utf-8").strip() not in alive:
                file.unlink()
        for program, tool in PROGRAMS.items():
            link = self._work / "bin" / program
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(self._tools.path(tool))
        self._kwokctl("start", "cluster")
        with closing(self._connect(self.access())) as cluster:
            self._wait_for(lambda: bool(cluster.server_version()), "the API server")

    def _kwokctl(self, *arguments: str) -> None:
        argv = [str(self._tools.path("kwokctl")), *arguments, "--name", self._cluster]
        # Settings of the user's own kwok clusters are not for this one.
        foreign: dict[str, str | None] = dict.fromkeys(
            name for name in self._environ if name.startswith("KWOK_")
        )
        env = {
            **foreign,
            "KWOK_WORKDIR": str(self.folder),
            "KWOK_KUBE_VERSION": f"v{self._tools.version('kube-apiserver')}",
            "KWOK_KUBECTL_BINARY": str(self._tools.path("kubectl")),
            "KUBECACHEDIR": str(self.folder / "discovery"),
        }
        try:
            self._runner.run(argv, timeout_s=_CREATE_TIMEOUT_S, env=env)
        except (ToolError, WaitError) as error:
            raise self._failed(str(error), error.details) from error

    def _add_nodes(self, options: NodeOptions, progress: Callable[[str], None]) -> None:
        wanted = [f"{self._cluster}-{number}" for number in range(1, options.nodes + 1)]
        with closing(self._connect(self.access())) as cluster:
            ours = cluster.list_metadata("v1", "Node", labels=OUR_NODES)
            there = by_name(cluster, ours, wanted)
            missing = [name for name in wanted if name not in there]
            if missing:
                progress(f"Adding {len(missing)} simulated node{'s' if len(missing) > 1 else ''}")
            for name in missing:
                cluster.create(node(name, options))
            self._wait_for(lambda: all_ready(cluster, wanted), "the simulated nodes")

    def _wait_for(self, done: Callable[[], bool], what: str) -> None:
        end = self._clock.monotonic() + _READY_TIMEOUT_S
        last = ""
        while self._clock.monotonic() < end:
            try:
                if done():
                    return
            except ApiError as error:
                last = str(error)
            self._clock.wait(Flag(), _POLL_S)
        text = f"{what[0].upper()}{what[1:]} did not become ready in {_READY_TIMEOUT_S:.0f} s"
        raise self._failed(text, last)

    def _failed(self, message: str, details: str) -> ToolError:
        logs = self._work / "logs"
        return ToolError(
            "CTO-1504",
            message,
            details="\n".join(filter(None, (details, *_last_lines(logs)))),
            hint=f"The logs are in {logs}. The same command again repairs the cluster.",
        )

    @contextmanager
    def _nothing_left_running(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._end_processes()
            raise

    # kubeconfig

    @property
    def _context(self) -> str:
        return f"kwok-{self._cluster}"

    def _entry(self) -> Entry:
        """Return what kwokctl wrote, with the certificates inside instead of beside it."""
        document = read(self._work / "kubeconfig.yaml")
        cluster = named(document, "clusters")[self._context]
        user = named(document, "users")[self._context]
        return Entry(self._context, _embedded(cluster), _embedded(user))

    def _share(self, progress: Callable[[str], None]) -> None:
        if self._shared is None:
            return
        file = Path(os.path.abspath(self._shared))  # noqa: PTH100 - a link stays a link
        merged = self._merged_files()
        # Written first: what was merged must be found again, whatever happens in between.
        replace_file(self._merged, json.dumps({str(file): not file.exists(), **merged}))
        shared = SharedFile(file, self._clock, self._host, beside=self._beside)
        if not shared.merge(self._entry()):
            progress(
                f"{file} has a context {self._context} that is not ours, and keeps it: "
                f"use KUBECONFIG={self.access().kubeconfig}"
            )

    def _unshare(self) -> None:
        for name, created in self._merged_files().items():
            shared = SharedFile(Path(name), self._clock, self._host)
            shared.remove(self._context, delete_empty=created)

    def _merged_files(self) -> dict[str, bool]:
        if not self._merged.exists():
            return {}
        data: dict[str, bool] = json.loads(self._merged.read_text(encoding="utf-8"))
        return data

    # ending

    def _files(self) -> tuple[Path, ...]:
        if not is_there(self.folder):
            return ()
        return tuple(path for path in self.folder.iterdir() if path.name != "lock")

    def _clear(self) -> None:
        """End every process and remove every file, but the lock and what must be undone later.

        The marker goes first.
        """
        self._marker.unlink(missing_ok=True)
        self._end_processes()
        for path in self._files():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self._merged:
                path.unlink()

    def _processes(self) -> Iterator[Process]:
        """Yield the cluster's daemons, and a kwokctl that works on it."""
        inside = f"{self.folder}/"
        for process in self._host.processes():
            program = Path(process.argv[0]).name
            if process.argv[0].startswith(inside) or (
                # The runner starts programs through setpriv.
                program in ("kwokctl", "setpriv")
                and any(Path(argument).name == "kwokctl" for argument in process.argv)
                and any(argument.startswith(inside) for argument in process.argv)
            ):
                yield process

    def _end_processes(self) -> None:
        end = self._clock.monotonic() + _END_TIMEOUT_S
        while processes := tuple(self._processes()):
            if self._clock.monotonic() >= end:
                pids = ", ".join(str(process.pid) for process in processes)
                raise ToolError("CTO-1504", f"Processes of {self.folder} do not end: {pids}")
            for process in processes:
                # Nothing to save: what they work on is about to be removed.
                self._host.end(process, force=True)
            self._clock.wait(Flag(), _POLL_S / 4)


def _embedded(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Replace file names by the files' content."""
    files = ("certificate-authority", "client-certificate", "client-key")
    return {
        (f"{key}-data" if key in files else key): (
            base64.b64encode(Path(value).read_bytes()).decode() if key in files else value
        )
        for key, value in entry.items()
    }


def _last_lines(logs: Path, count: int = 3) -> Iterator[str]:
    for file in sorted(logs.glob("*.log")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from (f"{file.stem}: {line[:300]}" for line in lines[-count:])
