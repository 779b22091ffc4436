"""The agents: their roles, and what may be said about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from cto.config.base import Section
from cto.config.text import Identifier, KubeName, Quantity, refused
from cto.errors import nearest

ROLES: Mapping[str, str] = {
    "morgan": "plans projects and writes documentation",
    "rex": "implements backends",
    "blaze": "implements frontends",
    "cleo": "keeps format and quality",
    "tess": "tests",
    "cipher": "looks for security holes",
    "stitch": "looks into failed CI runs",
    "atlas": "guards and merges pull requests",
    "bolt": "deploys",
    "spark": "implements mobile apps",
}
_FEATURES: Mapping[str, Mapping[str, bool]] = {"tess": {"kubernetes_testing": False}}


def _no_typing_error(name: str) -> str:
    """Refuse a name that is almost one of the known: a new agent would be a silent surprise."""
    close = "" if name in ROLES else nearest(name, ROLES)
    if close:
        reason = "is too much like a known agent's name to tell it from a typing error"
        raise refused(reason, f"did you mean {close}?")
    return name


AgentName = Annotated[KubeName, AfterValidator(_no_typing_error)]


class AgentResources(Section):
    """What one run of the agent asks for."""

    cpu: Quantity = Field(
        default="500m", description="CPUs, as Kubernetes writes them.", examples=["2"]
    )
    memory: Quantity = Field(default="1Gi", description="Memory.", examples=["4Gi"])


class Agent(Section):
    """One agent."""

    enabled: bool = Field(default=False, description="Whether the agent works.", examples=[True])
    github_app_id: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="Id of its GitHub App, if there is one.", examples=[123456]
    )
    resources: AgentResources = Field(
        default=AgentResources(), description="What one run asks for.", examples=[{"cpu": "2"}]
    )
    cli: KubeName = Field(
        default="opencode",
        description="The program that works: codex, opencode, or echo, which needs no model. "
        "Others need an image of their own.",
        examples=["codex"],
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="What the program is told to use; its own choice when left out.",
        examples=["anthropic/claude-sonnet-5"],
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="An image of your own to work in. docs/agents.md has what it must be like.",
        examples=["registry.example.com/agents/rex:1.0"],
    )
    max_concurrent: int = Field(
        default=1, ge=0, description="How many of its runs go on at a time.", examples=[2]
    )
    features: Mapping[Identifier, bool] = Field(
        default_factory=dict,
        description="Abilities of the agent that are switched on or off.",
        examples=[{"kubernetes_testing": True}],
    )


def default_agents() -> dict[str, Agent]:
    """Return the known agents, switched off; profiles switch them on."""
    return {name: Agent(features=_FEATURES.get(name, {})) for name in ROLES}
