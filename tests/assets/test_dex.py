"""The real dex, as a process, with what the platform gives it, and a stub of GitHub's pages.

A browser of the test logs in to each user interface, with the settings that this one has.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cto.catalog import Catalog
from cto.objects import dump_yaml, load_yaml
from cto.render import Renderer
from fakes import certificates
from fakes.programs import program
from fakes.webserver import Line, WebServer, answer, free_port

from .conftest import ACCESS

pytestmark = pytest.mark.slow

ISSUER = "https://dex.example.com"
LATE_S = 20.0
TEAMS = [
    {"name": "The Platform", "slug": "platform", "organization": {"login": "acme"}},
    {"name": "Other", "slug": "platform", "organization": {"login": "other"}},
]
VERIFIER = "a" * 43


@dataclass(frozen=True)
class Page:
    """A user interface, by its own settings."""

    client: str
    secret: str
    callback: str
    scopes: str


@dataclass
class Setting:
    """A dex that runs, the pages that know it, and what GitHub says of who logs in."""

    port: int
    github: WebServer
    pages: Mapping[str, Page]
    values: Mapping[str, Any]

    def get(self, path: str) -> Any:
        return json.loads(self.ask("GET", path)[2])

    def ask(
        self, method: str, path: str, form: Mapping[str, str] | None = None, login: str = ""
    ) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as line:
            line.request(method, path, urlencode(form) if form else None, headers)
            found = line.getresponse()
            return found.status, found.headers.get("Location", ""), found.read()

    def browse(self, page: Page, **changed: str) -> tuple[str, bytes]:
        """Log in; return where the browser ends that is led out of dex and GitHub, or the page."""
        challenge = hashlib.sha256(VERIFIER.encode()).digest()
        asked = {
            "client_id": page.client,
            "redirect_uri": page.callback,
            "response_type": "code",
            "scope": page.scopes,
            "state": "planted",
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        there = f"{ISSUER}/auth?{urlencode({**asked, **changed})}"
        while True:
            parts = urlsplit(there)
            path = f"{parts.path}?{parts.query}"
            if parts.netloc == f"127.0.0.1:{self.github.port}":
                trust = ssl.create_default_context(cadata=certificates.AUTHORITY)
                with closing(HTTPSConnection(parts.netloc, context=trust, timeout=10)) as line:
                    line.request("GET", path)
                    there = line.getresponse().headers["Location"]
            elif parts.netloc in ("", "dex.example.com"):
                _, there, body = self.ask("GET", path)
                if not there:
                    return "", body
            else:
                return there, b""

    def log_in(self, page: Page) -> Mapping[str, Any]:
        """Return the claims of the token that the page gets."""
        there, body = self.browse(page)
        assert there.startswith(page.callback), body
        given = {key: value for key, (value,) in parse_qs(urlsplit(there).query).items()}
        assert given["state"] == "planted"
        form = {
            "grant_type": "authorization_code",
            "code": given["code"],
            "redirect_uri": page.callback,
            "code_verifier": VERIFIER,
        }
        login = f"{page.client}:{page.secret}" if page.secret else ""
        form |= {} if login else {"client_id": page.client}
        status, _, told = self.ask("POST", "/token", form, login)
        assert status == 200, told
        return self.verified(json.loads(told)["id_token"])

    def verified(self, token: str) -> Mapping[str, Any]:
        """Return a token's claims, as whoever has dex' public keys reads them."""
        head, claims, signature = token.split(".")
        (key,) = [k for k in self.get("/keys")["keys"] if k["kid"] == json.loads(bits(head))["kid"]]
        numbers = (int.from_bytes(bits(key[name])) for name in ("e", "n"))
        public = rsa.RSAPublicNumbers(*numbers).public_key()
        signed = f"{head}.{claims}".encode()
        public.verify(bits(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        found: Mapping[str, Any] = json.loads(bits(claims))
        return found


def bits(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def authorize(line: Line) -> None:
    """Send who consents back, as GitHub does."""
    asked = line.seen.query
    assert asked["redirect_uri"] == f"{ISSUER}/callback"
    assert asked["client_id"] == ACCESS["client_id"]
    assert "read:org" in asked["scope"]
    back = urlencode({"code": "planted", "state": asked["state"]})
    line.head(302, {"Location": f"{asked['redirect_uri']}?{back}", "Content-Length": "0"})


@pytest.fixture
def github(tmp_path: Path) -> Iterator[WebServer]:
    with WebServer(tls=certificates.server_side(tmp_path)) as server:
        token = {"access_token": "planted", "token_type": "bearer", "scope": "read:org"}
        user = {"id": 7, "login": "dora", "name": "Dora", "email": "dora@example.com"}
        server.on("GET", "/login/oauth/authorize", authorize)
        server.on(
            "POST", "/login/oauth/access_token", answer(body=token, Content_Type="application/json")
        )
        server.on("GET", "/api/v3/user", answer(body=user))
        server.on("GET", "/api/v3/user/teams", answer(body=TEAMS))
        server.on("GET", "/api/v3/orgs/acme/members/dora", answer(204))
        yield server


@pytest.fixture
def setting(
    catalog: Catalog, renderer: Callable[..., Renderer], github: WebServer, tmp_path: Path
) -> Iterator[Setting]:
    """Run dex as its pod does; GitHub is a server of the user's own."""
    dex = program("dex")
    made = renderer("production", github={"organization": "acme", "url": github.url})
    values = {name: made.values(catalog[name]) for name in ("dex", *pages_of.keys())}
    (tmp_path / "config.yaml").write_text(dump_yaml(values["dex"]["config"]))
    env = {"SSL_CERT_FILE": str(certificates.authority(tmp_path))}
    for entry in values["dex"]["envVars"]:
        env[entry["name"]] = secret_of(entry["valueFrom"]["secretKeyRef"])
    port = free_port()
    argv: list[str | Path] = [
        dex,
        "serve",
        "--web-http-addr",
        f"127.0.0.1:{port}",
        tmp_path / "config.yaml",
    ]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
    pages = {name: read(values[name]) for name, read in pages_of.items()}
    found = Setting(port, github, pages, values)
    try:
        end = time.monotonic() + LATE_S
        while time.monotonic() < end and run.poll() is None:
            with suppress(OSError):
                found.get("/.well-known/openid-configuration")
                break
            time.sleep(0.05)
        assert run.poll() is None, (tmp_path / "log").read_text()
        yield found
    finally:
        run.kill()
        run.wait()


def secret_of(reference: Mapping[str, str]) -> str:
    """Return what a Secret of the test holds; copies have what was copied."""
    return f"value of {reference['name']}/{reference['key']}"


def copied(component: str) -> str:
    return secret_of({"name": "dex-clients", "key": component})


def argocd(values: Mapping[str, Any]) -> Page:
    config = load_yaml(values["configs"]["cm"]["oidc.config"])
    assert (config["issuer"], config["clientSecret"]) == (ISSUER, "$dex-client:secret")
    callback = f"{values['configs']['cm']['url']}/auth/callback"
    return Page(config["clientID"], copied("argocd"), callback, " ".join(config["requestedScopes"]))


def workflows(values: Mapping[str, Any]) -> Page:
    config = values["server"]["sso"]
    assert config["issuer"] == ISSUER
    scopes = " ".join([*config["scopes"], "openid"])
    # Its name is in a Secret, too.
    return Page("argo-workflows", copied("argo-workflows"), config["redirectUrl"], scopes)


def grafana(values: Mapping[str, Any]) -> Page:
    config = values["grafana.ini"]["auth.generic_oauth"]
    callback = f"{values['grafana.ini']['server']['root_url']}/login/generic_oauth"
    return Page(config["client_id"], copied("grafana"), callback, config["scopes"])


pages_of = {"argocd": argocd, "argo-workflows": workflows, "grafana": grafana}


def test_who_is_in_the_organization_gets_a_token_with_the_teams(setting: Setting) -> None:
    """At every user interface, and at the command line of Argo CD."""
    cli = Page("argocd-cli", "", "http://localhost:8085/auth/callback", "openid email groups")
    for page in (*setting.pages.values(), cli):
        claims = setting.log_in(page)
        assert (claims["iss"], claims["aud"]) == (ISSUER, page.client)
        # By the name that its address has, of this organization only.
        assert claims["groups"] == ["acme:platform"]
        assert claims["email"] == "dora@example.com"


def test_the_teams_are_the_ones_that_roles_are_given_to(setting: Setting) -> None:
    team = "acme:platform"
    assert f"g, {team}, role:admin" in setting.values["argocd"]["configs"]["rbac"]["policy.csv"]
    role = setting.values["grafana"]["grafana.ini"]["auth.generic_oauth"]["role_attribute_path"]
    assert f"@ == '{team}'" in role


def test_dex_has_the_addresses_that_grafana_asks(setting: Setting) -> None:
    """Others look them up."""
    told = setting.get("/.well-known/openid-configuration")
    config = setting.values["grafana"]["grafana.ini"]["auth.generic_oauth"]
    known = {"authorization": "auth_url", "token": "token_url", "userinfo": "api_url"}
    assert told["issuer"] == ISSUER
    assert {told[f"{name}_endpoint"] == config[key] for name, key in known.items()} == {True}


def test_who_is_in_no_team_reads(setting: Setting) -> None:
    """There is no claim of groups then, which rules of roles have to take."""
    setting.github.on("GET", "/api/v3/user/teams", answer(body=[]))
    assert "groups" not in setting.log_in(setting.pages["grafana"])


def test_strangers_and_other_addresses_get_nothing(setting: Setting) -> None:
    page = setting.pages["argocd"]
    there, told = setting.browse(page, redirect_uri="https://argocd.example.org/auth/callback")
    assert (there, b"Unregistered redirect_uri" in told) == ("", True)
    setting.github.on("GET", "/api/v3/orgs/acme/members/dora", answer(404))
    there, told = setting.browse(page)
    assert (there, b"Authentication failed" in told) == ("", True)
