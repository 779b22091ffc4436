"""A run, its attempts and what came of them, as the cluster holds them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cto import goyaml
from cto.engine.evidence import one_line
from cto.engine.readiness import conditions_of, status_dict
from cto.engine.tasks import CONTAINER, Task
from cto.objects import Manifest, ObjectRef
from cto.redaction import redacted

JOB = ("batch/v1", "Job")
# https://velero.io/docs/main/restore-reference
RESTORED = "velero.io/restore-name"
# When the token in a Secret ends.
EXPIRES = "agents.platform/expires"
# The file that its result is read from.
RESULT = "/task/result.json"


class Run(Task):
    """What the controller wants to know of a task besides."""

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands in the queue: the oldest first."""
        metadata = self.manifest["metadata"]
        return metadata["creationTimestamp"], metadata["name"]

    @property
    def cli(self) -> str:
        """The CLI that it asks for; '' if it takes its agent's."""
        return str((self.spec.get("cliConfig") or {}).get("cliType") or "")

    @property
    def address(self) -> SplitResult | None:
        """Where its repository is; None if that is no address, whatever let it through."""
        try:
            return urlsplit(str(self.spec["repositoryUrl"]))
        except ValueError:
            return None

    @property
    def workspace(self) -> str:
        """The name of the volume that it works in: one run of a service at a time."""
        path = self.address.path if self.address else ""
        return _name("workspace", str(self.spec.get("service") or path))

    @property
    def is_restored(self) -> bool:
        """Whether it comes from a backup: nobody had said anything yet, or it is younger than that.

        Velero labels also what was there before the restore.
        """
        metadata = self.manifest["metadata"]
        rows = conditions_of(self.manifest).values()
        told = [row["lastTransitionTime"] for row in rows if row.get("lastTransitionTime")]
        labelled = RESTORED in metadata.get("labels", {})
        return labelled and (not told or min(told) < metadata["creationTimestamp"])

    @property
    def finished(self) -> datetime | None:
        return moment(self.status.get("finishedAt"))

    def job(self, attempt: int) -> ObjectRef:
        """Return the Job of an attempt. Whoever makes it, and however often: it is the same."""
        key = hashlib.sha256(f"{self.uid}/{attempt}".encode()).hexdigest()[:10]
        name = f"{self.ref.name[:50].rstrip('-.')}-{key}".replace(".", "-")
        return ObjectRef(*JOB, self.ref.namespace, name)


def _name(prefix: str, text: str) -> str:
    """Return a name that is as readable as it can be, and differs for different texts."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= 50:
        return f"{prefix}-{plain}"
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (prefix, plain[-40:].strip("-"), key)))


def workspaces_of(pod: Manifest) -> Iterator[str]:
    """Yield the claims that a pod works in, until it has ended."""
    if status_dict(pod).get("phase") in ("Succeeded", "Failed"):
        return
    for volume in pod.get("spec", {}).get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim["claimName"]


def end_of(job: Manifest) -> Mapping[str, Any] | None:
    """Return the condition that a Job ended with; None as long as it goes on."""
    conditions = conditions_of(job)
    for name in ("Complete", "Failed"):
        if conditions.get(name, {}).get("status") == "True":
            return conditions[name]
    return None


@dataclass(frozen=True)
class AttemptResult:
    """What came of an attempt: of the agent's own file, or of how its pod ended."""

    succeeded: bool
    summary: str
    pull_request_url: str = ""
    final: bool = False

    @classmethod
    def of(cls, job: Manifest, pods: Iterable[Manifest]) -> AttemptResult:
        """Read the result of an attempt that ended.

        An agent that ends with 0 and says that it failed is believed: another attempt would say
        the same. What could not be read as a result is the last that its container said.
        """
        end = end_of(job) or {}
        completed = end.get("type") == "Complete"
        by_age = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
        said = _last_words(by_age[-1]) if by_age else ""
        told = _told(said)
        if told is None:
            why = "" if completed else one_line(str(end.get("message") or end.get("reason") or ""))
            return cls(completed, one_line(redacted(said)) or why or "it left no result")
        outcome = str(told.get("outcome") or ("succeeded" if completed else "failed"))
        summary = one_line(redacted(str(told.get("summary") or outcome)))
        succeeded = completed and outcome == "succeeded"
        url = str(told.get("pullRequestUrl") or "")
        return cls(succeeded, summary, url if _is_address(url) else "", final=completed)


def _last_words(pod: Manifest) -> str:
    """Return what its agent wrote as the result, or the last lines of a container that failed."""
    status = status_dict(pod)
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            ended = container.get("state", {}).get("terminated") or {}
            if ended and (container.get("name") == CONTAINER or ended.get("exitCode")):
                return str(ended.get("message") or "")
    return ""


def _told(text: str) -> Mapping[str, Any] | None:
    try:
        read = goyaml.load_json(text)
    except ValueError:
        return None
    return read if isinstance(read, Mapping) else None


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://")) and text.isprintable() and " " not in text


def moment(text: object) -> datetime | None:
    """Read a time as Kubernetes writes it; None for what is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def written(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(status: Mapping[str, Any]) -> float | None:
    """Return how long a run that ended took; None if it never began."""
    begun, ended = moment(status.get("startedAt")), moment(status.get("finishedAt"))
    return (ended - begun).total_seconds() if begun and ended else None
