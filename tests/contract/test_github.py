"""The client of GitHub's API, and the rules of its Apps, against the stand-in over HTTP."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cto import assets
from cto.github.answers import GitHubError
from cto.github.client import Client, api_of
from cto.github.found import AppKey
from cto.github.manifest import LONGEST_NAME, WantedApp, app_name, rules
from cto.network import trust, web
from fakes import certificates
from fakes.clock import FakeClock
from fakes.github.apps import App, Refused, Reply, Trouble
from fakes.github.description import PERMISSIONS, problems
from fakes.github.served import GitHubServer, key

RULES = rules(assets.root() / "templates")
LIMIT = {"message": "You have exceeded a secondary rate limit."}


class Clock(FakeClock):
    """GitHub's time, or one that is off; waits pass at once."""

    def __init__(self, ahead_s: float = 0) -> None:
        super().__init__()
        self._off = timedelta(seconds=time.time() - super().now().timestamp() + ahead_s)

    def now(self) -> Any:
        return super().now() + self._off


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as made:
        pem, checks = key(0)
        app = App(7, "rex", "Iv23rex", "acme", pem, checks, {"contents": "write"})
        made.github.apps.append(app)
        made.github.approve(app, "acme/shop")
        yield made


def client(server: GitHubServer, clock: FakeClock | None = None, **settings: Any) -> Client:
    session = web.session({}, verified=trust.context({}))
    return Client(server.api, session, clock or Clock(), **settings)


REX = AppKey("Iv23rex", key(0)[0])


def test_an_app_finds_its_installation_and_gets_a_token_for_no_more_than_it_asks(
    server: GitHubServer,
) -> None:
    asking = client(server)
    found = asking.installation(REX, "rex", "acme/shop").of("id", int)
    assert asking.installation(REX, "rex", "acme").of("id", int) == found
    own = server.github.approve(server.github.apps[0], "someone/notes")
    assert asking.installation(REX, "rex", "someone").of("id", int) == own
    may = {"contents": "read"}
    made = asking.token(REX, found, "token", repositories=("shop",), permissions=may)
    assert made.of("token", str) in server.github.tokens
    with pytest.raises(GitHubError, match="422 The permissions requested") as error:
        asking.token(REX, found, "token", permissions={"administration": "write"})
    assert error.value.code == "CTO-1581"
    assert {one.headers["X-GitHub-Api-Version"] for one in server.github.seen} == {"2022-11-28"}


@pytest.mark.parametrize(
    ("ahead_s", "text"),
    [
        (0, ""),
        (-50, ""),
        (50, ""),
        (120, r"'Issued at' claim.*it is 1[12]\d s ahead of GitHub's"),
        (-700, r"'Expiration time' claim.*it is (69|70)\d s behind GitHub's"),
    ],
)
def test_a_clock_that_is_off_is_named_as_such(
    server: GitHubServer, ahead_s: float, text: str
) -> None:
    asking = client(server, Clock(ahead_s))
    if not text:
        assert asking.app(REX).of("slug", str) == "rex"
        return
    with pytest.raises(GitHubError) as error:
        asking.app(REX)
    assert re.search(text, error.value.text), error.value.text


def test_a_server_of_ones_own_is_trusted_by_its_authority(tmp_path: Path) -> None:
    with GitHubServer(certificates.server_side(tmp_path)) as server:
        pem, checks = key(0)
        server.github.apps.append(App(7, "rex", "Iv23rex", "acme", pem, checks))
        own = {"CTO_CA_FILE": str(certificates.authority(tmp_path))}
        session = web.session(own, verified=trust.context(own))
        assert Client(server.api, session, Clock()).app(REX).of("slug", str) == "rex"
        with pytest.raises(GitHubError, match="CERTIFICATE_VERIFY_FAILED") as error:
            client(server).app(REX)
    assert error.value.code == "CTO-1580"


def test_a_wrong_key_is_told(server: GitHubServer) -> None:
    for wrong in (AppKey("Iv23rex", key(1)[0]), AppKey("other", key(0)[0])):
        with pytest.raises(GitHubError, match="401") as error:
            client(server).app(wrong)
        assert "the key is not" in error.value.help
        assert "PRIVATE" not in repr(wrong)
    with pytest.raises(ValueError, match=r"^$"):
        client(server).app(AppKey("Iv23rex", "no key"))


def test_all_pages_of_a_list_are_read_and_none_elsewhere(server: GitHubServer) -> None:
    (app,) = server.github.apps
    for number in range(5):
        server.github.approve(app, f"owner-{number}/shop")
    pages = client(server).pages("/app/installations", "installations", app=REX, size=2)
    assert len(list(pages)) == 6
    assert len(server.asked("/app/installations")) == 3
    link = {"Link": '<https://elsewhere.example/x>; rel="next"'}
    server.github.troubles.append(Trouble("GET .*", Reply(200, [{"id": 1}], link)))
    pages = client(server).pages("/app/installations", "installations", app=REX)
    assert list(pages) == [{"id": 1}]


def test_a_list_that_leads_back_to_itself_ends(server: GitHubServer) -> None:
    link = {"Link": f'<{server.api}/app/installations?per_page=100>; rel="next"'}
    server.github.troubles.append(Trouble("GET .*", Reply(200, [{"id": 1}], link), times=5))
    pages = client(server).pages("/app/installations", "installations", app=REX)
    assert list(pages) == [{"id": 1}]


@pytest.mark.parametrize("items", [[1], [{}], [{"id": None}], [{"id": 1}, "x"]])
def test_items_that_are_none_of_githubs_are_told_as_such(server: GitHubServer, items: Any) -> None:
    server.github.troubles.append(Trouble("GET .*", Reply(200, items)))
    pages = client(server).pages("/app/installations", "installations", app=REX, fields=("id",))
    with pytest.raises(GitHubError, match="answered something else than GitHub does"):
        list(pages)


PROXY = Reply(200, "<html>Please log in</html>")
BUSY = Reply(429, LIMIT)
FORBIDDEN = Reply(403, LIMIT)
WAIT = Reply(403, {"message": "wait"}, {"Retry-After": "7"})
USED_UP = Reply(
    403,
    {"message": "API rate limit exceeded"},
    {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"},
)


@pytest.mark.parametrize(
    ("reply", "get", "post", "waited"),
    [
        # A limit: GitHub has not done it.
        (WAIT, 2, 2, 7),
        (BUSY, 2, 2, 60),
        (FORBIDDEN, 2, 2, 60),
        # Longer than anybody waits.
        (USED_UP, 1, 1, 0),
        # It may have been done: it is asked again only if that changes nothing.
        (Reply(502, "<html>"), 2, 1, 2),
        (None, 2, 1, 2),
        (PROXY, 1, 1, 0),
        (Reply(403, {"message": "Resource not accessible by integration"}), 1, 1, 0),
    ],
)
def test_only_what_is_safe_is_asked_again(
    server: GitHubServer, reply: Reply | None, get: int, post: int, waited: float
) -> None:
    for method, path, times in (("GET", "/app", get), ("POST", "/x", post)):
        server.github.troubles = [Trouble(".*", reply)]
        server.github.seen.clear()
        clock = Clock()
        begun = clock.monotonic()
        with suppress(GitHubError):
            client(server, clock).ask(method, path, "it", app=REX)
        assert len(server.github.seen) == times, method
        if times > 1:
            assert clock.monotonic() - begun == pytest.approx(waited, abs=1)


@pytest.mark.parametrize("reply", [WAIT, BUSY, None, Reply(502, "<html>")])
def test_a_code_is_sent_once(server: GitHubServer, reply: Reply | None) -> None:
    server.github.troubles = [Trouble(".*", reply, after=True)]
    with pytest.raises(GitHubError):
        client(server).converted("abc/../def")
    (one,) = server.github.seen
    assert one.path == "/api/v3/app-manifests/abc%2F..%2Fdef/conversions"
    assert "Authorization" not in one.headers


def test_what_never_arrived_is_sent_again_even_then() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    session = web.session({}, verified=trust.context({}))
    clock = Clock()
    asking = Client(f"http://127.0.0.1:{port}", session, clock, patience_s=5)
    with pytest.raises(GitHubError, match="could not be asked for the keys"):
        asking.converted("code")
    assert clock.waits == [2.0, 2.0]


def test_writes_are_a_second_apart(server: GitHubServer) -> None:
    clock = Clock()
    asking = client(server, clock)
    found = asking.installation(REX, "rex", "acme/shop").of("id", int)
    for _ in range(3):
        asking.token(REX, found, "token")
    assert clock.waits == [1.0, 1.0]


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://github.com/", "https://api.github.com"),
        ("https://github.bank.example", "https://github.bank.example/api/v3"),
        ("https://ghe:8443/", "https://ghe:8443/api/v3"),
    ],
)
def test_the_address_of_the_api(url: str, api: str) -> None:
    assert api_of(url) == api


# --- what Apps are made with ----------------------------------------------------------------------


def wish(agent: str, **given: Any) -> WantedApp:
    may = RULES.permissions(agent)
    settings = {
        "name": app_name("cto", agent, "acme"),
        "secret": f"github-app-cto-agent-{agent}",
        "permissions": may,
        "hears": RULES.hearing(may),
        "events": RULES.listened(RULES.hearing(may)),
    }
    return WantedApp(agent=agent, **{**settings, **given})


def test_github_knows_every_permission_and_level(server: GitHubServer) -> None:
    known = PERMISSIONS
    given = [RULES.always, RULES.heard, RULES.unknown, *RULES.roles.values()]
    for name, level in (item for one in given for item in one.items()):
        assert level in known[name], name
    assert RULES.events.keys() <= known.keys()
    assert RULES.words.keys() <= known.keys()
    assert set(RULES.wanted) <= {event for one in RULES.events.values() for event in one}


@pytest.mark.parametrize("agent", [*RULES.roles, "somebody"])
def test_github_takes_every_agents_manifest(server: GitHubServer, agent: str) -> None:
    homepage, back = "https://github.example/acme", "http://127.0.0.1:1/callback"

    def app_with(hook: str) -> App:
        made = wish(agent, name=f"{agent}-{len(hook)}").manifest(
            homepage=homepage, redirect_url=back, hook_url=hook
        )
        assert server.github.submit("acme", json.dumps(made), "s").startswith(back)
        app = server.github.app_of(made["name"])
        assert bool(app.hook) == bool(hook)
        assert app.permissions["metadata"] == "read"
        return app

    app_with("")
    app = app_with("https://hooks.acme.dev/github/webhook")
    # What starts the review of a pull request.
    assert ("pull_request" in app.events) == ("pull_requests" in app.permissions)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hook_attributes": {"active": False}}, '"url" wasn\'t supplied'),
        ({"hook_attributes": {"url": "http://localhost:8080"}}, "isn't reachable over the public"),
        ({"hook_attributes": {"url": "https://x.example", "secret": "x"}}, "not valid"),
        ({"default_events": ["installation"]}, "unsupported: installation"),
        ({"default_events": ["check_run"]}, "not supported by permissions: check_run"),
        ({"name": "x" * 35}, "too long"),
        ({"name": "rex"}, "already taken"),
    ],
)
def test_the_stand_in_refuses_what_github_refuses(
    server: GitHubServer, change: dict[str, Any], text: str
) -> None:
    made = wish("tess").manifest(homepage="https://x.example", redirect_url="http://127.0.0.1:1/")
    with pytest.raises(Refused, match=text):
        server.github.submit("acme", json.dumps({**made, **change}), "s")


def test_a_code_is_good_once_and_for_an_hour(server: GitHubServer) -> None:
    made = wish("rex").manifest(homepage="https://x.example", redirect_url="http://127.0.0.1:1/")
    where = server.github.submit("acme", json.dumps(made), "s")
    code = where.partition("code=")[2].partition("&")[0]
    assert client(server).converted(code).data["pem"]
    with pytest.raises(GitHubError, match="404"):
        client(server).converted(code)
    where = server.github.submit("acme", json.dumps({**made, "name": "later"}), "s")
    server.github.now = lambda: time.time() + 3601
    with pytest.raises(GitHubError, match="404"):
        client(server).converted(where.partition("code=")[2].partition("&")[0])


@pytest.mark.parametrize("path", ["/app", "/app/installations", "/repos/acme/shop/installation"])
def test_what_github_would_not_say_or_take_is_found(server: GitHubServer, path: str) -> None:
    """The server itself looks at each request and answer, and ends a test if one is wrong."""
    data = client(server).ask("GET", path, "it", app=REX).data
    assert [*problems("GET", path, b"", 200, data)] == []
    item = data[0] if isinstance(data, list) else data
    item["permissions"] = "all"
    (first,) = problems("GET", path, b"", 200, data)
    assert "permissions: 'all' is not" in first
    assert [*problems("GET", path, b"", 202, data)] == [f"GET {path} is not answered with 202"]
    asked = json.dumps({"url": 5}).encode()
    told = [*problems("PATCH", "/app/hook/config", asked, 200, {})]
    assert told == ["PATCH /app/hook/config asks: url: 5 is not of type 'string'"]


@pytest.mark.parametrize("platform", ["cto", "x" * 21, "x" * 22, "x" * 63, "a-b"])
@pytest.mark.parametrize("agent", ["rex", "morgan", "somebody-with-quite-a-long-name-" * 2])
@pytest.mark.parametrize("owner", ["acme", "Acme-" * 7 + "org"])
def test_names_are_short_enough_and_differ(platform: str, agent: str, owner: str) -> None:
    name = app_name(platform, agent, owner)
    assert 0 < len(name) <= LONGEST_NAME
    assert name.strip("-") == name.lower()
    others = {
        app_name(f"{platform}x", agent, owner),
        app_name(platform, f"{agent}x", owner),
        app_name(platform, agent, f"{owner}x"),
    }
    assert name not in others
    assert len(others) == 3


def test_a_name_says_whose_it_is() -> None:
    assert app_name("cto", "rex", "Acme") == "cto-rex-acme"
    assert app_name("a-platform-with-a-name", "rex", "acme-industries").startswith(
        "a-platform-with"
    )
