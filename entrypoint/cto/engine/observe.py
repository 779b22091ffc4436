"""Looks at a cluster and says what is there. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from cto.catalog import Catalog, Component
from cto.engine.listcache import ListCache
from cto.engine.namespaces import listed, versions_by_resource
from cto.engine.nodes import listed as listed_nodes
from cto.engine.readiness import status_dict
from cto.engine.state import StateStore
from cto.errors import ApiError
from cto.objects import (
    Manifest,
    ObjectRef,
    all_simulated,
    annotations_of,
    is_simulated,
    labels_of,
    ref_of,
)
from cto.plan import labels
from cto.plan.observed import DEPLOYED, Claim, Observed, ReleaseRecord, ReleaseState, State
from cto.plan.selection import with_installed
from cto.ports import Cluster, Releases

_CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
# What Helm writes on what it makes.
_RELEASE, _PLACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
# Metadata lists answer in milliseconds; a few at once hide the round trips of a distant cluster.
_PARALLEL = 8
# Nodes from which on no component has more replicas.
_ENOUGH = 3


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Observes one cluster.

    Attributes:
        view: Keeps what is listed, for those who want to know more than Observed has.
        components: Those that may be there: their releases are looked at.
    """

    cluster: Cluster
    view: ListCache
    releases: Releases
    state: State | None
    components: Sequence[Component]
    context: str

    def observe(self, *, for_uninstall: bool = False) -> Observed:
        """Return what is there.

        `for_uninstall` looks for objects of our CRDs and for volume claims as well.
        """
        with ThreadPoolExecutor(_PARALLEL) as pool:
            version = pool.submit(self.cluster.server_version)
            nodes = pool.submit(self._nodes, for_uninstall=for_uninstall)
            namespaces = pool.submit(self.cluster.list_metadata, "v1", "Namespace")
            crds = pool.submit(self.cluster.list_metadata, *_CRD)
            observed = Observed(
                context=self.context,
                kube_version=version.result(),
                records=self._records(namespaces.result(), pool),
                namespaces=_labels_by_name(_lasting(namespaces.result())),
                crds=_labels_by_name(crds.result()),
                state=self.state,
            )
            if not for_uninstall:
                observed = replace(observed, ingress_classes=self._ingress_classes(observed))
            observed = self._with_inventories(observed, pool)
            observed = self._with_charts(observed, pool)
            observed = replace(observed, present=self._present(observed, pool))
            if for_uninstall:
                observed = self._for_uninstall(observed, pool)
            # Last: on a large cluster it is the longest answer, and all others come meanwhile.
            return _with_nodes(observed, nodes.result(), known=not for_uninstall)

    def _nodes(self, *, for_uninstall: bool) -> tuple[Manifest, ...]:
        """List the nodes once: whoever installs wants to know their room and their health, too."""
        return listed_nodes(self.cluster, status=False) if for_uninstall else self.view.nodes()

    def _ingress_classes(self, observed: Observed) -> dict[str, bool]:
        """Return those of others. Who may not look cannot make one either, and is told of that."""
        ours = {(r.name, r.namespace) for r in observed.records.values() if r.ours}
        try:
            found = self.cluster.list_metadata("networking.k8s.io/v1", "IngressClass")
        except ApiError as error:
            if error.is_forbidden:
                return {}
            raise
        return {
            item["metadata"]["name"]: annotations_of(item).get(_DEFAULT_CLASS) == "true"
            for item in found
            if (annotations_of(item).get(_RELEASE), annotations_of(item).get(_PLACE)) not in ours
        }

    def _records(
        self, namespaces: Sequence[Manifest], pool: ThreadPoolExecutor
    ) -> dict[str, ReleaseRecord]:
        """Return Helm's records in our namespaces alone: a cluster may have thousands of Secrets.

        They come with the metadata of the Secrets there, which is looked at anyway.
        """
        there = {item["metadata"]["name"] for item in namespaces}
        ours = sorted({component.namespace for component in self.components} & there)
        lists = pool.map(lambda name: self.view.objects("v1", "Secret", name), ours)
        found = [item for items in lists for item in items.values()]
        return _by_release(item for item in found if labels_of(item).get("owner") == "helm")

    def _with_inventories(self, observed: Observed, pool: ThreadPoolExecutor) -> Observed:
        """Ask Helm about releases that the state does not have: a run died in between.

        Where the record contradicts its label `deployed`, it is the record that is believed.
        """
        unknown = [c for c in self.components if _is_unknown(c, observed)]
        if not unknown:
            return observed
        told = list(pool.map(lambda c: self.releases.status(c.release, c.namespace), unknown))
        failed = {
            f"{c.namespace}/{c.release}": status
            for c, status in zip(unknown, told, strict=True)
            if status not in (DEPLOYED, "")
        }
        records = {
            key: replace(record, status=failed.get(key, record.status))
            for key, record in observed.records.items()
        }
        lost = [c for c in unknown if f"{c.namespace}/{c.release}" not in failed]
        if not lost:
            return replace(observed, records=records)
        state = observed.state or State(writer="", provider="", profile="")
        manifests = pool.map(lambda c: self.releases.manifest(c.release, c.namespace), lost)
        found = {
            c.name: self._release_state(c, objects, state, observed)
            for c, objects in zip(lost, manifests, strict=True)
        }
        state = replace(state, releases={**state.releases, **found})
        return replace(observed, state=state, records=records)

    def _with_charts(self, observed: Observed, pool: ThreadPoolExecutor) -> Observed:
        """Ask Helm which chart a release has that was handed over: nobody labelled its record."""
        keys = {f"{c.namespace}/{c.release}": c for c in self.components}
        silent = [
            key
            for key, record in observed.records.items()
            if key in keys and record.ours and labels.CHART not in record.labels
        ]
        if not silent:
            return observed
        told = pool.map(
            lambda key: self.releases.chart(keys[key].release, keys[key].namespace), silent
        )
        records = dict(observed.records)
        for key, (name, version, app) in zip(silent, told, strict=True):
            found = {labels.CHART: f"{name}-{version}", labels.APP_VERSION: app} if version else {}
            more = {label: labels.value_of(text) for label, text in found.items() if text}
            records[key] = replace(records[key], labels={**records[key].labels, **more})
        return replace(observed, records=records)

    def _release_state(
        self, component: Component, objects: Sequence[Manifest], state: State, observed: Observed
    ) -> ReleaseState:
        record = observed.records[f"{component.namespace}/{component.release}"]
        known = state.releases.get(component.name)
        return ReleaseState(
            component=component.name,
            release=component.release,
            namespace=component.namespace,
            digest=record.labels.get(labels.DIGEST, ""),
            chart=record.labels.get(labels.CHART, ""),
            objects=inventory(self.cluster, objects, component.namespace),
            glue=known.glue if known else (),
        )

    def _present(
        self, observed: Observed, pool: ThreadPoolExecutor
    ) -> dict[ObjectRef, Mapping[str, str]]:
        """Return the labels of all objects of ours that exist: one list per kind and namespace.

        Those with a status are listed with it: if nothing is to be done, it is what decides.
        """
        releases = observed.state.releases.values() if observed.state else ()
        refs = {ref for release in releases for ref in (*release.objects, *release.glue)}
        groups = {(ref.api_version, ref.kind, ref.namespace) for ref in refs}
        places = {component.namespace for component in self.components}
        places |= {ref.namespace for release in releases for ref in release.glue}
        groups |= {("v1", "Secret", place) for place in places & set(observed.namespaces)}
        glue = {release.component: release.glue for release in releases}
        made = (ref for one in self.components for ref in one.made(glue.get(one.name, ())))
        groups |= {
            (ref.api_version, ref.kind, ref.namespace)
            for ref in made
            if ref.api_version == "v1" and ref.namespace in observed.namespaces
        }
        # Definitions are megabytes; their labels are known already.
        definitions = {group for group in groups if group[:2] == _CRD}
        listed = sorted(groups - definitions)
        lists = zip(listed, pool.map(lambda group: self.view.objects(*group), listed), strict=True)
        present: dict[ObjectRef, Mapping[str, str]] = {
            ObjectRef(*group, name): labels_of(item)
            for group, items in lists
            for name, item in items.items()
        }
        if definitions:
            present |= {ObjectRef(*_CRD, "", name): found for name, found in observed.crds.items()}
        return present

    def _for_uninstall(self, observed: Observed, pool: ThreadPoolExecutor) -> Observed:
        ours = [name for name, found in observed.crds.items() if labels.COMPONENT in found]
        kinds = versions_by_resource(self.cluster.kinds())
        known = {name: kinds[name] for name in ours if name in kinds}
        lists = pool.map(lambda versions: listed(self.cluster, versions), known.values())
        told = dict(zip(known, lists, strict=True))
        instances = {
            name: tuple(ref_of(item) for item in items)
            for name, items in told.items()
            if not isinstance(items, ApiError)
        }
        unlisted = {
            name: error.message for name, error in told.items() if isinstance(error, ApiError)
        }
        ours_here = {item.namespace for item in self.components} & set(observed.namespaces)
        nothing: Mapping[str, str] = {}
        present = {ref: nothing for refs in instances.values() for ref in refs}
        present |= observed.present
        return replace(
            observed,
            instances=instances,
            ended=frozenset(self._ended(instances)),
            unlisted=unlisted,
            present=present,
            claims=_claims(self.cluster, sorted(ours_here)),
        )

    def _ended(self, instances: Mapping[str, Sequence[ObjectRef]]) -> Iterator[ObjectRef]:
        """Yield what is over, by the phases that components name."""
        for records in (one for component in self.components for one in component.records):
            refs = instances.get(records.crd, ())
            for api_version, kind in sorted({(ref.api_version, ref.kind) for ref in refs}):
                for item in self.cluster.scan(api_version, kind):
                    if status_dict(item).get("phase") in records.phases:
                        yield ref_of(item)


def _claims(cluster: Cluster, namespaces: Iterable[str]) -> tuple[Claim, ...]:
    return tuple(
        Claim(ref=ref_of(item), release=_release_of(item))
        for namespace in namespaces
        for item in cluster.list_metadata("v1", "PersistentVolumeClaim", namespace=namespace)
    )


def _with_nodes(observed: Observed, nodes: Sequence[Manifest], *, known: bool) -> Observed:
    return replace(
        observed,
        nodes=len(nodes),
        machines=tuple(nodes) if known else (),
        simulated=all_simulated(nodes),
        simulated_nodes=tuple(node["metadata"]["name"] for node in nodes if is_simulated(node)),
    )


def glimpsed(cluster: Cluster, context: str) -> Observed:
    """Return what those see who may not look at everything: rights are to be had for the same plan.

    Who may not list nodes is taken to have enough of them for all that a profile wants.
    """
    return Observed(
        context=context,
        kube_version=cluster.server_version(),
        nodes=len(_glimpse(cluster, "v1", "Node")) or _ENOUGH,
        namespaces=_glimpse(cluster, "v1", "Namespace"),
    )


def glimpsed_installation(
    cluster: Cluster, context: str, store: StateStore, catalog: Catalog
) -> Observed:
    """Return the same with all that the state tells of, as if it were there."""
    observed = glimpsed(cluster, context)
    with suppress(ApiError):
        observed = replace(observed, state=store.load())
    releases = observed.state.releases if observed.state else {}
    components = with_installed(catalog, observed.state).components
    found = [ref for release in releases.values() for ref in (*release.objects, *release.glue)]
    found += [
        ref
        for component in components
        if component.name in releases
        for ref in component.secrets(releases[component.name].glue)
    ]
    places = sorted({component.namespace for component in components} & set(observed.namespaces))
    with suppress(ApiError):
        observed = replace(observed, claims=_claims(cluster, places))
    return replace(
        observed,
        present={ref: {labels.MANAGED_BY: labels.OWNER} for ref in found},
        crds=_glimpse(cluster, *_CRD),
    )


def _glimpse(cluster: Cluster, api_version: str, kind: str) -> dict[str, Mapping[str, str]]:
    with suppress(ApiError):
        return _labels_by_name(_lasting(cluster.list_metadata(api_version, kind)))
    return {}


def _lasting(items: Iterable[Manifest]) -> Iterator[Manifest]:
    """Yield what is not being deleted."""
    yield from (item for item in items if "deletionTimestamp" not in item["metadata"])


def helm_records(cluster: Cluster, *, namespace: str = "") -> dict[str, ReleaseRecord]:
    """Return the newest record of every release, keyed `NAMESPACE/RELEASE`.

    Read from labels alone: the payload holds values, and megabytes of manifests.
    """
    found = cluster.list_metadata("v1", "Secret", namespace=namespace, labels="owner=helm")
    return _by_release(found)


def _by_release(found: Iterable[Manifest]) -> dict[str, ReleaseRecord]:
    by_release: dict[str, list[Manifest]] = {}
    for item in found:
        key = f"{item['metadata']['namespace']}/{labels_of(item).get('name', '')}"
        by_release.setdefault(key, []).append(item)
    return {key: _newest(items) for key, items in by_release.items()}


def inventory(
    cluster: Cluster, manifests: Iterable[Manifest], namespace: str
) -> tuple[ObjectRef, ...]:
    """Return the identities of rendered objects, with the namespace that the API will give them."""
    scoped = {(kind.api_version, kind.kind): kind.namespaced for kind in cluster.kinds()}
    refs = []
    for manifest in manifests:
        namespaced = scoped.get((manifest["apiVersion"], manifest["kind"]), True)
        ref = ref_of(manifest, default_namespace=namespace)
        refs.append(ref if namespaced else replace(ref, namespace=""))
    return tuple(sorted(refs))


def _newest(items: Sequence[Manifest]) -> ReleaseRecord:
    def revision(item: Manifest) -> int:
        return int(labels_of(item).get("version", "0"))

    newest = max(items, key=revision)
    found = labels_of(newest)
    deployed = [item for item in items if labels_of(item).get("status") == DEPLOYED]
    last = max(deployed, key=revision, default=None)
    return ReleaseRecord(
        name=found.get("name", ""),
        namespace=newest["metadata"]["namespace"],
        revision=revision(newest),
        status=found.get("status", ""),
        labels=found,
        deployed_revision=revision(last) if last else 0,
        deployed_labels=labels_of(last) if last else {},
    )


def _is_unknown(component: Component, observed: Observed) -> bool:
    record = observed.records.get(f"{component.namespace}/{component.release}")
    if record is None or not (record.ours and record.deployed):
        return False
    known = observed.state.releases.get(component.name) if observed.state else None
    return known is None or known.digest != record.labels.get(labels.DIGEST)


def _labels_by_name(items: Iterable[Manifest]) -> dict[str, Mapping[str, str]]:
    return {item["metadata"]["name"]: labels_of(item) for item in items}


def _release_of(claim: Manifest) -> str:
    owner = annotations_of(claim).get("meta.helm.sh/release-name")
    return owner or labels_of(claim).get("app.kubernetes.io/instance", "")
