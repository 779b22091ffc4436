"""bundle/lock.yaml: which images the platform consists of, and the digest of each.

What no registry was asked about is `unresolved`: a digest is never guessed, nor taken from
anywhere but the registry that the reference names (or the mirror that stands for it).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cto.bundle.collect import Need, Normalise
from cto.catalog import Component
from cto.errors import ConfigError
from cto.goyaml import YAMLError
from cto.objects import dump_yaml, load_yaml
from cto.storage import replacing

UNRESOLVED = "unresolved"
HEADER = """\
# Written by `cto bundle lock`, sorted; `cto bundle lock --update` asks for all digests anew.
# digest: what the registry answers for the tag. size: bytes to download for all platforms together.
"""

Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|unresolved)$")]
Platform = Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NeededBy(_Model):
    """A component that needs an image, where it names it, and in which profiles."""

    component: str
    where: str
    profiles: tuple[str, ...]


class LockedImage(_Model):
    """One image.

    Attributes:
        image: Its reference, with registry, path and tag.
        size: Bytes to download for all platforms together; 0 as long as the digest is unresolved.
        platforms: `linux/amd64` and the like.
    """

    image: str
    digest: Digest = UNRESOLVED
    size: int = Field(default=0, ge=0)
    platforms: tuple[Platform, ...] = ()
    needed_by: tuple[NeededBy, ...]

    @model_validator(mode="after")
    def _whole(self) -> LockedImage:
        if self.resolved != bool(self.platforms):
            text = "digest and platforms belong together"
            raise ValueError(text)
        return self

    @property
    def resolved(self) -> bool:
        return self.digest != UNRESOLVED

    @property
    def profiles(self) -> frozenset[str]:
        return frozenset(name for need in self.needed_by for name in need.profiles)


class Lock(_Model):
    """All images, by reference."""

    version: Literal[1] = 1
    images: tuple[LockedImage, ...] = ()

    @model_validator(mode="after")
    def _sorted(self) -> Lock:
        names = [item.image for item in self.images]
        if names != sorted(set(names)):
            text = "images are not sorted, or one is there twice"
            raise ValueError(text)
        return self

    @property
    def unresolved(self) -> tuple[LockedImage, ...]:
        return tuple(item for item in self.images if not item.resolved)

    def of_profile(self, profile: str) -> tuple[LockedImage, ...]:
        return tuple(item for item in self.images if profile in item.profiles)


def read_lock(path: Path) -> Lock:
    """Return what a lock file says; an empty lock if there is no such file.

    Raises:
        ConfigError: CTO-1312, it is no lock file.
    """
    try:
        return Lock.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Lock()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise _invalid(path, "\n".join(lines)) from error
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise _invalid(path, str(error)) from error


def write_lock(path: Path, lock: Lock) -> bool:
    """Write a lock file, whole or not at all; False if it says the same already.

    Raises:
        ConfigError: CTO-1312, the file cannot be written.
    """
    text = text_of_lock(lock)
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return False
        with replacing(path, str(os.getpid())) as file:
            file.write(text.encode())
    except OSError as error:
        text = f"{path} cannot be written"
        hint = "Name another file (`--lock FILE`), or work in a checkout."
        raise ConfigError("CTO-1312", text, details=str(error), hint=hint) from error
    return True


def text_of_lock(lock: Lock) -> str:
    """Return a lock file's text: the same for the same lock, and a line for each thing said."""
    images = [_plain(item) for item in lock.images]
    return HEADER + dump_yaml({"version": lock.version, "images": images})


def _plain(item: LockedImage) -> dict[str, Any]:
    resolved = {"size": item.size, "platforms": list(item.platforms)} if item.resolved else {}
    needs = [
        {"component": n.component, "where": n.where, "profiles": list(n.profiles)}
        for n in item.needed_by
    ]
    return {"image": item.image, "digest": item.digest, **resolved, "needed_by": needs}


def merged_lock(needs: Mapping[str, Sequence[Need]], old: Lock) -> Lock:
    """Return a lock of what is needed now, with the digests that were known before."""
    known = {item.image: item for item in old.images}
    images = []
    for reference in sorted(needs):
        by = tuple(
            NeededBy(component=need.component, where=need.where, profiles=need.profiles)
            for need in needs[reference]
        )
        before = known.get(reference)
        same = before.model_dump(include={"digest", "size", "platforms"}) if before else {}
        images.append(LockedImage(image=reference, needed_by=by, **same))
    return Lock(images=tuple(images))


def _invalid(path: Path, details: str) -> ConfigError:
    return ConfigError("CTO-1312", f"{path}: not a valid lock file", details=details)


def check_fresh(
    lock: Lock,
    components: Iterable[Component],
    normalise: Normalise,
    others: Iterable[str] = (),
) -> None:
    """Make sure that a lock has the images that these components list, and no others of them.

    Whether pods have them is not looked at again: that takes all charts, and Helm. `others` are
    images that belong to no component.

    Raises:
        ConfigError: CTO-1312, naming each image that differs.
    """
    problems = [
        line for component in components for line in _differences(lock, component, normalise)
    ]
    locked = {item.image for item in lock.images}
    problems += [f"{name} is not in the lock" for name in others if name not in locked]
    if problems:
        text = "the lock is older than the catalog"
        hint = "Write it anew: `cto bundle lock`."
        raise ConfigError("CTO-1312", text, details="\n".join(problems), hint=hint)


def _differences(lock: Lock, component: Component, normalise: Normalise) -> Iterator[str]:
    listed = {normalise(image.ref) for image in component.images if not image.ours}
    locked = {
        item.image
        for item in lock.images
        if any(need.component == component.name for need in item.needed_by)
    }
    for name in sorted(listed - locked):
        yield f"{component.name}: {name} is not in the lock"
    for name in sorted(locked - listed):
        yield f"{component.name}: {name} is in the lock, and no longer in the catalog"
