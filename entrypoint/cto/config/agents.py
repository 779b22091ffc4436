"""The agents, and the GitHub side: who there is, and what starts whom.

The defaults of the flow are data: templates/agents/flow.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from cto import assets, goyaml
from cto.config.fields import (
    FilePath,
    GitHubOwner,
    GitHubRepository,
    GitHubUrl,
    Identifier,
    KubeName,
    Quantity,
    Secret,
    Section,
    refused,
)
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


@cache
def _default_flow() -> Mapping[str, Any]:
    file = assets.root() / "templates" / "agents" / "flow.yaml"
    return dict(goyaml.load(file.read_text(encoding="utf-8")))


class FlowEvent(StrEnum):
    """What happens at GitHub."""

    LABELLED = "labelled"
    COMMENTED = "commented"
    OPENED = "opened"
    APPROVED = "approved"
    FAILED = "failed"


# What an agent does, and another one takes from there.
_HANDED_ON = (FlowEvent.OPENED, FlowEvent.APPROVED)


class Person(StrEnum):
    OWNER = "OWNER"
    MEMBER = "MEMBER"
    COLLABORATOR = "COLLABORATOR"


class FlowStep(Section):
    """One thing that happens at GitHub, and the agent that it starts."""

    # A file may say of a step of ours only what is different.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))

    enabled: bool = Field(
        default=True, description="Whether anything starts by it.", examples=[False]
    )
    event: FlowEvent = Field(
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
    def _has_agents(self) -> FlowStep:
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
        default_factory=lambda: _default_flow()["people"],
        validate_default=True,
        description="Whose comments start agents, by what they are to the repository: OWNER, "
        "MEMBER (of the organization), COLLABORATOR.",
        examples=[["OWNER", "MEMBER"]],
    )
    rounds: int = Field(
        default_factory=lambda: _default_flow()["rounds"],
        validate_default=True,
        ge=1,
        le=20,
        description="How often an agent is started for failed CI of one branch.",
        examples=[3],
    )
    steps: Mapping[KubeName, FlowStep] = Field(
        default_factory=lambda: _default_flow()["steps"],
        validate_default=True,
        description="What starts whom, by a name of your choice.",
        examples=[{"review": {"enabled": False}}],
    )

    @field_validator("steps")
    @classmethod
    def _ends(cls, steps: Mapping[str, FlowStep]) -> Mapping[str, FlowStep]:
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


class SetupMode(StrEnum):
    """What `install` does about the agents' Apps."""

    CREATE = "create"
    EXISTING = "existing"
    LATER = "later"


class WebhookOwner(StrEnum):
    """Whose webhooks tell the platform what happens at GitHub."""

    APPS = "apps"
    ORGANIZATION = "organization"
    REPOSITORY = "repository"


class GitHubApp(Section):
    """A GitHub App that exists already, of one agent."""

    id: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="The App's id, from its settings page.", examples=[123456]
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        description="The App's client id; it does as well as the id.",
        examples=["Iv23liExample"],
    )
    private_key_path: FilePath | None = Field(
        default=None,
        description="Path of the App's private key, a PEM file. The key is read when it is "
        "needed and never kept in the configuration.",
        examples=["/secrets/rex.pem"],
    )
    private_key: Secret | None = Field(
        default=None,
        description="The key itself instead: ${VARIABLE}, or a reference {secret: NAME, key: KEY}.",
        examples=["${REX_KEY}"],
    )
    installation_id: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="The installation that the agent's tokens are to come from. It is looked up "
        "if it is not given.",
        examples=[7654321],
    )

    @model_validator(mode="after")
    def _complete(self) -> GitHubApp:
        if self.id is None and self.client_id is None:
            reason = "is missing, and so is client_id"
            raise refused(reason, "add one of them", field="id")
        if (self.private_key_path is None) == (self.private_key is None):
            many = self.private_key is not None
            reason = "is given twice, by private_key too" if many else "is missing"
            fix = "leave one of them out" if many else "add it, or private_key"
            raise refused(reason, fix, field="private_key_path")
        return self


class GitHubSettings(Section):
    """The GitHub side. Everything may be left out and be set up later."""

    url: GitHubUrl = Field(
        default="https://github.com",
        description="Which GitHub: that of an Enterprise Server, if it is not github.com.",
        examples=["https://github.bank.example"],
    )
    organization: GitHubOwner | None = Field(
        default=None,
        description="Organization or user that owns the repository.",
        examples=["acme"],
    )
    repository: GitHubRepository | None = Field(
        default=None,
        description="Name of the repository that the agents work on.",
        examples=["shop"],
    )
    apps: Mapping[AgentName, GitHubApp] = Field(
        default_factory=dict,
        description="GitHub Apps that exist already, by agent.",
        examples=[
            {"rex": {"id": 1, "client_id": "Iv23li", "private_key_path": "/secrets/rex.pem"}}
        ],
    )
    mode: SetupMode = Field(
        default=SetupMode.CREATE,
        description="What install does about Apps at its end: create (take those of github.apps, "
        "and where somebody is there to click have the others made), existing (take those of "
        "github.apps alone), later (nothing: `cto github setup` does it).",
        examples=["later"],
    )
    webhooks: WebhookOwner = Field(
        default=WebhookOwner.APPS,
        description="What tells the platform what happens: the webhook of each agent's App, or one "
        "of the organization or of the repository, made with github.webhook_token or by hand. With "
        "apps, one that was made by hand is still heard.",
        examples=["organization"],
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="Secret that GitHub signs the webhook of the organization or repository with: "
        "text, ${VARIABLE}, or a reference {secret: NAME, key: KEY}. Those of Apps have their own.",
        examples=["${GITHUB_WEBHOOK_SECRET}"],
    )
    webhook_token: Secret | None = Field(
        default=None,
        description="Token that may make the webhook of the organization (admin:org_hook) or the "
        "repository (admin:repo_hook). `cto github` alone uses it; it is not kept.",
        examples=["${GITHUB_TOKEN}"],
    )
    flow: Flow = Field(default_factory=Flow, description="What starts agents.", examples=[{}])

    @model_validator(mode="after")
    def _webhook_has_owner(self) -> GitHubSettings:
        if self.webhooks is WebhookOwner.REPOSITORY and self.repository is None:
            reason = "is needed by github.webhooks 'repository'"
            raise refused(reason, "give the repository", field="repository")
        return self
