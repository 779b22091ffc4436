"""What Docker tells of the containers that installers run in: `cto.holder.Containers`."""

from __future__ import annotations

from cto.adapters.container import Engine
from cto.errors import CtoError


class KnownContainers:
    """Asks Docker; where it does not answer, nothing is known, and that is no error."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def own(self) -> str:
        try:
            found = self._engine.own()
        except CtoError:
            return ""
        return found.id if found else ""

    @property
    def daemon(self) -> str:
        try:
            return self._engine.daemon().id
        except CtoError:
            return ""

    def may_live(self, container: str) -> bool:
        try:
            there = self._engine.container(container)
        except CtoError:
            return True
        return there is not None and there.alive
