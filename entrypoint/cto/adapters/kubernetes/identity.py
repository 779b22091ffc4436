"""As whom the API server is asked: what a kubeconfig's user says, beside certificates.

It has to be whom helm asks as, or one of the two has rights that the other lacks. What comes before
what is client-go's: `getUserIdentificationPartialConfig` in tools/clientcmd and
`HTTPWrappersForConfig` in transport.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

# What may stand in a header's name as it is, beside letters, digits and `-._~`.
_LEGAL = "!#$&'*+^`|"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
PLAIN_HINT = (
    "The server's address does not begin with https://: no token, password or certificate is shown "
    "to it, by kubectl and helm as well. Write the address with https:// into the kubeconfig."
)
_SECRETS = (
    *("token", "tokenFile", "username", "exec", "auth-provider"),
    *("client-certificate", "client-certificate-data"),
)


class Identity:
    """The headers that say who asks, and as whom.

    Args:
        name: Of the kubeconfig's user.
        user: What the kubeconfig says about it.
        base: The kubeconfig's folder.
        server: Whom it asks. Without TLS it is told no token and no password, and no plugin is
            asked for one: `ClientConfig` in tools/clientcmd.
    """

    def __init__(self, name: str, user: Mapping[str, Any], base: Path, server: str) -> None:
        self.name = name
        self.is_secret = is_encrypted(server)
        self._user = user
        self._file = base / str(user["tokenFile"]) if user.get("tokenFile") else None
        self._token = str(user.get("token") or "") or self._id_token()
        self._impersonation = tuple(_impersonation(user))

    @property
    def is_known(self) -> bool:
        """Whether no program has to be asked first: a token goes before a plugin."""
        given = self._token or self._file or self._user.get("username")
        asked = any(self._user.get(key) for key in ("exec", "auth-provider"))
        return bool(given) or not (asked and self.is_secret)

    def headers(self) -> Iterator[tuple[str, str]]:
        """Yield what every request has to carry; names may come several times.

        Raises:
            OSError: The token's file cannot be read, and never could.
            ValueError: It holds no token, or the token no header could have.
        """
        if authorization := self._authorization():
            yield "Authorization", header_text(authorization)
        yield from self._impersonation

    def _authorization(self) -> str:
        if not self.is_secret:
            return ""
        if token := self._current_token():
            return f"Bearer {token}"
        if self._user.get("username"):
            pair = f"{self._user['username']}:{self._user.get('password') or ''}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return ""

    def _current_token(self) -> str:
        """Return the token: the file's, for it is replaced now and then; else the last good one."""
        if self._file:
            try:
                self._token = self._file.read_text(encoding="utf-8").strip() or self._token
            except (OSError, UnicodeDecodeError):
                if not self._token:
                    raise
            if not self._token:
                # Not without one: that would be somebody else, whom helm is not.
                problem = f"{self._file} is empty"
                raise ValueError(problem)
        return self._token

    def _id_token(self) -> str:
        provider = self._user.get("auth-provider") or {}
        return str((provider.get("config") or {}).get("id-token") or "")


def is_encrypted(server: str) -> bool:
    """Return whether a kubeconfig's server is asked by TLS; one without a scheme is not."""
    return urlsplit(server).scheme == "https"


def logs_in(user: Mapping[str, Any]) -> bool:
    """Return whether a kubeconfig's user has what is told to nobody without TLS."""
    return any(user.get(key) for key in _SECRETS)


def _impersonation(user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not user.get("as"):
        return
    yield "Impersonate-User", _text(user["as"])
    if user.get("as-uid"):
        yield "Impersonate-Uid", _text(user["as-uid"])
    for group in user.get("as-groups") or ():
        yield "Impersonate-Group", _text(group or "")
    for key, values in (user.get("as-user-extra") or {}).items():
        for value in values or ():
            yield f"Impersonate-Extra-{quote(str(key), safe=_LEGAL)}", _text(value or "")


def header_text(value: str) -> str:
    """Return who asks as a header can have it.

    Raises:
        ValueError: No header can: Go refuses to send it, too. The text is not told.
    """
    if _CONTROL.search(value):
        problem = "it has a line end or another control character in it"
        raise ValueError(problem)
    return _text(value)


def _text(value: Any) -> str:
    """Return a header's text whose bytes are UTF-8, as Go sends them: Python sends Latin-1."""
    return str(value).encode().decode("latin-1")
