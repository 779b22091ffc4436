"""What of an object becomes another, field by field: what it is now against what a dry run answers.

What every run writes anew is left out, and so are values that may be secret: what is in Secrets and
ConfigMaps, in environment variables, command lines and annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cto.objects import Manifest, ObjectRef
from cto.plan.changes import Action, FieldChange, ObjectChange

# Of metadata only these are anybody's wish.
_WISHES = ("labels", "annotations", "finalizers", "ownerReferences")
# Written anew with every version of a chart, and by every apply.
_NOISE = (
    "helm.sh/chart",
    "app.kubernetes.io/version",
    "cto.dev/",
    "meta.helm.sh/",
    "checksum/",
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "rollme",
)
# What may hold a password: it is said that it changes, not what it is.
_HIDDEN = frozenset(
    {"data", "stringData", "binaryData", "value", "args", "command", "annotations", "caBundle"}
)
_RESTARTING = ("DaemonSet", "Deployment", "StatefulSet")
_KEYS = ("name", "containerPort", "port", "mountPath", "topologyKey", "type")
_LONGEST = 60
_MOST = 40


def change_of(ref: ObjectRef, live: Manifest | None, after: Manifest) -> ObjectChange | None:
    """Return what becomes of an object; None if it stays what it is.

    Args:
        ref: The object.
        live: As it is; None if it is not there.
        after: As it will be.
    """
    if live is None:
        return ObjectChange(ref=ref, action=Action.CREATE)
    fields = tuple(_differing(_essence(live), _essence(after), (), hidden=False))
    restarts = ref.kind in _RESTARTING and _template(live) != _template(after)
    if not (fields or restarts):
        return None
    return ObjectChange(ref=ref, action=Action.UPDATE, restarts=restarts, fields=fields[:_MOST])


def _template(manifest: Manifest) -> Any:
    return manifest.get("spec", {}).get("template")


def _essence(manifest: Manifest) -> dict[str, Any]:
    rest = {k: v for k, v in manifest.items() if k not in {"metadata", "status", "apiVersion"}}
    metadata = {k: v for k, v in manifest["metadata"].items() if k in _WISHES}
    return {**rest, "metadata": metadata}


def _differing(old: Any, new: Any, path: tuple[str, ...], *, hidden: bool) -> Iterator[FieldChange]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            if not _is_noise(key, path):
                inner = hidden or key in _HIDDEN
                yield from _differing(old.get(key), new.get(key), (*path, key), hidden=inner)
    elif isinstance(old, list) and isinstance(new, list) and (key := _key_of((*old, *new))):
        olds, news = ({str(item[key]): item for item in items} for items in (old, new))
        for name in dict.fromkeys((*olds, *news)):
            inner_path = (*path[:-1], f"{path[-1]}[{name}]")
            yield from _differing(olds.get(name), news.get(name), inner_path, hidden=hidden)
    else:
        yield FieldChange(".".join(path), _shown(old, hidden=hidden), _shown(new, hidden=hidden))


def _is_noise(key: str, path: tuple[str, ...]) -> bool:
    in_marks = bool(path) and path[-1] in {"labels", "annotations"}
    return in_marks and key.startswith(_NOISE)


def _key_of(items: tuple[Any, ...]) -> str:
    """Return what tells the items of a list apart; '' if nothing does."""
    if not all(isinstance(item, Mapping) for item in items):
        return ""
    return next((key for key in _KEYS if all(key in item for item in items)), "")


def _shown(value: Any, *, hidden: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping | list):
        return "..." if value else str(value)
    text = str(value)
    return "..." if hidden or len(text) > _LONGEST or "\n" in text else text
