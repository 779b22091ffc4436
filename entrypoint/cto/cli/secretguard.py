"""Which values must not appear where programs are started, and which could not be told from it.

A secret is looked for as a part of every argument and variable. One that is a part of what Helm is
started with anyway, a folder's name or a component's, would be found in every call: it is told as
the weak secret that it is, before anything is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cto.adapters import postrender
from cto.adapters.helm import WORDS
from cto.catalog import Component
from cto.cli.settings import CommandSettings
from cto.config.problems import Problem, failure
from cto.plan import labels
from cto.providers import CREATING
from cto.relocation import Relocation

if TYPE_CHECKING:
    from cto.config.load import Loaded
    from cto.config.model import Config

# Shorter ones would match anything.
_SHORTEST = 6


def secrets_of(config: Config) -> Mapping[str, str]:
    """Return the values that are looked for, by the dotted path of their field."""
    from cto.config.model import SECRET_FIELDS  # noqa: PLC0415 - pydantic is slow to import

    of_repositories = (
        f"repositories.{name}.{field}"
        for name in config.repositories
        for field in ("password", "ssh_private_key")
    )
    of_apps = (f"github.apps.{name}.private_key" for name in config.github.apps)
    return {
        path.replace("*", name): value
        for path in (*SECRET_FIELDS, "providers.*", *of_repositories, *of_apps)
        for name, value in config.secret_values(path).items()
        if len(value) >= _SHORTEST
    }


class SecretGuard:
    """Keeps the secrets of a configuration out of command lines."""

    def __init__(self, loaded: Loaded) -> None:
        self._origins = loaded.origins
        self._secrets = secrets_of(loaded.config)

    @property
    def values(self) -> Iterable[str]:
        return self._secrets.values()

    def is_secret(self, text: str) -> bool:
        """Tell whether a text has one in it."""
        return any(value in text for value in self.values)

    def refuse_weak(self, said: Iterable[str]) -> None:
        """Refuse secrets that are a part of what is said anyway; the texts of neither are told.

        Raises:
            ConfigError: CTO-1300, with a line for each of their fields.
        """
        texts = tuple(said)
        weak = [
            Problem(
                path=field,
                origin=str(self._origins.get(field, "")),
                reason="is a word that also stands in the name of a folder, a component, a "
                "context, an image or an option: it could not be kept out of command lines",
                fix="take a longer, random one, or keep it in a Secret of the cluster and refer "
                "to it: {secret: NAME, key: KEY}",
            )
            for field, value in self._secrets.items()
            if any(value in text for text in texts)
        ]
        if weak:
            raise failure(weak)


def said_anyway(
    settings: CommandSettings, config: Config, components: Sequence[Component]
) -> Iterator[str]:
    """Yield what Helm's command lines and environment hold, whatever is secret."""
    given = settings.options
    folders = (settings.root, settings.cache, given.charts, given.tools, given.bundle)
    yield from (str(path) for path in (*folders, *settings.kubeconfigs()) if path)
    yield from WORDS
    yield from (labels.MANAGED, labels.COMPONENT, labels.DIGEST, *labels.PARTS)
    yield from postrender.environment(Relocation()).values()
    name = config.cluster.name
    yield from (f"{kind.name}-{name}" for kind in CREATING)
    yield config.cluster.context or ""
    for component in components:
        yield from (component.name, component.release, component.namespace)
        yield f"{component.chart.name}-{component.chart.version}"
    if config.registry.url:
        # What is renamed by the post-renderer is in its environment.
        yield config.registry.address
        yield from (image.reference for item in components for image in item.images)
