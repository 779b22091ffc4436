"""The real Sensor program and the real event bus, as processes, for an installed Sensor.

No kubelet is needed: the programs get what the controller of Argo Events would give their pods.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from cto.objects import dump_yaml, load_yaml
from fakes import sensor
from fakes.certificates import server_side
from fakes.programs import program
from fakes.webserver import free_port

from .conftest import Lab

READY_S = 60.0
_STREAM = "maxMsgs: 10000\nmaxAge: 1h\nmaxBytes: -1\nreplicas: 1\nduplicates: 300s\n"


def waited(what: str, is_so: Callable[[], object], seconds: float = READY_S) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"after {seconds:.0f} s: {what}"
        time.sleep(0.2)


@dataclass
class Bus:
    """An event bus, and a Sensor that hears it."""

    lab: Lab
    folder: Path
    port: int = field(default_factory=free_port)
    lives: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        server_side(self.folder)
        pem = str(self.folder / "server.pem")
        words = ["-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port)]
        tls = ["--tls", "--tlscert", pem, "--tlskey", pem]
        self._run([str(program("nats-server")), *words, *tls], {})
        waited("the bus does not listen", self._listens)
        self.start_sensor()

    def start_sensor(self) -> subprocess.Popen[bytes]:
        """Start the Sensor's program with the token of its account, and wait until it hears."""
        kubectl = self.lab.kubectl
        found = json.loads(kubectl("get", "sensor", "flow", "-n", "argo-events", "-o", "json"))
        account = found["spec"]["template"]["serviceAccountName"]
        token = kubectl("create", "token", account, "-n", "argo-events").strip()
        kubeconfig = load_yaml((self.lab.folder / "kubeconfig").read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        (self.folder / "kubeconfig").write_text(dump_yaml(kubeconfig))
        bus = {"jetstream": {"url": f"nats://127.0.0.1:{self.port}", "streamConfig": _STREAM}}
        env = {
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "SENSOR_OBJECT": _packed(found),
            "EVENTBUS_CONFIG": _packed(bus),
            "EVENTBUS_SUBJECT": "eventbus-argo-events",
            "POD_NAME": "flow-sensor-0",
        }
        made = self._run([str(program("argo-events")), "sensor-service"], env)
        wanted = sensor.subscriptions(found)
        waited("the Sensor hears nothing", lambda: self.said("Subscribing to") >= wanted)
        return made

    def said(self, words: str) -> int:
        """Return how often the Sensor that runs now said something."""
        return (self.folder / self._log).read_text(errors="replace").count(words)

    @property
    def _log(self) -> str:
        return f"{len(self.lives)}.log"

    def publish(self, event: Mapping[str, Any], entry: str = "org") -> None:
        """Put on the bus what the event source makes of a delivery."""
        about = {"specversion": "1.0", "id": uuid4().hex, "type": "github", "source": "github"}
        kind = {"subject": entry, "datacontenttype": "application/json", "data": event}
        text = json.dumps({**about, **kind, "time": "2030-01-01T00:00:00Z"}).encode()
        with self._connection() as connection:
            head = f"PUB default.github.{entry} {len(text)}\r\n".encode()
            connection.sendall(head + text + b"\r\nPING\r\n")
            answer = b""
            while b"PONG" not in answer:
                answer += connection.recv(4096)

    @contextmanager
    def _connection(self) -> Iterator[ssl.SSLSocket]:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        plain.recv(4096)  # who it is, before TLS
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as connection:
            connection.sendall(b'CONNECT {"verbose": false, "tls_required": true}\r\n')
            yield connection

    def _listens(self) -> bool:
        try:
            with self._connection():
                return True
        except OSError:
            return False

    def _run(self, argv: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{len(self.lives) + 1}.log").open("w") as file:
            made = subprocess.Popen(
                argv,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.lives.append(made)
        return made

    def stop(self) -> None:
        for life in self.lives:
            life.send_signal(signal.SIGKILL)
            life.wait()


def _packed(data: Mapping[str, Any]) -> str:
    return b64encode(json.dumps(data).encode()).decode("ascii")
