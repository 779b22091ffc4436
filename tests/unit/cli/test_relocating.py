"""Names and digests of images in a registry of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cto.bundle.lock import Lock, LockedImage, NeededBy, write_lock
from cto.catalog import Component
from cto.cli.relocating import Relocations, Source, moved, read_mapping, relocations, source_of
from cto.config.load import Loaded, load
from cto.config.model import Config
from cto.errors import ConfigError, IntegrityError
from cto_airgap.build import WantedBundle, WantedImage
from cto_airgap.oci import ImagePlatform, digest_of
from cto_airgap.reference import PushTarget, parse_reference
from fakes import images
from fakes.components import component
from fakes.registry import FakeRegistry
from unit.airgap.world import Client

REGISTRY = {"type": "generic", "url": "https://r.example.com:5000/", "namespace": "team/cto"}
NATS, WEB, BIG = "docker.io/library/nats:2", "quay.io/x/web:1", "quay.io/x/big:1"
COMPONENT = component(
    "web",
    images=[
        {"ref": "nats:2", "why": "bus", "hides_in": "configmap"},
        {"ref": WEB, "why": "server"},
        {"ref": BIG, "why": "only in production"},
    ],
)
DIGEST = {name: digest_of(name.encode()) for name in (NATS, WEB, BIG)}
PROFILES = {NATS: ("minimal", "production"), WEB: ("minimal",), BIG: ("production",)}


def config(**sections: Any) -> Config:
    return Config.model_validate({"registry": REGISTRY, **sections})


def lock(*names: str, digest: bool = True) -> Lock:
    def resolved(name: str) -> dict[str, Any]:
        return {"digest": DIGEST[name], "platforms": ("linux/amd64",)} if digest else {}

    return Lock(
        images=tuple(
            LockedImage(
                image=name,
                needed_by=(NeededBy(component="web", where="pod", profiles=PROFILES[name]),),
                **resolved(name),
            )
            for name in sorted(names)
        )
    )


EVERYTHING = lock(NATS, WEB, BIG)


def made(*known: str, base: str = "minimal", **sections: Any) -> Relocations:
    source = Source("somewhere", {name: DIGEST[name] for name in known}, "Do this.")
    return moved(config(**sections), [COMPONENT], base, EVERYTHING, source)


def new(name: str) -> str:
    return f"r.example.com:5000/team/cto/{name}@{DIGEST[name]}"


def test_every_way_to_write_a_name_leads_to_the_new_one() -> None:
    found = made(NATS, WEB, BIG).by_component["web"]
    assert found.images["nats:2"] == found.images["docker.io/nats:2"] == new(NATS)
    assert found.images[WEB] == new(WEB)
    assert found.pull_secret == ""


def test_nodes_log_in_if_there_is_a_name_for_it() -> None:
    login = {**REGISTRY, "username": "me", "password": "hunter2"}
    assert made(NATS, WEB, registry=login).by_component["web"].pull_secret == "cto-registry"


def test_a_name_is_that_which_a_push_gives() -> None:
    target = PushTarget("r.example.com:5000", "team/cto")
    assert str(target.of(parse_reference(NATS), DIGEST[NATS])) == new(NATS)


@pytest.mark.parametrize(
    ("base", "sections", "needed"),
    [
        ("minimal", {}, {NATS, WEB}),
        ("production", {}, {NATS, BIG}),
        # Neither tells what it would need of the component: everything, then.
        ("standard", {}, {NATS, WEB, BIG}),
        ("minimal", {"features": {"high_availability": True}}, {NATS, WEB, BIG}),
    ],
)
def test_what_is_needed_depends_on_the_profile(
    base: str, sections: dict[str, Any], needed: set[str]
) -> None:
    found = made(NATS, WEB, BIG, base=base, **sections).needed
    assert {str(one) for one in found} == {new(name) for name in needed}


def test_what_the_lock_does_not_know_is_needed() -> None:
    source = Source("somewhere", DIGEST, "")
    found = moved(config(), [COMPONENT], "minimal", lock(NATS), source).needed
    assert {str(one) for one in found} == {new(name) for name in (NATS, WEB, BIG)}


def test_what_is_not_needed_needs_no_digest() -> None:
    assert BIG not in made(NATS, WEB).by_component["web"].images


def test_all_that_have_no_digest_are_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        made(BIG)
    assert caught.value.code == "CTO-1330"
    assert caught.value.message == "2 images have no digest in somewhere"
    assert (caught.value.details, caught.value.hint) == (f"{NATS}\n{WEB}", "Do this.")
    with pytest.raises(ConfigError, match="an image has no digest"):
        made(WEB)


def test_a_registry_without_tls_is_asked_without() -> None:
    plain = {**REGISTRY, "url": "http://127.0.0.1:5000"}
    found = made(NATS, WEB, registry=plain)
    assert found.endpoints.to_write(found.needed[0]).origin == "http://127.0.0.1:5000"
    assert made(NATS, WEB).endpoints.plain == frozenset()


class TestSource:
    def loaded(self, **registry: str) -> Loaded:
        values = {f"registry.{key}": value for key, value in {**REGISTRY, **registry}.items()}
        return load(
            flags=values,
            env={},
            files=(),
            profiles=PROFILE_FOLDER,
            component_names=lambda _: (),
            stdin=str,
        )

    def needed(self, loaded: Loaded, folder: Path, bundle: Path | None = None) -> set[str]:
        items: list[Component] = [COMPONENT]
        return {str(one) for one in relocations(loaded, items, folder, bundle).needed}

    def test_upstream_needs_none(self, tmp_path: Path) -> None:
        assert relocations(self.loaded(type="local"), [COMPONENT], tmp_path, None) == Relocations()

    def test_the_lock(self, tmp_path: Path) -> None:
        write_lock(tmp_path / "lock.yaml", EVERYTHING)
        assert self.needed(self.loaded(), tmp_path) == {new(NATS), new(WEB)}

    def test_a_lock_without_digests_says_what_to_do(self, tmp_path: Path) -> None:
        write_lock(tmp_path / "lock.yaml", lock(NATS, WEB, BIG, digest=False))
        with pytest.raises(ConfigError) as caught:
            self.needed(self.loaded(), tmp_path)
        assert caught.value.hint == (
            "Push a bundle of the profile: `cto bundle push DIR https://r.example.com:5000/team/cto"
            " -o json > mapping.json`, and name that file (`registry.mapping`). If the registry "
            "mirrors upstream, lock the digests instead: `cto bundle lock`."
        )

    def test_the_mapping_comes_first(self, tmp_path: Path) -> None:
        file = tmp_path / "mapping.json"
        pushed = {name: f"push.example.com/{name}@{DIGEST[NATS]}" for name in (NATS, WEB)}
        file.write_text(json.dumps({"data": {"mapping": pushed}}))
        write_lock(tmp_path / "lock.yaml", EVERYTHING)
        found = self.needed(self.loaded(mapping=str(file)), tmp_path, tmp_path / "bundle")
        assert found == {f"{new(name).partition('@')[0]}@{DIGEST[NATS]}" for name in (NATS, WEB)}

    def test_then_the_bundle_with_the_digests_that_a_push_leaves(self, tmp_path: Path) -> None:
        both = {
            f"linux/{name}": images.image(text=name, platform=f"linux/{name}")
            for name in ("amd64", "arm64")
        }
        fake = FakeRegistry("https://quay.io")
        whole = fake.add("x/web", images.index(both), "1")
        wanted = WantedBundle(
            platform=ImagePlatform("linux", "amd64"),
            images=(WantedImage(parse_reference(WEB), whole.root),),
        )
        Client(fake).builder.build(wanted, tmp_path / "bundle")
        found = source_of(config().registry, tmp_path / "bundle", EVERYTHING)
        assert found.digests.keys() == {WEB}
        assert found.digests[WEB] != whole.root
        with pytest.raises(IntegrityError):
            source_of(config().registry, tmp_path, EVERYTHING)


PROFILE_FOLDER = Path(__file__).parents[3] / "profiles"


class TestMapping:
    @pytest.mark.parametrize("depth", [(), ("mapping",), ("data", "mapping")])
    def test_it_may_be_the_whole_document(self, tmp_path: Path, depth: tuple[str, ...]) -> None:
        document: Any = {
            NATS: new(NATS),
            "charts/web:1": f"r.example.com/charts/web:1@{DIGEST[WEB]}",
        }
        for key in reversed(depth):
            document = {key: document, "other": 1}
        file = tmp_path / "mapping.json"
        file.write_text(json.dumps(document))
        assert read_mapping(file) == {NATS: DIGEST[NATS]}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (None, "No such file or directory"),
            ("{", "Expecting property name"),
            ("[]", "has no attribute"),
            ('{"data": {"mapping": 1}}', "it holds no mapping"),
            ("{}", "it has no image"),
            (f'{{"{NATS}": "r.example.com/nats:2"}}', f"{NATS}: no digest"),
            (f'{{"{NATS}": "NO NAME"}}', "not a reference"),
            (f'{{"{NATS}": 1}}', "expected string"),
        ],
    )
    def test_what_is_none_is_told(self, tmp_path: Path, text: str | None, says: str) -> None:
        file = tmp_path / "mapping.json"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_mapping(file)
        assert caught.value.code == "CTO-1331"
        assert says in caught.value.details
