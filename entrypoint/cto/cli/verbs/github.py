"""Sets up the agents' GitHub Apps, shows them, takes them away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cto.cli.describe import table
from cto.cli.output import Terminal
from cto.cli.verbs import ownerhook
from cto.cli.verbs.appsdesk import Desk, opened_desk
from cto.cli.verbs.clicks import Clicks, clicked
from cto.cli.verbs.opening import raise_first
from cto.cli.verbs.ownerhook import OtherHook, required_hook
from cto.cli.wiring import Wiring
from cto.config.agents import GitHubApp, SetupMode, WebhookOwner
from cto.config.model import Config
from cto.engine.planning import secret_values
from cto.errors import ConfigError, Exit, UsageError
from cto.github.address import is_forwarded, is_public, looks_public
from cto.github.answers import GitHubError
from cto.github.found import App, AppKey, Status
from cto.github.manifest import WantedApp
from cto.result import Result

_TO_MAKE = (Status.MISSING, Status.LOST, Status.REFUSED)
_COLUMNS = ("agent", "app", "status", "installed for")
_LOOKS, _LOOK_S = 4, 2.0
_NO_ADDRESS = (
    "No webhooks yet: no public address of the platform is known. Set tunneling, or "
    "platform.domain with platform.ingress_type ingress, then `cto install` and `cto github setup`."
)
_NAMES = (
    "`cto install`, as before, lets the platform know what the Apps are called: pull requests and "
    "reviews of agents start others by that."
)


def setup(wiring: Wiring, terminal: Terminal, clicks: Clicks) -> Result:
    """Take or make every agent's App that is missing, and wait until all are installed.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        ConfigError: CTO-1370, the configuration lacks what is needed.
        LockedError: Another installer is at work.
    """
    given = None if wiring.options.non_interactive else clicks
    with opened_desk(wiring, terminal, writes=True) as desk:
        return set_up(wiring, terminal, desk, given, again=clicks.again)


def set_up(
    wiring: Wiring,
    terminal: Terminal,
    desk: Desk,
    clicks: Clicks | None,
    *,
    again: Sequence[str] = (),
) -> Result:
    """Do the same at a desk that is open; without clicks, as far as nobody has to click."""
    _check_address(desk.config)
    before = desk.slugs()
    found = {wish.agent: desk.apps.look(wish) for wish in desk.wishes}
    _check_again(again, found)
    for wish in desk.wishes:
        given = desk.config.github.apps.get(wish.agent)
        if given and _is_to_take(given, found[wish.agent]):
            found[wish.agent] = _adopted(desk, wish, given)
    missing = _to_make(desk, found, again)
    for wish in missing:
        desk.apps.secrets.writable(wish)
    found = {wish.agent: desk.pointed(wish, found[wish.agent]) for wish in desk.wishes}
    open_ = [one for one in found.values() if one.status in (Status.MADE, Status.REQUESTED)]
    if (missing or open_) and clicks:
        found |= clicked(wiring, terminal, desk, missing, clicks)
        found |= {wish.agent: desk.pointed(wish, found[wish.agent]) for wish in desk.wishes}
    found |= _tried(wiring, desk, found)
    more = [*_hooks_told(desk), *([] if desk.slugs() == before else [_NAMES])]
    others = ownerhook.doubled(desk)
    return _result("github setup", desk, found.values(), terminal, more=more, others=others)


def _to_make(desk: Desk, found: dict[str, App], again: Sequence[str]) -> Sequence[WantedApp]:
    """Return the Apps that somebody has to click for."""
    missing = [wish for wish in desk.wishes if found[wish.agent].status is Status.MISSING]
    if desk.config.github.mode is SetupMode.EXISTING:
        for wish in missing:
            fix = f"github.mode is existing: give its App, github.apps.{wish.agent}"
            found[wish.agent] = replace(found[wish.agent], fix=fix)
        missing = []
    return [wish for wish in desk.wishes if wish in missing or wish.agent in again]


def status(wiring: Wiring, terminal: Terminal) -> Result:
    """Return how all Apps are."""
    with opened_desk(wiring, terminal) as desk:
        found = [_looked_at(desk, wish) for wish in desk.wishes]
        others, flaw = ownerhook.doubled(desk), ownerhook.flaw(desk)
    result = _result(
        "github status", desk, found, terminal, more=[flaw] if flaw else [], others=others
    )
    return replace(result, exit_code=Exit.DEGRADED) if flaw else result


def redeliver(wiring: Wiring, terminal: Terminal, only: Sequence[int]) -> Result:
    """Have webhooks sent again.

    Raises:
        UsageError: CTO-1200, GitHub has sent nothing with such a number.
    """
    rows = []
    with opened_desk(wiring, terminal) as desk:
        chosen = list(_chosen(desk, only))
        # Before anything is sent: a number that is mistyped changes nothing.
        if unknown := sorted(set(only) - {row["id"] for row, _ in chosen}):
            numbers = ", ".join(map(str, unknown))
            text = f"{numbers}: no webhook of the platform has such a delivery, or GitHub forgot it"
            raise UsageError("CTO-1200", text, hint="Leave it out. Nothing was sent.")
        for row, send in chosen:
            send()
            rows.append(row)
    lines = [f"{row['of']}: {row['event']} {row['id']} is sent again" for row in rows]
    return Result(
        command="github redeliver",
        data={"deliveries": rows},
        text="\n".join(lines) or "Nothing failed.",
        simulated=terminal.simulated,
    )


def _chosen(desk: Desk, only: Sequence[int]) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """Yield what is to be sent again, and what sends it."""
    if desk.config.github.webhooks is WebhookOwner.APPS:
        for wish in desk.wishes:
            for one in desk.apps.chosen(wish, only):
                row = {"of": wish.agent, "agent": wish.agent, **_shown(one)}
                yield row, partial(desk.apps.send_again, wish, int(one["id"]))
        return
    hook = required_hook(desk)
    for of, one in hook.chosen(only):
        row = {"of": hook.place, "agent": "", **_shown(one)}
        yield row, partial(hook.send_again, of, int(one["id"]))


def _shown(delivery: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": delivery["id"], "event": delivery["event"]}


def remove(wiring: Wiring, terminal: Terminal) -> Result:
    """Take all away that can be.

    Raises:
        UsageError: CTO-1204, nobody is there to confirm it.
        GitHubError: An App could not be taken out; the others were.
    """
    if not wiring.options.yes:
        if wiring.options.non_interactive or not terminal.can_ask:
            raise UsageError("CTO-1204", "github remove needs a confirmation")
        terminal.confirm("Take the agents' Apps out of their repositories, and delete their keys?")
    with opened_desk(wiring, terminal, writes=True) as desk:
        gone, failed = _taken_out(desk)
        left = ownerhook.removed(desk)
    lines = [f"{one.known.get('name') or one.agent}: {one.fix}" for one in gone if one.fix]
    raise_first(failed, [*lines, *left])
    return Result(
        command="github remove",
        data={"apps": [one.to_json() for one in gone]},
        text="\n".join(["The agents act at GitHub no more.", *lines, *left]),
        simulated=terminal.simulated,
    )


def _taken_out(desk: Desk) -> tuple[list[App], dict[str, GitHubError]]:
    """Return the Apps that are out of use, and why others are not: each is tried."""
    gone: list[App] = []
    failed: dict[str, GitHubError] = {}
    for wish in (*desk.wishes, *desk.former):
        try:
            gone.append(desk.apps.remove(wish))
        except GitHubError as error:
            failed[f"the App of {wish.agent}"] = error
    return gone, failed


def _looked_at(desk: Desk, wish: WantedApp) -> App:
    found = desk.apps.look(wish)
    if desk.config.github.webhooks is WebhookOwner.APPS and (key := desk.key(wish, found)):
        found = found.with_hook(desk.hooks.look(wish, key))
    told = desk.apps.told(wish, found)
    # Where nothing answers, GitHub shows all as failed; it is fetched.
    return replace(found, delivery=told.delivery) if is_forwarded(desk.config) else told


def _tried(wiring: Wiring, desk: Desk, found: Mapping[str, App]) -> Mapping[str, App]:
    """Have GitHub send pings again that were refused, and see them arrive."""
    tried: dict[str, App] = {}
    for wish in desk.wishes if desk.own_hooks and not is_forwarded(desk.config) else ():
        before = found[wish.agent]
        if before.problem or desk.key(wish, before) is None or not desk.apps.again(wish):
            continue
        for left in reversed(range(_LOOKS)):
            tried[wish.agent] = desk.apps.told(wish, before)
            if not tried[wish.agent].problem or not left:
                break
            wiring.clock.wait(Flag(), _LOOK_S)
    return tried


def _hooks_told(desk: Desk) -> Iterator[str]:
    """Yield a line of where webhooks go, or of what is to be done that they do."""
    receiver, owner = desk.hooks.receiver, desk.config.github.webhooks
    if not receiver.namespace:
        return
    if not receiver.base:
        yield _NO_ADDRESS
    elif owner is WebhookOwner.APPS:
        yield f"Webhooks go to {receiver.url('AGENT')}."
    else:
        yield ownerhook.pointed(desk)


def _check_address(config: Config) -> None:
    """See that GitHub takes the address for webhooks: its page refuses an App for a bad one.

    Raises:
        ConfigError: CTO-1370, it does not.
    """
    url = config.tunneling.url
    # A server of one's own may reach what is private.
    if url and not looks_public(url) and is_public(config):
        text = f"tunneling.url {url}: github.com takes no address that is private"
        hint = "Give one that the internet reaches, or leave it out: the Apps get no webhooks then."
        raise ConfigError("CTO-1370", text, hint=hint)


def _check_again(again: Sequence[str], found: Mapping[str, App]) -> None:
    for name in again:
        if name not in found:
            known = ", ".join(found) or "none"
            text = f"--again {name}: there is no such agent (there is: {known})"
            raise UsageError("CTO-1200", text)
        if found[name].status not in _TO_MAKE:
            text = f"--again {name}: its App {found[name].known['name']} works"
            hint = "Leave --again away. `cto github remove` takes Apps out of use."
            raise UsageError("CTO-1200", text, hint=hint)


def _is_to_take(given: GitHubApp, found: App) -> bool:
    return found.status in _TO_MAKE or given.id not in (None, found.known.get("id"))


def _adopted(desk: Desk, wish: WantedApp, given: GitHubApp) -> App:
    """Take an App of the configuration.

    Raises:
        ConfigError: CTO-1370, its key is none, or GitHub does not take it.
    """
    field = f"github.apps.{wish.agent}"
    if given.private_key_path is not None:
        path = f"{field}.private_key_path {given.private_key_path}"
        pem = key_in(path, Path(given.private_key_path).expanduser())
    else:
        path = f"{field}.private_key"
        pem = secret_values(desk.config, desk.cluster, path).get("", "")
        if not pem:
            text = f"{path} is not known any more: secrets are not remembered"
            raise ConfigError("CTO-1370", text)
    with key_of(field, path):
        key = AppKey(given.client_id or str(given.id), pem)
        return desk.apps.adopt(wish, key, given.installation_id or 0)


def key_in(named: str, file: Path) -> str:
    """Return what is in the file of a key; `named` says who names it.

    Raises:
        ConfigError: CTO-1370, it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        text = f"{named} cannot be read"
        raise ConfigError("CTO-1370", text, details=type(error).__name__) from None


@contextmanager
def key_of(app: str, named: str) -> Iterator[None]:
    """Let who gave the key of an App know that it is none, or none of this App.

    Args:
        app: Says whose it is said to be.
        named: Says where it is.

    Raises:
        ConfigError: CTO-1370, so it is.
    """
    try:
        yield
    except GitHubError as error:
        if error.status not in (401, 404):
            raise
        text = f"{app}: {error.message}"
        raise ConfigError("CTO-1370", text, hint=error.hint, details=error.details) from None
    except ValueError:
        raise ConfigError("CTO-1370", f"{named}: it is no RSA key in PEM") from None


def _result(
    command: str,
    desk: Desk,
    found: Iterable[App],
    terminal: Terminal,
    *,
    more: Sequence[str] = (),
    others: Sequence[OtherHook] = (),
) -> Result:
    rows = list(found)
    lines = [
        (one.agent, str(one.known.get("name", "-")), one.status.value, _installed_for(desk, one))
        for one in rows
    ]
    told = [f"{one.agent}: {'. '.join(filter(None, (one.problem, one.fix)))}" for one in rows]
    told = [line for line, one in zip(told, rows, strict=True) if one.problem or one.fix]
    ready = all(one.status is Status.INSTALLED and not one.problem for one in rows)
    shown = [*table([_COLUMNS, *lines]), *told] if rows else ["No agent is switched on."]
    return Result(
        command=command,
        data={
            "apps": [one.to_json() for one in rows],
            "place": desk.place,
            "doubled": [one.to_json() for one in others],
        },
        text="\n".join([*shown, *more, *(one.text for one in others)]),
        exit_code=Exit.OK if ready and not others else Exit.DEGRADED,
        simulated=terminal.simulated,
    )


def _installed_for(desk: Desk, app: App) -> str:
    return desk.place if app.status is Status.INSTALLED else "-"
