"""What leaves a cluster, or a container, is on the list: the watch of test_life can fail."""

from __future__ import annotations

import pytest

from .daemon import CABLE_RANGES, Daemon
from .installer import Installer
from .watch import CABLE, Destination, Inside, Question, Watch

pytestmark = pytest.mark.docker

FAR = "203.0.113.77"
PROGRAM = f"""
import socket
for name in ("registry-1.docker.io", "own"):
    try:
        socket.getaddrinfo(name, 443)
    except OSError:
        pass
with socket.socket() as one:
    one.settimeout(1)
    try:
        one.connect(("{FAR}", 443))
    except OSError:
        pass
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{FAR}", 514))
"""


def belongs(own_daemon: Daemon) -> Inside:
    networks = own_daemon.engine.networks()
    ranges = [subnet for subnets in networks.values() for subnet in subnets]
    return Inside.of([*ranges, *CABLE_RANGES], own_daemon.engine.containers())


def test_a_container_that_leaves_is_on_the_list(
    own_daemon: Daemon, installer: Installer, tell: list[str]
) -> None:
    """By address and by name, in its own namespace and on the cable."""
    engine = own_daemon.engine
    engine.run("network", "create", "cto-e2e-net")
    try:
        with Watch(engine, cable=own_daemon.cable) as watch:
            python = ["--network=cto-e2e-net", "--entrypoint", "python3", "--name=cto-e2e-leak"]
            wait = f"import time; time.sleep(1)\n{PROGRAM}\ntime.sleep(1)"
            engine.run("run", "--rm", *python, installer.image, "-c", wait)
            report = watch.report(belongs(own_daemon))
    finally:
        engine.run("network", "rm", "cto-e2e-net")
    tell.append(f"planted, and seen: {report}")
    for who in ("cto-e2e-leak", CABLE):
        assert Destination(who, FAR, "tcp", 443) in report.destinations
        assert Destination(who, FAR, "udp", 514) in report.destinations
        assert Question(who, "registry-1.docker.io") in report.questions
    assert report.not_measured == []


def test_docker_itself_is_on_the_list(own_daemon: Daemon) -> None:
    """The daemon pulls, nobody else."""
    engine = own_daemon.engine
    with Watch(engine, cable=own_daemon.cable) as watch:
        engine.run("pull", f"{FAR}/library/nothing:1", code=1, timeout_s=120)
        report = watch.report(belongs(own_daemon))
    assert Destination(CABLE, FAR, "tcp", 443) in report.destinations


def test_on_a_shared_daemon_what_cannot_be_measured_is_said(
    own_daemon: Daemon, installer: Installer
) -> None:
    """Without the cable, containers are still heard, and the daemon is named as not measured."""
    engine = own_daemon.engine
    with Watch(engine) as watch:
        python = ["--entrypoint", "python3", "--name=cto-e2e-leak"]
        wait = f"import time; time.sleep(1)\n{PROGRAM}\ntime.sleep(1)"
        engine.run("run", "--rm", *python, installer.image, "-c", wait)
        report = watch.report(belongs(own_daemon))
    assert Destination("cto-e2e-leak", FAR, "tcp", 443) in report.destinations
    assert any("daemon" in text for text in report.not_measured)
