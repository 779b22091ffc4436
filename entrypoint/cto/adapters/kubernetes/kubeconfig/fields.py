"""Every field that kubectl's kubeconfig has, and what becomes of it here.

The types of k8s.io/client-go/tools/clientcmd/api/v1, as data. Whatever is not refused counts for
our own connection as it does for helm's: two readers of one file have to be the same identity on
the same server. A test compares the tables with client-go's source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any


class ValueKind(Enum):
    """What Go decodes a field to; the words are for people."""

    TEXT = "a text"
    FLAG = "true or false"
    DATA = "base64"
    TEXTS = "a list of texts"
    TEXT_BY_NAME = "a mapping of texts"
    TEXTS_BY_NAME = "a mapping of lists of texts"
    PART = "a mapping"
    PARTS = "a list of mappings"
    NAMED = "a list of mappings, each with a name of its own"
    ANY = "anything"


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        of: The fields of a mapping, or of the mappings of a list.
        refused: Why a context that uses it cannot be used, and what to do; '' if it counts.
        is_path: Relative to the kubeconfig's folder.
    """

    kind: ValueKind
    of: Mapping[str, Field] | None = None
    refused: str = ""
    is_path: bool = False


_TEXT = Field(ValueKind.TEXT)
_FLAG = Field(ValueKind.FLAG)
_DATA = Field(ValueKind.DATA)
_FILE = Field(ValueKind.TEXT, is_path=True)

_EXTENSION = {"name": _TEXT, "extension": Field(ValueKind.ANY)}
_EXTENSIONS = Field(ValueKind.NAMED, _EXTENSION)

_EXEC_VARIABLE = {"name": _TEXT, "value": _TEXT}

EXEC: Mapping[str, Field] = {
    # A path only if it has a slash in it; else it is looked for in PATH.
    "command": _FILE,
    "args": Field(ValueKind.TEXTS),
    "env": Field(ValueKind.PARTS, _EXEC_VARIABLE),
    "apiVersion": _TEXT,
    "installHint": _TEXT,
    "provideClusterInfo": _FLAG,
    "interactiveMode": _TEXT,
}

AUTH_PROVIDER: Mapping[str, Field] = {"name": _TEXT, "config": Field(ValueKind.TEXT_BY_NAME)}

CLUSTER: Mapping[str, Field] = {
    "server": _TEXT,
    "tls-server-name": _TEXT,
    "insecure-skip-tls-verify": Field(
        ValueKind.FLAG,
        refused="switches TLS verification off: replace it by certificate-authority-data, and add "
        "tls-server-name if the certificate is for another name",
    ),
    "certificate-authority": _FILE,
    "certificate-authority-data": _DATA,
    "proxy-url": _TEXT,
    # Nothing that we ask comes compressed.
    "disable-compression": _FLAG,
    "extensions": _EXTENSIONS,
}

USER: Mapping[str, Field] = {
    "client-certificate": _FILE,
    "client-certificate-data": _DATA,
    "client-key": _FILE,
    "client-key-data": _DATA,
    "token": _TEXT,
    "tokenFile": _FILE,
    "as": _TEXT,
    "as-uid": _TEXT,
    "as-groups": Field(ValueKind.TEXTS),
    "as-user-extra": Field(ValueKind.TEXTS_BY_NAME),
    "username": _TEXT,
    "password": _TEXT,
    "auth-provider": Field(ValueKind.PART, AUTH_PROVIDER),
    "exec": Field(ValueKind.PART, EXEC),
    "extensions": _EXTENSIONS,
}

CONTEXT: Mapping[str, Field] = {
    "cluster": _TEXT,
    "user": _TEXT,
    # Ours is in every request and in every call of helm.
    "namespace": _TEXT,
    "extensions": _EXTENSIONS,
}

PREFERENCES: Mapping[str, Field] = {"colors": _FLAG, "extensions": _EXTENSIONS}

CONFIG: Mapping[str, Field] = {
    "kind": _TEXT,
    "apiVersion": _TEXT,
    "preferences": Field(ValueKind.PART, PREFERENCES),
    "clusters": Field(ValueKind.NAMED, {"name": _TEXT, "cluster": Field(ValueKind.PART, CLUSTER)}),
    "users": Field(ValueKind.NAMED, {"name": _TEXT, "user": Field(ValueKind.PART, USER)}),
    "contexts": Field(ValueKind.NAMED, {"name": _TEXT, "context": Field(ValueKind.PART, CONTEXT)}),
    "current-context": _TEXT,
    "extensions": _EXTENSIONS,
}


def local(entry: Mapping[str, Any], fields: Mapping[str, Field], base: Path) -> dict[str, Any]:
    """Return an entry whose paths no longer depend on the kubeconfig's folder."""
    found = dict(entry)
    for key, field in fields.items():
        value = entry.get(key)
        if field.is_path and value and isinstance(value, str):
            is_program = key == "command" and "/" not in value
            found[key] = value if is_program else str(base / value)
        elif field.kind is ValueKind.PART and isinstance(value, dict):
            found[key] = local(value, field.of or {}, base)
    return found
