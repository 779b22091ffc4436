"""Adds up what a plan takes of the quotas of its namespaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any

from cto.engine.planned import PlannedObject, PodTemplate
from cto.objects import Manifest, ObjectRef, quantity, text_of
from cto.ports import Cluster
from cto.result import Check, Topic

_PARALLEL = 8
TOPIC = Topic("quotas", "Quotas")
_SHORT = {"cpu": "requests.cpu", "memory": "requests.memory"}
# What has a name of its own in a quota, beside count/RESOURCE.GROUP.
_COUNTED = frozenset(
    {
        *("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers"),
        *("resourcequotas", "secrets", "services"),
    }
)
Usage = Mapping[str, Fraction]


def check(cluster: Cluster, objects: Sequence[PlannedObject], namespaces: Iterable[str]) -> Check:
    """Name every quota that what is new does not fit into, with how much is wanted and free.

    https://kubernetes.io/docs/concepts/policy/resource-quotas/

    Args:
        cluster: Who is asked.
        objects: What the plan writes.
        namespaces: Those that are there: one that is made has no quota yet.
    """
    there = set(namespaces)
    by_place: defaultdict[str, list[PlannedObject]] = defaultdict(list)
    for item in objects:
        if item.ref.namespace in there and not item.known:
            by_place[item.ref.namespace].append(item)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="quota") as pool:
        found = pool.map(partial(_short, cluster), by_place, by_place.values())
        lines = tuple(line for lines in found for line in lines)
    if not lines:
        return TOPIC.passed("nothing is too small")
    places = " ".join(sorted({line.partition(" in ")[2].partition(":")[0] for line in lines}))
    return TOPIC.failed(
        f"{len(lines)} of what namespaces allow is too little",
        fix=f"Raise what is named (kubectl describe resourcequota -n NAMESPACE, of {places}), free "
        "what is not needed, or choose a smaller profile.",
        items=lines,
    )


def _short(cluster: Cluster, namespace: str, items: Sequence[PlannedObject]) -> list[str]:
    quotas = [
        quota
        for quota in cluster.list("v1", "ResourceQuota", namespace=namespace)
        # Which pods a scope covers depends on more than a sum.
        if not quota.get("spec", {}).get("scopes") and not quota["spec"].get("scopeSelector")
    ]
    if not quotas:
        return []
    ranges = cluster.list("v1", "LimitRange", namespace=namespace)
    new = _new(cluster, namespace, items)
    wanted = usage_of(new, defaults_of(ranges))
    return [line for quota in quotas for line in _lines(quota, namespace, wanted)]


def _new(
    cluster: Cluster, namespace: str, items: Sequence[PlannedObject]
) -> Sequence[PlannedObject]:
    """Return what is not there: what a run left half-done counts as used already."""
    kinds = dict.fromkeys((item.ref.api_version, item.ref.kind) for item in items)
    there = {
        ObjectRef(*kind, namespace, found["metadata"]["name"])
        for kind in kinds
        for found in cluster.list_metadata(*kind, namespace=namespace)
    }
    return [item for item in items if item.ref not in there]


def _lines(quota: Manifest, namespace: str, wanted: Usage) -> Iterator[str]:
    hard = quota.get("status", {}).get("hard") or quota["spec"].get("hard") or {}
    used = quota.get("status", {}).get("used") or {}
    for key, limit in hard.items():
        asked = wanted.get(_SHORT.get(key, key), Fraction(0))
        free = quantity(str(limit)) - quantity(str(used.get(key, "0")))
        if asked > free:
            name = quota["metadata"]["name"]
            yield (
                f"ResourceQuota {name} in {namespace}: {text_of(asked)} {key} wanted, "
                f"{text_of(max(free, Fraction(0)))} free of {limit}"
            )


def defaults_of(ranges: Iterable[Manifest]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the requests and limits that a container gets that has none of its own."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for item in ranges:
        for row in item.get("spec", {}).get("limits") or ():
            if row.get("type") == "Container":
                requests |= row.get("defaultRequest") or {}
                limits |= row.get("default") or {}
    return requests, limits


def usage_of(
    items: Iterable[PlannedObject],
    defaults: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> Usage:
    """Return what objects take of a quota, by the quota's words."""
    total: defaultdict[str, Fraction] = defaultdict(Fraction)
    for item in items:
        for key, amount in _usage(item, defaults):
            total[key] += amount
    return total


def _usage(
    item: PlannedObject, defaults: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[tuple[str, Fraction]]:
    resource = item.resource
    kind = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    yield f"count/{kind}", Fraction(1)
    if not resource.group and resource.plural in _COUNTED:
        yield resource.plural, Fraction(1)
    spec = item.manifest.get("spec") or {}
    if item.ref.kind == "Service":
        yield from _of_service(spec)
    if item.ref.kind == "PersistentVolumeClaim":
        yield from _of_claim(spec, 1)
    template = item.pods
    if template:
        yield from _of_pods(template, defaults)
        for claim in spec.get("volumeClaimTemplates") or ():
            yield "persistentvolumeclaims", Fraction(template.replicas)
            yield from _of_claim(claim.get("spec") or {}, template.replicas)


def _of_service(spec: Mapping[str, Any]) -> Iterator[tuple[str, Fraction]]:
    kind = spec.get("type")
    if kind == "LoadBalancer":
        yield "services.loadbalancers", Fraction(1)
    opens = kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    )
    if opens:
        yield "services.nodeports", Fraction(len(spec.get("ports") or ()))


def _of_claim(spec: Mapping[str, Any], count: int) -> Iterator[tuple[str, Fraction]]:
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    storage = quantity(str(size)) * count
    yield "requests.storage", storage
    if name := spec.get("storageClassName"):
        prefix = f"{name}.storageclass.storage.k8s.io"
        yield f"{prefix}/requests.storage", storage
        yield f"{prefix}/persistentvolumeclaims", Fraction(count)


def _of_pods(
    template: PodTemplate, defaults: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[tuple[str, Fraction]]:
    if not template.replicas:
        return
    yield "pods", Fraction(template.replicas)
    yield "count/pods", Fraction(template.replicas)
    requests, limits = defaults
    for word, preset in (("requests", requests), ("limits", limits)):
        for name in ("cpu", "memory", "ephemeral-storage"):
            amount = pod_amount(template.spec, word, name, preset.get(name, "0"))
            yield f"{word}.{name}", amount * template.replicas


def pod_amount(spec: Mapping[str, Any], word: str, name: str, default: str = "0") -> Fraction:
    """Return what a pod asks for: its containers together, or what one that begins before needs.

    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """

    def asked(container: Mapping[str, Any]) -> Fraction:
        resources = container.get("resources") or {}
        own = (resources.get(word) or {}).get(name)
        if own is None and word == "requests":
            # A limit without a request is the request as well.
            own = (resources.get("limits") or {}).get(name)
        return quantity(str(default if own is None else own))

    begin = spec.get("initContainers") or ()
    beside = [one for one in begin if one.get("restartPolicy") == "Always"]
    before = [one for one in begin if one.get("restartPolicy") != "Always"]
    main = sum(map(asked, (*(spec.get("containers") or ()), *beside)), Fraction(0))
    overhead = quantity(str((spec.get("overhead") or {}).get(name, "0")))
    return max(main, max(map(asked, before), default=Fraction(0))) + overhead
