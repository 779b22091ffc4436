"""Reads bundle/components: one folder per component, the only place where components are named.

Users bring more of them in folders of the same form (`components_from`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from cto.catalog.network import ANYWHERE, OUTSIDE, Exemption, Opening, Pods
from cto.catalog.parts import (
    CERTIFICATE,
    AgentRunner,
    Category,
    ChartSource,
    Checked,
    ComponentAccess,
    ComponentContainer,
    ComponentImage,
    ContainerName,
    Crds,
    GeneratedKey,
    GeneratedSecret,
    HealthSources,
    Made,
    Mail,
    Manifests,
    Name,
    PodRequests,
    Probe,
    Ready,
    Receivers,
    Records,
    Requests,
    Sha256,
    SuppliedSecret,
    Upgrade,
    _Model,
)
from cto.errors import ConfigError, nearest
from cto.goyaml import YAMLError
from cto.objects import ObjectRef, load_yaml

__all__ = [
    "ANYWHERE",
    "CERTIFICATE",
    "OUTSIDE",
    "AgentRunner",
    "Catalog",
    "Category",
    "ChartSource",
    "Checked",
    "Component",
    "ComponentAccess",
    "ComponentContainer",
    "ComponentImage",
    "ContainerName",
    "Crds",
    "Exemption",
    "GeneratedKey",
    "GeneratedSecret",
    "HealthSources",
    "Made",
    "Mail",
    "Manifests",
    "Name",
    "Opening",
    "PodRequests",
    "Pods",
    "Probe",
    "Ready",
    "Receivers",
    "Records",
    "Requests",
    "Sha256",
    "SuppliedSecret",
    "Upgrade",
    "files",
    "load",
    "names",
]


class Component(_Model):
    """component.yaml. The folder's other files are its templates."""

    name: Name
    title: str
    category: Category
    required: bool = False
    feature: str | None = None
    when: str = ""
    """Field of the configuration that asks for it; PATH=VALUE if only one value does."""
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
    health: HealthSources = HealthSources()
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
    """Whether a user brought it. It is installed unless its `feature`, or `when`, is off."""

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
        text = f"there is no component.yaml in {folder}, nor in a folder of it"
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
    sources = {secret.of for secret in component.supplied_secrets} - {""}
    for field, others in (("depends_on", component.depends_on), ("supplied_secrets", sources)):
        for lost in sorted({*others} - components.keys()):
            near = nearest(lost, components, likeness=0.6)
            meant = f"; did you mean {near}?" if near else ""
            raise _invalid(file, f"{field}: there is no component {lost!r}{meant}")
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
