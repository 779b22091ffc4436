"""The product's own shape: its image, run by `docker run` on a real daemon with real clusters.

As root on Linux the tests start a daemon of their own (`daemon.py`); else they use the one that
answers, and what cannot be measured or done there is skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import daemon as own
from .daemon import Daemon
from .engine import Engine
from .image import Image, absence, made
from .installer import Installer
from .namespaces import HERE

_REPORT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what was measured, not only that it passed."""
    for text in config.stash[_REPORT]:
        terminalreporter.write_line(text)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Return a list whose texts are shown at the end of all tests."""
    told: list[str] = []
    yield told
    request.config.stash[_REPORT] += [f"{request.node.name}: {text}" for text in told]


@pytest.fixture(scope="session")
def image() -> Image:
    """Return the image of the lab, built once; skip with the reason where it cannot be had."""
    if reason := absence():
        pytest.skip(reason)
    return made()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon | None]:
    """Run a daemon of the tests' own; None where this machine lacks something for it."""
    if own.lacking():
        yield None
        return
    folder = tmp_path_factory.mktemp("docker")
    with Daemon(folder).running() as running:
        yield running


@pytest.fixture
def own_daemon(daemon: Daemon | None) -> Daemon:
    """Return the tests' own daemon, for what would harm others."""
    if daemon is None:
        pytest.skip(f"a daemon of the tests' own lacks: {', '.join(own.lacking())}")
    return daemon


@pytest.fixture(scope="session")
def engine(daemon: Daemon | None, image: Image) -> Engine:
    """Return the daemon to test on, with the image in it."""
    if daemon is None:
        docker = shutil.which("docker") or ""
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        engine = Engine(docker, Path(host.removeprefix("unix://")), HERE)
    else:
        engine = daemon.engine
    image.load(engine)
    return engine


@pytest.fixture
def kube(tmp_path: Path) -> Path:
    folder = tmp_path / "kube"
    folder.mkdir()
    return folder


@pytest.fixture
def installer(engine: Engine, image: Image, kube: Path) -> Iterator[Installer]:
    """Return the installer; whatever cluster of ours is left in the end is taken away."""
    made_here = Installer(engine, image.reference, kube)
    yield made_here
    sweep(engine)


def sweep(engine: Engine) -> None:
    """Remove what a test left, by the labels of kind and of cto."""
    left = [
        *engine.containers("label=io.x-k8s.kind.cluster=cto"),
        *engine.containers("label=cto.dev/role"),
        *engine.containers("name=^cto-e2e-"),
    ]
    if left:
        engine.run("rm", "--force", "--volumes", *sorted(set(left)), code=None)
    if not engine.containers("network=kind"):
        engine.run("network", "rm", "kind", code=None)
