"""Where GitHub sends its webhooks: the one place that says so."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from cto.config.model import Config
from cto.config.sections import IngressType
from cto.config.tunneling import TunnelProvider

GITHUB = "https://github.com"
PATH = "/github/webhook"
"""Of the webhook of an organization or a repository; those of Apps are below it."""
# As `access` of bundle/components/argo-events has it.
_SUBDOMAIN = "webhooks"
_LOCAL = ("localhost", "local", "internal", "invalid", "test", "lan", "home.arpa")


def is_public(config: Config) -> bool:
    """Tell whether the GitHub is github.com, and no server of somebody's own."""
    return config.github.url.rstrip("/") == GITHUB


def is_cut_off(config: Config) -> bool:
    """Tell whether the GitHub is not to be reached: github.com, of an air-gapped platform."""
    return bool(config.air_gapped) and is_public(config)


def public_url(config: Config) -> str | None:
    """Return the address under which the internet reaches the receiver, without a path.

    None if nobody knows one.
    """
    if config.tunneling.url:
        return config.tunneling.url.rstrip("/")
    platform = config.platform
    if platform.ingress_type is not IngressType.INGRESS or not platform.domain:
        return None
    url = f"https://{_SUBDOMAIN}.{platform.domain}"
    return url if looks_public(url) else None


def is_forwarded(config: Config) -> bool:
    """Tell whether the address is there for GitHub alone, and nothing answers at it.

    What GitHub cannot deliver is fetched then: `cto github forward`.
    """
    tunneling = config.tunneling
    return tunneling.provider is TunnelProvider.LOCAL and tunneling.url is not None


def hook_url(base: str, agent: str = "") -> str:
    """Return the address of a webhook below a base: that of an agent's App, or the common one."""
    return f"{base}{path_of(agent)}"


def path_of(agent: str = "") -> str:
    """Return the path of the webhook of an agent's App, or of the common one."""
    return f"{PATH}/{agent}" if agent else PATH


def looks_public(url: str) -> bool:
    """Tell whether GitHub takes an address: it refuses those that are this machine's or private."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not any(host == one or host.endswith(f".{one}") for one in _LOCAL)
