"""The JSON schema of a configuration file, for editors and for docs/schema.json."""

from __future__ import annotations

import json
from typing import Any

from cto.config.model import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACEHOLDER = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
# What stays outside when a value may be a placeholder, too.
_NOTES = ("title", "description", "default", "examples")


def schema() -> dict[str, Any]:
    """Return the schema of one file: fields may be missing, values may be `${VARIABLE}`."""
    model = Config.model_json_schema()
    model["title"] = "Configuration of cto"
    definitions = model["$defs"]
    for definition in (model, *definitions.values()):
        if "properties" in definition:
            fields = definition["properties"]
            definition["properties"] = {k: _field(v, definitions) for k, v in fields.items()}
    return {"$schema": _DIALECT, **model}


def schema_text() -> str:
    """Return the text of docs/schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _field(item: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Let a field's value be a placeholder, where the schema would not take every text."""
    if not _takes_placeholder(item, definitions):
        return item
    notes = {key: value for key, value in item.items() if key in _NOTES}
    rest = {key: value for key, value in item.items() if key not in _NOTES}
    choices = rest.get("anyOf", [rest])
    return {**notes, "anyOf": [*choices, _PLACEHOLDER]}


def _takes_placeholder(item: dict[str, Any], definitions: dict[str, Any]) -> bool:
    if "$ref" in item:
        item = definitions[item["$ref"].rpartition("/")[2]]
    if "anyOf" in item:
        return all(_takes_placeholder(choice, definitions) for choice in item["anyOf"])
    return item.get("type") in {"string", "integer", "number", "boolean", "null"}
