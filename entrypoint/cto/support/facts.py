"""Facts for whoever looks for a fault: files by name, JSON or text, and what could not be had."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cto import goyaml
from cto.redaction import HIDDEN

SCHEMA = 1
ABOUT = "about.json"
HOST, DOCKER, VERSIONS = "machine/host.json", "machine/docker.json", "machine/versions.json"
API, STATE, JOURNAL = "cluster/api.json", "cluster/state.json", "cluster/journal.json"
HISTORY, LOCK, NODES = "cluster/history.json", "cluster/lock.json", "cluster/nodes.json"
NAMESPACES, EVENTS, PODS = "cluster/namespaces.json", "cluster/events.json", "cluster/pods.json"
UNREADY, QUOTAS, SECRETS = "cluster/unready.json", "cluster/quotas.json", "cluster/secrets.json"
WEBHOOKS, API_SERVICES = "cluster/webhooks.json", "cluster/apiservices.json"
HEALTH, PLAN, LOGS = "health.json", "plan.json", "logs/"
TIMELINE, README, MISSING = "timeline.txt", "README.txt", "missing.txt"

TITLES: Mapping[str, str] = {
    README: "this page",
    MISSING: "what could not be had, and why",
    ABOUT: "when, of what and by which cto this was made",
    TIMELINE: "runs, events, restarts and changes of nodes, the oldest first; times are UTC",
    HEALTH: "the health checks, as `cto status -o json` has them; nobody outside was asked",
    PLAN: "what `cto upgrade` would do, as far as that is known without fetching anything",
    VERSIONS: "versions of cto and of its tools",
    HOST: "the machine that cto ran on: system, memory, room in the folders of cto",
    DOCKER: "Docker, if one was there: version, storage, room, the platform's containers",
    API: "whether the API server answers, its version, and its clock beside this machine's",
    STATE: "what cto keeps of what it installed (ConfigMap cto-state; no secret is in it)",
    JOURNAL: "how long each step of the last run took (ConfigMap cto-journal)",
    HISTORY: "the last runs of cto, the oldest first",
    LOCK: "who holds the lock of the cluster",
    NODES: "nodes: conditions, capacity, taints",
    NAMESPACES: "the platform's namespaces, and all that are being deleted",
    UNREADY: "every object of the platform that is not ready: its conditions, and the causes",
    PODS: "the pods that are not ready: containers and what was asked for; no environment",
    EVENTS: "events of the platform's namespaces, the oldest first",
    QUOTAS: "quotas of these namespaces, and what is used of them",
    WEBHOOKS: "admission webhooks that must answer, and cannot",
    API_SERVICES: "APIs whose server does not answer the API server",
    SECRETS: "names and keys of the Secrets of these namespaces; no values",
    LOGS: "the last lines of what is not ready: NAMESPACE/POD/CONTAINER.log; .previous.log is of "
    "before the last restart",
}
"""File -> what it is, in the order in which a reader needs them."""


@dataclass(frozen=True)
class Facts:
    """What was gathered.

    Attributes:
        files: Name -> decoded JSON where the name ends with .json, else text.
        missing: What could not be had -> why.
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def text_of(name: str, data: Any, redact: Callable[[str], str]) -> str:
    """Return a file's text without secrets; JSON stays JSON.

    Args:
        name: The file's.
        data: JSON-ready, or text.
        redact: Takes secrets out of a text.
    """
    if not name.endswith(".json"):
        return redact(str(data))
    return _dumped(cleared(data, redact))


def cleared(data: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON-ready data without secrets."""
    # Each value stands beside its key there, which may say that it is secret. Few have any.
    text = _dumped(data)
    return data if redact(text) == text else _cleared("", data, redact)


def parsed(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the files' data; JSON that cannot be read is left out."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        if not name.endswith(".json"):
            found[name] = text
            continue
        try:
            found[name] = goyaml.load_json(text)
        except ValueError:
            continue
    return found


def _dumped(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"


def _cleared(key: str, data: Any, redact: Callable[[str], str]) -> Any:
    """Return the data without secrets, each value seen with its key."""
    match data:
        case Mapping():
            return {redact(str(k)): _cleared(str(k), value, redact) for k, value in data.items()}
        case list() | tuple():
            return [_cleared(key, value, redact) for value in data]
        case None | bool():
            return data
        case _:
            text = str(data)
            label = f'"{key}": "'
            told = redact(f"{label}{text}")
            if told == f"{label}{text}":
                return data
            clean = told.removeprefix(label)
            return clean if clean != told else HIDDEN
