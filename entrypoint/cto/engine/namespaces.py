"""Tells whether a namespace may go, and takes the installer's own one away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from cto.engine.gone import until_gone
from cto.engine.report import Report, StepRun
from cto.engine.state import NAMESPACE as OWN
from cto.errors import ApiError
from cto.events import Listener, Outcome, Phase, StepFinished, StepProgress, StepStarted
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.plan import labels
from cto.ports import ApiKind, Clock, Cluster

_PARALLEL = 8
# What Kubernetes itself puts into every namespace, or keeps as a trace of what is gone.
_TRACES = {"Event", "Endpoints", "EndpointSlice", "Lease", "PodMetrics"}
_DEFAULTS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
# They measure, and keep nothing: https://github.com/kubernetes/metrics
_WITHOUT_OBJECTS = {"metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"}
# Their owners are in the same namespace; whose owner is not there, garbage collection takes.
_COLLECTED = {"apps", "batch"}


class _Content(NamedTuple):
    """What is in a namespace: objects, and what nobody could look for (with the reason)."""

    refs: list[ObjectRef]
    unlisted: list[str]


def what_is_in(cluster: Cluster, namespace: str) -> _Content:
    """Return the objects in a namespace that somebody may miss.

    What is being deleted, or is about to be because its owner is, is none of them: a pod that takes
    its time to end goes with the namespace.
    """
    kinds = versions_by_resource(kind for kind in cluster.kinds() if _matters(kind))
    silent = [name for name in cluster.unanswered() if group_of(name) not in _WITHOUT_OBJECTS]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        lists = list(pool.map(lambda one: listed(cluster, one, namespace), kinds.values()))
    found = [item for items in lists if not isinstance(items, ApiError) for item in items]
    left = {ref_of(item) for item in _staying(found) if labels.TRACE not in labels_of(item)}
    unlisted = [
        f"{plural} cannot be listed ({error.message})" for plural, error in _lost(kinds, lists)
    ]
    unlisted += [f"kinds of {name} are not told ({cluster.unanswered()[name]})" for name in silent]
    refs = sorted(ref for ref in left if (ref.kind, ref.name) not in _DEFAULTS)
    return _Content(refs, unlisted)


def _lost(
    kinds: Mapping[str, Sequence[ApiKind]], lists: Sequence[Sequence[Manifest] | ApiError]
) -> list[tuple[str, ApiError]]:
    pairs = zip(kinds, lists, strict=True)
    return [(name, error) for name, error in pairs if isinstance(error, ApiError)]


def versions_by_resource(kinds: Iterable[ApiKind]) -> dict[str, list[ApiKind]]:
    """Return the served versions of each resource, by its name: `widgets.example.com`."""
    found: dict[str, list[ApiKind]] = {}
    for kind in kinds:
        found.setdefault(f"{kind.plural}.{group_of(kind.api_version)}", []).append(kind)
    return found


def listed(
    cluster: Cluster, versions: Sequence[ApiKind], namespace: str = ""
) -> Sequence[Manifest] | ApiError:
    """Return the metadata of a resource's objects, or why nobody can list them.

    A conversion webhook that is away hides objects in every version but the one that is stored.

    Raises:
        ApiError: It is not the kind: the server does not answer, or does not know us.
    """
    refusal = None
    for kind in versions:
        try:
            return cluster.list_metadata(kind.api_version, kind.kind, namespace=namespace)
        except ApiError as error:
            if error.status in (0, 401):
                raise
            refusal = refusal or error
    return refusal or ()


def group_of(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def why_kept(cluster: Cluster, namespace: str) -> str:
    """Return what keeps a namespace from going, '' if nothing does.

    What cannot be seen is never taken for nothing.
    """
    rest, unlisted = what_is_in(cluster, namespace)
    shown = [*(str(ref) for ref in rest[:3]), *unlisted[:3]]
    more = len(rest) + len(unlisted) - len(shown)
    text = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"kept: {text}" if shown else ""


def _staying(items: Sequence[Manifest]) -> Sequence[Manifest]:
    """Return those that will still be there when everything has ended that is ending."""
    left = [item for item in items if "deletionTimestamp" not in item["metadata"]]
    while True:
        owners = {item["metadata"].get("uid") for item in left}
        kept = [item for item in left if not (_owners(item) - owners)]
        if len(kept) == len(left):
            return left
        left = kept


def _owners(item: Manifest) -> set[str]:
    """Return the uids of the built-in controllers that an object belongs to."""
    return {
        owner["uid"]
        for owner in item["metadata"].get("ownerReferences") or ()
        if owner.get("controller") and owner["apiVersion"].partition("/")[0] in _COLLECTED
    }


def _matters(kind: ApiKind) -> bool:
    can = {"list", "delete"} <= kind.verbs
    return kind.namespaced and can and kind.kind not in _TRACES


def delete_own(cluster: Cluster, clock: Clock, listen: Listener, report: Report) -> Report:
    """Delete the namespace of state and lock, now that the lock is free, and see it go.

    It stays if it is not ours, or if something of somebody is in it: the report says so.
    """
    ref = ObjectRef("v1", "Namespace", "", OWN)
    live = cluster.get(ref) or {}
    if not labels.is_ours(labels_of(live)):
        return report
    if kept := why_kept(cluster, OWN):
        return _with_kept(report, kept)
    # The one that was looked at: the lock is given back, and the next run may make it again.
    cluster.delete(ref, uid=live["metadata"]["uid"])
    return _see_it_go(ref, cluster, clock, listen, report)


def _see_it_go(
    ref: ObjectRef, cluster: Cluster, clock: Clock, listen: Listener, report: Report
) -> Report:
    name, begun = f"namespace:{OWN}", clock.monotonic()
    listen(StepStarted(name, Phase.ACCESS, f"Delete namespace {OWN}"))
    verdict = until_gone(ref, cluster, clock, tell=lambda text: listen(StepProgress(name, text)))
    held = verdict.error.message if verdict.error else verdict.message
    outcome = Outcome.DONE if verdict.done else Outcome.UNCHANGED
    told = "" if verdict.done else f"it is being deleted: {held}"
    listen(StepFinished(name, outcome, clock.monotonic() - begun, told))
    return _with_kept(report, told) if told else report


def _with_kept(report: Report, why: str) -> Report:
    """Return the report with our own namespace in it, as one that stays."""
    run = StepRun(
        id=f"namespace:{OWN}",
        title=f"Delete namespace {OWN} if it is empty",
        outcome=Outcome.UNCHANGED,
        started_s=report.seconds,
        ended_s=report.seconds,
        after=("state",),
        message=why,
    )
    return replace(report, runs=(*report.runs, run))
