"""Finds what has a name that we need, and is not ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from cto.engine.observe import helm_records
from cto.engine.planned import CRD, PlannedObject, Resource, is_definition
from cto.engine.state import NAMESPACE
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of
from cto.plan.labels import MANAGED, MANAGED_BY, OWNER, is_ours
from cto.plan.observed import Observed, ReleaseRecord
from cto.ports import Cluster
from cto.result import Check, Topic

TOPIC = Topic("foreign", "Foreign objects")

_HELM = "Helm"
_RELEASE = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
_INSTANCE = "app.kubernetes.io/instance"
# What else says whose an object is, beside Helm: label or annotation, and how that is told.
_MARKS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("olm.owner", "Operator Lifecycle Manager's"),
    (MANAGED_BY, "managed by"),
    ("app.kubernetes.io/part-of", "part of"),
)


@dataclass(frozen=True)
class Owner:
    """Whom something foreign belongs to.

    Attributes:
        text: For people; '' if nothing tells.
        lives: Whether that owner is there: it would change the object back.
        removal: Command that takes the owner away, and the object with it.
    """

    text: str = ""
    lives: bool = False
    removal: str = ""

    def __str__(self) -> str:
        return f", {self.text}" if self.text else ""


def may_write(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether an object is of whoever would write it now.

    Of Helm's objects by what Helm itself looks at.
    https://github.com/helm/helm/blob/v4.1.4/pkg/action/validate.go
    """
    labels, annotations = labels_of(live), annotations_of(live)
    if item.release is None:
        # A Secret may be the release's, into which the installer writes the user's values.
        return is_ours(labels) or _is_ours_by_release(item, live)
    if item.hook:
        return _is_an_earlier_hook(item, live)
    found = tuple(annotations.get(key, "") for key in _RELEASE)
    return labels.get(MANAGED_BY) == _HELM and found == item.release


def _is_ours_by_release(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether a Secret that the installer only fills in is of a release in its namespace."""
    release = tuple(annotations_of(live).get(key, "") for key in _RELEASE)
    return item.ref.kind == "Secret" and release[1] == item.ref.namespace


def _is_an_earlier_hook(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether a hook of the same release left it: Helm writes no owner on what hooks make.

    https://github.com/helm/helm/issues/5156
    """
    labels = labels_of(live)
    theirs = annotations_of(live).get(_RELEASE[0])
    ours = labels_of(item.manifest).get(_INSTANCE)
    return (
        theirs is None
        and "helm.sh/hook" in annotations_of(live)
        and (labels.get(_INSTANCE) == ours)
    )


def owner_of(live: Manifest, records: Mapping[str, ReleaseRecord]) -> Owner:
    """Return whom an object belongs to, by what its metadata tells."""
    annotations = annotations_of(live)
    name, namespace = (annotations.get(key, "") for key in _RELEASE)
    if name:
        if f"{namespace}/{name}" in records:
            removal = f"helm uninstall {name} -n {namespace}"
            return Owner(f"of Helm release {name} in {namespace}", lives=True, removal=removal)
        return Owner(f"left by Helm release {name} in {namespace}, which is gone")
    marks = {**labels_of(live), **annotations}
    for key, word in _MARKS:
        if value := marks.get(key):
            # Of Argo CD's tracking id only the application: NAME:GROUP/KIND:NAMESPACE/NAME
            return Owner(f"{word} {value.partition(':')[0]}")
    for reference in live["metadata"].get("ownerReferences") or ():
        return Owner(f"owned by {reference['kind']} {reference['name']}", lives=True)
    return Owner()


_OURS = f"{MANAGED_BY}={OWNER}"
_PARALLEL = 8
# So many names of one kind are asked for one by one; for more, one list is less work.
_BY_NAME = 4


@dataclass(frozen=True, kw_only=True)
class ComponentNeeds:
    """The names that one component takes.

    Attributes:
        installed: A release of it is deployed.
        level: The Pod Security level that it gives its namespace, if any.
    """

    name: str
    namespace: str
    release: str
    crds: tuple[str, ...] = ()
    installed: bool = False
    level: str = ""


@dataclass(frozen=True)
class _Found:
    """Something foreign.

    Attributes:
        component: Whose name it has; '' for the installer's own.
        text: For people, with whom it belongs to.
        take: Commands that hand it over.
        remove: Command that takes it away, '' if that is nothing to propose.
    """

    component: str
    text: str
    take: tuple[str, ...]
    remove: str = ""


def check(
    cluster: Cluster,
    components: Sequence[ComponentNeeds],
    objects: Sequence[PlannedObject] = (),
    seen: Observed | None = None,
) -> Check:
    """Name everything foreign that has the name of something that the plan writes.

    Releases, namespaces, definitions, and every object of every chart that is rendered: Helm would
    refuse it in the middle of the installation. The namespace of the installer itself is among
    them: nothing can be used in its place.

    Args:
        cluster: Who is asked.
        components: Their names.
        objects: What the plan writes.
        seen: What was just observed need not be asked for again.
    """
    records = seen.records if seen else helm_records(cluster)
    namespaces = seen.namespaces if seen else _labels(cluster, "v1", "Namespace")
    crds = seen.crds if seen else _labels(cluster, *CRD)
    all_found = (
        *_releases(records, components),
        *_namespaces(namespaces, components),
        *_definitions(crds, components),
        *_objects(cluster, objects),
    )
    found = tuple(dict.fromkeys(all_found))
    if not found:
        return TOPIC.passed("nothing is in the way")
    lines = tuple(dict.fromkeys(item.text for item in found))
    count = "1 object was" if len(lines) == 1 else f"{len(lines)} objects were"
    return TOPIC.failed(
        f"{count} not made by this installer and in the way",
        fix=_fix(found),
        code="CTO-1401",
        items=lines,
    )


def _fix(found: Sequence[_Found]) -> str:
    users = sorted({item.component for item in found if item.component})
    modes = "\n".join(f"  components.{component}.mode: external" for component in users)
    removals = dict.fromkeys(item.remove for item in found if item.remove)
    takes = dict.fromkeys(command for item in found for command in item.take)
    ways = []
    if users:
        ways.append(f"Use what is there:\n{modes}")
    if removals:
        ways.append("take it away, if nobody needs it:\n" + _lines(removals))
    if takes:
        ways.append(
            "hand it over, to be changed and one day removed by this installer:\n" + _lines(takes)
        )
    text = "\nor ".join(ways)
    return text[:1].upper() + text[1:]


def _lines(commands: Iterable[str]) -> str:
    return "\n".join(f"  {command}" for command in commands)


def _releases(
    records: Mapping[str, ReleaseRecord], components: Sequence[ComponentNeeds]
) -> Iterator[_Found]:
    for component in components:
        record = records.get(f"{component.namespace}/{component.release}")
        if record and not record.ours:
            secret = f"sh.helm.release.v1.{record.name}.v{record.revision}"
            take = f"kubectl label secret {secret} -n {record.namespace} {MANAGED}=true"
            text = f"Helm release {record.name} in {record.namespace}"
            yield _Found(component.name, text, (take,))


_Labels = Mapping[str, Mapping[str, str]]
"""name -> labels"""


def _labels(cluster: Cluster, api_version: str, kind: str) -> _Labels:
    items = cluster.list_metadata(api_version, kind)
    return {item["metadata"]["name"]: labels_of(item) for item in items}


def _foreign(found: _Labels) -> set[str]:
    return {name for name, labels in found.items() if not is_ours(labels)}


def _namespaces(found: _Labels, components: Sequence[ComponentNeeds]) -> Iterator[_Found]:
    foreign = _foreign(found)
    wanted = [("", NAMESPACE), *((component.name, component.namespace) for component in components)]
    for component, namespace in wanted:
        if namespace in foreign:
            command = f"kubectl label namespace {namespace} --overwrite {_OURS}"
            yield _Found(component, f"Namespace {namespace}", (command,))


def _definitions(found: _Labels, components: Sequence[ComponentNeeds]) -> Iterator[_Found]:
    foreign = _foreign(found)
    for component in components:
        for name in component.crds:
            if name in foreign:
                command = f"kubectl label crd {name} --overwrite {_OURS}"
                yield _Found(component.name, f"CustomResourceDefinition {name}", (command,))


# every other object


def _objects(cluster: Cluster, objects: Sequence[PlannedObject]) -> Iterator[_Found]:
    """Yield what is neither ours nor of the release that would write it.

    What earlier runs made is not asked for: an unchanged platform costs nothing here.
    """
    unknown = [item for item in objects if not item.known and not _is_told_apart(item)]
    there = _live(cluster, unknown)
    foreign = [
        item for item in unknown if item.ref in there and not may_write(item, there[item.ref])
    ]
    # Somebody's release may be anywhere; who has nothing in the way is not asked for all of them.
    records = helm_records(cluster) if foreign else {}
    groups: defaultdict[tuple[Owner, object], list[PlannedObject]] = defaultdict(list)
    for item in foreign:
        owner = owner_of(there[item.ref], records)
        group = (item.component, item.resource, item.ref.namespace, item.release)
        groups[owner, group].append(item)
    for (owner, _), items in groups.items():
        yield from _named(items, owner)


def _is_told_apart(item: PlannedObject) -> bool:
    return is_definition(item) or (item.ref.api_version, item.ref.kind) == ("v1", "Namespace")


def _named(items: Sequence[PlannedObject], owner: Owner) -> Iterator[_Found]:
    """Yield objects of one kind, place and owner, with commands that are about all of them."""
    first = items[0]
    names = " ".join(item.ref.name for item in items)
    where = f" -n {first.ref.namespace}" if first.ref.namespace else ""
    what = f"{_argument(first.resource)} {names}{where}"
    remove = owner.removal or f"kubectl delete {what}"
    take = () if owner.lives else _adoption(what, first)
    for item in items:
        yield _Found(item.component, f"{item.ref}{owner}", take, remove)


def _argument(resource: Resource) -> str:
    """Return a kind as kubectl takes it, also where two groups share the word."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _adoption(what: str, item: PlannedObject) -> tuple[str, ...]:
    if item.release is None:
        return (f"kubectl label {what} --overwrite {_OURS}",)
    name, namespace = item.release
    marks = f"meta.helm.sh/release-name={name} meta.helm.sh/release-namespace={namespace}"
    return (
        f"kubectl label {what} --overwrite {MANAGED_BY}=Helm",
        f"kubectl annotate {what} --overwrite {marks}",
    )


def _live(cluster: Cluster, items: Sequence[PlannedObject]) -> dict[ObjectRef, Manifest]:
    """Return the metadata of those that are there; of nobody's Secret more than that."""
    groups: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for item in items:
        groups[item.ref.api_version, item.ref.kind, item.ref.namespace].add(item.ref.name)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="owner") as pool:
        lists = pool.map(partial(_listed, cluster), groups, groups.values())
        return {
            ObjectRef(*group, found["metadata"]["name"]): found
            for group, items_found in zip(groups, lists, strict=True)
            for found in items_found
            if found["metadata"]["name"] in groups[group]
        }


def _listed(cluster: Cluster, group: tuple[str, str, str], names: set[str]) -> Sequence[Manifest]:
    api_version, kind, namespace = group
    if len(names) > _BY_NAME:
        return cluster.list_metadata(api_version, kind, namespace=namespace)
    return [
        item
        for name in sorted(names)
        for item in cluster.list_metadata(
            api_version, kind, namespace=namespace, fields=f"metadata.name={name}"
        )
    ]
