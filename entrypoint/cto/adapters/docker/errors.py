"""What the docker command line says when it fails, as errors that tell what to do."""

from __future__ import annotations

import re

from cto.errors import CtoError, PreflightError, ToolError

_MISSING = re.compile(r"(?i)no such (container|image|network|object)|network \S+ not found")
_TAKEN = re.compile(r"(?i)container name \S+ is already in use")
_STUCK = re.compile(r"(?i)did not receive an exit event")
_DENIED = re.compile(r"(?i)permission denied.{0,80}(docker|connect)|denied .{0,40}docker daemon")
_NO_ANSWER = re.compile(
    r"cannot connect to the docker daemon|error during connect|failed to initialize|"
    r"is the docker daemon running|unable to resolve docker endpoint",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"(?i)client version \S+ is too (old|new)|minimum supported api version|requires API version"
)
_IN_USE = re.compile(r"(?i)has active endpoints|network \S+ is in use")
_FULL = re.compile(r"(?i)no space left on device|disk quota exceeded")


def is_missing(text: str) -> bool:
    """Tell whether the object that was asked for is not there."""
    return bool(_MISSING.search(text))


def is_in_use(text: str) -> bool:
    """Tell whether a network cannot go because a container is in it."""
    return bool(_IN_USE.search(text))


def is_stuck(text: str) -> bool:
    """Tell whether a container did not end though it was killed."""
    return bool(_STUCK.search(text))


def failure(what: str, text: str, endpoint: str, *, code: str = "CTO-1520") -> CtoError:
    """Return the error for what docker wrote.

    Args:
        what: What was tried, as the beginning of a sentence: `docker pull X`.
        text: What docker wrote to stderr.
        endpoint: The address of the daemon, with where it was named.
        code: The code of a refusal of the daemon that is none of the known ones.
    """
    details = text.strip()
    if _DENIED.search(text):
        return PreflightError("CTO-1421", f"Docker at {endpoint} refuses access", details=details)
    if _NO_ANSWER.search(text):
        return PreflightError("CTO-1420", f"no Docker answers at {endpoint}", details=details)
    if _VERSION.search(text):
        message = f"Docker at {endpoint} and our docker client have no API version in common"
        return PreflightError("CTO-1422", message, details=details)
    if _FULL.search(text):
        return ToolError("CTO-1523", f"{what}: Docker's disk is full", details=details)
    if _TAKEN.search(text):
        return ToolError("CTO-1522", f"{what}: the name is taken", details=details)
    return ToolError(code, f"{what} failed", details=details)
