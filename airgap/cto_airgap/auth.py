"""Log-ins and tokens, as https://distribution.github.io/distribution/spec/auth/token/ has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

from cto.errors import ToolError
from cto.ports import Clock
from cto_airgap import challenge
from cto_airgap.challenge import Challenge
from cto_airgap.endpoints import Endpoint
from cto_airgap.logins import Login
from cto_airgap.transport import Request

# What a token is good for that does not say it, and how long before its end it is not used again.
_SECONDS = 60.0
_MARGIN_S = 10.0

Scopes = tuple[str, ...]
Fetch = Callable[[Request], tuple[int, bytes]]
"""Sends a request as often as it takes; returns status and body."""


def scope(repository: str, actions: str) -> str:
    return f"repository:{repository}:{actions}"


@dataclass(frozen=True)
class _Token:
    text: str
    end: float


class Authorizer:
    """Knows what to put into the header `Authorization`. May be used by several threads.

    Args:
        logins: By host.
        fetch: Asks a token server.
        clock: Tells when a token is over.
    """

    def __init__(self, logins: Mapping[str, Login], fetch: Fetch, clock: Clock) -> None:
        self._logins = logins
        self._fetch = fetch
        self._clock = clock
        self._lock = Lock()
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, Scopes], _Token] = {}

    def header(self, endpoint: Endpoint, scopes: Scopes) -> str:
        """Return the header's value, empty as long as nobody asked for one.

        Raises:
            ToolError: The token server refuses.
        """
        asked = self._challenges.get(endpoint.origin)
        if asked is None:
            return ""
        login = self._logins.get(endpoint.host)
        if asked.scheme == "basic":
            return login.basic if login else ""
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
        known = {item.scheme: item for item in challenge.parse(header)}
        asked = known.get("bearer") or known.get("basic")
        login = self._logins.get(endpoint.host)
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

    def _ask(
        self, endpoint: Endpoint, asked: Challenge, scopes: Scopes, login: Login | None
    ) -> _Token:
        realm = asked.parameters.get("realm", "")
        secure = urlsplit(realm).scheme == "https"
        if not secure and not (
            endpoint.origin.startswith("http://") and realm.startswith("http://")
        ):
            text = f"{endpoint.host} names a token server that cannot be trusted"
            raise ToolError("CTO-1511", text, details=f"realm {realm!r} is not https")
        begun = self._clock.monotonic()
        query = [("service", asked.parameters["service"])] if "service" in asked.parameters else []
        query += [("scope", item) for item in scopes]
        joint = "&" if urlsplit(realm).query else "?"
        headers = {"Authorization": login.basic} if login else {}
        url = f"{realm}{joint}{urlencode(query)}"
        status, body = self._fetch(Request(method="GET", url=url, headers=headers))
        if status != 200:
            raise _refused(endpoint, realm, status, login)
        return _token(endpoint, body, begun)


def _token(endpoint: Endpoint, body: bytes, begun: float) -> _Token:
    try:
        answer: Any = json.loads(body)
        text = answer.get("token") or answer["access_token"]
        seconds = float(answer.get("expires_in") or _SECONDS)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"the token server of {endpoint.host} answered without a token"
        raise ToolError("CTO-1514", message) from None
    return _Token(str(text), begun + max(seconds - _MARGIN_S, 1.0))


def _refused(endpoint: Endpoint, realm: str, status: int, login: Login | None) -> ToolError:
    who = f"user {login.user}" if login else "without a log-in"
    details = f"{realm}: HTTP status {status} ({who})"
    text = f"the token server of {endpoint.host} gives no token"
    return ToolError("CTO-1511" if status in (401, 403) else "CTO-1514", text, details=details)
