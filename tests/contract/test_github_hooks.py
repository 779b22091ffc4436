"""Webhooks of the agents' Apps, and of an organization or a repository, against the stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from fakes.github.apps import App, Reply, Trouble
from fakes.github.served import GitHubServer, key
from fakes.office import AGENTS, HOOKS, Office

PATCHED = "PATCH /api/v3/app/hook/config"


def told(office: Office) -> int:
    """Return how often GitHub was told of a webhook."""
    return sum(f"{one.method} {one.path}" == PATCHED for one in office.server.github.seen)


def app_of(office: Office, agent: str) -> App:
    return office.server.github.app_of(f"cto-{agent}-acme")


def test_each_app_is_made_with_its_webhook_signed_with_our_secret(office: Office) -> None:
    office.receive()
    assert office.setup() == 0, office.err
    for agent in AGENTS:
        app = app_of(office, agent)
        assert app.hook == {
            "url": f"{HOOKS}/{agent}",
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": office.hook_secret(agent),
        }
        # What starts an agent: labels, comments, pull requests and reviews, CI.
        wanted = {"issues", "issue_comment", "pull_request", "pull_request_review", "workflow_run"}
        assert wanted <= set(app.events)
        # The ping that came before GitHub knew the secret was refused; its repetition arrived.
        assert [one["status_code"] for one in app.deliveries] == [400, 200]
    assert f"Webhooks go to {HOOKS}/AGENT." in office.out
    # Again: nothing changes.
    before = told(office)
    assert office.setup(browser=False) == 0
    assert told(office) == before == len(AGENTS)
    assert office.run("github", "status", browser=False) == 0
    assert all(len(app.deliveries) == 2 for app in office.server.github.apps)


def test_what_the_token_of_an_agent_may_is_not_more_than_before(office: Office) -> None:
    office.receive()
    office.know("cleo")
    assert office.setup() == 0
    assert app_of(office, "cleo").permissions["actions"] == "read"
    # Who lacks that is told what it does not hear, and is not said to be of no use.
    app_of(office, "cleo").events.remove("workflow_run")
    assert office.run("github", "status", browser=False) == 9
    assert "its webhook does not tell of workflow_run" in office.out
    assert "actions: read" in office.out


@pytest.mark.parametrize("base", [{}, {"platform": {"domain": "agents.acme.dev"}}])
def test_without_a_public_address_one_line_says_how_to_go_on(office: Office, base: Any) -> None:
    office.receive(platform=base.get("platform", {}))
    assert office.setup() == 0
    assert all(app.hook is None for app in office.server.github.apps)
    (line,) = [line for line in office.out.splitlines() if line.startswith("No webhooks yet")]
    assert "`cto github setup`" in line
    assert told(office) == 0


def test_an_app_that_was_made_without_a_webhook_needs_one_click(office: Office) -> None:
    assert office.setup() == 0
    office.receive()
    for command in ("status", "setup"):
        assert office.run("github", command, browser=False) == 9
        assert "rex: its webhook is off" in office.out
    where = f"{office.server.url}/organizations/acme/settings/apps/cto-rex-acme"
    assert f"Tick Active at {where} with the address {HOOKS}/rex" in office.out
    for app in office.server.github.apps:
        app.hook = {"url": "https://old.example", "content_type": "form", "insecure_ssl": "0"}
    assert office.setup(browser=False) == 0
    assert app_of(office, "rex").hook == {
        "url": f"{HOOKS}/rex",
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": office.hook_secret("rex"),
    }


def test_an_app_that_was_there_gets_a_webhook_too(office: Office) -> None:
    office.receive()
    office.know("rex")
    pem, checks = key(0)
    app = App(7, "mine", "Iv23mine", "acme", pem, checks, {"contents": "write"})
    app.permissions |= {"issues": "write", "pull_requests": "write", "metadata": "read"}
    app.hook = {"url": "https://mine.example", "content_type": "json", "insecure_ssl": "0"}
    office.server.github.apps.append(app)
    office.server.github.approve(app, "acme/shop")
    platform = {"ingress_type": "ingress", "domain": "agents.acme.dev"}
    config = office.config(apps={"rex": {"id": 7, "private_key": pem}})
    text = Path(config).read_text()
    Path(config).write_text(f"{text}platform: {json.dumps(platform)}\n")
    assert office.setup("-c", config, browser=False) == 0, office.out
    assert app.hook["url"] == f"{HOOKS}/rex"
    assert app.hook["secret"] == office.hook_secret("rex")


def test_somebody_who_turns_a_webhook_away_is_told_of_and_undone(office: Office) -> None:
    office.receive()
    assert office.setup() == 0
    hook = app_of(office, "rex").hook
    assert hook
    hook["url"] = "https://elsewhere.example"
    assert office.run("github", "status", browser=False) == 9
    assert f"its webhook goes to https://elsewhere.example, not to {HOOKS}/rex" in office.out
    assert office.setup(browser=False) == 0
    assert hook["url"] == f"{HOOKS}/rex"


def test_another_secret_in_the_cluster_gets_to_github(office: Office) -> None:
    """As after a restored backup: GitHub shows no secret, so ours says whether it has it."""
    office.receive()
    assert office.setup() == 0
    office.cluster.remove(office.hook_secrets)
    office.receive()
    office.change_hook_secret("rex", "planted-another-hook")
    assert office.run("github", "status", browser=False) == 9
    wrong = "rex: its webhook is signed with another secret than the platform's"
    assert f"{wrong}. `cto github setup` changes that." in office.out
    assert "cleo:" not in office.out
    assert office.setup(browser=False) == 0
    assert office.run("github", "status", browser=False) == 0, office.out
    hook = app_of(office, "rex").hook
    assert hook
    assert hook["secret"] == "planted-another-hook"
    assert told(office) == len(AGENTS) + 1


def test_without_a_secret_in_the_cluster_the_installation_is_named(office: Office) -> None:
    office.receive()
    office.cluster.remove(office.hook_secrets)
    assert office.setup() == 9
    assert "Secret github-app-webhooks" in office.out
    assert "`cto install`, as before, makes one." in office.out


# The code is used at the 4th write, the webhook is told between the 5th and the 6th.
@pytest.mark.parametrize("moment", [(5, "after"), (6, "before"), (6, "after")])
def test_a_kill_at_the_step_of_the_webhook_is_mended_by_the_same_command(
    office: Office, moment: tuple[int, str]
) -> None:
    office.receive()
    office.know("rex")
    office.cluster.end_at = moment
    assert office.setup() == 137
    office.cluster.end_at = None
    assert office.setup() == 0, office.out
    hook = app_of(office, "rex").hook
    assert hook
    assert hook["secret"] == office.hook_secret("rex")
    assert office.run("github", "status", browser=False) == 0


@pytest.mark.parametrize("reply", [None, Reply(502, "<html>"), Reply(500, {"message": "Oops"})])
def test_a_github_that_fails_at_the_webhook_loses_no_app(
    office: Office, reply: Reply | None
) -> None:
    office.receive()
    office.know("rex")
    office.server.github.troubles = [Trouble(PATCHED, reply, times=1, after=True)]
    assert office.setup() == 0, office.err
    hook = app_of(office, "rex").hook
    assert hook
    assert hook["secret"] == office.hook_secret("rex")


def test_who_may_not_read_the_secrets_of_webhooks_may_look_at_the_apps(office: Office) -> None:
    office.receive()
    assert office.setup() == 0
    get = office.cluster.get

    def denied(ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        if ref == office.hook_secrets:
            raise ApiError("CTO-1602", "no", status=403)
        return get(ref, managed_fields=managed_fields)

    office.cluster.get = denied  # type: ignore[method-assign]
    assert office.run("github", "status", browser=False) == 0, office.err


@pytest.mark.parametrize("url", ["http://localhost:8080", "https://192.168.1.5", "https://x.local"])
def test_an_address_that_github_refuses_is_told_before_anybody_clicks(
    office: Office, url: str
) -> None:
    office.receive(platform={}, tunneling={"provider": "none", "url": url})
    office.desk.env["CTO_GITHUB__URL"] = "https://github.com"
    assert office.setup(browser=False) == 3
    assert f"tunneling.url {url}: github.com takes no address that is private" in office.err


# --- one for all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "place"), [("organization", "acme"), ("repository", "acme/shop")]
)
def test_one_webhook_for_all_is_made_once_and_kept(office: Office, owner: str, place: str) -> None:
    office.receive(github={"webhooks": owner})
    office.server.github.people["ghp_planted"] = {place}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    for _ in range(2):
        assert office.setup() == 0, office.err
        assert f"The webhook of {place} goes to {HOOKS}." in office.out
    (hook,) = office.server.github.hooks[place]
    assert hook["config"] == {
        "url": HOOKS,
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "planted-common-hook",
    }
    assert hook["pings"] == 2
    assert {"issues", "workflow_run"} <= set(hook["events"])
    # The Apps have none, and no right that only webhooks need.
    assert all(app.hook is None for app in office.server.github.apps)
    assert "actions" not in app_of(office, "rex").permissions
    assert "ghp_planted" not in office.out + office.err + json.dumps(office.apps())


MOVED = {"ingress_type": "ingress", "domain": "moved.acme.dev"}
MOVED_TO = "https://webhooks.moved.acme.dev/github/webhook"


def owned(office: Office, *places: str, owner: str = "organization", **sections: Any) -> None:
    """Let one webhook be for all, by a token that may make it in these places."""
    office.receive(github={"webhooks": owner}, **sections)
    office.server.github.people["ghp_planted"] = {*places}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"


def urls(office: Office, place: str) -> list[str]:
    return [hook["config"]["url"] for hook in office.server.github.hooks.get(place, [])]


def test_another_public_address_moves_the_webhook_for_all(office: Office) -> None:
    """And leaves none at the old one, which would tell of all a second time."""
    owned(office, "acme")
    assert office.setup() == 0, office.err
    (before,) = office.server.github.hooks["acme"]
    owned(office, "acme", platform=MOVED)
    del office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"]
    told = f"The webhook of acme goes to {HOOKS}, not to {MOVED_TO}: `cto github setup` moves it."
    for token in ({}, {"CTO_GITHUB__WEBHOOK_TOKEN": "ghp_planted"}):
        office.desk.env |= token
        assert office.run("github", "status", browser=False) == 9
        assert told in office.out
    assert office.setup(browser=False) == 0, office.out
    (hook,) = office.server.github.hooks["acme"]
    assert (hook["id"], hook["config"]["url"]) == (before["id"], MOVED_TO)
    assert hook["config"]["secret"] == "planted-common-hook"
    # Where somebody has made one with the new address, that is taken, and ours goes.
    hook["config"]["url"] = HOOKS
    made = {**hook, "id": 4711, "config": {"url": MOVED_TO, "content_type": "form"}}
    office.server.github.hooks["acme"].append(made)
    assert office.setup(browser=False) == 0, office.out
    assert [one["id"] for one in office.server.github.hooks["acme"]] == [4711]
    assert office.run("github", "status", browser=False) == 0, office.out
    assert urls(office, "acme") == [MOVED_TO]
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert urls(office, "acme") == []


def test_a_webhook_for_all_that_somebody_deleted_is_told(office: Office) -> None:
    owned(office, "acme")
    assert office.setup() == 0
    office.server.github.hooks["acme"].clear()
    assert office.run("github", "status", browser=False) == 9
    assert "The webhook of acme is not there: `cto github setup` makes it." in office.out
    assert office.setup(browser=False) == 0
    assert office.run("github", "status", browser=False) == 0


def test_a_webhook_with_our_path_that_nobody_remembers_is_named_and_stays(office: Office) -> None:
    """It may be that of another platform of the same organization."""
    owned(office, "acme")
    assert office.setup() == 0
    other = "https://elsewhere.example/github/webhook"
    config = {"url": other, "content_type": "json"}
    ours = office.server.github.hooks["acme"][0]
    office.server.github.hooks["acme"].append({**ours, "id": 4712, "config": config})
    assert office.setup(browser=False) == 0
    assert sorted(urls(office, "acme")) == sorted([HOOKS, other])
    assert f"there is another one that goes to {other}" in office.out
    assert f"{office.server.url}/organizations/acme/settings/hooks" in office.out
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert urls(office, "acme") == [other]


def test_a_webhook_of_the_organization_beside_those_of_apps_is_found(office: Office) -> None:
    owned(office, "acme")
    assert office.setup() == 0
    del office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"]
    told = f"acme has a webhook as well, to {HOOKS}: each event arrives twice"
    page = f"Delete it: {office.server.url}/organizations/acme/settings/hooks"
    office.receive()
    # The Apps were made without webhooks.
    for app in office.server.github.apps:
        app.hook = {"url": "", "content_type": "form", "insecure_ssl": "0"}
        app.events = ["issues", "workflow_run"]
    for command in ("setup", "status"):
        assert office.run("github", command, browser=False) == 9
        assert told in office.out
        assert page in office.out
        assert "`cto github setup` sees whether it is gone" in office.out
    # Its clock stood still meanwhile.
    office.cluster.time = office.desk.clock.now()
    office.run("status", browser=False)
    assert told in office.out
    assert office.run("github", "status", "--output", "json", browser=False) == 9
    (other,) = json.loads(office.out)["data"]["doubled"]
    assert (other["place"], other["url"]) == ("acme", HOOKS)
    # With a token GitHub is asked: it is gone.
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    office.server.github.hooks["acme"].clear()
    office.run("github", "status", browser=False)
    assert told not in office.out
    # Setting up forgets it.
    office.run("github", "setup", browser=False)
    del office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"]
    office.run("github", "status", browser=False)
    assert told not in office.out


def test_a_webhook_that_was_made_by_hand_is_found_with_a_token(office: Office) -> None:
    office.receive()
    assert office.setup() == 0
    config = {"url": HOOKS, "content_type": "json"}
    office.server.github.people["ghp_hand"] = {"acme/shop"}
    body = {"name": "web", "active": True, "events": ["*"], "config": config}
    head = {"Authorization": "Bearer ghp_hand"}
    url = f"{office.server.api}/repos/acme/shop/hooks"
    requests.post(url, json=body, headers=head, timeout=5).raise_for_status()
    assert office.run("github", "status", browser=False) == 0
    office.server.github.people["ghp_planted"] = {"acme/shop"}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.run("github", "status", browser=False) == 9
    assert f"acme/shop has a webhook as well, to {HOOKS}" in office.out
    assert f"Delete it: {office.server.url}/acme/shop/settings/hooks" in office.out


def test_a_webhook_of_another_place_is_named_once_the_place_changes(office: Office) -> None:
    owned(office, "acme", "acme/shop")
    assert office.setup() == 0
    owned(office, "acme", "acme/shop", owner="repository")
    assert office.setup(browser=False) == 9
    assert urls(office, "acme") == urls(office, "acme/shop") == [HOOKS]
    assert "acme has a webhook as well" in office.out
    assert "acme/shop has a webhook as well" not in office.out
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert urls(office, "acme") == urls(office, "acme/shop") == []


def test_a_token_that_may_not_is_told(office: Office) -> None:
    office.receive(github={"webhooks": "organization"})
    office.server.github.people["ghp_planted"] = set()
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.setup() == 5
    assert "the webhook of acme" in office.err


def test_without_a_token_the_webhook_for_all_is_made_by_hand(office: Office) -> None:
    office.receive(github={"webhooks": "organization"})
    assert office.setup() == 0
    (line,) = [line for line in office.out.splitlines() if line.startswith("Make the webhook of")]
    assert f"address {HOOKS}, content type application/json" in line
    assert "Secret github-webhook-secret (secret) of namespace argo-events" in line


def test_what_failed_of_the_webhook_for_all_is_sent_again(office: Office) -> None:
    office.receive(github={"webhooks": "organization"})
    office.server.github.people["ghp_planted"] = {"acme"}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.setup() == 0
    (hook,) = office.server.github.hooks["acme"]
    item = {"guid": "g-1", "status": "Bad", "event": "push", "delivered_at": "2026-01-01T00:00:00Z"}
    rest = {"redelivery": False, "duration": 0.1, "throttled_at": None}
    nothing = dict.fromkeys(("action", "installation_id", "repository_id"))
    hook["deliveries"] = [{**item, **rest, **nothing, "id": 77, "status_code": 502}]
    for words in ((), ("77",)):
        assert office.run("github", "redeliver", *words, browser=False) == 0, office.err
        assert "acme: push 77 is sent again" in office.out
    before = len(hook["deliveries"])
    assert office.run("github", "redeliver", "77", "78", browser=False) == 2
    assert "78: no webhook of the platform has such a delivery" in office.err
    assert len(hook["deliveries"]) == before
    del office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"]
    assert office.run("github", "redeliver", browser=False) == 3
    assert "github.webhook_token is not given" in office.err


def test_the_webhook_for_all_that_nobody_may_delete_is_named(office: Office) -> None:
    office.receive(github={"webhooks": "organization"})
    office.server.github.people["ghp_planted"] = {"acme"}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.setup() == 0
    del office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"]
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert f"Delete it: {office.server.url}/organizations/acme/settings/hooks" in office.out
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert office.server.github.hooks["acme"] == []
    assert "The webhook of acme" not in office.out


@pytest.mark.parametrize("place", ["orgs/acme", "repos/acme/shop"])
def test_a_webhook_is_made_once_and_leads_outside(place: str) -> None:
    with GitHubServer() as server:
        server.github.people["t"] = {"acme", "acme/shop"}
        head = {"Authorization": "Bearer t"}
        body = {"name": "web", "config": {"url": "https://x.dev", "secret": "s"}}
        url = f"{server.api}/{place}/hooks"
        made = requests.post(url, json=body, headers=head, timeout=5)
        assert made.status_code == 201
        assert made.json()["config"]["secret"] == "********"
        assert requests.post(url, json=body, headers=head, timeout=5).status_code == 422
        body["config"] = {"url": "http://localhost:80"}
        assert requests.post(url, json=body, headers=head, timeout=5).status_code == 422


# --- settings -------------------------------------------------------------------------------------


def test_the_environment_says_what_is_different_from_what_is_installed(office: Office) -> None:
    office.desk.env["CTO_GITHUB__ORGANIZATION"] = "umbrella"
    assert office.setup("--wait", "0", browser=False) == 9
    asked = [one.path for one in office.server.github.seen]
    assert "/api/v3/users/umbrella" in asked
    office.desk.env["CTO_GITHUB__REPOSITORY"] = "a/b"
    assert office.setup(browser=False) == 3
    assert "CTO_GITHUB__REPOSITORY" in office.err


def test_the_installation_that_was_chosen_is_remembered(office: Office) -> None:
    office.know("rex")
    pem, checks = key(0)
    app = App(7, "mine", "Iv23mine", "acme", pem, checks, {"contents": "write"})
    app.permissions |= {"issues": "write", "pull_requests": "write", "metadata": "read"}
    office.server.github.apps.append(app)
    # Of somebody else's: it would not be found by the repository's name.
    number = office.server.github.approve(app, "umbrella/shop")
    given = {"id": 7, "private_key": pem, "installation_id": number}
    assert office.setup("-c", office.config(apps={"rex": given}), browser=False) == 0
    assert office.apps()["rex"]["installation_id"] == number
    assert office.run("github", "status", browser=False) == 0, office.out
