"""Why an object is not ready: the causes, the most telling one first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cto.engine import waitlimits
from cto.engine.cache import NOTHING
from cto.engine.evidence import (
    STORAGE_CLASS,
    Evidence,
    claims_of,
    class_of,
    one_line,
    raw,
)
from cto.engine.podcauses import Finding, findings, last_exit, unattended
from cto.engine.readiness import ReadyState, conditions_of, key_of, status_dict, status_of
from cto.errors import WaitError
from cto.objects import Manifest, ObjectRef, is_being_deleted, ref_of
from cto.ports import Clock

# A kind that cannot be listed comes first: the other conditions are there at every deletion.
FOREIGN = ("NamespaceDeletionDiscoveryFailure", "NamespaceDeletionContentFailure")
"""Conditions of a namespace that waits for what may be somebody else's."""
_DELETING = (
    *FOREIGN,
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
)
_REFUSALS = (
    ("quota", re.compile(r"exceeded quota|failed quota")),
    ("webhook", re.compile(r"failed calling webhook|failed to call webhook")),
    ("config-missing", re.compile(r"error looking up service account")),
    ("admission", re.compile(r"denied|violates PodSecurity|forbidden|is invalid")),
)
# A cause that is away for less than this goes on counting: crashing programs run in between.
_LINGER_S = 15.0
# Controllers put a new pod's random name into every repetition of the same refusal.
_REPETITION = re.compile(
    r"^(\(combined from similar events\): )?"
    r"(Error creating: |create Pod \S+ in \S+ \S+ failed error: )?"
    r'(pods? "[^"]*" is forbidden: )?'
)


@dataclass(frozen=True)
class Cause:
    """Why something is not ready.

    Attributes:
        code: Of the error that it becomes.
        object: Where the trouble is: often a pod of what is waited for.
        message: One line that names the object.
        patience_s: How long it may last before waiting makes no sense; 0 is at once.
        details: The raw words behind the message, if they say more.
        row: Of the patience table.
        root: What is waited for.
    """

    code: str
    object: ObjectRef
    message: str
    patience_s: float
    details: str
    row: str
    root: ObjectRef

    def error(self) -> WaitError:
        return WaitError(self.code, self.message, details=self.details)


def causes_of(evidence: Evidence, manifest: Manifest) -> list[Cause]:
    """Return why an object that is not ready is so; empty if nothing tells.

    Args:
        evidence: Of the object's namespace.
        manifest: The object, with status.
    """
    found = list(_causes(evidence, manifest))
    readiness = status_of(manifest)
    if not found and readiness.state is ReadyState.FAILED:
        found = [_own(evidence, manifest, Finding("failed", readiness.message))]
    return sort(found)


def sort(causes: Iterable[Cause]) -> list[Cause]:
    """Return the causes in the order of telling."""
    return sorted(causes, key=lambda cause: (waitlimits.rank(cause.row), str(cause.root)))


def finalizers_of(manifest: Manifest) -> str:
    """Say what holds an object that is being deleted; '' if nothing does."""
    metadata = manifest["metadata"]
    held = metadata.get("finalizers") or []
    if held:
        return f"held by finalizer {', '.join(held)}"
    conditions = conditions_of(manifest)
    told = [
        one_line(condition.get("message", name))
        for name in _DELETING
        if (condition := conditions.get(name)) and condition.get("status") == "True"
    ]
    return told[0] if told else ""


def stuck(evidence: Evidence, manifest: Manifest) -> Cause | None:
    """Return what holds an object that is being deleted, if anything does."""
    text = finalizers_of(manifest)
    conditions = conditions_of(manifest)
    foreign = any(conditions.get(name, {}).get("status") == "True" for name in FOREIGN)
    row = "namespace-kinds" if foreign else "finalizer"
    return _own(evidence, manifest, Finding(row, text)) if text else None


def _causes(evidence: Evidence, manifest: Manifest) -> Iterator[Cause]:
    if is_being_deleted(manifest):
        cause = stuck(evidence, manifest)
        if cause:
            yield cause
        return
    match key_of(manifest):
        case ("", "PersistentVolumeClaim"):
            yield _own(evidence, manifest, _of_claim(evidence, manifest))
        case ("apiextensions.k8s.io", "CustomResourceDefinition"):
            yield from _of_definition(evidence, manifest)
        case ("batch", "Job") if status_of(manifest).state is ReadyState.FAILED:
            yield _own(evidence, manifest, _of_job(evidence, manifest))
        case ("", "Pod"):
            yield from _of_pods(evidence, manifest)
        case _ if ignored := unattended(evidence, manifest):
            # What its pods say is of before.
            yield _own(evidence, manifest, ignored)
        case _:
            yield from _of_pods(evidence, manifest)
            refused = _refused(evidence, manifest)
            if refused:
                yield _own(evidence, manifest, refused)


def _own(evidence: Evidence, manifest: Manifest, finding: Finding) -> Cause:
    """Make a finding about an object itself a cause."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    return _cause(evidence, manifest, manifest, finding, f"{name}: {finding.text}")


def _cause(
    evidence: Evidence, root: Manifest, manifest: Manifest, finding: Finding, message: str
) -> Cause:
    row = waitlimits.row(finding.row)
    return Cause(
        code=row.code,
        object=ref_of(manifest),
        message=message,
        patience_s=row.patience_for(evidence.age_s(manifest)),
        details=finding.details,
        row=row.name,
        root=ref_of(root),
    )


def _of_pods(evidence: Evidence, manifest: Manifest) -> Iterator[Cause]:
    """Yield one cause per row, however many pods have it."""
    pods = _pods(evidence, manifest)
    by_row: defaultdict[str, list[tuple[Manifest, Finding]]] = defaultdict(list)
    claims: dict[str, Manifest] = {}
    for pod in pods:
        for finding in findings(evidence, pod):
            by_row[finding.row].append((pod, finding))
        if status_dict(pod).get("phase") == "Pending":
            claims.update({c["metadata"]["name"]: c for c in evidence.claims(claims_of(pod))})
    for claim in claims.values():
        if not status_of(claim).ready:
            finding = _of_claim(evidence, claim)
            text = f"{claim['kind']} {claim['metadata']['name']}: {finding.text}"
            yield _cause(evidence, manifest, claim, finding, text)
    for found in by_row.values():
        pod, finding = found[0]
        count = f" ({len(found)} of {len(pods)} pods)" if len(pods) > 1 else ""
        text = f"pod {pod['metadata']['name']}: {finding.text}{count}"
        yield _cause(evidence, manifest, pod, finding, text)


def _pods(evidence: Evidence, manifest: Manifest) -> Sequence[Manifest]:
    owner = manifest["kind"], manifest["metadata"]["name"]
    living = [
        pod for pod in evidence.pods.get(owner, ()) if not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted(living, key=lambda pod: pod["metadata"]["name"])


def _refused(evidence: Evidence, manifest: Manifest) -> Finding | None:
    """Return why the pods of a workload cannot be created."""
    failure = conditions_of(manifest).get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return _refusal(failure.get("message", ""))
    event = evidence.last_event(manifest, "FailedCreate", "SuccessfulCreate")
    if event and event["reason"] == "FailedCreate":
        return _refusal(event.get("message", ""))
    return None


def _refusal(message: str) -> Finding:
    text = f"pods are refused: {one_line(_REPETITION.sub('', message))}"
    for row, pattern in _REFUSALS:
        if pattern.search(message):
            return Finding(row, text, raw(message))
    return Finding("create", text, raw(message))


def _of_job(evidence: Evidence, job: Manifest) -> Finding:
    failed = conditions_of(job).get("Failed", {})
    text = f"failed: {failed.get('reason', 'no reason given')}"
    pods = sorted(
        _pods(evidence, job), key=lambda pod: pod["metadata"].get("creationTimestamp") or ""
    )
    exits = [ended for pod in reversed(pods) if (ended := last_exit(evidence, pod))]
    details = raw(failed.get("message", ""))
    return Finding("job-failed", f"{text}: {exits[0] if exits else details}", details)


def _of_claim(evidence: Evidence, claim: Manifest) -> Finding:
    if status_dict(claim).get("phase") == "Lost":
        return Finding("failed", "its volume is lost")
    missing = _missing_class(evidence, claim)
    # What failed tells more than that it is tried again.
    event = evidence.last_event(claim, "ProvisioningFailed", "FailedBinding")
    event = event or evidence.last_event(claim, "ExternalProvisioning", "WaitForFirstConsumer")
    message = one_line(event.get("message", "")) if event else ""
    if missing or (event and event["reason"] == "FailedBinding"):
        return Finding("claim-class", f"Pending: {missing or message}", message)
    if event and event["reason"] == "ProvisioningFailed":
        return Finding("claim-provider", f"Pending: {message}", message)
    return Finding("claim", f"Pending: {message}" if message else "Pending")


def _missing_class(evidence: Evidence, claim: Manifest) -> str:
    classes = evidence.view.objects(*STORAGE_CLASS, "")
    name = claim.get("spec", {}).get("storageClassName")
    # An empty name asks for a volume that somebody makes by hand.
    if classes is NOTHING or name == "" or class_of(claim, classes):
        return ""
    if name is None:
        return "it names no StorageClass, and none is the default"
    return f"there is no StorageClass {name}"


def _of_definition(evidence: Evidence, definition: Manifest) -> Iterator[Cause]:
    conditions = conditions_of(definition)
    for name in ("NamesAccepted", "Established"):
        condition = conditions.get(name, {})
        if condition.get("status") == "False" and condition.get("reason") != "Installing":
            message = one_line(condition.get("message") or condition.get("reason", ""))
            yield _own(evidence, definition, Finding("definition", f"not {name}: {message}"))
            return


class Timers:
    """Since when each cause has lasted, on the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, ObjectRef], tuple[float, float, float]] = {}

    def expired(self, causes: Iterable[Cause]) -> Cause | None:
        """Note that these causes are there now; return the first that was for too long."""
        now = self._clock.monotonic()
        result = None
        for cause in causes:
            key = cause.row, cause.root
            first, last, patience_s = self._seen.get(key, (now, now, cause.patience_s))
            if now - last > _LINGER_S:
                first, patience_s = now, cause.patience_s
            # The patience of the first sight counts: objects grow old while we look at them.
            self._seen[key] = first, now, patience_s
            if result is None and now - first >= patience_s:
                result = cause
        return result
