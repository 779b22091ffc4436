"""The lock file: what it says, that it survives, and that nothing in it is invented."""

from __future__ import annotations

from pathlib import Path
from threading import Event as Flag

import pytest

from cto.bundle.collect import Need
from cto.bundle.lock import (
    HEADER,
    UNRESOLVED,
    Lock,
    LockedImage,
    merged_lock,
    read_lock,
    text_of_lock,
    write_lock,
)
from cto.bundle.resolve import Changes, LockOutcome, Resolved, Resolver, changes
from cto.bundle.resolve import resolved as ask
from cto.errors import ConfigError
from unit.bundle.parts import DIGEST, OTHER, FakeResolver

NEEDS = {
    "r.io/b:1": (Need("web", "pod", ("minimal", "standard")),),
    "r.io/a:1": (Need("api", "pod", ("standard",)), Need("web", "argument", ("minimal",))),
}
WITH_BOTH = FakeResolver().on("r.io/a:1").on("r.io/b:1")


def resolved(lock: Lock, resolver: Resolver, *, update: bool = False) -> LockOutcome:
    return ask(lock, resolver, update=update, stop=Flag())


def image(name: str = "r.io/a:1", **fields: object) -> dict[str, object]:
    by = [{"component": "web", "where": "pod", "profiles": ["minimal"]}]
    return {"image": name, "needed_by": by, **fields}


def test_a_lock_is_sorted_and_says_who_needs_what() -> None:
    lock = resolved(merged_lock(NEEDS, Lock()), FakeResolver().on("r.io/b:1")).lock
    assert text_of_lock(lock) == HEADER + (
        "version: 1\n"
        "images:\n"
        "- image: r.io/a:1\n"
        "  digest: unresolved\n"
        "  needed_by:\n"
        "  - component: api\n"
        "    where: pod\n"
        "    profiles:\n"
        "    - standard\n"
        "  - component: web\n"
        "    where: argument\n"
        "    profiles:\n"
        "    - minimal\n"
        "- image: r.io/b:1\n"
        f"  digest: {DIGEST}\n"
        "  size: 2100000\n"
        "  platforms:\n"
        "  - linux/amd64\n"
        "  - linux/arm64\n"
        "  needed_by:\n"
        "  - component: web\n"
        "    where: pod\n"
        "    profiles:\n"
        "    - minimal\n"
        "    - standard\n"
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    lock = resolved(merged_lock(NEEDS, Lock()), WITH_BOTH).lock
    assert write_lock(file, lock)
    assert read_lock(file) == lock
    assert [item.name for item in tmp_path.iterdir()] == ["lock.yaml"]


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    lock = merged_lock(NEEDS, Lock())
    write_lock(file, lock)
    before = file.stat()
    assert not write_lock(file, lock)
    # Reading it changes the time of access, on some file systems.
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_file_is_an_empty_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none.yaml") == Lock()


def test_a_file_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        write_lock(file, Lock())
    assert caught.value.code == "CTO-1312"
    assert "--lock FILE" in caught.value.hint
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("[", "expected node content"),
        ("- 1", "valid dictionary"),
        ("version: 2", "version: Input should be 1"),
        (f"images: [{image(digest='sha256:abc')}]", "images.0.digest: String should match"),
        (f"images: [{image(digest=DIGEST)}]", "digest and platforms belong together"),
        (f"images: [{image(platforms=['linux/amd64'])}]", "digest and platforms belong together"),
        (f"images: [{image('b')}, {image('a')}]", "not sorted"),
        (f"images: [{image()}, {image()}]", "one is there twice"),
        (f"images: [{image(tag='x')}]", "images.0.tag: Extra inputs"),
    ],
)
def test_what_is_no_lock_file_is_refused(tmp_path: Path, data: str, problem: str) -> None:
    file = tmp_path / "lock.yaml"
    file.write_text(data, encoding="utf-8")
    with pytest.raises(ConfigError, match="not a valid lock file") as caught:
        read_lock(file)
    assert caught.value.code == "CTO-1312"
    assert problem in caught.value.details


def test_what_is_needed_no_more_goes_and_what_is_known_stays() -> None:
    old = resolved(merged_lock(NEEDS, Lock()), WITH_BOTH).lock
    fresh = {"r.io/b:1": NEEDS["r.io/b:1"], "r.io/c:1": NEEDS["r.io/a:1"]}
    new = merged_lock(fresh, old)
    assert [(item.image, item.digest) for item in new.images] == [
        ("r.io/b:1", DIGEST),
        ("r.io/c:1", UNRESOLVED),
    ]
    assert changes(old, new) == Changes(added=("r.io/c:1",), removed=("r.io/a:1",), moved=())


def test_known_digests_are_not_asked_for_again() -> None:
    """A tag that moved upstream must not change a lock by surprise."""
    old = resolved(merged_lock(NEEDS, Lock()), WITH_BOTH).lock
    registry = FakeResolver().on("r.io/a:1", OTHER).on("r.io/b:1", OTHER)
    assert resolved(old, registry).lock == old
    assert registry.asked == []


def test_all_digests_are_asked_for_on_update() -> None:
    old = resolved(merged_lock(NEEDS, Lock()), WITH_BOTH).lock
    new = resolved(old, FakeResolver().on("r.io/a:1", OTHER).on("r.io/b:1"), update=True).lock
    assert [item.digest for item in new.images] == [OTHER, DIGEST]
    assert changes(old, new).moved == ("r.io/a:1",)


def test_what_no_registry_has_stays_unresolved_with_the_reason() -> None:
    outcome = resolved(merged_lock(NEEDS, Lock()), FakeResolver().on("r.io/b:1"))
    assert [item.image for item in outcome.lock.unresolved] == ["r.io/a:1"]
    assert outcome.failures == {"r.io/a:1": "r.io/a:1 cannot be resolved: 404"}


def test_a_digest_outlives_a_registry_that_does_not_answer() -> None:
    old = resolved(merged_lock(NEEDS, Lock()), WITH_BOTH).lock
    outcome = resolved(old, FakeResolver(), update=True)
    assert outcome.lock == old
    assert set(outcome.failures) == set(NEEDS)


def test_an_interruption_stops_what_is_going_on() -> None:
    class Interrupted(FakeResolver):
        def resolve(self, reference: str) -> Resolved:
            raise KeyboardInterrupt

    stop = Flag()
    with pytest.raises(KeyboardInterrupt):
        ask(merged_lock(NEEDS, Lock()), Interrupted(), update=False, stop=stop)
    assert stop.is_set()


def test_the_images_of_a_profile() -> None:
    lock = merged_lock(NEEDS, Lock())
    assert [item.image for item in lock.of_profile("minimal")] == ["r.io/a:1", "r.io/b:1"]
    assert lock.of_profile("production") == ()
    assert LockedImage.model_validate(image()).profiles == {"minimal"}
