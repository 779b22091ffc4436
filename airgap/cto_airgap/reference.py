"""Names of images, `HOST/REPOSITORY:TAG@DIGEST`, and the addresses of what they name.

The grammar is that of https://github.com/distribution/reference, the rules for short names are
Docker's: no host means docker.io, and one word there means `library/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from cto_airgap.oci import Digest, parse_digest

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

# The name in references has no registry behind it.
_APIS = {DOCKER: "registry-1.docker.io"}


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


def parse_reference(text: str) -> Reference:
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
    return str(parse_reference(text))


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


@dataclass(frozen=True)
class Endpoint:
    """A registry's address, and what it puts before the names of repositories."""

    origin: str
    host: str
    prefix: str = ""

    def url(self, repository: str, rest: str) -> str:
        return f"{self.origin}/v2/{self.repository(repository)}/{rest}"

    def repository(self, repository: str) -> str:
        return f"{self.prefix}{repository}"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Knows which address to ask for which host.

    Attributes:
        mirrors: Host -> addresses to ask first: `mirror.example.com/docker.io`, with `http://` in
            front if it is one without TLS. What follows the host comes before the repository.
        plain: Hosts without TLS.
    """

    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()

    def to_read(self, reference: Reference) -> Iterator[Endpoint]:
        for address in self.mirrors.get(reference.host, ()):
            yield _mirror(address)
        yield self.to_write(reference)

    def to_write(self, reference: Reference) -> Endpoint:
        scheme = "http" if reference.host in self.plain else "https"
        host = _APIS.get(reference.host, reference.host)
        return Endpoint(f"{scheme}://{host}", reference.host)


def _mirror(address: str) -> Endpoint:
    parts = urlsplit(address if "://" in address else f"https://{address}")
    path = parts.path.strip("/")
    # Passwords belong to log-ins; in an address they would be shown with it.
    host = parts.netloc.rpartition("@")[2]
    return Endpoint(f"{parts.scheme}://{host}", host, f"{path}/" if path else "")


@dataclass(frozen=True)
class PushTarget:
    """A registry, and what comes before the names of repositories there (may be empty)."""

    host: str
    prefix: str = ""

    def reference(self, repository: str, tag: str) -> Reference:
        parts = (self.prefix, repository)
        return Reference(self.host, "/".join(part for part in parts if part), tag)

    @classmethod
    def parse(cls, text: str) -> PushTarget:
        """Return the target that `HOST[:PORT][/PREFIX]` names.

        Raises:
            InvalidReferenceError: It names none.
        """
        host, _, prefix = text.rstrip("/").partition("/")
        probe = parse_reference(f"{host}/{prefix or 'x'}")
        if probe.host != host or probe.tag != "latest":
            message = f"not a registry: {text[:300]!r}"
            raise InvalidReferenceError(message)
        return cls(host, prefix)

    def of(self, old: Reference, digest: Digest | Literal[""] = "") -> Reference:
        """Return what an image is called here: its host is a part of the path.

        That takes nothing but the image's own name, so whoever installs from a registry knows it
        without asking; two images of one name on two hosts stay two; and a node that has this
        registry as a mirror of all hosts finds it, too.
        """
        host = old.host.replace(":", "-").lower()
        # An image that is named by digest alone needs a tag, or it is not to be found again.
        tag = old.tag or f"sha256-{(digest or old.digest).partition(':')[2]}"
        return replace(self.reference(f"{host}/{old.repository}", tag), digest=digest)
