"""Which cluster a command works on, and the provider that is made of containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cto import goyaml, storage
from cto.adapters.docker import folder_of
from cto.adapters.kubernetes import CONTEXT, Existing
from cto.adapters.kubernetes.kubeconfig import NoContextError, choose_access
from cto.adapters.kwok import Kwok
from cto.cli import ownimage
from cto.cli.bundled import KIND
from cto.cli.streams import piped
from cto.errors import ApiError, CtoError, LockedError, PreflightError, UsageError
from cto.ports import Provider, ProviderState

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring
    from cto.config.sections import ClusterSettings

KWOK = "kwok"
EXISTING = "existing"
NAME = "cto"
_START = "`cto install --provider kwok` starts it again, and goes on; its data is kept."
_BOTH_LINES = (
    "Make a cluster: docker run --rm -v ~/.kube:/root/.kube "
    "-v /var/run/docker.sock:/var/run/docker.sock {image} install\n"
    "or use yours: docker run --rm -v ~/.kube:/root/.kube {image} install\n"
    "(if its API server is at 127.0.0.1, as with kind: --network host before {image})\n"
    "(without a container: start Docker, name a kubeconfig with --kubeconfig FILE, or try it with "
    "simulated nodes: --provider kwok)"
)


def kwok(wiring: Wiring) -> Kwok:
    """Return the provider of simulated clusters."""
    kubeconfig, *beside = wiring.kubeconfigs()
    return Kwok(
        runner=wiring.runner,
        tools=wiring.tools,
        clock=wiring.clock,
        host=wiring.host,
        connect=wiring.connect,
        manifests=wiring.simulation,
        folder=wiring.state / KWOK / NAME,
        shared=kubeconfig,
        beside=beside,
        environ=wiring.env,
    )


def wish(wiring: Wiring) -> ClusterSettings:
    """Return what flags, environment, files and profile say about the cluster, to every verb.

    Raises:
        ConfigError: CTO-1300, CTO-1301.
    """
    if "loaded" in vars(wiring):
        return wiring.loaded.config.cluster
    from cto.config.load import load_cluster  # noqa: PLC0415 - as slow to import as all of it

    return load_cluster(
        flags=wiring.options.values,
        env=wiring.env,
        files=wiring.options.files,
        profiles=wiring.root / "profiles",
        stdin=piped,
    )


def chosen(wiring: Wiring) -> Provider:
    """Return where the cluster of an installation comes from.

    What was named; else kind, where there is a Docker; else the kubeconfig's only context.

    Raises:
        UsageError: CTO-1201 (several contexts), CTO-1202 (nothing to choose from), CTO-1203.
        PreflightError: CTO-1403, it is a simulated cluster of ours that is stopped.
    """
    provider = _resolved(wiring, lambda: has_docker(wiring.env, wiring.docker_socket))
    if provider.name == EXISTING and (told := _stopped(wiring, provider)):
        raise PreflightError("CTO-1403", told, hint=_START)
    return provider


def there(wiring: Wiring) -> Provider:
    """Return the cluster that is there, for verbs that need no configuration.

    A Docker without a cluster of ours is no reason not to look into the kubeconfig.

    Raises:
        UsageError: As above; also CTO-1202, no simulated cluster was made.
        ApiError: CTO-1601, it is stopped.
    """
    provider = _resolved(wiring, lambda: _is_made(wiring))
    if told := _stopped(wiring, provider):
        raise ApiError("CTO-1601", told, hint=_START)
    return provider


def _stopped(wiring: Wiring, provider: Provider) -> str:
    """Say that a simulated cluster of ours does not run, by whatever way it was named.

    Raises:
        UsageError: CTO-1202, it was named, and there is none.
    """
    by_context = provider.name == EXISTING and provider.access().context == f"{KWOK}-{NAME}"
    if not (by_context or provider.name == KWOK):
        return ""
    match wiring.kwok.state():
        case ProviderState.ABSENT if not by_context:
            hint = "`cto install --provider kwok` makes one. Another state folder: CTO_STATE_DIR."
            raise UsageError("CTO-1202", "there is no simulated cluster of cto", hint=hint)
        case ProviderState.STOPPED if not _answers(wiring, provider):
            return (
                f"the simulated cluster {KWOK}-{NAME} is stopped: its programs do not run, as "
                "after a restart of the machine"
            )
        case ProviderState.PARTIAL:
            return f"the simulated cluster {KWOK}-{NAME} was not made to its end"
        case _:
            return ""


def _answers(wiring: Wiring, provider: Provider) -> bool:
    """Tell whether its API server runs: what else is away is told by whoever misses it."""
    cluster = wiring.connect(provider.access())
    try:
        cluster.server_version()
    except ApiError:
        return False
    finally:
        close(cluster)
    return True


def made(wiring: Wiring) -> Provider:
    """Return the provider whose cluster is to be deleted.

    Raises:
        UsageError: CTO-1200, somebody else's was named; CTO-1206, there are two and none is named.
    """
    named = wiring.wish
    ours = {f"{KIND}-{named.name}": KIND, f"{KWOK}-{NAME}": KWOK}
    provider: str = named.provider or (ours.get(named.context, EXISTING) if named.context else "")
    if provider == EXISTING:
        which = (
            f": context {named.context!r} was named"
            if named.context
            else ": the provider is existing"
        )
        hint = (
            "`cto uninstall` without --cluster takes the platform away and leaves the cluster. A "
            "cluster that cto made goes with `--cluster --provider kind` or `--provider kwok`."
        )
        text = f"cto deletes no cluster that it did not make, as --cluster would{which}"
        raise UsageError("CTO-1200", text, hint=hint)
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
            wiring.lock(cluster, notice=notice).refuse_living()
        except LockedError:
            raise
        except CtoError:
            return


def has_docker(env: Mapping[str, str], socket: Path) -> bool:
    """Tell whether there is a Docker, or somebody says so. It may well not answer."""
    if env.get("DOCKER_HOST") or env.get("DOCKER_CONTEXT") or storage.is_there(socket):
        return True
    try:
        config = goyaml.load_json((folder_of(env) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # Docker Desktop and rootless Docker name their socket in a context.
    return isinstance(config, dict) and config.get("currentContext", "default") != "default"


def _resolved(wiring: Wiring, is_kind: Callable[[], bool]) -> Provider:
    """Return what was named; else kind, if it is; else what the kubeconfig has."""
    named = wiring.wish
    provider: str = named.provider or ""
    context = named.context or ""
    if not provider and not _names_existing(wiring, context) and is_kind():
        provider = KIND
    match provider:
        case "kwok":
            return wiring.kwok
        case "kind":
            return wiring.kind
        case _:
            return _existing(wiring, context)


def _existing(wiring: Wiring, context: str) -> Existing:
    """Return a cluster of the kubeconfig: the named one, or the only one; else that of our pod."""
    try:
        access = choose_access(wiring.kubeconfigs(), context)
    except UsageError as error:
        if _is_pods(wiring, context, error):
            return _around(wiring)
        if not isinstance(error, NoContextError):
            raise
        hint = _BOTH_LINES.format(image=ownimage.name(wiring))
        raise UsageError(error.code, error.message, hint=hint) from error
    return Existing(access, connect=wiring.connect, host=wiring.host)


def _around(wiring: Wiring) -> Existing:
    access = wiring.pod.access()
    return Existing(access, connect=wiring.connect, host=wiring.host, in_pod=True)


def _is_pods(wiring: Wiring, context: str, error: UsageError) -> bool:
    """Whether the cluster around us is meant: no kubeconfig was named, and none has a context."""
    if not wiring.pod.is_one or any(map(wiring.env.get, ("CTO_KUBECONFIG", "KUBECONFIG"))):
        return False
    if wiring.options.kubeconfig:
        return False
    return context == CONTEXT or (not context and isinstance(error, NoContextError))


def _names_existing(wiring: Wiring, context: str) -> bool:
    """Whether a context or a kubeconfig was named, and so a cluster that is there."""
    return any((wiring.options.kubeconfig, wiring.env.get("CTO_KUBECONFIG"), context))


def _is_made(wiring: Wiring) -> bool:
    """Whether there is a cluster of ours in Docker; no, where no Docker answers."""
    if not has_docker(wiring.env, wiring.docker_socket):
        return False
    try:
        return wiring.kind.state() is not ProviderState.ABSENT
    except CtoError:
        return False


def close(cluster: object) -> None:
    """End the connections of a cluster, if it has any."""
    end = getattr(cluster, "close", None)
    if end:
        end()
