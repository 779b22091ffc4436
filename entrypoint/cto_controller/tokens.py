"""Tokens of GitHub Apps: one for each run, for its repository, with its agent's permissions."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import jwt
import requests

from cto.engine.evidence import one_line
from cto.engine.tasks import APP_KEYS
from cto.network import trust, web
from cto.objects import ObjectRef
from cto.ports import Cluster
from cto.redaction import redacted
from cto_controller.attempts import Attempt
from cto_controller.runs import moment

_T = TypeVar("_T")
# GitHub takes ten minutes at most, by its own clock:
# https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
_EARLIER_S, _LATER_S = 60, 540
_HEADERS = {"Accept": "application/vnd.github+json", "User-Agent": "cto-controller"}


_STRANGE = "{} answered something else than GitHub does: is it its API (github.apiUrl)?"


class TokenError(Exception):
    """There is no token for a run. The text tells why, and what would help."""


@dataclass(frozen=True)
class Minted:
    value: str
    expires: datetime


class GitHub:
    """Asks GitHub for tokens, as the App whose key is in Secret `github-app-NAME`."""

    def __init__(self, cluster: Cluster, environ: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._session = web.session(environ, verified=trust.context(environ))

    def mint(self, attempt: Attempt) -> Minted:
        """Return a token for the repository of a run.

        Raises:
            TokenError: The App's key is missing, or GitHub gives none.
            ApiError: The Secret could not be read.
        """
        slug = attempt.slug
        base = attempt.settings.github.api_url.rstrip("/")
        signed = self._signed(attempt)
        where = f"{base}/repos/{slug}/installation"
        what = f"installation of App {attempt.app} in {slug}"
        found = _field(self._ask("GET", where, signed, what), "id", int, base)
        body: dict[str, Any] = {"repositories": [slug.partition("/")[2]]}
        if attempt.agent.permissions:
            body["permissions"] = dict(attempt.agent.permissions)
        url = f"{base}/app/installations/{found}/access_tokens"
        answer = self._ask("POST", url, signed, f"token for {slug}", body)
        value = _field(answer, "token", str, base)
        expires = moment(_field(answer, "expires_at", str, base))
        if expires is None:
            raise TokenError(_STRANGE.format(base))
        return Minted(value, expires)

    def _signed(self, attempt: Attempt) -> str:
        name = f"{APP_KEYS}{attempt.app.lower()}"
        ref = ObjectRef("v1", "Secret", attempt.token.namespace, name)
        data = (self._cluster.get(ref) or {}).get("data") or {}
        values = {key: b64decode(value).decode(errors="replace") for key, value in data.items()}
        issuer = (values.get("client-id") or values.get("app-id") or "").strip()
        if not issuer or not values.get("private-key"):
            text = f"Secret {name} with the keys app-id and private-key of its App is not there"
            raise TokenError(text)
        now = int(time.time())
        claims = {"iat": now - _EARLIER_S, "exp": now + _LATER_S, "iss": issuer}
        try:
            return jwt.encode(claims, values["private-key"], algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            text = f"the private-key in Secret {name} is no RSA key in PEM"
            raise TokenError(text) from None

    def _ask(
        self, method: str, url: str, signed: str, what: str, body: object = None
    ) -> Mapping[str, Any]:
        headers = {**_HEADERS, "Authorization": f"Bearer {signed}"}
        try:
            answer = self._session.request(
                method,
                url,
                headers=headers,
                json=body,
                timeout=web.TIMEOUTS_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            text = f"GitHub could not be asked for {what}: {web.reason(error)}"
            raise TokenError(text) from None
        try:
            read = answer.json()
        except ValueError:
            read = {}
        said = str(read.get("message") or "") if isinstance(read, Mapping) else ""
        if answer.status_code >= 300 or not isinstance(read, Mapping) or not read:
            said = one_line(redacted(said)) or "no JSON: a proxy or firewall may have answered"
            text = f"GitHub gave no {what}: {answer.status_code} {said}{_help(answer, said)}"
            raise TokenError(text)
        return read


def _field(answer: Mapping[str, Any], name: str, kind: type[_T], base: str) -> _T:
    value = answer.get(name)
    if not isinstance(value, kind):
        raise TokenError(_STRANGE.format(base))
    return value


def _help(answer: requests.Response, said: str) -> str:
    """Return what would help, for the refusals that people meet."""
    if answer.status_code in (301, 307, 308):
        return "; it was renamed or moved: give its new address (repositoryUrl)"
    if answer.status_code == 404:
        return "; is the App installed there?"
    if answer.status_code == 401 and "claim" in said:
        return f"; compare this node's clock with {answer.headers.get('Date', 'the time')}"
    if answer.status_code in (403, 429) and answer.headers.get("Retry-After"):
        return f"; it wants {answer.headers['Retry-After']} s of quiet"
    return ""
