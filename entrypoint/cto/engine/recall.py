"""Finds the values of a configuration's secrets where an installation put them: in its Secrets.

The state keeps only where a value came from, a variable or a file that is on another machine or
gone. So an upgrade needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cto.catalog import Component, SuppliedSecret
from cto.config.model import Config
from cto.config.problems import Problem, failure
from cto.engine import pullsecrets
from cto.engine.secretsteps import supplied_key
from cto.objects import ObjectRef, secret_data
from cto.plan.pulling import SECRET
from cto.ports import Cluster

_PULL = "registry.password"


class Recall:
    """Looks values up by the dotted paths of their fields, each Secret once.

    Args:
        components: All that there are, a user's own among them.
        cluster: Where the platform is.
    """

    def __init__(self, components: Iterable[Component], cluster: Cluster) -> None:
        self._components = tuple(components)
        self._cluster = cluster
        self._data: dict[ObjectRef, Mapping[str, str]] = {}
        self._lost: dict[str, tuple[ObjectRef, ...]] = {}

    def __call__(self, path: str) -> str | None:
        """Return a value; None where no Secret of the installation has it.

        Raises:
            ApiError: A Secret could not be read.
        """
        places = tuple(dict.fromkeys(self._places(path)))
        found = (self._value(ref, key) for ref, key in places)
        value = next(filter(None, found), None)
        if value is None and places:
            self._lost[path] = tuple(dict.fromkeys(ref for ref, _ in places))
        return value

    def refuse_lost(self, config: Config) -> None:
        """Refuse a configuration that still lacks a value which a Secret is made from.

        Raises:
            ConfigError: CTO-1300, with a line for each of them.
        """
        lacking = sorted(self._lost.keys() & set(config.unknown_secrets()))
        if lacking:
            raise failure([self._problem(path) for path in lacking])

    def _problem(self, path: str) -> Problem:
        where = " and ".join(map(str, self._lost[path]))
        return Problem(
            path=path,
            origin="what is installed",
            reason=f"its value is kept in {where} only, and is not there any more",
            fix="give it again, in a file (-c FILE) or by a variable",
        )

    def _value(self, ref: ObjectRef, key: str) -> str:
        if ref.name == SECRET:
            return pullsecrets.password_in(self._read(ref))
        return self._read(ref).get(key, "")

    def _read(self, ref: ObjectRef) -> Mapping[str, str]:
        if ref not in self._data:
            self._data[ref] = secret_data(self._cluster.get(ref))
        return self._data[ref]

    def _places(self, path: str) -> Iterator[tuple[ObjectRef, str]]:
        """Yield the Secrets that a value is put into, and its key there."""
        for component in self._components:
            if path == _PULL:
                yield ObjectRef("v1", "Secret", component.namespace, SECRET), ""
            for secret in component.supplied:
                for name, key in _keys(secret, path):
                    yield ObjectRef("v1", "Secret", component.namespace, name), key


def _keys(secret: SuppliedSecret, path: str) -> Iterator[tuple[str, str]]:
    """Yield the name of the Secret and the key that have the value at a path."""
    if secret.of:
        return
    above, _, last = path.rpartition(".")
    for key, wanted in secret.keys.items():
        if secret.each:
            entry = above.removeprefix(f"{secret.each}.")
            if path == f"{secret.each}.{entry}.{wanted}":
                yield f"{secret.name}-{entry}", key
        elif wanted == f"{above}.*":
            yield secret.name, supplied_key(key, last)
        elif wanted == path:
            yield secret.name, key
