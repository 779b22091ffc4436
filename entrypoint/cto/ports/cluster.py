"""What the engine needs of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Event as Flag
from typing import Protocol

from cto.objects import Manifest, ObjectRef


class WatchType(StrEnum):
    SYNC = "SYNC"
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True)
class WatchEvent:
    """A change. SYNC carries all objects there are (`items`) and replaces what was known."""

    type: WatchType
    items: tuple[Manifest, ...]


@dataclass(frozen=True)
class ApiKind:
    """One kind that the API server offers."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]


class Cluster(Protocol):
    """A Kubernetes API server.

    All methods raise ApiError: CTO-1601 (no answer), 1602 (401, 403), 1603 (404 of a kind),
    1604 (409), 1605 (422 and refusals of admission), 1600 (all else). Requests that are safe to
    repeat are repeated on 429, 5xx and broken connections, a few times, with growing pauses.
    """

    def server_version(self) -> str:
        """Return the version as the server says it, e.g. `v1.34.4`."""
        ...

    def now(self) -> datetime:
        """Return the server's clock, by the Date of its last answer; another is not asked for."""
        ...

    def uid(self) -> str:
        """Return the UID of namespace kube-system: the cluster's identity."""
        ...

    def kinds(self, *, fresh: bool = False) -> Sequence[ApiKind]:
        """Return what the server offers (asked once; again after CRDs were applied, or `fresh`).

        A CRD's kind is offered as soon as it is established.
        """
        ...

    def unanswered(self) -> Mapping[str, str]:
        """Return apiVersion -> why, of those whose server does not answer the API server.

        What it says of their kinds is old, or nothing.
        """
        ...

    def get(self, ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        """Return the object, None if it does not exist (nor its kind).

        `managed_fields` leaves in who wrote which field; otherwise nobody returns it.
        """
        ...

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        """Return the objects, of all namespaces if none is named; () if the kind is unknown.

        Items carry `apiVersion` and `kind`.
        """
        ...

    def list_metadata(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        """Return the same with nothing but apiVersion, kind and metadata: a fraction of the bytes.

        It is the only way to look at Helm's records, whose payload holds values.
        """
        ...

    def scan(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata: bool = False,
    ) -> Iterator[Manifest]:
        """Yield the same (or the `metadata` of it) page by page, for what may be thousands.

        Whoever has seen enough stops, and what nobody keeps is forgotten.
        """
        ...

    def apply(
        self,
        manifest: Manifest,
        *,
        dry_run: bool = False,
        manager: str = "cto",
        subresource: str = "",
    ) -> Manifest:
        """Apply server-side, taking over contested fields. `manager` owns what is applied.

        With the `subresource` status, the status is all that is written, of an object that exists.
        """
        ...

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create the object; reviews (SubjectAccessReview) are answered this way.

        Raises:
            ApiError: CTO-1604 with reason AlreadyExists.
        """
        ...

    def update(self, manifest: Manifest) -> Manifest:
        """Replace the object if its resourceVersion is still the one in the manifest.

        Raises:
            ApiError: CTO-1604 with reason Conflict.
        """
        ...

    def delete(self, ref: ObjectRef, *, uid: str = "") -> bool:
        """Delete the object (only the one with that uid, if given); False if there was none."""
        ...

    def watch(
        self, api_version: str, kind: str, *, namespace: str, stop: Flag
    ) -> Iterator[WatchEvent]:
        """Yield a SYNC, then every change, until `stop` is set.

        Broken connections and expired resource versions are mended inside, by another SYNC.
        """
        ...

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int = 5
    ) -> str:
        """Return the last lines of a container's log, '' if there are none or it has none yet."""
        ...

    def probe(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str,
        scheme: str,
        *,
        timeout_s: float = 10.0,
    ) -> int:
        """GET over the API server's service proxy; return the status, 503 without endpoints.

        Raises:
            ApiError: CTO-1602 if it is the API server that refuses, CTO-1601 after the timeout.
        """
        ...

    def close(self) -> None:
        """End what still runs, and the connections."""
        ...

    def post(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float = 10.0,
    ) -> tuple[int, str]:
        """POST the same way, by http; return the status and the answer.

        Raises:
            ApiError: As above.
        """
        ...
