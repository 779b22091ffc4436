"""What an agent's GitHub App is to be: its name, what it may do, and the manifest that says so."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cto.errors import ConfigError
from cto.objects import load_yaml

# Of GitHub's. Longer ones are refused, on its page: nobody else hears of it.
LONGEST_NAME = 34
_HASH_LENGTH = 4
_LEVELS = ("read", "write", "admin")
_TOLD = ("always", "heard", "unknown", "wanted", "events", "words")


@dataclass(frozen=True)
class Rules:
    """What templates/github/apps.yaml and templates/agents/roles.yaml say."""

    always: Mapping[str, str]
    heard: Mapping[str, str]
    unknown: Mapping[str, str]
    wanted: Sequence[str]
    events: Mapping[str, Sequence[str]]
    words: Mapping[str, str]
    roles: Mapping[str, Mapping[str, str]]
    duties: Mapping[str, str] = field(default_factory=dict)

    def permissions(self, agent: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what an agent's App may do; `given` comes before what is known of it."""
        own = given or self.roles.get(agent) or self.unknown
        return dict(sorted({**self.always, **own}.items()))

    def hearing(self, permissions: Mapping[str, str]) -> dict[str, str]:
        """Return what an App may do that is told of all that may start its agent."""
        more = {name: level for name, level in self.heard.items() if name not in permissions}
        return dict(sorted({**permissions, **more}.items()))

    def allowed(self, permissions: Mapping[str, str]) -> frozenset[str]:
        """Return the events that GitHub lets an App with these permissions listen to."""
        return frozenset(event for name in permissions for event in self.events.get(name, ()))

    def listened(self, permissions: Mapping[str, str]) -> list[str]:
        """Return the events that an App with these permissions listens to."""
        allowed = self.allowed(permissions)
        return [event for event in self.wanted if event in allowed]

    def told(self, permissions: Mapping[str, str]) -> Iterator[str]:
        """Yield what permissions are, in words."""
        for level in reversed(_LEVELS):
            names = [name for name, one in permissions.items() if one == level]
            if names:
                words = (self.words.get(name, name.replace("_", " ")) for name in names)
                yield f"{level} {', '.join(words)}"


def rules(templates: Path) -> Rules:
    """Read them.

    Raises:
        ConfigError: CTO-1311, a file is not as it has to be.
    """
    file = templates / "github" / "apps.yaml"
    try:
        told = load_yaml(file.read_text(encoding="utf-8"))
        file = templates / "agents" / "roles.yaml"
        roles = load_yaml(file.read_text(encoding="utf-8"))
        return Rules(
            roles={name: one.get("permissions") or {} for name, one in roles.items()},
            duties={name: str(one.get("duty") or "") for name, one in roles.items()},
            **{
                name: told[name]
                for name in ("always", "heard", "unknown", "wanted", "events", "words")
            },
        )
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        text = f"{file} cannot be used"
        raise ConfigError("CTO-1311", text, details=f"{type(error).__name__}: {error}") from None


def app_name(platform: str, agent: str, owner: str) -> str:
    """Return what an agent's App is to be called: GitHub has each name once, for all of its users.

    The owner's login sets it apart; where there is no room for that, a hash does.
    """
    plain = _plain(f"{platform}-{agent}-{owner}")
    if len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(f"{platform}/{agent}/{owner}".encode()).hexdigest()[:_HASH_LENGTH]
    # The agent's name is what people look for.
    last = f"{_plain(agent)[: LONGEST_NAME // 2].strip('-')}-{digest}"
    first = _plain(platform)[: LONGEST_NAME - len(last) - 1].strip("-")
    return f"{first}-{last}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def amount(level: object) -> int:
    """Return how much a level of a permission lets somebody do; one that nobody knows, nothing."""
    return _LEVELS.index(level) + 1 if level in _LEVELS else 0


@dataclass(frozen=True, kw_only=True)
class WantedApp:
    """An agent's App as it should be.

    Attributes:
        secret: Name of the Secret that gets its key.
        permissions: What its agent needs.
        hears: What it is made with: with that it is told of its events.
    """

    agent: str
    name: str
    secret: str
    permissions: Mapping[str, str]
    hears: Mapping[str, str]
    events: Sequence[str]
    duty: str = ""

    def manifest(self, *, homepage: str, redirect_url: str, hook_url: str = "") -> dict[str, Any]:
        """Return what GitHub's page takes.

        Without a public address for webhooks there must be nothing about them in it: GitHub refuses
        a manifest whose hook has no address, or one that it cannot reach.
        """
        hook = {"hook_attributes": {"url": hook_url}, "default_events": list(self.events)}
        return {
            "name": self.name,
            "url": homepage,
            "description": f"Agent {self.agent}. {self.duty}".strip(),
            "redirect_url": redirect_url,
            "public": False,
            "default_permissions": dict(self.hears),
            **(hook if hook_url else {}),
        }
