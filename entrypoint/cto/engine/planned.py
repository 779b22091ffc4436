"""What a plan will write, object by object. Charts were rendered for it; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cto.errors import ToolError
from cto.objects import POD_GROUPS, POD_SPECS, Manifest, ObjectRef, annotations_of
from cto.plan.changes import CHANGING
from cto.plan.labels import is_ours
from cto.plan.observed import Observed, ReleaseRecord
from cto.plan.steps import (
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    Certify,
    EnsureNamespace,
    GenerateSecret,
    Plan,
    Step,
    SupplyPullSecret,
    SupplySecret,
    UninstallRelease,
)
from cto.ports import ApiKind, Cluster, Releases

HOOK = "helm.sh/hook"
_RENDERED_AT_ONCE = 4
CrdSource = Callable[[ApplyCrds], Sequence[Manifest]]
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


@dataclass(frozen=True)
class Resource:
    """A kind as the API's paths have it."""

    group: str
    plural: str
    namespaced: bool


Resources = Mapping[tuple[str, str], Resource]
"""By (group, kind)."""


@dataclass(frozen=True, kw_only=True)
class PlannedObject:
    """One object that a plan writes.

    Attributes:
        ref: With the namespace that the API will give it.
        manifest: As rendered; of Secrets that the installer makes there are no values in it.
        release: (name, namespace) of the Helm release that it belongs to; None if the installer
            applies it itself.
        known: The state's inventory has it: an earlier run made it.
        there: It is a namespace that exists.
    """

    component: str
    ref: ObjectRef
    resource: Resource
    manifest: Manifest
    release: tuple[str, str] | None = None
    known: bool = False
    there: bool = False

    @property
    def hook(self) -> bool:
        return HOOK in annotations_of(self.manifest)

    @property
    def pods(self) -> PodTemplate | None:
        return pod_template(self.manifest)


@dataclass(frozen=True, kw_only=True)
class PodTemplate:
    """The pods of one workload.

    Attributes:
        replicas: How many there will be; 0 for those that nobody can count (one on every node), or
            that end by themselves.
        spec: As rendered, with the volumes of a StatefulSet's claims.
    """

    replicas: int
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the cluster and of what will be in it.

    Attributes:
        steps: Those of the plan.
        rendered: What the charts of changing releases render, hooks included, by component.
        crds: The definitions that will be applied, by component.
        kinds: What the API server offers already.
        records: What Helm keeps, by `NAMESPACE/RELEASE`.
        namespaces: Labels of those that are there.
        inventory: What earlier runs made.
    """

    steps: Sequence[Step] = ()
    rendered: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    crds: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    kinds: Sequence[ApiKind] = ()
    records: Mapping[str, ReleaseRecord] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    inventory: frozenset[ObjectRef] = frozenset()


def planned_objects(known: Known) -> tuple[PlannedObject, ...]:
    """Return everything that the steps write, each object once.

    What is of a kind that nobody offers is left out: the API server cannot be asked about it.
    """
    resources = resources_of(known)
    found: dict[ObjectRef, PlannedObject] = {}
    for step in filter(writes, known.steps):
        for namespace, manifest in _manifests(step, known):
            resource = resources.get((_group(manifest), manifest["kind"]))
            if resource is None:
                continue
            made = _object(step, manifest, resource, namespace, known)
            found.setdefault(made.ref, made)
    return tuple(found.values())


def writes(step: Step) -> bool:
    """Tell whether a step writes, or compares and may write when it runs."""
    return step.action in CHANGING or isinstance(step, Certify | SupplySecret | SupplyPullSecret)


def _object(
    step: Step,
    manifest: Manifest,
    resource: Resource,
    namespace: str,
    cluster: Known,
) -> PlannedObject:
    metadata = manifest["metadata"]
    place = (metadata.get("namespace") or namespace) if resource.namespaced else ""
    ref = ObjectRef(manifest["apiVersion"], manifest["kind"], place, metadata["name"])
    owner = (step.release.name, step.release.namespace) if isinstance(step, ApplyRelease) else None
    return PlannedObject(
        component=step.component,
        ref=ref,
        resource=resource,
        manifest=manifest,
        release=owner,
        known=ref in cluster.inventory,
        there=ref.kind == "Namespace" and ref.name in cluster.namespaces,
    )


def _manifests(step: Step, known: Known) -> Iterator[tuple[str, Manifest]]:
    """Yield what a step writes, with the namespace of what names none."""
    match step:
        case EnsureNamespace():
            yield "", step.manifest
        case ApplyCrds():
            yield from (("", crd) for crd in known.crds.get(step.component, ()))
        case ApplyManifests():
            yield from (("default", manifest) for manifest in step.manifests)
        case ApplyRelease():
            rendered = known.rendered.get(step.component, ())
            yield from ((step.release.namespace, manifest) for manifest in rendered)
        case GenerateSecret():
            yield step.namespace, _secret(step.secret.name)
        case Certify():
            yield step.secret.namespace, _secret(step.secret.name)
        case SupplySecret() | SupplyPullSecret():
            yield step.namespace, _secret(step.name)
        case _:
            return


def _secret(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


def resources_of(known: Known) -> Resources:
    offered = {
        (kind.api_version.rpartition("/")[0], kind.kind): Resource(
            kind.api_version.rpartition("/")[0], kind.plural, kind.namespaced
        )
        for kind in known.kinds
    }
    definitions = [crd for found in known.crds.values() for crd in found]
    coming = {
        (crd["spec"]["group"], crd["spec"]["names"]["kind"]): Resource(
            crd["spec"]["group"],
            crd["spec"]["names"]["plural"],
            crd["spec"]["scope"] == "Namespaced",
        )
        for crd in definitions
    }
    return {**offered, **coming}


def _group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"]).rpartition("/")[0]


def is_definition(item: PlannedObject) -> bool:
    return (item.ref.api_version, item.ref.kind) == CRD


def pod_template(manifest: Manifest) -> PodTemplate | None:
    """Return what a workload's pods are made of; None for kinds that make no pods."""
    kind = manifest["kind"]
    path = POD_SPECS.get(kind, ())
    if not path or _group(manifest) not in POD_GROUPS:
        return None
    holder: Any = manifest
    for key in path[:-1]:
        holder = holder.get(key) or {}
    replicas = manifest.get("spec", {}).get("replicas")
    counted = {"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"}
    number = (1 if replicas is None else int(replicas)) if kind in counted else int(kind == "Pod")
    return PodTemplate(
        replicas=0 if HOOK in annotations_of(manifest) else number,
        metadata=holder.get("metadata") or {},
        spec=_with_claims(manifest, holder.get("spec") or {}),
    )


def _with_claims(manifest: Manifest, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a pod's spec with the volumes that a StatefulSet's controller adds for its claims.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage
    """
    templates = manifest.get("spec", {}).get("volumeClaimTemplates") or ()
    names = [template["metadata"]["name"] for template in templates]
    if not names:
        return spec
    own = [volume for volume in spec.get("volumes") or () if volume.get("name") not in names]
    claimed = [
        {
            "name": name,
            "persistentVolumeClaim": {"claimName": f"{name}-{manifest['metadata']['name']}-0"},
        }
        for name in names
    ]
    return {**spec, "volumes": [*own, *claimed]}


def workloads(
    objects: Iterable[PlannedObject],
) -> Iterator[tuple[PlannedObject, PodTemplate]]:
    """Yield those that make pods, with what their pods are made of."""
    for item in objects:
        template = item.pods
        if template is not None and template.spec:
            yield item, template


def known_of(
    plan: Plan, observed: Observed, cluster: Cluster, crds_of: CrdSource, releases: Releases
) -> Known:
    """Return what is known before a plan is carried out: what changes is rendered, no more.

    Raises:
        ToolError: A chart cannot be rendered.
    """
    kinds = cluster.kinds()
    crd_steps = [step for step in plan.changes if isinstance(step, ApplyCrds)]
    release_steps = [step for step in plan.changes if isinstance(step, ApplyRelease)]

    # Each may be a helm that renders a whole chart.
    with ThreadPoolExecutor(_RENDERED_AT_ONCE, thread_name_prefix="render") as pool:
        definitions = list(pool.map(crds_of, crd_steps))
        crds = {step.component: made for step, made in zip(crd_steps, definitions, strict=True)}
        offered = _api_versions(kinds, definitions)
        rendered = pool.map(
            lambda step: releases.template(
                step.release, kube_version=observed.kube_version, api_versions=offered
            ),
            release_steps,
        )
        manifests = {
            step.component: made for step, made in zip(release_steps, rendered, strict=True)
        }
    known = (observed.state.releases if observed.state else {}).values()
    ours = (ref for ref, found in observed.present.items() if is_ours(found))
    return Known(
        steps=plan.steps,
        rendered=manifests,
        crds=crds,
        kinds=kinds,
        records=observed.records,
        namespaces=observed.namespaces,
        inventory=frozenset([*(ref for r in known for ref in (*r.objects, *r.glue)), *ours]),
    )


def hooks_of(plan: Plan, releases: Releases) -> dict[str, Sequence[Manifest]]:
    """Return the hooks of the releases that a plan takes away, by component."""
    steps = [step for step in plan.changes if isinstance(step, UninstallRelease)]

    def hooks(step: UninstallRelease) -> Sequence[Manifest]:
        # Who may not read Helm's records learns of that first.
        with suppress(ToolError):
            return releases.hooks(step.release, step.namespace)
        return ()

    with ThreadPoolExecutor(_RENDERED_AT_ONCE, thread_name_prefix="hooks") as pool:
        found = list(pool.map(hooks, steps))
    return {step.component: made for step, made in zip(steps, found, strict=True)}


def _api_versions(
    kinds: Iterable[ApiKind], definitions: Iterable[Sequence[Manifest]]
) -> tuple[str, ...]:
    """Return what charts may ask for that Helm does not know by itself: custom resources."""
    offered = {(kind.api_version, kind.kind) for kind in kinds}
    offered |= {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
        for found in definitions
        for crd in found
        for version in crd["spec"]["versions"]
    }
    custom = sorted(pair for pair in offered if _is_custom(pair[0].rpartition("/")[0]))
    return tuple(dict.fromkeys(word for api, kind in custom for word in (api, f"{api}/{kind}")))


def _is_custom(group: str) -> bool:
    return "." in group and not group.endswith(".k8s.io")
