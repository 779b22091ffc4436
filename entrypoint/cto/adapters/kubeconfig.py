"""Kubeconfig files: what is in them, and our own entries in and out of other people's.

Files are decoded YAML here: keys that we do not know stay as they are.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cto.adapters.host import Host
from cto.adapters.kubelock import KubeLock
from cto.adapters.replacing import replace_file, sweep
from cto.errors import PreflightError, UsageError
from cto.holder import Containers, NoContainers
from cto.objects import dump_yaml, load_yaml
from cto.ports import Access, Clock

# Marks an entry as ours, where minikube puts its own mark.
_MARK = "cto.dev"
_SECTIONS = ("clusters", "users", "contexts")
_NO_CONTAINERS = NoContainers()


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
        lists = {section: [item] for section, item in self.sections().items()}
        return {"apiVersion": "v1", "kind": "Config", **lists, "current-context": self.name}


def paths(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Return the files that kubectl would read, the one that it writes first."""
    listed = [Path(name) for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return tuple(listed) or (home / ".kube" / "config",)


def read(file: Path) -> dict[str, Any]:
    """Return a kubeconfig's content, {} if there is no such file.

    Raises:
        PreflightError: CTO-1403, it is no kubeconfig.
    """
    try:
        data = load_yaml(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(file, str(error)) from error
    except yaml.YAMLError as error:
        # Not the error's text: it may quote a line with a key in it.
        mark = getattr(error, "problem_mark", None)
        raise _unusable(file, f"not YAML at line {mark.line + 1 if mark else '?'}") from None
    if not isinstance(data, dict):
        raise _unusable(file, "the document is not a mapping")
    return data


def named(document: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """Return the entries of `clusters`, `users` or `contexts` by name; the first one wins."""
    inner = section.removesuffix("s")
    items: dict[str, dict[str, Any]] = {}
    for item in document.get(section) or ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            items.setdefault(item["name"], item.get(inner) or {})
    return items


def choose_access(files: Sequence[Path], context: str = "") -> Access:
    """Return the cluster to work on: the named context, or the only one there is.

    Raises:
        UsageError: CTO-1201 (several), CTO-1202 (none), CTO-1203 (not there).
        PreflightError: CTO-1403, a file cannot be used.
    """
    documents = {file: read(file) for file in files}
    where: dict[str, Path] = {}
    for file, document in documents.items():
        for name in named(document, "contexts"):
            where.setdefault(name, file)
    if context and context not in where:
        raise UsageError(
            "CTO-1203",
            f"There is no context {context!r} in {_listed(files)}",
            details="\n".join(where),
        )
    if not where:
        raise UsageError("CTO-1202", f"No context in {_listed(files)}")
    if not context and len(where) > 1:
        raise _several(documents, where)
    chosen = context or next(iter(where))
    _check_whole(documents[where[chosen]], where[chosen], chosen)
    return Access(where[chosen], chosen)


def _several(documents: Mapping[Path, Mapping[str, Any]], where: Mapping[str, Path]) -> UsageError:
    current = next((d["current-context"] for d in documents.values() if _current(d)), "")
    uses = f" (kubectl uses {current!r})" if current in where else ""
    return UsageError(
        "CTO-1201",
        f"There are {len(where)} contexts in {_listed(tuple(documents))}, and none was named{uses}",
        # Nothing else on these lines: they are there to be pasted.
        details="\n".join(f"--context {shlex.quote(name)}" for name in where),
        hint="Repeat the command with one of these lines at its end.",
    )


def _check_whole(document: Mapping[str, Any], file: Path, name: str) -> None:
    """Refuse a context whose parts lie in another file: programs get one file from us."""
    context = named(document, "contexts")[name]
    for section, key in (("clusters", "cluster"), ("users", "user")):
        if context.get(key) not in named(document, section):
            raise PreflightError(
                "CTO-1403",
                f"{file}: context {name!r} names {key} {context.get(key)!r}, which is not in "
                "this file",
                hint=f"Put all parts into one file: kubectl config view --flatten --minify --raw "
                f"--context {shlex.quote(name)} > FILE, then add --kubeconfig FILE",
            )


def _current(document: Mapping[str, Any]) -> bool:
    return bool(document.get("current-context"))


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))


def owned(document: Mapping[str, Any], name: str) -> bool:
    """Whether the entry of that name is ours, or free to take."""
    return all(
        _marked(entries[name])
        for entries in (named(document, "contexts"), named(document, "clusters"))
        if name in entries
    )


def _has(document: Mapping[str, Any], name: str) -> bool:
    """Whether there is an entry of that name, and it is ours."""
    return name in named(document, "contexts") and owned(document, name)


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


def _made_file(document: Mapping[str, Any], name: str) -> bool:
    """Whether there was no file before our entry came."""
    entry = named(document, "contexts").get(name) or {}
    return bool((_marking(entry) or {}).get("made-file"))


class SharedFile:
    """A kubeconfig that others write too: every change is made under kubectl's own lock.

    Args:
        owner: User and group of the file, should it have to be made; None: those of its folder.
        containers: Tells whether a lock of ours belongs to somebody who lives.
    """

    def __init__(
        self,
        file: Path,
        clock: Clock,
        host: Host,
        *,
        owner: tuple[int, int] | None = None,
        containers: Containers = _NO_CONTAINERS,
    ) -> None:
        self.file = file
        self._owner = owner
        self._lock = KubeLock(file, clock, host, containers)

    def merge(self, entry: Entry, *, make_current: bool = False) -> bool:
        """Put our entry in; False if an entry of that name is somebody else's.

        `current-context` is set if there was none, or if asked for.

        Raises:
            PreflightError: CTO-1403 (not a kubeconfig, not writable), CTO-1404 (locked).
        """
        try:
            with self._locked():
                return self._merge(entry, make_current=make_current)
        except PreflightError:
            # Where nothing has to be written, nothing has to be writable.
            if self._is_whole(entry, make_current=make_current):
                return True
            raise

    def remove(self, name: str, *, delete_empty: bool = False) -> bool:
        """Take our entry out; False if there was none.

        Args:
            name: Of the entry.
            delete_empty: Delete the file if nothing else is left in it, though our entry does
                not say that the file is ours.

        Raises:
            PreflightError: CTO-1403, CTO-1404 as with `merge`, and our entry is in it.
        """
        if not self.file.parent.is_dir():
            return False
        try:
            with self._locked():
                return self._remove(name, delete_empty=delete_empty)
        except PreflightError:
            if _has(read(self.file), name):
                raise
            return False

    def _merge(self, entry: Entry, *, make_current: bool) -> bool:
        document = read(self.file)
        if not owned(document, entry.name):
            return False
        changed = self._merged(document, entry, make_current=make_current)
        if changed is not None:
            self._write(changed)
        return True

    def _is_whole(self, entry: Entry, *, make_current: bool) -> bool:
        with suppress(PreflightError):
            document = read(self.file)
            return self._merged(document, entry, make_current=make_current) is None
        return False

    def _merged(
        self, document: Mapping[str, Any], entry: Entry, *, make_current: bool
    ) -> dict[str, Any] | None:
        """Return what the file should be; None if it is that already."""
        made_file = not self.file.exists() or _made_file(document, entry.name)
        items = entry.sections(made_file=made_file).items()
        there = all(item in (document.get(section) or ()) for section, item in items)
        current = document.get("current-context")
        if there and current and (current == entry.name or not make_current):
            return None
        changed = _without(document, entry.name)
        for section, item in items:
            changed[section] = [*(changed.get(section) or ()), item]
        changed = {"apiVersion": "v1", "kind": "Config", **changed}
        if make_current or not _current(changed):
            changed["current-context"] = entry.name
        return changed

    def _remove(self, name: str, *, delete_empty: bool) -> bool:
        document = read(self.file)
        if not _has(document, name):
            return False
        changed = _without(document, name)
        if changed.get("current-context") == name:
            changed["current-context"] = ""
        ours = delete_empty or _made_file(document, name)
        if ours and not any(changed.get(section) for section in _SECTIONS):
            # What is a mount of its own cannot go.
            with suppress(OSError):
                self.file.unlink()
                return True
        self._write(changed)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._lock.acquire()
        except OSError as error:
            raise _unwritable(self.file, error) from error
        try:
            sweep(self.file)
            yield
        finally:
            self._lock.release()

    def _write(self, document: Mapping[str, Any]) -> None:
        try:
            replace_file(self.file, dump_yaml(dict(document)), owner=self._owner)
        except OSError as error:
            raise _unwritable(self.file, error) from error


def _without(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    changed = dict(document)
    for section in _SECTIONS:
        items = document.get(section) or []
        changed[section] = [
            item for item in items if not (isinstance(item, dict) and item.get("name") == name)
        ]
    return changed


def _unusable(file: Path, why: str) -> PreflightError:
    return PreflightError(
        "CTO-1403",
        f"{file}: {why}",
        hint=f"Check {shlex.quote(str(file))}, or name another file with --kubeconfig FILE.",
    )


def _unwritable(file: Path, error: OSError) -> PreflightError:
    folder = shlex.quote(str(file.parent))
    match error.errno:
        case errno.EROFS:
            hint = f"It is mounted to be read only. In a container: mount {folder} without `:ro`."
        case errno.ENOSPC | errno.EDQUOT:
            hint = f"Make room where it lies (df -h {folder}), then repeat the command."
        case _:
            hint = f"See who may write to it and to its folder: ls -la {folder}"
    text = f"{file}: cannot be written: {error.strerror}"
    return PreflightError("CTO-1403", text, hint=hint)
