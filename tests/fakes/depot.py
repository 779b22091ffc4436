"""A registry with a client of it: in memory, or one that is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag

from cto_airgap.build import Builder, WantedBundle, WantedChart, WantedImage
from cto_airgap.logins import GivenLogins, RegistryLogin
from cto_airgap.oci import Descriptor, Digest, ImagePlatform, read_document
from cto_airgap.push import Pusher
from cto_airgap.reference import Endpoints, Reference, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.uploads import Uploader
from cto_airgap.web import Transport
from fakes import images
from fakes.clock import FakeClock
from fakes.images import Image
from fakes.trouble import Troubles

BIG = 3 << 20
SHARED = images.layer({"shared": images.noise(BIG, 1)})


@dataclass
class Depot:
    """A registry, and a client of it.

    Attributes:
        troubles: What is to go wrong between them.
        count: Tells how many requests there were, by method and part of the address.
        plain: Whether it has no TLS.
    """

    host: str
    transport: Transport
    troubles: Troubles = field(default_factory=Troubles)
    count: Callable[[str, str], int] = lambda _method, _fragment: 0
    plain: bool = False
    logins: Mapping[str, RegistryLogin] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def session(self) -> Session:
        return Session(self.transport, GivenLogins(self.logins), self.clock, Flag())

    @property
    def endpoints(self) -> Endpoints:
        plain = frozenset({self.host}) if self.plain else frozenset()
        return Endpoints(mirrors=self.mirrors, plain=plain)

    @property
    def registry(self) -> RegistryClient:
        return RegistryClient(self.session, self.endpoints)

    @property
    def uploader(self) -> Uploader:
        return Uploader(self.session, self.endpoints)

    @property
    def pusher(self) -> Pusher:
        session = self.session
        return Pusher(
            RegistryClient(session, self.endpoints),
            Uploader(session, self.endpoints),
            stop=Flag(),
            workers=3,
        )

    def builder(self, charts: Path) -> Builder:
        return Builder(
            self.registry, lambda chart: charts / f"{chart.name}.tgz", stop=Flag(), workers=3
        )

    def reference(self, text: str) -> Reference:
        return parse_reference(f"{self.host}/{text}")

    def add(self, name: str, image: Image, folder: Path) -> Image:
        """Push an image, blob by blob."""
        reference = self.reference(name)
        for digest, data in image.blobs.items():
            path = blob_file(folder, digest)
            path.write_bytes(data)
            self.uploader.blob(reference, described(digest, data), path)
        *below, root = image.documents.values()
        nameless = Reference(reference.host, reference.repository)
        for kind, data in below:
            self.uploader.manifest(nameless, read_document(data, kind))
        self.uploader.manifest(reference, read_document(root[1], root[0]))
        return image

    def fill(self, folder: Path) -> WantedBundle:
        """Push two images that share a layer; return what a bundle is to hold."""
        own = images.layer({"own": b"own"})
        arm = images.image(images.layer({"arm": b"arm"}), platform="linux/arm64")
        one = images.index({"linux/amd64": images.image(SHARED, own), "linux/arm64": arm})
        two = images.image(SHARED, text="two")
        self.add("team/one:1", one, folder)
        self.add("two:2", two, folder)
        sha256 = images.chart(folder / "thing.tgz", "thing", "0.1.0")
        return WantedBundle(
            platform=ImagePlatform("linux", "amd64"),
            images=(
                WantedImage(self.reference("team/one:1"), one.root),
                WantedImage(self.reference("two:2"), two.root),
            ),
            charts=(WantedChart("thing", "0.1.0", sha256),),
        )


def described(digest: Digest, data: bytes) -> Descriptor:
    return Descriptor(media_type="application/octet-stream", digest=digest, size=len(data))


def blob_file(folder: Path, digest: Digest) -> Path:
    return folder / digest.replace(":", "-")
