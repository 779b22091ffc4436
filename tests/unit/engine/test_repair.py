"""Releases that a killed run left in the middle: each is brought where Helm can upgrade it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cto.engine.repair import Repair
from cto.errors import ToolError
from cto.objects import ObjectRef
from cto.plan import labels
from cto.ports import ReleaseSpec
from fakes.cluster import FakeCluster
from fakes.components import chart
from fakes.releases import FakeReleases

NAMESPACE = "web"
DEPLOYED, FAILED, SUPERSEDED = "deployed", "failed", "superseded"


class Lab:
    """A cluster with the records of one release."""

    def __init__(self, records: Mapping[int, str]) -> None:
        self.cluster = FakeCluster()
        self.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.releases = FakeReleases(self.cluster)
        for revision, status in records.items():
            self.releases.put_record("web", NAMESPACE, revision=revision, status=status)

    def repair(self) -> str:
        return Repair(self.cluster, self.releases, 60).run("web", NAMESPACE)

    def revisions(self) -> dict[int, str]:
        found = {
            int(item["metadata"]["labels"]["version"]): item["metadata"]["labels"]["status"]
            for ref, item in self.cluster.everything().items()
            if ref.kind == "Secret"
        }
        return dict(sorted(found.items()))

    def upgrade(self) -> None:
        spec = ReleaseSpec(
            name="web",
            namespace=NAMESPACE,
            chart=chart("web"),
            values={},
            labels={labels.DIGEST: "d"},
        )
        self.releases.upgrade(spec, timeout_s=60)


@pytest.mark.parametrize(
    ("records", "told", "left"),
    [
        ({}, "", {}),
        ({1: DEPLOYED}, "", {1: DEPLOYED}),
        ({1: FAILED}, "", {1: FAILED}),
        ({1: "pending-install"}, "removed a half-made installation", {}),
        ({1: DEPLOYED, 2: "uninstalling"}, "finished an uninstallation", {}),
        (
            {1: SUPERSEDED, 2: DEPLOYED, 3: "pending-upgrade"},
            "rolled back to revision 2",
            {1: SUPERSEDED, 2: SUPERSEDED, 3: "pending-upgrade", 4: DEPLOYED},
        ),
        (
            {1: DEPLOYED, 2: FAILED, 3: "pending-rollback"},
            "rolled back to revision 1",
            {1: SUPERSEDED, 2: FAILED, 3: "pending-rollback", 4: DEPLOYED},
        ),
        (
            {1: DEPLOYED, 2: "pending-install"},
            "rolled back to revision 1",
            {1: SUPERSEDED, 2: "pending-install", 3: DEPLOYED},
        ),
        (
            {1: FAILED, 2: "pending-upgrade"},
            "dropped the record of an upgrade that never was",
            {1: FAILED},
        ),
        (
            {1: FAILED, 2: "pending-rollback"},
            "dropped the record of an upgrade that never was",
            {1: FAILED},
        ),
    ],
)
def test_the_newest_record_decides(
    records: dict[int, str], told: str, left: dict[int, str]
) -> None:
    """Whatever was left, an upgrade works afterwards."""
    lab = Lab(records)
    assert lab.repair() == told
    assert lab.revisions() == left
    lab.upgrade()
    assert lab.revisions()[max(lab.revisions())] == DEPLOYED


@pytest.mark.parametrize("label", [DEPLOYED, FAILED])
def test_the_record_is_believed_where_its_label_contradicts_it(label: str) -> None:
    """Helm goes by the record, too: it would refuse every later upgrade."""
    lab = Lab({1: DEPLOYED, 2: label})
    lab.releases.contradictions["web"] = "pending-upgrade"
    assert lab.repair().startswith("rolled back to revision")


def test_a_rollback_that_fails_is_no_end_as_helm_upgrades_from_there() -> None:
    """A killed upgrade had deleted an object of the revision before: it cannot be patched back."""
    lab = Lab({1: DEPLOYED, 2: "pending-upgrade"})
    lab.releases.fail_rollback("web")
    assert lab.repair() == "could not be rolled back to revision 1, and is gone on with"
    lab.upgrade()
    assert lab.revisions()[max(lab.revisions())] == DEPLOYED


def test_a_rollback_that_left_the_release_as_it_was_is_an_error() -> None:
    lab = Lab({1: DEPLOYED, 2: "pending-upgrade"})

    def broken(*_: object, **__: object) -> None:
        raise ToolError("CTO-1500", "no space left on device")

    lab.releases.rollback = broken  # type: ignore[method-assign]
    with pytest.raises(ToolError, match="no space left"):
        lab.repair()


def test_a_repair_that_is_repeated_has_nothing_to_do() -> None:
    lab = Lab({1: "pending-install"})
    lab.repair()
    assert lab.repair() == ""


def test_a_release_of_the_same_name_elsewhere_is_not_touched() -> None:
    lab = Lab({})
    other = ObjectRef("v1", "Secret", "other", "sh.helm.release.v1.web.v1")
    lab.releases.put_record("web", "other", revision=1, status="pending-install")
    assert lab.repair() == ""
    assert lab.cluster.peek(other)
