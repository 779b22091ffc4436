"""Finds admission webhooks that would refuse what a plan writes because nothing answers there.

One that has to answer (`failurePolicy: Fail`) and cannot stops every write that it looks at:
https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cto.engine import unanswered
from cto.engine.planned import PlannedObject, Resource, workloads
from cto.engine.state import JOURNAL, NAMESPACE, STATE
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, labels_of, selected
from cto.ports import Cluster
from cto.result import Check, Topic

_REGISTRATION = "admissionregistration.k8s.io/v1"
_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_PARALLEL = 8
TOPIC = Topic("webhooks", "Admission webhooks")
_CODE = "CTO-1475"
# https://github.com/kubernetes/apiserver/blob/v0.34.4/pkg/admission/plugin/webhook/errors
_SILENT = re.compile(r'failed calling webhook "([^"]+)": (.*)', re.DOTALL)
_DENIED = re.compile(r'admission webhook "([^"]+)" denied the request')


@dataclass(frozen=True, kw_only=True)
class Write:
    """One thing that the API server will be asked to make, as webhooks see it."""

    resource: Resource
    api_version: str
    kind: str
    namespace: str
    labels: Mapping[str, str]
    manifest: Manifest | None = None

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"]) if self.manifest else ""

    @property
    def place(self) -> str:
        return (
            f"{self.resource.plural} in {self.namespace}"
            if self.namespace
            else (self.resource.plural)
        )


@dataclass(frozen=True)
class _Webhook:
    """One webhook of a configuration."""

    kind: str
    configuration: str
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def service(self) -> tuple[str, str] | None:
        """(namespace, name); None if it is called by a URL."""
        service = (self.data.get("clientConfig") or {}).get("service")
        return (service["namespace"], service["name"]) if service else None

    def __str__(self) -> str:
        return f"{self.kind} {self.configuration}"


@dataclass(frozen=True)
class _Trouble:
    webhook: _Webhook
    reason: str
    places: Sequence[str]
    silent: bool = True

    def __str__(self) -> str:
        shown = ", ".join(dict.fromkeys(self.places))
        return f"{self.webhook} (webhook {self.webhook.name}) refuses {shown}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What is needed to tell whether webhooks let writes pass.

    Attributes:
        namespaces: Labels of those that are there.
    """

    cluster: Cluster
    writes: Sequence[Write]
    labels: Mapping[str, Mapping[str, str]]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def check(
    cluster: Cluster,
    objects: Sequence[PlannedObject],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Check:
    """Ask of every webhook that has to answer whether it does, for the kinds that are written.

    Its Service is looked at; where that has endpoints, the API server is let try, as a dry run.

    Args:
        cluster: Who is asked.
        objects: What the plan writes.
        namespaces: Labels of the namespaces that are there.
    """
    writes = tuple(_writes(objects, NAMESPACE not in namespaces))
    coming = {write.name: write.labels for write in writes if _is_namespace(write)}
    look = _Look(
        cluster=cluster, writes=writes, labels={**coming, **namespaces}, namespaces=namespaces
    )
    hooks = [hook for kind in _KINDS for hook in _listed(cluster, kind)] if writes else []
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="webhook") as pool:
        found = [trouble for trouble in pool.map(partial(_trouble, look), hooks) if trouble]
    if not found:
        asked = sum(1 for hook in hooks if any(_sees(hook, look, write) for write in writes))
        message = "none is in the way" if asked else "none looks at what is written"
        return TOPIC.passed(message)
    silent = sum(1 for trouble in found if trouble.silent)
    refusing = len(found) - silent
    words = [f"{silent} {'has' if silent == 1 else 'have'} to answer and cannot"] if silent else []
    words += [f"{refusing} {'refuses' if refusing == 1 else 'refuse'}"] if refusing else []
    return TOPIC.failed(
        " and ".join(words),
        fix="\n".join(dict.fromkeys(map(_fix, found))),
        code=_CODE,
        items=tuple(map(str, found)),
    )


def _fix(trouble: _Trouble) -> str:
    hook = trouble.webhook
    if not trouble.silent:
        return f"Except the platform's namespaces from the policy behind {hook}."
    delete = f"kubectl delete {hook.kind.lower()} {hook.configuration}"
    if hook.service is None:
        return f"Let it answer again, or, if nobody needs it: {delete}"
    namespace, name = hook.service
    look = f"kubectl -n {namespace} get service,endpointslices,pods"
    return f"Bring Service {name} in {namespace} back ({look}), or, if nobody needs it: {delete}"


def _listed(cluster: Cluster, kind: str) -> Iterator[_Webhook]:
    for item in cluster.list(_REGISTRATION, kind):
        for data in item.get("webhooks") or ():
            if data.get("failurePolicy", "Fail") == "Fail":
                yield _Webhook(kind, item["metadata"]["name"], data)


def _trouble(look: _Look, hook: _Webhook) -> _Trouble | None:
    seen = [write for write in look.writes if _sees(hook, look, write)]
    if not seen:
        return None
    places = [write.place for write in seen]
    if hook.service and not hook.data.get("matchConditions"):
        # What a condition in CEL lets pass only the server knows: there it alone is asked.
        reason = unanswered.silence(look.cluster, *hook.service)
        if reason:
            return _Trouble(hook, reason, places)
    return _tried(look, hook, seen)


def _tried(look: _Look, hook: _Webhook, seen: Sequence[Write]) -> _Trouble | None:
    """Let the API server call it, with one object that it looks at and that can be tried."""
    for write in seen:
        there = not write.namespace or write.namespace in look.namespaces
        if write.manifest is None or not there:
            continue
        try:
            look.cluster.create(write.manifest, dry_run=True)
        except ApiError as error:
            return _told(hook, f"{error.message} {error.details}", write)
        return None
    return None


def _told(hook: _Webhook, text: str, write: Write) -> _Trouble | None:
    """Return what a refusal says about this webhook; another one's is told of that one."""
    silent = _SILENT.search(text)
    if silent and silent[1] == hook.name:
        return _Trouble(hook, silent[2].strip(), [write.place])
    denied = _DENIED.search(text)
    if denied and denied[1] == hook.name:
        return _Trouble(hook, text.strip(), [write.place], silent=False)
    return None


# what webhooks look at


def _sees(hook: _Webhook, look: _Look, write: Write) -> bool:
    data = hook.data
    if not any(_matches_rule(rule, write) for rule in data.get("rules") or ()):
        return False
    if not selected(data.get("objectSelector"), write.labels):
        return False
    if _is_namespace(write):
        own = {"kubernetes.io/metadata.name": write.name, **write.labels}
        return selected(data.get("namespaceSelector"), own)
    if not write.namespace:
        return True
    labels = {
        "kubernetes.io/metadata.name": write.namespace,
        **look.labels.get(write.namespace, {}),
    }
    return selected(data.get("namespaceSelector"), labels)


def _matches_rule(rule: Mapping[str, Any], write: Write) -> bool:
    scope = rule.get("scope") or "*"
    scopes = {"*", "Namespaced" if write.resource.namespaced else "Cluster"}
    return (
        scope in scopes
        and bool({"*", write.resource.group} & {*(rule.get("apiGroups") or ())})
        and bool({"*", "*/*", write.resource.plural} & {*(rule.get("resources") or ())})
        and bool({"*", "CREATE", "UPDATE"} & {*(rule.get("operations") or ())})
    )


def _is_namespace(write: Write) -> bool:
    return write.kind == "Namespace" and not write.resource.group and write.manifest is not None


def _writes(objects: Iterable[PlannedObject], fresh: bool) -> Iterator[Write]:  # noqa: FBT001 - what the cluster lacks
    """Yield what the plan writes, what follows from it, and what the installer keeps itself.

    `fresh`: the installer's own namespace is still to be made.
    """
    items = list(objects)
    for item in items:
        manifest = item.manifest
        if item.resource.namespaced:
            metadata = {**manifest["metadata"], "namespace": item.ref.namespace}
            manifest = {**manifest, "metadata": metadata}
        yield _write(item.resource, manifest)
    for item, template in workloads(items):
        # The workload's controller makes them, and is refused as we would be.
        yield Write(
            resource=Resource("", "pods", namespaced=True),
            api_version="v1",
            kind="Pod",
            namespace=item.ref.namespace,
            labels=template.metadata.get("labels") or {},
        )
    for namespace in dict.fromkeys(item.release[1] for item in items if item.release):
        yield _write(Resource("", "secrets", namespaced=True), _helms_record(namespace))
    if items and fresh:
        own = ObjectRef("v1", "Namespace", "", NAMESPACE)
        yield _write(Resource("", "namespaces", namespaced=False), _bare(own))
    if items:
        for ref in (STATE, JOURNAL):
            yield _write(Resource("", "configmaps", namespaced=True), _bare(ref))
        lease = ObjectRef("coordination.k8s.io/v1", "Lease", NAMESPACE, "cto-preflight")
        yield _write(Resource("coordination.k8s.io", "leases", namespaced=True), _bare(lease))


def _helms_record(namespace: str) -> Manifest:
    record = _bare(ObjectRef("v1", "Secret", namespace, "sh.helm.release.v1.cto-preflight.v1"))
    return {**record, "type": "helm.sh/release.v1"}


def _bare(ref: ObjectRef) -> Manifest:
    metadata = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}


def _write(resource: Resource, manifest: Manifest) -> Write:
    return Write(
        resource=resource,
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        namespace=manifest["metadata"].get("namespace", "") if resource.namespaced else "",
        labels=labels_of(manifest),
        manifest=manifest,
    )
