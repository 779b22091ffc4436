"""A Kubernetes API server in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Event as Flag
from typing import Any

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.ports import ApiKind, WatchEvent
from fakes import immutable
from fakes import kinds as kind_table
from fakes.defaults import CREATED, placed, with_defaults
from fakes.merging import managed, merged
from fakes.selectors import fields_match, labels_match
from fakes.store import Key, Store

Controller = Callable[[Manifest], None]
"""Plays a controller: changes the status of an object right after it was written."""


class FakeCluster:
    """Implements `ports.Cluster`, and lets a test look behind and play the rest of a cluster.

    Attributes:
        calls: Every request: (verb, kind, namespace, name).
        selectors: Every list: (kind, labels).
        controllers: Called with every object that was written; what they change is a new version.
        container_logs: (namespace, pod, container, previous) -> text.
        probes: (namespace, service) -> what it answers; 503 for all others.
        patience: The timeout of every probe.
        programs: (namespace, service) -> what answers a POST to a path.
        silent_groups: apiVersion -> why its server does not answer.
        unlisted: (apiVersion, kind) -> what every list of it is refused with.
        denied: (verb, resource, namespace) that access reviews refuse; '*' matches all.
        rules: namespace -> what rules reviews tell.
        time: The server's clock.
        user: Who asks, as reviews tell; '' for a server that does not tell.
        logged_in: False makes every request fail with CTO-1602.
    """

    def __init__(
        self,
        objects: Iterable[Manifest] = (),
        *,
        version: str = "v1.34.4",
        controllers: Sequence[Controller] = (),
    ) -> None:
        self.calls: list[tuple[str, str, str, str]] = []
        self.selectors: list[tuple[str, str]] = []
        self.controllers = list(controllers)
        self.container_logs: dict[tuple[str, str, str, bool], str] = {}
        self.probes: dict[tuple[str, str], int] = {}
        self.patience: list[float] = []
        self.programs: dict[
            tuple[str, str], Callable[[str, Mapping[str, str], bytes], tuple[int, str]]
        ] = {}
        self.silent_groups: dict[str, str] = {}
        self.unlisted: dict[tuple[str, str], ApiError] = {}
        self.denied: set[tuple[str, str, str]] = set()
        self.rules: dict[str, list[dict[str, list[str]]]] = {}
        self.user = ""
        self.logged_in = True
        self.time = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._version = version
        self._kinds = list(kind_table.builtin())
        self._store = Store()
        self._applied: dict[Key, Manifest] = {}
        self._managers: dict[Key, str] = {}
        self._failures: list[tuple[str, str, BaseException]] = []
        for name in ("default", "kube-system"):
            self.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for manifest in objects:
            self.add(manifest)

    # what tests use

    def add(self, manifest: Manifest) -> Manifest:
        """Put an object there, status included, with its namespace if that is missing."""
        kind = self._kind_of(manifest)
        key = self._key(kind, manifest)
        if kind.namespaced and not self._store.get(_namespace_key(key[2])):
            self.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key[2]}})
        stored = self._store.put(key, with_defaults(placed(manifest, kind), None))
        self._learn(stored)
        return stored

    def set_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> None:
        """Replace an object's status, as its controller would."""
        manifest = self._existing(ref)
        self._store.put(self._key_of(ref), {**manifest, "status": dict(status)})

    def remove(self, ref: ObjectRef) -> None:
        """Take an object away, finalizers or not."""
        self._existing(ref)
        self._store.remove(self._key_of(ref))

    def apply_quietly(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Apply as another program would: not counted in `calls`, and it never fails on demand."""
        kind, key = self._target(manifest)
        live = self._store.get(key)
        new = placed(manifest, kind)
        new.pop("status", None)
        result = with_defaults(merged(live or {}, new, self._applied.get(key)), live)
        if dry_run:
            return result
        self._applied[key] = new
        return self._write(key, result)

    def delete_quietly(self, ref: ObjectRef, *, uid: str = "") -> bool:
        """Delete as another program would."""
        live = self.peek(ref)
        if live is None or uid not in ("", live["metadata"]["uid"]):
            return False
        self._delete(self._key_of(ref), live)
        return True

    def peek(self, ref: ObjectRef) -> Manifest | None:
        """Get an object without a request being counted."""
        known = self._kind(ref.api_version, ref.kind)
        return self._store.get(self._key_of(ref)) if known else None

    def fail_next(self, verb: str, error: BaseException, *, kind: str = "", times: int = 1) -> None:
        """Let the next `times` calls of a method (of that kind) raise."""
        self._failures.extend([(verb, kind, error)] * times)

    def break_watches(self) -> None:
        """Break every watch: each yields another SYNC."""
        self._store.resync()

    def everything(self) -> dict[ObjectRef, Manifest]:
        """Return all objects there are."""
        return {ref_of(manifest): manifest for _, manifest in self._store.items(lambda _: True)}

    def count(self, verb: str, kind: str = "") -> int:
        """Return how often a method was called (for a kind)."""
        return sum(1 for call in self.calls if call[0] == verb and kind in ("", call[1]))

    # ports.Cluster

    def server_version(self) -> str:
        self._enter("server_version")
        return self._version

    def now(self) -> datetime:
        return self.time

    def uid(self) -> str:
        self._enter("uid")
        namespace = self._store.get(_namespace_key("kube-system"))
        return str((namespace or {})["metadata"]["uid"])

    def kinds(self, *, fresh: bool = False) -> Sequence[ApiKind]:
        self._enter("kinds")
        matches = self._matcher("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")
        hidden = {
            kind
            for _, manifest in self._store.items(matches)
            if not kind_table.is_established(manifest)
            for kind in kind_table.of_crd(manifest)
        }
        return tuple(kind for kind in self._kinds if kind not in hidden)

    def unanswered(self) -> Mapping[str, str]:
        return dict(self.silent_groups)

    def get(self, ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        self._enter("get", ref.kind, ref.namespace, ref.name)
        kind = self._kind(ref.api_version, ref.kind)
        manifest = self._store.get(self._key_of(ref)) if kind else None
        if manifest and not managed_fields:
            manifest["metadata"].pop("managedFields", None)
        elif manifest and (manager := self._managers.get(self._key_of(ref))):
            fields = managed(self._applied[self._key_of(ref)], manager)
            manifest["metadata"].setdefault("managedFields", [fields])
        return manifest and {**manifest, "apiVersion": ref.api_version}

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        self._enter("list", kind, namespace)
        self.selectors.append((kind, labels))
        return self._select(api_version, kind, namespace, labels, fields)

    def list_metadata(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        self._enter("list_metadata", kind, namespace)
        self.selectors.append((kind, labels))
        wanted = ("apiVersion", "kind", "metadata")
        found = self._select(api_version, kind, namespace, labels, fields)
        return tuple({key: item[key] for key in wanted} for item in found)

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
        self._enter("scan_metadata" if metadata else "scan", kind, namespace)
        yield from self._select(api_version, kind, namespace, labels, fields)

    def apply(
        self,
        manifest: Manifest,
        *,
        dry_run: bool = False,
        manager: str = "cto",
        subresource: str = "",
    ) -> Manifest:
        self._enter_write("dry-run" if dry_run else f"apply {subresource}".rstrip(), manifest)
        if subresource:
            _, key = self._target(manifest)
            live = self._store.get(key)
            if live is None:
                raise _refused(404, "NotFound", f"{key[1]} {key[3]!r} not found")
            return self._store.put(key, {**live, "status": copy.deepcopy(manifest["status"])})
        self._refuse_immutable(manifest)
        if not dry_run:
            self._managers[self._target(manifest)[1]] = manager
        return self.apply_quietly(manifest, dry_run=dry_run)

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        self._enter_write("create", manifest)
        kind, key = self._target(manifest)
        if kind.verbs == {"create"}:
            return self._review(manifest)
        if self._store.get(key):
            raise _refused(409, "AlreadyExists", f"{key[1]} {key[3]!r} already exists")
        new = placed(manifest, kind)
        new.pop("status", None)
        result = with_defaults(new, None)
        return result if dry_run else self._write(key, result)

    def update(self, manifest: Manifest) -> Manifest:
        self._enter_write("update", manifest)
        kind, key = self._target(manifest)
        live = self._store.get(key)
        if live is None:
            raise _refused(404, "NotFound", f"{key[1]} {key[3]!r} not found")
        version = manifest["metadata"].get("resourceVersion")
        if version not in (None, live["metadata"]["resourceVersion"]):
            text = f"{key[1]} {key[3]!r}: the object has been modified"
            raise _refused(409, "Conflict", text)
        new = placed(manifest, kind)
        new.pop("status", None)
        if "status" in live:
            new["status"] = live["status"]
        return self._write(key, with_defaults(new, live))

    def delete(self, ref: ObjectRef, *, uid: str = "") -> bool:
        self._enter("delete", ref.kind, ref.namespace, ref.name)
        return self.delete_quietly(ref, uid=uid)

    def watch(
        self, api_version: str, kind: str, *, namespace: str, stop: Flag
    ) -> Iterator[WatchEvent]:
        self._enter("watch", kind, namespace)
        return self._store.watch(self._matcher(api_version, kind, namespace), stop)

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int = 5
    ) -> str:
        self._enter("logs", "Pod", namespace, pod)
        text = self.container_logs.get((namespace, pod, container, previous), "")
        return "\n".join(text.splitlines()[-lines:])

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
        self._enter("probe", "Service", namespace, service)
        self.patience.append(timeout_s)
        if not self.peek(ObjectRef("v1", "Service", namespace, service)):
            return 404
        return self.probes.get((namespace, service), 503)

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
        del port, timeout_s
        self._enter("post", "Service", namespace, service)
        if not self.peek(ObjectRef("v1", "Service", namespace, service)):
            return 404, ""
        program = self.programs.get((namespace, service))
        return program(path, headers, body) if program else (503, "")

    # inside

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _enter(self, verb: str, kind: str = "", namespace: str = "", name: str = "") -> None:
        self.calls.append((verb, kind, namespace, name))
        if not self.logged_in:
            text = "the server has asked for the client to provide credentials"
            raise ApiError("CTO-1602", text, status=401, reason="Unauthorized")
        for failure in self._failures:
            if failure[0] == verb and failure[1] in ("", kind):
                self._failures.remove(failure)
                raise failure[2]

    def _enter_write(self, verb: str, manifest: Manifest) -> None:
        metadata = manifest.get("metadata", {})
        self._enter(verb, manifest["kind"], metadata.get("namespace", ""), metadata.get("name", ""))

    def _refuse_immutable(self, manifest: Manifest) -> None:
        kind, key = self._target(manifest)
        live = self._store.get(key)
        for field in immutable.changed(placed(manifest, kind), live) if live else ():
            name = manifest["metadata"]["name"]
            text = f'{manifest["kind"]}.x "{name}" is invalid: {field}: field is immutable'
            raise ApiError(
                "CTO-1605",
                text,
                status=422,
                reason="Invalid",
                causes=((field, "Invalid value: field is immutable"),),
            )

    def _target(self, manifest: Manifest) -> tuple[ApiKind, Key]:
        kind = self._kind_of(manifest)
        key = self._key(kind, manifest)
        if kind.namespaced and kind.verbs != {"create"}:
            self._check_namespace(key)
        return kind, key

    def _check_namespace(self, key: Key) -> None:
        namespace = self._store.get(_namespace_key(key[2]))
        if namespace is None:
            raise _refused(404, "NotFound", f"namespaces {key[2]!r} not found")
        if namespace["metadata"].get("deletionTimestamp") and not self._store.get(key):
            text = f"{key[1]} {key[3]!r} is forbidden: namespace {key[2]} is being terminated"
            raise ApiError("CTO-1605", text, status=403, reason="NamespaceTerminating")

    def _write(self, key: Key, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._store.put(key, manifest)
            self._drop(key, manifest)
            return manifest
        before = self._store.get(key)
        stored = self._store.put(key, manifest)
        self._learn(stored)
        if (
            before
            and before["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
        ):
            return stored
        changed = copy.deepcopy(stored)
        for controller in self.controllers:
            controller(changed)
            changed = self._store.put(key, changed)
        return stored

    def _delete(self, key: Key, live: Manifest) -> None:
        if live["kind"] == "Namespace":
            self._mark(key, live)
            for inner, manifest in self._store.items(lambda other: other[2] == key[3]):
                self._delete(inner, manifest)
            self._end_namespace(key[3])
        elif live["metadata"].get("finalizers"):
            self._mark(key, live)
        else:
            self._drop(key, live)

    def _mark(self, key: Key, live: Manifest) -> None:
        live["metadata"].setdefault("deletionTimestamp", CREATED)
        if live["kind"] == "Namespace":
            live["status"] = {"phase": "Terminating"}
        self._store.put(key, live)

    def _drop(self, key: Key, live: Manifest) -> None:
        self._store.remove(key)
        self._applied.pop(key, None)
        self._managers.pop(key, None)
        if live["kind"] == "CustomResourceDefinition":
            gone = kind_table.of_crd(live)
            for kind in gone:
                matches = self._matcher(kind.api_version, kind.kind, "")
                for inner, manifest in self._store.items(matches):
                    self._delete(inner, manifest)
            self._kinds = [kind for kind in self._kinds if kind not in gone]
        self._end_namespace(key[2])

    def _end_namespace(self, name: str) -> None:
        namespace = self._store.get(_namespace_key(name))
        ending = namespace and namespace["metadata"].get("deletionTimestamp")
        if ending and not self._store.items(lambda other: other[2] == name):
            self._store.remove(_namespace_key(name))

    def _learn(self, manifest: Manifest) -> None:
        if manifest["kind"] == "CustomResourceDefinition":
            new = kind_table.of_crd(manifest)
            self._kinds = [*(kind for kind in self._kinds if kind not in new), *new]

    def _review(self, manifest: Manifest) -> Manifest:
        if manifest["kind"] == "SelfSubjectReview":
            return {**manifest, "status": {"userInfo": {"username": self.user}}}
        if manifest["kind"] == "SelfSubjectRulesReview":
            rules = copy.deepcopy(self.rules.get(manifest["spec"]["namespace"], []))
            return {**manifest, "status": {"resourceRules": rules, "incomplete": True}}
        asked = manifest["spec"].get("resourceAttributes", {})
        question = tuple(asked.get(field, "") for field in ("verb", "resource", "namespace"))
        refused = any(
            all(rule in ("*", word) for rule, word in zip(row, question, strict=True))
            for row in self.denied
        )
        return {**copy.deepcopy(manifest), "status": {"allowed": not refused}}

    def _select(
        self, api_version: str, kind: str, namespace: str, labels: str, fields: str
    ) -> tuple[Manifest, ...]:
        if error := self.unlisted.get((api_version, kind)):
            raise error
        found = self._store.items(self._matcher(api_version, kind, namespace))
        return tuple(
            {**item, "apiVersion": api_version}
            for _, item in found
            if labels_match(labels, labels_of(item)) and fields_match(fields, item)
        )

    def _matcher(self, api_version: str, kind: str, namespace: str) -> Callable[[Key], bool]:
        def matches(key: Key) -> bool:
            known = self._kind(api_version, kind)
            return (
                known is not None
                and key[:2] == (_group(api_version), known.plural)
                and (not known.namespaced or namespace in ("", key[2]))
            )

        return matches

    def _kind(self, api_version: str, kind: str) -> ApiKind | None:
        wanted = (api_version, kind)
        found = (known for known in self._kinds if (known.api_version, known.kind) == wanted)
        return next(found, None)

    def _kind_of(self, manifest: Manifest) -> ApiKind:
        kind = self._kind(manifest["apiVersion"], manifest["kind"])
        if kind is None:
            text = f"no kind {manifest['kind']!r} in {manifest['apiVersion']}"
            raise _refused(404, "NotFound", text)
        return kind

    def _key(self, kind: ApiKind, manifest: Manifest) -> Key:
        metadata = manifest.get("metadata", {})
        namespace = metadata.get("namespace") or "default"
        place = namespace if kind.namespaced else ""
        return _group(kind.api_version), kind.plural, place, metadata.get("name", "")

    def _key_of(self, ref: ObjectRef) -> Key:
        metadata = {"namespace": ref.namespace, "name": ref.name}
        kind = self._kind_of({"apiVersion": ref.api_version, "kind": ref.kind})
        return self._key(kind, {"metadata": metadata})

    def _existing(self, ref: ObjectRef) -> Manifest:
        manifest = self._store.get(self._key_of(ref))
        if manifest is None:
            text = f"the fake has no {ref}"
            raise AssertionError(text)
        return manifest


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _namespace_key(name: str) -> Key:
    return "", "namespaces", "", name


def _refused(status: int, reason: str, text: str) -> ApiError:
    code = {404: "CTO-1603", 409: "CTO-1604"}[status]
    return ApiError(code, text, status=status, reason=reason)
