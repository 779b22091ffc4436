"""Tokens of GitHub Apps: what is asked of GitHub, and what is said when it gives none."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cto.adapters.clock import SystemClock
from cto.engine.agentsettings import Settings
from cto_controller.attempts import Attempt
from cto_controller.tokens import AppTokens, TokenError
from fakes.runs import NAMESPACE, Runs
from fakes.webserver import Script, WebServer, answer, hang_up

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)
INSTALLATION = "/repos/acme/shop/installation"
TOKENS = "/app/installations/42/access_tokens"
PLANTED = "ghs_" + "p" * 36
GIVEN = {"token": PLANTED, "expires_at": "2030-01-02T04:04:05Z"}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as made:
        made.on("GET", INSTALLATION, answer(200, {"id": 42}))
        made.on("POST", TOKENS, answer(201, GIVEN))
        yield made


@pytest.fixture
def runs(server: WebServer) -> Runs:
    agent = {"githubApp": "Acme-Rex", "image": "x:1", "permissions": {"contents": "write"}}
    github = {"host": "github.com", "apiUrl": server.url}
    made = Runs({"agents": {"rex": agent}, "github": github})
    made.add("shop", githubApp="Acme-Rex")
    keep(made, {"app-id": b"7\n", "client-id": b"Iv1.abc", "private-key": PEM})
    return made


def keep(runs: Runs, data: dict[str, bytes]) -> None:
    encoded = {key: b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": "github-app-acme-rex", "namespace": NAMESPACE}
    runs.cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})


def mint(runs: Runs, settings: Settings | None = None) -> Any:
    told = settings or runs.settings
    found = told.agent_of("Acme-Rex")
    assert found
    attempt = Attempt(runs.get("shop"), 1, *found, told)
    return AppTokens(runs.cluster, {}, SystemClock()).mint(attempt)


def test_a_token_is_for_one_repository_and_the_agents_permissions(
    runs: Runs, server: WebServer
) -> None:
    minted = mint(runs)
    assert minted.value == PLANTED
    assert f"{minted.expires:%H:%M}" == "04:04"
    asked, posted = server.seen
    body = json.loads(posted.body)
    assert body == {"repositories": ["shop"], "permissions": {"contents": "write"}}
    signed = asked.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(signed, KEY.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "Iv1.abc"
    # Ten minutes at most, by GitHub's clock.
    assert claims["exp"] - claims["iat"] <= 600


def test_a_run_that_names_the_agent_has_the_key_of_its_app(runs: Runs) -> None:
    runs.add("shop-again", repositoryUrl="https://github.com/acme/shop", githubApp="rex")
    found = runs.settings.agent_of("rex")
    assert found
    attempt = Attempt(runs.get("shop-again"), 1, *found, runs.settings)
    assert AppTokens(runs.cluster, {}, SystemClock()).mint(attempt).value == PLANTED


def test_an_apps_id_does_where_there_is_no_client_id(runs: Runs, server: WebServer) -> None:
    keep(runs, {"app-id": b"7\n", "private-key": PEM})
    mint(runs)
    signed = server.seen[0].headers["Authorization"].removeprefix("Bearer ")
    assert jwt.decode(signed, KEY.public_key(), algorithms=["RS256"])["iss"] == "7"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "Secret github-app-acme-rex with the keys app-id and private-key"),
        ({"app-id": b"7"}, "with the keys app-id and private-key"),
        ({"private-key": PEM}, "with the keys app-id and private-key"),
        ({"app-id": b"7", "private-key": b"planted-key"}, "is no RSA key in PEM"),
        ({"app-id": b"7", "private-key": b"\xff\xfe"}, "is no RSA key in PEM"),
    ],
)
def test_a_key_that_will_not_do_is_named_and_not_told(
    runs: Runs, data: dict[str, bytes], text: str
) -> None:
    keep(runs, data)
    with pytest.raises(TokenError, match=text) as error:
        mint(runs)
    assert "planted-key" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (answer(404, {"message": "Not Found"}), "404 Not Found; is the App installed there"),
        (answer(301, {"message": "Moved Permanently"}), "renamed or moved: give its new address"),
        (
            answer(401, {"message": "'Expiration time' claim ('exp') is too far"}, Date="now"),
            "this machine's clock",
        ),
        (answer(403, {"message": "limit"}, Retry_After="60"), "wants 60 s of quiet"),
        (answer(502, b"<html>Bad gateway</html>"), "a proxy or firewall may have answered"),
        (answer(200, b"<html>Log in</html>"), "a proxy or firewall may have answered"),
        (answer(200, [1]), "is it its API"),
        (answer(200, {"name": "something"}), "is it its API"),
        (answer(302, b"", Location="https://elsewhere.example.com/"), "302"),
        (answer(500, {"message": f"oops {PLANTED}"}), r"500 oops \*\*\*"),
        (hang_up, "could not be asked"),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_what_github_says_instead_is_told(
    runs: Runs, server: WebServer, script: Script, text: str, at: int
) -> None:
    server.on(*(("GET", INSTALLATION), ("POST", TOKENS))[at], script)
    with pytest.raises(TokenError, match=text) as error:
        mint(runs)
    assert PLANTED not in str(error.value)
