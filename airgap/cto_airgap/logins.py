"""Who to be at a registry: what `docker login` and `podman login` wrote down, or gave to a helper.

https://github.com/docker/cli/blob/master/cli/config/configfile/file.go reads the same file, and
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md is podman's, whose
entries may be of a folder of a registry. A helper is a program, `docker-credential-NAME get`:
https://github.com/docker/docker-credential-helpers#development says what it is told and answers.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

from cto import goyaml
from cto.errors import ConfigError, CtoError, ToolError
from cto.ports import Completed, Runner
from cto_airgap.reference import DOCKER

PREFIX = "docker-credential-"
# A helper may ask its user something, where nobody sees it.
_ANSWER_S = 30.0
_NOT_FOUND = "credentials not found in native keychain"
_LONGEST_WORDS = 200

# What Docker calls its own registry there.
_DOCKER_HOSTS = frozenset({DOCKER, "index.docker.io", "registry-1.docker.io"})
_DOCKER_ADDRESS = "https://index.docker.io/v1/"
# Docker Desktop keeps these two for its own log-in, which is none at a registry.
_NO_LOGINS = ("/access-token", "/refresh-token")
_VERSIONS = ("v1", "v2")
# What a helper calls a user whose secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105 - a name, no secret


class Helpers:
    """Asks helpers. Each is asked once for each address, also by several threads."""

    def __init__(self, runner: Runner, environ: Mapping[str, str]) -> None:
        self._runner = runner
        self._environ = environ
        self._lock = Lock()
        self._known: dict[tuple[str, str], tuple[str, str] | ToolError | None] = {}

    def get(self, name: str, address: str, *, origin: str, needed: bool) -> tuple[str, str] | None:
        """Return user and secret; None if the helper has none.

        Args:
            name: Of the helper, without what all are called.
            address: Of the registry, as Docker calls it.
            origin: What names the helper.
            needed: Whether there is a log-in, so that it is an error not to get it.

        Raises:
            ToolError: CTO-1560, it cannot be asked, and that is needed.
        """
        with self._lock:
            if (name, address) not in self._known:
                try:
                    self._known[name, address] = self._ask(name, address, origin)
                except ToolError as error:
                    self._known[name, address] = error
            answer = self._known[name, address]
        if isinstance(answer, ToolError):
            if needed:
                raise answer
            return None
        return answer

    def _ask(self, name: str, address: str, origin: str) -> tuple[str, str] | None:
        program = f"{PREFIX}{name}"
        if "/" in name or not shutil.which(program, path=self._environ.get("PATH")):
            raise _failed(program, address, origin, "which is not on PATH here")
        try:
            done = self._runner.run(
                (program, "get"), timeout_s=_ANSWER_S, stdin=address, check=False
            )
        except CtoError as error:
            raise _failed(program, address, origin, "which fails", error.message) from None
        if done.returncode:
            said = _words(done)
            if said == _NOT_FOUND:
                return None
            raise _failed(program, address, origin, f"which ends with {done.returncode}", said)
        return _read_answer(done.stdout, program, address, origin)


def _read_answer(text: str, program: str, address: str, origin: str) -> tuple[str, str] | None:
    try:
        answer = goyaml.load_json(text)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        # Not its text: that may well be the secret.
        raise _failed(program, address, origin, "which answers something else") from None
    return (user, secret) if secret else None


def _words(done: Completed) -> str:
    """Return why a helper gave nothing: it says so on stdout, where else the secret would be."""
    words = done.stdout.strip() or done.stderr.strip()
    return "" if words.startswith("{") else words.split("\n")[0][:_LONGEST_WORDS]


def _failed(program: str, address: str, origin: str, why: str, details: str = "") -> ToolError:
    text = f"the log-in for {address} is with {program}, {why} ({origin})"
    hint = (
        f"Run cto where {program} works (outside of a container), or give the log-in itself: "
        "registry.username and registry.password, or a configuration without a helper, "
        f"`DOCKER_CONFIG=DIR docker login {address}`, and DOCKER_CONFIG=DIR for cto."
    )
    return ToolError("CTO-1560", text, details=details, hint=hint)


@dataclass(frozen=True)
class RegistryLogin:
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

    def find(self, host: str, repository: str) -> RegistryLogin | None:
        """Return the log-in for a repository of a host.

        Raises:
            ToolError: CTO-1560, a helper has it, and does not give it.
        """
        ...


@dataclass(frozen=True)
class GivenLogins:
    """Log-ins by host; what it lacks is asked of others."""

    logins: Mapping[str, RegistryLogin] = field(default_factory=dict)
    others: Logins | None = None

    def find(self, host: str, repository: str) -> RegistryLogin | None:
        if login := self.logins.get(host):
            return login
        return self.others.find(host, repository) if self.others else None


@dataclass(frozen=True)
class StoredLogins:
    """Log-ins out of files, the first one that has one, and of the helpers that they name."""

    files: Sequence[LoginFile]
    helpers: Helpers

    def find(self, host: str, repository: str) -> RegistryLogin | None:
        found = (self._in(file, host, repository) for file in self.files)
        return next((login for login in found if login), None)

    def _in(self, file: LoginFile, host: str, repository: str) -> RegistryLogin | None:
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
        return RegistryLogin("", "", secret) if user == _TOKEN_USER else RegistryLogin(user, secret)


@dataclass(frozen=True)
class LoginFile:
    """What a file says, by its keys, in their order.

    Attributes:
        origin: Its path, or whatever else it is called.
        auths: The log-ins that it holds; an empty one is with a helper.
        helpers: The names of helpers that have a host's log-in.
        store: The name of the helper that has all others; '' for none.
    """

    origin: str
    auths: Mapping[str, RegistryLogin] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def read_logins(path: Path) -> LoginFile:
    """Read Docker's config.json, or podman's auth.json; it says nothing if there is none.

    Raises:
        ConfigError: CTO-1301, the file is not readable.
    """
    try:
        return parse_logins(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return LoginFile(str(path))
    except (OSError, UnicodeError) as error:
        raise _unreadable(str(path), error) from None


def parse_logins(text: str, origin: str) -> LoginFile:
    """Read what stands in such a file, or in a variable in place of one.

    Raises:
        ConfigError: CTO-1301, it is something else.
    """
    try:
        body = goyaml.load_json(text)
        auths, helpers = body.get("auths") or {}, body.get("credHelpers") or {}
        for key in (*auths, *helpers):
            _place(key)  # raises for what is no address
        return LoginFile(
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


def _login(entry: Mapping[str, Any]) -> RegistryLogin:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        user, _, password = base64.b64decode(auth).decode().partition(":")
    # Docker took C's habit of ending texts along for a while.
    return RegistryLogin(
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
