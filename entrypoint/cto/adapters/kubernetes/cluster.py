"""An API server over HTTP, with objects as decoded JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isinf
from threading import Event as Flag
from typing import Any
from urllib.parse import quote

from cto.adapters.kubernetes import errors as api_errors
from cto.adapters.kubernetes import watching
from cto.adapters.kubernetes.connection import ApiAnswer, Connection, NoAnswerError, Request
from cto.adapters.kubernetes.discovery import (
    Discovery,
    checked,
    each_page,
    list_request,
    path_of,
    proxied,
)
from cto.adapters.kubernetes.errors import decoded
from cto.adapters.kubernetes.login import LoginPrograms
from cto.adapters.kubernetes.retrying import Retrying
from cto.backoff import Backoff
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.ports import Access, ApiKind, Clock, WatchEvent

FIELD_MANAGER = "cto"
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_APPLY = {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
# No second choice after it: the plain list would bring the payload of Helm's records.
_METADATA = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
_CRD = "CustomResourceDefinition"
_NAMESPACES = "/api/v1/namespaces"
_LOG_READ_S = 5.0
_PROXY_READ_S = 10.0
# A definition is established a moment before its kind is found.
_OF_KINDS = Backoff(0.2, 1.1, attempts=3, factor=5.5)


class KubeCluster:
    """Implements `ports.Cluster`. Safe to use from several threads; nothing is sent before use."""

    def __init__(
        self,
        access: Access,
        *,
        clock: Clock,
        log: Callable[[str], None] = lambda _: None,
        programs: LoginPrograms | None = None,
    ) -> None:
        self._access = access
        self._clock = clock
        self._connection = Connection(access, log=log, programs=programs)
        self._retrying = Retrying(self._connection, clock)
        self._discovery = Discovery(self._ask, clock)
        self._closed = Flag()
        self._heard: tuple[datetime, float] | None = None

    def close(self) -> None:
        """Give up waiting repetitions and close idle connections."""
        self._closed.set()
        self._retrying.close()
        self._connection.close()

    def server_version(self) -> str:
        request = Request(method="GET", path="/version", what="ask for the version", headers=_JSON)
        return str(decoded(self._ask(request).body)["gitVersion"])

    def now(self) -> datetime:
        if self._heard is None:
            return self._clock.now()
        date, at = self._heard
        return date + timedelta(seconds=self._clock.monotonic() - at)

    def uid(self) -> str:
        namespace = self.get(ObjectRef("v1", "Namespace", "", "kube-system"))
        if namespace is None:
            text = "the cluster has no namespace kube-system"
            raise ApiError("CTO-1603", text, status=404, reason="NotFound")
        return str(namespace["metadata"]["uid"])

    def kinds(self, *, fresh: bool = False) -> Sequence[ApiKind]:
        return self._discovery.all(fresh=fresh)

    def unanswered(self) -> Mapping[str, str]:
        return self._discovery.unanswered()

    def get(self, ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        kind = self._discovery.find(ref.api_version, ref.kind)
        if kind is None:
            return None
        path = path_of(kind, ref.namespace or "default", ref.name)
        request = Request(method="GET", path=path, what=f"read {ref}", headers=_JSON)
        answer, _ = self._send(request)
        if answer.status == 404:
            return None
        found: Manifest = decoded(checked(request, answer).body)
        return found if managed_fields else _cleaned(found)

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        query = {"labelSelector": labels, "fieldSelector": fields}
        return self._listed(api_version, kind, namespace, query, _JSON)[0]

    def list_metadata(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        query = {"labelSelector": labels, "fieldSelector": fields}
        found, _ = self._listed(api_version, kind, namespace, query, _METADATA)
        return [{key: item[key] for key in ("apiVersion", "kind", "metadata")} for item in found]

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
        found = self._discovery.find(api_version, kind)
        if found is None:
            return
        query = {"labelSelector": labels, "fieldSelector": fields}
        request = list_request(found, namespace, query, _METADATA if metadata else _JSON)
        seen: set[str] = set()
        for page in each_page(request, lambda one: self._send(one)[0]):
            for item in page.items:
                uid = str(item["metadata"].get("uid", ""))
                if uid not in seen or not uid:
                    seen.add(uid)
                    yield _cleaned({**item, "apiVersion": api_version, "kind": kind})

    def apply(
        self,
        manifest: Manifest,
        *,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
        subresource: str = "",
    ) -> Manifest:
        query = {"fieldManager": manager, "force": "true"}
        return self._write("PATCH", "apply", manifest, query, dry_run=dry_run, part=subresource)

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        query = {"fieldManager": FIELD_MANAGER}
        return self._write("POST", "create", manifest, query, dry_run=dry_run)

    def update(self, manifest: Manifest) -> Manifest:
        query = {"fieldManager": FIELD_MANAGER}
        return self._write("PUT", "update", manifest, query, dry_run=False)

    def delete(self, ref: ObjectRef, *, uid: str = "") -> bool:
        kind = self._discovery.find(ref.api_version, ref.kind)
        if kind is None:
            return False
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid:
            options["preconditions"] = {"uid": uid}
        request = Request(
            method="DELETE",
            path=path_of(kind, ref.namespace or "default", ref.name),
            what=f"delete {ref}",
            headers=_JSON,
            body=json.dumps(options).encode(),
        )
        answer, repeated = self._send(request)
        if ref.kind == _CRD:
            self._discovery.forget()
        if answer.status == 404:
            # The attempt before may have done it.
            return repeated
        if answer.status == 409 and uid:
            # The one with that uid is gone, another one took its name.
            return False
        checked(request, answer)
        return True

    def watch(
        self, api_version: str, kind: str, *, namespace: str, stop: Flag
    ) -> Iterator[WatchEvent]:
        def start() -> watching.Start | None:
            found = self._discovery.find(api_version, kind)
            if found is None:
                return None
            # Asked once: the watch comes again by itself, and looks at its stop flag in between.
            send = self._connection.send
            items, version = self._listed(api_version, kind, namespace, {}, _JSON, send=send)
            return watching.Start(path_of(found, namespace), tuple(items), version)

        watch = watching.Watch(start, self._connection, self._clock, f"watch {kind}")
        return watch.events(stop)

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int = 5
    ) -> str:
        query = {"container": container, "tailLines": str(lines), "limitBytes": "65536"}
        if previous:
            query["previous"] = "true"
        request = Request(
            method="GET",
            path=f"{_NAMESPACES}/{quote(namespace)}/pods/{quote(pod)}/log",
            what=f"read the log of pod {pod} in {namespace}",
            query=query,
            read_timeout_s=_LOG_READ_S,
        )
        try:
            # Asked once: whoever wants it shows something else meanwhile, and comes again.
            answer = self._connection.send(request)
        except NoAnswerError:
            return ""
        return answer.body.decode(errors="replace").rstrip() if answer.status == 200 else ""

    def probe(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str,
        scheme: str,
        *,
        timeout_s: float = _PROXY_READ_S,
    ) -> int:
        request = Request(
            method="GET",
            path=proxied(namespace, f"{scheme}:{service}:{port}", path),
            what=f"ask service {service} in {namespace}",
            read_timeout_s=timeout_s,
        )
        return self._through(request).status

    def post(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float = _PROXY_READ_S,
    ) -> tuple[int, str]:
        request = Request(
            method="POST",
            path=proxied(namespace, f"http:{service}:{port}", path),
            what=f"post to service {service} in {namespace}",
            headers=headers,
            body=body,
            read_timeout_s=timeout_s,
        )
        answer = self._through(request)
        return answer.status, answer.body.decode(errors="replace")

    # inside

    def _through(self, request: Request) -> ApiAnswer:
        """Ask a service, by the API server."""
        try:
            # Asked once: whoever wants it comes again.
            answer = self._connection.send(request)
        except NoAnswerError as error:
            raise self._silent(request, error) from None
        if api_errors.is_unauthorized(answer.status, answer.body):
            # Not the program's own 403: the server did not ask it.
            checked(request, answer)
        return answer

    def _write(
        self,
        method: str,
        verb: str,
        manifest: Manifest,
        query: Mapping[str, str],
        *,
        dry_run: bool,
        part: str = "",
    ) -> Manifest:
        what = f"{verb} {manifest['kind']} {manifest.get('metadata', {}).get('name', '')}"
        kind = self._needed(manifest)
        namespace = manifest.get("metadata", {}).get("namespace") or "default"
        name = "" if method == "POST" else manifest["metadata"]["name"]
        request = Request(
            method=method,
            path=path_of(kind, namespace, name) + (f"/{part}" if part else ""),
            what=f"{what} in {namespace}" if kind.namespaced else what,
            query={**query, "dryRun": "All"} if dry_run else query,
            headers=_APPLY if method == "PATCH" else _JSON,
            body=json.dumps(_cleaned(manifest)).encode(),
        )
        answer, _ = self._send(request)
        written = decoded(checked(request, answer, confidential=kind.kind == "Secret").body)
        if kind.kind == _CRD and not dry_run:
            self._discovery.forget()
        return _cleaned(written)

    def _needed(self, manifest: Manifest) -> ApiKind:
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        for pause in _OF_KINDS.pauses_s():
            if found := self._discovery.find(api_version, kind):
                return found
            if isinf(pause) or self._clock.wait(self._closed, pause):
                break
        text = f"the API server has no kind {kind} in {api_version}"
        raise ApiError("CTO-1603", text, status=404, reason="NotFound")

    def _listed(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        selectors: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        send: Callable[[Request], ApiAnswer] | None = None,
    ) -> tuple[Sequence[Manifest], str]:
        """Return the objects and the resource version of the list."""
        found = self._discovery.find(api_version, kind)
        if found is None:
            return (), ""
        request = list_request(found, namespace, selectors, headers)
        try:
            items, version = self._pages(request, send or (lambda page: self._send(page)[0]))
        except ApiError as error:
            if error.status != 404:
                raise
            self._discovery.forget()
            return (), ""
        named = {"apiVersion": api_version, "kind": kind}
        return [_cleaned({**item, **named}) for item in items], version

    def _pages(
        self, request: Request, send: Callable[[Request], ApiAnswer]
    ) -> tuple[Sequence[Manifest], str]:
        items: list[Manifest] = []
        version = ""
        for page in each_page(request, send):
            if page.anew:
                items.clear()
            items.extend(page.items)
            version = page.version
        return items, version

    def _ask(self, request: Request) -> ApiAnswer:
        answer, _ = self._send(request)
        return checked(request, answer)

    def _send(self, request: Request) -> tuple[ApiAnswer, bool]:
        try:
            answer, repeated = self._retrying.send(request)
        except NoAnswerError as error:
            raise self._silent(request, error) from None
        with suppress(ValueError):
            date = parsedate_to_datetime(answer.headers.get("Date", ""))
            self._heard = date, self._clock.monotonic()
        return answer, repeated

    def _silent(self, request: Request, error: NoAnswerError) -> ApiError:
        where = f"the API server of context {self._access.context}"
        return api_errors.no_answer(request.what, where, str(error), hint=error.hint)


def _cleaned(manifest: Manifest) -> Manifest:
    """Return it without managedFields: few read them, and an apply must not send them."""
    metadata = manifest.get("metadata", {})
    if "managedFields" not in metadata:
        return manifest
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**manifest, "metadata": kept}
