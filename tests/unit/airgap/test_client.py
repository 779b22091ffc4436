"""What a client of registries does when it is asked, refused, redirected, and lied to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cto.errors import Cancelled, ToolError
from cto_airgap.layout import Layout
from cto_airgap.logins import RegistryLogin
from cto_airgap.oci import digest_of
from cto_airgap.reference import Endpoints, PushTarget, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.web import HttpRequest, TransportError
from fakes import images
from fakes.depot import described
from fakes.registry import FakeAnswer, FakeRegistry, FakeWeb, Scripted
from unit.airgap.world import HOST, Client, World

X = parse_reference(f"{HOST}/x:1")
LOGIN = {HOST: RegistryLogin("robot", "hunter2")}
BIG = images.noise((1 << 20) + 50_000, 3)


def asks(challenge: str) -> FakeAnswer:
    return FakeAnswer(401, b"", {"WWW-Authenticate": challenge})


def refused(*answers: FakeAnswer | TransportError, **fields: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        Client(Scripted(*answers), **fields).registry.manifest(X)
    return caught.value


# log-ins


def test_one_token_serves_many_requests() -> None:
    fake = FakeRegistry(f"https://{HOST}", auth="token")
    fake.add("x", images.image(), "1")
    registry = Client(fake, logins=LOGIN).registry
    for _ in range(3):
        registry.manifest(X)
    assert len(fake.requests("GET", "/token")) == 1
    assert "scope=repository%3Ax%3Apull" in fake.requests("GET", "/token")[0].path
    assert len(fake.requests("GET", "/manifests/")) == 4


def test_a_token_is_renewed_before_its_end_and_when_it_is_refused() -> None:
    fake = FakeRegistry(f"https://{HOST}", auth="token")
    fake.add("x", images.image(), "1")
    client = Client(fake, logins=LOGIN)
    registry = client.registry
    registry.manifest(X)
    client.clock.advance(295)
    registry.manifest(X)
    assert len(fake.requests("GET", "/token")) == 2
    fake.expire()
    registry.manifest(X)
    assert len(fake.requests("GET", "/token")) == 3
    assert client.clock.waits == []


def test_tokens_are_asked_for_what_is_done(world: World) -> None:
    mine = FakeRegistry("https://mine.example.com", auth="token")
    world.build()
    client = Client(
        FakeWeb(world.fake, mine), logins={"mine.example.com": RegistryLogin("robot", "hunter2")}
    )
    outcome = client.pusher.push(world.bundle, PushTarget("mine.example.com"))
    assert outcome.mounted == len(world.shared)
    assert any(path.path.count("scope=") == 2 for path in mine.requests("GET", "/token"))


def test_a_password_goes_to_nobody_who_does_not_ask() -> None:
    fake = FakeRegistry(f"https://{HOST}")
    fake.add("x", images.image(), "1")
    Client(fake, logins=LOGIN).registry.manifest(X)
    assert "Authorization" not in fake.seen[0].headers


def test_a_token_server_without_tls_gets_no_password() -> None:
    transport = Scripted(asks('Bearer realm="http://evil.example.com/token"'))
    with pytest.raises(ToolError, match="cannot be trusted") as caught:
        Client(transport, logins=LOGIN).registry.manifest(X)
    assert caught.value.code == "CTO-1511"
    assert len(transport.seen) == 1


def test_a_registry_without_tls_may_have_such_a_token_server() -> None:
    fake = FakeRegistry(f"http://{HOST}", auth="token")
    made = fake.add("x", images.image(), "1")
    client = Client(fake, logins=LOGIN)
    registry = RegistryClient(client.session, Endpoints(plain=frozenset({HOST})))
    assert registry.manifest(X).digest == made.root


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FakeAnswer(200, b"{}"), "CTO-1514"),
        (FakeAnswer(200, b"[]"), "CTO-1514"),
        (FakeAnswer(200, b"no json"), "CTO-1514"),
        (FakeAnswer(403), "CTO-1511"),
        (FakeAnswer(418), "CTO-1514"),
    ],
)
def test_a_token_server_may_fail(body: FakeAnswer, code: str) -> None:
    error = refused(asks('Bearer realm="https://auth.example.com/token?a=b"'), body, logins=LOGIN)
    assert error.code == code
    assert "hunter2" not in f"{error.message}{error.details}"


def test_both_names_of_a_token_will_do() -> None:
    token = json.dumps({"access_token": "secret-token"}).encode()
    body = json.dumps({"manifests": []}).encode()
    kind = {"Content-Type": "application/vnd.oci.image.index.v1+json; charset=utf-8"}
    challenge = asks('Bearer realm="https://auth.example.com/token"')
    transport = Scripted(challenge, FakeAnswer(200, token), FakeAnswer(200, body, kind))
    assert Client(transport).registry.manifest(X).is_index
    assert transport.seen[-1].headers["Authorization"] == "Bearer secret-token"
    assert "secret-token" not in repr(transport.seen)


TOKENS = 'Bearer realm="https://auth.example.com/token",service="r s"'
IDENTITY = {HOST: RegistryLogin("0-0", "", "hunter2")}


def answered(token: str) -> list[FakeAnswer]:
    body = json.dumps({"manifests": []}).encode()
    kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    given = json.dumps({"access_token": token, "refresh_token": "another"}).encode()
    return [FakeAnswer(200, given), FakeAnswer(200, body, kind)]


def test_an_identity_token_is_exchanged_for_one_of_the_registry() -> None:
    transport = Scripted(asks(TOKENS), *answered("short-lived"))
    assert Client(transport, logins=IDENTITY).registry.manifest(X).is_index
    exchange = transport.seen[1]
    assert (exchange.method, exchange.url) == ("POST", "https://auth.example.com/token")
    assert exchange.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert exchange.body == (
        b"grant_type=refresh_token&service=r+s&client_id=cto&scope=repository%3Ax%3Apull"
        b"&refresh_token=hunter2"
    )
    assert transport.seen[2].headers["Authorization"] == "Bearer short-lived"
    assert "hunter2" not in repr(transport.seen)


@pytest.mark.parametrize("status", [404, 405])
def test_where_there_is_no_exchange_a_password_beside_it_will_do(status: int) -> None:
    transport = Scripted(asks(TOKENS), FakeAnswer(status), *answered("t"))
    login = RegistryLogin("me", "p", "hunter2")
    assert Client(transport, logins={HOST: login}).registry.manifest(X).is_index
    assert transport.seen[2].method == "GET"
    assert transport.seen[2].headers == {"Authorization": login.basic}


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_identity_token_that_is_refused_is_not_shown(status: int) -> None:
    error = refused(asks(TOKENS), FakeAnswer(status), logins=IDENTITY)
    assert error.code == ("CTO-1514" if status == 400 else "CTO-1511")
    assert "an identity token" in error.details
    assert "hunter2" not in f"{error.message}{error.details}{error.hint}"


def test_a_token_server_without_tls_gets_no_identity_token() -> None:
    transport = Scripted(asks('Bearer realm="http://auth.example.com/token"'))
    with pytest.raises(ToolError, match="cannot be trusted"):
        Client(transport, logins=IDENTITY).registry.manifest(X)
    assert len(transport.seen) == 1


def test_a_registry_token_is_shown_as_it_is() -> None:
    transport = Scripted(asks(TOKENS), answered("")[1])
    login = {HOST: RegistryLogin("", "", "", "hunter2")}
    assert Client(transport, logins=login).registry.manifest(X).is_index
    assert transport.seen[1].headers["Authorization"] == "Bearer hunter2"


@pytest.mark.parametrize(
    "login", [RegistryLogin("", "", "hunter2"), RegistryLogin("", "", "", "hunter2")]
)
def test_a_token_is_no_password(login: RegistryLogin) -> None:
    transport = Scripted(asks("Basic realm=x"))
    with pytest.raises(ToolError) as caught:
        Client(transport, logins={HOST: login}).registry.manifest(X)
    assert caught.value.code == "CTO-1511"
    assert len(transport.seen) == 1


def test_a_refusal_without_a_way_to_log_in_is_final() -> None:
    assert refused(FakeAnswer(401)).code == "CTO-1511"
    assert refused(asks("Negotiate"), logins=LOGIN).code == "CTO-1511"


# redirects


def test_storage_elsewhere_gets_no_token(tmp_path: Path) -> None:
    fake = FakeRegistry(f"https://{HOST}", auth="token", storage="https://cdn.example.com")
    cdn = FakeRegistry("https://cdn.example.com")
    made = images.image(images.layer({"a": b"a"}))
    for registry in (fake, cdn):
        registry.add("x", made, "1")
    digest, data = next(iter(made.blobs.items()))
    client = Client(FakeWeb(fake, cdn), logins=LOGIN)
    assert client.registry.config(X, described(digest, data)) == data
    assert [("Authorization" in one.headers) for one in cdn.seen] == [False]
    assert "Authorization" in fake.requests("GET", digest)[-1].headers


@pytest.mark.parametrize("target", ["http://cdn.example.com/x", "/again"])
def test_bad_redirects_are_not_followed(target: str) -> None:
    error = refused(FakeAnswer(307, b"", {"Location": target}))
    assert error.code == "CTO-1510"
    assert "redirects" in error.details


# answers that are none


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (
            404,
            b'{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}',
            "CTO-1513",
            "NAME_UNKNOWN no",
        ),
        (403, b"<html>\nblocked\x1b[31m\n</html>", "CTO-1511", "<html>; blocked [31m; </html>"),
        (418, b"", "CTO-1514", "HTTP status 418"),
        (200, b"<html>", "CTO-1514", "it is no JSON"),
        (200, b"{}", "CTO-1514", "it is of type unknown"),
    ],
)
def test_what_was_answered_is_told(status: int, body: bytes, code: str, said: str) -> None:
    error = refused(FakeAnswer(status, body))
    assert error.code == code
    assert said in error.details


def test_a_registry_that_stays_busy_is_given_up() -> None:
    client = Client(Scripted(FakeAnswer(503)))
    with pytest.raises(ToolError) as caught:
        client.registry.manifest(X)
    assert caught.value.code == "CTO-1514"
    assert client.clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        ("Wed, 02 Jan 2030 03:04:15 GMT", 10.0),
        ("Wed, 02 Jan 2030 03:04:15", 10.0),
        ("Wed, 02 Jan 2020 03:04:15 GMT", 1.0),
        ("soon", 1.0),
    ],
)
def test_retry_after_may_be_a_date(said: str, waited: float) -> None:
    client = Client(Scripted(FakeAnswer(429, b"", {"Retry-After": said}), FakeAnswer(404)))
    with pytest.raises(ToolError):
        client.registry.manifest(X)
    assert client.clock.waits == [waited]


def test_what_one_thread_is_told_holds_for_all() -> None:
    transport = Scripted(
        FakeAnswer(429, b"", {"Retry-After": "9"}), TransportError("gone", again=False)
    )
    client = Client(transport)
    session = client.session
    endpoint = Endpoints().to_write(X)
    request = HttpRequest(method="GET", url=f"https://{HOST}/v2/")
    client.clock.at(9, lambda: None)
    with pytest.raises(TransportError):
        session.send(endpoint, request, ())
    assert client.clock.waits == [9.0]


def test_a_stopped_run_asks_nobody() -> None:
    client = Client(Scripted(FakeAnswer(200)))
    client.stop.set()
    with pytest.raises(Cancelled):
        client.registry.manifest(X)


def test_a_stop_ends_a_download(tmp_path: Path) -> None:
    client = Client(Scripted(FakeAnswer(200, BIG)))
    wanted = described(digest_of(BIG), BIG)
    layout = Layout(tmp_path)

    class Stopping(Scripted):
        def send(self, request: HttpRequest) -> FakeAnswer:
            client.stop.set()
            return super().send(request)

    client.transport = Stopping(FakeAnswer(200, BIG))
    with layout.part(wanted) as part, pytest.raises(Cancelled):
        client.registry.fetch(X, wanted, part)


# mirrors


def test_where_mirrors_and_host_fail_all_are_named() -> None:
    client = Client(
        FakeWeb(FakeRegistry(f"https://{HOST}")),
        mirrors={HOST: ["http://user:secret@mirror.example.com/docker"]},
    )
    with pytest.raises(ToolError) as caught:
        client.registry.manifest(X)
    assert caught.value.code == "CTO-1513"
    first, second = caught.value.details.splitlines()
    assert first.startswith("mirror.example.com cannot be reached: http://mirror.example.com")
    assert second.startswith(f"{HOST} does not have {X}: HTTP status 404")
    assert "secret" not in caught.value.details


def test_who_does_not_answer_is_not_asked_for_another_image_and_the_others_are() -> None:
    """A mirror with half of the images, where the host itself cannot be reached."""
    mirror = FakeRegistry("https://mirror.example.com")
    added = mirror.add("z", images.image(), "1")
    client = Client(FakeWeb(mirror), mirrors={HOST: ["mirror.example.com"]})
    registry = client.registry
    for name in ("x", "y"):
        with pytest.raises(ToolError, match=f"{HOST} cannot be reached") as caught:
            registry.manifest(parse_reference(f"{HOST}/{name}:1"))
        assert caught.value.code == "CTO-1510"
        assert caught.value.details.startswith("mirror.example.com does not have")
        # Three pauses between four attempts, once.
        assert len(client.clock.waits) == 3
    assert registry.manifest(parse_reference(f"{HOST}/z:1")).digest == added.root


def test_the_name_of_docker_s_registry_is_not_its_address() -> None:
    transport = Scripted(FakeAnswer(404))
    with pytest.raises(ToolError, match=r"docker\.io does not have"):
        Client(transport).registry.manifest(parse_reference("busybox:1"))
    url = "https://registry-1.docker.io/v2/library/busybox/manifests/1"
    assert transport.seen[0].url == url
