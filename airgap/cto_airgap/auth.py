"""Challenges and tokens.

RFC 9110, section 11.6.1, has what a registry asks for with status 401;
https://distribution.github.io/distribution/spec/auth/token/ has how to answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

from cto import goyaml
from cto.errors import ToolError
from cto.ports import Clock
from cto_airgap.logins import Logins, RegistryLogin
from cto_airgap.reference import Endpoint
from cto_airgap.web import HttpRequest

_SCHEME = re.compile(r"\s*([A-Za-z]+)(?:\s*,|\s+|$)")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)\s*')

# What a token is good for that does not say it, and how long before its end it is not used again.
_SECONDS = 60.0
_MARGIN_S = 10.0

Scopes = tuple[str, ...]
Fetch = Callable[[HttpRequest], tuple[int, bytes]]
"""Sends a request as often as it takes; returns status and body."""


@dataclass(frozen=True)
class Challenge:
    """One way to prove who one is; `scheme` is in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a WWW-Authenticate header, those that can be read."""
    found = []
    at = 0
    while match := _SCHEME.match(header, at):
        at = match.end()
        parameters = {}
        while pair := _PARAMETER.match(header, at):
            at = pair.end()
            quoted = pair[2]
            value = pair[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters[pair[1].lower()] = value
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)


def scope(repository: str, actions: str) -> str:
    return f"repository:{repository}:{actions}"


@dataclass(frozen=True)
class _Token:
    text: str
    end: float


class Authorizer:
    """Knows what to put into the header `Authorization`. May be used by several threads.

    Args:
        logins: Tells who to be; asked when a registry wants to know.
        fetch: Asks a token server.
        clock: Tells when a token is over.
    """

    def __init__(self, logins: Logins, fetch: Fetch, clock: Clock) -> None:
        self._logins = logins
        self._fetch = fetch
        self._clock = clock
        self._lock = Lock()
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, Scopes], _Token] = {}

    def header(self, endpoint: Endpoint, scopes: Scopes) -> str:
        """Return the header's value, empty as long as nobody asked for one.

        Raises:
            ToolError: The token server refuses, or the log-in cannot be had.
        """
        asked = self._challenges.get(endpoint.origin)
        if asked is None:
            return ""
        login = self._login(endpoint, scopes)
        if asked.scheme == "basic":
            return login.basic if login else ""
        if login and login.registry_token:
            return f"Bearer {login.registry_token}"
        # One after the other: ten threads that begin at once need one token, not ten.
        with self._lock:
            token = self._tokens.get((endpoint.origin, scopes))
            if token is None or token.end <= self._clock.monotonic():
                token = self._ask(endpoint, asked, scopes, login)
                self._tokens[endpoint.origin, scopes] = token
        return f"Bearer {token.text}"

    def challenged(self, endpoint: Endpoint, scopes: Scopes, header: str, sent: str) -> bool:
        """Learn from a refusal; tell whether the same request is worth another attempt.

        Args:
            endpoint: Who refused.
            scopes: What the request needs.
            header: WWW-Authenticate of the answer.
            sent: Authorization of the request.
        """
        known = {item.scheme: item for item in parse_challenges(header)}
        asked = known.get("bearer") or known.get("basic")
        login = self._login(endpoint, scopes) if asked else None
        if asked is None:
            return False
        if asked.scheme == "basic" and (login is None or sent == login.basic):
            return False
        with self._lock:
            self._challenges[endpoint.origin] = asked
            token = self._tokens.get((endpoint.origin, scopes))
            if token and sent == f"Bearer {token.text}":
                del self._tokens[endpoint.origin, scopes]
        return True

    def _login(self, endpoint: Endpoint, scopes: Scopes) -> RegistryLogin | None:
        repository = scopes[0].split(":")[1] if scopes else ""
        return self._logins.find(endpoint.host, repository)

    def _ask(
        self, endpoint: Endpoint, asked: Challenge, scopes: Scopes, login: RegistryLogin | None
    ) -> _Token:
        realm = asked.parameters.get("realm", "")
        secure = urlsplit(realm).scheme == "https"
        if not secure and not (
            endpoint.origin.startswith("http://") and realm.startswith("http://")
        ):
            text = f"{endpoint.host} names a token server that cannot be trusted"
            raise ToolError("CTO-1511", text, details=f"realm {realm!r} is not https")
        begun = self._clock.monotonic()
        service = asked.parameters.get("service", "")
        if login and login.identity_token:
            request = _exchange(realm, service, scopes, login.identity_token)
        else:
            request = _question(realm, service, scopes, login.basic if login else "")
        status, body = self._fetch(request)
        if status in (404, 405) and login and login.identity_token and login.basic:
            # Not every token server has this way: some know users and passwords alone.
            status, body = self._fetch(_question(realm, service, scopes, login.basic))
        if status != 200:
            raise _refused(endpoint, realm, status, login)
        return _token(endpoint, body, begun)


def _question(realm: str, service: str, scopes: Scopes, basic: str) -> HttpRequest:
    query = [("service", service)] if service else []
    query += [("scope", item) for item in scopes]
    joint = "&" if urlsplit(realm).query else "?"
    headers = {"Authorization": basic} if basic else {}
    return HttpRequest(method="GET", url=f"{realm}{joint}{urlencode(query)}", headers=headers)


def _exchange(realm: str, service: str, scopes: Scopes, identity_token: str) -> HttpRequest:
    """Ask for a token as https://distribution.github.io/distribution/spec/auth/oauth/ has it."""
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": "cto",
        "scope": " ".join(scopes),
        "refresh_token": identity_token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest(method="POST", url=realm, headers=headers, body=urlencode(form).encode())


def _token(endpoint: Endpoint, body: bytes, begun: float) -> _Token:
    try:
        answer: Any = goyaml.load_json(body)
        text = answer.get("token") or answer["access_token"]
        seconds = float(answer.get("expires_in") or _SECONDS)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"the token server of {endpoint.host} answered without a token"
        raise ToolError("CTO-1514", message) from None
    return _Token(str(text), begun + max(seconds - _MARGIN_S, 1.0))


def _refused(endpoint: Endpoint, realm: str, status: int, login: RegistryLogin | None) -> ToolError:
    who = login.who if login else "without a log-in"
    details = f"{realm}: HTTP status {status} ({who})"
    text = f"the token server of {endpoint.host} gives no token"
    return ToolError("CTO-1511" if status in (401, 403) else "CTO-1514", text, details=details)
