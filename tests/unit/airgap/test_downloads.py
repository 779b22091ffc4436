"""What a client of registries does while it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cto.errors import IntegrityError, ToolError
from cto_airgap.layout import Layout
from cto_airgap.oci import digest_of
from cto_airgap.reference import parse_reference
from cto_airgap.sources import resolve
from fakes import images
from fakes.depot import described
from fakes.registry import FakeAnswer, FakeRegistry, Scripted
from fakes.trouble import Trouble
from unit.airgap.world import HOST, Client

X = parse_reference(f"{HOST}/x:1")
BIG = images.noise((1 << 20) + 50_000, 3)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_without_ranges_starts_again(tmp_path: Path, *, ranges: bool) -> None:
    fake = FakeRegistry(f"https://{HOST}", ranges=ranges)
    made = fake.add("x", images.image(images.layer({"a": BIG})), "1")
    digest, data = [*made.blobs.items()][-1]
    fake.troubles.add(Trouble("GET", digest, cut=100_000))
    layout = Layout(tmp_path)
    with layout.part(described(digest, data)) as part:
        Client(fake).registry.fetch(X, described(digest, data), part)
    assert layout.blob(digest).read_bytes() == data


def test_a_server_that_answers_another_part_is_asked_anew(tmp_path: Path) -> None:
    wanted = described(digest_of(BIG), BIG)
    layout = Layout(tmp_path)
    with layout.part(wanted) as part:
        part.write(BIG[:10])
        wrong = FakeAnswer(206, BIG, {"Content-Range": f"bytes 5-{len(BIG)}/{len(BIG)}"})
        transport = Scripted(wrong, FakeAnswer(416), FakeAnswer(200, BIG))
        Client(transport).registry.fetch(X, wanted, part)
    assert layout.blob(wanted.digest).read_bytes() == BIG


def test_a_line_that_breaks_without_progress_is_given_up(tmp_path: Path) -> None:
    wanted = described(digest_of(BIG), BIG)
    client = Client(Scripted(FakeAnswer(200, b"short")))
    with Layout(tmp_path).part(wanted) as part, pytest.raises(ToolError) as caught:
        client.registry.fetch(X, wanted, part)
    assert caught.value.code == "CTO-1510"
    assert f"5 bytes of {len(BIG)}" in caught.value.details
    assert client.clock.waits == [2.0, 4.0, 8.0, 16.0]


def test_a_manifest_whose_body_breaks_is_asked_for_again() -> None:
    fake = FakeRegistry(f"https://{HOST}")
    made = fake.add("x", images.image(), "1")
    fake.troubles.add(Trouble("GET", "/manifests/", cut=10))
    assert Client(fake).registry.manifest(X).digest == made.root
    fake.troubles.add(*(Trouble("GET", "/manifests/", cut=10) for _ in range(5)))
    with pytest.raises(ToolError) as caught:
        Client(fake).registry.manifest(X)
    assert caught.value.code == "CTO-1510"


def test_a_refusal_whose_body_breaks_is_a_refusal(tmp_path: Path) -> None:
    broken = FakeAnswer(403, b"x" * 100)
    broken.cut = 10
    wanted = described(digest_of(BIG), BIG)
    with Layout(tmp_path).part(wanted) as part, pytest.raises(ToolError) as caught:
        Client(Scripted(broken)).registry.fetch(X, wanted, part)
    assert caught.value.code == "CTO-1511"


def test_a_wrong_configuration_is_refused() -> None:
    wanted = described(digest_of(b"config"), b"config")
    with pytest.raises(IntegrityError, match="something else"):
        Client(Scripted(FakeAnswer(200, b"other"))).registry.config(X, wanted)
    with pytest.raises(ToolError, match="does not have"):
        Client(Scripted(FakeAnswer(404))).registry.config(X, wanted)


# questions


def test_a_question_that_is_not_answered_is_an_error() -> None:
    wanted = described(digest_of(b"x"), b"x")
    registry = Client(Scripted(FakeAnswer(403))).registry
    with pytest.raises(ToolError):
        registry.digest(X)
    with pytest.raises(ToolError):
        registry.has_blob(X, wanted)


@pytest.mark.parametrize("config", [b"{}", b"[]", b"no json"])
def test_what_is_no_image_has_no_platform(config: bytes) -> None:
    made = images.image()
    digest = digest_of(config)
    entry = {"mediaType": "x", "digest": digest, "size": len(config)}
    kind, data = made.documents[made.root]
    body = json.dumps({**json.loads(data), "config": entry}).encode()
    fake = FakeRegistry(f"https://{HOST}")
    root = digest_of(body)
    fake.add("x", images.Image({digest: config}, {root: (kind, body)}, root), "1")
    with pytest.raises(ToolError, match="names no platform"):
        resolve(Client(fake).registry, X)
