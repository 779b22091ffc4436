"""What fields are made of: texts that must have a form, and secrets, which nobody may see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import PydanticCustomError, core_schema

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_WANTED = "must be text, ${VARIABLE}, or a reference {secret: NAME, key: KEY}"


class Section(BaseModel):
    """Frozen, without room for unknown keys, and silent about its input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True)
class Matches:
    """Requires a text to match a pattern as a whole.

    Attributes:
        reason: What it must be, for people.
        hyphens: Its words are parted by hyphens, not underscores: for environment variables.
        numbers: It may be written as a number.
    """

    pattern: str
    reason: str
    hyphens: bool = False
    numbers: bool = False

    def check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise refused(self.reason)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        text = {**handler(schema), "pattern": f"^{self.pattern}$"}
        return {"anyOf": [text, {"type": "number"}]} if self.numbers else text


def refused(reason: str, fix: str = "", field: str = "") -> PydanticCustomError:
    """Return the error for a value that does not fit; `field` names one below the current."""
    return PydanticCustomError("cto", "{reason}", {"reason": reason, "fix": fix, "field": field})


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        reason = "must be a network, like 10.1.2.0/24 or 10.1.2.3/32"
        raise refused(reason, "write its first address, and its length") from None


Network = Annotated[str, AfterValidator(_network)]


def _number_as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
KubeName = Annotated[
    str,
    Matches(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        "must be a Kubernetes name: at most 63 lower-case letters, digits and hyphens, "
        "with a letter or digit at both ends",
        hyphens=True,
    ),
]
Identifier = Annotated[
    str,
    Matches(
        r"[a-z][a-z0-9_]{0,62}",
        "must be a name of lower-case letters, digits and underscores that starts with a letter",
    ),
]
# https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data
SecretKey = Annotated[
    str,
    Matches(r"[-._a-zA-Z0-9]{1,253}", "must be letters, digits, hyphens, underscores and dots"),
]
DomainName = Annotated[
    str,
    Matches(
        rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})+",
        "must be a domain name in lower case, without scheme and path, like agents.example.com",
    ),
]
HostName = Annotated[
    str,
    Matches(
        r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?",
        "must be a host name or an IPv4 address, without scheme and port",
    ),
]
Email = Annotated[
    str,
    Matches(
        r"[^@\s<>\"',;]{1,64}@[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?",
        "must be an e-mail address, like cto@example.com",
    ),
]
# What Argo Events sends mail to: no plus sign, a last part of four letters at most
# (pkg/sensors/triggers/email/email.go of argoproj/argo-events). Others it skips, with a line in the
# Sensor's log. Its mail library refuses dots that follow each other.
Recipient = Annotated[
    Email,
    Matches(
        r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*@"
        r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\.)+[A-Za-z]{2,4}",
        "must be an address that Argo Events sends mail to: letters, digits, dots, hyphens and "
        "underscores, and two to four letters at its end; give an alias that forwards",
    ),
]
RegistryUrl = Annotated[
    str,
    Matches(
        r"(https?://)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/?",
        "must be a registry's host with an optional port, like registry.example.com:5000; its "
        "folder belongs in registry.namespace, its user in registry.username",
    ),
]
StoreUrl = Annotated[
    str,
    Matches(
        r"https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?",
        "must be the address of an S3-compatible store, like https://s3.example.com:9000",
    ),
]
GitHubUrl = Annotated[
    str,
    Matches(
        r"https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/?",
        "must be the address of a GitHub, like https://github.example.com, without a path",
    ),
]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BucketName = Annotated[
    str,
    Matches(
        r"[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]",
        "must be a bucket's name: 3 to 63 lower-case letters, digits, hyphens and dots",
    ),
]
Region = Annotated[
    str, Matches(r"[a-z0-9][-a-z0-9]{0,39}", "must be the name of a region, like eu-central-1")
]
# Five fields, or @daily: https://velero.io/docs/main/api-types/schedule
CronSchedule = Annotated[
    str,
    Matches(
        r"@(hourly|daily|weekly|monthly)|[0-9*][0-9*/,-]*( [0-9*][A-Z0-9*/,-]*){4}",
        "must be five fields, as crontab has them, like '0 3 * * *'",
    ),
]
RepositoryPath = Annotated[
    str,
    Matches(
        r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*",
        "must be a registry's folder: lower-case letters, digits, dots, hyphens and slashes",
    ),
]
GitHubOwner = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}",
        "must be the login of a GitHub organization or user, without github.com",
    ),
]
GitHubRepository = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9._-]{1,100}",
        "must be the name of a repository only; its owner belongs in github.organization",
    ),
]
FilePath = Annotated[
    str,
    Matches(
        r"(?!-----)[^\n\r\0]+",
        "must be the path of a file, not the file's content",
    ),
]
Duration = Annotated[
    str,
    Matches(
        r"[1-9][0-9]{0,4}[smh]",
        "must be a whole number of seconds, minutes or hours with its unit, like 90s, 20m or 1h",
    ),
]
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
Quantity = Annotated[
    str,
    BeforeValidator(_number_as_text),
    Matches(
        r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?",
        "must be a Kubernetes quantity, like 500m, 2 or 4Gi",
        numbers=True,
    ),
]


def seconds_of(duration: str) -> float:
    """Return how long a Duration is."""
    return float(duration[:-1]) * _UNITS_S[duration[-1]]


class SecretReference(Section):
    """A key of a Secret that exists."""

    secret: KubeName = Field(description="Name of the Secret.", examples=["my-llm-keys"])
    key: SecretKey = Field(description="Key of the Secret.", examples=["anthropic"])
    namespace: KubeName = Field(
        default="cto", description="Namespace of the Secret.", examples=["vault"]
    )


class Secret:
    """A secret value with its source, or a reference to one in the cluster.

    repr, str, dumps and error messages show the source only.

    Attributes:
        known: Whether the value is here. It is not for a reference, nor for a secret of an earlier
            run, of which the cluster's state has the source.
    """

    __slots__ = ("_value", "known", "reference", "source")

    def __init__(self, value: str, source: str, reference: SecretReference | None = None) -> None:
        self._value = value
        self.source = source
        self.reference = reference
        self.known = reference is None

    @classmethod
    def remembered(cls, source: str) -> Secret:
        """Return a secret of which only the source is known."""
        secret = cls("", source)
        secret.known = False
        return secret

    def reveal(self) -> str:
        """Return the value itself; empty if it is not known."""
        return self._value

    def marker(self) -> dict[str, str]:
        """Return what may be shown and kept in its place."""
        if self.reference is not None:
            return self.reference.model_dump(exclude_defaults=True)
        return {"from": self.source}

    def __repr__(self) -> str:
        return f"Secret({self.marker()})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._value, self.reference) == (other._value, other.reference)

    def __hash__(self) -> int:
        return hash((self._value, self.reference))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _parse,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.marker),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "string", "minLength": 1},
                SecretReference.model_json_schema(),
            ]
        }


def _parse(data: Any) -> Secret:
    """Accept what a user may write for a secret."""
    if isinstance(data, Secret):
        if data.known and not data.reveal().strip():
            reason = "is empty"
            raise refused(reason)
        return data
    if isinstance(data, str):
        return _parse(Secret(data, "literal"))
    if isinstance(data, Mapping):
        return Secret("", "reference", _reference(data))
    raise refused(_WANTED)


def _reference(data: Mapping[str, Any]) -> SecretReference:
    try:
        return SecretReference.model_validate(data)
    except ValidationError as error:
        # The texts of a user's input stay out: they may be the secret, in the wrong place.
        fields = sorted({str(item["loc"][0]) for item in error.errors(include_input=False)})
    known = ", ".join(name for name in fields if name in SecretReference.model_fields)
    reason = f"{_WANTED} ({known} does not fit)" if known else _WANTED
    raise refused(reason)
