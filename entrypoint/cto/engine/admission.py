"""What of a cluster's admission may refuse our pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cto.errors import ApiError
from cto.objects import Manifest, labels_of
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus

_ENFORCE = "pod-security.kubernetes.io/enforce"
_REGISTRATION = "admissionregistration.k8s.io/v1"
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


def policies(cluster: Cluster, namespaces: Sequence[str]) -> Check:
    """Name what looks at pods: it may refuse some of ours. A warning, as nobody can know."""
    found = (*_levels(cluster, namespaces), *_webhooks(cluster), *_rules(cluster))
    if not found:
        return Check(
            name="policies",
            title="Admission policies",
            status=CheckStatus.PASSED,
            message="none that looks at pods",
        )
    return Check(
        name="policies",
        title="Admission policies",
        status=CheckStatus.WARNING,
        message=f"{len(found)} may refuse or change pods",
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
) -> Check:
    """Let the API server say whether it would take a well-behaved pod, and what time it is.

    Args:
        cluster: Who is asked.
        namespaces: Where; those that are there already.
        clock: Compared with the server's.
        image: What the pod runs: policies look at it.
        settled: Namespaces whose own pods were let in: a pod that is not like them proves nothing.
    """
    there = {
        item["metadata"]["name"]
        for item in cluster.list_metadata("v1", "Namespace")
        # What an earlier removal still deletes is made again later, and takes nothing until then.
        if "deletionTimestamp" not in item["metadata"]
    }
    present = [name for name in namespaces if name in there]
    answers = {name: _try(cluster, name, image) for name in present or ["default"]}
    refused = {name: text for name, text in answers.items() if isinstance(text, str)}
    title = "A pod's dry run"
    if refused:
        # Nothing of ours is in namespace default: its rules may not be ours.
        blocked = bool(refused.keys() & set(present) - set(settled))
        return Check(
            name="pods",
            title=title,
            status=CheckStatus.FAILED if blocked else CheckStatus.WARNING,
            message=f"a pod that follows all rules is refused in {', '.join(refused)}",
            fix="Except the platform's namespaces from the policy that is named.",
            code="CTO-1400" if blocked else "",
            items=tuple(f"{name}: {text}" for name, text in refused.items()),
        )
    skew_s = max((_skew_s(pod, clock) for pod in answers.values()), default=0.0)
    if skew_s > _SKEW_S:
        return Check(
            name="pods",
            title=title,
            status=CheckStatus.WARNING,
            message=f"this machine's clock and the API server's differ by {skew_s:.0f} s",
            fix="Set the clock (NTP): log-ins and certificates depend on it.",
        )
    return Check(
        name="pods",
        title=title,
        status=CheckStatus.PASSED,
        message=f"accepted in {', '.join(answers)}",
    )


def _try(cluster: Cluster, namespace: str, image: str) -> Manifest | str:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "cto-preflight", "namespace": namespace},
        "spec": {**_SPEC, "containers": [{**_CONTAINER, "image": image}]},
    }
    try:
        return cluster.create(pod, dry_run=True)
    except ApiError as error:
        text = f"{error} {error.details}".strip()
        # In a namespace of a second ago its account may not be there yet, or it goes by now.
        young_or_going = ("serviceaccount", "is being terminated")
        return {} if any(word in text.lower() for word in young_or_going) else text


def _skew_s(pod: Manifest | str, clock: Clock | None) -> float:
    created = "" if isinstance(pod, str) else pod.get("metadata", {}).get("creationTimestamp", "")
    if clock is None or not created:
        return 0.0
    server = datetime.fromisoformat(created).astimezone(UTC)
    return abs((clock.now() - server).total_seconds())


def _levels(cluster: Cluster, namespaces: Sequence[str]) -> Iterator[str]:
    for item in cluster.list_metadata("v1", "Namespace", labels=_ENFORCE):
        name, level = item["metadata"]["name"], labels_of(item)[_ENFORCE]
        if name in namespaces and level != "privileged":
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
