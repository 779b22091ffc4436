"""Deliveries of webhooks, as GitHub lists them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

FIELDS = ("id", "guid", "event", "delivered_at", "status", "status_code")
"""Of each, that we read."""
SIGNATURE = "X-Hub-Signature-256"
"""The header with what shows that who sent a body knows the secret."""
# Clocks may differ, and what was on its way then counts.
_EARLIER = timedelta(minutes=1)


def signature(body: bytes, secret: str) -> str:
    """Return the value of that header, as GitHub makes it.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"


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
