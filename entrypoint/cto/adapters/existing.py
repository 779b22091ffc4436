"""Provider `existing`: somebody's cluster, by a kubeconfig and a context."""

from __future__ import annotations

import ipaddress
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cto.adapters.building import ProviderParts
from cto.adapters.host import Host
from cto.adapters.kubernetes import impersonation
from cto.adapters.kubernetes.identity import PLAIN_HINT, is_encrypted, logs_in
from cto.adapters.kubernetes.incluster import CONTEXT
from cto.adapters.kubernetes.kubeconfig import NoContextError, choose_access, named, read
from cto.errors import ApiError, UsageError
from cto.objects import all_simulated
from cto.ports import Access, Cluster, NodeOptions, ProviderState, Reach
from cto.result import Check, CheckStatus, Topic, unreachable

_KUBECONFIG = Topic("kubeconfig", "Kubeconfig")
_IDENTITY = Topic("identity", "Identity")

# Docker Desktop, and every Docker with `--add-host host.docker.internal:host-gateway`.
_HOST_NAME = "host.docker.internal"
_FILES = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}


class Existing:
    """A cluster that is there, and that we never make or remove.

    Args:
        access: From `kubeconfig.choose_access`.
        connect: Opens the API.
        host: This machine, or the container that we run in.
        search_path: Where exec plugins are looked for; PATH if None.
        in_pod: The access is that of the pod in which we run.
    """

    name: str = "existing"
    creates: bool = False
    resizes: bool = False

    def __init__(
        self,
        access: Access,
        *,
        connect: Callable[[Access], Cluster],
        host: Host,
        search_path: str | None = None,
        in_pod: bool = False,
    ) -> None:
        self._access = access
        self._connect = connect
        self._in_container = host.in_container
        self._search_path = search_path
        self._in_pod = in_pod

    @cached_property
    def simulated(self) -> bool:
        """Whether all nodes are kwok's: nothing runs in their pods."""
        try:
            # The first real one says it all.
            return all_simulated(self._connect(self._access).scan("v1", "Node", metadata=True))
        except ApiError:
            return False

    def validate(self) -> Sequence[Check]:
        problems = tuple(self._problems())
        if not problems and (refused := self._refused_identity()):
            return (refused,)
        if not problems:
            usable = self._usable()
            return (usable, unreachable(self._silence)) if self._silence else (usable,)
        return tuple(
            _KUBECONFIG.failed(message, fix=fix, code="CTO-1403") for message, fix in problems
        )

    def _usable(self) -> Check:
        entries = self._entries()
        server = str(entries["clusters"].get("server") or "")
        unsaid = not is_encrypted(server) and logs_in(entries["users"])
        return _KUBECONFIG.check(
            CheckStatus.WARNING if unsaid else CheckStatus.PASSED,
            f"{self._told}{' speaks without TLS: nobody is logged in' if unsaid else ''}",
            fix=PLAIN_HINT if unsaid else "",
        )

    def state(self) -> ProviderState:
        return ProviderState.READY

    def kept_nodes(self) -> int:
        return 0

    def kube_version(self) -> str:
        return self._connect(self._access).server_version()

    def provision(
        self,
        options: NodeOptions,  # noqa: ARG002 - the cluster is as it is
        progress: Callable[[str], None],
    ) -> Access:
        progress(f"Using {self._told}")
        return self._access

    @property
    def _told(self) -> str:
        if self._in_pod:
            return "the cluster around this pod, by its service account"
        return f"context {self._access.context} of {self._access.kubeconfig}"

    def access(self) -> Access:
        return self._access

    def reach(self) -> Reach:
        if self._in_pod:
            note = (
                "kubectl finds the cluster by itself in its pods; elsewhere with a kubeconfig of it"
            )
            return Reach(context="", is_there=False, notes=(note,))
        access = self.access()
        return Reach(context=access.context, kubeconfig=access.kubeconfig)

    def published(self) -> Mapping[int, int]:
        return {}

    def label(self, cluster: Cluster, profile: str) -> None:
        """Leave the nodes as they are: they are somebody else's."""

    def destroy(self) -> bool:
        return False

    def leftovers(self) -> Sequence[str]:
        return ()

    # what may be wrong with a kubeconfig that was mounted into a container

    def _problems(self) -> Iterator[tuple[str, str]]:
        entries = self._entries()
        yield from self._address_problems(
            entries["contexts"].get("cluster", ""), entries["clusters"]
        )
        yield from self._plugin_problems(entries["users"])
        for section in _FILES:
            yield from self._file_problems(section, entries[section])

    def _entries(self) -> dict[str, Mapping[str, Any]]:
        """Return what the kubeconfig says of the context, its cluster and its user."""
        document = read(self._access.kubeconfig)
        context = named(document, "contexts").get(self._access.context, {})
        return {
            "contexts": context,
            "clusters": named(document, "clusters").get(context.get("cluster", ""), {}),
            "users": named(document, "users").get(context.get("user", ""), {}),
        }

    def _address_problems(self, name: str, cluster: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        server = str(cluster.get("server", ""))
        host = urlsplit(server).hostname or ""
        if not (self._in_container and _is_loopback(host)) or not self._silence:
            return
        reach = f"{urlsplit(server).scheme}://{_HOST_NAME}:{urlsplit(server).port or 443}"
        certified = str(cluster.get("tls-server-name") or host)
        desktop = f"--server={reach} --tls-server-name={certified}"
        lines = (
            "One of these lines helps:",
            "  Linux: add --network host to `docker run`",
            "  kind: add --network kind, and mount what `kind get kubeconfig --internal` prints",
            f"  Docker Desktop: kubectl config set-cluster {shlex.quote(name)} {desktop}",
        )
        what = f"the API server's address {server} is this container itself, not its host"
        yield what, "\n".join(lines)

    @cached_property
    def _silence(self) -> ApiError | None:
        """Why no answer comes, if none does. Asked once: to be sure of it takes half a minute.

        Of a loopback address too: a container may well have a cluster inside itself.
        """
        # Whoever refuses a log-in is there.
        return self._refusal if self._refusal and self._refusal.is_silence else None

    @cached_property
    def _refusal(self) -> ApiError | None:
        try:
            self.kube_version()
        except ApiError as error:
            return error
        return None

    def _refused_identity(self) -> Check | None:
        """Return a failed check if the kubeconfig's user may not act as whom it names."""
        asking = impersonation.refused_user(self._refusal.message) if self._refusal else ""
        user = self._entries()["users"]
        if not (asking and self._refusal and user.get("as")):
            return None
        return _IDENTITY.failed(
            f"{asking} may not act as {user['as']}, as the kubeconfig says: "
            f"{self._refusal.message}",
            fix="Ask an administrator to `kubectl apply` what follows; or change `as`, `as-uid`, "
            "`as-groups` and `as-user-extra` of the kubeconfig's user.",
            code=self._refusal.code,
            manifests=impersonation.role_for(user, asking),
        )

    def _plugin_problems(self, user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        exec_ = user.get("exec") or {}
        command = str(exec_.get("command", ""))
        # Relative paths start at the kubeconfig's folder: client-go, ResolveLocalPaths.
        if "/" in command:
            command = str(self._access.kubeconfig.parent / command)
        if not command or shutil.which(command, path=self._search_path):
            return
        where = "in this container" if self._in_container else "on PATH"
        instead = (
            "Log in with a token instead: `kubectl create token SERVICEACCOUNT` and "
            "`kubectl config set-credentials NAME --token=...` on the host, or use an image that "
            "has the program."
        )
        hint = str(exec_.get("installHint") or "").strip()
        yield (
            f"the log-in needs the program {exec_['command']!r}, which is not {where}",
            instead if self._in_container or not hint else hint,
        )

    def _file_problems(self, section: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        folder = self._access.kubeconfig.parent
        for key in _FILES[section]:
            # The data, where there is some, comes before the file.
            if entry.get(key) and not entry.get(f"{key}-data"):
                file = folder / str(entry[key])
                if not _readable(file):
                    yield (f"{key}: {file} cannot be read from here", self._flatten_line())

    def _flatten_line(self) -> str:
        context = shlex.quote(self._access.context)
        line = f"kubectl config view --flatten --minify --raw --context {context} > cto-kubeconfig"
        if not self._in_container:
            return f"Put the file there, or its content into the kubeconfig: {line}"
        return (
            f"On the host: {line}\n"
            f'then: docker run -v "$PWD/cto-kubeconfig:{self._access.kubeconfig}" ...'
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback or host == "0.0.0.0"  # noqa: S104 - compared
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _readable(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            content.read(1)
    except OSError:
        return False
    return True


def build(parts: ProviderParts) -> Existing:
    """Return a cluster of the kubeconfig: the named one, or the only one; else that of our pod.

    Raises:
        UsageError: CTO-1201 (several contexts), CTO-1202 (none), CTO-1203 (not that one).
    """
    try:
        access, in_pod = choose_access(parts.kubeconfigs, parts.context), False
    except UsageError as error:
        if not _is_pods(parts, error):
            raise
        access, in_pod = parts.pod.access(), True
    return Existing(access, connect=parts.connect, host=parts.host, in_pod=in_pod)


def _is_pods(parts: ProviderParts, error: UsageError) -> bool:
    """Whether the cluster around us is meant: no kubeconfig was named, and none has a context."""
    if not parts.pod.is_one or parts.kubeconfig_is_named or parts.env.get("KUBECONFIG"):
        return False
    return parts.context == CONTEXT or (not parts.context and isinstance(error, NoContextError))
