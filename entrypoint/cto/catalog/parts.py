"""What a component's file may say, part by part: chart, images, Secrets, pods."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cto import __version__
from cto.versions import is_older

Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|unresolved)$")]


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


# Templates name it after a dot.
ContainerName = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Category(StrEnum):
    CORE = "core"
    ORCHESTRATION = "orchestration"
    MONITORING = "monitoring"
    DATABASE = "database"
    SECURITY = "security"
    OPTIONAL = "optional"


class ChartSource(_Model):
    """Where a chart comes from: published (`url`, `sha256`), or a folder (`path`).

    The folder is one of the bundle; that of a user's own component is beside its component.yaml.
    """

    name: str
    version: str
    repository: str = ""
    url: str = ""
    oci: str = ""
    sha256: Sha256 = "unresolved"
    path: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> ChartSource:
        if bool(self.url) == bool(self.path):
            text = "give either url (with sha256) or path"
            raise ValueError(text)
        return self


class Crds(_Model):
    """Where a chart keeps its CRDs.

    Attributes:
        source: `templates` (rendered, `on` and `off` switch them), `crds` (its crds/ folder).
        on: Values that make the chart render all of its CRDs.
        off: Values that make it render none: the installer applies them itself.
    """

    source: Literal["templates", "crds"]
    on: Mapping[str, Any] = Field(default_factory=dict)
    off: Mapping[str, Any] = Field(default_factory=dict)


class ComponentImage(_Model):
    """An image of the component, as upstream names it.

    Attributes:
        why: What needs it.
        hides_in: Where it is if not in a pod spec: `argument`, `configmap`, `operator`, ...
        value: Key of the values that names it, for rewriting.
        ours: Whether it is made of this project, by `make image`. No registry has it, hence no
            lock; it comes with the bundle. `ref` is without a tag: that is our version.
    """

    ref: str
    why: str
    hides_in: str = ""
    value: str = ""
    ours: bool = False

    @property
    def reference(self) -> str:
        """The whole reference."""
        return f"{self.ref}:{__version__}" if self.ours else self.ref


class GeneratedKey(_Model):
    """One key of a generated Secret: `random` characters, or a fixed `value`."""

    random: Annotated[int, Field(ge=16, le=128)] | None = None
    value: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> GeneratedKey:
        if (self.random is None) == (self.value is None):
            text = "give either random (a length) or value"
            raise ValueError(text)
        return self


class GeneratedSecret(_Model):
    """A Secret that the installer makes once, and never changes.

    Attributes:
        entries: A mapping of the configuration. Each entry that is switched on has a key of its
            name then, made as `keys` says of `*`. What is there already stays as it is.
        each: Kinds of the component's own objects. Each object has a Secret then, beside it, by
            the name of the object, a hyphen, and `name`.
    """

    name: Name
    keys: Mapping[str, GeneratedKey]
    each: tuple[str, ...] = ()
    entries: Literal["", "agents"] = ""

    @model_validator(mode="after")
    def _has_pattern(self) -> GeneratedSecret:
        if bool(self.entries) != ("*" in self.keys) or (self.entries and len(self.keys) > 1):
            text = "entries goes with the one key *, and no other"
            raise ValueError(text)
        return self

    def of(self, names: Iterable[str]) -> GeneratedSecret:
        """Return it with a key for each of these entries."""
        if not self.entries:
            return self
        keys = dict.fromkeys(names, self.keys["*"])
        return self.model_copy(update={"keys": keys})


class SuppliedSecret(_Model):
    """A Secret made from secret values of the configuration.

    Attributes:
        name: May be that of a generated Secret, which is then made all the same, and overwritten
            key by key where the configuration has a value.
        keys: Key of the Secret -> dotted path of the configuration, e.g. `github.webhook_secret`.
            A path that ends in `.*` takes every entry of a mapping; the key is then `*`, or a
            pattern with one `*` that stands for the entry's name in upper case (`*_API_KEY`).
            Paths without a value are left out; a Secret without keys is not made.
        type: Kubernetes' type of the Secret.
        each: A mapping of the configuration, each entry of which has a Secret then: `name`, a
            hyphen, and its name. Paths are those below the entry.
        of: A component whose generated Secrets it is copied from, where that is installed: paths
            are `NAME/KEY` then.
        labels: What programs know it by.
    """

    name: Name
    keys: Mapping[str, str]
    type: str = "Opaque"
    each: Literal["", "repositories"] = ""
    of: str = ""
    labels: Mapping[str, str] = Field(default_factory=dict)


CERTIFICATE = SuppliedSecret(
    name="ingress-tls",
    type="kubernetes.io/tls",
    keys={"tls.crt": "ingress.certificate", "tls.key": "ingress.private_key"},
)
"""That of a component's Ingress: given, or signed by cert-manager or the platform's authority."""


class Manifests(_Model):
    """Templates of the component's own objects: applied before its release, or once ready."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Probe(_Model):
    """Asks a running program over the API server's service proxy; skipped on simulated nodes."""

    service: str
    port: int | str
    path: str
    scheme: Literal["http", "https"] = "http"


class Ready(_Model):
    """When the component is ready, beyond the readiness of all its objects.

    Attributes:
        probe: What must answer.
        waves: How many of its pods start one after the other, at most. What takes longest is begun
            first.
    """

    probe: Probe | None = None
    waves: Annotated[int, Field(ge=1)] = 1


class Starter(_Model):
    """The object that starts agents of what webhooks tell; it sees the events of the health checks.

    Attributes:
        kind: Of the component's own objects.
        name: There may be others of the kind.
        label: Key of the label with its name, by which its pods are known.
    """

    kind: str
    name: Name
    label: str


class Receivers(_Model):
    """Objects that receive webhooks: each has pods, and a Service before them.

    Attributes:
        kind: Of the component's own objects.
        label: Key of the label with the object's name, by which pods and Services are known.
        starts: What acts on what they receive; nothing where there is none.
    """

    kind: str
    label: str
    starts: Starter | None = None


class AgentRunner(_Model):
    """The program that runs agents, as its chart calls what it is made of.

    Attributes:
        program: Its Deployment, and its ServiceAccount.
        account: ServiceAccount of the agents' pods.
        settings: ConfigMap that tells it of the agents, in `config.yaml`.
    """

    program: Name
    account: Name
    settings: Name


class HealthSources(_Model):
    """What of the component the platform's health checks look at, beside what every one has."""

    webhooks: Receivers | None = None
    agents: AgentRunner | None = None


class ComponentAccess(_Model):
    """How users reach it.

    Attributes:
        service: The Service of the user interface.
        port: The Service's port.
        node_port: Where it listens on every node, if it does.
        host_port: Where the local cluster publishes that.
        subdomain: Its name below the platform's domain, with an ingress.
        path: What follows host and port in the address.
        user: Name for the log-in.
        secret: `NAME/KEY` that holds the password.
        annotations: Of its Ingress.
        command: What prints a token, where there is no password. Every `kubectl` in
            it is told the cluster before it is shown.
        when: Field of the configuration without which nothing listens there yet.
    """

    service: str
    port: int
    node_port: int | None = None
    host_port: int | None = None
    subdomain: str = ""
    path: str = ""
    annotations: Mapping[str, str] = Field(default_factory=dict)
    user: str = ""
    secret: str = ""
    command: str = ""
    when: str = ""


class Mail(_Model):
    """How it logs in at the mail server (`smtp` in the configuration).

    Attributes:
        secret: `NAME/KEY` that holds the password, if there is one.
        when: Field of the configuration without which it sends no mails.
    """

    secret: str
    when: str = ""


class Requests(_Model):
    """What a container asks for."""

    cpu: str
    memory: str


class ComponentContainer(_Model):
    """One container of the component, and how many pods have it: templates and preflight read it.

    Attributes:
        pods: An expression over what templates see, e.g. `2 if features.high_availability else 1`.
        requests: By size, which is the name of a built-in profile.
    """

    pods: str = "1"
    requests: Mapping[str, Requests]


@dataclass(frozen=True, kw_only=True)
class PodRequests:
    """What the pods that have one container ask for: its requests, so many times."""

    pods: int
    requests: Requests


class Checked(_Model):
    """What of the component was held against the program's own source, or its real chart.

    Charts take any value, and stand-ins mind none; what a program refuses shows when it starts.

    Attributes:
        what: Which of our values and manifests.
        against: Program or chart, its version, and the files of its source.
        date: When.
    """

    what: Annotated[str, Field(min_length=1)]
    against: Annotated[str, Field(min_length=1)]
    date: dt.date


class Hazard(_Model):
    """What to know before an upgrade across a version of the chart."""

    at: str
    what: str

    def is_between(self, old: str, new: str) -> bool:
        """Tell whether an upgrade from one version to another goes across it."""
        return bool(is_older(old, self.at)) and not is_older(new, self.at)


class Upgrade(_Model):
    """What is known about upgrades.

    Attributes:
        from_: The oldest version of the chart that this one may follow; '' for any.
        hooks: Names of the chart's hooks.
        hazards: What to know: before each upgrade, or before one across a version.
    """

    from_: str = Field(default="", alias="from")
    hooks: tuple[str, ...] = ()
    hazards: tuple[str | Hazard, ...] = ()

    def hazards_between(self, old: str, new: str) -> tuple[str, ...]:
        """Return what to know before an upgrade from one version to another."""
        said = (
            (one if isinstance(one, str) else one.what)
            for one in self.hazards
            if isinstance(one, str) or one.is_between(old, new)
        )
        return tuple(said)


class Made(_Model):
    """An object that the component's own program makes by itself, in its namespace.

    Nobody's work is in it: it keeps no component from being removed, and goes with its data.

    Attributes:
        beside: Kinds of the component's own objects: it is in the namespaces of these instead.
    """

    api_version: str
    kind: str
    name: str
    beside: tuple[str, ...] = ()


class Records(_Model):
    """Objects of a CRD that are over, and nobody works on any more.

    They stay when the component is removed, and do not keep it.

    Attributes:
        crd: PLURAL.GROUP.
        phases: Values of `status.phase` that say so.
    """

    crd: str
    phases: tuple[str, ...]
