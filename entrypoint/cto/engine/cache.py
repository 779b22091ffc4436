"""The objects of a cluster as the engine looks at them: listed once, or followed by watches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.ports import Cluster

NOTHING: Mapping[str, Manifest] = MappingProxyType({})


class Scope(NamedTuple):
    """What one watch covers. An empty namespace means all, or a kind without namespaces."""

    api_version: str
    kind: str
    namespace: str


class Tail(NamedTuple):
    """Which log line is asked for. A container's log ends anew with every restart."""

    namespace: str
    pod: str
    uid: str
    container: str
    restarts: int
    previous: bool


Lacking = Callable[[str], str]
"""Says that an image can be had from nowhere, because the bundle lacks it; '' if not so."""


def nothing_lacks(image: str) -> str:
    """Say nothing: nodes ask upstream's registries."""
    del image
    return ""


class Cache(Protocol):
    """The objects of a cluster as they are now, and the last lines of their logs."""

    def objects(self, api_version: str, kind: str, namespace: str) -> Mapping[str, Manifest]:
        """Return the objects by name; `NOTHING` itself as long as they are not known."""
        ...

    def last_line(self, tail: Tail) -> str:
        """Return the last line of a container's log; '' if there is none, or not yet."""
        ...

    def unchanged_s(self, manifest: Manifest) -> float:
        """Return for how long nobody has changed an object, as far as that is known here."""
        ...

    def silent_programs(self) -> Mapping[str, str]:
        """Return what of Kubernetes is not at work; see controlplane.silent."""
        ...

    @property
    def lacking(self) -> Lacking: ...


Group: TypeAlias = tuple[str, str, str]
"""apiVersion, kind, namespace"""


def grouped(refs: Iterable[ObjectRef]) -> dict[Group, set[str]]:
    """Return the names by what one list request covers."""
    groups: defaultdict[Group, set[str]] = defaultdict(set)
    for ref in refs:
        groups[(ref.api_version, ref.kind, ref.namespace)].add(ref.name)
    return dict(groups)


def read_last_line(cluster: Cluster, tail: Tail) -> str:
    """Return the last line that a container wrote before its end; '' if it cannot be had."""
    tries = (True, False) if tail.previous else (False,)
    for previous in tries:
        try:
            text = cluster.logs(
                tail.namespace, tail.pod, tail.container, previous=previous, lines=5
            )
        except ApiError:
            continue
        lines = [line for line in text.splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return ""
