"""What a plan's steps do, as rights to be had: no more, and no less."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cto.engine import rbac
from cto.engine.agents import GROUP as AGENTS
from cto.engine.planned import HOOK, Known, PlannedObject, Resources, resources_of, writes
from cto.engine.rbac import Right, Rights
from cto.engine.readiness import has_status
from cto.engine.state import NAMESPACE
from cto.objects import Manifest, ObjectRef, annotations_of, ref_of
from cto.plan import labels
from cto.plan.changes import CHANGING, Action
from cto.plan.observed import Observed, ReleaseState
from cto.plan.steps import (
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    DeleteNamespace,
    DeleteObjects,
    DeleteState,
    EnsureNamespace,
    Plan,
    ProbeService,
    RemovePullSecret,
    Step,
    SupplyPullSecret,
    UninstallRelease,
    WaitReady,
)

_READ = ("get", "list")
_FOLLOWED = ("list", "watch")
# An apply is a patch that may create.
_APPLIED = (*_READ, "create", "patch")
# What is deleted is looked for until it is gone.
_DELETED = (*_READ, "delete")
_CRDS = ("apiextensions.k8s.io", ("customresourcedefinitions",))


def rights_of(
    known: Known, objects: Sequence[PlannedObject], *, agents: Collection[str] = ()
) -> Rights:
    """Return what the steps do, and what every run does.

    Args:
        known: What the plan does, and what is known of the cluster.
        objects: What it writes.
        agents: Namespaces in which agents run.
    """
    resources = resources_of(known)
    changing = [step for step in known.steps if writes(step)]
    single = [*_always(known), *_of_objects(objects), *_of_health(known.steps, agents)]
    # Helm's records are Secrets of any namespace.
    single.append(Right("list", "", "secrets"))
    for step in changing:
        single += _of_step(step, resources)
    components = {step.component for step in changing}
    for step in known.steps:
        if isinstance(step, WaitReady) and step.component in components:
            single += _all(_FOLLOWED, "", ("pods", "events"), step.namespace)
    return Rights(
        single=tuple(dict.fromkeys(single)),
        roles=rbac.roles_of(objects),
        bindings=rbac.bindings_of(objects),
        absent=_absent(known),
    )


def rights_of_removal(
    plan: Plan,
    observed: Observed,
    known: Known,
    *,
    hooks: Mapping[str, Sequence[Manifest]],
    namespaces: Collection[str],
) -> Rights:
    """Return what a removal does, and what it looks at before.

    Args:
        plan: What goes.
        observed: What was seen of the cluster.
        known: The same plan, and what the API server offers.
        hooks: What Helm runs around the removal of a component's release.
        namespaces: Those of all components.
    """
    resources = resources_of(known)
    releases = observed.state.releases if observed.state else {}
    there: Mapping[str, Mapping[str, str]] = {NAMESPACE: {}} if observed.state else {}
    single = [*_always(replace(known, namespaces={**there, **known.namespaces}))]
    # Who may not see which namespaces there are may find all of them.
    for place in sorted(set(namespaces) & observed.namespaces.keys() or namespaces):
        single += _all(("list",), "", ("secrets", "persistentvolumeclaims"), place)
    glue = {ref for release in releases.values() for ref in release.glue}
    looked_at = {ref for release in releases.values() for ref in release.objects} | glue
    looked_at |= {ObjectRef("v1", "Secret", ref.namespace, "") for ref in glue if ref.namespace}
    single += _of_refs(("list",), looked_at, resources)
    single += _of_instances(observed, resources)
    for step in plan.changes:
        single += _of_step(step, resources)
        if isinstance(step, UninstallRelease):
            release = releases.get(step.component)
            single += _of_release(step, release, hooks.get(step.component, ()), resources)
    return Rights(single=tuple(dict.fromkeys(single)), absent=_absent(known))


def _of_instances(observed: Observed, resources: Resources) -> Iterator[Right]:
    """Yield the look for objects of our definitions: of what cannot be listed nothing goes."""
    ours = {name for name, found in observed.crds.items() if labels.COMPONENT in found}
    for resource in resources.values():
        if f"{resource.plural}.{resource.group}" in ours:
            yield Right("list", resource.group, resource.plural)


def _of_release(
    step: UninstallRelease,
    release: ReleaseState | None,
    hooks: Sequence[Manifest],
    resources: Resources,
) -> Iterator[Right]:
    """Yield what Helm does, and the wait for what it deleted."""
    yield from _all((*_READ, "update", "delete"), "", ("secrets",), step.namespace)
    yield from _of_refs(_DELETED, release.objects if release else (), resources)
    yield from _of_refs(_DELETED, release.hooks if release else (), resources)
    yield from _of_pods(step.namespace)
    for hook in hooks:
        runs = "delete" in annotations_of(hook).get(HOOK, "")
        verbs = (*_DELETED, *(("create", "watch") if runs else ()))
        yield from _of_refs(verbs, [ref_of(hook, default_namespace=step.namespace)], resources)


def _of_pods(*namespaces: str) -> Iterator[Right]:
    """Yield the look for the pods of what goes; outside of namespaces there are none."""
    for place in sorted(set(filter(None, namespaces))):
        yield from _all(("list",), "", ("pods",), place)
        yield from _all(("list",), "apps", ("deployments", "statefulsets", "replicasets"), place)
        yield from _all(("list",), "batch", ("jobs",), place)


def _of_refs(
    verbs: Sequence[str], refs: Iterable[ObjectRef], resources: Resources
) -> Iterator[Right]:
    """Yield these verbs of the kinds, in the namespaces of the objects."""
    for ref in sorted(refs):
        if resource := resources.get((ref.group, ref.kind)):
            place = ref.namespace if resource.namespaced else ""
            yield from _all(verbs, resource.group, (resource.plural,), place)


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
    yield from _all(("list",), "", ("namespaces", "nodes"))
    yield from _all(("list",), *_CRDS)
    if NAMESPACE not in known.namespaces:
        yield Right("create", "", "namespaces")
    # Those of earlier runs are looked at by one that adds its own, and the oldest go.
    more = ("list", "delete") if any(step.action in CHANGING for step in known.steps) else ()
    yield from _all(("get", "create", "update", *more), "", ("configmaps",), NAMESPACE)
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
            yield from _of_refs(("delete",), step.prune, resources)
        case DeleteObjects():
            yield from _of_refs(_DELETED, step.objects, resources)
            yield from _of_pods(*(ref.namespace for ref in step.objects if ref.group))
        case DeleteNamespace():
            yield Right("delete", "", "namespaces", name=step.namespace)
        case DeleteState() if step.everything:
            yield Right("delete", "", "configmaps", NAMESPACE)
            yield Right("delete", "", "namespaces", name=NAMESPACE)
        case _:
            return


def _of_health(steps: Iterable[Step], agents: Iterable[str]) -> Iterator[Right]:
    """Yield what is asked for when all is done."""
    for place in agents:
        # What the platform's accounts may do, and whether a run would be taken.
        yield Right("create", "authorization.k8s.io", "subjectaccessreviews")
        yield Right("create", AGENTS, "coderuns", place)
    for step in steps:
        if isinstance(step, ProbeService):
            yield Right("get", "", "services/proxy", step.namespace)


def _all(
    verbs: Iterable[str], group: str, resources: Iterable[str], namespace: str = ""
) -> list[Right]:
    return [Right(verb, group, name, namespace) for name in resources for verb in verbs]
