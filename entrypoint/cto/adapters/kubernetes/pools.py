"""Pools of connections to one server, through the proxy that it is asked through."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

from cto.network import trust
from cto.network.proxies import Proxy

# Watches hold a connection each, and steps run in parallel.
_SIZE = 32
# Watches are silent for minutes, and whatever is between us and the server may forget them. The
# times are those of client-go: https://go.dev/src/net/dial.go
_KEEPALIVE = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15))


def pool(tls: ssl.SSLContext | None, proxy: Proxy | None, *, tls_name: str = "") -> Any:
    """Return urllib3's pool.

    Args:
        tls: Verifies the server; None if the connection is not encrypted.
        proxy: What to ask; None is the server itself.
        tls_name: The name that the server's certificate must have; '' for that of its address.
    """
    import urllib3  # noqa: PLC0415 - slow

    settings: dict[str, Any] = {
        "maxsize": _SIZE,
        "server_hostname": tls_name or None,
        "socket_options": [
            *urllib3.connection.HTTPConnection.default_socket_options,
            *_keepalive(),
        ],
    }
    if tls:
        settings["ssl_context"] = tls
    if proxy is None:
        return urllib3.PoolManager(**settings)
    if proxy.is_socks:
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 - as above

        return SOCKSProxyManager(proxy.url, **settings)
    if proxy.scheme == "https":
        settings["proxy_ssl_context"] = trust.system(os.environ)
    return urllib3.ProxyManager(proxy.address, proxy_headers=proxy.headers, **settings)


def _keepalive() -> list[tuple[int, int, int]]:
    """Return the options that this system has."""
    levels = {"SO": socket.SOL_SOCKET, "TCP": socket.IPPROTO_TCP}
    return [
        (levels[name.partition("_")[0]], getattr(socket, name), value)
        for name, value in _KEEPALIVE
        if hasattr(socket, name)
    ]
