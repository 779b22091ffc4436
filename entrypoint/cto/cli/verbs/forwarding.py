"""Fetches what GitHub could not deliver, from where the command runs."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event as Flag

from cto.cli.output import Terminal
from cto.cli.verbs.appsdesk import Desk, opened_desk
from cto.cli.verbs.opening import raise_first
from cto.cli.wiring import Wiring
from cto.config.agents import WebhookOwner
from cto.config.tunneling import TunnelProvider
from cto.errors import ConfigError
from cto.github.deliveries import ListedDelivery
from cto.github.forward import PAUSE_S, Forwarder, ForwardLoop, sources
from cto.objects import ObjectRef
from cto.result import Result


def forward(wiring: Wiring, terminal: Terminal, *, once: bool) -> Result:
    """Hand over what is new, once or until somebody ends it.

    Raises:
        ConfigError: CTO-1370, the webhooks are not those of Apps, or no App can be forwarded.
        GitHubError: `once`, and GitHub cannot be asked.
        ReceiverError: `once`, and the receiver takes nothing.
    """
    rows: list[ListedDelivery] = []

    def handed(one: ListedDelivery) -> None:
        wiring.notice(f"{one.agent}: {one.event} {one.id} is handed over")
        rows.append(one)

    with opened_desk(wiring, terminal) as desk:
        apps, receiver = _places(desk)
        loop = ForwardLoop(
            _forwarder(wiring, desk),
            lambda: sources(desk.cluster, apps, receiver, wiring.secrets.add),
            handed=handed,
            say=lambda _, text: wiring.notice(text),
        )
        failed = loop.round()
        if not (loop.agents or failed):
            text = "there is no App of an agent to forward for"
            raise ConfigError("CTO-1370", text, hint="`cto github setup` makes them.")
        if once or not loop.agents:
            raise_first({f"the App of {agent}": error for agent, error in failed.items()})
        else:
            wiring.notice(f"forwarding for {', '.join(loop.agents)}; Ctrl+C ends it")
        while not once:
            wiring.clock.wait(Flag(), PAUSE_S)
            loop.round()
    return Result(
        command="github forward",
        data={"deliveries": [one.to_json() for one in rows]},
        text=f"{len(rows)} handed over." if rows else "There was nothing to hand over.",
        simulated=terminal.simulated,
    )


def _forwarder(wiring: Wiring, desk: Desk) -> Forwarder:
    return Forwarder(
        desk.cluster,
        desk.client,
        wiring.clock,
        namespace=desk.config.platform.namespace,
        receiver=desk.hooks.receiver.namespace,
        failed_only=desk.config.tunneling.provider is not TunnelProvider.LOCAL,
        notice=wiring.notice,
        settings=lambda agent: desk.apps.settings(desk.memory.recall().get(agent) or {}),
    )


def _places(desk: Desk) -> tuple[Mapping[str, ObjectRef], str]:
    """Return where the keys of Apps are, and where webhooks come in.

    Raises:
        ConfigError: CTO-1370, nothing can be forwarded here.
    """
    owner, receiver = desk.config.github.webhooks, desk.hooks.receiver.namespace
    if owner is not WebhookOwner.APPS:
        text = f"github.webhooks is {owner.value}: only webhooks of Apps can be forwarded"
        raise ConfigError("CTO-1370", text, hint="Leave it out, or let a tunnel bring them in.")
    if not receiver:
        raise ConfigError("CTO-1370", "nothing is installed that webhooks come in by")
    namespace = desk.config.platform.namespace
    return {
        one.agent: ObjectRef("v1", "Secret", namespace, one.secret) for one in desk.wishes
    }, receiver
