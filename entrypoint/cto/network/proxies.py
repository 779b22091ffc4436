"""Which proxy a request goes through: what Go's programs read out of the same environment.

https://pkg.go.dev/golang.org/x/net/http/httpproxy says how. Python's own reading differs: it wants
a scheme, knows neither ranges nor ports in NO_PROXY, and asks loopback addresses through proxies.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from cto.errors import ConfigError

CODE = "CTO-1360"
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_VARIABLES = {"http": ("HTTP_PROXY", "http_proxy"), "https": ("HTTPS_PROXY", "https_proxy")}
_NO_PROXY = ("NO_PROXY", "no_proxy")
_FORM = "[http://][USER:PASSWORD@]HOST[:PORT]; the scheme may also be https, socks5 or socks5h"
_ESCAPES = (
    "In user and password, %23 stands for #, %2F for /, %40 for @, %5C for \\, %25 for %; letters "
    "and digits of ASCII and -._~!$&'()*+,;=: stand for themselves."
)
# What Go's net/url takes there (`validUserinfo`).
_LOGIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy.

    Attributes:
        origin: The variable, or whatever else names it.
        user: As bytes, unquoted; None without a log-in.
    """

    origin: str
    scheme: str
    host: str
    port: int
    user: bytes | None = field(default=None, repr=False)
    password: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, text: str, origin: str) -> Proxy:
        """Read an address; without a scheme it is that of an HTTP proxy.

        Raises:
            ConfigError: CTO-1360, it is none. The error holds no password.
        """
        parts = _split(text)
        if parts is None or parts.scheme not in _PORTS:
            message = f"{origin} is not the address of a proxy: {shown(text)}"
            hint = f"Write {_FORM}. {_ESCAPES}"
            raise ConfigError(CODE, message, hint=hint)
        login, at, _ = parts.netloc.rpartition("@")
        if not _LOGIN.fullmatch(login):
            # Go takes such a text for another proxy, or for none: helm would go straight.
            message = f"user or password in {origin} cannot be read by helm: {shown(text)}"
            raise ConfigError(CODE, message, hint=_ESCAPES)
        user, _, password = login.partition(":")
        return cls(
            origin=origin,
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            user=unquote_to_bytes(user) if at else None,
            password=unquote_to_bytes(password),
        )

    @classmethod
    def of_kubeconfig(cls, text: str) -> Proxy:
        """Read a `proxy-url`: kubectl and helm take fewer forms there than in the environment.

        https://pkg.go.dev/k8s.io/client-go/tools/clientcmd/api#Cluster names them.

        Raises:
            ConfigError: CTO-1360, they would refuse it.
        """
        origin = "the kubeconfig's proxy-url"
        if not text.lower().startswith(("http://", "https://", "socks5://")):
            message = f"{origin} has no scheme that kubectl and helm know: {shown(text)}"
            hint = "Write http://, https:// or socks5:// before it."
            raise ConfigError(CODE, message, hint=hint)
        return cls.parse(text, origin)

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def address(self) -> str:
        """Without the log-in."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """With the log-in, for a client. Names of hosts are the proxy's to look up, as in Go."""
        scheme, _, rest = self.address.partition("://")
        scheme = "socks5h" if self.is_socks else scheme
        if self.user is None:
            return f"{scheme}://{rest}"
        return f"{scheme}://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{rest}"

    @property
    def headers(self) -> dict[str, str]:
        """What an HTTP proxy is told: who asks."""
        if self.user is None or self.is_socks:
            return {}
        login = base64.b64encode(self.user + b":" + self.password).decode()
        return {"Proxy-Authorization": f"Basic {login}"}

    @property
    def refusal(self) -> str:
        """What it means if it refuses us, with what to change."""
        if self.user is None:
            scheme, _, rest = self.address.partition("://")
            wanted = f"{scheme}://USER:PASSWORD@{rest}"
            return f"{self} wants a log-in (407): set {self.origin} to {wanted}"
        return f"{self} refuses its user and password (407): correct them in {self.origin}"

    def denial(self, host: str, status: int) -> str:
        """What it means if it does not let a host through, with what to change."""
        return (
            f"{self} does not let us through to {host} ({status}): have the host allowed there, "
            "or, if it is reached without a proxy, name it in NO_PROXY"
        )

    def __str__(self) -> str:
        return f"the proxy {self.address} of {self.origin}"


class Proxies:
    """The proxies of an environment, which is read at each request: it may change meanwhile."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def of(self, url: str) -> Proxy | None:
        """Return the proxy for a request, None if it goes straight to its host.

        Raises:
            ConfigError: CTO-1360, the variable that counts holds no proxy's address.
        """
        parts = urlsplit(url)
        name, text = self._first(*_VARIABLES.get(parts.scheme, ()))
        if not text or self._is_direct(parts):
            return None
        if parts.scheme == "http" and self._environ.get("REQUEST_METHOD"):
            # Whoever calls a CGI program sets HTTP_PROXY by a header: https://golang.org/s/cgihttpproxy
            message = (
                f"{name} is not used, because REQUEST_METHOD is set: this may be a CGI program"
            )
            raise ConfigError(CODE, message, hint="Unset REQUEST_METHOD, or set NO_PROXY.")
        return Proxy.parse(text, name)

    def _is_direct(self, parts: SplitResult) -> bool:
        host = _ascii((parts.hostname or "").lower())
        ip = _ip(host)
        if host == "localhost" or (ip and ip.is_loopback):
            return True
        port = str(parts.port or _PORTS[parts.scheme])
        _, words = self._first(*_NO_PROXY)
        return any(_excepts(word.strip().lower(), host, ip, port) for word in words.split(","))

    def _first(self, *names: str) -> tuple[str, str]:
        """Return the first of these variables that is set, and its value."""
        found = ((name, self._environ.get(name, "")) for name in names)
        return next(((name, text) for name, text in found if text), ("", ""))


def shown(text: str) -> str:
    """Return an address without user and password, though it may be none."""
    scheme, mark, rest = text.rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{mark}***@{host}" if at else text


def passwords(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the passwords of all proxies of an environment, also of those that are not asked."""
    for name, text in environ.items():
        if name.lower().endswith("_proxy"):
            yield from password(text)


def password(text: str) -> Iterator[str]:
    """Yield the password of an address, which may be none, as it is written and as it is meant."""
    login, at, _ = text.rpartition("://")[2].rpartition("@")
    written = login.partition(":")[2]
    if at and written:
        yield from (written, unquote_to_bytes(written).decode(errors="replace"))


def is_refusal(error: BaseException) -> bool:
    """Tell whether a proxy refused the log-in, or the lack of one, when a tunnel was asked for."""
    # http.client and PySocks have nothing but these words for it.
    words = ("Tunnel connection failed: 407", "SOCKS5 authentication", "username/password supplied")
    text = str(innermost(error))
    return any(word in text for word in words)


def denied(error: BaseException) -> int:
    """Return the status with which a proxy refused a tunnel to a host for good; 0 if it did not."""
    found = re.search(r"Tunnel connection failed: (4\d\d)", str(innermost(error)))
    return int(found[1]) if found else 0


def innermost(error: BaseException) -> BaseException:
    """Return the first cause of an error of urllib3 or requests, wherever they put it."""
    chain = [error]
    while (inner := _inner(chain[-1])) and inner not in chain:
        chain.append(inner)
    return chain[-1]


def _inner(error: BaseException) -> BaseException | None:
    places = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    return next((item for item in places if isinstance(item, BaseException)), None)


def _split(text: str) -> SplitResult | None:
    """Return the parts of an address; None if it is none."""
    if any(char.isspace() or not char.isprintable() for char in text):
        return None
    with suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        # Nobody uses what follows the host, but it may be the rest of a password.
        behind = f"{parts.path}{parts.query}{parts.fragment}"
        # `port` raises for what is none.
        stray = "@" in behind or behind.startswith("//")
        if parts.hostname and parts.port != 0 and not stray:
            return parts
    return None


def _excepts(word: str, host: str, ip: _Ip | None, port: str) -> bool:
    """Tell whether a word of NO_PROXY means a host. What makes no sense means none."""
    if word == "*":
        return True
    with suppress(ValueError):
        # Go knows no masks that are written out.
        if word.rpartition("/")[2].isdecimal():
            return ip is not None and ip in ipaddress.ip_network(word, strict=False)
    name, wanted = _host_and_port(word)
    if not name or wanted not in ("", port):
        return False
    if other := _ip(name):
        return ip == other
    if ip is not None:
        return False
    name = _ascii(name[1:] if name.startswith("*.") else name)
    return host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}")


def _host_and_port(word: str) -> tuple[str, str]:
    """Part `host:port` and `[ip]:port`; an IPv6 address without brackets has no port."""
    if word.startswith("["):
        name, bracket, port = word[1:].partition("]:")
        return (name, port) if bracket else (word, "")
    return (word, "") if word.count(":") != 1 else (word.partition(":")[0], word.partition(":")[2])


def _ip(text: str) -> _Ip | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host
