"""Sessions of `requests`: the same for downloads and for registries.

They take nothing from the environment but what `network.proxies` and `network.trust` read. Above
all no log-ins: `requests` sends those of ~/.netrc to every host that has an entry there, or to all
by a `default` one, also after a redirect (https://github.com/psf/requests/issues/6928).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from cto.network.proxies import Proxies, Proxy, denied, innermost, is_refusal

Session: TypeAlias = requests.Session
TIMEOUTS_S = (10.0, 60.0)
_CONNECTIONS = 16
_BEGINNING = 1000
_PROXY_AUTH = 407
_BROKEN = (requests.exceptions.ChunkedEncodingError, requests.Timeout)


class ProxyRefusedError(requests.RequestException):
    """A proxy refuses whoever asks, or the host that is asked. The text tells what to change."""


class UnreachableError(Exception):
    """Nobody answers at an address. The text tells why."""


def posted(
    session: requests.Session,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
) -> tuple[int, str]:
    """Post to an address once; return the status and the beginning of the answer.

    Raises:
        UnreachableError: Nobody answers.
    """
    try:
        answer = session.post(
            url, headers=dict(headers), data=body, timeout=timeout_s, allow_redirects=False
        )
    except requests.RequestException as error:
        raise UnreachableError(reason(error)) from None
    return answer.status_code, answer.text[:_BEGINNING]


def session(
    environ: Mapping[str, str],
    *,
    verified: ssl.SSLContext,
    log: Callable[[str], None] = lambda _: None,
) -> requests.Session:
    """Return a session that threads may share.

    Args:
        environ: Says which proxies there are. Requests raise ConfigError CTO-1360 if it says
            something else.
        verified: Verifies servers: `trust.context`.
        log: Gets a line about each request, without what may be secret in it.
    """
    made = requests.Session()
    made.trust_env = False
    proxies = Proxies(environ)
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(context=verified, proxies=proxies, log=log))
    # Cookies are the only state of a session that threads would contend for.
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


def reason(error: Exception) -> str:
    """Return the innermost cause: what is around it repeats the address, secrets included."""
    if isinstance(error, ProxyRefusedError):
        return str(error)
    by = getattr(error, "proxy", None)
    return f"{type(error).__name__}: {innermost(error)}"[:200] + (f" (by {by})" if by else "")


def may_heal(error: Exception) -> bool:
    """Tell whether the same address may work in a moment: a connection that broke, a timeout."""
    return isinstance(error, _BROKEN) or type(error) is requests.ConnectionError


class _Adapter(HTTPAdapter):
    """Keeps a connection per thread, and gives all of them, proxied or not, the same trust."""

    def __init__(
        self, *, context: ssl.SSLContext, proxies: Proxies, log: Callable[[str], None]
    ) -> None:
        self._context = context
        self._proxies = proxies
        self._log = log
        super().__init__(pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, "ssl_context": self._context})

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        trusted: dict[str, Any] = {"ssl_context": self._context}
        if not proxy.startswith("socks"):
            trusted["proxy_ssl_context"] = self._context
        return super().proxy_manager_for(proxy, **{**kwargs, **trusted})

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        # `requests` drops a user without a password, and cannot write every other one.
        return Proxy.parse(proxy, "").headers

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Keep `requests` from trusting its own list of authorities besides."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        proxy = self._proxies.of(request.url or "")
        kwargs["proxies"] = {urlsplit(request.url or "").scheme: proxy.url} if proxy else {}
        begun, outcome = time.monotonic(), "no answer"
        try:
            answer = super().send(request, *args, **kwargs)
            outcome = str(answer.status_code)
        except requests.RequestException as error:
            if proxy and is_refusal(error):
                raise ProxyRefusedError(proxy.refusal) from None
            if proxy and (status := denied(error)):
                host = urlsplit(request.url or "").hostname or ""
                raise ProxyRefusedError(proxy.denial(host, status)) from None
            error.proxy = proxy  # type: ignore[attr-defined] # for `reason`
            raise
        finally:
            took = f"{outcome} after {time.monotonic() - begun:.1f} s"
            self._log(f"{request.method} {_shown(request.url or '')}: {took}")
        if proxy and answer.status_code == _PROXY_AUTH:
            answer.close()
            raise ProxyRefusedError(proxy.refusal)
        return answer


def _shown(url: str) -> str:
    """Return an address without log-in and query: both may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
