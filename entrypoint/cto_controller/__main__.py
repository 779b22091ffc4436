"""Starts the controller: `cto-controller`, in a pod, as its service account.

`cto-controller forward` fetches what GitHub could not deliver instead.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cto import assets, goyaml
from cto.adapters.clock import SystemClock
from cto.adapters.host import Host
from cto.adapters.kubernetes import KubeCluster, Pod
from cto.adapters.kubernetes.kubeconfig import choose_access
from cto.engine.agentsettings import Settings, parsed
from cto.engine.lock import ClusterLock
from cto.engine.watchcache import WatchCache
from cto.engine.writeguard import Gate, guarded_cluster
from cto.errors import Cancelled, ConfigError, CtoError, LockedError
from cto.ports import Access
from cto_controller import forwarding
from cto_controller.control import PAUSE_S, Controller, follow
from cto_controller.serving import Health, Metrics, log, serve
from cto_controller.tokens import AppTokens

_LEASE = "cto-controller"
# Another one may lead: it is asked again after so long.
_TURN_S = 5.0
# A pass with fifty new runs asks the API server some hundred times.
_PATIENCE_S = 30 * PAUSE_S


def main() -> int:
    """Run until SIGTERM. Without the lease it ends, and whoever has it goes on."""
    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        return _forward(os.environ, stop) if sys.argv[1:] == ["forward"] else _run(os.environ, stop)
    except Cancelled:
        return 0
    except CtoError as error:
        log("error", f"{error.code}: {error.message}", hint=error.hint)
        return 1


def _forward(environ: Mapping[str, str], stop: Flag) -> int:
    with closing(KubeCluster(_access(environ), clock=SystemClock())) as cluster:
        forwarding.run(environ, cluster, stop)
    return 0


def _run(environ: Mapping[str, str], stop: Flag) -> int:
    own = assets.root() / "templates" / "agents"
    config = Path(environ.get("CONTROLLER_CONFIG_PATH", "/config/config.yaml"))
    told = read_settings(config, own / "roles.yaml")
    health, metrics, clock = Health(_PATIENCE_S), Metrics(), SystemClock()
    server = serve(int(environ.get("PORT", "8080")), health, metrics)
    cluster = KubeCluster(_access(environ), clock=clock)
    namespace = environ.get("KUBERNETES_NAMESPACE", "cto")
    lost: list[str] = []

    def give_up(why: str) -> None:
        lost.append(why)
        stop.set()

    def lock() -> ClusterLock:
        return ClusterLock(
            cluster, clock, Host(), namespace=namespace, name=_LEASE, on_lost=give_up, stop=stop
        )

    with ExitStack() as stack:
        stack.enter_context(closing(cluster))
        held = stack.enter_context(_taken(lock, health, stop))
        live = stack.enter_context(closing(WatchCache(cluster, clock)))
        controller = Controller(
            guarded_cluster(cluster, Gate(held=held.is_held)),
            live,
            clock,
            namespace=namespace,
            settings=told,
            templates=Path(environ.get("AGENT_TEMPLATES_PATH") or own),
            github=AppTokens(cluster, environ, clock),
            metrics=metrics,
        )
        follow(live, namespace, controller.tick, health.beat, stop)
    server.shutdown()
    if lost:
        log("error", f"the lease was lost: {lost[0]}")
    return len(lost)


@contextmanager
def _taken(make: Callable[[], ClusterLock], health: Health, stop: Flag) -> Iterator[ClusterLock]:
    """Give the lease, as soon as nobody else has it: another one leads until then."""
    while True:
        health.beat()
        lock = make()
        try:
            lock.__enter__()
            health.is_ready = True
            break
        except LockedError as error:
            health.is_ready = True
            log("info", f"another one leads: {error.message}")
            if stop.wait(_TURN_S):
                raise Cancelled from None
    try:
        log("info", "this one leads now")
        yield lock
    finally:
        lock.release()


def read_settings(path: Path, roles: Path) -> Settings:
    """Return what is in a file; what it leaves open of an agent is in the other, by its name.

    Raises:
        ConfigError: CTO-1300, a file cannot be read, or has a value that will not do.
    """
    told, known = _mapping(path), _mapping(roles)
    agents = told.get("agents") or {}
    merged = {name: {**(known.get(name) or {}), **(agent or {})} for name, agent in agents.items()}
    return parsed({**told, "agents": merged}, str(path))


def _mapping(path: Path) -> dict[str, Any]:
    try:
        return dict(goyaml.load(path.read_text(encoding="utf-8")) or {})
    except (OSError, ValueError, TypeError, goyaml.YAMLError) as error:
        text = f"{path} cannot be read: {error}"
    raise ConfigError("CTO-1300", text)


def _access(environ: Mapping[str, str]) -> Access:
    """Return the way to the cluster around this pod; outside of one, that of a kubeconfig."""
    pod = Pod(environ)
    if pod.is_one:
        return pod.access()
    return choose_access([Path(environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")])


if __name__ == "__main__":
    sys.exit(main())
