"""The last step of `cto install`: the agents' GitHub Apps, or a line of how they come to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cto.cli.output import Terminal
from cto.cli.wiring import Wiring
from cto.config.agents import SetupMode, WebhookOwner
from cto.config.model import Config
from cto.engine.agents import runner_of
from cto.engine.installer import Installer
from cto.errors import CtoError, if_interrupted
from cto.github.address import is_cut_off, public_url
from cto.plan.observed import State
from cto.plan.steps import Plan

# As `cto github setup` waits.
_WAIT_S = 900
_GO_ON = "`cto github setup` goes on"


@dataclass(frozen=True)
class Told:
    """What came of the step: lines for people, and the document of `cto github setup`."""

    lines: Sequence[str] = ()
    data: dict[str, Any] = field(default_factory=dict)


NOTHING = Told()


def run(
    wiring: Wiring,
    terminal: Terminal,
    plan: Plan,
    state: State | None,
    opened: Callable[[], AbstractContextManager[Installer]],
) -> Told:
    """Do what `cto github setup` does, if somebody can click or nobody has to.

    What fails here does not undo an installation: it is told, with how to go on.

    Args:
        wiring: Of the installation.
        terminal: Tells whether somebody is there.
        plan: That was carried out.
        state: What is installed by now.
        opened: Opens the cluster anew: the lock of the installation is given back.
    """
    config = wiring.loaded.config
    if plan.simulated or state is None or runner_of(plan.components, state) is None:
        return NOTHING
    if why := _why_later(config):
        return Told([f"GitHub: {why}."])
    open_ = _open(config, plan, state)
    if not open_:
        return NOTHING
    options = wiring.options
    asks = terminal.can_ask and not (options.yes or options.non_interactive)
    # A container's port has to be published, which `--port` of `cto github setup` says.
    can_click = asks and not wiring.host.in_container and config.github.mode is SetupMode.CREATE
    if not can_click and not all(name in config.github.apps for name in open_):
        return Told([f"GitHub: {_open_text(open_, state)}; {_GO_ON}."])
    return _set_up(wiring, terminal, opened, can_click=can_click)


def _set_up(
    wiring: Wiring,
    terminal: Terminal,
    opened: Callable[[], AbstractContextManager[Installer]],
    *,
    can_click: bool,
) -> Told:
    from cto.cli.verbs.appsdesk import desk_of  # noqa: PLC0415 - slow to import, and mostly of no use
    from cto.cli.verbs.clicks import Clicks  # noqa: PLC0415 - as above
    from cto.cli.verbs.github import set_up  # noqa: PLC0415 - as above

    try:
        with (
            if_interrupted(f"done: everything is installed; not done: GitHub's Apps: {_GO_ON}"),
            opened() as installer,
            desk_of(wiring, installer, wiring.loaded.config, writes=True) as desk,
        ):
            clicks = Clicks(wait_s=_WAIT_S) if can_click else None
            result = set_up(wiring, terminal, desk, clicks)
    except CtoError as error:
        details = f" ({error.details})" if error.details else ""
        return Told([f"GitHub: {error.message}{details}; {_GO_ON}."])
    return Told(["GitHub:", *result.text.splitlines()], result.data)


def _why_later(config: Config) -> str:
    """Return why nothing is done about GitHub, and what to do then; '' if something is."""
    github = config.github
    if github.organization is None:
        return "whose Apps to make is not known: give github.organization, then `cto github setup`"
    if github.mode is SetupMode.LATER:
        return "left for later: `cto github setup` makes the agents' Apps"
    if is_cut_off(config):
        return "air_gapped: github.com is not asked; github.url names a server of your own"
    return ""


def _open(config: Config, plan: Plan, state: State) -> list[str]:
    """Return the agents whose Apps are not known yet, or have no webhook and could."""
    known = state.apps
    wants_hook = (
        config.github.webhooks is WebhookOwner.APPS
        and public_url(config) is not None
        and any(one.health.webhooks for one in plan.components)
    )
    return [
        name
        for name, agent in sorted(config.agents.items())
        if agent.enabled
        and ("id" not in known.get(name, {}) or (wants_hook and "hook" not in known[name]))
    ]


def _open_text(agents: Sequence[str], state: State) -> str:
    lacking = [name for name in agents if "id" not in state.apps.get(name, {})]
    deaf = [name for name in agents if name not in lacking]
    have, them = ("have", "their GitHub Apps") if len(lacking) > 1 else ("has", "its GitHub App")
    told = [f"{', '.join(lacking)} {have} to get {them}"] if lacking else []
    # As with Apps that were made when there was no public address yet.
    return "; ".join([*told, *([f"no webhook yet: {', '.join(deaf)}"] if deaf else [])])
