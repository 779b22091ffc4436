"""What `cto status` says of GitHub, against the stand-in."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from cto.objects import Manifest, ObjectRef
from fakes.github.apps import Reply, Trouble
from fakes.office import Office


def check(office: Office) -> dict[str, Any]:
    """Return the check of GitHub."""
    office.run("status", "--output", "json", browser=False)
    checks = json.loads(office.out)["data"]["checks"]
    (found,) = [one for one in checks if one["name"] == "github"]
    return dict(found)


@pytest.fixture
def made(office: Office) -> Office:
    assert office.setup() == 0, office.err
    office.server.github.seen.clear()
    # Its clock stood still meanwhile.
    office.cluster.time = office.desk.clock.now()
    return office


def test_the_apps_are_asked_for_and_what_is_left_of_the_limit_is_told(made: Office) -> None:
    head = {"X-RateLimit-Remaining": "4987", "X-RateLimit-Limit": "5000"}
    made.server.github.headers = head
    found = check(made)
    assert found["status"] == "passed", found
    told = "2 of 2 that GitHub was asked about work, 4987 of 5000 requests an hour left"
    assert found["message"].endswith(told)
    assert {one.method for one in made.server.github.seen} == {"GET"}
    made.server.github.headers = {**head, "X-RateLimit-Remaining": "12"}
    assert check(made)["status"] == "warning"


def test_the_secret_of_each_app_is_read_once(made: Office) -> None:
    get, read = made.cluster.get, list[str]()

    def counted(ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        if ref.kind == "Secret":
            read.append(ref.name)
        return get(ref, managed_fields=managed_fields)

    made.cluster.get = counted  # type: ignore[method-assign]
    made.cluster.remove(ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-cleo"))
    found = check(made)
    assert found["message"].endswith("1 of 1 that GitHub was asked about work"), found
    assert sorted(read) == ["github-app-cto-agent-cleo", "github-app-cto-agent-rex"]


def test_an_app_that_does_not_work_is_a_warning_with_what_to_do(made: Office) -> None:
    made.server.github.app_of("cto-rex-acme").installations.clear()
    found = check(made)
    assert found["status"] == "warning"
    assert "1 of 2 that GitHub was asked about work" in found["message"]
    (item,) = found["items"]
    assert item.startswith("rex: Install it for acme/shop")
    assert "cto github status" in found["fix"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (40, ""),
        (-40, ""),
        (90, r"the clock of this machine is (89|90|91) s behind GitHub's"),
        (-90, r"the clock of this machine is (89|90|91) s ahead of GitHub's"),
    ],
)
def test_a_clock_that_is_a_minute_off_is_named(made: Office, seconds: float, text: str) -> None:
    """Before GitHub takes no token any more, as after it."""
    desk = made.desk
    made.server.github.now = lambda: desk.clock.now().timestamp() + seconds
    made.cluster.time = desk.clock.now() + timedelta(seconds=seconds)
    found = check(made)
    assert found["status"] == ("failed" if text else "passed"), found
    assert re.search(text, found["message"])
    assert ("NTP" in found["fix"]) == bool(text)


def test_the_clusters_clock_counts_too(made: Office) -> None:
    """Its controller makes the tokens of agents."""
    made.cluster.time = made.desk.clock.now() - timedelta(seconds=300)
    found = check(made)
    assert found["status"] == "failed"
    told = r"the clock of the cluster is (299|300|301) s behind GitHub's"
    assert re.search(told, found["message"])


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (None, "GitHub could not be asked"),
        (Reply(200, "<html>Log in"), "and no JSON"),
        (Reply(429, {"message": "wait"}, {"Retry-After": "60"}), "answered 429"),
    ],
)
def test_a_github_that_does_not_answer_is_a_warning(
    made: Office, reply: Reply | None, text: str
) -> None:
    made.server.github.troubles = [Trouble(".*", reply, times=99)]
    found = check(made)
    assert found["status"] == "warning"
    assert text in found["message"]
    assert found["fix"]


def test_without_an_app_nobody_is_asked(office: Office) -> None:
    assert "cto github setup" in check(office)["message"]
    assert office.server.github.seen == []


def test_air_gapped_nobody_outside_is_asked(made: Office) -> None:
    made.install(air_gapped=True, github={"url": "https://github.com"})
    found = check(made)
    assert found["status"] == "passed"
    assert "air_gapped: github.com is not to be reached" in found["message"]
