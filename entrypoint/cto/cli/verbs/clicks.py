"""People's clicks: the page, the codes that come of it, and the installations that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from threading import Event as Flag

import click

from cto.cli.output import Terminal
from cto.cli.verbs.appsdesk import Desk
from cto.cli.wiring import Wiring
from cto.errors import UsageError
from cto.github.answers import GitHubError
from cto.github.found import App, Status
from cto.github.manifest import WantedApp
from cto.github.page import Page, Row

_LOOK_S, _POLL_S = 0.2, 5.0


@dataclass(frozen=True, kw_only=True)
class Clicks:
    """How people's clicks come here.

    Attributes:
        again: Agents that are to get another App.
        port: Of the page; 0 is any.
        page: File for the page, instead of serving it.
        wait_s: How long to wait for the next one.
    """

    again: Sequence[str] = ()
    port: int = 0
    page: Path | None = None
    wait_s: float = 0


def clicked(
    wiring: Wiring, terminal: Terminal, desk: Desk, missing: Sequence[WantedApp], clicks: Clicks
) -> dict[str, App]:
    """Wait for people's clicks; return what became of the Apps."""
    with _page(wiring, desk, clicks) as page:
        for wish in desk.wishes:
            page.rows[wish.agent] = _row(desk, wish, page.back_to(wish.agent))
        flow = _Flow(wiring, desk, page, clicks)
        flow.look(wish for wish in desk.wishes if wish not in missing)
        wanted = {wish.agent: wish for wish in missing}
        if clicks.page:
            flow.write(clicks.page)
            while wanted:
                asked = "Address that the browser ended at (it is not shown)"
                address = click.prompt(
                    asked, hide_input=True, err=True, default="", show_default=False
                )
                if not address:
                    break
                if not page.accept(address):
                    terminal.remark("That is not an address that GitHub led to from this page.")
                flow.take(wanted)
        else:
            wiring.notice(f"Open {page.url}")
            flow.await_clicks(wanted)
        flow.await_installations()
        return flow.found


def _page(wiring: Wiring, desk: Desk, clicks: Clicks) -> Page:
    """Return the page, where browsers can find it.

    Raises:
        UsageError: CTO-1200, none could, or somebody else listens there.
    """
    contained = wiring.host.in_container and clicks.page is None
    if contained and not clicks.port:
        text = "in a container, no browser finds a page at a port that nobody knows"
        hint = "Publish one and name it (`docker run -p 127.0.0.1:8765:8765 ... --port 8765`), or "
        raise UsageError("CTO-1200", text, hint=f"{hint}write the page to a file: --page FILE.")
    file = wiring.settings.root / "templates" / "github" / "setup.html"
    try:
        return Page(file, _action(desk), everywhere=contained, port=clicks.port)
    except OSError as error:
        text = f"--port {clicks.port} cannot be listened on: {error.strerror}"
        raise UsageError("CTO-1200", text) from None


class _Flow:
    """The clicks of one run."""

    def __init__(self, wiring: Wiring, desk: Desk, page: Page, clicks: Clicks) -> None:
        self._wiring = wiring
        self._desk = desk
        self._page = page
        self._clicks = clicks
        self._told: set[str] = set()
        self.found: dict[str, App] = {}

    def write(self, file: Path) -> None:
        """Write the page for a browser elsewhere: there is nothing secret in it."""
        try:
            file.write_text(self._page.html(elsewhere=True), encoding="utf-8")
        except OSError as error:
            text = f"--page {file} cannot be written: {error.strerror}"
            raise UsageError("CTO-1200", text) from None
        self._wiring.notice(f"Open {file} in a browser, wherever it is.")

    def await_clicks(self, wanted: dict[str, WantedApp]) -> None:
        clock = self._wiring.clock
        until = clock.monotonic() + self._clicks.wait_s
        while wanted and clock.monotonic() < until:
            if self.take(wanted):
                until = clock.monotonic() + self._clicks.wait_s
            else:
                clock.wait(Flag(), _LOOK_S)

    def take(self, wanted: dict[str, WantedApp]) -> bool:
        """Exchange the next code, if one has come."""
        try:
            agent, code = self._page.came.get_nowait()
        except Empty:
            return False
        wish = wanted.pop(agent, None)
        if wish is None:
            return False
        try:
            made = self._desk.apps.take(wish, code)
        except GitHubError as error:
            self._page.tell(agent, "failed", f"{error.text}")
            self._wiring.notice(f"{agent}: {error.text}")
            self.found[agent] = self._desk.apps.look(wish)
            return True
        self._wiring.notice(f"{agent}: App {made.known['name']} is made, its key is in the cluster")
        self._point(wish, made)
        self.look([wish])
        return True

    def _point(self, wish: WantedApp, made: App) -> None:
        """Let its webhook come here at once. What fails is done again at the end."""
        try:
            self._desk.pointed(wish, made)
        except GitHubError as error:
            self._wiring.notice(f"{wish.agent}: {error.text}")

    def look(self, wishes: Iterable[WantedApp]) -> None:
        for wish in wishes:
            one = self._desk.apps.look(wish)
            self.found[wish.agent] = one
            if one.status in (Status.MADE, Status.REQUESTED):
                text = "made; it is not installed yet"
                if one.status is Status.REQUESTED:
                    text = "made; an owner has to approve its installation"
                self._page.tell(wish.agent, "install", text, one.install_url)
            elif one.status is Status.INSTALLED:
                self._page.tell(wish.agent, "done", "made and installed")
            else:
                self._page.tell(wish.agent, "failed", one.problem)

    def await_installations(self) -> None:
        """Look until all are installed, as long as somebody may be at it."""
        clock = self._wiring.clock
        until = clock.monotonic() + self._clicks.wait_s
        while True:
            left = [
                wish
                for wish in self._desk.wishes
                if wish.agent in self.found
                and self.found[wish.agent].status in (Status.MADE, Status.REQUESTED)
            ]
            for wish in left:
                if wish.agent not in self._told:
                    self._told.add(wish.agent)
                    self._wiring.notice(f"{wish.agent}: {self.found[wish.agent].fix}")
            if not left or clock.monotonic() >= until:
                return
            clock.wait(Flag(), _POLL_S)
            self.look(left)


def _row(desk: Desk, wish: WantedApp, back: str) -> Row:
    homepage = f"{desk.config.github.url.rstrip('/')}/{desk.place}"
    hook = desk.hooks.receiver.url(wish.agent) if desk.own_hooks else ""
    return Row(
        agent=wish.agent,
        name=wish.name,
        duty=wish.duty,
        may=list(desk.rules.told(wish.hears)),
        manifest=wish.manifest(homepage=homepage, redirect_url=back, hook_url=hook),
    )


def _action(desk: Desk) -> str:
    """Return GitHub's page for new Apps of the owner: organizations have another one than users."""
    site, owner = desk.config.github.url.rstrip("/"), desk.config.github.organization
    try:
        kind = desk.client.ask("GET", f"/users/{owner}", f"owner {owner}").of("type", str)
    except GitHubError:
        # Some servers tell nobody who is not logged in.
        kind = "Organization"
    return (
        f"{site}/settings/apps/new"
        if kind == "User"
        else f"{site}/organizations/{owner}/settings/apps/new"
    )
