"""HTTP to an API server, as a kubeconfig says. Owns the `kubernetes` package and urllib3.

Only the kubeconfig loader and the connection pool of the `kubernetes` package are used: its typed
models take three times as long for the same answer. It takes a quarter of a second to import, so it
is imported when a kubeconfig asks for more than a certificate or a token.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from cto.adapters import scratch
from cto.adapters.clock import SystemClock
from cto.adapters.kubernetes import errors as api_errors
from cto.adapters.kubernetes.identity import PLAIN_HINT, Identity, header_text, is_encrypted
from cto.adapters.kubernetes.loading import MALFORMED, load, unusable
from cto.adapters.kubernetes.login import (
    Login,
    LoginPrograms,
    UnusableError,
    for_loader,
    plain_login,
    tls_context,
)
from cto.adapters.kubernetes.pools import pool
from cto.adapters.process import ProcessRunner
from cto.errors import ApiError, PreflightError
from cto.network.proxies import Proxies, Proxy, denied, is_refusal
from cto.ports import Access

_CONNECT_S = 5.0
_READ_S = 30.0
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to ask. `what` names it for people: `apply Deployment grafana in grafana`."""

    method: str
    path: str
    what: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    read_timeout_s: float = _READ_S


@dataclass(frozen=True)
class ApiAnswer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class NoAnswerError(Exception):
    """The server did not answer.

    Attributes:
        sent: Whether it may have got the request.
        hint: What somebody has to do first; then another attempt is of no use.
    """

    def __init__(self, text: str, *, sent: bool, hint: str = "") -> None:
        super().__init__(text)
        self.sent = sent
        self.hint = hint


class Stream:
    """An answer that comes piece by piece. `stop` may be called from any thread."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """Yield pieces as they come.

        Raises:
            NoAnswerError: The connection broke, or nothing came for the read timeout.
        """
        with _translated():
            yield from self._response.stream(_CHUNK)

    def stop(self) -> None:
        """Let `chunks` end at once."""
        # The response may have ended by itself just now.
        with suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()

    def close(self) -> None:
        self._response.close()


class Connection:
    """A pool of connections to one API server. Safe to use from several threads.

    Args:
        access: The kubeconfig, and which context of it.
        environ: Says which proxies there are.
        log: Gets a line about each request.
        programs: Runs the kubeconfig's log-in program.
    """

    def __init__(
        self,
        access: Access,
        *,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] = lambda _: None,
        programs: LoginPrograms | None = None,
    ) -> None:
        self._access = access
        self._programs = programs or LoginPrograms(ProcessRunner(log=log, clock=SystemClock()))
        self._environ = environ
        self._log = log
        self._lock = Lock()
        self._session: _Session | None = None

    def send(self, request: Request) -> ApiAnswer:
        """Ask once, log in again if the credentials were refused.

        Raises:
            NoAnswerError: No answer came.
            ApiError: CTO-1602, there are no valid credentials.
        """
        session, response = self._open(request, preload=True)
        if response.status == 401:
            raise self._unauthorized(session, response)
        return ApiAnswer(response.status, response.headers, response.data)

    def stream(self, request: Request) -> Stream:
        """Ask for an answer that comes piece by piece; it must be closed.

        Raises:
            NoAnswerError: No answer came.
            ApiError: The server refused.
        """
        session, response = self._open(request, preload=False)
        if response.status == 200:
            return Stream(response)
        with _translated():
            body = response.data
        response.close()
        if response.status == 401:
            raise self._unauthorized(session, response)
        raise api_errors.refused(request.what, response.status, body)

    def close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session:
            session.close()

    def _open(self, request: Request, *, preload: bool) -> tuple[_Session, Any]:
        session = self._current(None)
        response = self._logged(session, request, preload=preload)
        if response.status == 401:
            # Tokens of exec plugins may end before their time: kubectl asks the plugin again too.
            response.close()
            session = self._current(session)
            response = self._logged(session, request, preload=preload)
        return session, response

    def _logged(self, session: _Session, request: Request, *, preload: bool) -> Any:
        begun, outcome = time.monotonic(), "no answer"
        try:
            response = session.send(request, preload=preload)
            outcome = str(response.status)
        finally:
            took = f"{outcome} after {time.monotonic() - begun:.2f} s"
            self._log(f"{request.method} {session.server}{request.path}: {took}")
        return response

    def _current(self, refused: _Session | None) -> _Session:
        """Return the session; a new one if it is still the refused one."""
        with self._lock:
            if self._session is None or self._session is refused:
                self._session = _new_session(self._access, self._environ, self._programs)
            return self._session

    def _unauthorized(self, session: _Session, response: Any) -> ApiError:
        identity = session.identity
        text = f"the API server refuses the credentials of the kubeconfig's user {identity.name!r}"
        hint = "" if identity.is_secret else PLAIN_HINT
        details = api_errors.message_of(response.data)
        return ApiError(
            "CTO-1602", text, status=401, reason="Unauthorized", details=details, hint=hint
        )


class _Session:
    """What one reading of the kubeconfig gave."""

    def __init__(
        self,
        *,
        identity: Identity,
        server: str,
        proxy: Proxy | None,
        pool: Any,
        plugin: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.identity = identity
        self.server = server
        self._proxy = proxy
        self._pool = pool
        self._plugin = plugin

    def send(self, request: Request, *, preload: bool) -> Any:
        import urllib3  # noqa: PLC0415 - slow

        query = f"?{urlencode(request.query)}" if request.query else ""
        with _translated(self._proxy):
            response = self._pool.request(
                request.method,
                f"{self.server}{request.path}{query}",
                body=request.body,
                headers=self._headers(request),
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=request.read_timeout_s),
                retries=False,
                preload_content=preload,
            )
        if self._proxy and response.status == 407:
            response.close()
            raise _refused(self._proxy)
        return response

    def _headers(self, request: Request) -> Any:
        import urllib3  # noqa: PLC0415 - slow

        # Of the same name there may be several: the groups of somebody who is impersonated.
        headers = urllib3.HTTPHeaderDict()
        for name, value in self._identified():
            headers.add(name, value)
        headers.update(request.headers)
        return headers

    def _identified(self) -> Sequence[tuple[str, str]]:
        try:
            return (*self._plugin().items(), *self.identity.headers())
        except (OSError, ValueError) as error:
            text = f"the token of the kubeconfig's user {self.identity.name!r} cannot be used"
            raise ApiError("CTO-1602", text, details=str(error)) from error

    def close(self) -> None:
        self._pool.clear()


def _new_session(access: Access, environ: Mapping[str, str], programs: LoginPrograms) -> _Session:
    login = plain_login(access, environ)
    return _plain_session(login) if login else _loaded_session(access, environ, programs)


def _plain_session(login: Login) -> _Session:
    return _Session(
        identity=login.identity,
        server=login.server,
        proxy=None,
        pool=pool(login.tls, None, tls_name=login.tls_name),
    )


def _loaded_session(
    access: Access, environ: Mapping[str, str], programs: LoginPrograms
) -> _Session:
    """Log in with the loader of the `kubernetes` package."""
    from kubernetes.client import Configuration  # noqa: PLC0415 - slow

    configuration = Configuration()
    # What it finds in the environment is not what Go's programs find there.
    configuration.proxy = None
    try:
        identity, document, asked = for_loader(access, programs)
    except MALFORMED as error:
        # Not its text: it may quote a line with a key in it.
        raise unusable(access, f"not a kubeconfig: {type(error).__name__}") from None
    # The loader writes certificates and keys to files; they are read here and go away.
    with scratch.private() as folder:
        complaint = load(access, document, configuration, str(folder))
        _check(access, configuration, identity, complaint, asked=asked is not None)
        proxy = _proxy(configuration, environ)
        try:
            connections = _loaded_pool(configuration, proxy)
        except UnusableError as error:
            raise unusable(access, str(error)) from None

    def plugin() -> Mapping[str, str]:
        token = asked.credential().token if asked else ""
        return {"Authorization": header_text(f"Bearer {token}")} if token else {}

    return _Session(
        identity=identity,
        server=configuration.host,
        proxy=proxy,
        pool=connections,
        plugin=plugin,
    )


def _check(
    access: Access, configuration: Any, identity: Identity, complaint: str, *, asked: bool
) -> None:
    if not configuration.verify_ssl:
        text = f"context {access.context} of {access.kubeconfig} switches TLS verification off"
        hint = "Replace insecure-skip-tls-verify by certificate-authority-data, and add "
        hint += "tls-server-name if the certificate is for another name."
        raise PreflightError("CTO-1403", text, hint=hint)
    if not identity.is_known and not complaint and not asked:
        # Asked without one, the server would take us for somebody else.
        complaint = "it has neither a token nor a certificate"
    if complaint:
        text = f"the credentials of the kubeconfig's user {identity.name!r} cannot be had"
        raise ApiError("CTO-1602", text, details=api_errors.cut(complaint))


def _proxy(configuration: Any, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy: a kubeconfig's `proxy-url` is meant for its very server, whatever it is.

    That may well be the loopback address at the other end of a tunnel.
    """
    if configuration.proxy:
        return Proxy.of_kubeconfig(str(configuration.proxy))
    return Proxies(environ).of(configuration.host)


def _loaded_pool(configuration: Any, proxy: Proxy | None) -> Any:
    if not is_encrypted(configuration.host):
        return pool(None, proxy)
    tls = tls_context(configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    return pool(tls, proxy, tls_name=configuration.tls_server_name or "")


@contextmanager
def _translated(proxy: Proxy | None = None) -> Iterator[None]:
    """Turn the errors of urllib3 and of the socket below it into ours."""
    from urllib3 import exceptions  # noqa: PLC0415 - slow

    unsent = (
        exceptions.NewConnectionError,
        exceptions.ConnectTimeoutError,
        exceptions.NameResolutionError,
        exceptions.ProxyError,
        exceptions.SSLError,
        exceptions.LocationValueError,
    )
    try:
        yield
    except (exceptions.HTTPError, OSError) as error:
        if proxy and is_refusal(error):
            raise _refused(proxy) from None
        if proxy and (status := denied(error)):
            told = proxy.denial("the API server", status)
            raise NoAnswerError(told, sent=False, hint=told) from None
        by = f" (by {proxy})" if proxy else ""
        text = f"{api_errors.cut(str(error))}{by}"
        raise NoAnswerError(text, sent=not isinstance(error, unsent)) from None


def _refused(proxy: Proxy) -> NoAnswerError:
    return NoAnswerError(proxy.refusal, sent=False, hint=proxy.refusal)
