"""The file that `cto config init` writes: every field, described and commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cto.config.agents import ROLES, Agent
from cto.config.display import flow
from cto.config.model import Config

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
