"""`tunneling`: what each provider needs, and what does not go together."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cto.config.load import remembered
from unit.config.loading import Loader

ID = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
TOKEN = base64.b64encode(json.dumps({"a": "x", "t": ID, "s": "canary"}).encode()).decode()
CREDENTIALS = {"AccountTag": "x", "TunnelSecret": "canary", "TunnelID": ID}
HOST = "https://hooks.example.com"


def section(**fields: Any) -> str:
    return json.dumps({"tunneling": fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"provider": "none"},
        {"provider": "none", "url": "http://10.1.2.3:8080"},
        {"provider": "local", "url": HOST, "forward": True},
        {"provider": "ngrok", "url": "https://acme.ngrok.app/", "credentials": "canary"},
        {"provider": "ngrok", "url": HOST, "credentials": {"secret": "mine", "key": "token"}},
        {"provider": "cloudflare", "url": HOST, "credentials": TOKEN},
        {"provider": "cloudflare", "url": HOST, "credentials": {"secret": "mine", "key": "token"}},
        {
            "provider": "cloudflare",
            "url": HOST,
            "tunnel": ID,
            "credentials": json.dumps(CREDENTIALS),
        },
        {
            "provider": "cloudflare",
            "url": HOST,
            "tunnel": ID,
            "credentials": {"secret": "mine", "key": "credentials.json"},
        },
    ],
)
def test_what_goes_together_is_taken_and_remembered(
    loading: Loader, fields: dict[str, Any]
) -> None:
    """Also by the next run, which knows no secret any more."""
    config = loading(section(**fields)).config
    shown = config.public()
    assert "canary" not in json.dumps(shown)
    again = remembered(shown)
    assert again is not None
    assert again.public()["tunneling"] == shown["tunneling"]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"provider": "ngrok", "credentials": "canary"},
            "tunneling.url (default): is needed by tunneling.provider 'ngrok'; give the tunnel's",
        ),
        (
            {"provider": "ngrok", "url": HOST},
            "tunneling.credentials (default): is needed by tunneling.provider 'ngrok'; give the au",
        ),
        (
            {"provider": "ngrok", "url": HOST, "credentials": "canary", "tunnel": ID},
            f"tunneling.tunnel '{ID}' (0.yaml:1): has no meaning with tunneling.provider 'ngrok'",
        ),
        (
            {"provider": "ngrok", "url": "http://acme.ngrok.app", "credentials": "canary"},
            "tunneling.url 'http://acme.ngrok.app' (0.yaml:1): is not one that ngrok serves",
        ),
        (
            {"provider": "cloudflare", "url": f"{HOST}:8443", "credentials": TOKEN},
            f"tunneling.url '{HOST}:8443' (0.yaml:1): is not one that cloudflare serves",
        ),
        (
            {"provider": "ngrok", "url": f"{HOST}/github/webhook", "credentials": "canary"},
            f"tunneling.url '{HOST}/github/webhook' (0.yaml:1): must be an address without a path",
        ),
        (
            {"provider": "cloudflare", "credentials": TOKEN},
            "tunneling.url (default): is needed by tunneling.provider 'cloudflare'; give the tunn",
        ),
        (
            {"provider": "cloudflare", "url": HOST},
            "tunneling.credentials (default): is needed by tunneling.provider 'cloudflare'; give",
        ),
        (
            {"provider": "cloudflare", "url": HOST, "credentials": json.dumps(CREDENTIALS)},
            "tunneling.credentials (0.yaml:1): is not the token of a tunnel; take what follows",
        ),
        (
            {"provider": "cloudflare", "url": HOST, "tunnel": "hooks", "credentials": "canary"},
            "tunneling.tunnel 'hooks' (0.yaml:1): must be the id of a tunnel, as `cloudflared tun",
        ),
        (
            {"provider": "cloudflare", "url": HOST, "tunnel": ID, "credentials": TOKEN},
            "tunneling.credentials (0.yaml:1): is not the credentials file of a tunnel; take the",
        ),
        (
            {
                "provider": "cloudflare",
                "url": HOST,
                "tunnel": ID.replace("6", "7"),
                "credentials": json.dumps(CREDENTIALS),
            },
            "(0.yaml:1): is not the tunnel that tunneling.credentials are of; give the TunnelID",
        ),
        (
            {"provider": "cloudflare", "url": HOST, "credentials": "canary"},
            "tunneling.credentials (0.yaml:1): is not the token of a tunnel; take what follows",
        ),
        (
            {
                "provider": "cloudflare",
                "url": HOST,
                "credentials": base64.b64encode(b"[]").decode(),
            },
            "tunneling.credentials (0.yaml:1): is not the token of a tunnel; take what follows",
        ),
        (
            {"provider": "none", "url": HOST, "forward": True},
            "tunneling.forward 'true' (0.yaml:1): has no meaning with tunneling.provider 'none'",
        ),
        (
            {"forward": True},
            "tunneling.url (default): is needed by tunneling.forward: GitHub keeps only what it",
        ),
        (
            {"provider": "smee"},
            "tunneling.provider 'smee' (0.yaml:1): must be one of local, ngrok, cloudflare, none",
        ),
    ],
)
def test_each_mistake_is_told_in_words(loading: Loader, fields: dict[str, Any], line: str) -> None:
    (found,) = loading.lines(section(**fields))
    assert line in found
    assert "canary" not in found
    assert TOKEN not in found
