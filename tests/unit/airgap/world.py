"""What the tests of bundles work on: clients, and a world with a registry in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag

from cto_airgap.build import Builder, Built, WantedBundle
from cto_airgap.logins import GivenLogins, RegistryLogin
from cto_airgap.push import Pusher
from cto_airgap.reference import Endpoints
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.transfers import TransferProgress
from cto_airgap.uploads import Uploader
from cto_airgap.web import Transport
from fakes import images
from fakes.clock import FakeClock
from fakes.registry import FakeRegistry

HOST = "registry.example.com"


@dataclass
class Client:
    """A client of registries that are in memory."""

    transport: Transport
    logins: Mapping[str, RegistryLogin] = field(default_factory=dict)
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    stop: Flag = field(default_factory=Flag)
    said: list[TransferProgress] = field(default_factory=list)
    charts: Path = Path()

    @property
    def session(self) -> Session:
        return Session(self.transport, GivenLogins(self.logins), self.clock, self.stop)

    @property
    def registry(self) -> RegistryClient:
        return RegistryClient(self.session, Endpoints(mirrors=self.mirrors))

    @property
    def uploader(self) -> Uploader:
        return Uploader(self.session, Endpoints(mirrors=self.mirrors))

    @property
    def builder(self) -> Builder:
        return Builder(
            self.registry,
            lambda chart: self.charts / f"{chart.name}-{chart.version}.tgz",
            stop=self.stop,
            workers=3,
            progress=self.said.append,
        )

    @property
    def pusher(self) -> Pusher:
        return Pusher(
            self.registry, self.uploader, stop=self.stop, workers=3, progress=self.said.append
        )


@dataclass
class World:
    """A registry with two images that share a layer, a chart, and the wish to have them all."""

    fake: FakeRegistry
    client: Client
    one: images.Image
    two: images.Image
    shared: bytes
    wanted: WantedBundle
    folder: Path

    def build(self, name: str = "bundle") -> Built:
        return self.client.builder.build(self.wanted, self.folder / name)

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
