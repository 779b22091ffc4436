"""Gives webhooks other secrets, and takes other keys of Apps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cto.cli.output import Terminal
from cto.cli.verbs.appsdesk import Desk, opened_desk
from cto.cli.verbs.github import key_in, key_of
from cto.cli.verbs.ownerhook import required_hook
from cto.cli.wiring import Wiring
from cto.config.agents import WebhookOwner
from cto.engine.rotation import Rotation, Turn
from cto.errors import ConfigError, DegradedError, Exit, UsageError, if_interrupted
from cto.github.address import is_forwarded
from cto.github.answers import GitHubError
from cto.github.deliveries import since
from cto.github.found import App, Hook
from cto.github.hooks import APP_SECRETS, COMMON_SECRET
from cto.github.manifest import WantedApp
from cto.objects import ObjectRef
from cto.result import Result

_KEYS = (
    "Keys of Apps no API makes: generate one on the App's page, then give it: "
    "`cto github rotate AGENT --key FILE`."
)
_GO_ON = "not done: some of it; the same command goes on from there"


def run(wiring: Wiring, terminal: Terminal, agents: Sequence[str]) -> Result:
    """Give the webhooks of agents' Apps, or the one of all, another secret.

    Raises:
        UsageError: CTO-1200, there is no such agent.
        DegradedError: CTO-1901, there is nothing that could have one.
        GitHubError: GitHub did not take it.
    """
    with opened_desk(wiring, terminal, writes=True) as desk, if_interrupted(_GO_ON):
        if desk.config.github.webhooks is WebhookOwner.APPS:
            rows = _of_apps(wiring, desk, _chosen(desk, agents))
        else:
            rows = _of_owner(wiring, desk, agents)
    lines = [f"{row['of']}: a new secret; {_again(row['redelivered'])}" for row in rows]
    return Result(
        command="github rotate",
        data={"webhooks": rows},
        text="\n".join([*lines, _KEYS]),
        simulated=terminal.simulated,
    )


def take_key(wiring: Wiring, terminal: Terminal, agents: Sequence[str], file: Path) -> Result:
    """Take another private key of an agent's App.

    Raises:
        UsageError: CTO-1200, not one agent is named.
        ConfigError: CTO-1370, the file holds no key of this App.
    """
    if len(agents) != 1:
        raise UsageError("CTO-1200", "--key goes with one AGENT: a key is one App's")
    pem = key_in(f"--key {file}", file)
    with opened_desk(wiring, terminal, writes=True) as desk:
        (wish,) = _chosen(desk, agents)
        with key_of(f"--key {file}", f"--key {file}"):
            found = desk.apps.rekey(wish, pem)
        told = f"{wish.agent}: the new key is in the cluster."
        with if_interrupted(f"done: {told} {_GO_ON}"):
            found = _with_webhook(desk, wish, found)
        where = desk.apps.settings(found.known)
    lines = [f"{told} Delete the old one: {where}"]
    if found.problem:
        lines.append(f"{wish.agent}: {'. '.join(filter(None, (found.problem, found.fix)))}")
    return Result(
        command="github rotate",
        data={"app": found.to_json()},
        text="\n".join(lines),
        exit_code=Exit.DEGRADED if found.problem else Exit.OK,
        simulated=terminal.simulated,
    )


def _with_webhook(desk: Desk, wish: WantedApp, found: App) -> App:
    """Return an App with its webhook, which is told with the new key."""
    try:
        return desk.pointed(wish, found)
    except GitHubError as error:
        hook = Hook(problem=f"its webhook: {error.message}", fix="`cto github setup` goes on.")
        return found.with_hook(hook)


def _chosen(desk: Desk, agents: Sequence[str]) -> Sequence[WantedApp]:
    """Return the Apps of the agents that are named; without any, of all."""
    known = {wish.agent: wish for wish in desk.wishes}
    for name in agents:
        if name not in known:
            text = f"{name}: there is no such agent (there is: {', '.join(known) or 'none'})"
            raise UsageError("CTO-1200", text)
    return [known[name] for name in dict.fromkeys(agents)] or list(desk.wishes)


def _of_apps(wiring: Wiring, desk: Desk, wishes: Sequence[WantedApp]) -> list[dict[str, Any]]:
    with_hooks = list(_with_hooks(desk, wishes))
    rotation, turn = _turned(wiring, desk, APP_SECRETS, [wish.agent for wish in with_hooks])
    rows = []
    # Also of those that an earlier run did not get to.
    for wish in (one for one in desk.wishes if one.agent in turn.keys):
        # It may have gone since: that must not hold up the others for ever.
        if (key := desk.key(wish, desk.apps.look(wish))) is None:
            wiring.notice(f"{wish.agent}: its App does not work, so GitHub has no new secret of it")
            continue
        desk.hooks.point(wish, key)
        failed = since(turn.since)
        # Where nothing answers at the address, what failed is fetched.
        listed = () if is_forwarded(desk.config) else desk.apps.chosen(wish, failed=failed)
        again = [int(one["id"]) for one in listed]
        for number in again:
            desk.apps.send_again(wish, number)
        rows.append({"of": wish.agent, "redelivered": again})
    rotation.finish()
    return rows


def _with_hooks(desk: Desk, wishes: Sequence[WantedApp]) -> Iterator[WantedApp]:
    """Yield those whose webhook comes here: others would be told nothing new.

    Raises:
        DegradedError: CTO-1901, none does.
    """
    if not desk.own_hooks:
        raise DegradedError("CTO-1901", "no public address is known: the Apps have no webhooks")
    found = 0
    for wish in wishes:
        app = desk.apps.look(wish)
        if (key := desk.key(wish, app)) and desk.hooks.look(wish, key).url:
            found += 1
            yield wish
    if not found:
        hint = "`cto github setup` makes them."
        raise DegradedError("CTO-1901", "no App has a webhook", hint=hint)


def _of_owner(wiring: Wiring, desk: Desk, agents: Sequence[str]) -> list[dict[str, Any]]:
    if agents:
        text = f"{agents[0]}: github.webhooks is {desk.config.github.webhooks.value}: one for all"
        raise UsageError("CTO-1200", text, hint="Leave the agents away.")
    if desk.config.github.webhook_secret is not None:
        text = "github.webhook_secret is given by the configuration"
        hint = "Give another one there, `cto install`, then `cto github setup`."
        raise ConfigError("CTO-1370", text, hint=hint)
    if not desk.hooks.receiver.url():
        raise DegradedError("CTO-1901", "no public address is known: there is no webhook")
    hook = required_hook(desk)
    rotation, turn = _turned(wiring, desk, COMMON_SECRET[0], [COMMON_SECRET[1]])
    hook.point(desk.rules.wanted)
    again = hook.chosen(failed=since(turn.since))
    for of, one in again:
        hook.send_again(of, int(one["id"]))
    rotation.finish()
    return [{"of": hook.place, "redelivered": [int(one["id"]) for _, one in again]}]


def _turned(wiring: Wiring, desk: Desk, secret: str, keys: Sequence[str]) -> tuple[Rotation, Turn]:
    """Give keys of a Secret new values, and let the receiver have them.

    It is asked before GitHub: it takes longer to start anew than to tell GitHub.
    """
    ref = ObjectRef("v1", "Secret", desk.hooks.receiver.namespace, secret)
    rotation = Rotation(desk.cluster, wiring.clock, ref, desk.sources, wiring.secrets.add)
    turn = rotation.begin(keys)
    wiring.notice("The receiver of webhooks starts anew, with the new secrets")
    rotation.restart(turn)
    return rotation, turn


def _again(deliveries: Sequence[int]) -> str:
    return f"{len(deliveries)} that failed meanwhile sent again" if deliveries else "nothing failed"
