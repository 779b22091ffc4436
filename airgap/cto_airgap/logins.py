"""Who to be at a registry: what `docker login` wrote down."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cto.errors import ConfigError
from cto_airgap.reference import DOCKER

# What Docker calls its own registry there.
_DOCKER_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of a header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def read(path: Path) -> Mapping[str, Login]:
    """Return the log-ins of Docker's config.json, by host; none if there is no such file.

    Those that a credential helper keeps are not among them.

    Raises:
        ConfigError: CTO-1301, the file is not readable.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        entries = body.get("auths") or {}
        found = {_host(address): _login(entry) for address, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        # What was read holds passwords: it must not be shown.
        text = f"{path} cannot be read as Docker's configuration"
        raise ConfigError("CTO-1301", text, details=type(error).__name__) from None
    return {host: login for host, login in found.items() if login}


def _host(address: str) -> str:
    host = urlsplit(address if "://" in address else f"//{address}").netloc
    return DOCKER if host in _DOCKER_HOSTS else host


def _login(entry: Mapping[str, str]) -> Login | None:
    if entry.get("username"):
        return Login(entry["username"], entry.get("password", ""))
    user, colon, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    return Login(user, password) if colon else None
