"""What a plan's steps do, as rights to be had: no more, and no less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cto.engine import escalation
from cto.engine.health import CONTROLLER, OF_THE_CONTROLLER
from cto.engine.permissions import Right, Rights
from cto.engine.planned import Known, PlannedObject, Resources, resources_of, writes
from cto.engine.readiness import has_status
from cto.engine.state import NAMESPACE
from cto.plan.steps import (
    Action,
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    EnsureNamespace,
    ProbeService,
    RemovePullSecret,
    Step,
    SupplyPullSecret,
    WaitReady,
)

_READ = ("get", "list")
_FOLLOWED = ("list", "watch")
# An apply is a patch that may create.
_APPLIED = (*_READ, "create", "patch")
_CRDS = ("apiextensions.k8s.io", ("customresourcedefinitions",))


def rights_of(known: Known, objects: Sequence[PlannedObject]) -> Rights:
    """Return what the steps do, and what every run does."""
    resources = resources_of(known)
    changing = [step for step in known.steps if writes(step)]
    single = [*_always(known), *_of_objects(objects), *_of_health(known.steps)]
    for step in changing:
        single += _of_step(step, resources)
    components = {step.component for step in changing}
    for step in known.steps:
        if isinstance(step, WaitReady) and step.component in components:
            single += _all(_FOLLOWED, "", ("pods", "events"), step.namespace)
    return Rights(
        single=tuple(dict.fromkeys(single)),
        roles=escalation.roles_of(objects),
        bindings=escalation.bindings_of(objects),
        absent=_absent(known),
    )


def _absent(known: Known) -> tuple[str, ...] | None:
    """Return the namespaces that are not there; None if nobody could look."""
    if not known.namespaces:
        return None
    wanted = {step.manifest["metadata"]["name"] for step in _namespaces(known)} | {NAMESPACE}
    return tuple(sorted(wanted - known.namespaces.keys()))


def _namespaces(known: Known) -> Iterator[EnsureNamespace]:
    yield from (step for step in known.steps if isinstance(step, EnsureNamespace))


def _always(known: Known) -> Iterator[Right]:
    """Yield what every look at a cluster begins with, and what lock and state need."""
    yield Right("get", "", "namespaces")
    # Helm's records are Secrets of any namespace.
    yield from _all(("list",), "", ("namespaces", "nodes", "secrets"))
    yield from _all(("list",), *_CRDS)
    if NAMESPACE not in known.namespaces:
        yield Right("create", "", "namespaces")
    yield from _all(("get", "create", "update"), "", ("configmaps",), NAMESPACE)
    yield from _all(("get", "create", "update"), "coordination.k8s.io", ("leases",), NAMESPACE)


def _of_objects(objects: Iterable[PlannedObject]) -> Iterator[Right]:
    for item in objects:
        resource = item.resource
        yield from _all(_verbs(item), resource.group, (resource.plural,), item.ref.namespace)


def _verbs(item: PlannedObject) -> Sequence[str]:
    if item.ref.kind == "Namespace" and item.release is None:
        # It is applied; only one that is not there has to be made.
        return ("get", "patch") if item.there else ("get", "create", "patch")
    if item.ref.kind == "Secret" and item.release is None:
        return ("get", "create", "patch")
    watched = has_status(item.ref.api_version, item.ref.kind)
    return (
        *_APPLIED,
        # Helm deletes what a new version lacks, and hooks before they are made again.
        *(("delete",) if item.release else ()),
        *(("watch",) if watched else ()),
    )


def _of_step(step: Step, resources: Resources) -> Iterator[Right]:
    """Yield what a step does beside writing its objects."""
    match step:
        case ApplyRelease():
            place = step.release.namespace
            # Helm keeps a record of each revision, and no more than ten.
            yield from _all((*_READ, "create", "update", "delete"), "", ("secrets",), place)
            # What hooks wait for is told while Helm waits for them.
            yield from _all(_FOLLOWED, "batch", ("jobs",), place)
            yield from _all(_FOLLOWED, "", ("pods", "events"), place)
            if step.action is Action.UPDATE:
                # A change of the strategy replaces a Deployment first.
                yield from _all(("get", "update"), "apps", ("deployments",), place)
        case ApplyCrds():
            yield from _all((*_APPLIED, "watch"), *_CRDS)
        case SupplyPullSecret():
            yield from _all(("get", "patch"), "", ("serviceaccounts",), step.namespace)
        case RemovePullSecret():
            yield from _all(("get", "delete"), "", ("secrets",), step.namespace)
            yield from _all(("get", "patch"), "", ("serviceaccounts",), step.namespace)
        case ApplyManifests():
            for ref in step.prune:
                if resource := resources.get((ref.group, ref.kind)):
                    yield Right("delete", resource.group, resource.plural, ref.namespace)
        case _:
            return


def _of_health(steps: Iterable[Step]) -> Iterator[Right]:
    """Yield what is asked for when all is done."""
    for step in steps:
        if isinstance(step, ProbeService):
            yield Right("get", "", "services/proxy", step.namespace)
        if isinstance(step, WaitReady) and step.component == CONTROLLER:
            # What the platform's accounts may do.
            yield Right("create", "authorization.k8s.io", "subjectaccessreviews")
            for right in OF_THE_CONTROLLER:
                yield Right(right.verb, right.group, right.resource, step.namespace)


def _all(
    verbs: Iterable[str], group: str, resources: Iterable[str], namespace: str = ""
) -> list[Right]:
    return [Right(verb, group, name, namespace) for name in resources for verb in verbs]
