"""What one context of a kubeconfig needs, and the mark on those that are ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Marks an entry as ours, where minikube puts its own mark.
_MARK = "cto.dev"
SECTIONS = ("clusters", "users", "contexts")


@dataclass(frozen=True)
class Entry:
    """What one context needs, under one name."""

    name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any] = field(repr=False)

    def sections(self, *, made_file: bool = False) -> dict[str, dict[str, Any]]:
        """Return the parts, marked as ours, and as the reason why there is a file at all."""
        # Not one mark for both: YAML would write the second as a reference to the first.
        cluster = {**self.cluster, **_mark(made_file=made_file)}
        context = {"cluster": self.name, "user": self.name, **_mark(made_file=made_file)}
        return {
            "clusters": {"name": self.name, "cluster": cluster},
            "users": {"name": self.name, "user": dict(self.user)},
            "contexts": {"name": self.name, "context": context},
        }

    def document(self) -> dict[str, Any]:
        """Return a kubeconfig with nothing else in it."""
        return made_document(self.sections(), self.name)


def made_document(sections: Mapping[str, Mapping[str, Any]], current: str) -> dict[str, Any]:
    """Return a kubeconfig that has these entries alone."""
    lists = {section: [dict(item)] for section, item in sections.items()}
    return {"apiVersion": "v1", "kind": "Config", **lists, "current-context": current}


def named(document: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """Return the entries of `clusters`, `users` or `contexts` by name; the first one wins."""
    inner = section.removesuffix("s")
    items: dict[str, dict[str, Any]] = {}
    for item in document.get(section) or ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            items.setdefault(item["name"], item.get(inner) or {})
    return items


def owned(document: Mapping[str, Any], name: str) -> bool:
    """Whether the entry of that name is ours, or free to take."""
    return all(
        _marked(entries[name])
        for entries in (named(document, "contexts"), named(document, "clusters"))
        if name in entries
    )


def has(document: Mapping[str, Any], name: str) -> bool:
    """Whether there is an entry of that name, and it is ours."""
    return name in named(document, "contexts") and owned(document, name)


def has_any(document: Mapping[str, Any]) -> bool:
    """Whether there is an entry of ours, under any name."""
    return any(_marked(context) for context in named(document, "contexts").values())


def made_file(document: Mapping[str, Any], name: str) -> bool:
    """Whether there was no file before our entry came."""
    entry = named(document, "contexts").get(name) or {}
    return bool((_marking(entry) or {}).get("made-file"))


def _mark(*, made_file: bool) -> dict[str, Any]:
    content = {"managed": True, **({"made-file": True} if made_file else {})}
    return {"extensions": [{"name": _MARK, "extension": content}]}


def _marked(entry: Mapping[str, Any]) -> bool:
    return _marking(entry) is not None


def _marking(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    extensions = entry.get("extensions")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, dict) and extension.get("name") == _MARK:
            content = extension.get("extension")
            return content if isinstance(content, dict) else {}
    return None
