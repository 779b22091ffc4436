"""Turns what registries answer, and what they do not, into errors. The only place that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cto import goyaml
from cto.errors import IntegrityError, ToolError
from cto_airgap.descriptor import Descriptor
from cto_airgap.endpoints import Endpoint
from cto_airgap.transport import NoAnswerError

_LONGEST = 300
_CODES = {401: "CTO-1511", 403: "CTO-1511", 404: "CTO-1513", 429: "CTO-1512"}
_TEXTS = {
    "CTO-1511": "{host} refuses access to {what}",
    "CTO-1512": "{host} limits requests",
    "CTO-1513": "{host} does not have {what}",
    "CTO-1514": "{host} refused a request for {what}",
}


def refusal(
    endpoint: Endpoint, what: str, status: int, body: bytes, *, retry_after: str = ""
) -> ToolError:
    """Return the error that a status means.

    Args:
        endpoint: Who answered.
        what: What was asked for.
        status: Of the answer.
        body: Of the answer.
        retry_after: What the answer said about another attempt.
    """
    code = _CODES.get(status, "CTO-1514")
    said = _said(body)
    details = f"HTTP status {status}{f': {said}' if said else ''}"
    if retry_after:
        details += f" (Retry-After: {retry_after[:40]})"
    return ToolError(code, _TEXTS[code].format(host=endpoint.host, what=what), details=details)


def unreachable(endpoint: Endpoint, error: NoAnswerError) -> ToolError:
    text = f"{endpoint.host} cannot be reached"
    details = f"{endpoint.origin}: {error}"
    return ToolError("CTO-1510", text, details=details, hint=error.hint)


def wrong(endpoint: Endpoint, what: str, details: str) -> IntegrityError:
    text = f"{endpoint.host} sends something else than {what}"
    return IntegrityError("CTO-1800", text, details=details)


def strange(endpoint: Endpoint, what: str, why: str) -> ToolError:
    """Return the error for an answer that no registry gives."""
    text = f"{endpoint.host} answered with something that is not {what}"
    return ToolError("CTO-1514", text, details=why)


def all_of(errors: Sequence[ToolError]) -> ToolError:
    """Return one error for all addresses that were tried; it is that of the last one."""
    last = errors[-1]
    if len(errors) == 1:
        return last
    lines = [f"{error.message}: {error.details}" for error in errors]
    return last.told(details="\n".join(lines))


def name_of(wanted: Descriptor) -> str:
    return f"{wanted.digest[:19]}..."


def _said(body: bytes) -> str:
    """Return a registry's own words."""
    # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    try:
        found: Any = goyaml.load_json(body)["errors"]
        lines = [f"{item.get('code', '')} {item.get('message', '')}".strip() for item in found]
    except (ValueError, KeyError, TypeError, AttributeError):
        lines = body.decode(errors="replace").split("\n")
    text = "; ".join(line.strip() for line in lines if line.strip())
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST]
