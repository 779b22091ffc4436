"""What was found of an agent's App."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import jwt

from cto.github.manifest import WantedApp

# GitHub takes ten minutes at most, by its own clock:
# https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
_EARLIER_S, _LATER_S = 60, 540


@dataclass(frozen=True)
class AppKey:
    """What an App proves itself with.

    Attributes:
        issuer: Its client id, or its id.
        pem: Its private key.
    """

    issuer: str
    pem: str = field(repr=False)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> AppKey | None:
        """Return the key in what the Secret of an App holds; None if it is not all there."""
        issuer = (values.get("client-id") or values.get("app-id") or "").strip()
        pem = values.get("private-key", "")
        return cls(issuer, pem) if issuer and pem else None

    def signed(self, now: datetime) -> str:
        """Return a JSON Web Token.

        Raises:
            ValueError: The key is no RSA key in PEM.
        """
        moment = int(now.timestamp())
        claims = {"iat": moment - _EARLIER_S, "exp": moment + _LATER_S, "iss": self.issuer}
        try:
            return jwt.encode(claims, self.pem, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            # What they say may quote the key.
            raise ValueError from None


class Status(StrEnum):
    MISSING = "missing"
    """There is none."""
    LOST = "lost"
    """There is one, and its key is gone."""
    REFUSED = "refused"
    """GitHub does not take its key."""
    MADE = "made"
    """It works, and is not installed."""
    REQUESTED = "requested"
    """An owner has been asked to install it."""
    INSTALLED = "installed"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook as it is.

    Attributes:
        url: Where it leads; '' if there is none.
        problem: What is wrong with it.
        fix: What a person has to do, and where.
    """

    url: str = ""
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class App:
    """What was found of an agent's App.

    Attributes:
        known: id, slug, name, owner, url; what of it is known.
        delivery: How its webhook went last, if it has one.
        problem: What is wrong, though it works.
        fix: What a person has to do, and where.
    """

    agent: str
    status: Status
    known: Mapping[str, Any] = field(default_factory=dict)
    installation: int = 0
    delivery: str = ""
    hook: str = ""
    problem: str = ""
    fix: str = ""

    def with_hook(self, hook: Hook) -> App:
        """Return it with its webhook; what is wrong with the App itself comes first."""
        found = replace(self, hook=hook.url)
        if not hook.problem or self.problem:
            return found
        fix = " ".join(filter(None, (hook.fix, self.fix)))
        return replace(found, problem=hook.problem, fix=fix)

    @property
    def install_url(self) -> str:
        return f"{self.known['url']}/installations/new"

    def to_json(self) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "status": self.status.value,
            "app": dict(self.known),
            "installation": self.installation,
            "delivery": self.delivery,
            "webhook": self.hook,
            "problem": self.problem,
            "fix": self.fix,
        }


def app_of(
    wish: WantedApp,
    status: Status,
    known: Mapping[str, Any],
    installation: int = 0,
    *,
    problem: str = "",
    fix: str = "",
) -> App:
    return App(
        agent=wish.agent,
        status=status,
        known=known,
        installation=installation,
        problem=problem,
        fix=fix,
    )
