"""What a running plan tells. Whoever shows progress takes them; the engine only makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Phase(StrEnum):
    """The steps of an installation in the order in which users see them."""

    PREREQUISITES = "prerequisites"
    CONFIGURATION = "configuration"
    CLUSTER = "cluster"
    CORE = "core"
    GITHUB = "github"
    OPTIONAL = "optional"
    VALIDATION = "validation"
    ACCESS = "access"


class Outcome(StrEnum):
    DONE = "done"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class PhaseStarted:
    phase: Phase


@dataclass(frozen=True)
class StepStarted:
    step_id: str
    phase: Phase
    title: str
    estimate_s: float = 0.0


@dataclass(frozen=True)
class StepProgress:
    """The live cause of a wait, or a line of progress. Only sent when the text changed."""

    step_id: str
    message: str


@dataclass(frozen=True)
class StepFinished:
    step_id: str
    outcome: Outcome
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Notice:
    """Something that a user should know and that is no step's news."""

    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How far a download is.

    Attributes:
        name: Of the file.
        source: Where it comes from, without log-in and query.
        done: Bytes that are there.
        total: Bytes in all; 0 if the server does not say.
        over: Whether it has ended, well or not.
    """

    name: str
    source: str
    done: int
    total: int
    over: bool = False


Event: TypeAlias = PhaseStarted | StepStarted | StepProgress | StepFinished | Notice | Transfer
Listener: TypeAlias = Callable[[Event], None]
