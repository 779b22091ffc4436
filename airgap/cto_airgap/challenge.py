"""What a registry asks for with status 401: RFC 9110, section 11.6.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SCHEME = re.compile(r"\s*([A-Za-z]+)(?:\s*,|\s+|$)")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)\s*')


@dataclass(frozen=True)
class Challenge:
    """One way to prove who one is; `scheme` is in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a WWW-Authenticate header, those that can be read."""
    found = []
    at = 0
    while match := _SCHEME.match(header, at):
        at = match.end()
        parameters = {}
        while pair := _PARAMETER.match(header, at):
            at = pair.end()
            quoted = pair[2]
            value = pair[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters[pair[1].lower()] = value
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)
