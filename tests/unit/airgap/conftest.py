"""A registry in memory, and everything that works on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto_airgap.build import WantedBundle, WantedChart, WantedImage
from cto_airgap.oci import ImagePlatform
from cto_airgap.reference import parse_reference
from fakes import images
from fakes.registry import FakeRegistry
from unit.airgap.world import HOST, Client, World


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry(f"https://{HOST}")


@pytest.fixture
def client(fake: FakeRegistry) -> Client:
    return Client(fake)


@pytest.fixture
def world(fake: FakeRegistry, client: Client, tmp_path: Path) -> World:
    shared = images.layer({"shared": images.noise(30_000, 1)})
    own = images.layer({"own": images.noise(9_000, 2)})
    arm = images.layer({"arm": images.noise(5_000, 3)})
    proof = images.image(images.layer({"proof": b"x"}), platform="unknown/unknown")
    one = images.index(
        {
            "linux/amd64": images.image(shared, own),
            "linux/arm64/v8": images.image(arm, platform="linux/arm64/v8"),
        },
        attestations=[proof],
    )
    two = images.image(shared, text="two", docker=True)
    fake.add("team/one", one, "1.0")
    fake.add("two", two, "2.0")
    client.charts = tmp_path
    sha256 = images.chart(tmp_path / "thing-0.1.0+build.tgz", "thing", "0.1.0+build")
    wanted = WantedBundle(
        platform=ImagePlatform("linux", "amd64"),
        images=(
            WantedImage(parse_reference(f"{HOST}/two:2.0"), two.root),
            WantedImage(parse_reference(f"{HOST}/team/one:1.0"), one.root),
        ),
        charts=(WantedChart("thing", "0.1.0+build", sha256),),
    )
    return World(fake, client, one, two, shared, wanted, tmp_path)
