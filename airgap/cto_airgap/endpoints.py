"""Where the images of a host are: its mirrors, then the host itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cto_airgap.reference import DOCKER, Reference

# The name in references has no registry behind it.
_APIS = {DOCKER: "registry-1.docker.io"}


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
