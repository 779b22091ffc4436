"""Runs the registry of the tests on loopback ports, as strict as it is asked to be."""

from __future__ import annotations

import json
import os
import queue
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

PASSWORD = "hunter2"
SERVICE = "registry-of-the-tests"
_LISTENING = "listening on "
_PROGRAMS = ("registry", "trust", "crane", "oras")


def folder() -> Path:
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    return cache / "registry"


def missing() -> str:
    """Say what is not built, empty if everything is there."""
    found = [name for name in _PROGRAMS if not (folder() / name).exists()]
    text = f"not in {folder()}: {', '.join(found)} (`make lab` makes them)"
    return text if found else ""


class Registries:
    """Registries that end with this object. The same wish gets the same one again.

    Args:
        home: Where they keep their data; `trust` below it has the certificates.
    """

    def __init__(self, home: Path) -> None:
        self.trust = home / "trust"
        self._home = home
        self._running: list[subprocess.Popen[str]] = []
        self._hosts: dict[tuple[bool, str], str] = {}
        self._env = {**os.environ, "TRUST_PASSWORD": PASSWORD, "OTEL_TRACES_EXPORTER": "none"}

    def __enter__(self) -> Self:
        self.trust.mkdir(parents=True)
        make: list[str | Path] = [folder() / "trust", "files", self.trust]
        subprocess.run(make, env=self._env, check=True, timeout=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def start(self, *, tls: bool = False, auth: str = "none") -> str:
        """Run a registry and return its host; `auth` is none, basic or token."""
        if (tls, auth) not in self._hosts:
            name = f"{'tls' if tls else 'plain'}-{auth}"
            config = self._home / f"{name}.json"
            config.write_text(json.dumps(self._config(name, tls=tls, auth=auth)))
            serve = [str(folder() / "registry"), "serve", str(config)]
            self._hosts[tls, auth] = self._run(serve)
        return self._hosts[tls, auth]

    def _config(self, name: str, *, tls: bool, auth: str) -> dict[str, object]:
        http: dict[str, object] = {"addr": "127.0.0.1:0"}
        if tls:
            pair = ("server.pem", "server.key")
            http["tls"] = dict(
                zip(("certificate", "key"), [str(self.trust / p) for p in pair], strict=True)
            )
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info"},
            # Where an upload broke off, it goes on: its state is in no memory but this folder.
            "storage": {"filesystem": {"rootdirectory": str(self._home / name)}},
            "http": http,
        }
        if auth != "none":
            config["auth"] = self._basic() if auth == "basic" else self._token()
        return config

    def _basic(self) -> dict[str, object]:
        return {"htpasswd": {"realm": "tests", "path": str(self.trust / "htpasswd")}}

    def _token(self) -> dict[str, object]:
        serve = [str(folder() / "trust"), "tokens", str(self.trust), SERVICE]
        options = {
            "realm": f"https://{self._run(serve)}/token",
            "service": SERVICE,
            "issuer": "trust",
            "rootcertbundle": str(self.trust / "ca.pem"),
        }
        return {"token": options}

    def _run(self, argv: Sequence[str]) -> str:
        """Start a program and return the address that it says it listens on."""
        process = subprocess.Popen(
            argv,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._running.append(process)
        lines: queue.Queue[str] = queue.Queue()
        # Somebody has to read on, or the program stands still once the pipe is full.
        Thread(target=_drain, args=(process, lines), daemon=True).start()
        said: list[str] = []
        while _LISTENING not in (line := lines.get(timeout=30)):
            said.append(line)
            if not line:
                text = f"{argv[0]} ended: {''.join(said)}"
                raise RuntimeError(text)
        after = line.partition(_LISTENING)[2].replace('"', " ").replace(",", " ")
        return after.split()[0]


def _drain(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    if process.stdout is None:
        return
    with process.stdout as stream:
        for line in stream:
            lines.put(line)
    lines.put("")
