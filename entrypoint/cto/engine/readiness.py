"""Says of any object whether it is ready, by the rules that kstatus has for its kind.

https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus; four departures, each
where it stands: Jobs must be complete, failed pods are failures, load balancers need an address,
claims and workloads that nobody wants yet are ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cto.objects import Manifest, ObjectRef, ref_of


class ReadyState(StrEnum):
    READY = "ready"
    PROGRESSING = "progressing"
    FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """Whether an object is ready. `message` is a few words: `0/1 available`."""

    state: ReadyState
    message: str = ""

    @property
    def ready(self) -> bool:
        return self.state is ReadyState.READY


class Lookup(Protocol):
    """What a claim's readiness depends on."""

    def waits_for_consumer(self, claim: Manifest) -> bool:
        """Return whether its StorageClass provides the volume only when a pod uses the claim."""
        ...

    def used(self, claim: Manifest) -> bool:
        """Return whether a pod uses the claim."""
        ...


READY = Readiness(ReadyState.READY)


def status_of(manifest: Manifest, lookup: Lookup | None = None) -> Readiness:
    """Return whether an object that exists is ready.

    Args:
        manifest: With status.
        lookup: Says which claims are used; without it, every claim must be bound.
    """
    metadata = manifest["metadata"]
    if metadata.get("deletionTimestamp"):
        return _progressing("is being deleted")
    if key_of(manifest) == ("", "PersistentVolumeClaim"):
        return _claim(manifest, lookup)
    behind = _behind(manifest)
    if behind:
        return _progressing(behind)
    return _RULES.get(key_of(manifest), _by_conditions)(manifest)


def has_status(api_version: str, kind: str) -> bool:
    """Return whether objects of the kind can exist without being ready.

    Of built-in kinds these are the ones with a rule; of all others, nobody knows.
    """
    group = api_version.rpartition("/")[0]
    if (group, kind) in _RULES or (group, kind) == ("", "PersistentVolumeClaim"):
        return True
    # Built-in groups have no dot or end in .k8s.io; so may foreign ones, which do no harm.
    return "." in group and not group.endswith(".k8s.io")


def conditions_of(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the conditions by type."""
    found = status_dict(manifest).get("conditions")
    if not isinstance(found, list):
        return {}
    return {item["type"]: item for item in found if isinstance(item, dict) and "type" in item}


def status_dict(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status, empty if there is none (or one that is no object)."""
    status = manifest.get("status")
    return status if isinstance(status, dict) else {}


@dataclass(frozen=True)
class Followed:
    """A custom resource that somebody works on, as the cluster holds it."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def ref(self) -> ObjectRef:
        return ref_of(self.manifest)

    @property
    def status(self) -> Mapping[str, Any]:
        return status_dict(self.manifest)


def key_of(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return group and kind."""
    return manifest["apiVersion"].rpartition("/")[0], manifest["kind"]


def _progressing(message: str) -> Readiness:
    return Readiness(ReadyState.PROGRESSING, message)


def _failed(message: str) -> Readiness:
    return Readiness(ReadyState.FAILED, message)


def _behind(manifest: Manifest) -> str:
    generation = manifest["metadata"].get("generation")
    observed = status_dict(manifest).get("observedGeneration")
    # Some kinds have a text here, or another object's generation: only numbers that lag count.
    if isinstance(observed, int) and isinstance(generation, int) and observed < generation:
        return "its controller has not seen the last change yet"
    return ""


def _is(condition: Mapping[str, Any] | None, value: str) -> bool:
    return condition is not None and condition.get("status") == value


def _text(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or condition["type"])


def _by_conditions(manifest: Manifest) -> Readiness:
    conditions = conditions_of(manifest)
    if _is(conditions.get("Stalled"), "True"):
        return _failed(_text(conditions["Stalled"]))
    if _is(conditions.get("Reconciling"), "True"):
        return _progressing(_text(conditions["Reconciling"]))
    if "Ready" in conditions and not _is(conditions["Ready"], "True"):
        return _progressing(_text(conditions["Ready"]))
    return READY


def _awaited(manifest: Manifest) -> Readiness:
    """Of some kinds nothing is said for a while; they are not ready before they say so."""
    if "Ready" not in conditions_of(manifest):
        return _progressing("its operator does not say yet that it is ready")
    return _by_conditions(manifest)


def _count(data: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else default


def _short(status: Mapping[str, Any], wanted: int, fields: Sequence[tuple[str, str]]) -> str:
    """Return the first count that is too low: `0/1 available`."""
    for field, word in fields:
        have = _count(status, field)
        if have < wanted:
            return f"{have}/{wanted} {word}"
    return ""


def _by_counts(
    manifest: Manifest, wanted: int, fields: Sequence[tuple[str, str]]
) -> Readiness | None:
    """Judge by the counts of a status; None if they are as wanted."""
    status = status_dict(manifest)
    short = _short(status, wanted, fields)
    if short:
        return _progressing(short)
    extra = _count(status, "replicas") - wanted
    return _progressing(f"{extra} old pods to end") if extra > 0 else None


def _replicas(manifest: Manifest) -> int:
    return _count(manifest.get("spec") or {}, "replicas", 1)


def _deployment(manifest: Manifest) -> Readiness:
    wanted = _replicas(manifest)
    conditions = conditions_of(manifest)
    progress = conditions.get("Progressing", {})
    if wanted and progress.get("reason") == "ProgressDeadlineExceeded":
        status = status_dict(manifest)
        return _failed(f"{_count(status, 'availableReplicas')}/{wanted} available, no progress")
    fields = (
        ("replicas", "created"),
        ("updatedReplicas", "updated"),
        ("readyReplicas", "ready"),
        ("availableReplicas", "available"),
    )
    counted = _by_counts(manifest, wanted, fields)
    if counted or not wanted:
        return counted or READY
    if _is(conditions.get("Available"), "False"):
        return _progressing(_text(conditions["Available"]))
    return READY


def _stateful_set(manifest: Manifest) -> Readiness:
    wanted = _replicas(manifest)
    counted = _by_counts(manifest, wanted, (("replicas", "created"), ("readyReplicas", "ready")))
    strategy = manifest.get("spec", {}).get("updateStrategy") or {}
    # With OnDelete nobody but the user replaces pods, so old ones are no reason to wait.
    if counted or not wanted or strategy.get("type") == "OnDelete":
        return counted or READY
    partition = _count(strategy.get("rollingUpdate") or {}, "partition")
    short = _short(
        status_dict(manifest), max(0, wanted - partition), (("updatedReplicas", "updated"),)
    )
    return _progressing(short) if short else READY


def _daemon_set(manifest: Manifest) -> Readiness:
    status = status_dict(manifest)
    # A new DaemonSet says `0 desired` before its controller has counted the nodes.
    if "observedGeneration" not in status:
        return _progressing("its controller has not seen it yet")
    fields = [
        ("currentNumberScheduled", "created"),
        ("updatedNumberScheduled", "updated"),
        ("numberReady", "ready"),
        ("numberAvailable", "available"),
    ]
    strategy = manifest.get("spec", {}).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        del fields[1]
    short = _short(status, _count(status, "desiredNumberScheduled"), fields)
    return _progressing(short) if short else READY


def _replica_set(manifest: Manifest) -> Readiness:
    failure = conditions_of(manifest).get("ReplicaFailure")
    if failure and _is(failure, "True"):
        return _progressing(_text(failure))
    fields = (
        ("replicas", "created"),
        ("readyReplicas", "ready"),
        ("availableReplicas", "available"),
    )
    return _by_counts(manifest, _replicas(manifest), fields) or READY


def _job(manifest: Manifest) -> Readiness:
    conditions = conditions_of(manifest)
    if _is(conditions.get("Complete"), "True"):
        return READY
    failed = conditions.get("Failed")
    if failed and _is(failed, "True"):
        return _failed(f"failed: {failed.get('reason', 'no reason given')}")
    spec = manifest.get("spec", {})
    if spec.get("suspend"):
        return READY
    # kstatus takes a running Job as ready; what a Job was to do is not done before its end.
    wanted = _count(spec, "completions", _count(spec, "parallelism", 1))
    return _progressing(f"{_count(status_dict(manifest), 'succeeded')}/{wanted} complete")


def _pod(manifest: Manifest) -> Readiness:
    status = status_dict(manifest)
    phase = status.get("phase", "")
    if phase == "Succeeded":
        return READY
    if phase == "Failed":
        # kstatus takes it as ready because it will not change; nobody who waits wants that.
        return _failed(str(status.get("message") or status.get("reason") or "failed"))
    if phase == "Running" and _is(conditions_of(manifest).get("Ready"), "True"):
        return READY
    return _progressing("running, not ready" if phase == "Running" else phase or "not seen yet")


def _claim(manifest: Manifest, lookup: Lookup | None) -> Readiness:
    phase = status_dict(manifest).get("phase", "")
    if phase == "Bound":
        return READY
    if phase == "Lost":
        return _failed("its volume is lost")
    # Charts make claims whose pods come with a workflow, a restore or a scale-up, if ever.
    if lookup and lookup.waits_for_consumer(manifest) and not lookup.used(manifest):
        return Readiness(ReadyState.READY, "no pod uses it yet")
    return _progressing(phase or "not seen yet")


def _service(manifest: Manifest) -> Readiness:
    spec = manifest.get("spec", {})
    if spec.get("type") != "LoadBalancer" or spec.get("externalIPs"):
        return READY
    if not spec.get("clusterIP"):
        return _progressing("has no cluster IP")
    # kstatus stops here; Helm and users want the address from outside.
    if not (status_dict(manifest).get("loadBalancer") or {}).get("ingress"):
        return _progressing("its load balancer has no address")
    return READY


def _definition(manifest: Manifest) -> Readiness:
    conditions = conditions_of(manifest)
    names = conditions.get("NamesAccepted")
    if names and _is(names, "False"):
        return _failed(_text(names))
    established = conditions.get("Established")
    if established is None:
        return _progressing("not established")
    if _is(established, "True"):
        return READY
    if established.get("reason") in (None, "", "Installing"):
        return _progressing("not established")
    return _failed(_text(established))


def _api_service(manifest: Manifest) -> Readiness:
    available = conditions_of(manifest).get("Available")
    if _is(available, "True"):
        return READY
    return _progressing(_text(available) if available else "not available")


def _namespace(manifest: Manifest) -> Readiness:
    if status_dict(manifest).get("phase") == "Terminating":
        return _progressing("is being deleted")
    return READY


_RULES: Mapping[tuple[str, str], Callable[[Manifest], Readiness]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    # Its status is a count for evictions: only the generation tells anything.
    ("policy", "PodDisruptionBudget"): lambda _: READY,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    # A database of CloudNativePG.
    ("postgresql.cnpg.io", "Cluster"): _awaited,
}
