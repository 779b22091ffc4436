"""Finds whatever is wrong with a bundle, and says which file it is and which images need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event as Flag

from cto.errors import IntegrityError
from cto_airgap.bundle import children
from cto_airgap.contents import Item
from cto_airgap.layout import INDEX, MARKER, MARKER_BYTES, Layout
from cto_airgap.oci import Descriptor, Digest, Document, algorithm_of, digest_of_file
from cto_airgap.transfers import each

_NAMED = 5


class Flaw(StrEnum):
    """What may be wrong with a file."""

    MISSING = "missing"
    SIZE = "wrong size"
    BYTES = "wrong bytes"
    SURPLUS = "nothing needs it"


@dataclass(frozen=True, order=True)
class DamagedFile:
    """One file that is not right.

    Attributes:
        file: Its path below the bundle's folder.
        detail: What was expected and what was found.
        needed_by: Names of the images and charts that cannot do without it.
    """

    file: str
    flaw: Flaw
    detail: str = ""
    needed_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        if not self.needed_by:
            return f"{self.file}: {self.flaw}{detail}"
        more = len(self.needed_by) - _NAMED
        names = ", ".join(self.needed_by[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{self.file}: {self.flaw}{detail}, needed by {names}"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was looked at.

    Attributes:
        problems: Sorted by file; none means that every bit is right.
        files: How many were hashed.
        size: Their bytes.
    """

    digest: Digest
    files: int
    size: int
    problems: tuple[DamagedFile, ...] = ()


@dataclass
class _Needed:
    """A file that should be there, and who says so."""

    descriptor: Descriptor
    by: list[str] = field(default_factory=list)


def verify(folder: Path, *, workers: int = 0, stop: Flag | None = None) -> Verified:
    """Hash every file of a bundle.

    Args:
        folder: The bundle.
        workers: How many files at once; as many as there are cores if 0.
        stop: Ends it, with Cancelled.

    Raises:
        IntegrityError: CTO-1811, there is no bundle, or its index is damaged.
        Cancelled: `stop` was set.
    """
    layout = Layout(folder)
    contents = layout.contents()
    needed: dict[Digest, _Needed] = {}
    for item in contents.items:
        _collect(layout, item, needed)
    # The largest first: the last one alone keeps one core busy.
    wanted = sorted(needed.values(), key=lambda one: -one.descriptor.size)
    found = each(
        lambda one: _look(layout, one),
        wanted,
        # Hashing runs without the interpreter's lock.
        workers=workers or os.cpu_count() or 1,
        stop=stop or Flag(),
    )
    problems = [problem for problem in found if problem]
    problems += [*_marker(layout), *_surplus(layout, needed)]
    return Verified(
        digest=layout.digest(),
        files=len(needed),
        size=sum(one.descriptor.size for one in wanted),
        problems=tuple(sorted(problems)),
    )


def check(folder: Path, *, workers: int = 0, stop: Flag | None = None) -> Verified:
    """Hash every file of a bundle.

    Raises:
        IntegrityError: CTO-1810, something is wrong; the details have a line per file. CTO-1811,
            there is no bundle.
        Cancelled: `stop` was set.
    """
    found = verify(folder, workers=workers, stop=stop)
    if found.problems:
        count = f"{len(found.problems)} files" if len(found.problems) > 1 else "a file"
        text = f"{folder} is damaged: {count} of {found.files} wrong"
        raise IntegrityError("CTO-1810", text, details="\n".join(map(str, found.problems)))
    return found


def _collect(layout: Layout, item: Item, needed: dict[Digest, _Needed]) -> None:
    """Write down what an item needs, as far as its documents can be read."""
    _note(needed, item, item.descriptor)
    root = _open(layout, item.descriptor)
    if not root:
        return
    manifests = [root]
    if root.is_index:
        below = [*children(item, root)]
        for child in below:
            _note(needed, item, child)
        manifests = [found for child in below if (found := _open(layout, child))]
    for manifest in manifests:
        for blob in manifest.blobs:
            _note(needed, item, blob)


def _note(needed: dict[Digest, _Needed], item: Item, descriptor: Descriptor) -> None:
    one = needed.setdefault(descriptor.digest, _Needed(descriptor))
    if item.name not in one.by:
        one.by.append(item.name)


def _open(layout: Layout, descriptor: Descriptor) -> Document | None:
    """Return a document; one that cannot be read is found out when it is hashed."""
    try:
        return layout.document(descriptor)
    except (OSError, ValueError):
        return None


def _look(layout: Layout, one: _Needed) -> DamagedFile | None:
    wanted, path = one.descriptor, layout.blob(one.descriptor.digest)
    name, by = _name(layout, path), tuple(one.by)
    try:
        size = path.stat().st_size
        if size != wanted.size:
            return DamagedFile(name, Flaw.SIZE, f"{size} bytes instead of {wanted.size}", by)
        found = digest_of_file(path, algorithm_of(wanted.digest))
    except FileNotFoundError:
        return DamagedFile(name, Flaw.MISSING, needed_by=by)
    except OSError as error:
        return DamagedFile(name, Flaw.BYTES, error.strerror or str(error), by)
    return None if found == wanted.digest else DamagedFile(name, Flaw.BYTES, f"found {found}", by)


def _marker(layout: Layout) -> Iterator[DamagedFile]:
    try:
        if (layout.folder / MARKER).read_bytes() != MARKER_BYTES:
            yield DamagedFile(MARKER, Flaw.BYTES)
    except OSError:
        yield DamagedFile(MARKER, Flaw.MISSING)


def _surplus(layout: Layout, needed: dict[Digest, _Needed]) -> Iterator[DamagedFile]:
    known = {layout.blob(digest) for digest in needed}
    known |= {layout.folder / INDEX, layout.folder / MARKER}
    for path in layout.folder.rglob("*"):
        if path not in known and not path.is_dir():
            yield DamagedFile(_name(layout, path), Flaw.SURPLUS)


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.folder).as_posix()
