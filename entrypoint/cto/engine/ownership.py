"""Finds what has a name that we need, and is not ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cto.engine.observe import helm_records
from cto.engine.permissions import Right
from cto.engine.state import NAMESPACE
from cto.objects import labels_of
from cto.plan.labels import MANAGED, MANAGED_BY, OWNER, is_ours
from cto.ports import Cluster
from cto.result import Check, CheckStatus

_OURS = f"{MANAGED_BY}={OWNER}"


@dataclass(frozen=True, kw_only=True)
class ComponentNeeds:
    """The names that one component takes, and what it is to be let do.

    Attributes:
        rights: In its namespace, besides those that every component needs.
        installed: A release of it is deployed.
    """

    name: str
    namespace: str
    release: str
    crds: tuple[str, ...] = ()
    rights: tuple[Right, ...] = ()
    installed: bool = False


def check(cluster: Cluster, components: Sequence[ComponentNeeds]) -> Check:
    """Name every foreign release, namespace and definition, and what would hand it over.

    The namespace of the installer itself is among them: nothing can be used in its place.
    """
    found = tuple(
        dict.fromkeys(
            (
                *_releases(cluster, components),
                *_namespaces(cluster, components),
                *_definitions(cluster, components),
            )
        )
    )
    if not found:
        return Check(
            name="foreign",
            title="Foreign objects",
            status=CheckStatus.PASSED,
            message="nothing is in the way",
        )
    objects = tuple(dict.fromkeys(what for _, what, _ in found))
    return Check(
        name="foreign",
        title="Foreign objects",
        status=CheckStatus.FAILED,
        message=f"{len(objects)} objects were not made by this installer and are in the way",
        fix=_fix(found),
        code="CTO-1401",
        items=objects,
    )


_Found = tuple[str, str, str]
"""component ('' for the installer's own), object for people, command that hands it over"""


def _fix(found: Sequence[_Found]) -> str:
    users = sorted({component for component, _, _ in found if component})
    modes = "\n".join(f"  components.{component}.mode: external" for component in users)
    commands = "\n".join(dict.fromkeys(f"  {command}" for _, _, command in found))
    over = f"to be changed and one day removed by this installer:\n{commands}"
    if not users:
        return f"Hand it over, {over}"
    return f"Use what is there:\n{modes}\nor hand it over, {over}"


def _releases(cluster: Cluster, components: Sequence[ComponentNeeds]) -> Iterator[_Found]:
    records = helm_records(cluster)
    for component in components:
        record = records.get(f"{component.namespace}/{component.release}")
        if record and not record.ours:
            secret = f"sh.helm.release.v1.{record.name}.v{record.revision}"
            yield (
                component.name,
                f"Helm release {record.name} in {record.namespace}",
                f"kubectl label secret {secret} -n {record.namespace} {MANAGED}=true",
            )


def _namespaces(cluster: Cluster, components: Sequence[ComponentNeeds]) -> Iterator[_Found]:
    foreign = {
        item["metadata"]["name"]
        for item in cluster.list_metadata("v1", "Namespace")
        if not is_ours(labels_of(item))
    }
    wanted = [("", NAMESPACE), *((component.name, component.namespace) for component in components)]
    for component, namespace in wanted:
        if namespace in foreign:
            command = f"kubectl label namespace {namespace} --overwrite {_OURS}"
            yield component, f"Namespace {namespace}", command


def _definitions(cluster: Cluster, components: Sequence[ComponentNeeds]) -> Iterator[_Found]:
    kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    foreign = {
        item["metadata"]["name"]
        for item in cluster.list_metadata(*kind)
        if not is_ours(labels_of(item))
    }
    for component in components:
        for name in component.crds:
            if name in foreign:
                command = f"kubectl label crd {name} --overwrite {_OURS}"
                yield component.name, f"CustomResourceDefinition {name}", command
