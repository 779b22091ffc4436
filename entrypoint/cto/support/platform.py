"""What is gathered of a cluster. Everything here only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cto.engine import unanswered
from cto.engine.cache import Lacking, Tail, nothing_lacks
from cto.engine.controlplane import is_over
from cto.engine.evidence import EVENT
from cto.engine.history import RUNNING, History
from cto.engine.lease import LEASE, NAME, described, holder_of, renewed
from cto.engine.listcache import ListCache
from cto.engine.readiness import conditions_of
from cto.engine.state import JOURNAL as JOURNAL_REF
from cto.engine.state import NAMESPACE, StateStore, content_of
from cto.engine.state import STATE as STATE_REF
from cto.errors import ApiError, PreflightError
from cto.holder import Containers, Holder, Machine
from cto.objects import Manifest, secret_data
from cto.plan import labels
from cto.plan.observed import State
from cto.ports import Clock, Cluster
from cto.providers import is_in_docker
from cto.redaction import Secrets
from cto.support import facts

_MOST_EVENTS = 2000
_HELM = "helm.sh/release.v1"
_PRESSURES = ("DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable")
_PLAIN_KEYS = frozenset(
    {"database", "dbname", "host", "hostname", "name", "namespace", "port", "type", "user"}
    | {"username", "project", "url"}
)
# Of a value of several lines, as of a file, each may be told alone.
_LONG_LINE = 16
_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


class _ClearedLists(ListCache):
    """Takes secrets out of what programs said, before anybody cuts it to a line.

    Half of a secret has no shape any more.
    """

    def __init__(self, cluster: Cluster, lacking: Lacking, secrets: Secrets) -> None:
        super().__init__(cluster, lacking)
        self._secrets = secrets

    def last_line(self, tail: Tail) -> str:
        return self._secrets.redacted(super().last_line(tail))

    def _list(self, api_version: str, kind: str, namespace: str) -> dict[str, Manifest]:
        found = super()._list(api_version, kind, namespace)
        return {name: self._cleared(item) for name, item in found.items()}

    def _cleared(self, item: Manifest) -> Manifest:
        # Names stay: others are looked for by them.
        said = {key: item[key] for key in ("status", "message") if key in item}
        return {**item, **facts.cleared(said, self._secrets.redacted)} if said else item


@dataclass(frozen=True, kw_only=True)
class PlatformReader:
    """A cluster that answers, and what is needed to look at it.

    Attributes:
        version: Of this cto.
        machine: Where we run: whoever holds the lock may be here.
        containers: Likewise, of this machine's Docker.
        secrets: What is to be shown nowhere; it learns the values of the platform's Secrets.
        lacking: Says which images the bundle lacks.
    """

    cluster: Cluster
    clock: Clock
    version: str
    machine: Machine
    containers: Callable[[], Containers]
    secrets: Secrets
    lacking: Lacking = nothing_lacks
    view: ListCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "view", _ClearedLists(self.cluster, self._lacks, self.secrets))

    @cached_property
    def state(self) -> State | None:
        """What is installed; None if nothing is, or a newer cto wrote it."""
        with suppress(PreflightError):
            return StateStore(self.cluster, self.version).load()
        return None

    @cached_property
    def namespaces(self) -> Sequence[str]:
        """The platform's, as far as they are there."""
        known = {NAMESPACE, *(self.state.namespaces if self.state else ())}
        return [
            item["metadata"]["name"]
            for item in self.view.objects("v1", "Namespace", "").values()
            if item["metadata"]["name"] in known or labels.is_ours(item["metadata"].get("labels"))
        ]

    def _lacks(self, image: str) -> str:
        """Say that nobody has an image: the bundle lacks it, and nobody else is asked."""
        if told := self.lacking(image):
            return told
        state = self.state
        if state and is_in_docker(state.provider) and state.config.get("air_gapped"):
            return f"{image} is not in the bundle, and nodes ask nobody else"
        return ""

    # parts

    def kept(self) -> Iterator[tuple[str, Any]]:
        """Yield state and journal as they are, be they of another version."""
        for file, ref in ((facts.STATE, STATE_REF), (facts.JOURNAL, JOURNAL_REF)):
            yield file, content_of(self.cluster.get(ref))

    def runs(self) -> Iterator[tuple[str, Any]]:
        """Yield the lock and the history: who holds the one tells whether a run of the other lives.

        `lives` is `true`, `false` or `unknown`.
        """
        lock = self._lock()
        yield facts.LOCK, lock
        runs = History(self.cluster, self.version).runs()
        yield (
            facts.HISTORY,
            {
                "runs": [
                    {
                        **run.to_json(),
                        "last": run is runs[-1],
                        "lives": lock["lives"] if run.outcome == RUNNING else "false",
                        "error_code": run.error.partition(":")[0],
                    }
                    for run in runs
                ]
            },
        )

    def _lock(self) -> dict[str, Any]:
        lease = next(
            iter(self.cluster.list(*LEASE, namespace=NAMESPACE, fields=f"metadata.name={NAME}")),
            {},
        )
        holder = holder_of(lease)
        if not holder:
            return {"held": False, "lives": "false"}
        lives = Holder.parse(holder).lives(self.machine, self.containers())
        return {
            "held": True,
            "holder": described(lease),
            "renewed": renewed(lease),
            "expired": is_over(lease.get("spec") or {}, self.cluster.now(), default_s=0.0),
            "lives": "unknown" if lives is None else str(lives).lower(),
        }

    def nodes(self) -> Iterator[tuple[str, Any]]:
        """Yield what nodes say of themselves, and when they were last heard of."""
        heard: dict[str, Manifest] = {}
        with suppress(ApiError):
            leases = self.cluster.scan(*LEASE, namespace="kube-node-lease")
            heard = {one["metadata"]["name"]: one.get("spec") or {} for one in leases}
        now = self.cluster.now()

        def silent(name: str) -> str:
            spec = heard.get(name, {})
            return str(spec["renewTime"]) if is_over(spec, now, default_s=40.0) else ""

        found = [
            {**_node(node), "silent_since": silent(node["metadata"]["name"])}
            for node in self.cluster.scan("v1", "Node")
        ]
        yield facts.NODES, {"nodes": found}

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield the events, the newest if there are very many; those of nodes are in `default`."""
        places = dict.fromkeys((*self.namespaces, "default"))
        found = [
            _event(item)
            for namespace in places
            for item in self.view.objects(*EVENT, namespace).values()
            if namespace != "default" or (item.get("involvedObject") or {}).get("kind") == "Node"
        ]
        found.sort(key=lambda event: event["last"])
        yield facts.EVENTS, {"events": found[-_MOST_EVENTS:]}

    def quotas(self) -> Iterator[tuple[str, Any]]:
        found = [
            {
                "namespace": namespace,
                "name": item["metadata"]["name"],
                **{key: (item.get("status") or {}).get(key) or {} for key in ("hard", "used")},
            }
            for namespace in self.namespaces
            for item in self.cluster.list("v1", "ResourceQuota", namespace=namespace)
        ]
        yield facts.QUOTAS, {"quotas": found}

    def webhooks(self) -> Iterator[tuple[str, Any]]:
        """Yield the admission webhooks whose Service is away, and without which writes fail."""
        found = [
            {"configuration": f"{kind} {item['metadata']['name']}", "webhook": hook["name"]}
            | {"reason": reason}
            for kind in _WEBHOOKS
            for item in self.cluster.list("admissionregistration.k8s.io/v1", kind)
            for hook in item.get("webhooks") or ()
            if hook.get("failurePolicy", "Fail") == "Fail"
            and (service := (hook.get("clientConfig") or {}).get("service"))
            and (reason := unanswered.silence(self.cluster, service["namespace"], service["name"]))
        ]
        yield facts.WEBHOOKS, {"silent": found}

    def api_services(self) -> Iterator[tuple[str, Any]]:
        found = [
            {"name": item["metadata"]["name"], "reason": condition.get("message", "")}
            for item in self.cluster.list("apiregistration.k8s.io/v1", "APIService")
            if (condition := conditions_of(item).get("Available", {})).get("status") == "False"
        ]
        yield facts.API_SERVICES, {"unavailable": found}

    def named_secrets(self) -> Iterator[tuple[str, Any]]:
        """Yield names and keys. The values are told to whoever keeps them from being shown.

        Helm's records, which are large, stay where they are: nothing of theirs is gathered.
        """
        found = []
        for namespace in self.namespaces:
            items = self.cluster.list("v1", "Secret", namespace=namespace, fields=f"type!={_HELM}")
            self.secrets.add([value for item in items for value in secret_values(item)])
            found += [
                {
                    "namespace": namespace,
                    "name": item["metadata"]["name"],
                    "type": item.get("type", ""),
                    "keys": sorted(item.get("data") or {}),
                }
                for item in items
            ]
        yield facts.SECRETS, {"secrets": found}


def secret_values(secret: Manifest) -> Iterator[str]:
    """Yield what must not be shown of a Secret: its values, and their longer lines."""
    for key, value in secret_data(secret).items():
        if key.lower() in _PLAIN_KEYS:
            continue
        yield value
        yield value.strip()
        lines = value.splitlines()
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line.strip()) >= _LONG_LINE)


def _node(node: Manifest) -> dict[str, Any]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    conditions = conditions_of(node)
    pressures = [name for name in _PRESSURES if conditions.get(name, {}).get("status") == "True"]
    ready = conditions.get("Ready", {})
    return {
        "name": node["metadata"]["name"],
        "ready": str(ready.get("status", "Unknown")),
        "why": str(ready.get("message") or ready.get("reason") or "it does not say why"),
        "pressure": ", ".join(pressures),
        "unschedulable": bool(spec.get("unschedulable")),
        "taints": spec.get("taints") or [],
        "capacity": status.get("capacity") or {},
        "allocatable": status.get("allocatable") or {},
        "info": status.get("nodeInfo") or {},
        "conditions": list(conditions.values()),
    }


def _event(event: Manifest) -> dict[str, Any]:
    about = event.get("involvedObject") or {}
    series, metadata = event.get("series") or {}, event["metadata"]
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return {
        "namespace": about.get("namespace") or metadata.get("namespace", ""),
        "kind": str(about.get("kind", "")),
        "name": str(about.get("name", "")),
        "type": event.get("type", ""),
        "reason": str(event.get("reason", "")),
        "message": str(event.get("message", "")),
        "count": series.get("count") or event.get("count") or 1,
        "first": str(first or metadata.get("creationTimestamp") or ""),
        "last": str(last or metadata.get("creationTimestamp") or ""),
    }


def outline(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return what of a mapping is there under these keys."""
    return {key: mapping[key] for key in keys if mapping.get(key)}
