"""Why a single pod is not ready: from its status and its events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cto.engine import controlplane
from cto.engine.cache import Tail
from cto.engine.evidence import Evidence, one_line, raw
from cto.engine.readiness import conditions_of, status_dict, status_of
from cto.objects import Manifest, is_being_deleted

# What registries and container runtimes say, in the words of containerd, CRI-O and Docker.
_NO_IMAGE = re.compile(
    r"not found|manifest unknown|name unknown|no such image|does not exist|no match for platform",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"time-?out|no such host|connection refused|connection reset|network is unreachable"
    r"|no route to host|temporary failure|server misbehaving|\bEOF\b|dial tcp|x509"
    r"|too many requests|service unavailable|bad gateway|deadline exceeded|try again",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"unauthorized|denied|forbidden|authentication required|no basic auth", re.IGNORECASE
)
# "failed to pull and unpack image "x": failed to resolve reference "x": x: not found"
_NOISE = re.compile(
    r"rpc error: code = \w+ desc = |failed to (pull and unpack|pull|resolve) (image|reference) "
    r'"[^"]*": |failed to resolve image: |Back-off pulling image "[^"]*":? ?|ErrImagePull: |'
    r'Failed to pull image "[^"]*": |Error response from daemon: '
)
# What the scheduler adds about pods that could make room is true and seldom of use.
_PREEMPTION = re.compile(r",? (no new claims to deallocate, )?preemption: .*$")
_PULLING = {"ImagePullBackOff", "ErrImagePull", "RegistryUnavailable", "ImageInspectError"}
_STARTING = {"RunContainerError", "CreateContainerError", "StartError", "PostStartHookError"}
_SCALING = "TriggeredScaleUp"
# Exit codes of shells and runtimes for a program that cannot be executed or found.
_NO_PROGRAM = {126, 127, 128}


@dataclass(frozen=True)
class Finding:
    """What is wrong with a pod: the row of the patience table, and the words."""

    row: str
    text: str
    details: str = ""


def findings(evidence: Evidence, pod: Manifest) -> Iterator[Finding]:
    """Yield what keeps a pod from being ready; nothing if it is, or if it is ending."""
    status = status_dict(pod)
    if is_being_deleted(pod) or status_of(pod).ready:
        return
    scheduled = conditions_of(pod).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield _unscheduled(evidence, pod, scheduled)
        return
    if ignored := unattended(evidence, pod):
        yield ignored
        return
    found = [
        finding
        for title, state in _containers(status)
        if (finding := _of_container(evidence, pod, title, state))
    ]
    if status.get("phase") == "Failed" and not found:
        found = [Finding("attempt", one_line(f"failed: {_failure(status)}"))]
    if not found:
        found = list(_from_events(evidence, pod))
    yield from found


def unattended(evidence: Evidence, manifest: Manifest) -> Finding | None:
    """Return that nobody of Kubernetes has looked at an object, if so for too long."""
    program = controlplane.unseen_by(manifest)
    if not program or evidence.view.unchanged_s(manifest) < controlplane.PATIENCE_S:
        return None
    silent = evidence.view.silent_programs()
    row = "control-plane" if program in silent else "unattended"
    return Finding(row, controlplane.told(program, silent))


def last_exit(evidence: Evidence, pod: Manifest) -> str:
    """Return how the failed container of an ended pod ended, and its last log line."""
    for title, state in _containers(status_dict(pod)):
        ended = state.get("state", {}).get("terminated") or {}
        if ended and ended.get("exitCode") != 0:
            return _ended(evidence, pod, title, state, ended)
    return ""


def _containers(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for field, title in (("initContainerStatuses", "init container"), ("containerStatuses", "")):
        for state in status.get(field) or ():
            yield f"{title or 'container'} {state['name']}", state


def _of_container(
    evidence: Evidence, pod: Manifest, title: str, state: Mapping[str, Any]
) -> Finding | None:
    current = state.get("state") or {}
    waiting = current.get("waiting") or {}
    reason = waiting.get("reason", "")
    message = waiting.get("message", "")
    if reason in _PULLING:
        return _pulling(evidence, pod, state, message)
    if reason == "InvalidImageName":
        return Finding("image-name", f"{reason}: {state.get('image', '')}", one_line(message))
    if reason == "ErrImageNeverPull":
        text = f"{reason}: {state.get('image', '')} is not on the node"
        return Finding("image-never", text, one_line(message))
    if reason == "CreateContainerConfigError":
        return Finding("config-missing", one_line(f"{reason}: {title}: {message}"))
    if reason in _STARTING:
        return Finding("start", one_line(f"{reason}: {title}: {message}"))
    return _crashed(evidence, pod, title, state)


def _pulling(evidence: Evidence, pod: Manifest, state: Mapping[str, Any], message: str) -> Finding:
    image = state.get("image", "")
    said = _NOISE.sub("", message).strip()
    if not said:
        # Before Kubernetes 1.31 the status has no cause, only the event has.
        # https://github.com/kubernetes/kubernetes/pull/124680
        message = _pull_event(evidence, pod, image)
        said = _NOISE.sub("", message).strip()
    if _NETWORK.search(said):
        row = "image-network"
    elif _NO_IMAGE.search(said):
        if lacks := evidence.view.lacking(image):
            return Finding("image-bundle", lacks, raw(message))
        row = "image-missing"
    elif _DENIED.search(said):
        row = "image-denied"
    else:
        row = "image"
    said = one_line(said.removeprefix(f"{image}: "))
    text = f"{image} not found" if row == "image-missing" else f"{image}: {said or 'no cause told'}"
    # ErrImagePull and this one take turns: told as one, it is not news every time.
    return Finding(row, f"ImagePullBackOff: {text}", raw(message))


def _pull_event(evidence: Evidence, pod: Manifest, image: str) -> str:
    messages = [
        event.get("message", "")
        for event in evidence.events(pod)
        if event.get("reason") == "Failed" and image in event.get("message", "")
    ]
    return messages[-1] if messages else ""


def _crashed(
    evidence: Evidence, pod: Manifest, title: str, state: Mapping[str, Any]
) -> Finding | None:
    current = state.get("state") or {}
    ended = current.get("terminated") or (state.get("lastState") or {}).get("terminated") or {}
    waiting = (current.get("waiting") or {}).get("reason", "")
    if waiting != "CrashLoopBackOff" and not ended:
        return None
    if state.get("ready") or (ended and ended.get("exitCode") == 0 and not waiting):
        return None
    if state.get("restartCount", 0) > 1:
        # Between two crashes it runs: still the same story.
        waiting = "CrashLoopBackOff"
    row = "crash"
    if ended.get("reason") == "OOMKilled":
        row = "memory"
    elif ended.get("exitCode") in _NO_PROGRAM or ended.get("reason") == "StartError":
        row = "start"
    if status_dict(pod).get("phase") == "Failed":
        row = "attempt"
    said = _ended(evidence, pod, title, state, ended)
    return Finding(row, f"{waiting}: {said}" if waiting else said)


def _ended(
    evidence: Evidence,
    pod: Manifest,
    title: str,
    state: Mapping[str, Any],
    ended: Mapping[str, Any],
) -> str:
    """Say how a container ended: `container server exit code 1 (Error), last line: ...`."""
    reason = ended.get("reason", "")
    text = title
    if reason == "OOMKilled":
        text += " OOMKilled: it used more memory than its limit"
    elif "exitCode" in ended:
        text += f" exit code {ended['exitCode']}" + (f" ({reason})" if reason else "")
    restarts = state.get("restartCount", 0)
    if restarts:
        text += f", {restarts} restart{'s' * (restarts > 1)}"
    line = evidence.last_line(_tail(pod, state)) or one_line(ended.get("message", ""))
    return f"{text}, last line: {line}" if line else text


def _tail(pod: Manifest, state: Mapping[str, Any]) -> Tail:
    metadata = pod["metadata"]
    # A container that has not been restarted yet has its end in the current log.
    still = "terminated" in (state.get("state") or {})
    return Tail(
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
        state["name"],
        state.get("restartCount", 0),
        not still,
    )


def _unscheduled(evidence: Evidence, pod: Manifest, scheduled: Mapping[str, Any]) -> Finding:
    reason = scheduled.get("reason", "Unschedulable")
    said = scheduled.get("message", "")
    message = one_line(_PREEMPTION.sub("", said))
    text = f"{reason}: {message}" if message else reason
    if evidence.last_event(pod, _SCALING):
        return Finding("scale-up", f"{text} (a node is on its way)", raw(said))
    starting = "node.kubernetes.io/not-ready" in said or "no nodes available" in said
    return Finding("nodes" if starting else "unschedulable", text, raw(said))


def _failure(status: Mapping[str, Any]) -> str:
    return str(status.get("message") or status.get("reason") or "no reason given")


def _from_events(evidence: Evidence, pod: Manifest) -> Iterator[Finding]:
    """Look at events where the status says only `ContainerCreating` or `Running`."""
    if status_dict(pod).get("phase") == "Running":
        unhealthy = evidence.last_event(pod, "Unhealthy")
        if unhealthy:
            yield Finding("probe", one_line(unhealthy.get("message", "")))
        return
    event = evidence.last_event(pod, "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    if event is None:
        return
    text = one_line(f"{event['reason']}: {event.get('message', '')}")
    if event["reason"] == "FailedCreatePodSandBox":
        yield Finding("sandbox", text)
    elif re.search(r"(secret|configmap|references non-existent).*", text) and "not" in text:
        yield Finding("config-missing", text)
    else:
        yield Finding("mount", text)
