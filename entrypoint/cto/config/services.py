"""Services beside the platform: stores, databases, mail, log-in, and repositories for Argo CD."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cto.config.fields import (
    BucketName,
    CronSchedule,
    Email,
    GitHubOwner,
    HostName,
    KubeName,
    Matches,
    Quantity,
    Recipient,
    Region,
    Secret,
    Section,
    StoreUrl,
    refused,
)


class ObjectStore(Section):
    """Where artifacts of workflows, their logs, and backups go."""

    endpoint: StoreUrl | None = Field(
        default=None,
        description="Address of an S3-compatible store; Amazon's when left out. By http:// "
        "everything is sent in the clear.",
        examples=["https://s3.example.com:9000"],
    )
    bucket: BucketName | None = Field(
        default=None, description="A bucket that exists.", examples=["cto"]
    )
    region: Region = Field(
        default="us-east-1", description="Its region.", examples=["eu-central-1"]
    )
    access_key: Secret | None = Field(
        default=None,
        description="Name for the log-in: text, ${VARIABLE}, or a reference {secret: NAME, key: "
        "KEY}. Without both keys, nodes have to have a role that may.",
        examples=["${AWS_ACCESS_KEY_ID}"],
    )
    secret_key: Secret | None = Field(
        default=None,
        description="What belongs to access_key, given in the same ways.",
        examples=["${AWS_SECRET_ACCESS_KEY}"],
    )

    @model_validator(mode="after")
    def _is_complete(self) -> ObjectStore:
        if self.bucket is None and (self.endpoint or self.access_key or self.secret_key):
            reason = "is needed where a store is named"
            raise refused(reason, "give the name of a bucket that exists", field="bucket")
        if (self.access_key is None) != (self.secret_key is None):
            field = "access_key" if self.access_key is None else "secret_key"
            reason = "is needed by the other key"
            raise refused(reason, "give both or none", field=field)
        return self


class Backups(Section):
    """When backups are made; needs features.backup and an object store."""

    schedule: CronSchedule = Field(
        default="0 3 * * *",
        description="When, in UTC, as crontab has it.",
        examples=["30 1 * * 0"],
    )
    keep_days: int = Field(
        default=30, ge=1, le=3650, description="For how many days one is kept.", examples=[7]
    )
    snapshots: bool = Field(
        default=False,
        description="Whether volumes are kept, too, as snapshots of their driver (CSI), where it "
        "has them.",
        examples=[True],
    )


class Database(Section):
    """A database."""

    # The names of its pods, Services and Secrets begin with it.
    name: KubeName = Field(max_length=40, description="Its name.", examples=["shop"])
    namespace: KubeName = Field(
        default="databases",
        description="Where it is. A namespace that is not there is made.",
        examples=["shop"],
    )
    size: Quantity = Field(
        default="1Gi", description="Size of the volume of each of its pods.", examples=["20Gi"]
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=9,
        description="Its pods: one that is written to, the others hold copies.",
        examples=[3],
    )


class Databases(Section):
    """Databases that the operators make."""

    postgresql: tuple[Database, ...] = Field(
        default=(),
        description="Clusters of CloudNativePG. Secret NAME-app tells how to log in.",
        examples=[[{"name": "shop", "size": "20Gi", "replicas": 2}]],
    )
    redis: tuple[Database, ...] = Field(
        default=(),
        description="Redis with a password, which Secret NAME-redis has; written to at Service "
        "NAME-master.",
        examples=[[{"name": "cache"}]],
    )

    @model_validator(mode="after")
    def _names_are_single(self) -> Databases:
        for kind, given in self:
            places = [(one.namespace, one.name) for one in given]
            for number, place in enumerate(places):
                if place in places[:number]:
                    reason = f"{place[0]} has a database of this name already"
                    field = f"{kind}.{number}.name"
                    raise refused(reason, "give each a name of its own", field=field)
        return self


class Encryption(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Smtp(Section):
    """The mail server for notifications."""

    host: HostName | None = Field(
        default=None, description="Name of the mail server.", examples=["smtp.example.com"]
    )
    port: int = Field(default=587, ge=1, le=65535, description="Its port.", examples=[587])
    encryption: Encryption = Field(
        default=Encryption.STARTTLS,
        description="starttls (usual on port 587), tls (usual on port 465), none.",
        examples=["starttls"],
    )
    username: str | None = Field(default=None, description="Name for the log-in.", examples=["cto"])
    password: Secret | None = Field(
        default=None,
        description="Password for the log-in: text, ${VARIABLE}, or a reference "
        "{secret: NAME, key: KEY}.",
        examples=["${SMTP_PASSWORD}"],
    )
    sender: Email | None = Field(
        default=None, description="Address that the mail comes from.", examples=["cto@example.com"]
    )
    recipients: tuple[Recipient, ...] = Field(
        default=(),
        description="Addresses that the mail goes to. Argo Events takes none with a plus sign, or "
        "with a last part of more than four letters.",
        examples=[["team@example.com"]],
    )


class RepositoryType(StrEnum):
    GIT = "git"
    HELM = "helm"
    OCI = "oci"


_SCHEMES: Mapping[RepositoryType, tuple[str, ...]] = {
    RepositoryType.GIT: ("https://", "http://", "ssh://", "git@"),
    RepositoryType.HELM: ("https://", "http://"),
    RepositoryType.OCI: ("oci://",),
}


class Repository(Section):
    """A repository that Argo CD logs in to."""

    url: str = Field(
        description="Its URL, as applications have it.",
        examples=["https://github.com/acme/shop.git"],
    )
    type: RepositoryType = Field(
        default=RepositoryType.GIT,
        description="git, helm (charts, over HTTPS), oci (oci://...).",
        examples=["oci"],
    )
    shared: bool = Field(
        default=False,
        description="url is how the URLs of several begin, which all have this log-in.",
        examples=[True],
    )
    username: str | None = Field(
        default=None, min_length=1, description="Name for the log-in.", examples=["git"]
    )
    password: Secret | None = Field(
        default=None,
        description="Password or token: text, ${VARIABLE}, or a reference {secret: NAME, key: "
        "KEY}.",
        examples=["${GIT_TOKEN}"],
    )
    ssh_private_key: Secret | None = Field(
        default=None, description="Key for git over SSH, given alike.", examples=["${GIT_KEY}"]
    )

    @model_validator(mode="after")
    def _fits(self) -> Repository:
        schemes = _SCHEMES[self.type]
        if not self.url.startswith(schemes):
            reason = f"does not begin as one of type {self.type.value} does"
            raise refused(reason, f"it begins with {' or '.join(schemes)}", field="url")
        if "://" in self.url and urlsplit(self.url).password is not None:
            reason = "has a password in it, which everybody would see"
            raise refused(reason, "give it as password", field="url")
        if (self.username is None) != (self.password is None):
            field = "password" if self.password is None else "username"
            reason = "is needed by the other one"
            raise refused(reason, "give both or none", field=field)
        if self.password and self.ssh_private_key:
            reason = "there is a password already"
            raise refused(reason, "leave one of them out", field="ssh_private_key")
        if self.shared and not (self.password or self.ssh_private_key):
            reason = "is needed by shared: nothing is shared without a log-in"
            raise refused(reason, "give username and password", field="password")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """What Argo CD knows the Secret by."""
        kind = "repo-creds" if self.shared else "repository"
        return {"argocd.argoproj.io/secret-type": kind}

    @property
    def data(self) -> dict[str, str]:
        """What of it is no secret, by the keys of Argo CD."""
        named = {"type": self.type.value, "url": self.url, "username": self.username}
        return {key: value for key, value in named.items() if value}


Team = Annotated[
    str,
    Matches(
        r"[a-z0-9_]([-a-z0-9_]{0,253}[a-z0-9_])?",
        "must be a team as the address of its page has it, github.com/orgs/ORG/teams/TEAM",
    ),
]


class PlatformAccess(Section):
    """Log-in by GitHub, beside what each user interface has by itself."""

    github_org: GitHubOwner | None = Field(
        default=None,
        description="Organization whose members log in to Argo CD, Argo Workflows and Grafana, by "
        "dex, and read there. Capitals as GitHub has them: teams are known by it.",
        examples=["acme"],
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        description="Client id of an OAuth App whose callback URL is https://dex.DOMAIN/callback.",
        examples=["Ov23liExample"],
    )
    client_secret: Secret | None = Field(
        default=None,
        description="Its client secret: text, ${VARIABLE}, or a reference {secret: NAME, key: "
        "KEY}.",
        examples=["${OAUTH_CLIENT_SECRET}"],
    )
    admins: tuple[Team, ...] = Field(
        default=(),
        description="Teams of the organization whose members administer.",
        examples=[["platform"]],
    )
    viewers: tuple[Team, ...] = Field(
        default=(),
        description="Teams whose members read, and nobody else who is in no team of admins. Left "
        "out: the whole organization.",
        examples=[["developers"]],
    )

    @model_validator(mode="after")
    def _is_complete(self) -> PlatformAccess:
        given = self.client_id or self.client_secret or self.admins or self.viewers
        if self.github_org is None and given:
            reason = "is needed by the other fields of platform.access"
            raise refused(reason, "give the organization, or leave them out", field="github_org")
        for name in ("client_id", "client_secret") if self.github_org else ():
            if getattr(self, name) is None:
                reason = "is needed by platform.access.github_org"
                fix = "make an OAuth App: Settings of the organization, Developer settings"
                raise refused(reason, fix, field=name)
        return self
