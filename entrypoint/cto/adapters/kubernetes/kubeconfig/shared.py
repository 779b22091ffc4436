"""A kubeconfig that others write too: our own entries in and out of it."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cto.adapters.host import Host
from cto.adapters.kubernetes.kubeconfig import text as texts
from cto.adapters.kubernetes.kubeconfig.entries import (
    SECTIONS,
    Entry,
    has,
    has_any,
    made_document,
    made_file,
    owned,
)
from cto.adapters.kubernetes.kubeconfig.lock import KubeLock
from cto.adapters.kubernetes.kubeconfig.reading import parse, read, read_text
from cto.adapters.replacing import replace_file, sweep
from cto.errors import PreflightError
from cto.holder import Containers, NoContainers
from cto.ports import Clock

_NO_CONTAINERS = NoContainers()
_CURRENT = "current-context"
_COPY = ".before-cto"


class SharedFile:
    """A kubeconfig that others write too: every change is made under kubectl's own lock.

    Args:
        owner: User and group of the file, should it have to be made; None: those of its folder.
        containers: Tells whether a lock of ours belongs to somebody who lives.
        beside: Other files that kubectl reads together with this one.
    """

    def __init__(
        self,
        file: Path,
        clock: Clock,
        host: Host,
        *,
        owner: tuple[int, int] | None = None,
        containers: Containers = _NO_CONTAINERS,
        beside: Sequence[Path] = (),
    ) -> None:
        self.file = file
        self._owner = owner
        self._beside = tuple(beside)
        self._copy = file.with_name(f"{file.name}{_COPY}")
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
            if has(read(self.file), name):
                raise
            return False

    def _merge(self, entry: Entry, *, make_current: bool) -> bool:
        text = read_text(self.file)
        document = parse(text, self.file)
        if not self._is_free(document, entry.name):
            return False
        change = self._change(document, entry, make_current=make_current)
        if change is not None:
            sections, current = change
            self._replace(
                text, lambda: texts.put(text, sections, current), _put(document, sections, current)
            )
        return True

    def _is_whole(self, entry: Entry, *, make_current: bool) -> bool:
        with suppress(PreflightError):
            document = read(self.file)
            return self._change(document, entry, make_current=make_current) is None
        return False

    def _is_free(self, document: Mapping[str, Any], name: str) -> bool:
        """Whether nobody else has the name, in this file or, for kubectl, in one beside it."""
        return all(owned(each, name) for each in (document, *self._others()))

    def _others(self) -> Iterator[Mapping[str, Any]]:
        for file in self._beside:
            with suppress(PreflightError):
                yield read(file)

    def _change(
        self, document: Mapping[str, Any], entry: Entry, *, make_current: bool
    ) -> tuple[dict[str, dict[str, Any]], str | None] | None:
        """Return the entries and the current context that are to be set; None if all is there."""
        made = not self.file.exists() or made_file(document, entry.name)
        sections = entry.sections(made_file=made)
        there = all(item in (document.get(section) or ()) for section, item in sections.items())
        current = document.get(_CURRENT)
        # With several files the first that names a current context decides.
        has_current = current or any(other.get(_CURRENT) for other in self._others())
        new = entry.name if make_current or not has_current else None
        if there and new in (None, current):
            return None
        return sections, new

    def _remove(self, name: str, *, delete_empty: bool) -> bool:
        text = read_text(self.file)
        document = parse(text, self.file)
        if not has(document, name):
            return False
        current = "" if document.get(_CURRENT) == name else None
        changed = _taken(document, name, current)
        ours = delete_empty or made_file(document, name)
        if ours and not any(changed.get(section) for section in SECTIONS):
            # What is a mount of its own cannot go.
            with suppress(OSError):
                self.file.unlink()
                return True
        self._replace(text, lambda: texts.take(text, name, current), changed)
        self._drop_copy()
        return True

    def _drop_copy(self) -> None:
        """Delete the copy once the file is again what it was: it has nothing that is not there."""
        with suppress(OSError):
            if self._copy.read_bytes() == self.file.read_bytes():
                self._copy.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._lock.acquire()
        except OSError as error:
            raise _unwritable(self.file, error) from error
        try:
            sweep(self.file)
            sweep(self._copy)
            yield
        finally:
            self._lock.release()

    def _replace(self, old: str, edit: Callable[[], str], wanted: Mapping[str, Any]) -> None:
        """Write a new text, if it says what it should: everything that was there, and ours."""
        try:
            new = edit()
        except texts.UnsafeError as error:
            raise _unsafe(self.file, str(error)) from error
        try:
            # As texts: 1, 1.0 and True are equal to each other.
            same = repr(parse(new, self.file)) == repr(dict(wanted))
        except PreflightError:
            same = False
        if not same:
            raise _unsafe(self.file, "another entry would no longer be what it is")
        try:
            self._keep(old)
            replace_file(self.file, new, owner=self._owner)
        except OSError as error:
            raise _unwritable(self.file, error) from error

    def _keep(self, text: str) -> None:
        """Keep a copy of the file as it was before our first entry; never another one."""
        if text and not self._copy.exists() and not has_any(parse(text, self.file)):
            status = self.file.stat()
            replace_file(self._copy, text, owner=(status.st_uid, status.st_gid))
            self._copy.chmod(status.st_mode & 0o7777)


def _put(
    document: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]], current: str | None
) -> dict[str, Any]:
    """Return what a file has to say with our entries in it."""
    if not document:
        return made_document(sections, current or "")
    changed = dict(document)
    for section, item in sections.items():
        items = list(document.get(section) or ())
        places = [index for index, other in enumerate(items) if _is_named(other, item["name"])]
        if places:
            items[places[0]] = dict(item)
        else:
            items.append(dict(item))
        changed[section] = [items[i] for i in range(len(items)) if i not in places[1:]]
    return changed if current is None else {**changed, _CURRENT: current}


def _taken(document: Mapping[str, Any], name: str, current: str | None) -> dict[str, Any]:
    """Return what a file has to say without our entries."""
    changed = dict(document)
    for section in SECTIONS:
        items = document.get(section) or ()
        if any(_is_named(item, name) for item in items):
            changed[section] = [item for item in items if not _is_named(item, name)]
    return changed if current is None else {**changed, _CURRENT: current}


def _is_named(item: object, name: str) -> bool:
    return isinstance(item, dict) and item.get("name") == name


def _unsafe(file: Path, why: str) -> PreflightError:
    return PreflightError(
        "CTO-1403",
        f"{file}: cannot be changed without a risk for what is in it: {why}",
        hint="Nothing was written. Name another file (--kubeconfig FILE), or let kubectl write it "
        f"in its own way: KUBECONFIG={shlex.quote(str(file))} kubectl config view --raw > NEW, and "
        "put NEW in its place",
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
