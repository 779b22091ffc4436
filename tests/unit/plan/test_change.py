"""Steps back are told from steps forward, and the reason names what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cto.plan import change, labels
from cto.plan.build import install
from cto.plan.changes import Action
from cto.plan.desired import DesiredComponent, release_digest, release_labels
from cto.plan.observed import Observed, ReleaseRecord
from cto.plan.steps import ApplyCrds, ApplyRelease, Plan
from cto.ports import Chart
from cto.relocation import Relocation
from cto.result import CheckStatus
from fakes.components import chart, component, wanted, wanted_component

KUBE = "v1.34.4"
WEB = component("web", crds={"source": "crds"})
ELSEWHERE = Relocation(images={"a/b:1": "there/b@sha256:1"})


def item(version: str = "2.0.0", **fields: object) -> DesiredComponent:
    return wanted_component(WEB, version=version, **fields)  # type: ignore[arg-type]


def recorded(old: DesiredComponent, kube: str = KUBE) -> dict[str, str]:
    return {**release_labels(old, kube), labels.DIGEST: release_digest(old, kube)}


def observed(
    found: Mapping[str, str],
    *,
    status: str = "deployed",
    deployed: Mapping[str, str] | None = None,
    crds: Mapping[str, str] | None = None,
) -> Observed:
    record = ReleaseRecord(
        name="web",
        namespace="web-ns",
        revision=2,
        status=status,
        labels=found,
        deployed_labels=deployed if deployed is not None else found,
    )
    mine = {labels.COMPONENT: "web", labels.DIGEST: "another", labels.CRD_COUNT: "1"}
    return Observed(
        kube_version=KUBE,
        records={"web-ns/web": record},
        crds={"webs.example.com": {**mine, **(crds or {})}},
    )


def release(plan: Plan) -> ApplyRelease:
    return next(step for step in plan.steps if isinstance(step, ApplyRelease))


def definitions(plan: Plan) -> ApplyCrds:
    return next(step for step in plan.steps if isinstance(step, ApplyCrds))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("2.0.0", "1.9.9", "an older chart"),
        ("2.0.0", "2.0.0-rc.1", "an older chart"),
        ("v2.0.0", "1.0.0", "an older chart"),
        ("2.0.0", "2.x", "versions that cannot be compared"),
        ("next", "2.0.0", "versions that cannot be compared"),
    ],
)
def test_an_older_chart_is_a_downgrade_of_release_and_definitions(
    old: str, new: str, why: str
) -> None:
    plan = install(wanted(item(new)), observed(recorded(item(old))))
    assert release(plan).title == f"Downgrade Web {new}"
    assert release(plan).reason == f"downgrade: web-{old} -> web-{new} ({why})"
    assert (
        definitions(plan).reason == f"downgrade: web-{old} -> web-{new} ({why}), changed or missing"
    )
    (check,) = change.check(plan, allowed=False)
    assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1470")
    assert check.items == (
        f"Web: CRDs web-{old} -> web-{new} ({why})",
        f"Web: release web-{old} -> web-{new} ({why})",
    )
    assert "--allow-downgrade" in check.fix
    (check,) = change.check(plan, allowed=True)
    assert (check.status, check.code, len(check.items)) == (CheckStatus.WARNING, "", 2)


@pytest.mark.parametrize("new", ["2.0.0", "2.0.1", "3.0.0-rc.1", "v2.1.0", "2.0.0+build.2"])
def test_a_newer_chart_is_no_downgrade(new: str) -> None:
    plan = install(wanted(item(new)), observed(recorded(item("2.0.0"))))
    assert change.check(plan, allowed=False) == ()
    assert "Downgrade" not in release(plan).title


def test_another_chart_is_no_older_one() -> None:
    """A release that was handed over, or a component that moved to another chart."""
    found = {**recorded(item("1.0.0")), labels.CHART: "webby-1.0.0"}
    plan = install(wanted(item("2.0.0")), observed(found))
    assert release(plan).reason == "webby-1.0.0 -> web-2.0.0"


def test_a_chart_whose_name_begins_with_the_other_ones_is_another_one() -> None:
    found = {**recorded(item()), labels.CHART: "web-ui-1.0.0"}
    assert change.downgrade(chart("web", "2.0.0"), [found]) is not None


@pytest.mark.parametrize("status", ["failed", "pending-upgrade", "superseded"])
def test_an_attempt_that_failed_counts_too(status: str) -> None:
    """Its program may have run, and may have changed its data."""
    found = observed(recorded(item("2.0.0")), status=status, deployed=recorded(item("1.0.0")))
    plan = install(wanted(item("1.0.0")), found)
    assert release(plan).downgrade is not None
    assert release(plan).reason.startswith("downgrade: web-2.0.0 -> web-1.0.0")


def test_what_is_deployed_counts_behind_a_failed_downgrade() -> None:
    found = observed(recorded(item("1.0.0")), status="failed", deployed=recorded(item("2.0.0")))
    plan = install(wanted(item("1.5.0")), found)
    assert str(release(plan).downgrade) == "web-2.0.0 -> web-1.5.0 (an older chart)"


def with_app(version: str, app: str) -> Chart:
    return replace(chart("web", version), app_version=app)


@pytest.mark.parametrize(
    ("old", "new", "back"),
    [
        (with_app("1.0.0", "v3.0.0"), with_app("2.0.0", "v2.9.0"), True),
        (with_app("1.0.0", "3.0.0"), with_app("1.0.0", "2.9.0"), True),
        (with_app("1.0.0", "3.0.0"), with_app("2.0.0", "3.0.0"), False),
        (with_app("1.0.0", "RELEASE.2025"), with_app("2.0.0", "RELEASE.2024"), False),
        (with_app("1.0.0", ""), with_app("2.0.0", "1.0"), False),
        (with_app("1.0.0", "1.0"), with_app("2.0.0", ""), False),
    ],
)
def test_an_older_app_in_a_newer_chart_is_a_downgrade(
    old: Chart, new: Chart, *, back: bool
) -> None:
    before = replace(item(), chart=old)
    found = change.downgrade(new, [release_labels(before, KUBE)])
    assert (found is not None) == back
    if found:
        assert (found.why, "app " in found.old, "app " in found.new) == ("an older app", True, True)


def test_definitions_that_outlived_their_release_remember_their_chart() -> None:
    """An uninstallation leaves them, and an older cto may come then."""
    found = replace(observed({}, crds={labels.CHART: "web-2.0.0"}), records={})
    plan = install(wanted(item("1.0.0")), found)
    assert release(plan).action is Action.CREATE
    assert str(definitions(plan).downgrade) == "web-2.0.0 -> web-1.0.0 (an older chart)"
    assert change.check(plan, allowed=False)[0].items == (
        "Web: CRDs web-2.0.0 -> web-1.0.0 (an older chart)",
    )


def test_the_downgrade_is_in_the_plans_document() -> None:
    plan = install(wanted(item("1.0.0")), observed(recorded(item("2.0.0"))))
    assert release(plan).to_json()["downgrade"] == {
        "from": "web-2.0.0",
        "to": "web-1.0.0",
        "why": "an older chart",
    }
    plan = install(wanted(item("2.0.0")), observed(recorded(item("1.0.0"))))
    assert "downgrade" not in release(plan).to_json()


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (item("3.0.0"), "web-2.0.0 -> web-3.0.0"),
        (item("3.0.0", values={"a": 1}), "web-2.0.0 -> web-3.0.0, values changed"),
        (item(values={"a": 1}), "values changed"),
        (item(relocation=ELSEWHERE), "images come from elsewhere"),
        (item(values={"a": 1}, relocation=ELSEWHERE), "values changed, images come from elsewhere"),
        (
            replace(item(), chart=chart("web", "2.0.0", "other bytes")),
            "the content of chart web-2.0.0 changed",
        ),
    ],
)
def test_the_reason_names_whichever_changed(new: DesiredComponent, reason: str) -> None:
    plan = install(wanted(new), observed(recorded(item())))
    assert release(plan).reason == reason


def test_another_kubernetes_is_a_reason_of_its_own() -> None:
    plan = install(wanted(item()), observed(recorded(item(), kube="v1.33.1")))
    assert release(plan).reason == "Kubernetes v1.33 -> v1.34"


def test_of_a_record_of_an_older_cto_nothing_is_guessed() -> None:
    found = {labels.CHART: "web-2.0.0", labels.DIGEST: "another"}
    plan = install(wanted(item()), observed(found))
    assert release(plan).reason == "its chart, values or images changed"


@pytest.mark.parametrize(
    ("text", "value"),
    [("web-1.0.0+a b", "web-1.0.0_a_b"), ("x" * 70, "x" * 63), ("v1.0~", "v1.0"), ("", "")],
)
def test_labels_hold_what_they_can(text: str, value: str) -> None:
    assert labels.value_of(text) == value
