"""What of a kubeconfig must be shown nowhere: programs quote it when they complain about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cto.adapters.kubeconfig.entries import named
from cto.adapters.kubeconfig.reading import read
from cto.errors import PreflightError
from cto.network import proxies

_FIELDS = ("token", "password", "client-key-data", "client-certificate-data")
_TELLING = re.compile(r"token|secret|password|key", re.IGNORECASE)


def login_secrets(file: Path) -> Iterator[str]:
    """Yield the secrets of all users and proxies; nothing of a file that cannot be read."""
    with suppress(PreflightError):
        document = read(file)
        for cluster in named(document, "clusters").values():
            yield from proxies.password(str(cluster.get("proxy-url") or ""))
        for user in named(document, "users").values():
            found = [*(user.get(key) for key in _FIELDS), *_named_so(user)]
            yield from (str(value) for value in found if value)
            if user.get("tokenFile"):
                yield from _content(file.parent / str(user["tokenFile"]))


def _named_so(user: Mapping[str, Any]) -> Iterator[Any]:
    """Yield settings of log-in programs whose names say that they are secrets."""
    provider, plugin = user.get("auth-provider"), user.get("exec")
    config = provider.get("config") if isinstance(provider, dict) else None
    if isinstance(config, dict):
        yield from (value for name, value in config.items() if _TELLING.search(str(name)))
    variables = plugin.get("env") if isinstance(plugin, dict) else None
    for variable in variables if isinstance(variables, list) else ():
        if isinstance(variable, dict) and _TELLING.search(str(variable.get("name"))):
            yield variable.get("value")


def _content(file: Path) -> Iterator[str]:
    with suppress(OSError, UnicodeDecodeError):
        yield file.read_text(encoding="utf-8").strip()
