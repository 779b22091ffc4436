"""Bundles that go to somebody's own registry."""

from __future__ import annotations

import pytest

from cto.errors import ToolError
from cto_airgap.contents import Item, ItemKind
from cto_airgap.oci import OCI_MANIFEST, Descriptor, digest_of, read_document
from cto_airgap.push import PushOutcome, digests_of, new_names
from cto_airgap.reference import InvalidReferenceError, PushTarget, parse_reference
from fakes.registry import FakeRegistry, FakeWeb
from fakes.trouble import Trouble
from unit.airgap.world import HOST, Client, World

MINE = "mine.example.com"


@pytest.fixture
def mine() -> FakeRegistry:
    return FakeRegistry(f"https://{MINE}")


def push(world: World, mine: FakeRegistry) -> PushOutcome:
    client = Client(FakeWeb(world.fake, mine))
    return client.pusher.push(world.bundle, PushTarget(MINE, "cto"))


def test_everything_arrives_under_its_new_name(world: World, mine: FakeRegistry) -> None:
    world.build()
    outcome = push(world, mine)
    one = read_document(mine.manifest(f"cto/{HOST}/team/one", "1.0"))
    chart = read_document(mine.manifest("cto/charts/thing", "0.1.0_build"))
    assert outcome.mapping == {
        f"{HOST}/team/one:1.0": f"{MINE}/cto/{HOST}/team/one:1.0@{one.digest}",
        f"{HOST}/two:2.0": f"{MINE}/cto/{HOST}/two:2.0@{world.two.root}",
        "charts/thing:0.1.0_build": f"{MINE}/cto/charts/thing:0.1.0_build@{chart.digest}",
    }
    assert mine.manifest(f"cto/{HOST}/two", "2.0") == world.two.documents[world.two.root][1]


def test_an_index_of_which_platforms_are_absent_becomes_another_one(
    world: World, mine: FakeRegistry
) -> None:
    world.build()
    pushed = {one.old: one for one in push(world, mine).pushed}[f"{HOST}/team/one:1.0"]
    found = read_document(mine.manifest(f"cto/{HOST}/team/one", "1.0"))
    assert [child.digest for child in found.children] == [pushed.manifest]
    assert (pushed.upstream, pushed.new.digest) == (world.one.root, found.digest)
    assert pushed.upstream != found.digest


def test_what_is_shared_is_sent_once_and_mounted(world: World, mine: FakeRegistry) -> None:
    world.build()
    outcome = push(world, mine)
    shared = digest_of(world.shared)
    assert outcome.mounted == len(world.shared)
    assert shared in mine.blobs(f"cto/{HOST}/two")
    assert shared in mine.blobs(f"cto/{HOST}/team/one")
    assert len(mine.requests("PUT", shared)) == 1


def test_a_second_push_sends_nothing(world: World, mine: FakeRegistry) -> None:
    world.build()
    first = push(world, mine)
    mine.seen.clear()
    second = push(world, mine)
    assert (second.mapping, second.uploaded, second.mounted) == (first.mapping, 0, 0)
    assert {one.method for one in mine.seen} == {"HEAD"}
    assert [one.sent for one in second.pushed] == [False, False, False]


def test_a_push_that_broke_off_goes_on(world: World, mine: FakeRegistry) -> None:
    world.build()
    mine.troubles.add(Trouble("PUT", "/manifests/", status=403))
    with pytest.raises(ToolError) as caught:
        push(world, mine)
    assert caught.value.code == "CTO-1511"
    mine.seen.clear()
    outcome = push(world, mine)
    assert (outcome.uploaded, outcome.mounted) == (0, 0)
    assert len(outcome.mapping) == 3


def test_a_registry_that_mounts_nothing_gets_the_bytes(world: World, mine: FakeRegistry) -> None:
    world.build()
    mine.mounts = False
    outcome = push(world, mine)
    assert outcome.mounted == 0
    assert outcome.uploaded > 2 * len(world.shared)


def item(name: str, text: bytes, kind: ItemKind = ItemKind.IMAGE) -> Item:
    descriptor = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(text), size=1)
    return Item(name=name, kind=kind, descriptor=descriptor)


def test_the_digests_of_a_bundle_are_those_that_a_push_leaves(
    world: World, mine: FakeRegistry
) -> None:
    world.build()
    pushed = {one.old: one.new.digest for one in push(world, mine).pushed}
    found = digests_of(world.bundle)
    assert found == {name: pushed[name] for name in (f"{HOST}/team/one:1.0", f"{HOST}/two:2.0")}


def test_the_host_becomes_a_part_of_the_path_whatever_else_is_there() -> None:
    items = [
        item("docker.io/team/x:1", b"one"),
        item("quay.io/team/x:1", b"other"),
        item("docker.io/library/redis:8", b"same"),
        item("registry.example.com:5000/library/redis:8", b"same"),
        item(f"quay.io/y@{digest_of(b'y')}", b"y"),
        item("charts/x:1", b"chart", ItemKind.CHART),
    ]
    found = {old: str(new) for old, new in new_names(items, PushTarget("r.io")).items()}
    tag = digest_of(b"y").replace(":", "-")
    assert [*found.values()] == [
        "r.io/docker.io/team/x:1",
        "r.io/quay.io/team/x:1",
        "r.io/docker.io/library/redis:8",
        "r.io/registry.example.com-5000/library/redis:8",
        f"r.io/quay.io/y:{tag}",
        "r.io/charts/x:1",
    ]


def test_an_image_has_its_new_name_without_a_bundle() -> None:
    target, digest = PushTarget("r.io", "cto"), digest_of(b"x")
    assert str(target.of(parse_reference("nats:2.10"), digest)) == (
        f"r.io/cto/docker.io/library/nats:2.10@{digest}"
    )
    tag = digest.replace(":", "-")
    assert str(target.of(parse_reference(f"quay.io/y@{digest}"))) == f"r.io/cto/quay.io/y:{tag}"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("r.io", PushTarget("r.io")),
        ("r.io:5000/", PushTarget("r.io:5000")),
        ("localhost/a/b", PushTarget("localhost", "a/b")),
    ],
)
def test_a_target_is_a_host_and_a_prefix(text: str, target: PushTarget) -> None:
    assert PushTarget.parse(text) == target


@pytest.mark.parametrize("text", ["", "registry", "r.io/x:1", "https://r.io", "r.io/UPPER"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        PushTarget.parse(text)
