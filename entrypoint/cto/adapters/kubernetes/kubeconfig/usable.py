"""Whether one context means the same to helm, to kubectl and to us.

The rules of client-go's `clientcmd.ConfirmUsable` and what follows it, before anything is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cto.adapters.kubernetes.kubeconfig.fields import CLUSTER, USER, Field

_SERVERS = ("http", "https")
_PROXIES = ("http", "https", "socks5")
_EXEC_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_MODES = ("Never", "IfAvailable")
_LINES = re.compile(r"[\x00-\x1f\x7f]")
_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f]")
_Part = Mapping[str, Any]


def problems(context: _Part, cluster: _Part, user: _Part) -> Iterator[str]:
    """Yield why a context cannot be used, by the field's name. Never a secret."""
    place = f"cluster {context.get('cluster')!r}"
    yield from (f"{place}: {why}" for why in _cluster(cluster))
    place = f"user {context.get('user')!r}"
    yield from (f"{place}: {why}" for why in _user(user))


def _cluster(cluster: _Part) -> Iterator[str]:
    yield from _refused(cluster, CLUSTER)
    yield from _server(str(cluster.get("server") or ""))
    yield from _both(cluster, "certificate-authority")
    scheme = urlsplit(str(cluster.get("proxy-url") or "")).scheme
    if cluster.get("proxy-url") and scheme not in _PROXIES:
        yield f"proxy-url has the scheme {scheme!r}, and must have one of {', '.join(_PROXIES)}"


def _server(text: str) -> Iterator[str]:
    """Yield what helm would read otherwise than we do, or not at all. Never the text itself."""
    scheme, mark, _ = text.partition("://")
    parts = _address(text)
    if not text:
        yield "server is missing"
    elif not mark or scheme.lower() not in _SERVERS:
        # To helm it is one without encryption, whatever its port.
        yield "server must begin with https:// (or http://)"
    elif parts is None:
        yield "server must be https://HOST[:PORT]"
    elif "@" in parts.netloc:
        # Go logs in with it where there is nothing else, and shows it in errors.
        yield "server holds a log-in, which belongs to the kubeconfig's user"
    elif parts.query or parts.fragment:
        yield "server must not go on with ? or #: helm passes over what is behind"


def _address(text: str) -> SplitResult | None:
    """Return the parts of an address; None if it has no host, or no port that can be."""
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.hostname and parts.port != 0 and not _NO_ADDRESS.search(text):
            return parts
    return None


def _user(user: _Part) -> Iterator[str]:
    yield from _refused(user, USER)
    if _LINES.search(str(user.get("token") or "")):
        yield "token has a line end or a control character in it"
    if user.get("client-certificate") or user.get("client-certificate-data"):
        yield from _both(user, "client-certificate")
        yield from _both(user, "client-key")
        if not user.get("client-key") and not user.get("client-key-data"):
            yield "client-key is missing beside client-certificate"
    yield from _ways(user)
    yield from _impersonation(user)
    if user.get("exec"):
        yield from _exec(user["exec"])
    if user.get("auth-provider"):
        yield from _auth_provider(user["auth-provider"])


def _refused(entry: _Part, fields: Mapping[str, Field]) -> Iterator[str]:
    for key, field in fields.items():
        if field.refused and entry.get(key):
            yield f"{key}: {field.refused}"


def _both(entry: _Part, key: str) -> Iterator[str]:
    if entry.get(key) and entry.get(f"{key}-data"):
        yield f"{key} and {key}-data are both there, and kubectl takes one alone"


def _ways(user: _Part) -> Iterator[str]:
    """Yield ways to log in of which only one can be meant."""
    token = "token" if user.get("token") else "tokenFile"
    for one, other in (
        ("username", token),
        ("username", "exec"),
        ("username", "auth-provider"),
        ("exec", "auth-provider"),
    ):
        if user.get(one) and user.get(other):
            yield f"{one} and {other} are both there: who is to log in cannot be told"
    if user.get("password") and user.get("token"):
        yield "password and token are both there: who is to log in cannot be told"


def _impersonation(user: _Part) -> Iterator[str]:
    if not user.get("as"):
        for key in ("as-uid", "as-groups", "as-user-extra"):
            if user.get(key):
                yield f"{key} says more about a user that `as` does not name"
    extra = user.get("as-user-extra") or {}
    values = [user.get("as"), user.get("as-uid"), *(user.get("as-groups") or ())]
    values += [value for each in extra.values() for value in each or ()]
    if any(_LINES.search(str(value or "")) for value in values):
        yield "a name under `as` has a line end or a control character in it"


def _exec(exec_: _Part) -> Iterator[str]:
    version, mode = exec_.get("apiVersion"), exec_.get("interactiveMode")
    if not exec_.get("command"):
        yield "exec.command is missing"
    if version not in _EXEC_VERSIONS:
        yield f"exec.apiVersion is {version!r}, and must be one of {', '.join(_EXEC_VERSIONS)}"
    if not mode and version == _EXEC_VERSIONS[0]:
        yield "exec.interactiveMode is missing"
    if mode == "Always":
        yield (
            "exec.interactiveMode is Always: helm is run without a terminal, and could not ask. "
            "Log in with a token: kubectl create token SERVICEACCOUNT"
        )
    elif mode and mode not in _MODES:
        yield f"exec.interactiveMode is {mode!r}, and must be one of {', '.join(_MODES)}"
    if any(not (variable or {}).get("name") for variable in exec_.get("env") or ()):
        yield "exec.env has a variable without a name"


def _auth_provider(provider: _Part) -> Iterator[str]:
    name = provider.get("name")
    if name != "oidc":
        yield (
            f"auth-provider {name!r} is no longer known to kubectl and helm: use the cloud's exec "
            "plugin in its place"
        )
    elif not (provider.get("config") or {}).get("id-token"):
        yield "auth-provider oidc has no id-token: log in with kubectl once, which writes one"
