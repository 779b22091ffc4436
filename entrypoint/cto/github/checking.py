"""Asks GitHub how the agents' Apps are, for the health of the platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cto.errors import KINDS, ApiError
from cto.github.answers import GitHubError, lag_s, lag_told
from cto.github.apps import Apps
from cto.github.client import Client
from cto.github.found import Status
from cto.github.manifest import WantedApp
from cto.ports import Clock
from cto.result import Check, Topic

# Of the 15 s that a status may take.
_LONGEST_S = 8.0
# GitHub takes tokens that are made for the minute before: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
_SKEW_S = 60.0
_FEW = 0.1
_FAILED = "CTO-1900"
# Nobody was asked about it.
_KEYLESS = (Status.MISSING, Status.LOST)


@dataclass(frozen=True)
class AppsCheck:
    """Looks at the Apps whose keys are there.

    Attributes:
        clocks: Whose clocks are held against GitHub's: name -> what it says now.
        others: What else is wrong with what is at GitHub, a line for each.
    """

    apps: Apps
    client: Client
    wishes: Sequence[WantedApp]
    clock: Clock
    clocks: Mapping[str, Callable[[], datetime]]
    others: Sequence[str] = ()

    def __call__(self, topic: Topic, message: str) -> Check:
        """Return the check; `message` says what is known without GitHub."""
        try:
            asked, items = self._looked_at()
        except GitHubError as error:
            fix = error.hint or KINDS[error.code].fix
            if self.client.heard and (late := list(self._skews())):
                return self._late(topic, message, late)
            return topic.warning(f"{message}; {error.message}", fix=fix)
        except ApiError as error:
            return topic.passed(f"{message}; GitHub was not asked: {error.message}")
        if asked and (late := list(self._skews())):
            return self._late(topic, message, late)
        left, is_little = self._left()
        told = f"{asked - len(items)} of {asked} that GitHub was asked about work{left}"
        text = f"{message}; {told if asked else 'GitHub was not asked'}"
        wrong = (*items, *self.others)
        if wrong or is_little:
            fix = "`cto github status` says what to do." if wrong else "Wait: it gets more again."
            return topic.warning(text, fix=fix, items=wrong)
        return topic.passed(text)

    def _looked_at(self) -> tuple[int, list[str]]:
        """Return how many were asked for, and a line for each that does not work."""
        begun, asked, items = self.clock.monotonic(), 0, []
        for wish in self.wishes:
            if self.clock.monotonic() - begun > _LONGEST_S:
                break
            found = self.apps.look(wish)
            if found.status in _KEYLESS:
                continue
            asked += 1
            if found.problem or found.status is not Status.INSTALLED:
                items.append(f"{wish.agent}: {found.problem or found.fix}")
        return asked, items

    def _late(self, topic: Topic, message: str, late: Sequence[str]) -> Check:
        text = f"{message}; {', '.join(late)}"
        fix = "Set that clock (NTP): GitHub refuses tokens of Apps that are made in another time."
        return topic.failed(text, fix=fix, code=_FAILED)

    def _skews(self) -> Iterator[str]:
        """Yield whose clock is too far from GitHub's, and how far."""
        for name, now in self.clocks.items():
            lag = lag_s(self.client.heard.get("Date", ""), now())
            if lag is not None and abs(lag) >= _SKEW_S:
                yield f"the clock of {name} is {lag_told(lag)}"

    def _left(self) -> tuple[str, bool]:
        """Say how many requests GitHub still takes, and whether these are few."""
        left, most = (self.client.heard.get(f"X-RateLimit-{one}") for one in ("Remaining", "Limit"))
        if not (left and most and left.isdecimal() and most.isdecimal()):
            # An Enterprise Server has no limit unless it was given one.
            return "", False
        return f", {left} of {most} requests an hour left", int(left) < int(most) * _FEW
