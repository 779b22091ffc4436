"""Which components a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cto.catalog import Catalog, Component
from cto.config.model import Config
from cto.config.sections import ComponentSettings, Features, Mode
from cto.errors import ConfigError, nearest
from cto.plan.network import brings_class, is_set
from cto.plan.observed import Observed, State


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which components the configuration asks for."""

    managed: tuple[Component, ...]
    external: tuple[Component, ...]
    disabled: tuple[Component, ...]

    def on(self, config: Config, observed: Observed) -> Selection:
        """Leave out what a cluster turns out to have already.

        Raises:
            ConfigError: CTO-1320, something else needs what is left out.
        """
        asked = (*self.managed, *self.external, *self.disabled)
        left = {c.name for c in asked if not _is_asked(c, config, observed)}
        return self if not left else _selected([c for c in asked if c.name not in left], config)


def with_installed(catalog: Catalog, state: State | None) -> Catalog:
    """Return the catalog with what a state remembers of components of a user's own."""
    return catalog.with_remembered(state.components if state else {})


def select(catalog: Catalog, config: Config) -> Selection:
    """Return the components that are required, asked for, or bring a class.

    What the cluster may turn out to have already is among them, until `on` leaves it out.

    Raises:
        ConfigError: CTO-1320, a component is disabled that another one needs; CTO-1310, one is of
            a feature that there is not.
    """
    for component in catalog.components:
        _check_feature(component)
    return _selected([c for c in catalog.components if _is_asked(c, config, None)], config)


def _check_feature(component: Component) -> None:
    name = component.feature
    if name is None or name in Features.model_fields:
        return
    near = nearest(name, Features.model_fields)
    meant = f"; did you mean {near}?" if near else f": {', '.join(Features.model_fields)}"
    text = f"{component.folder / 'component.yaml'}: not a valid component"
    details = f"feature: there is no {name!r}{meant}"
    raise ConfigError("CTO-1310", text, details=details)


def _is_asked(component: Component, config: Config, observed: Observed | None) -> bool:
    is_on = bool(getattr(config.features, component.feature or "", False))
    always = component.required or (component.own and not (component.feature or component.when))
    is_asked = bool(component.when) and is_set(component.when, config.public())
    return always or is_on or is_asked or brings_class(component, config, observed)


def _selected(asked: Sequence[Component], config: Config) -> Selection:
    mode = {c.name: settings_of(config, c.name).mode for c in asked}
    for component in asked:
        missing = [d for d in component.depends_on if mode.get(d) in {None, Mode.DISABLED}]
        if mode[component.name] is Mode.MANAGED and missing:
            message = f"{component.name} needs {', '.join(missing)}, which is not to be installed"
            hint = f"Enable {missing[0]}, or set components.{component.name}.mode: disabled."
            raise ConfigError("CTO-1320", message, hint=hint)
    return Selection(
        managed=tuple(c for c in asked if mode[c.name] is Mode.MANAGED),
        external=tuple(c for c in asked if mode[c.name] is Mode.EXTERNAL),
        disabled=tuple(c for c in asked if mode[c.name] is Mode.DISABLED),
    )


def completed(config: Config, selection: Selection) -> Config:
    """Return the configuration with the sections that components stand for.

    Raises:
        ConfigError: CTO-1320, the user has given such a section as well.
    """
    sections = {}
    for component in selection.managed:
        for name, given in component.provides.items():
            mine = getattr(config, name)
            if mine != type(mine)():
                message = f"{name} is given, and features.{component.feature} adds another one"
                hint = f"Leave out {name}, or set features.{component.feature}: false."
                raise ConfigError("CTO-1320", message, hint=hint)
            own = {"namespace": component.namespace}
            filled = {k: {**v, **own} if isinstance(v, Mapping) else v for k, v in given.items()}
            sections[name] = type(mine).model_validate(filled)
    return config.model_copy(update=sections)


def settings_of(config: Config, name: str) -> ComponentSettings:
    return config.components.get(name) or ComponentSettings()
