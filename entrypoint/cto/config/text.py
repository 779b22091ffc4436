"""Texts that must have a form: names, addresses, quantities. Each says what it must be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


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
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
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
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
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
