"""`cto github rotate`, against the stand-in: killed anywhere, all have one secret in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cto.engine.rotation import ROTATING
from cto.objects import ObjectRef, annotations_of
from fakes.github.apps import Reply, Trouble
from fakes.github.served import key
from fakes.office import AGENTS, HOOKS, Office


def agree(office: Office, agent: str) -> str:
    """Return the secret that GitHub, the cluster and the receiver have."""
    hook = office.server.github.app_of(f"cto-{agent}-acme").hook
    assert hook
    assert hook["secret"] == office.hook_secret(agent) == office.checked[agent]
    return str(hook["secret"])


def rotate(office: Office, *words: str) -> int:
    return office.run("github", "rotate", *words, browser=False)


@pytest.fixture
def settled(office: Office) -> Office:
    """Return an office where webhooks of both Apps arrive."""
    office.receive()
    assert office.setup() == 0, office.err
    office.cluster.writes = 0
    return office


def test_all_have_the_new_secret_and_what_was_refused_comes_again(settled: Office) -> None:
    github, before = settled.server.github, {agent: agree(settled, agent) for agent in AGENTS}
    app = github.app_of("cto-rex-acme")
    old = github.deliver(app, "issues", 400)
    old["delivered_at"] = "2020-01-01T00:00:00Z"
    failed = github.deliver(app, "push", 400)
    starts = settled.starts
    assert rotate(settled) == 0, settled.err
    for agent in AGENTS:
        assert agree(settled, agent) != before[agent]
        assert len(agree(settled, agent)) == 40
    assert settled.starts == starts + 1
    # What failed long ago is nothing of this.
    again = [one for one in app.deliveries if one["redelivery"] and one["event"] != "ping"]
    assert [one["guid"] for one in again] == [failed["guid"]]
    first, second, then = settled.out.splitlines()
    assert first == "cleo: a new secret; nothing failed"
    assert second == "rex: a new secret; 1 that failed meanwhile sent again"
    assert "cto github rotate AGENT --key FILE" in then
    assert settled.run("github", "status", browser=False) == 0
    told = settled.out + settled.err + json.dumps(settled.apps())
    assert not any(agree(settled, agent) in told for agent in AGENTS)


def test_of_one_agent_the_others_stay(settled: Office) -> None:
    before = {agent: agree(settled, agent) for agent in AGENTS}
    assert rotate(settled, "rex") == 0
    assert agree(settled, "cleo") == before["cleo"]
    assert agree(settled, "rex") != before["rex"]
    assert rotate(settled, "nobody") == 2
    assert "there is no such agent (there is: cleo, rex)" in settled.err


@pytest.mark.parametrize(
    ("write", "when"),
    [
        (1, "after"),
        (4, "after"),
        *(
            pytest.param(*moment, marks=pytest.mark.slow)
            for moment in ((1, "before"), (2, "after"), (3, "after"), (5, "after"))
        ),
    ],
)
def test_a_kill_at_any_write_is_mended_by_the_same_command(
    settled: Office, write: int, when: str
) -> None:
    """The new values, the receiver, what is remembered of each App, and the end."""
    settled.cluster.end_at = (write, when)
    assert rotate(settled) == 137
    settled.cluster.end_at = None
    there = settled.hook_secret("rex")
    assert rotate(settled) == 0, settled.err
    secrets = {agent: agree(settled, agent) for agent in AGENTS}
    found = settled.cluster.peek(settled.hook_secrets) or {}
    assert ROTATING not in annotations_of(found)
    if (write, when) not in {(1, "before"), (5, "after")}:
        # It went on with what it had made: GitHub may have been told of that.
        assert secrets["rex"] == there
    assert settled.run("github", "status", browser=False) == 0


def test_a_killed_one_goes_on_also_if_another_agent_is_named(settled: Office) -> None:
    settled.cluster.end_at = (1, "after")
    assert rotate(settled, "rex") == 137
    settled.cluster.end_at = None
    assert rotate(settled, "cleo") == 0
    for agent in AGENTS:
        agree(settled, agent)


def test_nothing_is_changed_where_github_does_not_answer(settled: Office) -> None:
    before = settled.hook_secret("rex")
    (app,) = [one for one in settled.server.github.apps if "rex" in one.name]
    url = settled.server.github.url
    settled.desk.env["CTO_GITHUB__URL"] = "http://127.0.0.1:1"
    assert rotate(settled) == 5
    assert settled.hook_secret("rex") == before
    assert (settled.server.github.url, app.installations) == (url, app.installations)


def test_without_webhooks_there_is_nothing_to_rotate(office: Office) -> None:
    assert office.setup() == 0
    assert rotate(office) == 9
    assert "no public address is known" in office.err
    office.receive()
    assert rotate(office) == 9
    assert "`cto github setup` makes them" in office.err


def test_the_one_webhook_of_all_gets_another_secret(office: Office) -> None:
    office.receive(github={"webhooks": "organization"})
    office.server.github.people["ghp_planted"] = {"acme"}
    assert rotate(office) == 3
    assert "github.webhook_token is not given" in office.err
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert office.setup() == 0
    (hook,) = office.server.github.hooks["acme"]
    assert rotate(office) == 0, office.err
    assert hook["config"]["url"] == HOOKS
    assert hook["config"]["secret"] not in ("", "planted-common-hook")
    assert office.common_secret() == hook["config"]["secret"]
    assert rotate(office, "rex") == 2


def test_an_app_that_went_meanwhile_does_not_hold_up_the_others(settled: Office) -> None:
    settled.cluster.end_at = (1, "after")
    assert rotate(settled) == 137
    settled.cluster.end_at = None
    github = settled.server.github
    github.apps.remove(github.app_of("cto-cleo-acme"))
    assert rotate(settled) == 0, settled.err
    assert "cleo: its App does not work" in settled.err
    agree(settled, "rex")
    assert ROTATING not in annotations_of(settled.cluster.peek(settled.hook_secrets) or {})


def test_what_has_no_receiver_yet_gets_none_by_a_rotation(settled: Office) -> None:
    """One with nothing but a mark in it would be an error of Argo Events'."""
    source = ObjectRef("argoproj.io/v1alpha1", "EventSource", "argo-events", "github")
    settled.cluster.remove(source)
    settled.cluster.remove(
        ObjectRef("apps/v1", "Deployment", "argo-events", "github-eventsource-x")
    )
    assert rotate(settled) == 0, settled.err
    assert settled.cluster.peek(source) is None


def test_where_failed_deliveries_are_fetched_none_is_sent_again(settled: Office) -> None:
    settled.receive(tunneling={"provider": "local", "url": HOOKS.removesuffix("/github/webhook")})
    app = settled.server.github.app_of("cto-rex-acme")
    settled.server.github.deliver(app, "push", 502)
    before = len(app.deliveries)
    assert rotate(settled) == 0, settled.err
    assert len(app.deliveries) == before
    assert "rex: a new secret" in settled.out


def test_without_a_public_address_the_one_webhook_of_all_keeps_its_secret(office: Office) -> None:
    office.receive(github={"webhooks": "organization"}, platform={})
    office.server.github.people["ghp_planted"] = {"acme"}
    office.desk.env["CTO_GITHUB__WEBHOOK_TOKEN"] = "ghp_planted"
    assert rotate(office) == 9
    assert "no public address is known" in office.err
    assert office.common_secret() == "planted-common-hook"


# --- keys -----------------------------------------------------------------------------------------


def test_another_key_is_proven_before_it_is_taken(settled: Office, tmp_path: Path) -> None:
    app = settled.server.github.app_of("cto-rex-acme")
    before = settled.secret("rex") or {}
    pem, checks = next(one for one in map(key, range(3)) if one[0] != app.pem)
    file = tmp_path / "new.pem"
    file.write_text(pem)
    assert rotate(settled, "rex", "--key", str(file)) == 3
    assert "CTO-1370" in settled.err
    assert settled.secret("rex") == before
    app.pem, app.checks = pem, checks
    assert rotate(settled, "rex", "--key", str(file)) == 0, settled.err
    assert settled.secret("rex") == {**before, "private-key": pem}
    assert "Delete the old one" in settled.out
    assert "/settings/apps/cto-rex-acme" in settled.out
    assert settled.run("github", "status", browser=False) == 0
    # Also the webhook's secret is still known to be GitHub's.
    agree(settled, "rex")


def another_key(office: Office, file: Path) -> None:
    """Let GitHub's page have generated another key of rex's App."""
    app = office.server.github.app_of("cto-rex-acme")
    app.pem, app.checks = next(one for one in map(key, range(3)) if one[0] != app.pem)
    file.write_text(app.pem)


def test_a_webhook_that_does_not_work_with_the_new_key_is_told(
    settled: Office, tmp_path: Path
) -> None:
    file = tmp_path / "new.pem"
    another_key(settled, file)
    github = settled.server.github
    github.troubles = [Trouble("PATCH .*/app/hook/config", Reply(422, {"message": "Oops"}))]
    assert rotate(settled, "rex", "--key", str(file)) == 9
    assert "rex: the new key is in the cluster. Delete the old one" in settled.out
    assert "rex: its webhook: GitHub was asked for another webhook of it" in settled.out
    assert "`cto github setup` goes on" in settled.out
    assert (settled.secret("rex") or {})["private-key"] == file.read_text()
    github.app_of("cto-rex-acme").hook = None
    assert rotate(settled, "rex", "--key", str(file)) == 9
    assert "rex: its webhook is off. Tick Active at" in settled.out


def test_a_secret_that_somebody_else_made_is_not_overwritten(
    settled: Office, tmp_path: Path
) -> None:
    ref = ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex")
    found = settled.cluster.peek(ref) or {}
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {"by": "a-vault"}}
    settled.cluster.add({**found, "metadata": metadata})
    before = settled.secret("rex")
    file = tmp_path / "new.pem"
    another_key(settled, file)
    given = {"id": settled.server.github.app_of("cto-rex-acme").id, "private_key": file.read_text()}
    again = ("github", "setup", "--again", "rex")
    config = settled.config(apps={"rex": given})
    for words in (
        ("github", "rotate", "rex", "--key", str(file)),
        ("github", "setup", "-c", config),
        again,
    ):
        assert settled.run(*words, browser=False) == 3, words
        assert f"{ref} is not of this installer: it stays as it is" in settled.err
        assert settled.secret("rex") == before


def test_a_key_is_of_one_agent_and_a_file(settled: Office, tmp_path: Path) -> None:
    file = tmp_path / "new.pem"
    assert rotate(settled, "rex", "--key", str(file)) == 3
    assert "cannot be read" in settled.err
    file.write_text("no key")
    assert rotate(settled, "--key", str(file)) == 2
    assert rotate(settled, "rex", "--key", str(file)) == 3
    assert "it is no RSA key in PEM" in settled.err
