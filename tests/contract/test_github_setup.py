"""`cto github setup` and its like, against the stand-in: with a browser, kills, and canaries."""

from __future__ import annotations

import base64
import html
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from fakes.github.apps import App, Reply, Trouble
from fakes.github.served import key
from fakes.office import AGENTS, FORM, STATE, Office
from fakes.webserver import free_port


def test_each_agent_gets_its_app_by_one_click(office: Office) -> None:
    assert office.setup() == 0, office.err
    for agent in AGENTS:
        app = office.server.github.app_of(f"cto-{agent}-acme")
        secret = office.secret(agent)
        assert secret is not None
        assert secret.keys() == {"app-id", "client-id", "client-secret", "private-key"}
        assert (secret["app-id"], secret["private-key"]) == (str(app.id), app.pem)
        assert office.apps()[agent] == {
            "id": app.id,
            "slug": app.slug,
            "name": app.name,
            "owner": "acme",
            "kind": "Organization",
            "url": f"{office.server.url}/apps/{app.slug}",
            "made": True,
            "kept_in": f"github-app-cto-agent-{agent}",
        }
        assert app.permissions["metadata"] == "read"
        assert app.installations
    first, second, then = office.out.splitlines()[1:]
    assert first == "cleo   cto-cleo-acme  installed  acme/shop"
    assert second == "rex    cto-rex-acme   installed  acme/shop"
    assert then.startswith("`cto install`")
    # Again: nothing to do, and nobody has to click.
    made = len(office.server.github.apps)
    assert office.setup(browser=False) == 0
    assert len(office.server.github.apps) == made
    assert "cto install" not in office.out
    assert office.run("github", "status", browser=False) == 0


def test_the_page_is_for_one_browser_and_leads_to_github_alone(office: Office) -> None:
    assert office.setup() == 0
    page, *_ = office.browser.answers
    policy = page.headers["Content-Security-Policy"]
    assert f"form-action {office.server.url} http://127.0.0.1:" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "write code, issues, pull requests" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    # A code that comes twice is taken once.
    conversions = [one for one in office.server.github.seen if one.path.endswith("/conversions")]
    assert len(conversions) == len({one.path for one in conversions}) == len(AGENTS)


def test_a_name_that_people_change_is_the_one_that_counts(office: Office) -> None:
    office.know("rex")
    assert office.setup(rename="Our Rex") == 0
    assert office.apps()["rex"]["slug"] == "our-rex"
    assert "Our Rex" in office.out


# Of one App's making: tried, remembered, tried, kept, remembered again. Between the first two
# somebody clicks, between the third and the fourth the code is used.
MOMENTS = [(2, "before"), (3, "after"), (4, "before"), (4, "after"), (5, "after")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_write_leaves_nothing_that_is_not_named(
    office: Office, moment: tuple[int, str]
) -> None:
    office.know("rex")
    office.cluster.end_at = moment
    assert office.setup() == 137
    office.cluster.end_at = None
    before = len(office.server.github.apps)
    code = office.setup("--wait", "60")
    if "Name is already taken" in "".join(office.browser.errors):
        # Nobody heard of the click: the page says what may be the cause, and where to mend it.
        assert moment == (2, "before")
        assert f'<a href="{office.server.url}/organizations/acme/settings/apps">' in office.pages[0]
        office.server.github.apps.clear()
        assert office.setup() == 0
    elif code != 0:
        # Its key is lost: the next run says so, and where to click.
        assert "did not get here" in office.out
        assert f"{office.server.url}/organizations/acme/settings/apps" in office.out
        assert "--again rex" in office.out
        assert office.secret("rex") is None
        assert len(office.server.github.apps) == before == 1
        # Deleted by hand, it gets another one.
        office.server.github.apps.clear()
        assert office.setup("--again", "rex") == 0
    secret = office.secret("rex")
    assert secret is not None
    assert secret["private-key"] in {app.pem for app in office.server.github.apps}
    assert office.apps()["rex"]["id"] == int(secret["app-id"])


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (Trouble("POST .*/conversions", None, after=True), "could not be asked"),
        (Trouble("POST .*/conversions", Reply(502, "<html>"), after=True), "proxy or firewall"),
        (Trouble("POST .*/conversions", Reply(404, {"message": "Not Found"})), "404 Not Found"),
    ],
)
def test_a_code_whose_answer_is_lost_is_not_sent_again(
    office: Office, trouble: Trouble, text: str
) -> None:
    office.know("rex")
    office.server.github.troubles = [trouble]
    assert office.setup() == 9
    assert text in office.err
    assert "did not get here" in office.out
    conversions = [one for one in office.server.github.seen if one.path.endswith("/conversions")]
    assert len(conversions) == 1


def test_a_secret_that_cannot_be_written_is_told_before_anybody_clicks(office: Office) -> None:
    office.cluster.fail_next("dry-run", ApiError("CTO-1602", "no", status=403), kind="Secret")
    assert office.setup(browser=False) == 6
    assert office.server.github.apps == []


def test_a_key_in_hand_is_not_given_up_for_a_cluster_that_is_away(office: Office) -> None:
    office.know("rex")
    silent = ApiError("CTO-1601", "silent")
    real, left = office.cluster.apply, [2]

    def apply(manifest: Manifest, **options: Any) -> Manifest:
        if manifest.get("data") and manifest["kind"] == "Secret" and left[0]:
            left[0] -= 1
            raise silent
        return real(manifest, **options)

    office.cluster.apply = apply  # type: ignore[method-assign]
    assert office.setup() == 0
    assert office.secret("rex") is not None


def test_a_secret_that_is_gone_is_told_with_what_to_click(office: Office) -> None:
    assert office.setup() == 0
    office.cluster.remove(ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex"))
    assert office.run("github", "status", browser=False) == 9
    app = office.server.github.app_of("cto-rex-acme")
    where = f"{office.server.url}/organizations/acme/settings/apps/cto-rex-acme"
    assert f"Generate a private key at {where}" in office.out
    # With the new key it is taken again.
    file = office.desk.folder / "new.pem"
    file.write_text(app.pem)
    config = office.config(apps={"rex": {"id": app.id, "private_key_path": str(file)}})
    assert office.setup("-c", config, browser=False) == 0
    assert (office.secret("rex") or {})["private-key"] == app.pem


def test_an_app_of_somebody_stays_as_it_is(office: Office) -> None:
    office.know("rex")
    pem, checks = key(0)
    app = App(7, "mine", "Iv23mine", "acme", pem, checks, {"contents": "write"})
    app.permissions |= {"issues": "write", "pull_requests": "write", "metadata": "read"}
    office.server.github.apps.append(app)
    number = office.server.github.approve(app, "acme/shop")
    given = {"id": 7, "private_key": pem, "installation_id": number}
    config = office.config(apps={"rex": given})
    assert office.setup("-c", config, browser=False) == 0, office.err
    assert office.server.github.tokens
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert office.secret("rex") is None
    assert app.installations
    assert "delete it" not in office.out


@pytest.mark.parametrize(
    ("pem", "text"),
    [
        (key(1)[0], "github.apps.rex: GitHub was asked for the App itself and answered 401"),
        ("planted-no-key", "github.apps.rex.private_key: it is no RSA key in PEM"),
    ],
)
def test_a_key_is_proven_before_it_is_taken(office: Office, pem: str, text: str) -> None:
    good, checks = key(0)
    app = App(7, "mine", "Iv23mine", "acme", good, checks, {"contents": "write"})
    office.server.github.apps.append(app)
    config = office.config(apps={"rex": {"client_id": "Iv23mine", "private_key": pem}})
    assert office.setup("-c", config, browser=False) == 3
    assert text in office.err
    assert "CTO-1370" in office.err
    assert pem.splitlines()[-2:][0] not in office.err
    assert office.secret("rex") is None
    assert office.apps() == {}


def test_what_an_app_lacks_is_told_with_the_page(office: Office) -> None:
    assert office.setup() == 0
    (installation,) = office.server.github.app_of("cto-rex-acme").installations.values()
    installation["permissions"]["contents"] = "read"
    assert office.run("github", "status", browser=False) == 9
    assert "rex: it may not contents: write" in office.out
    assert "/settings/apps/cto-rex-acme/permissions" in office.out


def test_what_failed_is_sent_again(office: Office) -> None:
    assert office.setup() == 0
    github = office.server.github
    app = github.app_of("cto-rex-acme")
    failed = [github.deliver(app, event, 502) for event in ("issues", "pull_request")]
    arrived = github.deliver(app, "issues")
    assert office.run("github", "status", browser=False) == 0
    (mended,) = [one for one in failed if one["event"] == "issues"]
    app.deliveries.append({**mended, "id": arrived["id"] + 1, "status_code": 200, "status": "OK"})
    # As many as a page has, and one more.
    for _ in range(100):
        github.deliver(app, "push")
    last = github.deliver(app, "check_run", 500)
    assert office.run("github", "status", browser=False) == 9
    assert "rex: its last webhook failed: check_run at " in office.out
    assert office.run("github", "redeliver", browser=False) == 0
    assert office.out.splitlines() == [
        f"rex: pull_request {failed[1]['id']} is sent again",
        f"rex: check_run {last['id']} is sent again",
    ]
    assert office.run("github", "redeliver", browser=False) == 0
    assert office.out == "Nothing failed.\n"
    assert office.run("github", "redeliver", str(arrived["id"]), browser=False) == 0
    assert office.out == f"rex: issues {arrived['id']} is sent again\n"
    before = len(app.deliveries)
    assert office.run("github", "redeliver", str(arrived["id"]), "1", browser=False) == 2
    assert "1: no webhook of the platform has such a delivery" in office.err
    assert len(app.deliveries) == before


def test_an_owner_has_to_approve(office: Office) -> None:
    office.know("rex")
    office.server.github.may_install = False
    assert office.setup("--wait", "0", browser=False) == 9
    assert office.server.github.apps == []
    assert office.setup("--wait", "20") == 9
    assert "requested" in office.out
    assert "An owner of acme approves it" in office.out
    office.server.github.approve(office.server.github.apps[0], "acme/shop")
    assert office.run("github", "status", browser=False) == 0


def test_what_can_be_taken_away_is(office: Office) -> None:
    assert office.setup() == 0
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert office.secret("rex") is None
    assert office.apps() == {}
    assert all(not app.installations for app in office.server.github.apps)
    assert (
        f"delete it: {office.server.url}/organizations/acme/settings/apps/cto-rex-acme/advanced"
        in office.out
    )
    assert office.run("github", "remove", "--yes", browser=False) == 0


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/app/hook/deliveries", [{"id": 1}]),
        ("/app/hook/deliveries", ["x"]),
        ("/repos/acme/shop/installation", {"id": 1, "permissions": {"contents": "much"}}),
        ("/repos/acme/shop/installation", []),
    ],
)
def test_a_github_that_says_nonsense_is_no_error_of_ours(
    office: Office, path: str, data: object
) -> None:
    office.know("rex")
    assert office.setup() == 0
    office.server.github.troubles = [Trouble(f"GET .*{path}", Reply(200, data), times=9)]
    assert office.run("github", "status", browser=False) in (5, 9), office.err


def test_the_app_of_an_agent_that_was_switched_off_is_taken_away_too(office: Office) -> None:
    assert office.setup() == 0
    office.know("rex")
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert office.secret("cleo") is None
    assert office.apps() == {}
    assert all(not app.installations for app in office.server.github.apps)
    assert "cto-cleo-acme: delete it: " in office.out


def test_an_app_that_cannot_be_taken_out_holds_up_no_other(office: Office) -> None:
    assert office.setup() == 0
    number = next(iter(office.server.github.app_of("cto-cleo-acme").installations))
    path = f"DELETE .*/app/installations/{number}"
    office.server.github.troubles = [Trouble(path, Reply(422, {"message": "Oops"}), times=9)]
    assert office.run("github", "remove", "--yes", browser=False) == 5
    assert "of the App of cleo" in office.err
    assert office.secret("cleo")
    assert office.secret("rex") is None
    # What a person has to do is told all the same.
    assert "cto-rex-acme: delete it: " in office.err


@pytest.mark.parametrize("is_remembered", [True, False])
def test_the_secret_of_an_agent_that_was_switched_off_is_found_by_more_than_its_name(
    office: Office, *, is_remembered: bool
) -> None:
    office.know(cleo="Our-Cleo", rex="cto-agent-rex")
    assert office.setup() == 0
    if not is_remembered:
        # By an older installer.
        state = office.cluster.peek(STATE) or {}
        text = json.loads(state["data"]["state.json"])
        for known in text["apps"].values():
            del known["kept_in"]
        office.cluster.add({**state, "data": {"state.json": json.dumps(text)}})
    ref = ObjectRef("v1", "Secret", "cto", "github-app-our-cleo")
    assert office.cluster.peek(ref)
    office.know("rex")
    assert office.run("github", "remove", "--yes", browser=False) == 0
    assert office.cluster.peek(ref) is None
    assert all(not app.installations for app in office.server.github.apps)
    assert "cto-cleo-acme: delete it: " in office.out


def test_an_app_that_we_made_is_known_as_such_by_its_secret_alone(office: Office) -> None:
    """As after an uninstallation, which keeps the Secrets, and another installation."""
    office.know("rex")
    assert office.setup() == 0
    office.cluster.remove(STATE)
    office.install()
    assert office.apps() == {}
    assert office.run("github", "remove", "--yes", browser=False) == 0
    (app,) = office.server.github.apps
    assert app.installations == {}
    assert "delete it: " in office.out


def test_where_the_browser_is_elsewhere_the_address_is_pasted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.know("rex")
    file = office.desk.folder / "page.html"

    def pasted() -> Iterator[str]:
        yield "http://127.0.0.1:1/callback/rex?code=guess&state=wrong"
        ((action, manifest),) = FORM.findall(file.read_text())
        state = html.unescape(action).partition("state=")[2]
        yield office.server.github.submit("acme", html.unescape(manifest), state)

    answers = pasted()
    monkeypatch.setattr("getpass.getpass", lambda *_args, **_options: next(answers))
    code = office.setup("--page", str(file), "--wait", "0", browser=False)
    assert code == 9, office.err
    assert "That is not an address" in office.err
    assert office.secret("rex") is not None


def test_no_secret_is_anywhere_but_in_its_secret(office: Office, tmp_path: Path) -> None:
    assert office.setup("--debug") == 0
    told = [office.out, office.err, *office.pages]
    assert office.run("github", "status", "--debug", "--output", "json", browser=False) == 0
    told += [office.out, office.err]
    planted = {
        one
        for agent in AGENTS
        for name, one in (office.secret(agent) or {}).items()
        if name not in ("app-id", "client-id")
    }
    planted |= {line for pem in list(planted) for line in pem.splitlines() if len(line) > 40}
    planted |= set(office.server.github.tokens)
    planted |= {
        one.path.split("/")[-2]
        for one in office.server.github.seen
        if one.path.endswith("/conversions")
    }
    assert len(planted) > 6
    told += [
        json.dumps(manifest)
        for ref, manifest in office.cluster.everything().items()
        if not ref.name.startswith("github-app-")
    ]
    told += [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    for text in told:
        for secret in planted:
            assert secret not in text
            assert base64.b64encode(secret.encode()).decode()[:40] not in text
    assert "conversions" in "".join(told)


def test_the_callback_takes_nothing_that_did_not_come_from_the_page(office: Office) -> None:
    office.know("rex")
    port, seen = free_port(), []

    def knock() -> None:
        base = f"http://127.0.0.1:{port}"
        for path, host in (
            ("/callback/rex?code=x&state=guess", ""),
            ("/callback/rex?code=x", ""),
            ("/callback/nobody?code=x&state=y", ""),
            ("/", ""),
            ("/callback/rex", "evil.example"),
        ):
            headers = {"Host": host} if host else {}
            for _ in range(200):
                with suppress(requests.ConnectionError):
                    answer = requests.get(f"{base}{path}", headers=headers, timeout=5)
                    seen.append(answer.status_code)
                    break

    knocking = Thread(target=knock, daemon=True)
    knocking.start()
    assert office.setup("--port", str(port), "--wait", "8", browser=False) == 9
    knocking.join(20)
    assert seen == [400, 400, 400, 404, 403]
    assert not [one for one in office.server.github.seen if one.path.endswith("/conversions")]


def test_a_port_that_somebody_has_is_told(office: Office) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert office.setup("--port", port, browser=False) == 2
    assert f"--port {port} cannot be listened on: Address already in use" in office.err
