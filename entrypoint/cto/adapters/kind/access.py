"""How a kind cluster is reached: by us, perhaps from a container, and by the user.

In a container of the same Docker the API's address is that of the node, in the network that kind
makes. The user's kubeconfig gets the one that Docker publishes on the loopback address.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from cto.adapters.docker import LOOPBACK, DockerContainer, Engine, KnownContainers
from cto.adapters.host import Host
from cto.adapters.kubernetes.kubeconfig import Entry, SharedFile, named
from cto.adapters.replacing import replace_file, sweep
from cto.errors import PreflightError
from cto.objects import dump_yaml, load_yaml
from cto.ports import Access, Clock, Reach
from cto.storage import unwritable

NETWORK = "kind"
API_PORT = 6443
_TO_GET = Path("cto-kubeconfig")


class KindAccess:
    """Kubeconfig files of one cluster.

    Args:
        print_kubeconfig: Returns what `kind get kubeconfig` prints.
        folder: Where our own kubeconfig is kept.
        spare: Returns where it is instead, for this run, if that cannot be written; None: nowhere.
        shared: The user's kubeconfig.
        beside: Other files that kubectl reads together with the user's.
        usual: Whether kubectl finds that file by itself.
        owner: User and group of the user's file, should it have to be made.
        make_current: Make it the current context, though there is another one.
    """

    def __init__(
        self,
        engine: Engine,
        print_kubeconfig: Callable[[], str],
        *,
        cluster: str,
        clock: Clock,
        host: Host,
        folder: Path,
        shared: Path,
        beside: Sequence[Path] = (),
        usual: bool,
        owner: tuple[int, int] | None = None,
        make_current: bool = False,
        spare: Callable[[], Path] | None = None,
    ) -> None:
        self._engine = engine
        self._print_kubeconfig = print_kubeconfig
        self._cluster = cluster
        self._clock = clock
        self._host = host
        self._folder = folder
        self._shared = Path(os.path.abspath(shared))  # noqa: PTH100 - a link stays a link
        self._beside = tuple(beside)
        self._usual = usual
        self._owner = owner
        self._make_current = make_current
        self._spare = spare
        self._written: Access | None = None
        self._is_shared = True
        self._notes: tuple[str, ...] = ()

    @property
    def context(self) -> str:
        return f"kind-{self._cluster}"

    def open(self) -> Access:
        """Return our own way in, with our container in the cluster's network if it has to be."""
        if self._written is None:
            self._written = self._write()
        return self._written

    def reach(self, control_plane: DockerContainer) -> Reach:
        """Return how the user gets there, after `share` with what came of that."""
        ports = published(control_plane)
        if not self._is_shared:
            # As kubeadm names it in the file that is then to be got.
            context = f"kubernetes-admin@{self._cluster}"
            return Reach(
                context=context, kubeconfig=_TO_GET, is_there=False, notes=self._notes, ports=ports
            )
        return Reach(
            context=self.context,
            kubeconfig=None if self._usual else self._shared,
            found_in=self._shared,
            notes=self._notes,
            ports=ports,
        )

    def share(self, control_plane: DockerContainer) -> None:
        """Put the cluster into the user's kubeconfig; if that cannot be, `reach` tells why."""
        new = not self._shared.exists()
        why = self._merge()
        self._is_shared = not why
        self._notes = ()
        if why:
            self._notes = (why, self._instead(control_plane.bindings.get(API_PORT, 0)))
        elif new and self._host.in_container and self._is_roots_unasked():
            mine = '"$(id -u):$(id -g)"'
            self._notes = (f"The new kubeconfig belongs to root: sudo chown -R {mine} ~/.kube",)

    def _is_roots_unasked(self) -> bool:
        wanted = self._owner[0] if self._owner else None
        return self._shared.stat().st_uid == 0 and wanted != 0

    def _merge(self) -> str:
        """Return why the user's kubeconfig has no entry of ours; '' if it has."""
        try:
            merged = self._shared_file().merge(self._outer, make_current=self._make_current)
        except PreflightError as error:
            return f"{error.message} ({error.code}). {error.hint}"
        text = f"{self._shared} has a context {self.context} that is not cto's, and keeps it"
        return "" if merged else text

    def unshare(self) -> None:
        """Take our entry out of the user's kubeconfig, and our own file away.

        Raises:
            PreflightError: CTO-1403, CTO-1404, the user's file cannot be written.
        """
        self._written = None
        self._file.unlink(missing_ok=True)
        sweep(self._file)
        self._shared_file().remove(self.context)

    # files

    def _shared_file(self) -> SharedFile:
        return SharedFile(
            self._shared,
            self._clock,
            self._host,
            owner=self._owner,
            containers=KnownContainers(self._engine),
            beside=self._beside,
        )

    @property
    def _file(self) -> Path:
        return self._folder / "kubeconfig"

    def _write(self) -> Access:
        entry = self._inner() if self._enter_network() else self._outer
        return Access(self._put(dump_yaml(entry.document())), self.context)

    def _put(self, text: str) -> Path:
        """Write our own kubeconfig; who only looks may have a temporary folder alone."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._file, text)
        except OSError as error:
            if self._spare is None:
                raise unwritable(self._file, error) from error
            file = self._spare() / self._file.name
            replace_file(file, text)
            return file
        return self._file

    def _enter_network(self) -> bool:
        """Connect our container to the nodes' network; False if the loopback address leads there.

        A container with the host's network has no other, and needs none.
        """
        own = self._engine.own()
        if own is None or "host" in own.networks:
            return False
        if "none" in own.networks:
            # Docker connects no container to a network as long as it is in this one.
            self._engine.disconnect("none", own.id)
        self._engine.connect(NETWORK, own.id)
        return True

    @cached_property
    def _outer(self) -> Entry:
        """The address on the loopback address of Docker's host, and the credentials."""
        document = load_yaml(self._print_kubeconfig())
        cluster = named(document, "clusters").get(self.context)
        user = named(document, "users").get(self.context)
        if cluster is None or user is None:
            raise PreflightError("CTO-1403", f"kind knows no kubeconfig of {self._cluster}")
        return Entry(self.context, cluster, user)

    def _inner(self) -> Entry:
        outer = self._outer
        server = f"https://{self._cluster}-control-plane:{API_PORT}"
        return Entry(self.context, {**outer.cluster, "server": server}, outer.user)

    def _instead(self, port: int) -> str:
        address = f"s#server: .*#server: https://{LOOPBACK}:{port}#"
        node = f"{self._cluster}-control-plane"
        return (
            "to get a kubeconfig: docker exec "
            f"{node} sed {shlex.quote(address)} /etc/kubernetes/admin.conf > {_TO_GET}"
        )


def published(control_plane: DockerContainer) -> dict[int, int]:
    """Return port of every node -> port of localhost, without the API server's."""
    return {node: host for node, host in control_plane.bindings.items() if node != API_PORT}


def owner_of(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Return who CTO_HOST_UID (UID or UID:GID) says that new files belong to.

    Raises:
        PreflightError: CTO-1400, it says something else.
    """
    text = environ.get("CTO_HOST_UID", "")
    if not text:
        return None
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or not (gid or uid).isdecimal():
        hint = 'Give numbers: -e CTO_HOST_UID="$(id -u):$(id -g)"'
        raise PreflightError("CTO-1400", f"CTO_HOST_UID is {text!r}", hint=hint)
    return int(uid), int(gid or uid)
