"""Docker as locks know it: `cto.holder.Containers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class FakeContainers:
    """A daemon that runs some containers.

    Attributes:
        living: Those that run.
        asked: About which it was asked, in order.
        meanwhile: Called before it answers.
    """

    own: str = ""
    daemon: str = "daemon-1"
    living: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def may_live(self, container: str) -> bool:
        self.asked.append(container)
        self.meanwhile()
        return container in self.living
