"""A configuration as people see it: with origins, as a file to begin with, and as a JSON schema."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cto import goyaml
from cto.config.agents import ROLES, Agent
from cto.config.layers import Origin
from cto.config.load import Loaded
from cto.config.model import Config
from cto.config.problems import Path, dotted
from cto.config.shape import FieldKind, shape_at

_COLUMN = 44
_WIDTH = 92
_INDENT = "  "
_HEAD = """\
# Configuration of cto. Every line may be left out: what is commented out is the default, or an
# example where there is none. Take the # away before a line and before the headlines above it.
#
# ${NAME} stands for an environment variable, $${ for a plain ${; only in components.NAME.values,
# which are a chart's, both stay as they are. Keep secrets out of this file: write ${NAME}, or
# name a Secret of the namespace cto: {secret: NAME, key: KEY}.
# Any field may come from the environment, too: CTO_PLATFORM__NAME is platform.name.
# `cto config validate -c FILE` checks, `cto config show --origin` tells what counts and why.
"""
_ACTIVE = ("version", "profile")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACEHOLDER = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
# What stays outside when a value may be a placeholder, too.
_NOTES = ("title", "description", "default", "examples")


def display(loaded: Loaded, *, origins: bool) -> str:
    """Return the whole configuration as YAML; secrets are markers that say where they are from."""
    lines = _lines(loaded.config.public(), (), loaded.origins)
    return "\n".join(_line(text, origin if origins else None) for text, origin in lines) + "\n"


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    return goyaml.dump_flow(value)


def _lines(
    data: Mapping[str, Any], path: Path, origins: Mapping[str, Origin]
) -> Iterator[tuple[str, Origin | None]]:
    for key, value in data.items():
        here = (*path, key)
        head = f"{'  ' * len(path)}{flow(key)}:"
        if isinstance(value, Mapping) and value and not _is_value(here, origins):
            yield head, None
            yield from _lines(value, here, origins)
        else:
            yield f"{head} {flow(value)}", origins.get(dotted(here))


def _is_value(path: Path, origins: Mapping[str, Origin]) -> bool:
    """Whether a mapping is the marker of a secret value, not a branch."""
    shape = shape_at(path)
    is_secret = shape is not None and shape.kind is FieldKind.SECRET
    return is_secret or dotted(path) in origins


def _line(text: str, origin: Origin | None) -> str:
    return text if origin is None else f"{text:<{_COLUMN}}  # {origin}"


def starter(config: Config) -> str:
    """Return the text of a configuration file; the values are those of `config`."""
    data = config.public()
    blocks = [_HEAD]
    for name, field in Config.model_fields.items():
        lines = list(_field(name, field, data[name]))
        if name not in _ACTIVE:
            lines = [f"#{line}" if not line.startswith("# ") else line for line in lines]
        blocks.append("".join(f"{line}\n" for line in lines))
    return "\n".join(blocks)


def _field(name: str, field: FieldInfo, value: Any) -> Iterator[str]:
    yield from _comment(field.description or "")
    model = _model(field.annotation)
    if name == "agents":
        yield f"{name}:"
        yield from _indented(_agents(value))
    elif model is not None:
        yield f"{name}:"
        yield from _indented(_fields(model, value))
    else:
        shown = value if value not in (None, {}, []) else (field.examples or [None])[0]
        yield from _setting(name, shown)


def _fields(model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from _field(name, field, data[name])


def _agents(agents: Mapping[str, Any]) -> Iterator[str]:
    first = True
    for name, data in agents.items():
        yield from _comment(f"{name} {ROLES.get(name, 'is your own')}.")
        yield f"{name}:"
        # The fields are described once: ten times the same would hide them.
        lines = _fields(Agent, data) if first else _settings(data)
        yield from _indented(lines)
        first = False


def _setting(name: str, value: Any) -> Iterator[str]:
    line = f"{name}: {flow(value)}"
    if not isinstance(value, Mapping) or len(line) <= _WIDTH:
        yield line
        return
    yield f"{name}:"
    for key, below in value.items():
        given = {k: v for k, v in below.items() if v is not None}
        yield f"{_INDENT}{key}: {flow(given)}"


def _settings(data: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key}: {flow(value)}" for key, value in data.items() if value not in (None, {}))


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"{_INDENT}{line}" for line in lines)


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, _WIDTH))


def _model(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is not None or get_args(annotation):
        return None
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None


def schema() -> dict[str, Any]:
    """Return the schema of one file: fields may be missing, values may be `${VARIABLE}`."""
    model = Config.model_json_schema()
    model["title"] = "Configuration of cto"
    definitions = model["$defs"]
    for definition in (model, *definitions.values()):
        if "properties" in definition:
            fields = definition["properties"]
            definition["properties"] = {k: _schema_field(v, definitions) for k, v in fields.items()}
    return {"$schema": _DIALECT, **model}


def schema_text() -> str:
    """Return the text of docs/schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _schema_field(item: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
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
