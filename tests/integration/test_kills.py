"""Kill -9 at any moment costs time and nothing else: the same command again ends as undisturbed.

`make test` kills along one way, again and again; `make faults` tries every moment by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cto.errors import CtoError
from cto.objects import ObjectRef

from .conftest import Lab
from .essence import Essence, assert_same, generated, settled
from .kills import (
    INSTALL,
    Moment,
    Run,
    Sign,
    file,
    going,
    gone,
    held,
    holder,
    killed,
    no_child_is_left,
    record,
    says,
    there,
)

SEED = 20261122
UNINSTALL = ("uninstall", "--yes", "--delete-data", "--delete-crds")
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
RELEASES = {
    "argo-events": "argo-events",
    "argo-workflows": "argo",
    "argocd": "argocd",
    "controller": "cto",
}
# Every release gets other values, so that every one is upgraded.
CHANGED = """\
components:
  argocd: {values: {server: {replicas: 2}}}
  argo-workflows: {values: {server: {replicas: 2}}}
  argo-events: {values: {controller: {replicas: 2}}}
  controller: {values: {lab: changed}}
"""

MAKING: dict[str, Sign] = {
    "the cluster's folder is there": file("kwok/*"),
    # Not by what is said: of a stage that takes less than two seconds nothing is.
    "etcd and the API server start": file("kwok/*/clusters/*/pids/*"),
    "the nodes are added": there("v1", "Node", "cto-1"),
    "the API server answers": there("v1", "Namespace", "kube-system"),
}
INSTALLING: dict[str, Sign] = {
    "the lock's namespace is there": there("v1", "Namespace", "cto-system"),
    "the lock is held": held(),
    "the state is written": there("v1", "ConfigMap", "cto-state", "cto-system"),
    "a namespace is there": there("v1", "Namespace", "argocd"),
    "a secret is generated": there("v1", "Secret", "argocd-redis", "argocd"),
    "another secret is generated": there("v1", "Secret", "github-webhook-secret", "argo-events"),
    "the first CRD is there": there(*CRD, "eventbus.argoproj.io"),
    "a CRD of many is there": there(*CRD, "workflows.argoproj.io"),
    "a large CRD is there": there(*CRD, "applicationsets.argoproj.io"),
    "CRDs are applied": says(r"✓ Apply the CRDs of Argo Events"),
    "all CRDs are applied": says(r"✓ Apply the CRDs of Argo CD"),
    **{f"{name} is pending-install": record(name, "pending-install") for name in RELEASES},
    **{f"{name} is deployed": record(name, "deployed") for name in RELEASES},
    "a release is installed": says(r"✓ Install Argo Events"),
    "a release is ready": says(r"✓ Argo Events is ready"),
    "own objects are applied": says(r"✓ Apply the own objects of Argo Events"),
    "an own object is there": there("argoproj.io/v1alpha1", "EventBus", "default", "argo-events"),
}
UPGRADING: dict[str, Sign] = {
    **{f"{name} is pending-upgrade": record(name, "pending-upgrade") for name in RELEASES},
    "a release is upgraded": says(r"✓ (Install|Upgrade|Update) Argo Events"),
    "an upgrade is ready": says(r"✓ Argo Events is ready"),
}
REMOVING: dict[str, Sign] = {
    "the first release is uninstalling": record("argocd", "uninstalling"),
    "a release is gone": gone("v1", "Secret", "sh.helm.release.v1.argocd.v1", "argocd"),
    "another release is gone": gone("v1", "Secret", "sh.helm.release.v1.controller.v1", "cto"),
    "a namespace goes": going("argocd"),
    "CRDs go": gone(*CRD, "applications.argoproj.io"),
    "the state is gone": gone("v1", "ConfigMap", "cto-state", "cto-system"),
}


def moments(signs: dict[str, Sign], *, longest_ms: int) -> list[Moment]:
    """Return each sign at its boundary and some time after it; every second one with its group."""
    dice = random.Random(SEED)  # noqa: S311 - the same moments in every run
    return [
        Moment(name, sign, delay, group=bool(number % 2))
        for number, (name, sign) in enumerate(signs.items())
        for delay in (dice.choice((0, dice.randrange(1, longest_ms))) / 1000,)
    ]


def each(signs: dict[str, Sign], *, longest_ms: int) -> Callable[..., None]:
    return pytest.mark.parametrize("moment", moments(signs, longest_ms=longest_ms), ids=str)


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, undisturbed_essence: Essence) -> tuple[Essence, Essence, Essence]:
    """Return what undisturbed runs leave: an installation, a change of it, a removal."""
    # Other tests have been at this cluster since the first essence was taken.
    lab.forget()
    lab.run(*INSTALL)
    lab.run(*_changed(lab))
    changed = settled(lab.cluster())
    lab.run(*UNINSTALL)
    return undisturbed_essence, changed, settled(lab.cluster())


def _changed(lab: Lab) -> tuple[str, ...]:
    config = lab.folder / "changed.yaml"
    config.write_text(CHANGED)
    return (*INSTALL, "--config", str(config))


def _finish(lab: Lab, expected: Essence, *command: str) -> None:
    """Run the command to its end: what was generated stays, and the end is the undisturbed one."""
    before = _generated_so_far(lab)
    lab.run(*command)
    assert_same(lab.cluster(), expected)
    after = generated(lab.cluster())
    assert before.items() <= after.items() or command[0] == "uninstall"
    assert holder(lab.cluster()) == ""
    no_child_is_left(lab)


def _generated_so_far(lab: Lab) -> dict[str, Any]:
    try:
        return generated(lab.cluster())
    except CtoError:  # the cluster is not made yet
        return {}


def test_killed_again_and_again_on_one_way_it_still_arrives(
    fresh: Lab, undisturbed: tuple[Essence, Essence, Essence]
) -> None:
    """Install, change, remove; killed at several moments of each, its memory lost on the way."""
    installed, upgraded, removed = undisturbed
    for name in ("the lock is held", "a secret is generated", "argocd is pending-install"):
        _kill(fresh, INSTALLING, name, *INSTALL)
    _forget_memory(fresh)
    _kill(fresh, INSTALLING, "argocd is deployed", *INSTALL)
    _finish(fresh, installed, *INSTALL)
    for name in ("argo-workflows is pending-upgrade", "argocd is pending-upgrade"):
        _kill(fresh, UPGRADING, name, *_changed(fresh))
    _finish(fresh, upgraded, *_changed(fresh))
    for name in ("the first release is uninstalling", "a namespace goes"):
        _kill(fresh, REMOVING, name, *UNINSTALL)
    _finish(fresh, removed, *UNINSTALL)


def test_killed_while_the_cluster_is_made(
    other: Lab, undisturbed: tuple[Essence, Essence, Essence]
) -> None:
    for name in ("etcd and the API server start", "the nodes are added"):
        _kill(other, MAKING, name, *INSTALL)
    _finish(other, undisturbed[0], *INSTALL)


def test_losing_the_memory_costs_only_time(
    installed: Lab, undisturbed: tuple[Essence, Essence, Essence]
) -> None:
    """State and journal are hints: without them no release is touched, and they come back."""
    _forget_memory(installed)
    changes = installed.data(*INSTALL)["changes"]
    assert all(name.startswith(("before:", "after:")) for name in changes), changes
    assert_same(installed.cluster(), undisturbed[0])
    assert installed.data(*INSTALL)["changes"] == []


@pytest.mark.slow
@each(INSTALLING, longest_ms=500)
def test_a_killed_installation(
    fresh: Lab, undisturbed: tuple[Essence, Essence, Essence], moment: Moment
) -> None:
    killed(fresh, moment, *INSTALL)
    _finish(fresh, undisturbed[0], *INSTALL)


@pytest.mark.slow
@each(UPGRADING, longest_ms=100)
def test_a_killed_upgrade(
    installed: Lab, undisturbed: tuple[Essence, Essence, Essence], moment: Moment
) -> None:
    killed(installed, moment, *_changed(installed))
    _finish(installed, undisturbed[1], *_changed(installed))


@pytest.mark.slow
@each(REMOVING, longest_ms=100)
def test_a_killed_removal(
    installed: Lab, undisturbed: tuple[Essence, Essence, Essence], moment: Moment
) -> None:
    killed(installed, moment, *UNINSTALL)
    _finish(installed, undisturbed[2], *UNINSTALL)


@pytest.mark.slow
@each(MAKING, longest_ms=500)
def test_a_killed_making_of_the_cluster(
    other: Lab, undisturbed: tuple[Essence, Essence, Essence], moment: Moment
) -> None:
    killed(other, moment, *INSTALL)
    _finish(other, undisturbed[0], *INSTALL)


@pytest.fixture
def installed(lab: Lab, undisturbed: tuple[Essence, Essence, Essence]) -> Lab:
    """A cluster with the platform as an undisturbed installation leaves it."""
    if settled(lab.cluster()) != undisturbed[0]:
        lab.forget()
        lab.run(*INSTALL)
    return lab


@pytest.fixture
def other(lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """A second machine, so to speak: without a cluster yet."""
    (tmp_path / "home").mkdir()
    made = Lab(tmp_path, lab.tools, lab.charts)
    yield made
    made.run("uninstall", "--cluster", "--yes", "--provider", "kwok")


def _kill(lab: Lab, signs: dict[str, Sign], name: str, *command: str) -> Run:
    dice = random.Random(f"{SEED} {name}")  # noqa: S311 - the same moments in every run
    delay_s = dice.randrange(0, 50) / 1000
    return killed(lab, Moment(name, signs[name], delay_s, group=dice.random() < 0.5), *command)


def _forget_memory(lab: Lab) -> None:
    for name in ("cto-state", "cto-journal"):
        lab.cluster().delete(ObjectRef("v1", "ConfigMap", "cto-system", name))
