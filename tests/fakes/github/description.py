"""Holds what is asked and answered against GitHub's own description of its API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_DATA = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
PERMISSIONS: Mapping[str, list[str]] = _DATA["app-permissions"]
"""Permission -> its levels."""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))


_OPERATIONS = [
    (method, _pattern(path), told)
    for name, told in _DATA["operations"].items()
    for method, _, path in [name.partition(" ")]
]


def problems(method: str, path: str, body: bytes, status: int, data: Any) -> Iterator[str]:
    """Yield what GitHub would not take, or would not say.

    Args:
        method: Of the request.
        path: Of the API.
        body: What was sent.
        status: Of the answer; only what went well is described.
        data: The answer's.
    """
    if status >= 300:
        return
    fitting = (o for m, pattern, o in _OPERATIONS if m == method and pattern.fullmatch(path))
    told = next(fitting, None)
    if told is None:
        yield f"{method} {path} is not described"
        return
    if "request" in told and body:
        yield from _errors(f"{method} {path} asks", told["request"], json.loads(body))
    if str(status) not in told["responses"]:
        yield f"{method} {path} is not answered with {status}"
    elif (schema := told["responses"][str(status)]) is not None:
        yield from _errors(f"{method} {path} answers", schema, data)


def _errors(what: str, schema: Mapping[str, Any], data: Any) -> Iterator[str]:
    validator = Draft202012Validator({**schema, "schemas": _DATA["schemas"]})
    for error in validator.iter_errors(data):
        yield f"{what}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
