"""What the verbs of `cto github` work with: the Apps and webhooks of what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from cto.catalog import Component
from cto.cli.output import Terminal
from cto.cli.verbs.opening import installed_state, opened_existing, web_session
from cto.cli.wiring import Wiring
from cto.config.agents import WebhookOwner
from cto.config.load import remembered_under
from cto.config.model import Config
from cto.engine.agents import InstalledRunner, runner_of, settings_of
from cto.engine.agentsettings import Settings
from cto.engine.installer import Installer
from cto.engine.look import PodsOwner, receiver_of, sources_of
from cto.engine.state import StateStore
from cto.engine.tasks import APP_KEYS
from cto.errors import ConfigError, DegradedError
from cto.github.address import is_cut_off, public_url
from cto.github.apps import Apps, Memory
from cto.github.client import Client, api_of
from cto.github.found import App, AppKey, Status
from cto.github.hooks import AppHooks, Receiver
from cto.github.manifest import Rules, WantedApp, app_name, rules
from cto.plan.observed import ReleaseState, State
from cto.ports import Cluster
from cto.render import k8s_name

# What the environment may say of what is installed: where GitHub is, and where webhooks come in.
_SECTIONS = ("github", "tunneling")


@dataclass(frozen=True)
class Desk:
    """What the verbs work with."""

    config: Config
    apps: Apps
    client: Client
    wishes: Sequence[WantedApp]
    rules: Rules
    cluster: Cluster
    memory: Memory
    hooks: AppHooks
    sources: Sequence[PodsOwner]
    webhooks: Memory

    @property
    def own_hooks(self) -> bool:
        """Whether each App has a webhook of its own, whose address is known."""
        return self.config.github.webhooks is WebhookOwner.APPS and bool(self.hooks.receiver.url())

    def pointed(self, wish: WantedApp, found: App) -> App:
        """Let an App's webhook come here, if it is to have one and can."""
        key = self.key(wish, found)
        if not self.own_hooks or key is None:
            return found
        return found.with_hook(self.hooks.point(wish, key))

    def key(self, wish: WantedApp, found: App) -> AppKey | None:
        """Return the key of an App that works."""
        works = found.status in (Status.MADE, Status.REQUESTED, Status.INSTALLED)
        return self.apps.secrets.key(wish) if works else None

    @property
    def place(self) -> str:
        return place_of(self.config)

    @property
    def former(self) -> Sequence[WantedApp]:
        """Return the Apps of agents that are switched off by now, as far as they are known."""
        there = {wish.agent for wish in self.wishes}
        platform = self.config.platform.name
        return [
            WantedApp(
                agent=name,
                name=app_name(platform, name, self.config.github.organization or ""),
                secret=self._kept_in(name, known),
                permissions={},
                hears={},
                events=(),
            )
            for name, known in sorted(self.memory.recall().items())
            if name not in there
        ]

    def _kept_in(self, agent: str, known: Mapping[str, Any]) -> str:
        """Return the name of the Secret with an App's key, for an agent that is switched off."""
        # An older installer did not remember it.
        found = known.get("kept_in") or self.apps.secrets.holder(known.get("id"))
        return str(found or f"{APP_KEYS}{k8s_name(f'{self.config.platform.name}-agent-{agent}')}")

    def slugs(self) -> Mapping[str, object]:
        """Return what the Apps are called."""
        return {agent: known.get("slug") for agent, known in self.memory.recall().items()}


def place_of(config: Config) -> str:
    """Return where Apps are installed: a repository, or an owner's login for all of theirs."""
    owner, name = config.github.organization or "", config.github.repository
    return f"{owner}/{name}" if name else owner


@contextmanager
def opened_desk(wiring: Wiring, terminal: Terminal, *, writes: bool = False) -> Iterator[Desk]:
    """Open the cluster, and what works on the Apps of what is installed on it.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        ConfigError: CTO-1370, the configuration lacks what is needed.
        LockedError: Another installer is at work.
    """
    given = wiring.configure().config if wiring.options.files else None
    with (
        opened_existing(wiring, terminal) as installer,
        desk_of(wiring, installer, given, writes=writes) as desk,
    ):
        yield desk


@contextmanager
def desk_of(
    wiring: Wiring,
    installer: Installer,
    given: Config | None,
    *,
    writes: bool = False,
    patience_s: float = 120.0,
) -> Iterator[Desk]:
    """Open the same of an installer that is open; `given` is None for what was installed.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        ConfigError: CTO-1370, the configuration lacks what is needed.
        LockedError: Another installer is at work.
    """
    with ExitStack() as stack:
        installed_state(installer)
        cluster = stack.enter_context(installer.alone()) if writes else installer.cluster
        # Only now nobody else writes.
        state = installed_state(installer)
        runner = _runner(installer, state)
        config = _config(given or remembered_under(state.config, wiring.settings.env, _SECTIONS))
        told = rules(wiring.settings.root / "templates")
        client = stack.enter_context(_client(wiring, config, patience_s))
        memory, made = _memories(installer.store, writes=writes)
        apps = Apps(
            cluster,
            client,
            wiring.clock,
            memory,
            site=config.github.url,
            namespace=runner.namespace,
            place=place_of(config),
            learned=wiring.secrets.add,
        )
        there = receiver_of(installer.known.components, state)
        hooks = AppHooks(client, memory, _receiver(wiring, cluster, config, there), apps.settings)
        wishes = _wishes(installer.cluster, runner, config, told)
        sources = sources_of(there)
        yield Desk(config, apps, client, wishes, told, cluster, memory, hooks, sources, made)


def _memories(store: StateStore, *, writes: bool) -> tuple[Memory, Memory]:
    """Return what is remembered of Apps, and of the webhooks that were made besides."""
    return (
        Memory(store.apps, store.remember_app if writes else _forget),
        Memory(store.webhooks, store.remember_webhook if writes else _forget),
    )


def _receiver(
    wiring: Wiring,
    cluster: Cluster,
    config: Config,
    found: tuple[ReleaseState, Component] | None,
) -> Receiver:
    """Return where webhooks are to go."""
    return Receiver(
        cluster,
        base=public_url(config) or "",
        namespace=found[0].namespace if found else "",
        learned=wiring.secrets.add,
    )


def _runner(installer: Installer, state: State) -> InstalledRunner:
    runner = runner_of(installer.known.components, state)
    if runner is None:
        raise DegradedError("CTO-1901", "the Multi-Agent Controller is not installed")
    return runner


@contextmanager
def _client(wiring: Wiring, config: Config, patience_s: float) -> Iterator[Client]:
    with closing(web_session(wiring)) as session:
        api = api_of(config.github.url)
        yield Client(api, session, wiring.clock, patience_s=patience_s, notice=wiring.notice)


def _forget(name: str, known: Mapping[str, object] | None) -> None:
    """Remember nothing: who only looks does not write."""
    del name, known


def _config(config: Config | None) -> Config:
    """Return a configuration that says where the Apps are to be.

    Raises:
        ConfigError: CTO-1370, it does not.
    """
    if config is None or config.github.organization is None:
        raise ConfigError("CTO-1370", "github.organization is not set: whose are the Apps to be?")
    if is_cut_off(config):
        text = "air_gapped: github.com is not to be reached"
        hint = "Name a GitHub Enterprise Server: github.url."
        raise ConfigError("CTO-1370", text, hint=hint)
    return config


def _wishes(
    cluster: Cluster, runner: InstalledRunner, config: Config, told: Rules
) -> Sequence[WantedApp]:
    """Return the Apps of the agents that the controller knows."""
    agents = (settings_of(cluster, runner) or Settings()).agents
    owner = config.github.organization or ""
    wishes = []
    for name, agent in sorted(agents.items()):
        may = told.permissions(name, agent.permissions)
        hears = told.hearing(may) if config.github.webhooks is WebhookOwner.APPS else may
        wishes.append(
            WantedApp(
                agent=name,
                name=app_name(config.platform.name, name, owner),
                secret=f"{APP_KEYS}{(agent.github_app or name).lower()}",
                permissions=may,
                hears=hears,
                events=told.listened(hears),
                duty=told.duties.get(name, ""),
            )
        )
    return wishes
