"""Checks of a cluster before anything is changed in it: all of them, so that all are told at once.

A check that cannot be made (a list that is not allowed, for one) is a warning, never an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path

from cto.engine import admission, capacity, ownership, permissions, quotas, webhooks
from cto.engine.admission import ANY_IMAGE, ENFORCE
from cto.engine.nodes import Images
from cto.engine.ownership import ComponentNeeds
from cto.engine.planned import Known, PlannedObject, planned_objects, workloads
from cto.engine.rbac import Rights
from cto.engine.rights import rights_of
from cto.errors import ApiError
from cto.objects import Manifest, annotations_of, labels_of, load_yaml, quantity
from cto.plan.changes import CHANGING
from cto.plan.desired import DesiredComponent, DesiredState
from cto.plan.observed import Observed
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus, Topic, unreachable

_PARALLEL = 8
# Where nothing is changed no pod is made by us. What a run may still write (the lock, the state,
# Secrets that it compares when it is their turn) is asked for all the same: see `planned.writes`.
_OF_NEW_PODS = frozenset({"storage", "policies", "pods", "architecture"})
_VERSION = Topic("version", "Kubernetes version")
_STORAGE = Topic("storage", "Default StorageClass")
_PROFILE = Topic("profile", "Profile")
REGISTRY = Topic("registry", "Images in the registry")
"""Of the check that cto.cli.relocating makes."""
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


@dataclass(frozen=True)
class VersionRange:
    """Minor versions of Kubernetes, both included."""

    low: tuple[int, int]
    high: tuple[int, int]

    def __str__(self) -> str:
        return " to ".join(f"{major}.{minor}" for major, minor in (self.low, self.high))

    @property
    def ends(self) -> tuple[str, str]:
        """The lowest and the highest version, as Kubernetes writes them."""
        low, high = (f"v{major}.{minor}.0" for major, minor in (self.low, self.high))
        return low, high


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an installation needs of a cluster.

    Attributes:
        kubernetes: Versions that the platform was tried on; see `supported`.
        components: Those that the installer will manage.
        objects: What the plan writes.
        rights: What it needs to be let do.
        images: For which machines the images are.
        seen: What was just observed, if anything was.
        volumes: Whether any of them claims a volume of the default StorageClass.
        cpu: Sum of what the components' pods ask for, as a Kubernetes quantity.
        memory: The same of memory.
        changes: Whether the plan changes anything at all.
        image: One that the platform's pods run, as nodes pull it.
    """

    kubernetes: VersionRange
    components: tuple[ownership.ComponentNeeds, ...] = ()
    objects: tuple[PlannedObject, ...] = ()
    rights: Rights = field(default_factory=Rights)
    images: Images = field(default_factory=Images)
    seen: Observed | None = None
    volumes: bool = False
    cpu: str = "0"
    memory: str = "0"
    changes: bool = True
    image: str = admission.ANY_IMAGE

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(component.namespace for component in self.components))

    @property
    def settled(self) -> tuple[str, ...]:
        """Namespaces with a deployed release."""
        return tuple(dict.fromkeys(item.namespace for item in self.components if item.installed))


def supported(bundle: Path) -> VersionRange:
    """Return the versions of Kubernetes that bundle/platform.yaml names."""
    data = load_yaml((bundle / "platform.yaml").read_text(encoding="utf-8"))["kubernetes"]
    return VersionRange(_minor(str(data["min"])), _minor(str(data["max"])))


def skipped(topic: Topic) -> Check:
    """Return a check that the user wants to be left out."""
    return topic.skipped(f"left out: --skip-preflight {topic.name}, or cluster.skip_preflight")


def cluster_checks(
    cluster: Cluster,
    needs: Needs,
    *,
    clock: Clock | None = None,
    skip: Collection[str] = (),
) -> Sequence[Check]:
    """Return the outcome of every check, in a fixed order.

    If the API does not answer there is only that one.

    Args:
        cluster: Who is asked.
        needs: What is needed of it.
        clock: Compared with the server's.
        skip: Names of checks to leave out.
    """
    first = _reachable(cluster, needs.kubernetes)
    if first.name == "api":
        return (first,)
    if first.name in skip:
        first = skipped(_VERSION)
    checks: tuple[tuple[Topic, Callable[[], Check]], ...] = (
        (permissions.TOPIC, partial(permissions.check, cluster, lambda: needs.rights)),
        (_STORAGE, partial(_storage, cluster, needs=needs)),
        (capacity.ROOM, partial(_room, cluster, needs)),
        (ownership.TOPIC, partial(_foreign, cluster, needs)),
        (admission.POLICIES, partial(_policies, cluster, needs)),
        (admission.PODS, partial(_pods, cluster, needs, clock)),
        (capacity.ARCHITECTURE, partial(_architecture, cluster, needs)),
        (quotas.TOPIC, partial(_quotas, cluster, needs)),
        (webhooks.TOPIC, partial(_webhooks, cluster, needs)),
    )
    idle = () if needs.changes else _OF_NEW_PODS
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return (first, *pool.map(lambda check: _made(*check, skip=skip, idle=idle), checks))


def profile_checks(installed: str, chosen: str) -> Sequence[Check]:
    """Refuse to give a platform another profile in silence.

    Args:
        installed: The profile that it has; '' if there is none.
        chosen: The one that counts where nobody names one.
    """
    if installed in ("", chosen):
        return ()
    return (
        _PROFILE.failed(
            f"the platform has profile {installed}, and no profile is named",
            fix=f"`--profile {installed}` keeps it, `--profile {chosen}` changes it.",
        ),
    )


def removal_checks(
    cluster: Cluster, rights_of: Callable[[], Rights], *, skip: Collection[str] = ()
) -> Sequence[Check]:
    """Return the outcome of what is checked before something is taken away."""
    check = partial(permissions.check, cluster, rights_of)
    return (_made(permissions.TOPIC, check, skip=skip, idle=()),)


def _made(
    topic: Topic, check: Callable[[], Check], *, skip: Collection[str], idle: Collection[str]
) -> Check:
    if topic.name in skip:
        return skipped(topic)
    if topic.name in idle:
        return topic.skipped("nothing is changed")
    begun = time.perf_counter()
    try:
        made = check()
    except ApiError as error:
        fix = "Nothing, if you know that it is fine."
        made = topic.warning(f"could not be checked: {error}", fix=fix)
    return replace(made, seconds=time.perf_counter() - begun)


def _reachable(cluster: Cluster, versions: VersionRange) -> Check:
    begun = time.perf_counter()
    try:
        version = cluster.server_version()
    except ApiError as error:
        return unreachable(error)
    minor = _minor(version)
    status, fix = CheckStatus.PASSED, ""
    if minor < versions.low:
        status, fix = CheckStatus.FAILED, f"Upgrade the cluster to Kubernetes {versions}."
    elif minor > versions.high:
        status = CheckStatus.WARNING
        fix = f"Newer than what was tried ({versions}): a newer installer may know more."
    code = "CTO-1400" if status is CheckStatus.FAILED else ""
    made = _VERSION.check(status, f"{version}, and {versions} is supported", fix=fix, code=code)
    return replace(made, seconds=time.perf_counter() - begun)


def _minor(version: str) -> tuple[int, int]:
    """Return (1, 34) of `v1.34.4`, `1.34`, `v1.34.4-eks-1234`, `v1.34+`; (0, 0) if it is none."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _storage(cluster: Cluster, needs: Needs) -> Check:
    if not needs.volumes:
        return _STORAGE.skipped("no volumes are needed")
    classes = cluster.list_metadata("storage.k8s.io/v1", "StorageClass")
    names = [item["metadata"]["name"] for item in classes]
    default = [
        item["metadata"]["name"]
        for item in classes
        if any(annotations_of(item).get(key) == "true" for key in _DEFAULT_CLASS)
    ]
    if default:
        return _STORAGE.passed(default[0])
    some = names[0] if names else "NAME"
    return _STORAGE.failed(
        f"none of {', '.join(names)} is the default" if names else "there is no class",
        fix=("" if names else "Install a provisioner, then: ")
        + f"kubectl annotate storageclass {some} {_DEFAULT_CLASS[0]}=true",
    )


def _foreign(cluster: Cluster, needs: Needs) -> Check:
    return ownership.check(cluster, needs.components, needs.objects, needs.seen)


def _pods(cluster: Cluster, needs: Needs, clock: Clock | None) -> Check:
    return admission.dry_run(
        cluster,
        needs.namespaces,
        clock,
        image=needs.image,
        settled=needs.settled,
        objects=needs.objects,
    )


def _room(cluster: Cluster, needs: Needs) -> Check:
    if needs.seen and not any(workloads(needs.objects)):
        # The pods of a whole cluster are megabytes.
        message = "no pod is added"
        return capacity.ROOM.passed(message)
    wanted = capacity.Amount.of(needs.cpu, needs.memory)
    return capacity.check(cluster, wanted, needs.objects, needs.images, _nodes(needs))


def _policies(cluster: Cluster, needs: Needs) -> Check:
    levels = {item.namespace: item.level for item in needs.components}
    return admission.policies(cluster, needs.namespaces, levels)


def _architecture(cluster: Cluster, needs: Needs) -> Check:
    return capacity.check_architecture(cluster, needs.images, needs.objects, _nodes(needs))


def _nodes(needs: Needs) -> Sequence[Manifest] | None:
    """Return the nodes that were just seen; None if nobody looked, or there were none."""
    return (needs.seen.machines or None) if needs.seen else None


def _quotas(cluster: Cluster, needs: Needs) -> Check:
    return quotas.check(cluster, needs.objects, _there(cluster, needs))


def _webhooks(cluster: Cluster, needs: Needs) -> Check:
    return webhooks.check(cluster, needs.objects, _there(cluster, needs))


def _there(cluster: Cluster, needs: Needs) -> Mapping[str, Mapping[str, str]]:
    """Return the labels of the namespaces that are there."""
    if needs.seen:
        return needs.seen.namespaces
    items = cluster.list_metadata("v1", "Namespace") if needs.objects else ()
    return {item["metadata"]["name"]: labels_of(item) for item in items}


def needs_of(wanted: DesiredState, versions: VersionRange, known: Known) -> Needs:
    """Return what must be free, allowed and there."""
    asked = [one for item in wanted.components for one in item.asked]
    objects = planned_objects(known)
    return Needs(
        kubernetes=versions,
        components=tuple(_component(item, known) for item in wanted.components),
        objects=objects,
        rights=rights_of(known, objects, agents=_agents(wanted)),
        volumes=any(
            item.component.volumes or {one["kind"] for one in item.after} & {*item.component.data}
            for item in wanted.components
        ),
        cpu=f"{ceil(sum(one.pods * quantity(one.requests.cpu) for one in asked) * 1000)}m",
        memory=str(ceil(sum(one.pods * quantity(one.requests.memory) for one in asked))),
        changes=any(step.action in CHANGING for step in known.steps),
        image=next(_images(wanted.components), ANY_IMAGE),
    )


def _agents(wanted: DesiredState) -> Sequence[str]:
    """Return the namespaces in which agents are to run."""
    components = [item.component for item in wanted.components]
    return [one.namespace for one in components if one.health.agents]


def _component(item: DesiredComponent, known: Known) -> ComponentNeeds:
    component = item.component
    record = known.records.get(f"{component.namespace}/{component.release}")
    return ComponentNeeds(
        name=component.name,
        namespace=component.namespace,
        release=component.release,
        crds=tuple(crd["metadata"]["name"] for crd in known.crds.get(component.name, ())),
        installed=record is not None and record.deployed and record.ours,
        level=component.namespace_labels.get(ENFORCE, ""),
    )


def _images(items: Iterable[DesiredComponent]) -> Iterator[str]:
    """Yield images as nodes pull them; those that a registry of the user's lacks are not needed."""
    for item in items:
        for image in item.component.images:
            if item.relocation is None:
                yield image.reference
            elif image.reference in item.relocation.images:
                yield item.relocation.images[image.reference]
