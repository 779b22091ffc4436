"""What a step does, and what it changes about single objects, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cto.objects import ObjectRef


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPAIR = "repair"
    KEEP = "keep"
    DELETE = "delete"
    WAIT = "wait"
    CHECK = "check"
    SKIP = "skip"


CHANGING = frozenset({Action.CREATE, Action.UPDATE, Action.REPAIR, Action.DELETE})
"""What changes something; all else looks, waits, or leaves things as they are."""


@dataclass(frozen=True)
class Downgrade:
    """From what a chart goes back to what, for people, and why that is one."""

    old: str
    new: str
    why: str

    def __str__(self) -> str:
        return f"{self.old} -> {self.new} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """A field that somebody else wrote, and that the step writes over.

    Attributes:
        field: `spec.replicas`.
        manager: Who wrote it, by the object's managedFields.
        subresource: By which it was written, e.g. `scale`.
        time: When, as the API server says; it says nothing of what came by `scale`.
        change: `5 -> 1`; empty where a value might be secret.
    """

    ref: ObjectRef
    field: str
    manager: str
    subresource: str = ""
    time: str = ""
    change: str = ""

    def __str__(self) -> str:
        change = f": {self.change}" if self.change else ""
        who = " ".join(filter(None, (self.manager, self.subresource)))
        written = ", ".join(filter(None, (f"written by {who}", self.time)))
        return f"take back {self.field} of {self.ref}{change} ({written})"

    def to_json(self) -> dict[str, Any]:
        return {
            "object": self.ref.to_json(),
            "field": self.field,
            "manager": self.manager,
            "subresource": self.subresource,
            "time": self.time,
            "change": self.change,
        }


@dataclass(frozen=True)
class FieldChange:
    """A field that becomes another.

    Attributes:
        path: `spec.template.spec.containers[main].image`.
        old: The value now, for people; '' if there is none, or it may be secret.
        new: The value then.
    """

    path: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.old or '-'} -> {self.new or '-'}"


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """What a step does to one object that is there, or is to be there.

    Attributes:
        action: Create, update or delete; repair where it is deleted and made again.
        restarts: Whether its pods are replaced by others.
        fields: What becomes another, of an update.
    """

    ref: ObjectRef
    action: Action
    restarts: bool = False
    fields: tuple[FieldChange, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "object": self.ref.to_json(),
            "action": "replace" if self.action is Action.REPAIR else self.action.value,
            "restarts": self.restarts,
            "fields": [vars(field) for field in self.fields],
        }
