"""Fetches what GitHub could not deliver, from where the command runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Event as Flag

from cto.cli.output import Terminal
from cto.cli.verbs.appsdesk import Desk, opened_desk
from cto.cli.wiring import Wiring
from cto.config.agents import WebhookOwner
from cto.config.tunneling import TunnelProvider
from cto.errors import ApiError, ConfigError, CtoError
from cto.github.forward import PAUSE_S, AppSource, Forwarder, ListedDelivery, sources
from cto.objects import ObjectRef
from cto.result import Result


def forward(wiring: Wiring, terminal: Terminal, *, once: bool) -> Result:
    """Hand over what is new, once or until somebody ends it.

    Raises:
        ConfigError: CTO-1370, the webhooks are not those of Apps, or no App can be forwarded.
        GitHubError: `once`, and GitHub cannot be asked.
        ReceiverError: `once`, and the receiver takes nothing.
    """
    with opened_desk(wiring, terminal) as desk:
        found = _sources(wiring, desk)
        forwarder = Forwarder(
            desk.cluster,
            desk.client,
            wiring.clock,
            namespace=desk.config.platform.namespace,
            receiver=desk.hooks.receiver.namespace,
            failed_only=desk.config.tunneling.provider is not TunnelProvider.LOCAL,
            notice=wiring.notice,
        )
        for source in found:
            if flaw := forwarder.flaw(source):
                raise _unfit(source.agent, flaw, desk)
        if not once:
            wiring.notice(f"forwarding for {', '.join(one.agent for one in found)}; Ctrl+C ends it")
            _for_ever(wiring, desk, forwarder, found)
        rows = [one for source in found for one in _told(wiring, forwarder, source)]
    return Result(
        command="github forward",
        data={"deliveries": [one.to_json() for one in rows]},
        text=f"{len(rows)} handed over." if rows else "There was nothing to hand over.",
        simulated=terminal.simulated,
    )


def _for_ever(wiring: Wiring, desk: Desk, forwarder: Forwarder, found: Sequence[AppSource]) -> None:
    wrong: dict[str, str] = {}
    while True:
        for source in found:
            try:
                for _ in _told(wiring, forwarder, source):
                    pass
                wrong.pop(source.agent, None)
            except CtoError as error:
                # It may come right by itself; it is said once.
                if wrong.get(source.agent) != error.message:
                    wiring.notice(f"{source.agent}: {error.message}")
                wrong[source.agent] = error.message
        wiring.clock.wait(Flag(), PAUSE_S)
        # Somebody may have rotated them. Where the cluster cannot be asked, the old ones are tried.
        with suppress(ApiError):
            found = sources(desk.cluster, *_places(desk), wiring.secrets.add)[0] or found


def _told(wiring: Wiring, forwarder: Forwarder, source: AppSource) -> Iterator[ListedDelivery]:
    for one in forwarder.forward(source):
        wiring.notice(f"{one.agent}: {one.event} {one.id} is handed over")
        yield one


def _sources(wiring: Wiring, desk: Desk) -> Sequence[AppSource]:
    owner = desk.config.github.webhooks
    if owner is not WebhookOwner.APPS:
        text = f"github.webhooks is {owner.value}: only webhooks of Apps can be forwarded"
        raise ConfigError("CTO-1370", text, hint="Leave it out, or let a tunnel bring them in.")
    apps, receiver = _places(desk)
    if not receiver:
        raise ConfigError("CTO-1370", "nothing is installed that webhooks come in by")
    found, lacking = sources(desk.cluster, apps, receiver, wiring.secrets.add)
    for agent, why in lacking.items():
        wiring.notice(f"{agent}: {why}")
    if not found:
        text = "there is no App of an agent to forward for"
        raise ConfigError("CTO-1370", text, hint="`cto github setup` makes them.")
    return found


def _places(desk: Desk) -> tuple[Mapping[str, ObjectRef], str]:
    """Return where the keys of Apps are, and where webhooks come in."""
    namespace = desk.config.platform.namespace
    apps = {one.agent: ObjectRef("v1", "Secret", namespace, one.secret) for one in desk.wishes}
    return apps, desk.hooks.receiver.namespace


def _unfit(agent: str, flaw: str, desk: Desk) -> ConfigError:
    known = desk.memory.recall().get(agent) or {}
    where = desk.apps.settings(known)
    hint = f"Give it a webhook at {where}: Active, and an address, which may lead nowhere."
    return ConfigError("CTO-1370", f"{agent}: {flaw}", hint=hint)
