"""Docker at a TCP address of the machine, and no socket in the container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import sweep
from .daemon import INNER, RUN, Daemon
from .engine import Engine
from .image import Image
from .installer import Installer
from .inventory import Inventory, entries
from .probes import assert_healthy

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ADDRESS = f"tcp://{INNER}:2375"


@pytest.fixture
def behind_tcp(own_daemon: Daemon, image: Image) -> Iterator[Engine]:
    """Let the daemon listen there too, for the tests themselves as before."""
    engine = own_daemon.engine
    image.load(engine)
    own_daemon.stop()
    own_daemon.start({"hosts": [f"unix://{RUN / 'docker.sock'}", ADDRESS], "tls": False})
    yield engine
    sweep(engine)
    own_daemon.stop()
    own_daemon.start()


def test_a_platform_lives_behind_a_tcp_address(
    behind_tcp: Engine, image: Image, kube: Path
) -> None:
    installer = Installer(behind_tcp, image.reference, kube, flags=[f"--env=DOCKER_HOST={ADDRESS}"])
    before = Inventory.of(behind_tcp, kube)
    done = installer.install("minimal", socket=False)
    assert done["provider"] == "kind"
    assert_healthy(done, behind_tcp)
    assert installer.install("minimal", socket=False)["changes"] == []
    assert installer.data("status", socket=False)["components"]
    assert installer.uninstall("--cluster", socket=False)["cluster"] is True
    assert Inventory.of(behind_tcp, kube).gained(before) == {}
    assert entries(installer.kubeconfig) == []
