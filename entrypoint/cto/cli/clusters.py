"""Which cluster a command works on, and the provider that is made of containers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cto.adapters.kwok import Kwok
from cto.cli.bundled import KIND
from cto.engine.lock import ClusterLock
from cto.errors import CtoError, LockedError, UsageError
from cto.ports import Provider, ProviderState

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring

KWOK = "kwok"
EXISTING = "existing"
NAME = "cto"
_BOTH_LINES = (
    "Make a cluster: docker run --rm -v ~/.kube:/root/.kube "
    "-v /var/run/docker.sock:/var/run/docker.sock IMAGE install\n"
    "or use yours: docker run --rm -v ~/.kube:/root/.kube IMAGE install\n"
    "(if its API server is at 127.0.0.1, as with kind: --network host before IMAGE)\n"
    "(without a container: start Docker, name a kubeconfig with --kubeconfig FILE, or try it with "
    "simulated nodes: --provider kwok)"
)


def kwok(wiring: Wiring) -> Kwok:
    """Return the provider of simulated clusters."""
    return Kwok(
        runner=wiring.runner,
        tools=wiring.tools,
        clock=wiring.clock,
        host=wiring.host,
        connect=wiring.connect,
        manifests=wiring.simulation,
        folder=wiring.state / KWOK / NAME,
        shared=wiring.kubeconfigs()[0],
        environ=wiring.env,
    )


def chosen(wiring: Wiring) -> Provider:
    """Return where the cluster of an installation comes from.

    What was named; else kind, where there is a Docker; else the kubeconfig's only context.

    Raises:
        UsageError: CTO-1201 (several contexts), CTO-1202 (nothing to choose from), CTO-1203.
    """
    wish = wiring.loaded.config.cluster
    provider = wish.provider.value if wish.provider else ""
    if not provider and not _names_existing(wiring, wish.context or ""):
        provider = KIND if has_docker(wiring.env, wiring.docker_socket) else ""
    return _named(wiring, provider, wish.context or "")


def there(wiring: Wiring) -> Provider:
    """Return the cluster that is there, for verbs that need no configuration.

    A Docker without a cluster of ours is no reason not to look into the kubeconfig.
    """
    flags = _flags(wiring)
    provider = flags.get("cluster.provider") or wiring.env.get("CTO_CLUSTER__PROVIDER", "")
    context = flags.get("cluster.context", "")
    if not provider and not _names_existing(wiring, context) and _is_made(wiring):
        provider = KIND
    return _named(wiring, provider, context)


def made(wiring: Wiring) -> Provider:
    """Return the provider whose cluster is to be deleted.

    Raises:
        UsageError: CTO-1206, there are two and none is named.
    """
    provider = _flags(wiring).get("cluster.provider") or wiring.env.get("CTO_CLUSTER__PROVIDER", "")
    if provider == EXISTING:
        raise UsageError("CTO-1200", "cto deletes no cluster that it did not make")
    if not provider:
        in_docker = _is_made(wiring)
        simulated = wiring.kwok.state() is not ProviderState.ABSENT
        if in_docker and simulated:
            raise UsageError("CTO-1206", "cto has made two clusters, and none is named")
        # Without a cluster there may be what a killed run made before one.
        docker = in_docker or has_docker(wiring.env, wiring.docker_socket)
        provider = KIND if docker and not simulated else KWOK
    return wiring.kind if provider == KIND else wiring.kwok


def refuse_busy(wiring: Wiring, provider: Provider, notice: Callable[[str], None]) -> None:
    """Refuse to delete a cluster that an installer works on.

    A cluster whose API does not answer has no lock to look at, and must be removable.

    Raises:
        LockedError: CTO-2000, naming the installer that is alive.
    """
    with ExitStack() as stack:
        try:
            if provider.state() is not ProviderState.READY:
                return
            cluster = wiring.connect(provider.access())
            stack.callback(getattr(cluster, "close", lambda: None))
            ClusterLock(cluster, wiring.clock, wiring.host, notice=notice).refuse_living()
        except LockedError:
            raise
        except CtoError:
            return


def has_docker(env: Mapping[str, str], socket: Path) -> bool:
    """Tell whether there is a Docker, or somebody says so. It may well not answer."""
    if env.get("DOCKER_HOST") or env.get("DOCKER_CONTEXT") or socket.exists():
        return True
    folder = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # Docker Desktop and rootless Docker name their socket in a context.
    return isinstance(config, dict) and config.get("currentContext", "default") != "default"


def cluster_name(wiring: Wiring) -> str:
    """Return the name of the cluster that is made."""
    given = _flags(wiring).get("cluster.name") or wiring.env.get("CTO_CLUSTER__NAME")
    if given:
        return given
    # Verbs without a configuration must not need a right one.
    return wiring.loaded.config.cluster.name if wiring.options.files else NAME


def _named(wiring: Wiring, provider: str, context: str) -> Provider:
    match provider:
        case "kwok":
            return wiring.kwok
        case "kind":
            return wiring.kind
        case _:
            return _existing(wiring, context)


def _existing(wiring: Wiring, context: str) -> Provider:
    try:
        return wiring.take_existing(context)
    except UsageError as error:
        if error.code == "CTO-1202":
            error.hint = _BOTH_LINES
        raise


def _names_existing(wiring: Wiring, context: str) -> bool:
    """Whether a context or a kubeconfig was named, and so a cluster that is there."""
    named = (wiring.options.kubeconfig, wiring.env.get("CTO_KUBECONFIG"), context)
    return any(named) or bool(wiring.env.get("CTO_CONTEXT"))


def _is_made(wiring: Wiring) -> bool:
    """Whether there is a cluster of ours in Docker; no, where no Docker answers."""
    if not has_docker(wiring.env, wiring.docker_socket):
        return False
    try:
        return wiring.kind.state() is not ProviderState.ABSENT
    except CtoError:
        return False


def _flags(wiring: Wiring) -> Mapping[str, str]:
    return {path: value for path, (_, value) in wiring.options.flags.items()}
