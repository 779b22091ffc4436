"""What of a cluster's admission may refuse our pods."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from cto.engine.planned import PlannedObject, workloads
from cto.errors import ApiError
from cto.objects import Manifest, labels_of
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus, Topic

POLICIES = Topic("policies", "Admission policies")
PODS = Topic("pods", "A pod's dry run")
ENFORCE = "pod-security.kubernetes.io/enforce"
_REGISTRATION = "admissionregistration.k8s.io/v1"
_PARALLEL = 8
# https://github.com/kubernetes/kubernetes/blob/v1.34.4/plugin/pkg/admission/limitranger/admission.go
_RANGE = re.compile(r"(minimum|maximum) \S+ usage per |limit to request ratio per ")
# Tokens and certificates allow about that much.
_SKEW_S = 60.0
# Where nobody says what the platform runs.
ANY_IMAGE = "registry.k8s.io/pause:3.10"
_SPEC = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
_CONTAINER = {
    "name": "main",
    "resources": {
        "requests": {"cpu": "1m", "memory": "1Mi"},
        "limits": {"cpu": "100m", "memory": "16Mi"},
    },
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
}


def policies(
    cluster: Cluster, namespaces: Sequence[str], levels: Mapping[str, str] = MappingProxyType({})
) -> Check:
    """Name what looks at pods: it may refuse some of ours. A warning, as nobody can know.

    Args:
        cluster: Who is asked.
        namespaces: Where ours will be.
        levels: The Pod Security level that the platform itself gives a namespace is no news.
    """
    found = (*_levels(cluster, namespaces, levels), *_webhooks(cluster), *_rules(cluster))
    if not found:
        return POLICIES.passed("none that looks at pods")
    return POLICIES.warning(
        f"{len(found)} may refuse or change pods",
        fix="If pods are refused, except the platform's namespaces from the policy that is named.",
        items=found,
    )


def dry_run(
    cluster: Cluster,
    namespaces: Sequence[str],
    clock: Clock | None,
    *,
    image: str = ANY_IMAGE,
    settled: Sequence[str] = (),
    objects: Sequence[PlannedObject] = (),
) -> Check:
    """Let the API server say whether it would take the platform's pods, and what time it is.

    Those that the charts make, as they make them: a LimitRange that asks for more than a small pod
    has, or a policy that wants a label which ours carry, is no reason to refuse. Where nothing is
    rendered, as nothing changes there, it is a pod that follows all rules.

    Args:
        cluster: Who is asked.
        namespaces: Where; those that are there already.
        clock: Compared with the server's.
        image: What a pod of no chart runs: policies look at it.
        settled: Namespaces whose own pods were let in: a pod that is not like them proves nothing.
        objects: What the plan writes.
    """
    there = _standing(cluster)
    present = [name for name in namespaces if name in there]
    pods = [pod for name in present or ["default"] for pod in _trials(name, objects, image)]
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="pod") as pool:
        answers = list(zip(pods, pool.map(partial(_try, cluster), pods), strict=True))
    refused = [(pod, text) for pod, text in answers if isinstance(text, str)]
    if refused:
        # Nothing of ours is in namespace default: its rules may not be ours.
        return _refused(refused, judging={*present} - {*settled})
    skew_s = max((_skew_s(pod, clock) for _, pod in answers), default=0.0)
    if skew_s > _SKEW_S:
        return PODS.warning(
            f"this machine's clock and the API server's differ by {skew_s:.0f} s",
            fix="Set the clock (NTP): log-ins and certificates depend on it.",
        )
    return PODS.passed(f"accepted in {', '.join(dict.fromkeys(pod.namespace for pod in pods))}")


def _standing(cluster: Cluster) -> Collection[str]:
    """Return the namespaces that are there, and stay.

    What an earlier removal still deletes is made again later, and takes nothing until then.
    """
    found = (item["metadata"] for item in cluster.list_metadata("v1", "Namespace"))
    return {one["name"] for one in found if "deletionTimestamp" not in one}


def _refused(refused: Sequence[tuple[_Trial, str]], *, judging: Collection[str]) -> Check:
    """Tell what was refused, which ends the run only in namespaces whose rules are ours to keep."""
    places = tuple(dict.fromkeys(pod.namespace for pod, _ in refused))
    blocked = not {*places}.isdisjoint(judging)
    plain = all(not pod.workload for pod, _ in refused)
    what = "a pod that follows all rules is" if plain else _count_of(refused)
    return PODS.check(
        CheckStatus.FAILED if blocked else CheckStatus.WARNING,
        f"{what} refused in {', '.join(places)}",
        fix="\n".join(dict.fromkeys(_remedy(pod.namespace, text) for pod, text in refused)),
        code="CTO-1400" if blocked else "",
        items=tuple(f"{pod}: {text}" for pod, text in refused),
    )


def _count_of(refused: Sequence[object]) -> str:
    return "one of the platform's pods is" if len(refused) == 1 else f"{len(refused)} pods are"


@dataclass(frozen=True)
class _Trial:
    """A pod to be tried.

    Attributes:
        workload: Whose pod it is; '' for one of no chart.
    """

    namespace: str
    workload: str
    manifest: Manifest

    def __str__(self) -> str:
        return f"{self.namespace}: {self.workload}" if self.workload else self.namespace


def _trials(namespace: str, objects: Sequence[PlannedObject], image: str) -> Iterator[_Trial]:
    classes = {item.ref.name for item in objects if item.ref.kind == "PriorityClass"}
    found = [
        _Trial(
            namespace,
            f"{item.ref.kind} {item.ref.name}",
            _pod(namespace, _tryable(template.spec, classes), template.metadata),
        )
        for item, template in workloads(objects)
        if item.ref.namespace == namespace
    ]
    plain = {**_SPEC, "containers": [{**_CONTAINER, "image": image}]}
    yield from found or [_Trial(namespace, "", _pod(namespace, plain, {}))]


def _pod(namespace: str, spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> Manifest:
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "name": "cto-preflight", "namespace": namespace},
        "spec": dict(spec),
    }


def _tryable(spec: Mapping[str, Any], classes: Collection[str]) -> Mapping[str, Any]:
    """Return a pod's spec without what the plan makes before: accounts, priority classes."""
    dropped = {"serviceAccountName", "serviceAccount"}
    if spec.get("priorityClassName") in classes:
        dropped.add("priorityClassName")
    return {key: value for key, value in spec.items() if key not in dropped}


def _try(cluster: Cluster, trial: _Trial) -> Manifest | str:
    try:
        return cluster.create(trial.manifest, dry_run=True)
    except ApiError as error:
        text = f"{error} {error.details}".strip()
        # In a namespace of a second ago its account may not be there yet, or it goes by now. Who
        # may not make pods need not: their controllers do. What does not answer has its own check.
        nothing = ("serviceaccount", "is being terminated", "cannot create resource")
        silent = "failed calling webhook"
        return {} if any(word in text.lower() for word in (*nothing, silent)) else text


def _remedy(namespace: str, text: str) -> str:
    """Return what helps against a refusal, by its own words."""
    where = f"-n {namespace}"
    if "exceeded quota" in text or "failed quota" in text:
        return f"Raise the quota, or choose a smaller profile: kubectl describe quota {where}"
    if _RANGE.search(text):
        return (
            f"The LimitRange of namespace {namespace} is too narrow for the platform's pods: "
            f"kubectl describe limitrange {where}; change it, or the resources in "
            "components.NAME.values"
        )
    if "violates PodSecurity" in text:
        label = f"kubectl label ns {namespace} --overwrite {ENFORCE}=LEVEL"
        return f"Lower the Pod Security level that namespace {namespace} enforces: {label}"
    return "Except the platform's namespaces from the policy that is named."


def _skew_s(pod: Manifest | str, clock: Clock | None) -> float:
    created = "" if isinstance(pod, str) else pod.get("metadata", {}).get("creationTimestamp", "")
    if clock is None or not created:
        return 0.0
    server = datetime.fromisoformat(created).astimezone(UTC)
    return abs((clock.now() - server).total_seconds())


def _levels(
    cluster: Cluster, namespaces: Sequence[str], wanted: Mapping[str, str]
) -> Iterator[str]:
    for item in cluster.list_metadata("v1", "Namespace", labels=ENFORCE):
        name, level = item["metadata"]["name"], labels_of(item)[ENFORCE]
        if name in namespaces and level not in ("privileged", wanted.get(name)):
            yield f"Namespace {name} enforces the Pod Security level {level}"


def _webhooks(cluster: Cluster) -> Iterator[str]:
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for item in cluster.list(_REGISTRATION, kind):
            rules = [
                rule for hook in item.get("webhooks") or () for rule in hook.get("rules") or ()
            ]
            if any(map(_sees_pods, rules)):
                yield f"{kind} {item['metadata']['name']}"


def _rules(cluster: Cluster) -> Iterator[str]:
    for item in cluster.list(_REGISTRATION, "ValidatingAdmissionPolicy"):
        constraints = item["spec"].get("matchConstraints") or {}
        if any(map(_sees_pods, constraints.get("resourceRules") or ())):
            yield f"ValidatingAdmissionPolicy {item['metadata']['name']}"


def _sees_pods(rule: Mapping[str, Any]) -> bool:
    return (
        bool({"", "*"} & set(rule.get("apiGroups") or ()))
        and bool({"pods", "*", "*/*"} & set(rule.get("resources") or ()))
        and bool({"CREATE", "*"} & set(rule.get("operations") or ()))
    )
