"""Makes a configuration again of what the cluster's state keeps of one: `Config.public()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cto.config.model import Config
from cto.config.problems import Path
from cto.config.secret import Secret
from cto.config.shape import Kind, shape_at

_SOURCE = "from"


def remembered(data: Mapping[str, Any]) -> Config | None:
    """Return the configuration; None if this version cannot read it.

    References to Secrets are as they were. Of other secrets only the source is known: their values
    are in the cluster's Secrets, and nowhere here.
    """
    try:
        return Config.model_validate(_with_secrets(data, ()))
    except ValidationError:
        # A damaged hint, or a field that another version has: the cluster says the rest.
        return None


def _with_secrets(data: Any, path: Path) -> Any:
    if not isinstance(data, Mapping):
        return data
    shape = shape_at(path)
    if shape is not None and shape.kind is Kind.SECRET and isinstance(data.get(_SOURCE), str):
        return Secret.remembered(data[_SOURCE])
    return {key: _with_secrets(item, (*path, str(key))) for key, item in data.items()}
