"""What the controller is told: `config.yaml` of its ConfigMap, by the names of the platform.

Keys that other controllers of the platform read besides are let be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from cto.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def _reference(value: Any) -> Any:
    """Take an image in one piece, or as {repository, tag}."""
    if isinstance(value, Mapping) and value.get("repository"):
        return f"{value['repository']}:{value.get('tag') or 'latest'}"
    return value


Image = Annotated[str, BeforeValidator(_reference)]


class AgentSettings(_Section):
    """One agent. `cli` says which image runs it, unless it has one of its own.

    Attributes:
        duty: What it is told of itself.
        permissions: What its tokens may do at GitHub; empty is all that its App may.
        max_concurrent: How many of its runs go on at a time.
    """

    duty: str = ""
    github_app: str = ""
    image: Image = ""
    cli: str = ""
    model: str = ""
    resources: Mapping[str, Any] = Field(default_factory=dict)
    permissions: Mapping[str, str] = Field(default_factory=dict)
    max_concurrent: int = Field(default=1, ge=0)

    @property
    def pod_resources(self) -> Mapping[str, Any]:
        """Requests and limits; {cpu, memory} alone are requests, and the memory is a limit, too."""
        if "requests" in self.resources or "limits" in self.resources:
            return self.resources
        memory = {key: value for key, value in self.resources.items() if key == "memory"}
        return {"requests": dict(self.resources), "limits": memory}


class SecretKey(_Section):
    secret_name: str
    secret_key: str


class Job(_Section):
    """What every attempt has. An attempt that fails is followed by another one."""

    active_deadline_seconds: int = Field(default=7200, gt=0)
    attempts: int = Field(default=2, gt=0)


class Agents(_Section):
    """What agents run with.

    Attributes:
        image: For every CLI that has none of its own.
        trust_config_map: Has authorities to trust besides the usual ones, in its key `ca.crt`.
    """

    image: Image = ""
    service_account_name: str = "cto-agent"
    trust_config_map: str = ""
    cli_images: Mapping[str, Image] = Field(default_factory=dict)
    cli_providers: Mapping[str, str] = Field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()


class SecretSettings(_Section):
    provider_api_keys: Mapping[str, SecretKey] = Field(default_factory=dict)


class Storage(_Section):
    storage_class_name: str | None = None
    workspace_size: str = "10Gi"


class Cleanup(_Section):
    """When what ended goes. `keep_runs` newest ended runs stay, and none older than `keep_days`."""

    enabled: bool = True
    completed_job_delay_minutes: float = Field(default=5, ge=0)
    failed_job_delay_minutes: float = Field(default=60, ge=0)
    keep_runs: int = Field(default=500, ge=0)
    keep_days: float = Field(default=30, ge=0)


class Queue(_Section):
    """How many runs go on at a time, of all agents together."""

    max_concurrent: int = Field(default=4, ge=0)


class GitHubAddresses(_Section):
    """`host` is where repositories are, `api_url` where their tokens come from."""

    host: str = "github.com"
    api_url: str = "https://api.github.com"


class Settings(_Section):
    job: Job = Job()
    agent: Agents = Agents()
    secrets: SecretSettings = SecretSettings()
    storage: Storage = Storage()
    cleanup: Cleanup = Cleanup()
    queue: Queue = Queue()
    github: GitHubAddresses = GitHubAddresses()
    agents: Mapping[str, AgentSettings] = Field(default_factory=dict)

    def agent_of(self, app: str) -> tuple[str, AgentSettings] | None:
        """Return the agent of a GitHub App, with its name; an agent's own name does as well."""
        for name, agent in self.agents.items():
            if app.lower() in (agent.github_app.lower(), name):
                return name, agent
        return None

    def image_of(self, agent: AgentSettings, cli: str) -> str:
        """Return the image that an agent runs in; '' if none is set for its CLI, nor for all."""
        return agent.image or self.agent.cli_images.get(cli) or self.agent.image


def parsed(told: Mapping[str, Any], where: str) -> Settings:
    """Return settings; `where` says whose they are.

    Raises:
        ConfigError: CTO-1300, a value will not do.
    """
    try:
        return Settings.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    raise ConfigError("CTO-1300", f"{where}: {field}: {first['msg']}")
