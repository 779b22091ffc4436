"""Kill -9 at any moment costs time and nothing else: the same command again finishes the job.

`make test` kills along one way, again and again; `make faults` tries every moment by itself.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .delivery import registries
from .installer import CLUSTER, Installer
from .inventory import Inventory, entries
from .moments import (
    NODE,
    Moment,
    Run,
    Sign,
    blobs_sent,
    container,
    either,
    file_in_node,
    gone,
    in_kubeconfig,
    killed,
    no_registry,
    registry,
    says,
)
from .probes import unwell

pytestmark = pytest.mark.docker

SEED = 20261123
MARKER = f"cto-kind-{CLUSTER}"
# Without node ports: one that a killed request reserved stays so for minutes, whoever asks for it
# (docs/known-issues.md), and every one of these installations is killed.
INSIDE = Path(__file__).resolve().parents[1] / "integration" / "inside.yaml"
INSTALL = ("install", "--profile", "minimal", "--config", "/inside.yaml")
REMOVE = ("uninstall", "--cluster", "--yes")

MAKING: dict[str, Sign] = {
    "the bundle is opened": says(r"charts and images come from"),
    "the registry is made": registry(),
    "Docker pulls the node image": says(r"Docker pulls"),
    # Docker keeps for hours what a killed pull had: then it asks for nothing again.
    "blobs are served": either(blobs_sent(1), container(f"{MARKER}.making")),
    "large blobs are served": either(blobs_sent(100 << 20), container(f"{MARKER}.making")),
    "the marker is there": container(f"{MARKER}.making"),
    "the node is there": container(NODE),
    "kind prepares nodes": says(r"Preparing nodes"),
    "kind writes the configuration": says(r"Writing configuration"),
    "the control plane starts": says(r"Starting control-plane"),
    "the API server's manifest is there": file_in_node("/etc/kubernetes/manifests/*api*"),
    "the network is installed": says(r"Installing CNI"),
    "the storage is installed": says(r"Installing StorageClass"),
    "the cluster came up": container(MARKER),
    "containerd is told of the registry": file_in_node("/etc/containerd/certs.d/quay.io"),
    "the kubeconfig is written": in_kubeconfig(f"kind-{CLUSTER}"),
}
INSTALLING: dict[str, Sign] = {
    "the cluster is made": says(r"✓ Make the kind cluster"),
    "a secret is generated": says(r"✓ Generate secret"),
    "CRDs are applied": says(r"✓ Apply the CRDs of Argo Events"),
    "a release is being installed": says(r"[…✓] Install Argo CD"),
    "a release is installed": says(r"✓ Install Argo (CD|Events)"),
    "pods pull": says(r"Argo CD is ready"),
    "a release is ready": says(r"✓ \S.* is ready"),
}
REMOVING: dict[str, Sign] = {
    "the removal begins": container(f"{MARKER}.making"),
    "the node is gone": gone(NODE),
    "the registry is gone": no_registry(),
}


@pytest.fixture
def installer(installer: Installer) -> Installer:
    """Return the installer with the configuration that these tests use."""
    installer.flags = [f"--volume={INSIDE}:/inside.yaml:ro"]
    return installer


def moments(signs: dict[str, Sign], *, longest_ms: int) -> list[Moment]:
    """Return each sign, at its boundary or some time after it; every other kills the process."""
    dice = random.Random(SEED)  # noqa: S311 - the same moments in every run
    return [
        Moment(name, sign, delay, process=bool(number % 2))
        for number, (name, sign) in enumerate(signs.items())
        for delay in (dice.choice((0, dice.randrange(1, longest_ms))) / 1000,)
    ]


def assert_whole(installer: Installer) -> None:
    """See that an installation is as if nothing had ever been killed."""
    engine = installer.engine
    again = installer.data(*INSTALL)
    assert again["changes"] == []
    assert unwell(again) == []
    (served,) = registries(engine)
    assert engine.containers() == sorted([MARKER, NODE, served])
    assert entries(installer.kubeconfig) == [
        f"clusters/kind-{CLUSTER}",
        f"users/kind-{CLUSTER}",
        f"contexts/kind-{CLUSTER}",
        f"current/kind-{CLUSTER}",
    ]
    # Neither locks nor half-written files beside it.
    assert [path.name for path in installer.kube.iterdir()] == ["config"]
    hosts = engine.out("exec", NODE, "sh", "-c", "cat /etc/containerd/certs.d/*/hosts.toml")
    assert served in hosts


def removed(installer: Installer, before: Inventory) -> None:
    installer.run(*REMOVE)
    assert Inventory.of(installer.engine, installer.kube).gained(before) == {}


def test_killed_again_and_again_along_the_way(installer: Installer) -> None:
    """Each run goes on from where the one before was killed.

    Where Docker has the node image already, the registry starts later, and a run may be past a
    moment when it begins.
    """
    before = Inventory.of(installer.engine, installer.kube)
    chain = {
        name: either(
            sign, INSTALLING["the cluster is made" if name in MAKING else "a release is ready"]
        )
        for name, sign in (MAKING | INSTALLING).items()
        if name
        in {
            "the registry is made",
            "blobs are served",
            "the node is there",
            "the control plane starts",
            "the cluster came up",
            "the kubeconfig is written",
            "a release is being installed",
            "pods pull",
        }
    }
    said = [killed(installer, moment, *INSTALL).text for moment in moments(chain, longest_ms=400)]
    said.append(installer.run(*INSTALL).stderr)
    # Docker knows that the containers of those before are gone: nobody waits for their lease.
    assert [text for text in said if "to see whether it is alive" in text] == []
    assert_whole(installer)
    for moment in moments(REMOVING, longest_ms=50)[:2]:
        killed(installer, moment, *REMOVE)
    removed(installer, before)


@pytest.mark.parametrize("name", ["the registry is made", "blobs are served", "the node is there"])
def test_what_never_became_a_cluster_can_be_removed(installer: Installer, name: str) -> None:
    """Whoever changes his mind after a kill is not left with what nobody names any more."""
    before = Inventory.of(installer.engine, installer.kube)
    killed(installer, Moment(name, MAKING[name]), *INSTALL)
    removed(installer, before)


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(MAKING | INSTALLING, longest_ms=1500), ids=str)
def test_a_killed_installation_is_finished_by_the_same_command(
    installer: Installer, moment: Moment
) -> None:
    before = Inventory.of(installer.engine, installer.kube)
    killed(installer, moment, *INSTALL)
    installer.run(*INSTALL)
    assert_whole(installer)
    removed(installer, before)


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(REMOVING, longest_ms=300), ids=str)
def test_a_killed_removal_is_finished_by_the_same_command(
    installer: Installer, moment: Moment
) -> None:
    before = Inventory.of(installer.engine, installer.kube)
    installer.run(*INSTALL)
    killed(installer, moment, *REMOVE)
    removed(installer, before)


def test_a_registry_that_is_restarted_meanwhile_is_waited_for(installer: Installer) -> None:
    """Pods pull while it is away: kubelets try again, and nothing else is needed."""
    run = Run(installer, *INSTALL)
    run.until(says(r"✓ Make the kind cluster"))
    for name in registries(installer.engine):
        installer.engine.run("restart", "--time=0", name)
    assert run.end() == 0, run.text
    assert_whole(installer)
