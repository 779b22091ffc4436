"""What of the installed objects is not what was installed, field by field, and who changed it.

Releases are compared with the manifests that Helm keeps of them, the platform's own objects with
what this version renders, if that is what was applied. A dry run of the apply tells what would
become of an object: defaults and fields of others are no drift.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from cto.catalog import Component
from cto.engine import managers
from cto.engine.differences import change_of
from cto.engine.dryrun import as_helm_would
from cto.errors import ApiError
from cto.objects import Manifest, labels_of, ref_of
from cto.plan import labels
from cto.plan.changes import Action, FieldChange, ObjectChange, TakenBack
from cto.plan.desired import phase_of
from cto.plan.observed import Observed
from cto.plan.steps import Plan, RepairObjects
from cto.ports import Cluster, Releases

_RENDERED_AT_ONCE = 4
_PARALLEL = 8
_HELM, _CTO = "helm", "cto"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One object that is not what was installed.

    Attributes:
        manager: Whose apply puts it right: `helm` or `cto`.
        manifest: What was installed.
        change: What that apply changes: fields from what they are to what they were.
        others: Who changed which of these fields, as far as the object tells.
    """

    component: str
    manager: str
    manifest: Manifest
    change: ObjectChange
    others: tuple[TakenBack, ...] = ()

    @property
    def is_missing(self) -> bool:
        return self.change.action is Action.CREATE

    def who(self, field: FieldChange) -> TakenBack | None:
        """Return who changed a field; None if the object does not tell."""
        return next((one for one in self.others if one.field == field.path), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "component": self.component,
            "object": self.change.ref.to_json(),
            "missing": self.is_missing,
            "fields": [
                {
                    "path": field.path,
                    "installed": field.new,
                    "now": field.old,
                    "manager": ((who := self.who(field)) and who.manager) or "",
                    "time": who.time if who else "",
                }
                for field in self.change.fields
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Drifts:
    """What was found, and what could not be looked at."""

    found: tuple[Drift, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    component: str
    manager: str
    manifest: Manifest


def drifts(
    cluster: Cluster,
    releases: Releases,
    observed: Observed,
    components: Sequence[Component],
    own: Mapping[str, Sequence[Manifest]],
) -> Drifts:
    """Compare everything that is installed with what was installed.

    Args:
        cluster: Where it is.
        releases: Helm.
        observed: What was seen, with the state.
        components: Those of the catalog.
        own: Component -> its own objects, as this version would apply them.
    """
    state = observed.state
    there = [one for one in components if state and one.name in state.releases]
    scopes = {(kind.api_version, kind.kind): kind.namespaced for kind in cluster.kinds()}
    wanted = [*_of_releases(releases, there, scopes), *_own(own, there)]
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="drift") as pool:
        spaces = sorted({one.namespace for one in there})
        scaled = dict(zip(spaces, pool.map(lambda n: _scaled(cluster, n), spaces), strict=True))
        answers = list(pool.map(lambda one: _compared(cluster, one, scaled), wanted))
    return Drifts(
        found=tuple(one for one in answers if isinstance(one, Drift)),
        unknown=tuple(one for one in answers if isinstance(one, str)),
    )


def _of_releases(
    releases: Releases, components: Sequence[Component], scopes: Mapping[tuple[str, str], bool]
) -> Iterator[_Wanted]:
    with ThreadPoolExecutor(_RENDERED_AT_ONCE, thread_name_prefix="manifest") as pool:
        told = list(pool.map(lambda c: releases.manifest(c.release, c.namespace), components))
    for component, manifests in zip(components, told, strict=True):
        for manifest in manifests:
            namespaced = scopes.get((manifest["apiVersion"], manifest["kind"]), True)
            marked = as_helm_would(
                manifest, component.release, component.namespace, namespaced=namespaced
            )
            yield _Wanted(component=component.name, manager=_HELM, manifest=marked)


def _own(own: Mapping[str, Sequence[Manifest]], there: Sequence[Component]) -> Iterator[_Wanted]:
    for component in there:
        for manifest in own.get(component.name, ()):
            yield _Wanted(component=component.name, manager=_CTO, manifest=manifest)


def _scaled(cluster: Cluster, namespace: str) -> frozenset[tuple[str, str]]:
    try:
        found = cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", namespace=namespace)
    except ApiError:
        return frozenset()
    return managers.scaled_by_autoscalers(found)


def _compared(
    cluster: Cluster, wanted: _Wanted, scaled: Mapping[str, frozenset[tuple[str, str]]]
) -> Drift | str | None:
    """Return the drift of one object, None if there is none, or why nobody knows."""
    ref = ref_of(wanted.manifest)
    try:
        live = cluster.get(ref, managed_fields=True)
        if live and wanted.manager == _CTO and not _is_of_this_version(live, wanted.manifest):
            return f"{ref}: another version of cto applied it"
        after = cluster.apply(wanted.manifest, dry_run=True, manager=wanted.manager)
    except ApiError as error:
        return f"{ref}: {error.message}"
    change = change_of(ref, live, after)
    if change is None:
        return None
    targets = scaled.get(ref.namespace, frozenset())
    if (ref.kind, ref.name) in targets:
        # How many there are, an autoscaler says.
        kept = tuple(field for field in change.fields if field.path != "spec.replicas")
        change = replace(change, fields=kept)
    if not (change.fields or change.action is Action.CREATE):
        return None
    others = managers.taken_back(ref, live, after, targets) if live else ()
    return Drift(
        component=wanted.component,
        manager=wanted.manager,
        manifest=wanted.manifest,
        change=change,
        others=others,
    )


def _is_of_this_version(live: Manifest, wanted: Manifest) -> bool:
    return labels_of(live).get(labels.DIGEST) == labels_of(wanted).get(labels.DIGEST)


def repair(found: Sequence[Drift], observed: Observed, components: Sequence[Component]) -> Plan:
    """Return the plan that puts back exactly what drifted."""
    titles = {component.name: component for component in components}
    groups: dict[tuple[str, str], list[Drift]] = {}
    for one in found:
        groups.setdefault((one.component, one.manager), []).append(one)
    state = observed.state
    return Plan(
        command="repair",
        context=observed.context,
        provider=state.provider if state else "",
        profile=state.profile if state else "",
        simulated=observed.simulated,
        steps=tuple(
            RepairObjects(
                id=f"repair:{name}" + ("" if manager == _HELM else "/own"),
                phase=phase_of(titles[name]),
                title=f"Put back what drifted of {titles[name].title}",
                action=Action.REPAIR,
                reason=f"{len(group)} drifted",
                component=name,
                manager=manager,
                manifests=tuple(one.manifest for one in group),
                objects=tuple(one.change for one in group),
            )
            for (name, manager), group in groups.items()
        ),
        components=tuple(titles[name] for name in dict.fromkeys(one.component for one in found)),
    )
