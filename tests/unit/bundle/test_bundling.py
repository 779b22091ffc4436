"""The verbs, on registries in memory: what they return, and what they leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto import __version__, assets
from cto.bundle.collect import NodeImage, Rendering, node_image
from cto.bundle.lock import UNRESOLVED, Lock, read_lock, write_lock
from cto.bundle.rendering import render_targets
from cto.catalog import Catalog, Component
from cto.cli import bundling
from cto.cli.bundling import Bundling, Tenths, platform_of
from cto.cli.registries import RegistryOptions
from cto.cli.relocating import target_of
from cto.errors import ConfigError, CtoError, IntegrityError, UsageError
from cto.events import Event
from cto.objects import load_yaml
from cto.ports import Chart
from cto_airgap.bundle import BundleSource
from cto_airgap.logins import GivenLogins
from cto_airgap.oci import ImagePlatform
from cto_airgap.session import Session
from cto_airgap.sources import ImageArchive
from cto_airgap.transfers import TransferProgress
from fakes import images
from fakes.archives import program
from fakes.clock import FakeClock
from fakes.components import component
from fakes.registry import FakeRegistry, FakeWeb
from lab.nodeimage import programs
from unit.bundle.parts import rendering

AMD64 = ImagePlatform("linux", "amd64")
UPSTREAM = "http://mirror.example"
PRIVATE = "http://private.example"
NAMES = ("r.example/op/db:1", "r.example/op/op:1", "r.example/web/web:1")


@dataclass
class Screen:
    """Remembers what was said."""

    said: list[str] = field(default_factory=list)

    def listen(self, event: Event) -> None: ...

    def notice(self, text: str, *, warning: bool = False) -> None:
        self.said.append(f"! {text}" if warning else text)

    def close(self) -> None: ...


@dataclass
class World:
    """Two components, the registry of their images, and somebody's own one."""

    folder: Path
    upstream: FakeRegistry = field(default_factory=lambda: FakeRegistry(UPSTREAM))
    private: FakeRegistry = field(default_factory=lambda: FakeRegistry(PRIVATE))
    screen: Screen = field(default_factory=Screen)
    pins: dict[str, str] = field(default_factory=dict)
    hidden: str = "custom resources"
    ours: tuple[str, ...] = ()
    """Names of images that are made of this project."""

    def __post_init__(self) -> None:
        for name in ("web", "op"):
            self.pins[name] = images.chart(self._archive(name), name, "1.0.0")
        for name in NAMES:
            repository, _, tag = name.removeprefix("r.example/").partition(":")
            self.add(repository, tag)

    @property
    def lock(self) -> Path:
        return self.folder / "lock.yaml"

    @property
    def catalog(self) -> Catalog:
        made = [{"ref": name, "ours": True, "hides_in": "configmap"} for name in self.ours]
        web = self._component("web", {"ref": "r.example/web/web:1"}, *made)
        db = {"ref": "r.example/op/db:1", "hides_in": self.hidden}
        op = self._component("op", {"ref": "r.example/op/op:1"}, db)
        optional = {"required": False, "feature": "databases"}
        return Catalog(Path(), {"web": web, "op": op.model_copy(update=optional)})

    def add(self, repository: str, tag: str, text: str = "first") -> None:
        shared = images.layer({"shared": b"shared"})
        both = {}
        for platform in ("linux/amd64", "linux/arm64"):
            own = images.layer({"own": f"{repository} {text} {platform}".encode()})
            both[platform] = images.image(shared, own, platform=platform)
        self.upstream.add(repository, images.index(both), tag)

    def bundling(self, *mirrors: str) -> Bundling:
        web = FakeWeb(self.upstream, self.private)

        @contextmanager
        def session(stop: Flag) -> Iterator[Session]:
            yield Session(web, GivenLogins(), FakeClock(), stop)

        return Bundling(
            catalog=self.catalog,
            targets=lambda: render_targets(assets.root() / "profiles", ["web", "op"]),
            render=self._render,
            charts=self._chart,
            open_session=session,
            registries=RegistryOptions(mirrors=mirrors or (f"*={UPSTREAM}",)),
            screen=self.screen,
        )

    def build(self, name: str = "bundle", profile: str = "standard") -> Path:
        self.bundling().build(self.lock, self.folder / name, profile=profile, platform=AMD64)
        return self.folder / name

    def _component(self, name: str, *listed: dict[str, Any]) -> Component:
        url = f"https://charts.example/{name}.tgz"
        chart = {"name": name, "version": "1.0.0", "url": url, "sha256": self.pins[name]}
        return component(name, chart=chart, images=[{"why": "it", **one} for one in listed])

    def _render(self) -> Iterator[Rendering]:
        for profile in ("minimal", "standard", "production"):
            yield rendering("web", "r.example/web/web:1", profile=profile)
        for profile in ("standard", "production"):
            yield rendering("op", "r.example/op/op:1", profile=profile)

    def _archive(self, name: str) -> Path:
        return self.folder / f"{name}-1.0.0.tgz"

    def _chart(self, wanted: Component) -> Chart:
        digest = images.chart(self._archive(wanted.name), wanted.name, "1.0.0")
        path = self._archive(wanted.name)
        return Chart(name=wanted.name, version="1.0.0", path=path, digest=digest)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def locked(world: World) -> World:
    world.bundling().lock(world.lock, update=False)
    world.screen.said.clear()
    return world


def details_of(error: type[CtoError], code: str, call: Any) -> str:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.code == code
    return caught.value.details


# lock


def test_a_lock_is_written_with_what_registries_say(world: World) -> None:
    result = world.bundling().lock(world.lock, update=False)
    assert result.text.splitlines() == [
        f"{world.lock} (written): 3 images, 3 resolved, 0 unresolved",
        *(f"+ {name}" for name in NAMES),
    ]
    assert result.data == {
        "lock": str(world.lock),
        "written": True,
        "images": 3,
        "resolved": 3,
        "unresolved": [],
        "failures": {},
        "added": list(NAMES),
        "removed": [],
        "moved": [],
    }
    assert world.screen.said == ["rendering 2 components", "asking registries about 3 images"]
    for image in read_lock(world.lock).images:
        assert image.platforms == ("linux/amd64", "linux/arm64")
        assert image.size > 0


def test_nobody_is_asked_when_everything_is_known(locked: World) -> None:
    asked = len(locked.upstream.seen)
    result = locked.bundling().lock(locked.lock, update=False)
    assert result.text == f"{locked.lock} (unchanged): 3 images, 3 resolved, 0 unresolved"
    assert locked.screen.said == ["rendering 2 components"]
    assert len(locked.upstream.seen) == asked


def test_what_moved_and_what_went_is_told(locked: World) -> None:
    locked.add("web/web", "1", "second")
    locked.hidden = "configmap"
    old = read_lock(locked.lock)
    extra = old.images[0].model_copy(update={"image": "r.example/old:1"})
    write_lock(locked.lock, Lock(images=(extra, *old.images)))
    result = locked.bundling().lock(locked.lock, update=True)
    assert result.text.splitlines()[1:] == ["- r.example/old:1", "~ r.example/web/web:1"]


@pytest.fixture
def direct(tmp_path: Path) -> World:
    """The registry itself, not a mirror of it: what a mirror lacks is not gone."""
    return World(tmp_path, upstream=FakeRegistry("https://r.example"))


_NO_MIRROR = f"elsewhere.example={UPSTREAM}"


def test_a_pinned_tag_that_is_gone_is_warned_of(direct: World) -> None:
    direct.upstream.untag("op/db", "1")
    result = direct.bundling(_NO_MIRROR).lock(direct.lock, update=False)
    assert direct.screen.said[-1] == (
        "! r.example/op/db:1 is gone from its registry: a build refuses it; pin a tag that is "
        "there in bundle/components/op"
    )
    assert result.data["unresolved"] == ["r.example/op/db:1"]


def test_a_tag_that_went_after_its_digest_was_known_keeps_it(direct: World) -> None:
    direct.bundling(_NO_MIRROR).lock(direct.lock, update=False)
    before = read_lock(direct.lock)
    direct.upstream.untag("op/db", "1")
    direct.bundling(_NO_MIRROR).lock(direct.lock, update=True)
    assert direct.screen.said[-1] == (
        "! r.example/op/db:1 is gone from its registry: the digest that is known stays; pin a tag "
        "that is there in bundle/components/op"
    )
    assert read_lock(direct.lock) == before


def test_what_a_mirror_lacks_is_not_called_gone(world: World) -> None:
    world.upstream.untag("op/db", "1")
    world.bundling().lock(world.lock, update=False)
    assert not [text for text in world.screen.said if "is gone" in text]


def test_a_registry_that_is_silent_has_not_lost_its_tags(world: World) -> None:
    world.bundling("r.example=http://nowhere.example").lock(world.lock, update=False)
    assert not [text for text in world.screen.said if "is gone" in text]


def test_what_cannot_be_resolved_is_counted_and_named_with_its_reason(world: World) -> None:
    result = world.bundling("r.example=http://nowhere.example").lock(world.lock, update=False)
    head, title, reason, *names = result.text.splitlines()[0:1] + result.text.splitlines()[4:]
    assert head.endswith("(written): 3 images, 0 resolved, 3 unresolved")
    assert title == "unresolved, which a build refuses:"
    assert reason.count("cannot be reached") == 1
    assert names == [f"    {name}" for name in NAMES]
    assert result.exit_code == 0


def test_a_digest_that_could_not_be_asked_for_anew_is_told(locked: World) -> None:
    result = locked.bundling("r.example=http://nowhere.example").lock(locked.lock, update=True)
    assert "not asked anew, the digest stays:" in result.text
    assert not result.data["written"]


# images of ours


OURS = "cto.internal/controller"


@pytest.fixture
def owning(world: World) -> World:
    world.ours = (OURS,)
    world.bundling().lock(world.lock, update=False)
    return world


def taken(world: World, given: dict[str, Path]) -> Path:
    out = world.folder / "bundle"
    work = world.bundling()
    work.build(world.lock, out, profile="minimal", platform=AMD64, archives=given)
    return out


def amd64(parts: dict[str, Any]) -> None:
    parts["config"]["architecture"] = "amd64"


def test_no_lock_names_an_image_of_ours(owning: World) -> None:
    assert [one.image for one in read_lock(owning.lock).images] == list(NAMES)


def test_an_image_of_ours_comes_out_of_its_file_and_has_our_version(owning: World) -> None:
    file = program(owning.folder, amd64)
    source = BundleSource(taken(owning, {OURS: file}))
    item = source.image(f"{OURS}:{__version__}")
    assert item is not None
    assert item.descriptor.digest == ImageArchive(file).manifest.digest
    assert "cto.internal" in source.hosts


def test_without_its_file_nothing_is_built(owning: World) -> None:
    names = details_of(IntegrityError, "CTO-1801", lambda: taken(owning, {}))
    assert names == OURS
    assert not (owning.folder / "bundle").exists()


def test_a_file_that_no_component_wants_is_refused(owning: World) -> None:
    given = {OURS: owning.folder / "it.tar", "cto.internal/controler": owning.folder / "it.tar"}
    with pytest.raises(UsageError, match=f"controler: the bundle takes {OURS}"):
        taken(owning, given)


@pytest.mark.parametrize("text", ["controller.tar", "=controller.tar", "cto.internal/controller="])
def test_an_archive_is_a_name_and_a_file(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=FILE"):
        bundling.archives_of([text])


# list


def test_the_images_of_a_lock_are_listed(locked: World) -> None:
    result = bundling.listed_lock(locked.lock, None)
    head, *rows, end = result.text.splitlines()
    assert head.split() == ["DIGEST", "SIZE", "IMAGE", "NEEDED", "BY"]
    assert [row.split()[3] for row in rows] == list(NAMES)
    assert rows[0].endswith("op (custom resources)")
    assert end.startswith("3 of 3 images, ")
    assert end.endswith(" known, 0 unresolved")


def test_the_images_of_a_profile_are_listed(locked: World) -> None:
    result = bundling.listed_lock(locked.lock, "minimal")
    assert [item["image"] for item in result.data["images"]] == ["r.example/web/web:1"]
    assert result.data["unresolved"] == []


def test_an_empty_lock_has_no_images(tmp_path: Path) -> None:
    assert bundling.listed_lock(tmp_path / "none", None).text == "no images"


def test_unresolved_images_have_no_size(world: World) -> None:
    world.bundling("r.example=http://nowhere.example").lock(world.lock, update=False)
    row = bundling.listed_lock(world.lock, "minimal").text.splitlines()[1]
    assert row.split()[:3] == ["unresolved", "?", "r.example/web/web:1"]


# build, verify, list, diff


def test_a_bundle_holds_a_profiles_images_and_charts(locked: World) -> None:
    out = locked.folder / "bundle"
    result = locked.bundling().build(locked.lock, out, profile="minimal", platform=AMD64)
    assert result.data["images"] == ["r.example/web/web:1"]
    assert result.data["charts"] == ["charts/web:1.0.0"]
    assert result.text.startswith(f"{out}: profile minimal for linux/amd64, 1 image, 1 chart, ")
    assert locked.screen.said[0] == "bringing 1 image and 1 chart"
    assert locked.screen.said[-1].startswith("fetched 100 % of ")
    listed = bundling.listed(out)
    assert listed.data["digest"] == result.data["digest"]
    assert [item["name"] for item in listed.data["images"]] == ["r.example/web/web:1"]
    assert listed.text.splitlines()[-1] == result.data["digest"]
    verified = bundling.verified(out)
    assert verified.data["digest"] == result.data["digest"]
    assert verified.text.startswith(f"{out}: every bit is right, ")


def test_a_build_again_fetches_nothing(locked: World) -> None:
    out = locked.build()
    result = locked.bundling().build(locked.lock, out, profile="standard", platform=AMD64)
    assert result.data["fetched"] == 0


def test_unresolved_images_are_refused_before_a_chart_is_touched(world: World) -> None:
    world.bundling("r.example=http://nowhere.example").lock(world.lock, update=False)
    details = details_of(IntegrityError, "CTO-1801", world.build)
    assert details.splitlines() == list(NAMES)
    assert not (world.folder / "bundle").exists()


def test_a_lock_older_than_the_catalog_is_refused(locked: World) -> None:
    lock = read_lock(locked.lock)
    renamed = lock.images[2].model_copy(update={"image": "r.example/web/web:0"})
    write_lock(locked.lock, Lock(images=(*lock.images[:2], renamed)))
    assert details_of(ConfigError, "CTO-1312", locked.build).splitlines() == [
        "web: r.example/web/web:1 is not in the lock",
        "web: r.example/web/web:0 is in the lock, and no longer in the catalog",
    ]


def test_a_chart_that_is_not_the_pinned_one_is_told(locked: World) -> None:
    """It was given by `--charts`, on purpose."""
    locked.pins["web"] = "0" * 64
    locked.build(profile="minimal")
    assert "! chart web 1.0.0 is not the one that is pinned" in locked.screen.said


def test_a_flipped_bit_is_named_with_its_image(locked: World) -> None:
    out = locked.build(profile="minimal")
    blob = min((out / "blobs" / "sha256").iterdir())
    data = blob.read_bytes()
    blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    details = details_of(IntegrityError, "CTO-1810", lambda: bundling.verified(out))
    assert f"blobs/sha256/{blob.name}: wrong bytes" in details
    assert "needed by " in details


def test_the_difference_of_two_bundles(locked: World) -> None:
    small, large = locked.build("small", "minimal"), locked.build("large")
    result = bundling.compared(small, large)
    assert [entry["name"] for entry in result.data["added"]] == ["charts/op:1.0.0", *NAMES[:2]]
    lines = result.text.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["+", "charts/op:1.0.0"], ["+", NAMES[0]], ["+", NAMES[1]]
    ]  # fmt: skip
    assert lines[3].startswith("layers: ")
    assert lines[4].startswith("size: +")
    back = bundling.compared(large, small).text.splitlines()
    assert back[0].startswith("-  charts/op:1.0.0")
    assert back[-1].startswith("size: -")


def test_an_image_with_another_digest_is_a_difference(locked: World) -> None:
    old = locked.build("old", "minimal")
    locked.add("web/web", "1", "second")
    locked.bundling().lock(locked.lock, update=True)
    result = bundling.compared(old, locked.build("new", "minimal"))
    (change,) = result.data["changed"]
    assert change["name"] == "r.example/web/web:1"
    assert change["old"]["digest"] != change["new"]["digest"]
    first = result.text.splitlines()[0]
    assert first.startswith("~  r.example/web/web:1  sha256:")
    assert " -> sha256:" in first


def test_equal_bundles_have_no_difference(locked: World) -> None:
    result = bundling.compared(locked.build("one"), locked.build("two"))
    assert result.text == f"no difference: {result.data['new']}"


# push


def test_a_push_tells_the_new_names(locked: World) -> None:
    out = locked.build()
    result = locked.bundling().push(out, f"{PRIVATE}/mirror")
    new = result.data["mapping"]["r.example/web/web:1"]
    assert new.startswith("private.example/mirror/r.example/web/web:1@sha256:")
    *names, end = result.text.splitlines()
    assert f"r.example/web/web:1 -> {new}" in names
    assert len(names) == 5
    assert end.startswith(f"{PRIVATE}/mirror: 5 of 5 were missing; ")
    again = locked.bundling().push(out, f"{PRIVATE}/mirror")
    assert again.text.splitlines()[-1] == (
        f"{PRIVATE}/mirror: 0 of 5 were missing; 0 B uploaded, 0 B mounted"
    )


@pytest.mark.parametrize(
    ("text", "host", "prefix", "plain"),
    [
        ("registry.example.com", "registry.example.com", "", set()),
        ("https://registry.example.com/a/b/", "registry.example.com", "a/b", set()),
        ("http://127.0.0.1:5000", "127.0.0.1:5000", "", {"127.0.0.1:5000"}),
    ],
)
def test_a_registrys_address(text: str, host: str, prefix: str, plain: set[str]) -> None:
    target, found = target_of(text)
    assert (target.host, target.prefix, set(found)) == (host, prefix, plain)


@pytest.mark.parametrize("text", ["", "ftp://registry.example.com", "registry.example.com/A B"])
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a registry"):
        target_of(text)


def test_platforms_have_two_or_three_parts() -> None:
    assert platform_of("linux/arm64/v8") == ImagePlatform("linux", "arm64")
    with pytest.raises(UsageError, match="--platform amd64: not a platform"):
        platform_of("amd64")


def test_a_transfer_is_told_by_tenths() -> None:
    screen = Screen()
    tell = Tenths(screen, "fetched")
    for done in range(0, 2001, 50):
        tell(TransferProgress("x", done, 2000))
    assert len(screen.said) == 10
    assert screen.said[0] == "fetched 10 % of 2.0 kB"
    tell(TransferProgress("x", 0, 0))
    assert len(screen.said) == 10


def test_the_nodes_image_is_locked_like_the_others(world: World) -> None:
    """Every profile has it, though no component does."""
    world.add("kindest/node", "v1.34.0")
    node = NodeImage(image="r.example/kindest/node:v1.34.0", digest="sha256:" + "0" * 64)
    work = replace(world.bundling(), node=node)
    work.lock(world.lock, update=False)
    found = next(item for item in read_lock(world.lock).images if item.image == node.image)
    assert found.resolved
    (need,) = found.needed_by
    assert (need.component, need.where) == ("cluster", "node")
    assert need.profiles == ("minimal", "standard", "production")
    work.build(world.lock, world.folder / "out", profile="minimal", platform=AMD64)
    assert BundleSource(world.folder / "out").image(node.image) is not None


def test_a_lock_without_the_nodes_image_is_older_than_the_platform(locked: World) -> None:
    node = NodeImage(image="r.example/kindest/node:v1.34.0", digest="sha256:" + "0" * 64)
    work = replace(locked.bundling(), node=node)

    def build() -> object:
        return work.build(locked.lock, locked.folder / "out", profile="minimal", platform=AMD64)

    details = details_of(ConfigError, "CTO-1312", build)
    assert details == f"{node.image} is not in the lock"


def test_the_platform_names_the_image_that_its_kind_was_released_with() -> None:
    node = node_image(assets.root() / "bundle")
    kind = load_yaml((assets.root() / "bundle/tools.yaml").read_text())["tools"]["kind"]
    # https://github.com/kubernetes-sigs/kind/releases lists each release's images.
    assert (kind["version"], node.kube_version) == ("0.33.0", "v1.34.11")
    assert kind["version"] == programs.KIND
    assert node.pinned == f"{node.image}@{node.digest}"
    locked = {item.image: item for item in read_lock(assets.root() / "bundle/lock.yaml").images}
    assert locked[node.image].digest in {node.digest, UNRESOLVED}


def test_a_bundle_without_images_has_the_charts(locked: World) -> None:
    """For networks that have a registry: digests of images need not be known."""
    folder = locked.folder / "out"
    locked.bundling().build(
        locked.lock, folder, profile="standard", platform=AMD64, with_images=False
    )
    source = BundleSource(folder)
    assert not source.has_images
    assert {item.name for item in source.contents.charts} == {"charts/op:1.0.0", "charts/web:1.0.0"}
