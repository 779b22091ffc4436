"""Every component in every profile, rendered as an installation would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cto import __version__
from cto.catalog import Catalog, load
from cto.config.model import Config
from cto.plan.desired import addresses
from cto.plan.selection import completed, select
from cto.render import Renderer

_ROOT = Path(__file__).parents[2]
PLANTED = "planted-secret-value"
_SMTP = {
    "host": "smtp.example.com",
    "username": "cto",
    "password": PLANTED,
    "sender": "cto@example.com",
    "recipients": ["team@example.com", "ops@example.com"],
}
_FEATURES: Mapping[str, Mapping[str, bool]] = {
    "minimal": {},
    "standard": {"monitoring": True, "databases": True},
    "production": dict.fromkeys(
        ("monitoring", "databases", "mail_notifications", "backup", "high_availability"), True
    ),
}


# Log-in by GitHub is where names are.
ACCESS = {
    "github_org": "acme",
    "client_id": "Ov23liExample",
    "client_secret": PLANTED,
    "admins": ["platform", "sre"],
}
_PLATFORM: Mapping[str, Mapping[str, Any]] = {
    "production": {"ingress_type": "ingress", "domain": "example.com", "access": ACCESS}
}
_STORE = {
    "endpoint": "http://store.example.com:9000",
    "bucket": "cto",
    "access_key": PLANTED,
    "secret_key": PLANTED,
}
_HOOKS = "https://hooks.example.com"
_TUNNEL = "6ff42ae2-765d-4adf-8112-31c55c1551ef"
# By a token that is elsewhere, and by a file.
TUNNELING: Mapping[str, Mapping[str, Any]] = {
    "minimal": {"provider": "ngrok", "url": _HOOKS, "credentials": PLANTED},
    "standard": {
        "provider": "cloudflare",
        "url": _HOOKS,
        "credentials": {"secret": "mine", "key": "token"},
    },
    "production": {
        "provider": "cloudflare",
        "url": _HOOKS,
        "tunnel": _TUNNEL,
        "credentials": json.dumps(
            {"AccountTag": "a", "TunnelSecret": PLANTED, "TunnelID": _TUNNEL}
        ),
    },
}
# In namespaces that every cluster has: those of their own are made by the plan.
_DATABASES = {
    "postgresql": [{"name": "shop", "namespace": "default", "size": "20Gi", "replicas": 2}],
    "redis": [
        {"name": "cache", "namespace": "default"},
        {"name": "queue", "namespace": "default", "replicas": 3},
    ],
}


def ingress_namespaces(catalog: Catalog) -> list[str]:
    """Return where components have an Ingress."""
    found = {c.namespace for c in catalog.components if c.access and c.access.subdomain}
    return sorted(found)


def config(profile: str, **sections: Any) -> Config:
    """Return a configuration with secrets planted in it."""
    return Config.model_validate(
        {
            "profile": profile,
            "features": _FEATURES[profile],
            "platform": _PLATFORM.get(profile, {}),
            "databases": _DATABASES if _FEATURES[profile] else {},
            "object_store": _STORE if _FEATURES[profile] else {},
            "smtp": _SMTP,
            "tunneling": TUNNELING[profile],
            "github": {"organization": "acme", "repository": "shop", "webhook_secret": PLANTED},
            "providers": {"anthropic": PLANTED},
            "agents": {"rex": {"enabled": True}, "cleo": {}},
            **sections,
        }
    )


def context(
    made: Config,
    catalog: Catalog,
    *,
    nodes: int = 0,
    components: Sequence[str] = (),
    ports: Mapping[int, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return what templates see, as the plan gives it to them."""
    selection = select(catalog, made)
    public = completed(made, selection).public()
    names = components or [component.name for component in selection.managed]
    return {
        "pull_secret": "",
        "version": __version__,
        "config": public,
        "profile": made.profile,
        "features": public["features"],
        "components": names,
        "namespaces": sorted({catalog[name].namespace for name in names}),
        "app_slugs": {"tess": "the-tester"},
        "ingress_namespaces": ingress_namespaces(catalog),
        "cluster": {
            "nodes": nodes or (3 if made.features.high_availability else 1),
            "simulated": True,
            "kube_version": "v1.34.4",
            "provider": "kwok",
            **addresses(catalog.components, ports),
        },
    }


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load(_ROOT / "bundle")


@pytest.fixture(scope="session")
def renderer(catalog: Catalog) -> Callable[..., Renderer]:
    """Return a maker of renderers: a profile, and what is different from it."""

    def make(
        profile: str,
        *,
        nodes: int = 0,
        components: Sequence[str] = (),
        ports: Mapping[int, int] = MappingProxyType({}),
        overrides: Mapping[str, Any] = MappingProxyType({}),
        **sections: Any,
    ) -> Renderer:
        settings = config(profile, components=overrides, **sections)
        made = context(settings, catalog, nodes=nodes, components=components, ports=ports)
        return Renderer(made, env={})

    return make


@pytest.fixture
def planted() -> str:
    return PLANTED
