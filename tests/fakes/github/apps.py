"""GitHub's side of Apps: pages, keys, installations, tokens, webhooks, deliveries, limits.

It has a memory, and rules as GitHub's. It runs with Python's standard library alone, so that a pod
can; who makes and checks keys is given to it.
"""

from __future__ import annotations

import html
import json
import re
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import sha256
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

HOUR_S = 3600
_LOCAL = re.compile(
    r"localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|.*\.(local|invalid)$"
)
_NEVER = {"installation", "installation_repositories", "github_app_authorization"}
_LEVELS = ("read", "write", "admin")
_KEYS = {
    *("name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url"),
    *("description", "public", "default_events", "default_permissions", "version"),
    *("request_oauth_on_install", "setup_on_update"),
}
_NOT_SHOWN = {"pings", "deliveries"}
_HOOK_CONFIG = {"url", "content_type", "secret", "insecure_ssl"}
BAD = {"message": "Bad credentials"}
GONE = {"message": "Not Found"}


@dataclass(frozen=True)
class Asked:
    """A request; the path is that of the API or of a page."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    status: int
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of a trouble; what the server adds is not among them."""


@dataclass
class App:
    """An App. `checks` tells whether it signed a token; it does not of the forge's."""

    id: int
    name: str
    client_id: str
    owner: str
    pem: str = ""
    checks: Callable[[str], bool] = lambda _: True
    permissions: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    hook: dict[str, Any] | None = None
    installations: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass
class Trouble:
    """What happens instead of answers to requests whose `METHOD path` matches.

    Attributes:
        reply: Said instead; None hangs up.
        times: How often; after that all is well.
        after: Whether GitHub does what was asked for all the same, before it happens.
    """

    matching: str
    reply: Reply | None
    times: int = 1
    after: bool = False


class Refused(Exception):  # noqa: N818 - no error: GitHub's page says so
    """What GitHub's page for new Apps says instead of making one."""


class HungUp(Exception):  # noqa: N818 - no error: it was told to
    """Nothing is said."""


@dataclass
class GitHub:
    """One GitHub.

    Attributes:
        url: Where its pages are.
        api: Before the paths of its API: `/api/v3` of an Enterprise Server.
        allowed: Permission -> events that may be listened to with it.
        make_key: Makes a private key: its PEM, and what tells whether it signed a token.
        repositories: All that there are, OWNER/NAME.
        may_install: Whether who clicks may install Apps; otherwise an owner has to.
        taken: Names of Apps that somebody has.
        now: Its clock.
        receives: What answers at the address of a webhook: told URL, event and secret.
        people: Token of a person -> where they may make webhooks: OWNER, OWNER/NAME.
        hooks: Those of organizations and repositories.
        headers: Of every answer of the API.
        watch: Told what was asked of the API, at which path of it, and what was answered.
    """

    url: str = "https://github.example"
    watch: Callable[[Asked, Reply], object] = lambda _asked, _reply: None
    api: str = ""
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    make_key: Callable[[], tuple[str, Callable[[str], bool]]] = lambda: ("", lambda _: True)
    repositories: tuple[str, ...] = ("acme/shop",)
    may_install: bool = True
    taken: set[str] = field(default_factory=set)
    now: Callable[[], float] = time.time
    receives: Callable[[str, str, str], int] = lambda _url, _event, _secret: 200
    people: dict[str, set[str]] = field(default_factory=dict)
    hooks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    apps: list[App] = field(default_factory=list)
    tokens: dict[str, tuple[App, int, dict[str, Any]]] = field(default_factory=dict)
    codes: dict[str, tuple[float, App]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    seen: list[Asked] = field(default_factory=list)
    _next: int = 1000
    _lock: Any = field(default_factory=threading.RLock)

    # what people do

    def submit(self, owner: str, manifest: str, state: str, *, name: str = "") -> str:
        """Make an App as its page does, under another name if one is typed; return where it leads.

        Raises:
            Refused: As the page says it.
        """
        with self._lock:
            told = json.loads(manifest)
            name = name or told["name"]
            for flaw in self._flaws(told, name):
                raise Refused(flaw)
            pem, checks = self.make_key()
            number = self._number()
            hook = told.get("hook_attributes")
            made = App(
                id=number,
                name=name,
                client_id=f"Iv23li{number}",
                owner=owner,
                pem=pem,
                checks=checks,
                permissions=dict(told.get("default_permissions") or {}),
                events=list(told.get("default_events") or ()),
                hook=_hook(hook) if hook else None,
            )
            if made.hook:
                made.hook["secret"] = token_hex(20)
                self.deliver(made, "ping")
            code = token_hex(20)
            self.codes[code] = (self.now() + HOUR_S, made)
            self.apps.append(made)
            mark = "&" if "?" in told["redirect_url"] else "?"
            return f"{told['redirect_url']}{mark}{urlencode({'code': code, 'state': state})}"

    def install(self, app: App, repository: str) -> None:
        """Install an App for a repository, or ask its owner to."""
        with self._lock:
            owner = repository.partition("/")[0]
            if not self.may_install:
                made = {"id": self._number(), "created_at": "2026-11-30T00:00:00Z"}
                app.requests.append(
                    {**made, "account": account(owner), "requester": account("someone", "User")}
                )
                return
            self.approve(app, repository)

    def approve(self, app: App, *repositories: str) -> int:
        with self._lock:
            owner = repositories[0].partition("/")[0]
            # An account has one of an App.
            there = {one["account"]["login"]: n for n, one in app.installations.items()}
            number = there.get(owner) or self._number()
            app.installations[number] = {
                "id": number,
                "account": account(owner, self.kind_of(owner)),
                "repository_selection": "selected",
                "permissions": dict(app.permissions),
                "events": list(app.events),
                "suspended_at": None,
                "html_url": f"{self.url}/organizations/{owner}/settings/installations/{number}",
                "app_id": app.id,
                "app_slug": app.slug,
                "repositories_url": f"{self.url}{self.api}/installation/repositories",
                "access_tokens_url": f"{self.url}{self.api}/app/installations/{number}",
                "target_id": 1,
                "target_type": "Organization",
                "single_file_name": None,
                "suspended_by": None,
                "created_at": "2026-11-30T00:00:00Z",
                "updated_at": "2026-11-30T00:00:00Z",
                "repositories": list(repositories),
            }
            app.requests = [one for one in app.requests if one["account"]["login"] != owner]
            return number

    @property
    def date(self) -> str:
        return formatdate(self.now(), usegmt=True)

    def app_of(self, name: str) -> App:
        return next(app for app in self.apps if name in (app.name, app.slug))

    def _flaws(self, told: Mapping[str, Any], name: str) -> Iterator[str]:
        """Yield what GitHub refuses a manifest for, as a whole."""
        yield from (f"Error {key!r} is not permitted" for key in sorted(told.keys() - _KEYS))
        lacking = [key for key in ("name", "url", "redirect_url") if not told.get(key)]
        yield from (f'Error "{key}" wasn\'t supplied' for key in lacking)
        if "hook_attributes" in told:
            yield from _flaws_of_hook(told["hook_attributes"])
        permissions = told.get("default_permissions") or {}
        if any(level not in _LEVELS for level in permissions.values()):
            yield "Default permission records resource is not included in the list"
        allowed = {event for one in permissions for event in self.allowed.get(one, ())}
        for event in told.get("default_events") or ():
            if event in _NEVER:
                yield f"Default events unsupported: {event}"
            elif event not in allowed:
                yield f"Default events are not supported by permissions: {event}"
        if len(name) > 34:
            yield "Name is too long (maximum is 34 characters)"
        if name in self.taken | {app.name for app in self.apps}:
            yield "Name is already taken"

    def _number(self) -> int:
        self._next += 1
        return self._next

    # the server

    def answer(self, asked: Asked) -> Reply:
        """Answer a request.

        Raises:
            HungUp: A trouble wants it.
        """
        with self._lock:
            self.seen.append(asked)
            line = f"{asked.method} {asked.path}"
            for trouble in self.troubles:
                if trouble.times and re.fullmatch(trouble.matching, line):
                    trouble.times -= 1
                    if trouble.after:
                        self._answer(asked)
                    if trouble.reply is None:
                        raise HungUp
                    return trouble.reply
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Reply:
        if self.api and not asked.path.startswith(f"{self.api}/"):
            return self._page(asked)
        path = asked.path.removeprefix(self.api)
        for method, pattern, action in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == asked.method:
                reply: Reply = getattr(self, action)(asked, *found.groups())
                self.watch(replace(asked, path=path), reply)
                return reply
        return Reply(404, GONE) if self.api else self._page(asked)

    # pages

    def _page(self, asked: Asked) -> Reply:
        found = re.fullmatch(r"(?:/organizations/([^/]+))?/settings/apps/new", asked.path)
        if asked.method == "POST" and found:
            form = {key: value[0] for key, value in parse_qs(asked.body.decode()).items()}
            if "create" not in form:
                return _confirm(asked, form["manifest"])
            try:
                where = self.submit(
                    found[1] or "someone",
                    form["manifest"],
                    asked.query.get("state", ""),
                    name=form.get("name", ""),
                )
            except Refused as refusal:
                return Reply(200, f"<p id=error>{html.escape(str(refusal))}</p>")
            return Reply(302, "", {"Location": where})
        found = re.fullmatch(r"/apps/([^/]+)/installations/new", asked.path)
        if found:
            self.install(self.app_of(found[1]), self.repositories[0])
            return Reply(200, "<p>Installed</p>")
        return Reply(404, "<p>Not Found</p>")

    # the API

    def conversion(self, asked: Asked, code: str) -> Reply:
        del asked
        until, app = self.codes.pop(code, (0.0, None))
        if app is None or self.now() > until:
            return Reply(404, GONE)
        kept = {"client_secret": token_hex(20), "pem": app.pem, "webhook_secret": None}
        if app.hook:
            kept["webhook_secret"] = app.hook["secret"]
        return Reply(201, {**self._shown(app), **kept})

    def self_(self, asked: Asked) -> Reply:
        app = self._app(asked)
        return self._shown_or_not(app, lambda app: Reply(200, self._shown(app)))

    def installed(self, asked: Asked, place: str) -> Reply:
        path = asked.path.removeprefix(self.api).split("/")

        def look(app: App) -> Reply:
            for one in app.installations.values():
                account = one["account"]
                wanted = {"orgs": "Organization", "users": "User"}.get(path[1])
                owned = (account["login"], account["type"]) == (place, wanted)
                if owned or place in one["repositories"]:
                    return Reply(200, _public(one))
            return Reply(404, GONE)

        return self._shown_or_not(self._app(asked), look)

    def installed_one(self, asked: Asked, number: str) -> Reply:
        def look(app: App) -> Reply:
            found = app.installations.get(int(number))
            return Reply(200, _public(found)) if found else Reply(404, GONE)

        return self._shown_or_not(self._app(asked), look)

    def user(self, asked: Asked, login: str) -> Reply:
        del asked
        counts = dict.fromkeys(("followers", "following", "public_gists", "public_repos"), 0)
        about = dict.fromkeys(("bio", "blog", "company", "email", "hireable", "location", "name"))
        times = {"created_at": _WHEN, "updated_at": _WHEN}
        return Reply(200, {**account(login, self.kind_of(login)), **about, **counts, **times})

    @staticmethod
    def kind_of(login: str) -> str:
        return "User" if login == "someone" else "Organization"

    def installed_all(self, asked: Asked) -> Reply:
        return self._shown_or_not(
            self._app(asked),
            lambda app: self._paged(asked, [_public(one) for one in app.installations.values()]),
        )

    def requested(self, asked: Asked) -> Reply:
        return self._shown_or_not(self._app(asked), lambda app: self._paged(asked, app.requests))

    def uninstalled(self, asked: Asked, number: str) -> Reply:
        def remove(app: App) -> Reply:
            found = app.installations.pop(int(number), None)
            return Reply(204 if found else 404, None if found else GONE)

        return self._shown_or_not(self._app(asked), remove)

    def mint(self, asked: Asked, number: str) -> Reply:
        def give(app: App) -> Reply:
            found = app.installations.get(int(number))
            if found is None:
                return Reply(404, GONE)
            wanted = asked.json
            permissions = wanted.get("permissions") or found["permissions"]
            if any(
                _LEVELS.index(level) > _LEVELS.index(found["permissions"].get(name, "read"))
                or name not in found["permissions"]
                for name, level in permissions.items()
            ):
                text = "The permissions requested are not granted to this installation."
                return Reply(422, {"message": text})
            names = {one.partition("/")[2] for one in found["repositories"]}
            if not names >= set(wanted.get("repositories") or ()):
                return Reply(
                    422, {"message": "There is at least one repository that does not exist"}
                )
            token = f"ghs_{token_hex(18)}"
            self.tokens[token] = (app, int(number), wanted)
            ends = datetime.fromtimestamp(self.now() + HOUR_S, UTC)
            made = {"token": token, "expires_at": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
            return Reply(
                201, {**made, "permissions": permissions, "repository_selection": "selected"}
            )

        return self._shown_or_not(self._app(asked), give)

    def hook(self, asked: Asked) -> Reply:
        def config(app: App) -> Reply:
            if app.hook is None:
                return Reply(404, GONE)
            if asked.method == "PATCH":
                if asked.json.keys() - _HOOK_CONFIG:
                    return Reply(422, {"message": "Invalid request"})
                app.hook.update(asked.json)
            return Reply(
                200, {**app.hook, **({"secret": "********"} if app.hook.get("secret") else {})}
            )

        return self._shown_or_not(self._app(asked), config)

    def delivered(self, asked: Asked) -> Reply:
        def listed(app: App) -> Reply:
            newest = sorted(app.deliveries, key=lambda one: -int(one["id"]))
            cursor = asked.query.get("cursor")
            if cursor:
                newest = [one for one in newest if int(one["id"]) < int(cursor)]
            detail = ("request", "response")
            shown = [{k: v for k, v in one.items() if k not in detail} for one in newest]
            size = int(asked.query.get("per_page", "30"))
            tag = f'W/"{sha256(json.dumps(shown).encode()).hexdigest()}"'
            if asked.headers.get("If-None-Match") == tag:
                return Reply(304, None, {"ETag": tag})
            if len(shown) <= size:
                return Reply(200, shown, {"ETag": tag})
            query = urlencode({"per_page": size, "cursor": shown[size - 1]["id"]})
            return Reply(200, shown[:size], {"ETag": tag, "Link": self._link(asked, query)})

        return self._shown_or_not(self._app(asked), listed)

    def delivery(self, asked: Asked, number: str) -> Reply:
        def one(app: App) -> Reply:
            for found in app.deliveries:
                if found["id"] == int(number):
                    return Reply(200, {**found, "url": (app.hook or {}).get("url", "")})
            return Reply(404, GONE)

        return self._shown_or_not(self._app(asked), one)

    def redeliver(self, asked: Asked, number: str) -> Reply:
        def again(app: App) -> Reply:
            for one in app.deliveries:
                if one["id"] == int(number):
                    repeated = {**one, "id": self._number(), "redelivery": True}
                    app.deliveries.append({**repeated, **self._received(app, one["event"])})
                    return Reply(202, {})
            return Reply(404, GONE)

        return self._shown_or_not(self._app(asked), again)

    def deliver(self, app: App, event: str, status: int = 0, payload: Any = None) -> dict[str, Any]:
        """Send an event, and record that, as GitHub does; `status` is the answer, if given."""
        with self._lock:
            guid = str(uuid4())
            sent = {
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": guid,
                "X-GitHub-Hook-Installation-Target-ID": str(app.id),
                "X-Hub-Signature-256": "sha256=0",
                "User-Agent": "GitHub-Hookshot/1",
            }
            made = {
                "id": self._number(),
                "guid": guid,
                "delivered_at": f"{datetime.fromtimestamp(self.now(), UTC):%Y-%m-%dT%H:%M:%SZ}",
                "redelivery": False,
                "duration": 0.1,
                **self._received(app, event, status),
                "event": event,
                "action": None,
                "installation_id": None,
                "repository_id": None,
                "throttled_at": None,
                "request": {"headers": sent, "payload": payload or {}},
                "response": {"headers": {}, "payload": None},
            }
            app.deliveries.append(made)
            return made

    def _received(self, app: App, event: str, status: int = 0) -> dict[str, Any]:
        hook = app.hook or {}
        told = (hook.get("url", ""), event, hook.get("secret", ""))
        status = status or self.receives(*told)
        return {"status": "OK" if status < 300 else "Invalid HTTP Response", "status_code": status}

    # webhooks of organizations and repositories

    def hooks_of(self, asked: Asked, place: str) -> Reply:
        def listed(hooks: list[dict[str, Any]]) -> Reply:
            if asked.method == "GET":
                return self._paged(asked, [_masked(one) for one in hooks])
            wanted = asked.json
            if wanted.get("name") != "web" or not (wanted.get("config") or {}).get("url"):
                return Reply(422, {"message": "Validation Failed"})
            if any(one["config"]["url"] == wanted["config"]["url"] for one in hooks):
                return Reply(422, {"message": "Hook already exists on this organization"})
            if flaws := list(_flaws_of_hook({"url": wanted["config"]["url"]})):
                return Reply(422, {"message": flaws[0]})
            number = self._number()
            hooks.append(_owners(f"{self.url}{asked.path}/{number}", number, wanted))
            return Reply(201, _masked(hooks[-1]))

        return self._owned(asked, place, listed)

    def hook_of(self, asked: Asked, place: str, number: str, pings: str | None) -> Reply:
        def one(hooks: list[dict[str, Any]]) -> Reply:
            found = next((one for one in hooks if one["id"] == int(number)), None)
            if found is None:
                return Reply(404, GONE)
            if pings:
                found["pings"] += 1
            elif asked.method == "DELETE":
                hooks.remove(found)
            else:
                # What a change of the config leaves out is gone, the secret too.
                found.update(asked.json)
                return Reply(200, _masked(found))
            return Reply(204)

        return self._owned(asked, place, one)

    def owners_deliveries(self, asked: Asked, place: str, number: str, again: str) -> Reply:
        def listed(hooks: list[dict[str, Any]]) -> Reply:
            (found,) = [one for one in hooks if one["id"] == int(number)]
            if not again:
                newest = sorted(found["deliveries"], key=lambda one: -int(one["id"]))
                return self._paged(asked, newest)
            (sent,) = [one for one in found["deliveries"] if one["id"] == int(again)]
            repeated = {**sent, "id": self._number(), "redelivery": True}
            found["deliveries"].append({**repeated, "status": "OK", "status_code": 200})
            return Reply(202, {})

        return self._owned(asked, place, listed)

    def _owned(
        self, asked: Asked, place: str, action: Callable[[list[dict[str, Any]]], Reply]
    ) -> Reply:
        shown = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if shown not in self.people:
            return Reply(401, BAD)
        if place not in self.people[shown]:
            return Reply(404, GONE)
        return action(self.hooks.setdefault(place, []))

    # who asks

    def _app(self, asked: Asked) -> App | str:
        """Return the App that signed, or what GitHub says of what it shows."""
        shown = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        undecoded = "A JSON web token could not be decoded"
        try:
            claims = claims_of(shown)
            issuer, issued, ends = str(claims["iss"]), claims.get("iat", 0), claims.get("exp", 0)
        except (IndexError, ValueError, KeyError):
            return undecoded
        app = next((a for a in self.apps if issuer in (a.client_id, str(a.id))), None)
        if app is None:
            return "Integration not found"
        if not app.checks(shown):
            return undecoded
        return (app.pem and self._flaw(issued, ends)) or app

    def _flaw(self, issued: object, ends: float) -> str:
        """Return what is wrong with the times of a token; '' for nothing."""
        if not isinstance(issued, int) or issued > self.now():
            text = "'Issued at' claim ('iat') must be an Integer representing the time that the"
            return f"{text} assertion was issued"
        if ends > self.now() + 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        if ends < self.now():
            text = "'Expiration time' claim ('exp') must be a numeric value representing the future"
            return f"{text} time at which the assertion expires"
        return ""

    def _shown_or_not(self, app: App | str, action: Callable[[App], Reply]) -> Reply:
        if isinstance(app, str):
            return Reply(401, {"message": app}, {"Date": self.date})
        return action(app)

    def _shown(self, app: App) -> dict[str, Any]:
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": f"A_{app.id}",
            "client_id": app.client_id,
            "owner": account(app.owner),
            "name": app.name,
            "description": "",
            "external_url": "https://github.example",
            "html_url": f"{self.url}/apps/{app.slug}",
            "created_at": _WHEN,
            "updated_at": _WHEN,
            "permissions": app.permissions,
            "events": app.events,
        }

    def _paged(self, asked: Asked, items: Sequence[Any]) -> Reply:
        size, page = int(asked.query.get("per_page", "30")), int(asked.query.get("page", "1"))
        part = list(items[(page - 1) * size : page * size])
        more = {"Link": self._link(asked, urlencode({"per_page": size, "page": page + 1}))}
        return Reply(200, part, more if len(items) > page * size else {})

    def _link(self, asked: Asked, query: str) -> str:
        return f'<{self.url}{asked.path}?{query}>; rel="next"'


_WHEN = "2026-11-30T00:00:00Z"
_ADDRESSES = (
    *("avatar", "events", "followers", "following", "gists", "html", "organizations"),
    *("received_events", "repos", "starred", "subscriptions"),
)
_PLACE = r"/(?:orgs|repos)/([^/]+(?:/[^/]+)?)"
_ROUTES = (
    ("POST", r"/app-manifests/([^/]+)/conversions", "conversion"),
    ("GET", r"/app", "self_"),
    ("GET", r"/app/installations", "installed_all"),
    ("GET", r"/app/installation-requests", "requested"),
    ("GET", r"/app/installations/(\d+)", "installed_one"),
    ("DELETE", r"/app/installations/(\d+)", "uninstalled"),
    ("GET", r"/users/([^/]+)", "user"),
    ("POST", r"/app/installations/(\d+)/access_tokens", "mint"),
    ("GET", r"/repos/([^/]+/[^/]+)/installation", "installed"),
    ("GET", r"/(?:orgs|users)/([^/]+)/installation", "installed"),
    ("GET", r"/app/hook/config", "hook"),
    ("PATCH", r"/app/hook/config", "hook"),
    ("GET", r"/app/hook/deliveries", "delivered"),
    ("GET", r"/app/hook/deliveries/(\d+)", "delivery"),
    ("POST", r"/app/hook/deliveries/(\d+)/attempts", "redeliver"),
    *((method, rf"{_PLACE}/hooks", "hooks_of") for method in ("GET", "POST")),
    *((method, rf"{_PLACE}/hooks/(\d+)()", "hook_of") for method in ("PATCH", "DELETE")),
    ("POST", rf"{_PLACE}/hooks/(\d+)/(pings)", "hook_of"),
    ("GET", rf"{_PLACE}/hooks/(\d+)/deliveries()", "owners_deliveries"),
    ("POST", rf"{_PLACE}/hooks/(\d+)/deliveries/(\d+)/attempts", "owners_deliveries"),
)


def account(login: str, kind: str = "Organization") -> dict[str, Any]:
    """Return a person or an organization, as it stands in other things."""
    return {
        "login": login,
        "id": 1,
        "node_id": f"O_{login}",
        "type": kind,
        "site_admin": False,
        "gravatar_id": "",
        **{f"{name}_url": f"https://github.example/{login}/{name}" for name in _ADDRESSES},
        "url": f"https://github.example/users/{login}",
    }


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JSON Web Token, of whomever."""
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def _public(installation: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in installation.items() if key != "repositories"}


def _flaws_of_hook(hook: Mapping[str, Any]) -> Iterator[str]:
    if hook.keys() - {"url", "active"}:
        yield "Error Hook attributes are not valid"
    if not hook.get("url"):
        yield 'Error "url" wasn\'t supplied'
    elif _LOCAL.match(urlsplit(hook["url"]).hostname or "localhost"):
        yield "Webhook URL is not supported because it isn't reachable over the public Internet"


def _owners(url: str, number: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
    when = "2026-11-30T00:00:00Z"
    return {
        "active": True,
        "events": ["push"],
        **wanted,
        "type": "Organization",
        "id": number,
        "url": url,
        "ping_url": f"{url}/pings",
        "test_url": f"{url}/tests",
        "created_at": when,
        "updated_at": when,
        "last_response": {"code": None, "status": "unused", "message": None},
        "deliveries": [],
        "pings": 0,
    }


def _masked(hook: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in hook.items() if key not in _NOT_SHOWN}
    secret = {"secret": "********"} if hook["config"].get("secret") else {}
    return {**shown, "config": {**hook["config"], **secret}}


def _hook(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"url": told["url"], "content_type": "form", "insecure_ssl": "0"}


def _confirm(asked: Asked, manifest: str) -> Reply:
    """Return the page on which people may change the name, and click."""
    name = html.escape(json.loads(manifest)["name"], quote=True)
    action = f"{asked.path}?{urlencode(asked.query)}"
    form = (
        f'<form method="post" action="{html.escape(action, quote=True)}">'
        f'<input type="hidden" name="manifest" value="{html.escape(manifest, quote=True)}">'
        f'<input name="name" value="{name}">'
        '<button name="create" value="1">Create GitHub App</button></form>'
    )
    return Reply(200, f"<!doctype html><title>Create GitHub App</title>{form}")
