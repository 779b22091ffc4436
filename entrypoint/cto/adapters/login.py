"""What a kubeconfig says about one context, if it says it with certificates or a token alone.

The loader of the `kubernetes` package knows every way to log in, and takes a quarter of a second
to be imported: a quarter of what `cto status` may take. Clusters of one's own (kind, kwok, k3s,
kubeadm) need nothing of it.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cto.adapters import scratch
from cto.adapters.identity import Identity, is_encrypted
from cto.adapters.kubeconfig import parts, read
from cto.adapters.kubeconfig.fields import CLUSTER, USER, local
from cto.errors import CtoError
from cto.network import trust
from cto.ports import Access

# What only the loader of the `kubernetes` package can do.
_LOADED = {"proxy-url", "insecure-skip-tls-verify", "exec"}

# What the loader knows of a user where no plugin is asked.
_ALWAYS = frozenset(
    f"client-{what}{data}" for what in ("certificate", "key") for data in ("", "-data")
)


@dataclass(frozen=True)
class Login:
    """Where the API server is, and how it knows us.

    Attributes:
        identity: As whom.
        tls: None if the connection is not encrypted.
        tls_name: The name that the server's certificate must have; '' for that of its address.
    """

    server: str
    identity: Identity
    tls: ssl.SSLContext | None
    tls_name: str = ""


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """Return what verifies the server, and shows our certificate if there is one.

    Without an authority of its own the server is trusted if helm and kubectl trust it, which know
    nothing of CTO_CA_FILE.

    Raises:
        ConfigError: CTO-1360, a file or folder of the environment holds nothing to trust.
        UnusableError: The kubeconfig's certificates, or its key, are none.
    """
    if ca_file:
        with _told("certificate-authority"):
            context = trust.relaxed(ssl.create_default_context(cafile=ca_file))
    else:
        context = trust.system(os.environ)
    if cert_file:
        with _told("client-certificate with client-key"):
            # A key that is encrypted: helm cannot use it either, and nobody is asked for its word.
            context.load_cert_chain(cert_file, key_file, password=str)
    return context


class UnusableError(ValueError):
    """A certificate or key cannot be used; the text tells which, and why."""


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        # Of a TLS error the words alone: before them is a place in Python's source.
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        text = f"{what}: {str(why).replace('_', ' ').lower()}"
        raise UnusableError(text) from None


def plain_login(access: Access, environ: Mapping[str, str] = os.environ) -> Login | None:
    """Return the login; None if it takes more, or something is wrong: the loader knows better."""
    if any(name.lower().endswith("_proxy") for name in environ):
        return None
    # What is wrong is told by the loader, in its words.
    with suppress(CtoError, OSError, AttributeError, KeyError, TypeError, ValueError):
        context, cluster, user = parts(read(access.kubeconfig), access.context)
        identity = Identity(
            context["user"], user, access.kubeconfig.parent, str(cluster.get("server") or "")
        )
        if identity.is_known and not any(cluster.get(key) for key in _LOADED):
            return _login(access.kubeconfig.parent, identity, cluster, user)
    return None


def for_loader(access: Access) -> tuple[Identity, Mapping[str, Any]]:
    """Return who logs in, and a kubeconfig for the loader with that one context.

    It gets what a plugin is needed for, and certificates. How a token, a password and a name to act
    as go together it does not do as client-go does.
    """
    context, cluster, user = parts(read(access.kubeconfig), access.context)
    base = access.kubeconfig.parent
    server = str(cluster.get("server") or "")
    identity = Identity(str(context.get("user") or ""), user, base, server)
    known = _ALWAYS if identity.is_known else {*_ALWAYS, "exec"}
    kept = {key: value for key, value in user.items() if key in known}
    entries = {"context": context, "cluster": local(cluster, CLUSTER, base)}
    entries["user"] = local(kept, USER, base)
    names = {"context": access.context, **{key: context.get(key) for key in ("cluster", "user")}}
    return identity, {f"{key}s": [{"name": names[key], key: entries[key]}] for key in entries}


def _login(
    base: Path, identity: Identity, cluster: Mapping[str, Any], user: Mapping[str, Any]
) -> Login:
    server = str(cluster["server"]).rstrip("/")
    return Login(
        server=server,
        identity=identity,
        tls=_tls(base, cluster, user) if is_encrypted(server) else None,
        tls_name=str(cluster.get("tls-server-name") or ""),
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
