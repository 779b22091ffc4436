"""Broken bundles, full disks, registries that fail, a Docker that goes away in the middle."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .daemon import DATA, Daemon
from .delivery import registries
from .engine import Engine
from .installer import CLUSTER, Installer
from .inventory import Inventory
from .moments import NODE, Run, says
from .probes import answers, urls

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BLOBS = "/opt/cto/bundle/blobs/sha256"
INSTALL = ("install", "--profile", "minimal")
# Chooses a layer of an image that pods need: none of the node image's, which are by far larger.
LARGEST = (
    f"ls -S {BLOBS} | while read -r b; do s=$(stat -c %s {BLOBS}/$b); "
    "[ $s -lt 8000000 ] && echo $b && break; done"
)


@contextmanager
def damaged(installer: Installer, script: str) -> Iterator[Installer]:
    """Yield an installer whose image is another one, after a script has run in it."""
    engine, name = installer.engine, "cto-e2e-damage"
    engine.run("run", f"--name={name}", "--entrypoint", "sh", installer.image, "-ec", script)
    engine.run("commit", "--change", 'ENTRYPOINT ["cto"]', "--change", "CMD []", name, f"{name}:1")
    engine.run("rm", name)
    try:
        yield Installer(engine, f"{name}:1", installer.kube)
    finally:
        left = [*engine.containers(f"ancestor={name}:1"), *registries(engine)]
        if left:
            engine.run("rm", "--force", *left, code=None)
        engine.run("rmi", "--force", f"{name}:1")


def test_a_truncated_blob_is_named_before_a_cluster_is_made(installer: Installer) -> None:
    script = f"b=$({LARGEST}); truncate -s -1 {BLOBS}/$b; echo $b"
    with damaged(installer, script) as broken:
        failed = broken.start(*INSTALL).wait()
        assert failed.returncode in (5, 8), failed.stderr
        assert "CTO-1810" in failed.stderr
        assert re.search(r"blobs/sha256/[0-9a-f]{64}: missing or cut off", failed.stderr)
        assert installer.engine.containers("label=io.x-k8s.kind.cluster") == []
        verify = broken.run("bundle", "verify", "/opt/cto/bundle", code=8)
        assert "CTO-1810" in verify.stderr
    # The fix: an image that is whole.
    installer.run(*INSTALL)


def test_a_flipped_bit_is_never_run(installer: Installer) -> None:
    """Containerd hashes what it pulls; the installation ends with a code, not with a timeout."""
    flip = (
        "import sys; f = open(sys.argv[1], 'r+b'); f.seek(100); c = f.read(1)[0]; "
        "f.seek(100); f.write(bytes([c ^ 1]))"
    )
    script = f'b=$({LARGEST}); python3 -c "{flip}" {BLOBS}/$b'
    with damaged(installer, script) as broken:
        begun = time.monotonic()
        failed = broken.start(*INSTALL).wait()
        assert failed.returncode not in (0, 1), failed.stderr
        assert re.search(r"CTO-\d{4}", failed.stderr)
        assert time.monotonic() - begun < 400
        verify = broken.run("bundle", "verify", "/opt/cto/bundle", code=8)
        assert "CTO-1810" in verify.stderr
    # The fix: the same command with an image that is whole goes on from there.
    installer.run(*INSTALL)
    assert {answers(installer.engine, url) for url in urls(installer.install()).values()} == {200}


@pytest.fixture
def filler(own_daemon: Daemon) -> Iterator[Path]:
    file = DATA / "filler"
    yield file
    file.unlink(missing_ok=True)


def fill(file: Path, *, leave_mib: int) -> None:
    status = os.statvfs(file.parent)
    size = status.f_bavail * status.f_frsize - (leave_mib << 20)
    with file.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)


def test_a_full_disk_is_found_before_anything_is_made(installer: Installer, filler: Path) -> None:
    before = Inventory.of(installer.engine, installer.kube)
    fill(filler, leave_mib=600)
    refused = installer.run(*INSTALL, code=4)
    assert re.search(r"(?i)disk", refused.stderr)
    assert Inventory.of(installer.engine, installer.kube).gained(before) == {}
    filler.unlink()
    installer.run(*INSTALL)


def test_a_disk_that_fills_up_meanwhile_ends_with_a_code(
    installer: Installer, filler: Path
) -> None:
    run = Run(installer, *INSTALL)
    run.until(says(r"Docker pulls|Preparing nodes"))
    fill(filler, leave_mib=30)
    assert run.end() not in (0, 1), run.text
    assert re.search(r"CTO-1[56]\d\d|CTO-17\d\d", run.text)
    filler.unlink()
    installer.run(*INSTALL)
    assert installer.install()["changes"] == []


def test_a_registry_that_hangs_is_waited_for(installer: Installer) -> None:
    run = Run(installer, *INSTALL)
    run.until(says(r"Install Argo CD"))
    (registry,) = registries(installer.engine)
    installer.engine.run("pause", registry)
    time.sleep(20)
    installer.engine.run("unpause", registry)
    assert run.end() == 0, run.text


def test_a_registry_that_answers_500_is_told_of_and_asked_again(installer: Installer) -> None:
    """A blob that cannot be read is an error 500; when it can be, the kubelet's next try works."""
    run = Run(installer, *INSTALL)
    # The registry runs by now, and nothing was pulled yet.
    run.until(says(r"✓ Make the kind cluster"))
    engine = installer.engine
    (registry,) = registries(engine)
    break_all(engine, registry)
    run.until(says(r"(?i)ErrImagePull|ImagePullBackOff|pull"))
    mend_all(engine, registry)
    code = run.end()
    assert code in (0, 7), run.text
    installer.run(*INSTALL)
    assert installer.install()["changes"] == []


def break_all(engine: Engine, registry: str) -> None:
    """Put folders where the registry has its blobs: whoever reads one gets an error."""
    script = "for f in $(find / -xdev -path '*/docker/registry/v2/blobs/*/data' 2>/dev/null); do "
    engine.run("exec", registry, "sh", "-c", script + 'mv "$f" "$f.kept"; mkdir "$f"; done')


def mend_all(engine: Engine, registry: str) -> None:
    script = "for f in $(find / -xdev -path '*/docker/registry/v2/blobs/*/data.kept'); do "
    script += 'rmdir "${f%.kept}"; mv "$f" "${f%.kept}"; done'
    engine.run("exec", registry, "sh", "-c", script)


@pytest.mark.parametrize("moment", ["Starting control-plane", "✓ Make the kind cluster"])
def test_docker_restarted_in_the_middle(
    installer: Installer, own_daemon: Daemon, moment: str
) -> None:
    """It takes the installer with it; the same command finishes the job."""
    run = Run(installer, *INSTALL)
    run.until(says(moment))
    own_daemon.stop()
    own_daemon.start()
    assert run.end() != 0
    installer.run(*INSTALL)
    assert installer.install()["changes"] == []


def test_after_a_restart_of_docker_everything_comes_back_by_itself(
    installer: Installer, own_daemon: Daemon
) -> None:
    done = installer.install("minimal")
    own_daemon.stop()
    own_daemon.start()
    engine = installer.engine
    states = {name: engine.container(name) for name in (NODE, *registries(engine))}
    assert len(states) == 2
    assert all(one and one["State"]["Running"] for one in states.values())
    assert {answers(engine, url) for url in urls(done).values()} == {200}
    # What has to be pulled is there again, too.
    installer.kubectl("delete", "pod", "--namespace=argocd", "--all", "--wait=false")
    wait = ["wait", "--for=condition=Ready", "pod", "--all", "--namespace=argocd", "--timeout=180s"]
    time.sleep(5)
    installer.kubectl(*wait)
    assert installer.install("minimal")["changes"] == []
    assert engine.containers() == sorted([f"cto-kind-{CLUSTER}", *states])
