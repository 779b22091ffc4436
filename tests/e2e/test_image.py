"""The image: two builds are one, it tells what it holds, and serves its bundle to Docker.

Needs a Docker daemon with a base image (CTO_BASE, the lab's), and the registry and crane of the
lab; the other programs in it are stand-ins. Everything is named `cto-e2e-image` and removed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.docker.client import Docker
from cto.adapters.kind.supply import BundleRegistry
from cto.adapters.process import ProcessRunner
from cto.cli.containers import served
from cto.errors import PreflightError
from cto_airgap.bundle import BundleSource
from cto_airgap.layout import Layout
from cto_airgap.web import WebTransport
from fakes.depot import Depot
from lab.registry import running
from lab.registry.running import Registries

from .image import MAKE, PROFILE, Image

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
BASE = os.environ.get("CTO_BASE", "cto-lab/base:trixie")
NAME = "cto-e2e-image"
IMAGE = f"{NAME}:1-minimal"
STAND_INS = ("kubectl", "helm", "kind", "docker")
_LONG_S = 900


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(
        [shutil.which("docker") or "docker", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONG_S,
    )
    assert not check or done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base() -> str:
    """Return the base image; skip, and say why, where it cannot be had."""
    if why := running.missing():
        pytest.skip(why)
    if not shutil.which("docker") or not docker("info", "--format", "{{.ID}}", check=False):
        pytest.skip("no Docker answers")
    if not docker("image", "inspect", "--format", "{{.Id}}", BASE, check=False):
        pytest.skip(f"Docker has no image {BASE} (CTO_BASE, or tests/lab)")
    return BASE


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    for name in STAND_INS:
        (folder / name).write_text(f"#!/bin/sh\necho {name}\n")
        (folder / name).chmod(0o755)
    for name in ("registry", "crane"):
        shutil.copy(running.folder() / name, folder / name)
    return folder


def build(parts: Path, base: str, tools: Path) -> Path:
    """Run `make` as users do, without what Docker kept of a build before."""
    words = {
        "PARTS": str(parts),
        "BASE": base,
        "BIN": str(Path(sys.executable).parent),
        "MADE": "",
        "BUILD_ARGS": "--no-cache --quiet",
        "SOURCE_DATE_EPOCH": "1700000000",
    }
    target = parts / "program.tar"
    argv = ["make", *(f"{key}={value}" for key, value in words.items()), str(target)]
    env = {**os.environ, "CTO_TOOLS": str(tools)}
    done = subprocess.run(
        argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=_LONG_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def put_in(program: Path, bundle: Path, out: Path) -> Path:
    words = [str(bundle), "--program", str(program), "--out", str(out), "--name", IMAGE]
    argv = [sys.executable, "-m", "cto", "bundle", "image", *words]
    subprocess.run(argv, check=True, capture_output=True, timeout=_LONG_S)
    return out


@pytest.fixture(scope="module")
def program(base: str, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("parts"), base, tools)


@dataclass(frozen=True)
class Made:
    """An image that Docker has, and the bundle that is in it."""

    name: str
    bundle: Path
    upstream: str

    @property
    def source(self) -> BundleSource:
        return BundleSource(self.bundle)


@pytest.fixture(scope="module")
def made(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Put a bundle of two little images and a chart into the program; have Docker load it."""
    folder = tmp_path_factory.mktemp("made")
    with Registries(folder / "upstream") as registries, WebTransport() as transport:
        depot = Depot(registries.start(), transport, plain=True)
        wanted = replace(depot.fill(folder), profile="minimal")
        depot.builder(folder).build(wanted, folder / "bundle")
    out = put_in(program, folder / "bundle", folder / "image.tar")
    docker("load", "--input", str(out))
    yield Made(IMAGE, folder / "bundle", depot.host)
    docker("rmi", "--force", IMAGE)


@pytest.fixture
def registry(made: Made) -> Iterator[BundleRegistry]:
    engine = Docker(
        ProcessRunner(log=lambda _: None, clock=SystemClock()),
        lambda: shutil.which("docker") or "docker",
        environ=os.environ,
        own_ids=tuple,
    )
    found = served(made.source, f"{made.upstream}/two:2")
    supply = BundleRegistry(
        engine,
        SystemClock(),
        found,
        image=made.name,
        check_bundle=made.source.check,
        air_gapped=lambda: True,
    )
    yield supply
    docker("rm", "--force", "--volumes", supply.name, check=False)


def digest_of(image: Path) -> str:
    with tarfile.open(image) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        return str(json.load(index)["manifests"][0]["digest"])


def test_two_builds_are_one(
    program: Path, made: Made, base: str, tools: Path, tmp_path: Path
) -> None:
    """Other folders, another time, nothing kept: the same digest, with a bundle and without."""
    again = build(tmp_path / "again", base, tools)
    assert digest_of(again) == digest_of(program)
    whole = put_in(again, made.bundle, tmp_path / "again.tar")
    assert digest_of(whole) == digest_of(put_in(program, made.bundle, tmp_path / "first.tar"))


def test_it_tells_what_it_holds(made: Made) -> None:
    told = json.loads(docker("run", "--rm", "--network=none", made.name, "version", "-o", "json"))
    assert told["data"]["bundle"] == {
        "folder": "/opt/cto/bundle",
        "digest": made.source.digest,
        "profile": "minimal",
        "platform": "linux/amd64",
        "images": "2",
    }
    assert told["data"]["tools"] == dict.fromkeys(("registry", "crane", *STAND_INS), "as given")
    label = docker(
        "image", "inspect", "--format", '{{index .Config.Labels "cto.dev/bundle"}}', made.name
    )
    assert label == made.source.digest


def test_every_bit_of_the_bundle_is_in_it_whoever_runs_it(made: Made) -> None:
    flags = ("--rm", "--network=none", "--read-only", "--user=12345:12345")
    done = docker("run", *flags, made.name, "bundle", "verify", "/opt/cto/bundle")
    assert done.splitlines()[-1] == made.source.digest


_NOBODY = ("--rm", "--network=none", "--read-only", "--user=12345:12345")


@pytest.fixture(scope="module")
def loaded(base: str, image: Image) -> Iterator[str]:
    """Return the name of the platform's whole image, which Docker has meanwhile."""
    docker("load", "--quiet", "--input", str(image.tar))
    yield image.reference
    docker("rmi", "--force", image.reference)


@pytest.mark.parametrize(
    "words",
    [
        ("version",),
        ("explain", "CTO-1485"),
        ("config", "show"),
        ("config", "init", "-"),
        ("plan", "install", "--provider", "kwok", "--profile", PROFILE),
    ],
    ids=" ".join,
)
def test_what_only_looks_needs_no_folder_and_no_user_of_its_own(
    loaded: str, words: tuple[str, ...]
) -> None:
    assert docker("run", *_NOBODY, loaded, *words)


def test_what_writes_names_the_folders_until_they_are_there(loaded: str) -> None:
    words = ("install", "--provider", "kwok", "--profile", PROFILE, "-o", "json")
    told = json.loads(docker("run", *_NOBODY, loaded, *words, check=False))["error"]
    assert told["code"] == "CTO-1485"
    for folder, name in (("/var/cache/cto", "CTO_CACHE_DIR"), ("/var/lib/cto", "CTO_STATE_DIR")):
        assert f"{folder} is mounted to be read only: mount a volume at {folder}" in told["details"]
        assert f"{name}=DIR" in told["details"]
    mounts = ("--tmpfs=/var/cache/cto", "--tmpfs=/var/lib/cto")
    told = json.loads(docker("run", *_NOBODY, *mounts, loaded, *words, check=False))
    assert "Folder /var" not in json.dumps(told)


def test_without_images_it_is_slim(base: str, image: Image) -> None:
    """For networks with a registry: `make image-slim`, and the sum beside the file."""
    make = [*MAKE, "--target", "image-slim"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True, timeout=_LONG_S)
    (slim,) = (ROOT / "dist").glob("cto-*-slim-*.tar")
    assert slim.stat().st_size < image.tar.stat().st_size / 2
    for tar in (slim, image.tar):
        check = ["sha256sum", "--check", "--quiet", f"{tar.name}.sha256"]
        subprocess.run(check, cwd=tar.parent, check=True, timeout=_LONG_S)
    name = image.reference.replace(PROFILE, "slim")
    try:
        told = json.loads(docker("run", "--rm", name, "version", "-o", "json"))
        assert told["data"]["bundle"]["images"] == "0"
        docker("run", "--rm", "--network=none", name, "bundle", "verify", "/opt/cto/bundle")
    finally:
        docker("rmi", "--force", name)


def test_programs_are_where_they_are_looked_for(made: Made) -> None:
    for name in STAND_INS:
        assert docker("run", "--rm", f"--entrypoint={name}", made.name) == name


def test_docker_pulls_from_it_by_digest_and_keeps_a_name_without_a_port(
    made: Made, registry: BundleRegistry
) -> None:
    said: list[str] = []
    name = registry.node_image(said.append)
    try:
        assert name.startswith("cto.invalid/")
        assert registry.node_image(said.append) == name
        assert docker("image", "ls", "--quiet", "--no-trunc", name)
        kept = docker("image", "ls", "--digests", "--format", "{{.Repository}}")
        assert not [line for line in kept.splitlines() if line.startswith("127.0.0.1")]
        item = made.source.image(f"{made.upstream}/two:2")
        assert item is not None
        inspected = docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
        assert len(json.loads(inspected)) == 1
    finally:
        docker("rmi", "--force", name)


def test_it_is_found_again_started_again_and_made_again(registry: BundleRegistry) -> None:
    def identity() -> str:
        return docker("inspect", "--format", "{{.Id}} {{.State.Running}}", registry.name)

    registry.serve(lambda _: None)
    first = identity()
    registry.serve(lambda _: None)
    assert identity() == first
    docker("kill", registry.name)
    registry.serve(lambda _: None)
    assert identity() == first
    docker("rm", "--force", registry.name)
    docker("create", "--name", registry.name, "--label=cto.dev/role=registry", BASE, "false")
    with pytest.raises(PreflightError):
        registry.serve(lambda _: None)
    docker("rm", "--force", registry.name)
    registry.serve(lambda _: None)
    assert identity() != first


def test_it_ends_at_once_and_leaves_one_folder(registry: BundleRegistry) -> None:
    """The registry program is the first process: Docker need not kill it."""
    registry.serve(lambda _: None)
    for _ in range(2):
        began = time.monotonic()
        docker("stop", "--time=30", registry.name)
        assert time.monotonic() - began < 15
        registry.serve(lambda _: None)
    folders = docker("exec", registry.name, "sh", "-c", "ls -d /tmp/cto-registry-*")
    assert len(folders.splitlines()) == 1


def test_what_comes_out_is_what_upstream_had(made: Made, registry: BundleRegistry) -> None:
    registry.serve(lambda _: None)
    port = docker("port", registry.name, "5000/tcp").splitlines()[0].rpartition(":")[2]
    layout = Layout(made.bundle)
    item = next(one for one in layout.contents().images if "team/one" in one.name)
    crane = [str(running.folder() / "crane"), "--insecure", "manifest"]
    name = f"127.0.0.1:{port}/{made.upstream.replace(':', '-')}/team/one:1"
    done = subprocess.run([*crane, name], capture_output=True, check=True, timeout=60)
    assert f"sha256:{hashlib.sha256(done.stdout).hexdigest()}" == item.descriptor.digest
