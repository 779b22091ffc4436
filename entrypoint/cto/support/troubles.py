"""What of a cluster is not ready: objects, their causes, their pods and what these wrote last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cto.engine.cache import Group, grouped
from cto.engine.causes import Cause, causes_of, stuck
from cto.engine.evidence import CLAIM, POD, ClaimLookup, Evidence, claims_of
from cto.engine.look import inventory
from cto.engine.readiness import conditions_of, has_status, status_dict, status_of
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, is_being_deleted, ref_of
from cto.support import facts
from cto.support.platform import PlatformReader, outline

LINES = 200
_LOG_BYTES = 64 << 10
_KINDS = (
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet")),
    ("batch/v1", "Job"),
    CLAIM,
    POD,
)
_DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_RUNNING = ("state", "lastState")


def namespaces(platform: PlatformReader) -> Iterator[tuple[str, Any]]:
    """Yield the platform's namespaces, and all that are being deleted, with what holds them."""
    found = []
    for item in platform.view.objects("v1", "Namespace", "").values():
        name = item["metadata"]["name"]
        if name not in platform.namespaces and not is_being_deleted(item):
            continue
        cause = stuck(_evidence(platform, ""), item) if is_being_deleted(item) else None
        found.append(
            {
                "name": name,
                "phase": status_dict(item).get("phase", ""),
                "deleted": item["metadata"].get("deletionTimestamp", ""),
                "code": cause.code if cause else "",
                "held": cause.message if cause else "",
                "conditions": list(conditions_of(item).values()),
            }
        )
    yield facts.NAMESPACES, {"namespaces": found}


def unready(platform: PlatformReader) -> Iterator[tuple[str, Any]]:
    """Yield the objects that are not ready, or gone, with conditions and causes.

    They are looked for among what is installed, and in the platform's namespaces besides: a first
    run that failed has kept little of what it made.
    """
    installed = _inventory(platform)
    lookup = ClaimLookup(platform.view)
    found: list[dict[str, Any]] = []
    unseen: list[str] = []
    for group in dict.fromkeys((*grouped(installed), *_groups(platform.namespaces))):
        if not has_status(group[0], group[1]):
            continue
        try:
            objects = platform.view.objects(*group)
        except ApiError as error:
            unseen.append(f"{group[1]} in {group[2] or 'the cluster'}: {error.message}")
            continue
        evidence = _evidence(platform, group[2])
        for manifest in objects.values():
            readiness = status_of(manifest, lookup)
            if not readiness.ready and (group[2] or ref_of(manifest) in installed):
                told = (readiness.state.value, readiness.message)
                found.append(_record(manifest, causes_of(evidence, manifest), told))
        there = {ref_of(manifest) for manifest in objects.values()}
        found += _gone(installed, group, there)
    found += _definitions(platform)
    yield facts.UNREADY, {"objects": found, "unseen": unseen}


def pods(platform: PlatformReader) -> Iterator[tuple[str, Any]]:
    """Yield the pods that are not ready, and every restart that there was."""
    records: list[dict[str, Any]] = []
    restarts: list[dict[str, Any]] = []
    for pod in _pods(platform):
        restarts += _restarts(pod)
        if not status_of(pod).ready:
            records.append(_pod(pod))
    yield facts.PODS, {"pods": records, "restarts": restarts}


def logs(platform: PlatformReader, *, share: int, shares: int) -> Iterator[tuple[str, Any]]:
    """Yield the logs of a share of the pods that are not ready; who has none has no file."""
    waiting = [pod for pod in _pods(platform) if not status_of(pod).ready]
    for pod in waiting[share::shares]:
        metadata = pod["metadata"]
        for container in _containers(pod):
            for previous in (False, True) if container.get("restartCount") else (False,):
                text = _log(platform, metadata, container["name"], previous=previous)
                if text:
                    ending = ".previous.log" if previous else ".log"
                    place = f"{metadata['namespace']}/{metadata['name']}/{container['name']}"
                    yield f"{facts.LOGS}{place}{ending}", text


def _log(
    platform: PlatformReader, metadata: Mapping[str, Any], container: str, *, previous: bool
) -> str:
    try:
        text = platform.cluster.logs(
            metadata["namespace"], metadata["name"], container, previous=previous, lines=LINES
        )
    except ApiError as error:
        return f"(the log could not be had: {error.message})\n"
    data = text.encode()
    if len(data) <= _LOG_BYTES:
        return text
    # The end is what counts, and whole lines: half of a secret has no shape any more.
    return data[-_LOG_BYTES:].partition(b"\n")[2].decode(errors="replace")


def _inventory(platform: PlatformReader) -> frozenset[ObjectRef]:
    releases = platform.state.releases.values() if platform.state else ()
    return frozenset(ref for release in releases for ref in inventory(release))


def _groups(names: Iterable[str]) -> Iterator[Group]:
    yield from ((*kind, namespace) for namespace in names for kind in _KINDS)


def _evidence(platform: PlatformReader, namespace: str) -> Evidence:
    return Evidence(platform.view, namespace, platform.clock.now)


def _gone(
    installed: Iterable[ObjectRef], group: Group, there: set[ObjectRef]
) -> Iterator[dict[str, Any]]:
    for ref in sorted(installed):
        # Jobs may be deleted by their time to live when they have done their work.
        of_group = (ref.api_version, ref.kind, ref.namespace) == group
        if of_group and ref not in there and ref.kind != "Job":
            yield {**_named(ref), "state": "missing", "message": "it is not there", "causes": []}


def _definitions(platform: PlatformReader) -> Iterator[dict[str, Any]]:
    """Yield the definitions of whomever that are not served, or that do not go."""
    for item in platform.cluster.scan(*_DEFINITION):
        readiness = status_of(item)
        if not readiness.ready:
            causes = causes_of(_evidence(platform, ""), item)
            yield _record(item, causes, (readiness.state.value, readiness.message))


def _record(manifest: Manifest, causes: Sequence[Cause], told: tuple[str, str]) -> dict[str, Any]:
    state, message = told
    return {
        **_named(ref_of(manifest)),
        "state": state,
        "message": message,
        "deleted": manifest["metadata"].get("deletionTimestamp", ""),
        "conditions": list(conditions_of(manifest).values()),
        "causes": [
            {
                "code": cause.code,
                "row": cause.row,
                "where": cause.object.namespace or "the cluster",
                "message": cause.message,
                "text": f"{cause.message}\n{cause.details}",
                "details": cause.details,
            }
            for cause in causes
        ],
    }


def _named(ref: ObjectRef) -> dict[str, Any]:
    return {"where": str(ref), "object": ref.to_json()}


def _pods(platform: PlatformReader) -> Iterator[Manifest]:
    for namespace in platform.namespaces:
        yield from platform.view.objects(*POD, namespace).values()


def _containers(pod: Manifest) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status_dict(pod).get(kind) or ()


def _restarts(pod: Manifest) -> Iterator[dict[str, Any]]:
    for container in _containers(pod):
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("finishedAt"):
            yield {
                "time": str(ended["finishedAt"]),
                "pod": f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
                "container": container["name"],
                "exit_code": ended.get("exitCode"),
                "reason": str(ended.get("reason", "")),
                "restarts": container.get("restartCount", 0),
            }


def _pod(pod: Manifest) -> dict[str, Any]:
    """Return a pod without what may hold anything: environment, arguments, annotations."""
    spec, status, metadata = pod.get("spec") or {}, status_dict(pod), pod["metadata"]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "created": metadata.get("creationTimestamp", ""),
        "deleted": metadata.get("deletionTimestamp", ""),
        "owners": [f"{one['kind']} {one['name']}" for one in metadata.get("ownerReferences") or ()],
        "claims": claims_of(pod),
        **outline(spec, "nodeName", "nodeSelector", "tolerations", "priorityClassName"),
        "containers": [
            outline(one, "name", "image", "resources")
            for kind in ("initContainers", "containers")
            for one in spec.get(kind) or ()
        ],
        **outline(status, "phase", "reason", "message", "qosClass", "startTime", "conditions"),
        "statuses": [
            outline(one, "name", "image", "ready", "restartCount", *_RUNNING)
            for one in _containers(pod)
        ],
    }
