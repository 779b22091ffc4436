"""Installing where others are already: their ports, clusters, kubeconfigs, and installers."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .engine import Engine
from .installer import CLUSTER, Installer
from .inventory import Inventory
from .moments import NODE, Run, container, says
from .probes import answers, urls

pytestmark = pytest.mark.docker

MARKER = f"cto-kind-{CLUSTER}"
USER = 1234
# Of the range for documentation (RFC 5737).
PROXY = "http://203.0.113.9:3128"
FOREIGN = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "theirs", "cluster": {"server": "https://203.0.113.1:6443"}}],
    "users": [{"name": "theirs", "user": {"token": "not-a-secret"}}],
    "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "theirs"}}],
    "current-context": "theirs",
}


@pytest.fixture
def busy_ports(engine: Engine, installer: Installer) -> Iterator[tuple[int, ...]]:
    """Two of the ports that a cluster wants are somebody else's."""
    ports = (8080, 3000)
    name = "cto-e2e-busy"
    flags = [f"--publish=127.0.0.1:{port}:{port}" for port in ports]
    wait = ["--entrypoint", "sleep", installer.image, "3600"]
    engine.run("run", "--detach", "--rm", f"--name={name}", *flags, *wait)
    yield ports
    engine.run("rm", "--force", name)


@pytest.fixture
def their_kubeconfig(installer: Installer) -> Path:
    """The kubeconfig of a user who is not root, with another cluster in it."""
    file = installer.kubeconfig
    file.write_text(yaml.safe_dump(FOREIGN))
    file.chmod(0o640)
    os.chown(installer.kube, USER, USER)
    os.chown(file, USER, USER)
    return file


def test_taken_ports_move_and_a_second_installer_waits_its_turn(
    installer: Installer, busy_ports: tuple[int, ...], their_kubeconfig: Path
) -> None:
    """And the user's kubeconfig stays the user's, with what was in it.

    Nobody is root here, and a proxy that answers nobody is in the environment: nothing of a cluster
    is to be asked through it, by the installer or by nodes.
    """
    group = installer.engine.socket.stat().st_gid
    proxies = [f"--env={name}={PROXY}" for name in ("HTTP_PROXY", "HTTPS_PROXY")]
    installer.flags = [f"--user={USER}:{USER}", f"--group-add={group}", *proxies]
    before = Inventory.of(installer.engine, installer.kube)
    first = Run(installer, "install", "--profile", "minimal")
    first.until(container(f"{MARKER}.making"))
    second = installer.run("install", "--profile", "minimal", code=10)
    assert "CTO-2000" in second.stderr
    assert installer.engine.out("inspect", "--format", "{{.Id}}", first.running.name)[:12] in (
        second.stderr
    )
    assert first.end() == 0, first.text
    for port in busy_ports:
        assert re.search(rf"{port} is taken: \d+ is used instead", first.text), first.text

    done = installer.install("minimal")
    assert done["changes"] == []
    found = urls(done)
    assert {answers(installer.engine, url) for url in found.values()} == {200}
    assert not any(f":{port}/" in f"{url}/" for url in found.values() for port in busy_ports)

    status = their_kubeconfig.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (USER, USER, 0o640)
    document = yaml.safe_load(their_kubeconfig.read_text())
    assert document["current-context"] == "theirs"
    assert {one["name"] for one in document["contexts"]} == {"theirs", f"kind-{CLUSTER}"}

    installer.run("uninstall", "--cluster", "--yes")
    assert yaml.safe_load(their_kubeconfig.read_text()) == FOREIGN
    assert Inventory.of(installer.engine, installer.kube).gained(before) == {}


def test_a_foreign_cluster_of_our_name_is_left_alone(installer: Installer) -> None:
    engine = installer.engine
    label = "--label=io.x-k8s.kind.cluster=cto"
    role = "--label=io.x-k8s.kind.role=control-plane"
    wait = ["--entrypoint", "sleep", installer.image, "3600"]
    engine.run("run", "--detach", f"--name={NODE}", label, role, *wait)
    before = engine.container(NODE)
    assert before

    refused = installer.run("install", "--profile", "minimal", code=4)
    assert "CTO-1424" in refused.stderr
    refused_removal = installer.run("uninstall", "--cluster", "--yes", code=4)
    assert "CTO-1424" in refused_removal.stderr
    after = engine.container(NODE)
    assert after
    assert after["Id"] == before["Id"]
    assert after["State"]["Running"]

    # The fix: another name beside it.
    named = re.search(r"--cluster-name \S+", refused.stderr)
    assert named, refused.stderr
    other = ("--cluster-name", "second")
    installer.install("minimal", *other)
    installer.run("uninstall", "--cluster", "--yes", *other)
    assert engine.containers() == [NODE]


def test_with_a_read_only_kubeconfig_the_way_to_get_one_is_told(installer: Installer) -> None:
    installer.mode = "ro"
    done = installer.run("install", "--profile", "minimal")
    line = re.search(r"to get a kubeconfig: (docker exec .*) > \S+", done.stderr)
    assert line, done.stderr
    told = subprocess.run(
        shlex.split(line[1]), env=installer.engine.env, capture_output=True, text=True, check=True
    )
    server = yaml.safe_load(told.stdout)["clusters"][0]["cluster"]["server"]
    assert server.startswith("https://127.0.0.1:")
    assert answers(installer.engine, f"{server}/livez") in (200, 401, 403)
    assert list(installer.kube.iterdir()) == []
    assert installer.install("minimal")["changes"] == []
    installer.run("uninstall", "--cluster", "--yes")
    assert installer.engine.containers() == []


def test_everything_comes_back_after_a_restart(installer: Installer) -> None:
    engine = installer.engine
    first = Run(installer, "install", "--profile", "minimal")
    first.until(says(r"✓ Make the kind cluster"))
    engine.run("restart", "--time=0", NODE)
    code = first.end()
    assert code in (0, 6, 7), first.text
    done = installer.install("minimal")
    assert {answers(engine, url) for url in urls(done).values()} == {200}
