"""What an API server refused: its answers as errors of ours, in one place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cto import goyaml
from cto.adapters.kubernetes import impersonation
from cto.errors import ApiError
from cto.redaction import redacted

# Long enough to name the reason, short enough not to carry a whole object:
# https://github.com/nolar/kopf/blob/1.37.2/kopf/_cogs/clients/errors.py does the same.
_CUT = 256
# The authorizer says who may not do what; every other 403 comes from admission.
_UNAUTHORIZED = re.compile(r'User "[^"]*" cannot ')
_ADMISSION = re.compile(r"admission webhook .* denied the request", re.DOTALL)
_CODES = {401: "CTO-1602", 404: "CTO-1603", 405: "CTO-1603", 409: "CTO-1604"}
_INVALID = (400, 403, 413, 415, 422)
# 500 is also what the server says when an admission webhook does not answer.
_OVERLOADED = (429, 500, 502, 503, 504)
# A server-side apply of what does not fit its schema is a 500 too, and stays one.
_MISFIT = "failed to create typed patch object"


def refused(what: str, status: int, body: bytes, *, confidential: bool = False) -> ApiError:
    """Return the error for a status of 300 and more.

    Args:
        what: Names the request.
        status: The HTTP status.
        body: The answer.
        confidential: The request carried a Secret: of its answer only reason and fields are told,
            because a validation message may quote a value.
    """
    answer = _parse(body)
    message = message_of(body)
    reason = _reason(answer)
    details = _details(answer)
    code = _code(status, message)
    if confidential and status not in (401, 403, 404, 409):
        message = ", ".join(filter(None, (reason, *_fields(details)))) or f"HTTP status {status}"
    text = f"{what}: {message or f'HTTP status {status}'}"
    return ApiError(
        code,
        text,
        status=status,
        reason=reason,
        details=f"HTTP status {status}",
        hint=impersonation.HINT if impersonation.refused_user(message) else "",
        causes=tuple(_causes(details, confidential=confidential)),
    )


def decoded(body: bytes) -> Any:
    """Return the data of an answer.

    Raises:
        ApiError: CTO-1600, it is none of an API server.
    """
    try:
        return goyaml.load_json(body)
    except ValueError as error:
        text = (
            "the answer is no JSON that can be read: is this an API server, or a page of a proxy?"
        )
        raise ApiError("CTO-1600", text, details=str(error)) from None


def no_answer(what: str, host: str, cause: str, *, hint: str = "") -> ApiError:
    """Return the error for a server that does not answer."""
    return ApiError("CTO-1601", f"{what}: no answer from {host}", details=cut(cause), hint=hint)


def heals(status: int, body: bytes) -> bool:
    """Tell whether the same request may be answered otherwise in a moment."""
    return status in _OVERLOADED and _MISFIT.encode() not in body


def is_unauthorized(status: int, body: bytes) -> bool:
    """Tell whether it is the server's authorizer that refuses, not whom it would have asked."""
    return status == 403 and _UNAUTHORIZED.search(message_of(body)) is not None


def message_of(body: bytes) -> str:
    """Return the server's message, cut."""
    answer = _parse(body)
    return cut(str(answer.get("message", "")) or body.decode(errors="replace").strip())


def cut(text: str) -> str:
    """Return the beginning of a text that somebody else wrote, without secrets."""
    text = redacted(text)
    return text if len(text) <= _CUT else f"{text[: _CUT - 3]}..."


def _code(status: int, message: str) -> str:
    if _ADMISSION.search(message) or _MISFIT in message:
        return "CTO-1605"
    if status == 403 and _UNAUTHORIZED.search(message):
        return "CTO-1602"
    return "CTO-1605" if status in _INVALID else _CODES.get(status, "CTO-1600")


def _reason(answer: Mapping[str, Any]) -> str:
    causes = [cause.get("reason", "") for cause in _details(answer).get("causes") or ()]
    # Says more than its reason, Forbidden: the namespace will be gone in a moment.
    if "NamespaceTerminating" in causes:
        return "NamespaceTerminating"
    return str(answer.get("reason", ""))


def _details(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    details = answer.get("details")
    return details if isinstance(details, Mapping) else {}


def _fields(details: Mapping[str, Any]) -> list[str]:
    return [str(cause.get("field", "")) for cause in details.get("causes") or ()]


def _causes(details: Mapping[str, Any], *, confidential: bool) -> Iterator[tuple[str, str]]:
    for cause in details.get("causes") or ():
        text = "" if confidential else str(cause.get("message", ""))
        # The end says what is wrong, the beginning may quote a whole selector.
        yield str(cause.get("field", "")), text if len(text) <= _CUT else f"...{text[3 - _CUT :]}"


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        answer = goyaml.load_json(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}
