"""Speaks to GitHub's API, github.com's or an Enterprise Server's, as an App or for anybody.

One request at a time. What GitHub did not carry out is asked again as long as there is patience;
what it may have carried out is asked again only if that changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from threading import Event as Flag
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from cto.github.answers import LIMITED, REFUSED, SILENT, Answer, GitHubError, lag_s, lag_told
from cto.github.found import AppKey
from cto.network import web
from cto.ports import Clock
from cto.redaction import redacted

_AGAIN_S = 240
# Older Enterprise Servers answer 400 to a newer one.
_VERSION = "2022-11-28"
_PUBLIC = "github.com"
_PUBLIC_API = "https://api.github.com"
# Without a word of GitHub's: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
_SECONDARY_S = 60.0
_WRITES_APART_S = 1.0
_BROKEN_S = 2.0
_LONGEST = 200


def api_of(url: str) -> str:
    """Return where the API of a GitHub is."""
    parts = urlsplit(url.rstrip("/"))
    return _PUBLIC_API if parts.hostname == _PUBLIC else f"{url.rstrip('/')}/api/v3"


class Client:
    """Asks one GitHub.

    Args:
        api: Where its API is.
        session: Of `network.web`: with the user's proxies and authorities.
        patience_s: How long to wait in all for a request whose time has not come; 0 asks once.
        agent: Who asks, for GitHub's logs.
        notice: Told of waits that people would wonder about.

    Attributes:
        heard: The headers of the last answer.
    """

    def __init__(
        self,
        api: str,
        session: requests.Session,
        clock: Clock,
        *,
        patience_s: float = 120.0,
        agent: str = "cto",
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._api = api.rstrip("/")
        self._session = session
        self._clock = clock
        self._patience_s = patience_s
        self._agent = agent
        self._notice = notice
        self._written = -_WRITES_APART_S
        self.heard: Mapping[str, str] = {}
        self._signed: dict[AppKey, tuple[str, datetime]] = {}

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        app: AppKey | None = None,
        token: str = "",
        body: object = None,
        once: bool = False,
        etag: str = "",
    ) -> Answer:
        """Send a request, and return its answer.

        Args:
            method: Of HTTP.
            path: Behind the API's address, with its query.
            what: What is asked for, in words: for errors.
            app: Who asks.
            token: Who asks, by an installation's token.
            body: For JSON.
            once: Whatever comes of it, it is not sent again once it may have arrived.
            etag: Of an answer before. If it is still the same, this one has the status 304 and
                nothing in it, and counts for no limit.

        Raises:
            GitHubError: There is no answer, or it is a refusal.
        """
        end, safe = self._clock.monotonic() + self._patience_s, method == "GET"
        while True:
            try:
                answer = self._send(method, path, self._headers(app, token, etag), body)
            except requests.RequestException as failure:
                error, pause = _silence(failure, what, safe=safe)
            else:
                if found := self._found(answer):
                    return found
                error = self._refusal(answer, what)
                pause = self._pause_after(answer, error, safe=safe, once=once)
            self._rest(pause, error, end)

    def pages(
        self,
        path: str,
        what: str,
        *,
        app: AppKey | None = None,
        token: str = "",
        size: int = 100,
        etags: dict[str, str] | None = None,
        fields: Collection[str] = (),
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the items of all pages of a list. Pages elsewhere are not followed.

        Args:
            path: Behind the API's address, with its query.
            what: What is asked for, in words: for errors.
            app: Who asks.
            token: Who asks, by an installation's token.
            size: Of a page.
            etags: Keeps the first page's tag from one time to the next: there is nothing to yield
                if that page is still the same.
            fields: That each item has.

        Raises:
            GitHubError: There is no answer, it is a refusal, or not what GitHub says.
        """
        mark = "&" if "?" in path else "?"
        next_ = first = f"{path}{mark}per_page={size}"
        known = {} if etags is None else etags
        seen: set[str] = set()
        while next_ and next_ not in seen:
            seen.add(next_)
            tag = known.get(first, "") if next_ == first else ""
            answer = self.ask("GET", next_, what, app=app, token=token, etag=tag)
            if answer.status == 304:
                return
            if next_ == first:
                known[first] = answer.etag
            yield from _items(answer, fields)
            ours = answer.following.startswith(f"{self._api}/")
            next_ = answer.following.removeprefix(self._api) if ours else ""

    def app(self, app: AppKey) -> Answer:
        """Return what GitHub knows of the App that asks."""
        return self.ask("GET", "/app", "the App itself", app=app)

    def converted(self, code: str) -> Answer:
        """Exchange the code of an App that a manifest made for its keys: it can be done once."""
        path = f"/app-manifests/{quote(code, safe='')}/conversions"
        return self.ask("POST", path, "the keys of a new App", once=True)

    def installation(self, app: AppKey, name: str, place: str) -> Answer:
        """Return an App's installation.

        Args:
            app: Who asks.
            name: Of the App, for errors.
            place: OWNER/NAME of a repository, or the login of an organization or user.
        """
        what = f"the installation of App {name} in {place}"
        if "/" in place:
            return self.ask("GET", f"/repos/{place}/installation", what, app=app)
        try:
            return self.ask("GET", f"/orgs/{place}/installation", what, app=app)
        except GitHubError as error:
            if not error.is_absence:
                raise
        return self.ask("GET", f"/users/{place}/installation", what, app=app)

    def token(
        self,
        app: AppKey,
        installation: int,
        what: str,
        *,
        repositories: tuple[str, ...] = (),
        permissions: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return a token of an installation: for an hour, and for no more than is named."""
        body: dict[str, Any] = {}
        if repositories:
            body["repositories"] = list(repositories)
        if permissions:
            body["permissions"] = dict(permissions)
        path = f"/app/installations/{installation}/access_tokens"
        return self.ask("POST", path, what, app=app, body=body)

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: object
    ) -> requests.Response:
        self._space(method)
        return self._session.request(
            method,
            f"{self._api}{path}",
            headers=dict(headers),
            json=body,
            timeout=web.TIMEOUTS_S,
            allow_redirects=False,
        )

    def _headers(self, app: AppKey | None, token: str, etag: str) -> Mapping[str, str]:
        shown = self._shown(app) if app else token
        return {
            "Accept": "application/vnd.github+json",
            "User-Agent": self._agent,
            "X-GitHub-Api-Version": _VERSION,
            **({"Authorization": f"Bearer {shown}"} if shown else {}),
            **({"If-None-Match": etag} if etag else {}),
        }

    def _shown(self, app: AppKey) -> str:
        """Return what an App shows, for some minutes the same: reading a key takes a while."""
        now = self._clock.now()
        known, made = self._signed.get(app, ("", now))
        if not known or not 0 <= (now - made).total_seconds() < _AGAIN_S:
            known = app.signed(now)
            self._signed[app] = known, now
        return known

    def _space(self, method: str) -> None:
        """Let a second pass between writes."""
        if method == "GET":
            return
        left = self._written + _WRITES_APART_S - self._clock.monotonic()
        if left > 0:
            self._clock.wait(Flag(), left)
        self._written = self._clock.monotonic()

    def _found(self, answer: requests.Response) -> Answer | None:
        fine = answer.status_code < 300 or answer.status_code == 304
        self.heard = answer.headers
        if not fine or (read := _read(answer)) is None:
            return None
        following, tag = answer.links.get("next", {}).get("url", ""), answer.headers.get("ETag", "")
        return Answer(answer.status_code, read, self._api, following, tag)

    def _rest(self, pause: float, error: GitHubError, end: float) -> None:
        """Wait before the next time; where there is to be none, raise the error."""
        if not pause or self._clock.monotonic() + pause > end:
            raise error
        if pause > _BROKEN_S:
            self._notice(f"GitHub wants {pause:.0f} s of quiet")
        self._clock.wait(Flag(), pause)

    def _pause_after(
        self, answer: requests.Response, error: GitHubError, *, safe: bool, once: bool
    ) -> float:
        """Return how long to wait before the next time; 0 where there is to be none."""
        if error.code == LIMITED and not once:
            return self._pause(answer)
        return _BROKEN_S if safe and answer.status_code in (500, 502, 503, 504) else 0.0

    def _pause(self, answer: requests.Response) -> float:
        """Return how long GitHub wants to be left alone."""
        after = answer.headers.get("Retry-After", "")
        if after.isdecimal():
            return max(float(after), 1.0)
        reset = answer.headers.get("X-RateLimit-Reset", "")
        if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
            return max(float(reset) - self._clock.now().timestamp(), 1.0)
        return _SECONDARY_S

    def _refusal(self, answer: requests.Response, what: str) -> GitHubError:
        status, read = answer.status_code, _read(answer)
        said = str(read.get("message") or "") if isinstance(read, Mapping) else ""
        if read is None or (status >= 400 and not said):
            text = f"GitHub was asked for {what} and answered {status}, and no JSON"
            return GitHubError(SILENT, text, help_="a proxy or firewall may have answered")
        told = " ".join(redacted(said).split())[:_LONGEST]
        code = LIMITED if _is_limit(answer, said) else REFUSED
        more = "; ".join(_errors(read))
        text = f"GitHub was asked for {what} and answered {status} {told}"
        help_ = self._help(answer, said, code)
        return GitHubError(code, text, status=status, help_=help_, details=redacted(more))

    def _help(self, answer: requests.Response, said: str, code: str) -> str:
        """Return what would help, for the refusals that people meet."""
        status = answer.status_code
        if code == LIMITED:
            return f"it wants {self._pause(answer):.0f} s of quiet"
        if status in (301, 302, 307, 308):
            return "it was renamed or moved: give its new address"
        if status == 401:
            if "claim" in said.lower():
                return self._skew(answer.headers.get("Date", ""))
            return "the key is not, or not any more, one of this App"
        return {404: "is the App installed there?"}.get(status, "")

    def _skew(self, date: str) -> str:
        """Say how far this clock is from GitHub's: its tokens name times."""
        lag = lag_s(date, self._clock.now())
        if lag is None:
            return f"compare this machine's clock with {date or 'the time'}"
        return f"set this machine's clock: it is {lag_told(lag)}"


def _items(answer: Answer, fields: Collection[str]) -> list[Mapping[str, Any]]:
    """Return what a page lists, if each item is what GitHub says."""
    found: list[Any] = answer.data if isinstance(answer.data, list) else [None]
    for item in found:
        if not isinstance(item, Mapping) or any(item.get(name) is None for name in fields):
            raise answer.strange()
    return found


def _read(answer: requests.Response) -> Any:
    """Return the JSON of an answer; None if it is none. GitHub always says an object or a list."""
    if answer.status_code in (202, 204, 304) and not answer.content:
        return {}
    try:
        read = answer.json()
    except ValueError:
        return None
    return read if isinstance(read, dict | list) else None


def _is_limit(answer: requests.Response, said: str) -> bool:
    """Tell a limit from other refusals: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api."""
    if answer.status_code not in (403, 429):
        return False
    headers = answer.headers
    return (
        answer.status_code == 429
        or "Retry-After" in headers
        or headers.get("X-RateLimit-Remaining") == "0"
        or "rate limit" in said.lower()
    )


def _silence(
    failure: requests.RequestException, what: str, *, safe: bool
) -> tuple[GitHubError, float]:
    """Return the error, and how long to wait before it is asked again; 0 where it is not.

    What changes something is asked again only if nobody has read it.
    """
    text = f"GitHub could not be asked for {what}: {redacted(web.reason(failure))}"
    cause = getattr(failure.args[0] if failure.args else None, "reason", None)
    unread = type(cause).__name__ in {"NewConnectionError", "NameResolutionError"}
    never_came = unread or isinstance(failure, requests.ConnectTimeout)
    again = never_came or (safe and web.may_heal(failure))
    return GitHubError(SILENT, text), _BROKEN_S if again else 0.0


def _errors(read: Any) -> Iterator[str]:
    rows = read.get("errors") if isinstance(read, Mapping) else ()
    for row in rows if isinstance(rows, list) else ():
        text = row.get("message") or row.get("code") if isinstance(row, Mapping) else row
        yield str(text)
