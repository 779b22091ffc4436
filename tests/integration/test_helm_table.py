"""Every state in which a killed helm leaves a release: the next `cto install` mends it.

The records are real ones, changed to what was seen after kill -9 of Helm 4.1.4; that real kills
lead there is shown in test_kills.py. Several releases are mended by one run, each from another
state.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.objects import ObjectRef, ref_of

from .conftest import Lab
from .essence import Essence, assert_same, essence, generated
from .kills import INSTALL, Run, children, record, says
from .records import add, newest, set_status, statuses

RELEASES = ("argocd", "argo-workflows", "argo-events", "controller")

Make: TypeAlias = Callable[[KubeCluster, str], None]


def only(status: str) -> Make:
    """The only record has this status."""

    def make(cluster: KubeCluster, release: str) -> None:
        set_status(cluster, newest(cluster, release), status)

    return make


def after_deployed(*statuses: str) -> Make:
    """Newer records than the deployed one, with these statuses."""

    def make(cluster: KubeCluster, release: str) -> None:
        for status in statuses:
            add(cluster, release, status)

    return make


def after_another(cluster: KubeCluster, release: str) -> None:
    """An upgrade to a chart that lacks an object, which it had not deleted yet.

    Helm refuses to roll it back: "original object ... not found".
    """
    add(cluster, release, "pending-upgrade", without=1)


def after_none(first: str, second: str) -> Make:
    """Records of which none is deployed."""

    def make(cluster: KubeCluster, release: str) -> None:
        namespace = newest(cluster, release)["metadata"]["namespace"]
        for revision in statuses(cluster, release):
            name = f"sh.helm.release.v1.{release}.v{revision}"
            found = cluster.get(ObjectRef("v1", "Secret", namespace, name))
            assert found
            set_status(cluster, found, first)
        add(cluster, release, second)

    return make


def absent(cluster: KubeCluster, release: str) -> None:
    """The record is gone, the objects are not."""
    cluster.delete(ref_of(newest(cluster, release)))


@dataclass(frozen=True)
class Row:
    """A state and how it is mended.

    Attributes:
        told: What the step says that it did before the upgrade.
    """

    make: Make
    told: str = ""


TABLE = {
    "absent": Row(absent),
    "failed": Row(only("failed")),
    "failed upgrade": Row(after_deployed("failed")),
    "superseded": Row(only("superseded")),
    "pending-install": Row(only("pending-install"), "removed a half-made installation"),
    "uninstalling": Row(only("uninstalling"), "finished an uninstallation"),
    "pending-upgrade": Row(after_deployed("pending-upgrade"), "rolled back to revision "),
    "pending-upgrade to other objects": Row(after_another, "could not be rolled back"),
    "pending-rollback": Row(after_deployed("pending-rollback"), "rolled back to revision "),
    "pending upgrade after a pending one": Row(
        after_deployed("pending-upgrade", "pending-rollback"), "rolled back to revision "
    ),
    "pending-upgrade, nothing deployed": Row(
        after_none("superseded", "pending-upgrade"), "dropped the record"
    ),
    "pending-rollback, nothing deployed": Row(
        after_none("failed", "pending-rollback"), "dropped the record"
    ),
    "pending-install after a failed one": Row(
        after_none("failed", "pending-install"), "removed a half-made installation"
    ),
}
ROUNDS = [list(TABLE)[at : at + len(RELEASES)] for at in range(0, len(TABLE), len(RELEASES))]


@pytest.fixture(scope="module")
def platform(lab: Lab, undisturbed_essence: Essence) -> Lab:
    """A cluster with this profile and nothing else."""
    if essence(lab.cluster()) != undisturbed_essence:
        lab.forget()
    return lab


@pytest.mark.parametrize("names", ROUNDS, ids=" | ".join)
def test_every_state_is_mended_by_the_next_run(
    platform: Lab, undisturbed_essence: Essence, names: list[str]
) -> None:
    platform.run(*INSTALL)
    rows = dict(zip(RELEASES, (TABLE[name] for name in names), strict=False))
    for release, row in rows.items():
        row.make(platform.cluster(), release)
    before = generated(platform.cluster())
    report = platform.data(*INSTALL)["report"]
    steps = {step["id"]: step for step in report["steps"]}
    for release, row in rows.items():
        assert row.told in steps[f"release:{release}"]["message"], (release, steps)
        found = statuses(platform.cluster(), release)
        assert found[max(found)] == "deployed", (release, found)
        assert list(found.values()).count("deployed") == 1, (release, found)
    assert generated(platform.cluster()) == before
    assert_same(platform.cluster(), undisturbed_essence)
    assert platform.data(*INSTALL)["changes"] == []


@pytest.fixture
def living_helm(fresh: Lab) -> Iterator[int]:
    """A helm whose installer was killed, and that lives: where no setpriv is, nothing ends it.

    It stands still, so that it does not end by itself.
    """
    run = Run(fresh, *INSTALL, env={"PATH": "/nowhere"})
    run.until(record("argocd", "pending-install"))
    pids = [pid for pid, words in children(fresh, "helm").items() if "argocd" in words]
    assert len(pids) == 1, "the hook was over before it could be stopped"
    os.kill(pids[0], signal.SIGSTOP)
    run.kill(group=True)
    assert list(children(fresh, "helm")) == pids
    yield pids[0]
    if pids[0] in children(fresh, "helm"):
        os.kill(pids[0], signal.SIGKILL)


def test_a_living_helm_of_an_earlier_run_is_waited_for(
    fresh: Lab, undisturbed_essence: Essence, living_helm: int
) -> None:
    run = Run(fresh, *INSTALL)
    run.until(says(f"waiting for the end of an earlier run, or of its helm: process {living_helm}"))
    assert statuses(fresh.cluster(), "argocd") == {1: "pending-install"}
    os.kill(living_helm, signal.SIGCONT)
    assert run.end() == 0, run.text
    assert statuses(fresh.cluster(), "argocd") == {1: "deployed"}
    assert_same(fresh.cluster(), undisturbed_essence)


@pytest.mark.slow
def test_a_helm_that_does_not_end_is_named_and_nothing_is_repaired_under_it(
    fresh: Lab, living_helm: int
) -> None:
    error = fresh.data(*INSTALL, code=5)["error"]
    assert error["code"] == "CTO-1503"
    assert f"process {living_helm}" in error["message"]
    assert f"kill {living_helm}" in error["fix"]
    assert statuses(fresh.cluster(), "argocd") == {1: "pending-install"}
    os.kill(living_helm, signal.SIGKILL)
    fresh.run(*INSTALL)
    assert statuses(fresh.cluster(), "argocd") == {1: "deployed"}
