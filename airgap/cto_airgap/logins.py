"""Who to be at a registry: what `docker login` and `podman login` wrote down, or gave to a helper.

https://github.com/docker/cli/blob/master/cli/config/configfile/file.go reads the same file, and
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md is podman's, whose
entries may be of a folder of a registry.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cto import goyaml
from cto.errors import ConfigError
from cto_airgap.helpers import Helpers
from cto_airgap.reference import DOCKER

# What Docker calls its own registry there.
_DOCKER_HOSTS = frozenset({DOCKER, "index.docker.io", "registry-1.docker.io"})
_DOCKER_ADDRESS = "https://index.docker.io/v1/"
# Docker Desktop keeps these two for its own log-in, which is none at a registry.
_NO_LOGINS = ("/access-token", "/refresh-token")
_VERSIONS = ("v1", "v2")
# What a helper calls a user whose secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105 - a name, no secret


@dataclass(frozen=True)
class Login:
    """A log-in.

    Attributes:
        identity_token: What token servers give others for, instead of a password.
        registry_token: What a registry takes as it is.
    """

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of a header; empty where there is no password."""
        if not (self.user or self.password):
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def who(self) -> str:
        """For people."""
        return "an identity token" if self.identity_token else f"user {self.user}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be shown nowhere."""
        return (self.password, self.identity_token, self.registry_token)

    def __bool__(self) -> bool:
        return bool(self.basic or self.identity_token or self.registry_token)


class Logins(Protocol):
    """Knows who to be."""

    def find(self, host: str, repository: str) -> Login | None:
        """Return the log-in for a repository of a host.

        Raises:
            ToolError: CTO-1560, a helper has it, and does not give it.
        """
        ...


@dataclass(frozen=True)
class Given:
    """Log-ins by host; what it lacks is asked of others."""

    logins: Mapping[str, Login] = field(default_factory=dict)
    others: Logins | None = None

    def find(self, host: str, repository: str) -> Login | None:
        if login := self.logins.get(host):
            return login
        return self.others.find(host, repository) if self.others else None


@dataclass(frozen=True)
class Stored:
    """Log-ins out of files, the first one that has one, and of the helpers that they name."""

    files: Sequence[File]
    helpers: Helpers

    def find(self, host: str, repository: str) -> Login | None:
        found = (self._in(file, host, repository) for file in self.files)
        return next((login for login in found if login), None)

    def _in(self, file: File, host: str, repository: str) -> Login | None:
        entries = _fitting(file.auths, host, repository)
        inline = next((login for _, login in entries if login), None)
        own = _fitting(file.helpers, host, repository)
        name = own[0][1] if own else file.store
        if not name:
            return inline
        # Without an entry nobody logged in: then a helper that fails is no reason not to go on.
        needed = bool(own or entries) and not inline
        address = _DOCKER_ADDRESS if host == DOCKER else host
        answer = self.helpers.get(name, address, origin=file.origin, needed=needed)
        if answer is None:
            return inline
        user, secret = answer
        return Login("", "", secret) if user == _TOKEN_USER else Login(user, secret)


@dataclass(frozen=True)
class File:
    """What a file says, by its keys, in their order.

    Attributes:
        origin: Its path, or whatever else it is called.
        auths: The log-ins that it holds; an empty one is with a helper.
        helpers: The names of helpers that have a host's log-in.
        store: The name of the helper that has all others; '' for none.
    """

    origin: str
    auths: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def read(path: Path) -> File:
    """Read Docker's config.json, or podman's auth.json; it says nothing if there is none.

    Raises:
        ConfigError: CTO-1301, the file is not readable.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return File(str(path))
    except (OSError, UnicodeError) as error:
        raise _unreadable(str(path), error) from None


def parse(text: str, origin: str) -> File:
    """Read what stands in such a file, or in a variable in place of one.

    Raises:
        ConfigError: CTO-1301, it is something else.
    """
    try:
        body = goyaml.load_json(text)
        auths, helpers = body.get("auths") or {}, body.get("credHelpers") or {}
        for key in (*auths, *helpers):
            _place(key)  # raises for what is no address
        return File(
            origin,
            auths={key: _login(entry) for key, entry in auths.items()},
            helpers={key: str(name) for key, name in helpers.items()},
            store=str(body.get("credsStore") or ""),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise _unreadable(origin, error) from None


def _unreadable(origin: str, error: Exception) -> ConfigError:
    # What was read holds passwords: it must not be shown.
    text = f"{origin} cannot be read as Docker's configuration"
    return ConfigError("CTO-1301", text, details=type(error).__name__)


def _login(entry: Mapping[str, Any]) -> Login:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        user, _, password = base64.b64decode(auth).decode().partition(":")
    # Docker took C's habit of ending texts along for a while.
    return Login(
        user,
        password.strip("\x00"),
        str(entry.get("identitytoken") or ""),
        str(entry.get("registrytoken") or ""),
    )


def _fitting(entries: Mapping[str, Any], host: str, repository: str) -> list[tuple[str, Any]]:
    """Return the entries that are for a repository: of the deepest folder first.

    Of two for the same place the one that Docker itself would write comes first.
    """
    found = []
    for key, value in entries.items():
        other, folder = _place(key)
        if other == host.lower() and f"{repository}/".startswith(f"{folder}/" if folder else ""):
            usual = key == (_DOCKER_ADDRESS if host == DOCKER else host)
            found.append((-len(folder), not usual, key, value))
    return [(key, value) for _, _, key, value in sorted(found, key=lambda one: one[:2])]


def _place(key: str) -> tuple[str, str]:
    """Return the host that a key is for, and the folder of it; '' for none."""
    address = "://" in key
    parts = urlsplit(key if address else f"//{key}")
    if parts.path.rstrip("/").endswith(_NO_LOGINS):
        return "", ""
    folder = parts.path.strip("/")
    # Docker's addresses end with the API's version, or with anything.
    if address or folder in _VERSIONS:
        folder = ""
    host = parts.netloc.lower()
    return (DOCKER if host in _DOCKER_HOSTS else host), folder
