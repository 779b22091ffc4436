"""Podman's own Docker API, as it is: it answers, and is refused as what it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.docker.client import Docker
from cto.adapters.kind import checks as kind_checks
from cto.adapters.process import ProcessRunner
from cto.errors import CtoError
from cto.result import CheckStatus
from lab.dockerd import podman
from lab.tools import apt

pytestmark = pytest.mark.docker

READY_S = 30


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """Return our Docker, which talks to Podman."""
    lacking = apt.lacking() + [name for name in ("docker", "runc") if not shutil.which(name)]
    if lacking:
        pytest.skip(f"Podman lacks here: {', '.join(lacking)}")
    podman.fetch()
    program = podman.programs() / "usr/bin/podman"
    # All that it writes. Its path is short: Podman takes 50 characters of it, for sockets' sake.
    folder = Path(tempfile.mkdtemp(prefix="cto-podman-", dir="/run"))
    folders = [f"--{name}={folder / name}" for name in ("root", "runroot", "tmpdir")]
    engine = [f"--conmon={program.with_name('conmon')}", "--runtime=runc"]
    engine += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
    host = f"unix://{folder}/podman.sock"
    served = subprocess.Popen(
        [str(program), *folders, *engine, "system", "service", "--time=0", host],
        env={**os.environ, "LD_LIBRARY_PATH": podman.libraries()},
    )
    monkeypatch.setenv("DOCKER_HOST", host)
    try:
        yield await_answer(served)
    finally:
        served.terminate()
        served.wait(READY_S)
        shutil.rmtree(folder)


def await_answer(served: subprocess.Popen[bytes]) -> Docker:
    runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
    docker = Docker(runner, lambda: "docker", environ=os.environ, own_ids=lambda: ())
    end = time.monotonic() + READY_S
    while error := refusal(docker):
        assert served.poll() is None, "Podman ended"
        assert time.monotonic() < end, f"Podman does not answer: {error}"
        time.sleep(0.1)
    return docker


def refusal(docker: Docker) -> str:
    """Return why nobody answers; '' if somebody does."""
    try:
        docker.daemon()
    except CtoError as error:
        return error.details or str(error)
    return ""


def test_it_is_refused_by_its_name_and_not_as_an_old_docker(answering: Docker) -> None:
    check = kind_checks.docker_check(answering.daemon())
    assert check.status is CheckStatus.FAILED
    assert check.code == "CTO-1423"
    assert check.message.startswith("Podman ")
    assert "need Docker" in check.message
