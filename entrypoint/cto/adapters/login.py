"""What a kubeconfig says about one context, if it says it with certificates or a token alone.

The loader of the `kubernetes` package knows every way to log in, and takes a quarter of a second
to be imported: a quarter of what `cto status` may take. Clusters of one's own (kind, kwok, k3s,
kubeadm) need nothing of it.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cto.adapters import scratch
from cto.adapters.kubeconfig import named, read
from cto.errors import CtoError
from cto.network import trust
from cto.ports import Access

_CLUSTER = {
    "certificate-authority",
    "certificate-authority-data",
    "disable-compression",
    "extensions",
    "server",
    "tls-server-name",
}
_USER = {
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "extensions",
    "token",
}


@dataclass(frozen=True)
class Login:
    """Where the API server is, and how it knows us.

    Attributes:
        user: Name of the kubeconfig's user.
        tls: None if the connection is not encrypted.
        tls_name: The name that the server's certificate must have; '' for that of its address.
    """

    server: str
    user: str
    tls: ssl.SSLContext | None
    tls_name: str = ""
    token: str = field(default="", repr=False)


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """Return what verifies the server, and shows our certificate if there is one.

    Without an authority of its own the server is trusted if helm and kubectl trust it, which know
    nothing of CTO_CA_FILE.

    Raises:
        ConfigError: CTO-1360, a file or folder of the environment holds nothing to trust.
    """
    if ca_file:
        context = trust.relaxed(ssl.create_default_context(cafile=ca_file))
    else:
        context = trust.system(os.environ)
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


def plain_login(access: Access, environ: Mapping[str, str] = os.environ) -> Login | None:
    """Return the login; None if it takes more, or something is wrong: the loader knows better."""
    if any(name.lower().endswith("_proxy") for name in environ):
        return None
    # What is wrong is told by the loader, in its words.
    with suppress(CtoError, OSError, AttributeError, KeyError, TypeError, ValueError):
        document = read(access.kubeconfig)
        context = named(document, "contexts")[access.context]
        cluster = named(document, "clusters")[context["cluster"]]
        user = named(document, "users")[context["user"]]
        if set(cluster) <= _CLUSTER and set(user) <= _USER:
            return _login(access.kubeconfig.parent, context["user"], cluster, user)
    return None


def _login(base: Path, name: str, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> Login:
    server = str(cluster["server"]).rstrip("/")
    return Login(
        server=server,
        user=name,
        tls=_tls(base, cluster, user) if server.startswith("https://") else None,
        tls_name=str(cluster.get("tls-server-name") or ""),
        token=str(user.get("token") or ""),
    )


def _tls(base: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    # Python reads a private key from files only.
    with ExitStack() as stack:
        files = [
            _file(entry, key, base, stack)
            for entry, key in (
                (cluster, "certificate-authority"),
                (user, "client-certificate"),
                (user, "client-key"),
            )
        ]
        return tls_context(*files)


def _file(entry: Mapping[str, Any], key: str, base: Path, stack: ExitStack) -> str | None:
    """Return the file with a certificate or key; what stands in the kubeconfig itself comes first.

    Relative names are relative to the kubeconfig.
    """
    if data := entry.get(f"{key}-data"):
        return str(stack.enter_context(scratch.secret_file(base64.b64decode(data))))
    return str(base / entry[key]) if entry.get(key) else None
