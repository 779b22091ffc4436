"""What is between a wait and whoever waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cto.errors import CtoError
from cto.objects import ObjectRef


@dataclass(frozen=True)
class Verdict:
    """What a wait says.

    Attributes:
        done: It is over, and well.
        message: The live cause, or how far it is; one line.
        error: It is over, and never will be well.
        missing: Objects that do not exist: waiting alone will not bring them.
        failed: What to tell if whoever is waited for gives up: a hook has failed for good.
        patient: This time does not count for the step's timeout: what is waited for has its own.
    """

    done: bool
    message: str
    error: CtoError | None = None
    missing: tuple[ObjectRef, ...] = ()
    failed: CtoError | None = None
    patient: bool = False


class Wait(Protocol):
    """Something that is over later; looked at whenever the cluster changed."""

    def evaluate(self) -> Verdict: ...
