"""What runs in the lab's images, on a real Docker: other tests take it for upstream's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from lab.dockerd import engine as dockerd
from lab.images import build as images
from lab.images import layout
from lab.nodeimage import archive
from lab.tools import build

UPSTREAM = "quay.io/argoproj/argocd:"
# As pods under the restricted Pod Security level run, with a root that is read only.
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=999")


def docker(*argv: str) -> str:
    done = subprocess.run(
        ["docker", *argv],  # noqa: S607 - the one that is first in PATH is the one in use
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Load one of the images under a name of its own."""
    if not shutil.which("docker") or not dockerd.version() or not images.is_there():
        pytest.skip("no Docker answers, or no images (`make docker` brings both)")
    made = images.made()
    index = next(
        made.read(image)
        for image in made.images()
        if image["annotations"][images.REFERENCE].startswith(UPSTREAM)
    )
    wanted = next(
        image
        for image in index["manifests"]
        if image["platform"]["architecture"] == build.machine()
    )
    name = f"cto-lab/stand-in:test-{os.getpid()}"
    part = layout.Layout(tmp_path_factory.mktemp("layout"))
    manifest = made.read(wanted)
    for blob in (wanted, manifest["config"], *manifest["layers"]):
        part.put(made.path(blob["digest"]).read_bytes(), blob["mediaType"])
    part.finish([{**wanted, "annotations": {"io.containerd.image.name": f"docker.io/{name}"}}])
    archive.feed(part.folder, ["docker", "load", "--quiet"])
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture
def container(stand_in: str) -> Iterator[str]:
    name = docker("run", "--detach", *RESTRICTED, "--publish=127.0.0.1::8080", stand_in, "server")
    yield name
    docker("rm", "--force", name)


def test_it_answers_with_its_name_and_ends_well_when_it_is_told_to(container: str) -> None:
    address = docker("port", container, "8080")
    with urllib.request.urlopen(f"http://{address}/healthz", timeout=10) as answer:
        assert answer.status == 200
        assert answer.read().decode().startswith(f"stand-in for {UPSTREAM}")
    docker("stop", "--time=10", container)
    state = docker("inspect", "--format={{.State.Status}} {{.State.ExitCode}}", container)
    assert state == "exited 0"


@pytest.mark.parametrize(
    ("entrypoint", "argv"),
    [
        pytest.param("/bin/sh", ["-c", "exit 1"], id="an-init-container"),
        pytest.param("/bin/cp", ["a", "b"], id="a-copy"),
        pytest.param("/stand-in", ["admin", "redis-initial-password"], id="a-hook"),
    ],
)
def test_what_upstream_does_once_ends_at_once(
    stand_in: str, entrypoint: str, argv: list[str]
) -> None:
    said = docker("run", "--rm", *RESTRICTED, f"--entrypoint={entrypoint}", stand_in, *argv)
    assert said == ""
