"""Asks registries for the digests that a lock lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Event as Flag
from typing import Protocol

from cto.bundle.lock import Lock, LockedImage
from cto.errors import CtoError, ToolError

_PARALLEL = 6
# The registry does not have what it was asked for.


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a registry says about a reference.

    Attributes:
        digest: `sha256:...` of the index, or of the manifest where there is no index.
        size: Bytes to download for all platforms together.
        platforms: `linux/amd64` and the like.
    """

    digest: str
    size: int
    platforms: tuple[str, ...]


class Resolver(Protocol):
    """Asks the registry that a reference names. May be called by several threads."""

    def resolve(self, reference: str) -> Resolved:
        """Return what is behind a reference.

        Raises:
            CtoError: The registry does not answer, does not have it, or wants a log-in.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LockOutcome:
    """A lock after the registries were asked.

    Attributes:
        failures: Reference -> why it could not be resolved; what was known of it is kept.
        gone: Those that their registry answers for, and does not have any more, or never had.
    """

    lock: Lock
    failures: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[LockedImage, ...] = ()


def resolved(lock: Lock, resolver: Resolver, *, update: bool, stop: Flag) -> LockOutcome:
    """Return the lock with digests where there were none; with `update`, all asked for anew.

    Args:
        lock: What is needed, with what is known.
        resolver: Asks the registries.
        update: Ask for what is known, too.
        stop: Set if the run is interrupted: whatever the resolver is doing has to end.
    """
    asked = [item for item in lock.images if update or not item.resolved]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        try:
            answers = list(pool.map(partial(_asked, resolver), asked))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    found = {item.image: item for item, _ in answers}
    errors = {item.image: error for item, error in answers if error}
    return LockOutcome(
        lock=Lock(images=tuple(found.get(item.image, item) for item in lock.images)),
        failures={name: _reason(error) for name, error in errors.items()},
        gone=tuple(
            item
            for item, error in answers
            if isinstance(error, ToolError) and error.image_is_missing
        ),
    )


def _asked(resolver: Resolver, item: LockedImage) -> tuple[LockedImage, CtoError | None]:
    """Return the image as it is known now, and why it is not, if so."""
    try:
        answer = resolver.resolve(item.image)
    except CtoError as error:
        return item, error
    fields = {"digest": answer.digest, "size": answer.size, "platforms": answer.platforms}
    return LockedImage.model_validate({**item.model_dump(), **fields}), None


def _reason(error: CtoError) -> str:
    """Return what the last one said who was asked."""
    *_, last = ["", *error.details.strip().splitlines()]
    if not last:
        return error.message
    # Where several were asked, each line begins with a message of its own.
    return last if last.startswith(error.message) else f"{error.message}: {last}"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different between two locks, by reference."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]
    """Another digest than before."""


def changes(old: Lock, new: Lock) -> Changes:
    before = {item.image: item.digest for item in old.images}
    after = {item.image: item.digest for item in new.images}
    return Changes(
        added=_in_order(after.keys() - before.keys()),
        removed=_in_order(before.keys() - after.keys()),
        moved=_in_order({n for n in before.keys() & after.keys() if before[n] != after[n]}),
    )


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
