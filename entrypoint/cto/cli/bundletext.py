"""Locks and bundles as text for people, and as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cto.bundle.lock import Lock, LockedImage
from cto.bundle.resolve import Changes, LockOutcome
from cto_airgap import push
from cto_airgap.build import Built
from cto_airgap.bundle import BundleDifference, BundleEntry, BundleListing
from cto_airgap.contents import ItemKind

_DIGEST = 19
"""Characters of a digest that people compare: `sha256:` and twelve."""
_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
_HEAD = ("DIGEST", "SIZE", "IMAGE", "NEEDED BY")


def amount(size: int) -> str:
    """Return a number of bytes, in the units of disks."""
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines, with their columns below each other."""
    listed = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    ]


def lock_text(file: Path, outcome: LockOutcome, diff: Changes, *, written: bool) -> str:
    """Return what is in the lock now, what changed, and what is unknown and why."""
    lock = outcome.lock
    total, missing = len(lock.images), len(lock.unresolved)
    state = "written" if written else "unchanged"
    counts = f"{count(total, 'image')}, {total - missing} resolved, {missing} unresolved"
    lines = [f"{file} ({state}): {counts}"]
    lines += [f"+ {name}" for name in diff.added]
    lines += [f"- {name}" for name in diff.removed]
    lines += [f"~ {name}" for name in diff.moved if name not in diff.added]
    unknown = {item.image for item in lock.unresolved}
    lines += _reasons("unresolved, which a build refuses:", outcome, unknown)
    kept = outcome.failures.keys() - unknown
    return "\n".join([*lines, *_reasons("not asked anew, the digest stays:", outcome, kept)])


def lock_data(path: Path, outcome: LockOutcome, diff: Changes, *, written: bool) -> dict[str, Any]:
    lock = outcome.lock
    return {
        "lock": str(path),
        "written": written,
        "images": len(lock.images),
        "resolved": len(lock.images) - len(lock.unresolved),
        "unresolved": [item.image for item in lock.unresolved],
        "failures": dict(outcome.failures),
        "added": list(diff.added),
        "removed": list(diff.removed),
        "moved": list(diff.moved),
    }


def gone_text(item: LockedImage) -> str:
    """Return what it means that a registry has no such tag, and where it is written."""
    files = " and ".join(f"bundle/components/{need.component}" for need in item.needed_by)
    kept = "the digest that is known stays" if item.resolved else "a build refuses it"
    return f"{item.image} is gone from its registry: {kept}; pin a tag that is there in {files}"


def _reasons(title: str, outcome: LockOutcome, names: Iterable[str]) -> list[str]:
    """Return names below what they have in common: a silent registry is silent about many."""
    by_reason: dict[str, list[str]] = {}
    for name in sorted(names):
        by_reason.setdefault(outcome.failures[name], []).append(name)
    lines = [
        line
        for reason, found in by_reason.items()
        for line in (f"  {reason}", *(f"    {name}" for name in found))
    ]
    return [title, *lines] if lines else []


def locked_text(lock: Lock, images: Sequence[LockedImage]) -> str:
    """Return the images of a lock, and how much they are."""
    if not images:
        return "no images"
    rows = [
        (
            item.digest[:_DIGEST],
            amount(item.size) if item.resolved else "?",
            item.image,
            ", ".join(f"{need.component} ({need.where})" for need in item.needed_by),
        )
        for item in images
    ]
    missing = sum(not item.resolved for item in images)
    total = amount(sum(item.size for item in images))
    end = f"{len(images)} of {len(lock.images)} images, {total} known, {missing} unresolved"
    return "\n".join([*table([_HEAD, *rows]), end])


def locked_data(path: Path, profile: str | None, images: Sequence[LockedImage]) -> dict[str, Any]:
    return {
        "lock": str(path),
        "profile": profile,
        "images": [item.model_dump(mode="json") for item in images],
        "unresolved": [item.image for item in images if not item.resolved],
    }


def built_text(folder: Path, built: Built, profile: str) -> str:
    images = count(len(built.contents.images), "image")
    charts = count(len(built.contents.charts), "chart")
    return (
        f"{folder}: profile {profile} for {built.contents.platform}, {images}, {charts}, "
        f"{amount(built.size)} ({amount(built.fetched)} fetched)\n{built.digest}"
    )


def built_data(folder: Path, built: Built, profile: str) -> dict[str, Any]:
    return {
        "bundle": str(folder),
        "digest": built.digest,
        "profile": profile,
        "platform": str(built.contents.platform),
        "images": [item.name for item in built.contents.images],
        "charts": [item.name for item in built.contents.charts],
        "size": built.size,
        "fetched": built.fetched,
    }


def listing_text(found: BundleListing) -> str:
    """Return what a bundle holds, and how much it is."""
    rows = [(entry.digest[:_DIGEST], amount(entry.size), entry.name) for entry in found.entries]
    images = count(len(found.of(ItemKind.IMAGE)), "image")
    charts = count(len(found.of(ItemKind.CHART)), "chart")
    end = f"{images}, {charts} for {found.platform}, {amount(found.size)}"
    return "\n".join([*table([_HEAD[:3], *rows]), end, found.digest])


def listing_data(folder: Path, found: BundleListing) -> dict[str, Any]:
    return {
        "bundle": str(folder),
        "digest": found.digest,
        "platform": str(found.platform),
        "size": found.size,
        "images": [_entry(entry) for entry in found.of(ItemKind.IMAGE)],
        "charts": [_entry(entry) for entry in found.of(ItemKind.CHART)],
    }


def _entry(entry: BundleEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "digest": entry.digest,
        "manifest": entry.manifest,
        "size": entry.size,
    }


def difference_text(found: BundleDifference) -> str:
    """Return what changes from one bundle to another, and how many bytes an update is."""
    if found.old == found.new:
        return f"no difference: {found.new}"
    rows = [("+", entry.name, amount(entry.size)) for entry in found.added]
    rows += [("-", entry.name, amount(entry.size)) for entry in found.removed]
    rows += [
        ("~", after.name, f"{before.digest[:_DIGEST]} -> {after.digest[:_DIGEST]}")
        for before, after in found.changed
    ]
    sign = "-" if found.grown < 0 else "+"
    ends = [
        f"layers: {amount(found.new_layers)} new, {amount(found.gone_layers)} gone",
        f"size: {sign}{amount(abs(found.grown))}",
    ]
    return "\n".join([*(table(rows) if rows else []), *ends])


def difference_data(found: BundleDifference) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "added": [_entry(entry) for entry in found.added],
        "removed": [_entry(entry) for entry in found.removed],
        "changed": [
            {"name": after.name, "old": _entry(before), "new": _entry(after)}
            for before, after in found.changed
        ],
        "new_layers": found.new_layers,
        "gone_layers": found.gone_layers,
        "grown": found.grown,
    }


def pushed_text(to: str, done: push.PushOutcome) -> str:
    """Return the new name of everything, and how much was sent."""
    lines = [f"{old} -> {new}" for old, new in done.mapping.items()]
    sent = sum(one.sent for one in done.pushed)
    end = (
        f"{to}: {sent} of {len(done.pushed)} were missing; {amount(done.uploaded)} uploaded, "
        f"{amount(done.mounted)} mounted"
    )
    return "\n".join([*lines, end])


def pushed_data(folder: Path, to: str, done: push.PushOutcome) -> dict[str, Any]:
    return {
        "bundle": str(folder),
        "registry": to,
        "mapping": done.mapping,
        "items": [
            {
                "old": one.old,
                "kind": one.kind.value,
                "new": str(one.new),
                "upstream": one.upstream,
                "manifest": one.manifest,
                "sent": one.sent,
            }
            for one in done.pushed
        ],
        "uploaded": done.uploaded,
        "mounted": done.mounted,
    }
