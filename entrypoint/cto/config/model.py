"""The configuration's fields. Their descriptions and examples are the schema and the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from cto.config.agents import Agent, AgentName, GitHubSettings, default_agents
from cto.config.fields import Identifier, KubeName, Secret, SecretReference, Section, refused
from cto.config.problems import did_you_mean, dotted
from cto.config.sections import (
    ClusterSettings,
    ComponentSettings,
    Features,
    Ingress,
    Platform,
    Registry,
)
from cto.config.services import Backups, Databases, ObjectStore, Repository, Smtp
from cto.config.tunneling import Tunneling
from cto.errors import ConfigError

# The version of the format, not of the program: raised when an old file would be misread.
CONFIG_VERSION = "0.1.0"


def _known_version(value: str) -> str:
    if value != CONFIG_VERSION:
        reason = f"this program reads configurations of version {CONFIG_VERSION}"
        raise refused(reason, f"write {CONFIG_VERSION!r}, or take another version of cto")
    return value


def _known_component(name: str, info: ValidationInfo) -> str:
    names = (info.context or {}).get("component_names")
    if names is not None and name not in names:
        reason = "there is no component of this name"
        raise refused(reason, did_you_mean(name, names))
    return name


ComponentName = Annotated[KubeName, AfterValidator(_known_component)]


class Config(Section):
    """Everything that can be configured. Every field may be left out."""

    version: Annotated[str, AfterValidator(_known_version)] = Field(
        default=CONFIG_VERSION, description="Version of this format.", examples=[CONFIG_VERSION]
    )
    profile: str = Field(
        default="minimal",
        min_length=1,
        description="Size and features: minimal, standard, production, or a file of your own.",
        examples=["standard"],
    )
    platform: Platform = Field(
        default=Platform(), description="The platform as a whole.", examples=[{}]
    )
    ingress: Ingress = Field(
        default=Ingress(),
        description="Class and certificates of the platform's Ingress objects.",
        examples=[{}],
    )
    github: GitHubSettings = Field(
        default_factory=GitHubSettings,
        description="The GitHub side; may be set up later.",
        examples=[{}],
    )
    registry: Registry = Field(
        default=Registry(), description="Where the cluster gets its images.", examples=[{}]
    )
    air_gapped: bool | None = Field(
        default=None,
        description="Nothing is fetched from outside, not even by the nodes of a cluster that is "
        "made. Left out: yes if there is a bundle with images.",
        examples=[True],
    )
    features: Features = Field(
        default=Features(), description="What is installed beyond the core.", examples=[{}]
    )
    object_store: ObjectStore = Field(
        default=ObjectStore(),
        description="Where artifacts of workflows, their logs, and backups go: a store outside of "
        "the platform. features.object_store adds one to it instead.",
        examples=[{"bucket": "cto"}],
    )
    backups: Backups = Field(
        default=Backups(),
        description="When backups are made; needs features.backup and an object store.",
        examples=[{}],
    )
    databases: Databases = Field(
        default=Databases(),
        description="Databases that the operators make; needs features.databases. One that is "
        "taken out of here stays as it is.",
        examples=[{}],
    )
    repositories: Mapping[KubeName, Repository] = Field(
        default_factory=dict,
        description="Repositories that Argo CD logs in to, by a name of yours.",
        examples=[{"shop": {"url": "https://github.com/acme/shop.git"}}],
    )
    agents: Mapping[AgentName, Agent] = Field(
        default_factory=default_agents,
        description="The agents, by name.",
        examples=[{"rex": {"enabled": True}}],
    )
    cluster: ClusterSettings = Field(
        default=ClusterSettings(), description="The cluster to install to.", examples=[{}]
    )
    tunneling: Tunneling = Field(
        default=Tunneling(), description="How GitHub's webhooks reach the cluster.", examples=[{}]
    )
    providers: Mapping[Identifier, Secret] = Field(
        default_factory=dict,
        description="Keys of the language models' providers, by name: text, ${VARIABLE}, or a "
        "reference {secret: NAME, key: KEY}.",
        examples=[{"anthropic": "${ANTHROPIC_API_KEY}"}],
    )
    smtp: Smtp = Field(
        default=Smtp(),
        validate_default=True,
        description="The mail server for notifications.",
        examples=[{}],
    )
    components_from: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Folders with components of your own: each is one component's folder, or has "
        "such folders in it. They are installed like those that cto brings.",
        examples=[["./components"]],
    )
    components: Mapping[ComponentName, ComponentSettings] = Field(
        default_factory=dict,
        description="What is different about single components, by name.",
        examples=[{"argo-events": {"mode": "external"}}],
    )

    @field_validator("agents")
    @classmethod
    def _agents_match_apps(
        cls, agents: Mapping[str, Agent], info: ValidationInfo
    ) -> Mapping[str, Agent]:
        github: GitHubSettings | None = info.data.get("github")
        for name, app in (github.apps if github else {}).items():
            given = agents[name].github_app_id if name in agents else None
            if app.id and given not in (None, app.id):
                reason = f"differs from github.apps.{name}.id, which is {app.id}"
                field = f"{name}.github_app_id"
                raise refused(reason, "leave one of them out", field=field)
        return agents

    @field_validator("databases")
    @classmethod
    def _databases_have_operators(cls, databases: Databases, info: ValidationInfo) -> Databases:
        features: Features | None = info.data.get("features")
        for kind, given in databases if features and not features.databases else ():
            if given:
                reason = "needs the operators, which features.databases adds"
                raise refused(reason, "set features.databases: true", field=kind)
        return databases

    @field_validator("smtp")
    @classmethod
    def _mail_has_server(cls, smtp: Smtp, info: ValidationInfo) -> Smtp:
        features: Features | None = info.data.get("features")
        if features is None or not features.mail_notifications:
            return smtp
        for name in ("host", "sender", "recipients"):
            if not getattr(smtp, name):
                reason = "is needed by features.mail_notifications"
                raise refused(reason, f"give smtp.{name}, or switch the feature off", field=name)
        return smtp

    def public(self) -> dict[str, Any]:
        """Return everything as JSON-ready data, with markers in the place of secrets."""
        return self.model_dump(mode="json")

    def secret_values(self, path: str) -> Mapping[str, str]:
        """Return the values of a secret field, which were given as such.

        Args:
            path: Dotted path of the field, `github.webhook_secret`, which returns `{"": value}`;
                or of a mapping, `providers.*`, which returns `{name: value}`.
        """
        found = self._secrets(path)
        return {name: item.reveal() for name, item in found.items() if item.known}

    def secret_reference(self, path: str) -> Mapping[str, SecretReference]:
        """Return the references of a secret field; same paths and keys as `secret_values`."""
        found = self._secrets(path)
        return {name: item.reference for name, item in found.items() if item.reference}

    def unknown_secrets(self) -> tuple[str, ...]:
        """Return the dotted paths of secrets of which only the source is known."""
        return tuple(_unknown(self, ()))

    def _secrets(self, path: str) -> Mapping[str, Secret]:
        parent, _, name = path.rpartition(".")
        if parent == "providers":
            wanted = self.providers if name == "*" else {"": self.providers.get(name)}
        elif parent.startswith("repositories."):
            repository = self.repositories[parent.partition(".")[2]]
            wanted = {"": getattr(repository, name)}
        elif parent.startswith("github.apps."):
            wanted = {"": self.github.apps[parent.removeprefix("github.apps.")].private_key}
        elif path in SECRET_FIELDS:
            wanted = {"": attrgetter(path)(self)}
        else:
            known = ", ".join((*SECRET_FIELDS, "providers.*"))
            text = f"{path!r} is no secret field of the configuration"
            raise ConfigError("CTO-1310", text, hint=f"Secret fields are {known}.")
        return {key: item for key, item in wanted.items() if item is not None}


def _unknown(value: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, Secret):
        if not (value.known or value.reference):
            yield dotted(path)
    elif isinstance(value, Section | Mapping):
        for name, below in value.items() if isinstance(value, Mapping) else value:
            yield from _unknown(below, (*path, str(name)))


def _secret_fields(section: type[Section], above: str = "") -> Iterator[str]:
    """Yield the secret fields of sections, as the sections have them."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _secret_fields(kind, f"{above}{name}.")
        elif above and Secret in get_args(kind):
            yield f"{above}{name}"


SECRET_FIELDS = tuple(sorted(_secret_fields(Config)))
