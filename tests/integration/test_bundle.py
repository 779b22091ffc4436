"""From the lock to somebody's registry, with real charts' shapes, real Helm and real registries.

No cluster is needed: Helm renders the stand-in charts, and every image is a tiny one that a local
registry has under the name of upstream's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cto import __version__
from cto.bundle.lock import Lock, LockedImage, read_lock, write_lock
from cto_airgap.reference import parse_reference
from fakes.archives import ours
from integration.bundle_registry import PLATFORMS, Distribution, distribution

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "bundle" / "lock.yaml"


@dataclass(frozen=True)
class Desk:
    """Runs `cto bundle` with a folder of its own; all upstream hosts are one local registry."""

    folder: Path
    upstream: Distribution
    cache: Path
    tools: Path
    charts: Path

    @property
    def lock(self) -> Path:
        return self.folder / "lock.yaml"

    def run(
        self, *words: str | Path, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CTO_", "DOCKER_"))}
        settings = {
            "HOME": str(self.folder),
            "CTO_CACHE_DIR": str(self.cache),
            "CTO_TOOLS": str(self.tools),
            "CTO_CHARTS": str(self.charts),
            "CTO_REGISTRY_MIRRORS": f"*={self.upstream.url}",
            # Nothing must ever reach upstream's hosts: there is no such proxy.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            **(env or {}),
        }
        done = subprocess.run(
            [sys.executable, "-m", "cto", "bundle", *map(str, words)],
            env={**kept, **settings},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def data(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run(*words, "-o", "json", code=code).stdout)
        return {**document["data"], "error": document["error"]}

    def build(self, name: str = "bundle", **changes: str) -> Path:
        """Build the smallest profile for amd64, or what `changes` say."""
        options = {"profile": "minimal", "platform": PLATFORMS[0], **changes}
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        for image, file in ours(self.folder / "ours", options["platform"]).items():
            words += ["--archive", f"{image}={file}"]
        self.run("build", *words, "--lock", self.lock, "--out", self.folder / name)
        return self.folder / name


@pytest.fixture(scope="session")
def lab_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder with Helm, and one with stand-in charts."""
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    tools = cache / "tools"
    if not (tools / "helm").exists():
        pytest.skip(f"not in {tools}: helm (make test prepares it)")
    charts = tmp_path_factory.mktemp("charts")
    pack = [sys.executable, str(ROOT / "tests/lab/charts/pack.py"), "--out", str(charts)]
    subprocess.run(pack, check=True, capture_output=True)
    return tools, charts


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """A registry that has every image of the committed lock."""
    with distribution(tmp_path_factory.mktemp("upstream") / "registry") as registry:
        for image in read_lock(COMMITTED).images:
            name = parse_reference(image.image)
            registry.put_image(name.repository, name.tag)
        yield registry


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def resolved(
    upstream: Distribution,
    cache: Path,
    lab_folders: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A lock that the command wrote, with nothing to begin from."""
    desk = Desk(tmp_path_factory.mktemp("lock"), upstream, cache, *lab_folders)
    found = desk.data("lock", "--lock", desk.lock)
    assert found["unresolved"] == []
    assert found["written"]
    return desk.lock


@pytest.fixture
def desk(
    tmp_path: Path,
    upstream: Distribution,
    cache: Path,
    lab_folders: tuple[Path, Path],
    resolved: Path,
) -> Desk:
    made = Desk(tmp_path, upstream, cache, *lab_folders)
    made.lock.write_bytes(resolved.read_bytes())
    return made


def tree(folder: Path) -> dict[str, str]:
    """Return every file with the digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def without_digests(lock: Lock) -> list[dict[str, Any]]:
    return [item.model_dump(include={"image", "needed_by"}) for item in lock.images]


def test_the_committed_lock_is_what_charts_and_catalog_say(resolved: Path) -> None:
    """Whoever changes a component runs `cto bundle lock`."""
    assert without_digests(read_lock(COMMITTED)) == without_digests(read_lock(resolved))


def test_the_lock_has_what_the_registries_have(resolved: Path, upstream: Distribution) -> None:
    for image in read_lock(resolved).images:
        name = parse_reference(image.image)
        assert image.digest == upstream.digest(name.repository, name.tag)
        assert image.platforms == PLATFORMS
        assert image.size > 0


def test_a_tag_that_moved_changes_one_entry_and_only_when_asked(desk: Desk) -> None:
    """Upstream builds `latest` again, and now and then a version."""
    lock = read_lock(desk.lock)
    older = lock.images[1].model_copy(update={"digest": "sha256:" + "0" * 64})
    write_lock(desk.lock, Lock(images=(lock.images[0], older, *lock.images[2:])))
    assert not desk.data("lock", "--lock", desk.lock)["written"]
    assert desk.data("lock", "--lock", desk.lock, "--update")["moved"] == [older.image]
    assert read_lock(desk.lock) == lock


def test_round_trip(desk: Desk, tmp_path: Path) -> None:
    """Build, verify, list, compare, push; and nothing is sent twice."""
    bundle = desk.build()
    listed = desk.data("list", bundle)
    wanted = read_lock(desk.lock).of_profile("minimal")
    found = {one["name"]: one["digest"] for one in listed["images"]}
    made = {name for name in found if name.startswith("cto.internal/")}
    assert made == {f"cto.internal/{name}:{__version__}" for name in ("agent", "controller")}
    assert {name: digest for name, digest in found.items() if name not in made} == {
        item.image: item.digest for item in wanted
    }
    # With what can be switched on without another bundle.
    optional = ("dex", "object-store", "traefik", "tunnel")
    assert [one["name"].partition(":")[0] for one in listed["charts"]] == [
        f"charts/{name}"
        for name in ("argo-cd", "argo-events", "argo-workflows", "controller", *optional)
    ]
    verified = desk.data("verify", bundle)
    assert verified["digest"] == listed["digest"]
    assert verified["size"] == listed["size"]
    with distribution(tmp_path / "private") as private:
        first = desk.data("push", bundle, f"{private.url}/mirror")
        assert all(item["sent"] for item in first["items"])
        assert first["mapping"].keys() == {
            one["name"] for one in [*listed["images"], *listed["charts"]]
        }
        for new in map(parse_reference, first["mapping"].values()):
            assert private.digest(new.repository, new.tag) == new.digest
        again = desk.data("push", bundle, f"{private.url}/mirror")
        assert (again["uploaded"], again["mounted"]) == (0, 0)
        assert not any(item["sent"] for item in again["items"])


def test_two_builds_are_the_same_bytes(desk: Desk) -> None:
    first, second = tree(desk.build("one")), tree(desk.build("two"))
    assert first == second
    assert len(first) > 40


def test_a_bundle_grows_into_a_larger_one_and_the_difference_is_told(desk: Desk) -> None:
    small, large = desk.build("small"), desk.build("large", profile="standard")
    found = desk.data("diff", small, large)
    added = {entry["name"] for entry in found["added"]}
    assert {"charts/grafana:12.11.1", "docker.io/grafana/grafana:13.2.2"} <= added
    assert (found["removed"], found["changed"]) == ([], [])
    assert found["new_layers"] > 0
    assert tree(desk.build("small", profile="standard")) == tree(large)
    assert "no difference" in desk.run("diff", small, large).stdout


def test_another_platform_is_another_bundle_of_the_same_images(desk: Desk) -> None:
    one, other = desk.build("one"), desk.build("other", platform=PLATFORMS[1])
    assert desk.data("list", other)["platform"] == PLATFORMS[1]
    found = desk.data("diff", one, other)
    assert (found["added"], found["removed"]) == ([], [])
    # Ours are made for one platform: there is no index of both.
    assert {entry["name"].partition("/")[0] for entry in found["changed"]} == {"cto.internal"}
    assert found["new_layers"] > 0


def test_a_flipped_bit_is_found_and_named(desk: Desk) -> None:
    bundle = desk.build()
    layer = max((bundle / "blobs" / "sha256").iterdir(), key=lambda path: path.name)
    content = bytearray(layer.read_bytes())
    content[len(content) // 2] ^= 1
    layer.write_bytes(content)
    error = desk.data("verify", bundle, code=8)["error"]
    assert error["code"] == "CTO-1810"
    assert f"blobs/sha256/{layer.name}: wrong bytes" in error["details"]
    assert "needed by" in error["details"]


def test_a_build_mends_what_was_damaged(desk: Desk) -> None:
    """A truncated, a missing and a surplus file; the fix that the error names works."""
    bundle = desk.build()
    whole = tree(bundle)
    cut, gone, *_ = sorted((bundle / "blobs" / "sha256").iterdir())
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    (bundle / "blobs" / "sha256" / "more").write_bytes(b"x")
    details = desk.data("verify", bundle, code=8)["error"]["details"]
    assert f"{cut.name}: wrong size" in details
    assert f"{gone.name}: missing" in details
    assert "more: nothing needs it" in details
    desk.build()
    assert tree(bundle) == whole
    desk.run("verify", bundle)


def test_a_build_refuses_what_was_never_resolved(desk: Desk) -> None:
    lock = read_lock(desk.lock)
    one = next(item for item in lock.of_profile("minimal"))
    bare = LockedImage(image=one.image, needed_by=one.needed_by)
    write_lock(desk.lock, Lock(images=tuple(bare if i == one else i for i in lock.images)))
    out = desk.folder / "bundle"
    error = desk.data("build", "--lock", desk.lock, "--out", out, code=8)["error"]
    assert (error["code"], error["details"]) == ("CTO-1801", one.image)
    assert not out.exists()


def test_a_build_refuses_a_lock_that_is_older_than_the_catalog(desk: Desk) -> None:
    lock = read_lock(desk.lock)
    write_lock(desk.lock, Lock(images=lock.images[1:]))
    words = ("--profile", "standard", "--lock", desk.lock, "--out", desk.folder / "bundle")
    error = desk.data("build", *words, code=3)["error"]
    assert error["code"] == "CTO-1312"
    assert f"{lock.images[0].image} is not in the lock" in error["details"]


def test_what_no_registry_has_stays_unresolved(desk: Desk) -> None:
    """Everything else is written down all the same."""
    with distribution(desk.folder / "other") as other:
        other.put_image("library/nats", "2.10.29")
        env = {"CTO_REGISTRY_MIRRORS": f"*={other.url}"}
        done = desk.run("lock", "--lock", desk.folder / "new.yaml", env=env)
    lock = read_lock(desk.folder / "new.yaml")
    resolved = [item.image for item in lock.images if item.resolved]
    assert resolved == ["docker.io/library/nats:2.10.29"], done.stdout + done.stderr
    assert f"{len(lock.images) - 1} unresolved" in done.stdout
    assert "quay.io/argoproj/argocd:v3.4.7" in done.stdout
