"""What a namespace knows about its own trouble: pods by owner, events by object."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from cto.engine.cache import Cache, Tail
from cto.objects import Manifest, annotations_of, labels_of

POD = ("v1", "Pod")
EVENT = ("v1", "Event")
CLAIM = ("v1", "PersistentVolumeClaim")
STORAGE_CLASS = ("storage.k8s.io/v1", "StorageClass")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_WORKLOADS = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
}
_LONGEST = 240
_LONGEST_DETAILS = 2000
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Owners of owners: CronJob, Job, Pod is as deep as Kubernetes itself goes.
_DEPTH = 4

Owner: TypeAlias = tuple[str, str]
"""kind, name"""


class Evidence:
    """One look at one namespace; make a new one for the next look."""

    def __init__(self, view: Cache, namespace: str, now: Callable[[], datetime]) -> None:
        self.view = view
        self.namespace = namespace
        self._now = now

    @cached_property
    def pods(self) -> Mapping[Owner, Sequence[Manifest]]:
        """The pods of every owner, direct or not; a pod owns itself."""
        found: defaultdict[Owner, list[Manifest]] = defaultdict(list)
        for pod in self.view.objects(*POD, self.namespace).values():
            for owner in self._owners(pod):
                found[owner].append(pod)
        return found

    @cached_property
    def _events(self) -> Mapping[Owner, Sequence[Manifest]]:
        found: defaultdict[Owner, list[Manifest]] = defaultdict(list)
        for event in self.view.objects(*EVENT, self.namespace).values():
            about = event.get("involvedObject") or {}
            found[(about.get("kind", ""), about.get("name", ""))].append(event)
        for events in found.values():
            events.sort(key=_last_seen)
        return found

    def events(self, manifest: Manifest) -> Sequence[Manifest]:
        """Return the events about an object, oldest first; not those of a namesake before it."""
        uid = manifest["metadata"].get("uid")
        found = self._events.get((manifest["kind"], manifest["metadata"]["name"]), ())
        return [e for e in found if e["involvedObject"].get("uid") in (None, "", uid)]

    def last_event(self, manifest: Manifest, *reasons: str) -> Manifest | None:
        """Return the newest event about an object that has one of these reasons."""
        found = [event for event in self.events(manifest) if event.get("reason") in reasons]
        return found[-1] if found else None

    def claims(self, names: Sequence[str]) -> Sequence[Manifest]:
        known = self.view.objects(*CLAIM, self.namespace)
        return [known[name] for name in names if name in known]

    def age_s(self, manifest: Manifest) -> float:
        """Return how long the object has existed; 0 if that cannot be told."""
        try:
            created = datetime.fromisoformat(manifest["metadata"]["creationTimestamp"])
            return max(0.0, (self._now() - created).total_seconds())
        except (KeyError, TypeError, ValueError):
            return 0.0

    def last_line(self, tail: Tail) -> str:
        return one_line(self.view.last_line(tail))

    def _owners(self, pod: Manifest) -> Sequence[Owner]:
        owners = [("Pod", pod["metadata"]["name"])]
        current: Manifest | None = pod
        for _ in range(_DEPTH):
            owner = controller_of(current) if current else None
            if owner is None or owner in owners:
                break
            owners.append(owner)
            current = self._object(owner)
            if current is None and owner[0] == "ReplicaSet":
                owners.extend(_deployment_of(owner[1], pod))
                current = self._object(owners[-1])
        return owners

    def _object(self, owner: Owner) -> Manifest | None:
        api_version = _WORKLOADS.get(owner[0])
        if api_version is None:
            return None
        return self.view.objects(api_version, owner[0], self.namespace).get(owner[1])


class ClaimLookup:
    """Answers what the readiness of a claim depends on; see readiness.Lookup."""

    def __init__(self, view: Cache) -> None:
        self._view = view
        self._used: dict[str, frozenset[str]] = {}

    def waits_for_consumer(self, claim: Manifest) -> bool:
        found = class_of(claim, self._view.objects(*STORAGE_CLASS, ""))
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def used(self, claim: Manifest) -> bool:
        namespace = claim["metadata"].get("namespace", "")
        if namespace not in self._used:
            pods = self._view.objects(*POD, namespace).values()
            self._used[namespace] = frozenset(name for pod in pods for name in claims_of(pod))
        return claim["metadata"]["name"] in self._used[namespace]


def class_of(claim: Manifest, classes: Mapping[str, Manifest]) -> Manifest | None:
    """Return the StorageClass of a claim, the default one if it names none."""
    name = claim.get("spec", {}).get("storageClassName")
    if name is not None:
        return classes.get(name)
    defaults = (c for c in classes.values() if annotations_of(c).get(DEFAULT_CLASS) == "true")
    return next(defaults, None)


def claims_of(pod: Manifest) -> list[str]:
    """Return the names of the claims that a pod uses; of ended pods, none."""
    if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return []
    volumes = pod.get("spec", {}).get("volumes") or []
    sources = [volume.get("persistentVolumeClaim") for volume in volumes]
    return [source["claimName"] for source in sources if source]


def controller_of(manifest: Manifest) -> Owner | None:
    """Return the object's first owner, its controller if one is marked."""
    owners: list[dict[str, Any]] = manifest["metadata"].get("ownerReferences") or []
    marked = [owner for owner in owners if owner.get("controller")] or owners
    return (marked[0]["kind"], marked[0]["name"]) if marked else None


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return a text of any program as one line that is safe to show on a terminal."""
    printable = "".join(char if char.isprintable() else " " for char in _COLOURS.sub("", text))
    words = " ".join(printable.split())
    return words if len(words) <= longest else words[: longest - 1] + "…"


def raw(text: str) -> str:
    """Return a text of any program as details of an error: whole, within reason."""
    return one_line(text, _LONGEST_DETAILS)


def _deployment_of(replica_set: str, pod: Manifest) -> list[Owner]:
    """Return the Deployment behind a ReplicaSet: the name without the hash that pods carry."""
    ending = f"-{labels_of(pod).get('pod-template-hash', '')}"
    is_deployments = ending != "-" and replica_set.endswith(ending)
    return [("Deployment", replica_set.removesuffix(ending))] if is_deployments else []


def _last_seen(event: Manifest) -> str:
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return next((str(time) for time in times if time), "")
