"""Forwards what GitHub could not deliver, in a pod: `cto-controller forward`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

from cto import goyaml
from cto.adapters.clock import SystemClock
from cto.errors import ConfigError, CtoError
from cto.github.client import Client, api_of
from cto.github.deliveries import ListedDelivery
from cto.github.forward import PAUSE_S, Forwarder, ForwardLoop, sources
from cto.network import trust, web
from cto.objects import ObjectRef
from cto.ports import Cluster
from cto_controller.serving import Health, Metrics, log, serve

# A round asks GitHub and the receiver for each delivery.
_PATIENCE_S = 60 * PAUSE_S


@dataclass(frozen=True)
class ForwardSettings:
    """What the pod is told.

    Attributes:
        github: Which one.
        receiver: The namespace in which webhooks come in.
        apps: Agent -> the Secret with the key of its App.
    """

    github: str
    receiver: str
    apps: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> ForwardSettings:
        """Read the file.

        Raises:
            ConfigError: CTO-1300, it cannot be used.
        """
        try:
            told = goyaml.load(file.read_text(encoding="utf-8"))
            apps = {str(agent): str(secret) for agent, secret in told["apps"].items()}
            return cls(str(told["github"]), str(told["receiver"]), apps)
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            goyaml.YAMLError,
        ) as error:
            text = f"{file} cannot be used: {type(error).__name__}: {error}"
        raise ConfigError("CTO-1300", text)


def run(environ: Mapping[str, str], cluster: Cluster, stop: Flag) -> None:
    """Forward until the flag is set."""
    told = ForwardSettings.read(
        Path(environ.get("FORWARD_CONFIG_PATH", "/etc/tunnel/forward.yaml"))
    )
    namespace = environ.get("KUBERNETES_NAMESPACE", "cto")
    health = Health(_PATIENCE_S)
    server = serve(int(environ.get("PORT", "8080")), health, Metrics())
    clock = SystemClock()
    with closing(web.session(environ, verified=trust.context(environ))) as session:
        client = Client(api_of(told.github), session, clock, agent="cto-forward")
        forwarder = Forwarder(
            cluster,
            client,
            clock,
            namespace=namespace,
            receiver=told.receiver,
            notice=lambda text: log("warning", text),
        )
        apps = {name: ObjectRef("v1", "Secret", namespace, ref) for name, ref in told.apps.items()}
        loop = ForwardLoop(
            forwarder, lambda: sources(cluster, apps, told.receiver), handed=_told, say=log
        )
        while not stop.is_set():
            health.beat()
            try:
                loop.round()
                health.is_ready = True
            except CtoError as error:
                log("error", f"{error.code}: {error.message}", hint=error.hint)
            stop.wait(PAUSE_S)
    server.shutdown()
    server.server_close()


def _told(one: ListedDelivery) -> None:
    log("info", f"{one.agent}: {one.event} is handed over", delivery=one.guid)
