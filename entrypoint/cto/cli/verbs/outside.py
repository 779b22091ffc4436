"""What the health checks ask of the outside: GitHub, and the platform's public address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial

from cto.cli.verbs.opening import web_session
from cto.cli.wiring import Wiring
from cto.config.load import remembered
from cto.engine.installer import Installer
from cto.engine.look import receiver_of, starter_of
from cto.errors import ConfigError
from cto.plan.observed import State
from cto.result import Check, CheckStatus, Topic

_KEPT_S = 60.0
_Look = Callable[[Topic, str], Check]


@dataclass
class Outside:
    """Asks while a verb goes on. What was seen, and is no failure, is believed for a while."""

    wiring: Wiring
    stack: ExitStack
    _seen: dict[str, tuple[float, Check]] = field(default_factory=dict)

    def github(self, installer: Installer, state: State | None) -> _Look | None:
        """Return what asks GitHub; None where there is nothing to ask for."""
        known = state.apps.values() if state and not state.simulated else ()
        if not any("id" in one for one in known):
            return None

        def look(topic: Topic, message: str) -> Check:
            from cto.cli.verbs.appsdesk import desk_of  # noqa: PLC0415 - slow to import
            from cto.cli.verbs.ownerhook import doubled  # noqa: PLC0415 - as above
            from cto.github.checking import AppsCheck  # noqa: PLC0415 - as above

            wiring = self.wiring
            clocks = {"this machine": wiring.clock.now, "the cluster": installer.cluster.now}
            try:
                with desk_of(wiring, installer, None, patience_s=0) as desk:
                    others = [one.text for one in doubled(desk, asks=False)]
                    asked = (desk.apps, desk.client, desk.wishes, wiring.clock)
                    return AppsCheck(*asked, clocks, others)(topic, message)
            except ConfigError as error:
                return topic.passed(f"{message}; GitHub was not asked: {error.message}")

        return partial(self._kept, look)

    def delivery(self, installer: Installer, state: State | None) -> _Look | None:
        """Return what sends events; None where nobody would receive them."""
        config = remembered(state.config) if state and not state.simulated else None
        found = receiver_of(installer.known.components, state)
        if not (config and config.github.organization and found and found[1].access):
            return None
        release, access = found[0], found[1].access
        from cto.engine.delivery import Delivery  # noqa: PLC0415 - as above

        port = (release.namespace, access.service, access.port)

        def inside(
            path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
        ) -> tuple[int, str]:
            post = installer.cluster.post
            return post(*port, path, headers=headers, body=body, timeout_s=timeout_s)

        look = Delivery(
            installer.cluster,
            self.wiring.clock,
            config,
            release.namespace,
            starter=starter_of(*found),
            outside=self._posted,
            inside=inside,
        )
        return partial(self._kept, look)

    def _kept(self, look: _Look, topic: Topic, message: str) -> Check:
        """Look, or return what was seen not long ago: somebody may look every other second."""
        now = self.wiring.clock.monotonic()
        at, check = self._seen.get(topic.name, (now - _KEPT_S, None))
        if check is None or now - at >= _KEPT_S:
            check = look(topic, message)
            if check.status is not CheckStatus.FAILED:
                self._seen[topic.name] = (now, check)
        return check

    @cached_property
    def _posted(self) -> Callable[[str, Mapping[str, str], bytes, float], tuple[int, str]]:
        from cto.network import web  # noqa: PLC0415 - as above

        return partial(web.posted, self.stack.enter_context(closing(web_session(self.wiring))))


@contextmanager
def outside(wiring: Wiring) -> Iterator[Outside]:
    """Open what asks the outside; nothing is asked before a check wants it."""
    with ExitStack() as stack:
        yield Outside(wiring, stack)
