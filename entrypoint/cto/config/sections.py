"""The sections of the configuration, but for agents."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from cto.config.fields import (
    DomainName,
    Duration,
    FilePath,
    KubeName,
    Network,
    RegistryUrl,
    RepositoryPath,
    Secret,
    Section,
    refused,
)
from cto.config.services import PlatformAccess
from cto.providers import NAMES, PROVIDERS

NAMESPACE = "cto"


def _only_namespace(value: str) -> str:
    # The controller's program watches this one only: its name is compiled in
    # (github.com/5dlabs/cto, crates/controller/src/bin/agent_controller.rs).
    if value != NAMESPACE:
        reason = f"must be {NAMESPACE!r}: the controller's image watches no other namespace"
        raise refused(reason, "leave the line out")
    return value


class IngressType(StrEnum):
    NODEPORT = "nodeport"
    INGRESS = "ingress"
    NONE = "none"


class Environment(StrEnum):
    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class Platform(Section):
    """The platform as a whole."""

    name: KubeName = Field(
        default="cto", description="Name of this platform.", examples=["acme-agents"]
    )
    domain: DomainName | None = Field(
        default=None,
        description="Domain under which the platform is reached.",
        examples=["agents.example.com"],
    )
    namespace: Annotated[KubeName, AfterValidator(_only_namespace)] = Field(
        default=NAMESPACE,
        description="Namespace of controller and agents. Only cto works: the controller's image "
        "watches no other.",
        examples=[NAMESPACE],
    )
    ingress_type: IngressType = Field(
        default=IngressType.NODEPORT,
        description="How the user interfaces are reached: nodeport (a port of every node), "
        "ingress (by names under platform.domain), none (from inside the cluster).",
        examples=["nodeport"],
    )
    network_policies: bool = Field(
        default=True,
        description="Whether the platform's namespaces are closed but for what its components need "
        "(docs/security.md), where the cluster's network enforces NetworkPolicies.",
        examples=[False],
    )
    agent_networks: tuple[Network, ...] = Field(
        default=(),
        description="Private networks that agents may reach besides the internet, at every port, "
        "and dex at 443: where a GitHub Enterprise Server, a model or a proxy of yours is.",
        examples=[["10.1.2.3/32"]],
    )
    environment: Environment = Field(
        default=Environment.DEV, description="What the platform is used for.", examples=["prod"]
    )
    access: PlatformAccess = Field(
        default=PlatformAccess(),
        description="Log-in by GitHub; needs platform.ingress_type ingress.",
        examples=[{}],
    )

    @model_validator(mode="after")
    def _ingress_has_domain(self) -> Platform:
        if self.ingress_type is IngressType.INGRESS and self.domain is None:
            reason = "is needed by platform.ingress_type 'ingress'"
            raise refused(reason, "give the domain", field="domain")
        return self


class Ingress(Section):
    """The way in by names below platform.domain, for platform.ingress_type ingress."""

    class_name: KubeName | None = Field(
        default=None,
        description="IngressClass. Left out: the cluster's default or only one; that of Traefik, "
        "which is then installed, where there is none.",
        examples=["traefik"],
    )
    issuer: KubeName | None = Field(
        default=None,
        description="ClusterIssuer of cert-manager for the certificates, unless one is given. "
        "Without either an authority of the platform's own signs them.",
        examples=["letsencrypt"],
    )
    certificate: Secret | None = Field(
        default=None,
        description="Certificate for all names below platform.domain, as PEM with those that "
        "certify it: text, ${VARIABLE}, or a reference {secret: NAME, key: KEY}.",
        examples=["${TLS_CERTIFICATE}"],
    )
    private_key: Secret | None = Field(
        default=None,
        description="The certificate's private key, given like it.",
        examples=["${TLS_KEY}"],
    )

    @model_validator(mode="after")
    def _one_certificate(self) -> Ingress:
        if (self.certificate is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate"
            reason = "is needed by the other one of ingress.certificate and private_key"
            raise refused(reason, f"give ingress.{missing}", field=missing)
        return self


class RegistryType(StrEnum):
    LOCAL = "local"
    GENERIC = "generic"
    ECR = "ecr"


class Registry(Section):
    """Where the cluster gets its images."""

    type: RegistryType = Field(
        default=RegistryType.LOCAL,
        description="local (as upstream names them, or a registry of the installer's own), "
        "generic (your registry), ecr (Amazon's).",
        examples=["generic"],
    )
    url: RegistryUrl | None = Field(
        default=None,
        description="Host of the registry, with its port if it has one.",
        examples=["registry.example.com:5000"],
    )
    namespace: RepositoryPath = Field(
        default="cto", description="Folder of the registry that holds the images.", examples=["cto"]
    )
    username: str | None = Field(
        default=None, description="Name for the log-in.", examples=["puller"]
    )
    password: Secret | None = Field(
        default=None,
        description="Password for the log-in: text, ${VARIABLE}, or a reference "
        "{secret: NAME, key: KEY}.",
        examples=["${REGISTRY_PASSWORD}"],
    )
    mapping: FilePath | None = Field(
        default=None,
        description="What `cto bundle push --output json` wrote: the digests of the images that it "
        "brought to the registry. Left out: those of the bundle that is at hand, else those of "
        "bundle/lock.yaml.",
        examples=["mapping.json"],
    )
    check: bool = Field(
        default=True,
        description="Ask the registry before an installation whether it has every image; false "
        "where only the cluster can reach it.",
        examples=[False],
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="Certificates to trust besides the usual ones when the registry is asked.",
        examples=["/etc/ssl/company.pem"],
    )

    @property
    def host(self) -> str:
        """The registry as references name it."""
        return (self.url or "").rpartition("://")[2].rstrip("/")

    @property
    def address(self) -> str:
        """The registry and its folder, as `cto bundle push` takes them."""
        return f"{(self.url or '').rstrip('/')}/{self.namespace}"

    @model_validator(mode="after")
    def _is_complete(self) -> Registry:
        if self.type is not RegistryType.LOCAL and self.url is None:
            reason = f"is needed by registry.type {self.type.value!r}"
            raise refused(reason, "give the registry's host", field="url")
        if self.type is RegistryType.ECR and ".dkr.ecr" not in (self.url or ""):
            reason = "is not the address of an Amazon registry"
            fix = "it looks like ACCOUNT.dkr.ecr.REGION.amazonaws.com"
            raise refused(reason, fix, field="url")
        self._check_login()
        return self

    def _check_login(self) -> None:
        # https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
        # What is written into a pull secret, be it copied from another Secret, is over that soon.
        if self.type is RegistryType.ECR and self.password:
            reason = "an Amazon registry's password expires after 12 hours and is not renewed here"
            fix = "leave it out: nodes pull by their own role (AmazonEC2ContainerRegistryPullOnly)"
            raise refused(reason, fix, field="password")
        if self.type is RegistryType.ECR and self.username:
            reason = "is of no use to an Amazon registry: its password expires after 12 hours"
            fix = "leave it out: nodes pull by their own role (AmazonEC2ContainerRegistryPullOnly)"
            raise refused(reason, fix, field="username")
        if self.username and self.password is None:
            reason = "is needed by registry.username"
            raise refused(reason, "give both or none", field="password")
        if self.password and not self.username and self.type is RegistryType.GENERIC:
            reason = "is needed by registry.password"
            raise refused(reason, "give both or none", field="username")


class Features(Section):
    """What is installed beyond the core."""

    monitoring: bool = Field(
        default=False, description="Grafana, VictoriaMetrics, VictoriaLogs.", examples=[True]
    )
    databases: bool = Field(
        default=False, description="Operators for PostgreSQL and Redis.", examples=[True]
    )
    mail_notifications: bool = Field(
        default=False, description="Mail from Argo CD and Grafana; needs smtp.", examples=[True]
    )
    backup: bool = Field(default=False, description="Backups by Velero.", examples=[True])
    object_store: bool = Field(
        default=False,
        description="An S3-compatible store in the cluster, where object_store names none.",
        examples=[True],
    )
    high_availability: bool = Field(
        default=False,
        description="Several replicas on different nodes, with disruption budgets.",
        examples=[True],
    )


if TYPE_CHECKING:
    ClusterProvider: TypeAlias = StrEnum
else:
    ClusterProvider = StrEnum("ClusterProvider", {name.upper(): name for name in NAMES})


class PreflightCheck(StrEnum):
    """Checks that may be left out: all but the one that nothing foreign is written over."""

    VERSION = "version"
    PERMISSIONS = "permissions"
    STORAGE = "storage"
    ARCHITECTURE = "architecture"
    ROOM = "room"
    QUOTAS = "quotas"
    POLICIES = "policies"
    WEBHOOKS = "webhooks"
    PODS = "pods"
    REGISTRY = "registry"


class ClusterSettings(Section):
    """The cluster to install to."""

    provider: ClusterProvider | None = Field(
        default=None,
        description=f"{', '.join(f'{kind.name} ({kind.cluster})' for kind in PROVIDERS)}. "
        "Left out: kind where there is a Docker, else existing.",
        examples=["existing"],
    )
    context: str | None = Field(
        default=None,
        min_length=1,
        description="Context of the kubeconfig, for provider existing.",
        examples=["staging"],
    )
    name: KubeName = Field(
        default="cto",
        # kind adds to it, and host names have 63 characters at most.
        max_length=40,
        description="Name of a kind cluster that is made.",
        examples=["cto-two"],
    )
    use_context: bool = Field(
        default=False,
        description="Let kubectl use the cluster that is made, though it uses another one now.",
        examples=[True],
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Nodes of a cluster that is made. A kind cluster keeps what it was made with.",
        examples=[3],
    )
    unverified_kubelets: bool = Field(
        default=False,
        description="Read metrics also of kubelets that sign their own certificates. Whoever "
        "answers at a node's address is given a token that reads metrics then.",
        examples=[True],
    )
    step_timeout: Duration = Field(
        default="10m",
        description="How long a step may take, pulls of its images included, before it is given "
        "up: a number with s, m or h. What cannot get ready ends a step sooner in any case.",
        examples=["30m"],
    )
    skip_preflight: tuple[PreflightCheck, ...] = Field(
        default=(),
        description="Checks before the installation that are left out: the run says so, and goes "
        "on where they would have ended it.",
        examples=[["room"]],
    )


class Mode(StrEnum):
    MANAGED = "managed"
    EXTERNAL = "external"
    DISABLED = "disabled"


class ComponentSettings(Section):
    """What is different about one component."""

    mode: Mode = Field(
        default=Mode.MANAGED,
        description="managed (installed by cto), external (yours is used), disabled.",
        examples=["external"],
    )
    version: str | None = Field(
        default=None,
        min_length=1,
        description="Version of the chart, where the charts are given by hand.",
        examples=["10.1.3"],
    )
    values: Mapping[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="Helm values, merged over those of the installer, as they are: ${NAME} is the "
        "chart's here. No place for secrets: Helm keeps values in the cluster; name existing "
        "Secrets instead.",
        examples=[{"replicas": 2}],
    )
