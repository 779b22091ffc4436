"""Who lacks permissions learns of all of them at once, not of one with every try."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto.catalog import load
from cto.config.model import Config
from cto.engine.refusal import all_told
from cto.errors import ApiError, PreflightError
from cto.objects import Manifest
from cto.plan.wanted import Selection, select
from fakes.cluster import FakeCluster

BUNDLE = Path(__file__).parents[3] / "bundle"
FORBIDDEN = ApiError("CTO-1602", "cannot list nodes", status=403)


class Powerless(FakeCluster):
    """May do nothing."""

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        assert manifest["kind"] in {"SelfSubjectAccessReview", "SelfSubjectRulesReview"}
        assert not dry_run
        return {**manifest, "status": {"allowed": False}}


@pytest.fixture
def selection() -> Selection:
    return select(load(BUNDLE), Config())


def test_a_refusal_becomes_the_list_of_what_is_missing(selection: Selection) -> None:
    with pytest.raises(PreflightError) as caught, all_told(Powerless(), selection):
        raise FORBIDDEN

    assert caught.value.exit_code == 4
    assert "get, list nodes" in caught.value.details
    details = caught.value.details
    assert "get, create, update, delete leases.coordination.k8s.io in namespace cto-sys" in details
    assert "delete roles.rbac.authorization.k8s.io in namespaces argo-events, argo, ar" in details


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError("CTO-1602", "log in again", status=401), id="expired"),
        pytest.param(ApiError("CTO-1601", "no answer"), id="silent"),
    ],
)
def test_other_errors_are_told_as_they_are(selection: Selection, error: ApiError) -> None:
    with pytest.raises(ApiError) as caught, all_told(Powerless(), selection):
        raise error

    assert caught.value is error


def test_a_refusal_of_what_the_list_does_not_know_is_told_as_it_is(selection: Selection) -> None:
    with pytest.raises(ApiError) as caught, all_told(FakeCluster(), selection):
        raise FORBIDDEN

    assert caught.value is FORBIDDEN
