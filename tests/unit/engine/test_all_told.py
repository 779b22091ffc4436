"""Who lacks permissions learns of all of them at once, not of one with every try."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cto.engine.permissions import check
from cto.engine.preflight_errors import all_told
from cto.engine.rbac import Right, Rights
from cto.errors import ApiError, PreflightError
from cto.result import Check
from fakes.cluster import FakeCluster

FORBIDDEN = ApiError("CTO-1602", "cannot list nodes", status=403)
RIGHTS = Rights(
    single=(
        *(Right(verb, "", "nodes") for verb in ("get", "list")),
        *(Right("delete", "apps", "deployments", place) for place in ("argo", "argocd")),
    )
)


def checks(*, denied: bool) -> Callable[[], Sequence[Check]]:
    cluster = FakeCluster()
    cluster.denied = {("*", "*", "*")} if denied else set()
    return lambda: [check(cluster, lambda: RIGHTS)]


def test_a_refusal_becomes_the_list_of_what_is_missing_and_the_role_that_would_do() -> None:
    with pytest.raises(PreflightError) as caught, all_told(checks(denied=True)):
        raise FORBIDDEN

    assert caught.value.exit_code == 4
    details = caught.value.details
    assert "  get, list nodes\n  delete deployments.apps in namespaces argo, argocd\n" in details
    assert "    kind: List\n" in details
    assert '      kind: "ClusterRole"\n' in details
    rule = '{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}'
    assert f"      - {rule}\n" in details


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError("CTO-1602", "log in again", status=401), id="expired"),
        pytest.param(ApiError("CTO-1601", "no answer"), id="silent"),
    ],
)
def test_other_errors_are_told_as_they_are(error: ApiError) -> None:
    with pytest.raises(ApiError) as caught, all_told(checks(denied=True)):
        raise error

    assert caught.value is error


def test_a_refusal_of_what_the_list_does_not_know_is_told_as_it_is() -> None:
    with pytest.raises(ApiError) as caught, all_told(checks(denied=False)):
        raise FORBIDDEN

    assert caught.value is FORBIDDEN


def test_what_ends_the_checks_does_not_hide_the_refusal() -> None:
    def broken() -> Sequence[Check]:
        text = "no answer"
        raise ApiError("CTO-1601", text)

    with pytest.raises(ApiError) as caught, all_told(broken):
        raise FORBIDDEN

    assert caught.value is FORBIDDEN
