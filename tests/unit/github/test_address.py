"""Where webhooks are sent."""

from __future__ import annotations

from typing import Any

import pytest

from cto import assets
from cto.catalog import load
from cto.config.model import Config
from cto.github import address

INGRESS = {"ingress_type": "ingress", "domain": "agents.acme.dev"}


@pytest.mark.parametrize(
    ("platform", "base"),
    [
        (INGRESS, "https://webhooks.agents.acme.dev"),
        ({"domain": "agents.acme.dev"}, None),
        ({}, None),
        ({**INGRESS, "domain": "cto.local"}, None),
        ({**INGRESS, "domain": "cto.localhost"}, None),
    ],
)
def test_a_domain_with_an_ingress_is_an_address(platform: Any, base: str | None) -> None:
    config = Config.model_validate({"platform": platform})
    assert address.public_url(config) == base


def test_it_is_the_address_that_the_receiver_listens_at() -> None:
    access = load(assets.root() / "bundle")["argo-events"].access
    assert access is not None
    base = address.public_url(Config.model_validate({"platform": INGRESS}))
    assert base == f"https://{access.subdomain}.agents.acme.dev"
    assert address.hook_url(base) == f"{base}{access.path}"
    assert address.hook_url(base, "rex") == f"{base}{access.path}/rex"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://hooks.acme.dev", True),
        ("https://140.82.112.3/x", True),
        ("http://localhost:8080", False),
        ("http://ingress", False),
        ("http://127.0.0.1", False),
        ("https://10.1.2.3", False),
        ("https://[::1]:12000", False),
        ("https://a.invalid", False),
    ],
)
def test_github_refuses_what_it_cannot_reach(url: str, *, public: bool) -> None:
    assert address.looks_public(url) is public
