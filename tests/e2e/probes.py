"""Asks what an installation says can be asked."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .engine import Engine
from .namespaces import inside

_PATIENCE_S = 60.0


def urls(installed: Mapping[str, Any]) -> dict[str, str]:
    """Return component -> the address that was printed for people to open.

    The other kind is for GitHub: its program comes with the organization that is configured.
    """
    return {
        one["component"]: one["url"]
        for one in installed["access"]
        if one["url"] and one["subdomain"] != "webhooks"
    }


def answers(engine: Engine, url: str) -> int:
    """Return the status that an address answers with, on the machine where ports are published.

    A node's address rules are written some seconds after its pods are ready: 502, 503 and refused
    connections are waited out.
    """
    end = time.monotonic() + _PATIENCE_S
    while True:
        status = answer(engine, url)
        if status and status not in (502, 503):
            return status
        if time.monotonic() > end:
            return status
        time.sleep(0.5)


def answer(engine: Engine, url: str, timeout_s: float = 10) -> int:
    """Return the status that an address answers with now; 0 if it does not answer."""
    try:
        return inside(engine.namespace, lambda: _ask(url, timeout_s))
    except (OSError, http.client.HTTPException):
        return 0


def _ask(url: str, timeout_s: float) -> int:
    parts = urlsplit(url)
    host = parts.netloc
    # Certificates of the cluster's own programs are self-signed: whether they answer is asked.
    context = ssl._create_unverified_context()  # noqa: S323 - see above
    connection = (
        http.client.HTTPSConnection(host, timeout=timeout_s, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, timeout=timeout_s)
    )
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def unwell(installed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the checks that did not pass; that agents wait for room is a matter of the machine."""
    return [
        check
        for check in installed["checks"]
        if check["status"] not in ("passed", "skipped")
        and not (check["status"] == "warning" and "would wait for room" in check["message"])
    ]


def assert_healthy(installed: dict[str, Any], engine: Engine) -> None:
    assert unwell(installed) == []
    found = urls(installed)
    assert found
    assert {name: answers(engine, url) for name, url in found.items()} == dict.fromkeys(found, 200)
