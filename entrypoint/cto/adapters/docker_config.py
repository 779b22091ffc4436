"""What the docker program is told by its own configuration file, and tells every new container."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cto.storage import home

# https://docs.docker.com/engine/cli/proxy/: of these, Go's programs in a container read three.
_KEYS = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY"}


def folder_of(environ: Mapping[str, str]) -> Path:
    """Return the folder of Docker's configuration."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else home(environ) / ".docker"


def proxies(folder: Path, endpoint: str) -> Mapping[str, str]:
    """Return the variables that docker puts into containers that it makes, unless told others.

    A file that cannot be read is none: docker itself only warns of it.

    Args:
        folder: Of the configuration.
        endpoint: The daemon's address, which may have an entry of its own.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["proxies"]
        entry = found[endpoint] if endpoint in found else found["default"]
        return {name: str(entry[key]) for key, name in _KEYS.items() if entry.get(key)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
