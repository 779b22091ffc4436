"""Reads bundle/components: one folder per component, the only place where components are named.

Users bring more of them in folders of the same form (`components_from`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cto import __version__
from cto.errors import ConfigError
from cto.goyaml import YAMLError
from cto.objects import ObjectRef, load_yaml

Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|unresolved)$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
# Templates name it after a dot.
ContainerName = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]

ANYWHERE = "anywhere"
OUTSIDE = ("api", "internet", "agent_networks")


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
        each: Kinds of the component's own objects. Each object has a Secret then, beside it, by
            the name of the object, a hyphen, and `name`.
    """

    name: Name
    keys: Mapping[str, GeneratedKey]
    each: tuple[str, ...] = ()


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
    """

    name: Name
    keys: Mapping[str, str]
    type: str = "Opaque"
    each: Literal["", "repositories"] = ""


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


class Upgrade(_Model):
    """What is known about upgrades."""

    from_: str = Field(default="", alias="from")
    hooks: tuple[str, ...] = ()
    hazards: tuple[str, ...] = ()


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


class Opening(_Model):
    """What may reach pods, or what they may reach.

    Attributes:
        ports: Numbers, or expressions over what templates see; 0 is none. Left out: all ports.
        peers: `in`: pods (GROUP, or COMPONENT/GROUP of another one), or `anywhere`. `out`: `api`
            (the API server), `anywhere`, or one of `internet` (all but private addresses) and
            `agent_networks` (those of the configuration) alone.
        why: What for.
    """

    ports: tuple[int | str, ...] = ()
    peers: tuple[str, ...]
    why: Annotated[str, Field(min_length=1)]


class Pods(_Model):
    """Pods of the component, and what of the network is open to them.

    What other pods are to let in is open on both sides by their `in`, and so are name servers.

    Attributes:
        pods: Labels that all of them have, and no others of the namespace; `*` is any value.
        in_: What may reach them.
        out: What they may reach outside of the platform.
    """

    pods: Mapping[str, str]
    in_: tuple[Opening, ...] = Field(default=(), alias="in")
    out: tuple[Opening, ...] = ()


class Exemption(_Model):
    """Where upstream has it looser than the platform's rules are.

    Attributes:
        rule: `wildcard` (in a role), `cluster-admin` (bound to it), `token` (mounted, and of no
            use), `pod-security` (of a namespace, not restricted).
        of: KIND NAME.
        why: Why it has to be.
    """

    rule: Literal["wildcard", "cluster-admin", "token", "pod-security"]
    of: str
    why: Annotated[str, Field(min_length=1)]


class Records(_Model):
    """Objects of a CRD that are over, and nobody works on any more.

    They stay when the component is removed, and do not keep it.

    Attributes:
        crd: PLURAL.GROUP.
        phases: Values of `status.phase` that say so.
    """

    crd: str
    phases: tuple[str, ...]


class Component(_Model):
    """component.yaml. The folder's other files are its templates."""

    name: Name
    title: str
    category: Category
    required: bool = False
    feature: str | None = None
    ingress_class: str = ""
    """What it brings: it is taken for platform.ingress_type ingress, where no other class is."""
    namespace: Name
    namespace_labels: Mapping[str, str] = Field(default_factory=dict)
    release: Name
    depends_on: tuple[str, ...] = ()
    chart: ChartSource
    crds: Crds | None = None
    images: tuple[ComponentImage, ...] = ()
    generated_secrets: tuple[GeneratedSecret, ...] = ()
    supplied_secrets: tuple[SuppliedSecret, ...] = ()
    manifests: Manifests = Manifests()
    ready: Ready = Ready()
    access: ComponentAccess | None = None
    mail: Mail | None = None
    resources: Mapping[ContainerName, ComponentContainer] = Field(default_factory=dict)
    network: Mapping[Name, Pods] = Field(default_factory=dict)
    """Everything else is closed, in the whole namespace."""
    exemptions: tuple[Exemption, ...] = ()
    makes: tuple[Made, ...] = ()
    records: tuple[Records, ...] = ()
    provides: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Sections of the configuration that it stands for. Secrets are of its own namespace."""
    data: tuple[str, ...] = ()
    """Kinds of its own objects that hold data: once made, only --delete-data takes them away."""
    volumes: bool = False
    """Whether it claims volumes of the default StorageClass."""
    upgrade: Upgrade = Upgrade()
    checked: tuple[Checked, ...] = ()
    homepage: str
    licence: str
    folder: Path = Field(exclude=True)
    own: bool = Field(default=False, exclude=True)
    """Whether a user brought it. It is installed unless it belongs to a feature that is off."""

    @field_validator("resources", mode="before")
    @classmethod
    def _of_one_pod(cls, given: Any) -> Any:
        """Take sizes alone for what one pod with one container asks for."""
        sized = isinstance(given, Mapping) and all(
            isinstance(value, Mapping) and "cpu" in value for value in given.values()
        )
        return {"main": {"requests": given}} if given and sized else given

    @model_validator(mode="after")
    def _same_sizes(self) -> Component:
        sizes = {name: {*container.requests} for name, container in self.resources.items()}
        if any(given != next(iter(sizes.values())) for given in sizes.values()):
            told = "; ".join(f"{name}: {', '.join(sorted(given))}" for name, given in sizes.items())
            text = f"all containers of resources need the same sizes ({told})"
            raise ValueError(text)
        return self

    @property
    def chart_folder(self) -> Path:
        """The chart, where it is a folder."""
        return (self.folder if self.own else self.folder.parent.parent) / self.chart.path

    @property
    def definition(self) -> dict[str, Any]:
        """What component.yaml says, ready for JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @property
    def supplied(self) -> tuple[SuppliedSecret, ...]:
        """Its supplied Secrets, with that of its Ingress."""
        named = self.access and self.access.subdomain
        return (*self.supplied_secrets, *((CERTIFICATE,) if named else ()))

    def generated(self, own: Iterable[ObjectRef]) -> Iterator[tuple[str, GeneratedSecret]]:
        """Yield the generated Secrets with their namespaces, as its own objects ask for them."""
        objects = sorted(own)
        for secret in self.generated_secrets:
            if not secret.each:
                yield self.namespace, secret
            for ref in objects:
                if ref.kind in secret.each:
                    name = f"{ref.name}-{secret.name}"
                    yield ref.namespace, secret.model_copy(update={"name": name})

    def secrets(self, own: Iterable[ObjectRef]) -> Iterator[ObjectRef]:
        """Yield the Secrets that the installer makes for it; see `generated`."""
        for namespace, generated in self.generated(own):
            yield ObjectRef("v1", "Secret", namespace, generated.name)
        for supplied in (one for one in self.supplied if not one.each):
            yield ObjectRef("v1", "Secret", self.namespace, supplied.name)

    def made(self, own: Iterable[ObjectRef]) -> Iterator[ObjectRef]:
        """Yield what its program makes by itself, as its own objects make it do so."""
        objects = tuple(own)
        for one in self.makes:
            beside = {ref.namespace for ref in objects if ref.kind in one.beside}
            for place in sorted(beside) if one.beside else (self.namespace,):
                yield ObjectRef(one.api_version, one.kind, place, one.name)

    def size(self, profile: str, *, high_availability: bool) -> str:
        """Return which of the sizes in `resources` fits: a profile of one's own has none."""
        sizes = {size for container in self.resources.values() for size in container.requests}
        if profile in sizes or not sizes:
            return profile
        return "production" if high_availability else "standard"


class Catalog:
    """All components, in the order of their dependencies, then of their names."""

    def __init__(self, bundle: Path, components: Mapping[str, Component]) -> None:
        self.bundle = bundle
        self._components = dict(components)

    @cached_property
    def components(self) -> tuple[Component, ...]:
        ordered: dict[str, Component] = {}

        def visit(name: str) -> None:
            for dependency in self._components[name].depends_on:
                if dependency not in ordered:
                    visit(dependency)
            ordered[name] = self._components[name]

        for name in sorted(self._components):
            if name not in ordered:
                visit(name)
        return tuple(ordered.values())

    def with_remembered(self, definitions: Mapping[str, Any]) -> Catalog:
        """Return the catalog with components of a user that are known from the state alone.

        Raises:
            ConfigError: CTO-1310, this version cannot read one.
        """
        unknown = {name: item for name, item in definitions.items() if name not in self}
        place = Path("cto-state")
        found = {name: _validated(place / name, item, own=True) for name, item in unknown.items()}
        return Catalog(self.bundle, {**self._components, **found}) if found else self

    def __getitem__(self, name: str) -> Component:
        return self._components[name]

    def __contains__(self, name: object) -> bool:
        return name in self._components


def load(bundle: Path, own: Iterable[Path] = ()) -> Catalog:
    """Read every component of a bundle folder, and those of a user's folders.

    Args:
        bundle: Its components are in `components`.
        own: Each is a component's folder, or has such folders in it.

    Raises:
        ConfigError: CTO-1310, naming file, field and value.
    """
    components: dict[str, Component] = {}
    for file, is_own in files(bundle, own):
        component = _read(file, own=is_own)
        if component.name != file.parent.name:
            raise _invalid(file, f"name: {component.name!r} is not the folder's name")
        if other := components.get(component.name):
            text = f"name: {component.name!r} is taken by {other.folder / file.name}"
            raise _invalid(file, text)
        components[component.name] = component
    for component in components.values():
        _check(component, components)
    return Catalog(bundle, components)


def files(bundle: Path, own: Iterable[Path] = ()) -> list[tuple[Path, bool]]:
    """Return every component.yaml, and whether it is a user's. Its folder has its name.

    Raises:
        ConfigError: CTO-1310, there is none in a folder of the user's.
    """
    found = [(file, False) for file in sorted(bundle.glob("components/*/component.yaml"))]
    return [*found, *((file, True) for folder in own for file in _files_of(folder))]


def names(bundle: Path, own: Iterable[str] = ()) -> list[str]:
    """Return the names of all components, without reading their files."""
    return [file.parent.name for file, _ in files(bundle, map(Path, own))]


def _files_of(folder: Path) -> list[Path]:
    file = folder / "component.yaml"
    found = [file] if file.is_file() else sorted(folder.glob("*/component.yaml"))
    if not found:
        text = f"components_from: {folder}: there is no component.yaml, nor a folder with one"
        hint = "Name a component's folder, or one that has such folders in it."
        raise ConfigError("CTO-1310", text, hint=hint)
    return found


def _read(file: Path, *, own: bool) -> Component:
    try:
        data = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise _invalid(file, str(error)) from error
    return _validated(file, data, own=own)


def _validated(file: Path, data: Any, *, own: bool) -> Component:
    if not isinstance(data, Mapping):
        raise _invalid(file, "it is not a mapping")
    try:
        return Component.model_validate({**data, "folder": file.parent, "own": own})
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}, got {item['input']!r}"
            for item in error.errors()
        ]
        raise _invalid(file, "\n".join(lines)) from error


def _check(component: Component, components: Mapping[str, Component]) -> None:
    file = component.folder / "component.yaml"
    for dependency in component.depends_on:
        if dependency not in components:
            raise _invalid(file, f"depends_on: there is no component {dependency!r}")
    if _reaches(component, component.name, components):
        raise _invalid(file, "depends_on: the component depends on itself in the end")
    groups = {
        *component.network,
        *(f"{c.name}/{g}" for c in components.values() for g in c.network),
    }
    for name, group in component.network.items():
        for side, known, openings in (("in", groups, group.in_), ("out", OUTSIDE, group.out)):
            named = {peer for opening in openings for peer in opening.peers}
            if unknown := named - {ANYWHERE, *known}:
                text = f"network.{name}.{side}: there is no {min(unknown)!r}"
                raise _invalid(file, text)
    for template in (*component.manifests.before, *component.manifests.after):
        if not (component.folder / template).is_file():
            raise _invalid(file, f"manifests: there is no file {template!r}")


def _reaches(start: Component, goal: str, components: Mapping[str, Component]) -> bool:
    seen: set[str] = set()
    todo = list(start.depends_on)
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen and name in components:
            seen.add(name)
            todo.extend(components[name].depends_on)
    return False


def _invalid(file: Path, details: str) -> ConfigError:
    return ConfigError("CTO-1310", f"{file}: not a valid component", details=details)
