"""Sets up the agents' GitHub Apps, shows them, takes them away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cto.cli.clicks import Clicks, Desk, clicked, place_of
from cto.cli.describe import table
from cto.cli.output import Terminal
from cto.cli.verbs.opening import installed_state, opened_existing
from cto.cli.wiring import Wiring
from cto.config.agents import GitHubApp
from cto.config.load import remembered
from cto.config.model import Config
from cto.engine.agents import settings_of
from cto.engine.installer import Installer
from cto.engine.planning import secret_values
from cto.engine.tasks import APP_KEYS
from cto.errors import ConfigError, DegradedError, Exit, UsageError
from cto.github.apps import Apps, Memory
from cto.github.client import AppKey, Client, GitHubError, api_of
from cto.github.found import App, Status
from cto.github.manifest import Rules, WantedApp, app_name, rules
from cto.network import trust, web
from cto.plan.observed import State
from cto.result import Result

_CONTROLLER = "controller"
_TO_MAKE = (Status.MISSING, Status.LOST, Status.REFUSED)
_COLUMNS = ("agent", "app", "status", "installed for")
_PUBLIC = "https://github.com"
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
    with _opened(wiring, terminal, writes=True) as desk:
        before = desk.slugs()
        found = {wish.agent: desk.apps.look(wish) for wish in desk.wishes}
        _check_again(clicks.again, found)
        for wish in desk.wishes:
            given = desk.config.github.apps.get(wish.agent)
            if given and _is_to_take(given, found[wish.agent]):
                found[wish.agent] = _adopted(desk, wish, given)
        missing = [
            wish
            for wish in desk.wishes
            if found[wish.agent].status is Status.MISSING or wish.agent in clicks.again
        ]
        for wish in missing:
            desk.apps.writable(wish)
        open_ = [one for one in found.values() if one.status in (Status.MADE, Status.REQUESTED)]
        if (missing or open_) and not wiring.options.non_interactive:
            found |= clicked(wiring, terminal, desk, missing, clicks)
        more = () if desk.slugs() == before else (_NAMES,)
    return _result("github setup", desk, found.values(), terminal, more)


def status(wiring: Wiring, terminal: Terminal) -> Result:
    """Return how all Apps are."""
    with _opened(wiring, terminal) as desk:
        found = [desk.apps.told(wish, desk.apps.look(wish)) for wish in desk.wishes]
    return _result("github status", desk, found, terminal)


def redeliver(wiring: Wiring, terminal: Terminal, only: Sequence[int]) -> Result:
    """Have webhooks sent again.

    Raises:
        UsageError: CTO-1200, GitHub has sent nothing with such a number.
    """
    with _opened(wiring, terminal) as desk:
        rows = [
            {"agent": wish.agent, "id": one["id"], "event": one["event"]}
            for wish in desk.wishes
            for one in desk.apps.redeliver(wish, only)
        ]
    if unknown := sorted(set(only) - {row["id"] for row in rows}):
        text = f"{unknown[0]}: no App of an agent has sent such a delivery, or GitHub forgot it"
        raise UsageError("CTO-1200", text)
    lines = [f"{row['agent']}: {row['event']} {row['id']} is sent again" for row in rows]
    return Result(
        command="github redeliver",
        data={"deliveries": rows},
        text="\n".join(lines) or "Nothing failed.",
        simulated=terminal.simulated,
    )


def remove(wiring: Wiring, terminal: Terminal) -> Result:
    """Take all away that can be.

    Raises:
        UsageError: CTO-1204, nobody is there to confirm it.
    """
    if not wiring.options.yes:
        if wiring.options.non_interactive or not terminal.can_ask:
            raise UsageError("CTO-1204", "github remove needs a confirmation")
        terminal.confirm("Take the agents' Apps out of their repositories, and delete their keys?")
    with _opened(wiring, terminal, writes=True) as desk:
        gone = [desk.apps.remove(wish) for wish in desk.wishes]
    lines = [f"{one.known.get('name') or one.agent}: {one.fix}" for one in gone if one.fix]
    return Result(
        command="github remove",
        data={"apps": [one.to_json() for one in gone]},
        text="\n".join(["The agents act at GitHub no more.", *lines]),
        simulated=terminal.simulated,
    )


@contextmanager
def _opened(wiring: Wiring, terminal: Terminal, *, writes: bool = False) -> Iterator[Desk]:
    given = wiring.configure().config if wiring.options.files else None
    with ExitStack() as stack:
        installer = stack.enter_context(opened_existing(wiring, terminal))
        installed_state(installer)
        cluster = stack.enter_context(installer.alone()) if writes else installer.cluster
        # Only now nobody else writes.
        state = installed_state(installer)
        if _CONTROLLER not in state.releases:
            raise DegradedError("CTO-1901", "the Multi-Agent Controller is not installed")
        config = _config(given, state)
        told = rules(wiring.settings.root / "templates")
        session = web.session(
            wiring.settings.env,
            verified=trust.context(wiring.settings.env, ca_file=wiring.options.ca_file),
            log=lambda text: wiring.debug(wiring.secrets.redacted(text)),
        )
        client = Client(api_of(config.github.url), session, wiring.clock, notice=wiring.notice)
        stack.callback(session.close)
        write = installer.store.remember_app if writes else _forget
        memory = Memory(installer.store.apps, write)
        apps = Apps(
            cluster,
            client,
            wiring.clock,
            memory,
            site=config.github.url,
            namespace=state.releases[_CONTROLLER].namespace,
            place=place_of(config),
            learned=wiring.secrets.add,
        )
        yield Desk(
            config, apps, client, _wishes(installer, state, config, told), told, cluster, memory
        )


def _forget(agent: str, known: Mapping[str, object] | None) -> None:
    """Remember nothing: who only looks does not write."""
    del agent, known


def _config(given: Config | None, state: State) -> Config:
    """Return the configuration that is named, or the one that was installed.

    Raises:
        ConfigError: CTO-1370, it does not say where the Apps are to be.
    """
    config = given or remembered(state.config)
    if config is None or config.github.organization is None:
        raise ConfigError("CTO-1370", "github.organization is not set: whose are the Apps to be?")
    if config.air_gapped and config.github.url.rstrip("/") == _PUBLIC:
        text = "air_gapped: github.com is not to be reached"
        hint = "Name a GitHub Enterprise Server: github.url."
        raise ConfigError("CTO-1370", text, hint=hint)
    return config


def _wishes(installer: Installer, state: State, config: Config, told: Rules) -> Sequence[WantedApp]:
    """Return the Apps of the agents that the controller knows."""
    namespace = state.releases[_CONTROLLER].namespace
    agents = (settings_of(installer.cluster, namespace) or {}).get("agents") or {}
    owner = config.github.organization or ""
    wishes = []
    for name, agent in sorted(agents.items()):
        may = told.permissions(name, agent.get("permissions"))
        wishes.append(
            WantedApp(
                agent=name,
                name=app_name(config.platform.name, name, owner),
                secret=f"{APP_KEYS}{str(agent.get('githubApp') or name).lower()}",
                permissions=may,
                events=told.listened(may),
                duty=told.duties.get(name, ""),
            )
        )
    return wishes


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
        path = f"{field}.private_key_path"
        try:
            pem = Path(given.private_key_path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            text = f"{path} {given.private_key_path!r} cannot be read"
            raise ConfigError("CTO-1370", text, details=type(error).__name__) from None
    else:
        path = f"{field}.private_key"
        pem = secret_values(desk.config, desk.cluster, path).get("", "")
        if not pem:
            text = f"{path} is not known any more: secrets are not remembered"
            raise ConfigError("CTO-1370", text)
    key = AppKey(given.client_id or str(given.id), pem)
    try:
        return desk.apps.adopt(wish, key, given.installation_id or 0)
    except GitHubError as error:
        if error.status not in (401, 404):
            raise
        raise ConfigError(
            "CTO-1370", f"{field}: {error.message}", hint=error.hint, details=error.details
        ) from None
    except ValueError:
        raise ConfigError("CTO-1370", f"{path} is no RSA key in PEM") from None


def _result(
    command: str,
    desk: Desk,
    found: Iterable[App],
    terminal: Terminal,
    more: Sequence[str] = (),
) -> Result:
    rows = list(found)
    lines = [
        (one.agent, str(one.known.get("name", "-")), one.status.value, _installed_for(desk, one))
        for one in rows
    ]
    told = [f"{one.agent}: {'. '.join(filter(None, (one.problem, one.fix)))}" for one in rows]
    told = [line for line, one in zip(told, rows, strict=True) if one.problem or one.fix]
    ready = all(one.status is Status.INSTALLED and not one.problem for one in rows)
    text = (
        "\n".join([*table([_COLUMNS, *lines]), *told, *more])
        if rows
        else "No agent is switched on."
    )
    return Result(
        command=command,
        data={"apps": [one.to_json() for one in rows], "place": desk.place},
        text=text,
        exit_code=Exit.OK if ready else Exit.DEGRADED,
        simulated=terminal.simulated,
    )


def _installed_for(desk: Desk, app: App) -> str:
    return desk.place if app.status is Status.INSTALLED else "-"
