"""What starts agents at GitHub. The defaults are data: templates/agents/flow.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from cto import assets, goyaml
from cto.config.agents import AgentName
from cto.config.base import Section
from cto.config.text import KubeName, refused


@cache
def _default() -> Mapping[str, Any]:
    file = assets.root() / "templates" / "agents" / "flow.yaml"
    return dict(goyaml.load(file.read_text(encoding="utf-8")))


class Event(StrEnum):
    """What happens at GitHub."""

    LABELLED = "labelled"
    COMMENTED = "commented"
    OPENED = "opened"
    APPROVED = "approved"
    FAILED = "failed"


# What an agent does, and another one takes from there.
_HANDED_ON = (Event.OPENED, Event.APPROVED)


class Person(StrEnum):
    OWNER = "OWNER"
    MEMBER = "MEMBER"
    COLLABORATOR = "COLLABORATOR"


class Step(Section):
    """One thing that happens at GitHub, and the agent that it starts."""

    # A file may say of a step of ours only what is different.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))

    enabled: bool = Field(
        default=True, description="Whether anything starts by it.", examples=[False]
    )
    event: Event = Field(
        description="labelled (an issue gets the label agent:NAME), commented (somebody begins a "
        "comment with /NAME), opened (an agent opens a pull request), approved (an agent approves "
        "one), failed (CI fails on a branch of an agent, agents/NAME/...).",
        examples=["opened"],
    )
    by: AgentName | None = Field(
        default=None,
        description="The agent that does it, for opened and approved.",
        examples=["rex"],
    )
    start: AgentName | None = Field(
        default=None,
        description="The agent that it starts, for opened and approved. Otherwise the label, the "
        "comment or the branch says who.",
        examples=["cleo"],
    )
    prompt: str = Field(
        min_length=1,
        max_length=8192,
        description="What the agent is told. What happened follows it.",
        examples=["Review this pull request."],
    )

    @model_validator(mode="after")
    def _has_agents(self) -> Step:
        for name in ("by", "start"):
            given = getattr(self, name) is not None
            if given and self.event not in _HANDED_ON:
                reason = (
                    f"has no meaning with 'event: {self.event.value}': what happens names its agent"
                )
                raise refused(reason, "leave it out", field=name)
            if not given and self.event in _HANDED_ON:
                reason = f"is needed by 'event: {self.event.value}'"
                raise refused(reason, "name an agent", field=name)
        return self


class Flow(Section):
    """What starts agents."""

    people: tuple[Person, ...] = Field(
        default_factory=lambda: _default()["people"],
        validate_default=True,
        description="Whose comments start agents, by what they are to the repository: OWNER, "
        "MEMBER (of the organization), COLLABORATOR.",
        examples=[["OWNER", "MEMBER"]],
    )
    rounds: int = Field(
        default_factory=lambda: _default()["rounds"],
        validate_default=True,
        ge=1,
        le=20,
        description="How often an agent is started for failed CI of one branch.",
        examples=[3],
    )
    steps: Mapping[KubeName, Step] = Field(
        default_factory=lambda: _default()["steps"],
        validate_default=True,
        description="What starts whom, by a name of your choice.",
        examples=[{"review": {"enabled": False}}],
    )

    @field_validator("steps")
    @classmethod
    def _ends(cls, steps: Mapping[str, Step]) -> Mapping[str, Step]:
        """Refuse agents that would start each other for ever."""
        followers: dict[str, set[str]] = {}
        for step in steps.values():
            if step.enabled and step.by and step.start:
                followers.setdefault(step.by, set()).add(step.start)
        try:
            TopologicalSorter(followers).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            reason = f"agents would start each other for ever: {circle}"
            raise refused(reason, "switch one of these steps off") from None
        return steps
