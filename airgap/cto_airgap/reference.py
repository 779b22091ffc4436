"""Names of images: `HOST/REPOSITORY:TAG@DIGEST`, as people write them and as registries want them.

The grammar is that of https://github.com/distribution/reference, the rules for short names are
Docker's: no host means docker.io, and one word there means `library/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from cto_airgap.digest import Digest
from cto_airgap.digest import parse as parse_digest

DOCKER = "docker.io"
_DOCKER_ALIASES = frozenset({DOCKER, "index.docker.io", "registry-1.docker.io"})
_LIBRARY = "library/"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_FORM = re.compile(rf"(?P<name>[^@]*?)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>.*))?")
_LONGEST = 255


class InvalidReferenceError(ValueError):
    """The text names no image."""


@dataclass(frozen=True, order=True)
class Reference:
    """Names an image, with its host and its whole repository; tag and digest may be missing."""

    host: str
    repository: str
    tag: str = ""
    digest: Digest | Literal[""] = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every way in which people write it: Docker's own host has several names, and none."""
        whole = str(self)
        if self.host != DOCKER:
            return (whole,)
        rest = whole.removeprefix(f"{DOCKER}/")
        short = rest.removeprefix(_LIBRARY)
        paths = dict.fromkeys((rest, short))
        return tuple(
            f"{host}{path}"
            for path in paths
            for host in ("", *(f"{name}/" for name in sorted(_DOCKER_ALIASES)))
        )

    def at(self, digest: Digest) -> Reference:
        return replace(self, digest=digest)


def parse(text: str) -> Reference:
    """Return what a reference names; without tag and digest it names `latest`.

    Raises:
        InvalidReferenceError: It names no image.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise _invalid(text)
    tag, digest = match["tag"] or "", match["digest"]
    host, repository = _split_host(match["name"])
    if host in _DOCKER_ALIASES:
        host = DOCKER
        repository = repository if "/" in repository else f"{_LIBRARY}{repository}"
    found = Reference(host, repository, tag or ("" if digest else "latest"))
    if not _HOST.fullmatch(host) or not _REPOSITORY.fullmatch(repository):
        raise _invalid(text)
    if len(found.name) > _LONGEST:
        raise _invalid(text)
    return found.at(_digest(digest, text)) if digest is not None else found


def normalise(text: str) -> str:
    """Return a reference with its host, its whole repository and its tag.

    Raises:
        InvalidReferenceError: It names no image.
    """
    return str(parse(text))


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # Docker's rule: what has neither dot nor port, and is not localhost, is no host.
    is_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    return (first, rest) if slash and is_host else (DOCKER, name)


def _digest(digest: str, text: str) -> Digest:
    try:
        return parse_digest(digest)
    except ValueError:
        raise _invalid(text) from None


def _invalid(text: str) -> InvalidReferenceError:
    message = f"not a reference of an image: {text[:300]!r}"
    return InvalidReferenceError(message)
