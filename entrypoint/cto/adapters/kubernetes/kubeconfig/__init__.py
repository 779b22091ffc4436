"""Kubeconfig files: what is in them, and our own entries in and out of other people's."""

from cto.adapters.kubernetes.kubeconfig.entries import Entry, named, owned
from cto.adapters.kubernetes.kubeconfig.reading import (
    NoContextError,
    choose_access,
    login_secrets,
    parts,
    paths,
    read,
)
from cto.adapters.kubernetes.kubeconfig.shared import SharedFile

__all__ = [
    "Entry",
    "NoContextError",
    "SharedFile",
    "choose_access",
    "login_secrets",
    "named",
    "owned",
    "parts",
    "paths",
    "read",
]
