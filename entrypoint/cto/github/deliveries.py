"""Deliveries of webhooks, as GitHub lists them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

FIELDS = ("id", "guid", "event", "delivered_at", "status", "status_code")
"""Of each, that we read."""
SIGNATURE = "X-Hub-Signature-256"
"""The header with what shows that who sent a body knows the secret."""
# Clocks may differ, and what was on its way then counts.
_EARLIER = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class ListedDelivery:
    """One of GitHub's list."""

    agent: str
    id: int
    guid: str
    event: str
    at: datetime
    arrived: bool

    @classmethod
    def of(cls, agent: str, item: Mapping[str, Any]) -> ListedDelivery:
        return cls(
            agent=agent,
            id=int(item["id"]),
            guid=str(item["guid"]),
            event=str(item["event"]),
            at=datetime.fromisoformat(item["delivered_at"]),
            arrived=arrived(item),
        )

    def to_json(self) -> dict[str, Any]:
        return {"agent": self.agent, "id": self.id, "guid": self.guid, "event": self.event}


def signature(body: bytes, secret: str) -> str:
    """Return the value of that header, as GitHub makes it.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"


def signed(
    given: Mapping[str, Any], one: ListedDelivery, body: bytes, secret: str
) -> Mapping[str, str]:
    """Return the headers of a delivery, as GitHub would send it with this body.

    GitHub tells what it sent as data: the bytes are others than those that it signed.
    """
    kept = {
        name: str(value) for name, value in given.items() if name.lower().startswith("x-github-")
    }
    return {
        **kept,
        "X-GitHub-Event": one.event,
        "X-GitHub-Delivery": one.guid,
        SIGNATURE: signature(body, secret),
        "Content-Type": "application/json",
    }


def lost(
    deliveries: Iterable[Mapping[str, Any]], failed: Callable[[Mapping[str, Any]], bool]
) -> list[Mapping[str, Any]]:
    """Return what did not arrive, the newest first, as deliveries are listed.

    What arrived by a later attempt is done.
    """
    over = set()
    found = []
    for one in deliveries:
        if one["guid"] not in over and not arrived(one) and failed(one):
            found.append(one)
        over.add(one["guid"])
    return found


def arrived(delivery: Mapping[str, Any]) -> bool:
    """Tell whether what was sent was taken."""
    return 200 <= int(delivery["status_code"]) < 300


def since(moment: datetime) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether a delivery was sent since then."""

    def later(one: Mapping[str, Any]) -> bool:
        return datetime.fromisoformat(str(one["delivered_at"])) >= moment - _EARLIER

    return later
