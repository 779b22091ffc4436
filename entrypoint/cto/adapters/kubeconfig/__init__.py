"""Kubeconfig files: what is in them, and our own entries in and out of other people's."""

from cto.adapters.kubeconfig.entries import Entry, named, owned
from cto.adapters.kubeconfig.reading import NoContextError, choose_access, parts, paths, read
from cto.adapters.kubeconfig.secrets import login_secrets
from cto.adapters.kubeconfig.shared import SharedFile

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
