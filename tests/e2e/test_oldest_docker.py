"""Docker 20.10, the oldest that the installer takes: no containerd image store, the classic one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.tools import apt

from .conftest import sweep
from .daemon import Daemon
from .image import Image
from .installer import Installer
from .inventory import Inventory, entries
from .probes import assert_healthy

pytestmark = pytest.mark.docker


def test_a_platform_lives_on_docker_20_10(own_daemon: Daemon, image: Image, kube: Path) -> None:
    if missing := apt.lacking():
        pytest.skip(f"Docker 20.10 lacks: {', '.join(missing)}")
    with own_daemon.before_23() as engine:
        assert engine.out("version", "--format", "{{.Server.Version}}").startswith("20.10.")
        image.load(engine)
        installer = Installer(engine, image.reference, kube)
        before = Inventory.of(engine, kube)
        try:
            assert_healthy(installer.install("minimal"), engine)
            assert installer.install("minimal")["changes"] == []
            assert installer.uninstall("--cluster")["cluster"] is True
        finally:
            sweep(engine)
        assert Inventory.of(engine, kube).gained(before) == {}
        assert entries(installer.kubeconfig) == []
