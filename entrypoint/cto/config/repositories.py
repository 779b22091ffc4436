"""Repositories that Argo CD logs in to, by the names of its Secrets' keys."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cto.config.base import Section
from cto.config.secret import Secret
from cto.config.text import refused


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
