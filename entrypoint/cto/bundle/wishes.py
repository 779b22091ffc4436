"""The configurations that a bundle has to serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cto.bundle.rendering import Wish
from cto.config.load import load

PROFILES = ("minimal", "standard", "production")

# Whoever has a profile's bundle may switch on what adds no component, or the object store, which is
# in no profile and small, and have fewer nodes.
_VARIANTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"cluster.nodes": 1},
    {"features.object_store": True},
    {
        "features.mail_notifications": True,
        "smtp.host": "smtp.example.com",
        "smtp.sender": "cto@example.com",
        "smtp.recipients": ["team@example.com"],
        "github.organization": "example",
        "platform.ingress_type": "ingress",
        "platform.domain": "example.com",
    },
)


def wishes(folder: Path, components: Sequence[str]) -> Iterator[Wish]:
    """Yield the configurations of the built-in profiles.

    Args:
        folder: Holds the profiles.
        components: Names of the catalog.

    Raises:
        ConfigError: A profile is not valid.
    """
    for profile in PROFILES:
        for variant in _VARIANTS:
            loaded = load(
                flags={"profile": profile, **variant},
                env={},
                files=(),
                profiles=folder,
                component_names=lambda _: components,
                stdin=str,
            )
            yield Wish(profile=profile, config=loaded.config)
