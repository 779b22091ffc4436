"""The installer's memory in the cluster: two ConfigMaps, both hints, none with a secret.

`cto-state` says what was installed, `cto-journal` how the last run went. Every step observes the
cluster anyway: losing either costs time, nothing else.

A state that users made large, by a dashboard in a component's values, is packed. In its place
stands a schema that installers refuse which cannot unpack.
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cto import goyaml
from cto.errors import ApiError, ConfigError, PreflightError
from cto.objects import Manifest, ObjectRef
from cto.plan import labels
from cto.plan.limits import MOST_BYTES, packed, unpacked
from cto.plan.observed import STATE_SCHEMA, ReleaseState, State
from cto.ports import Cluster

NAMESPACE = "cto-system"
STATE = ObjectRef("v1", "ConfigMap", NAMESPACE, "cto-state")
JOURNAL = ObjectRef("v1", "ConfigMap", NAMESPACE, "cto-journal")
_KEY = "state.json"
_PACKED_KEY = "state.json.gz"
# Of the place in which nothing but this stands, when the state is packed.
_PACKED_SCHEMA = 2
# People and older installers read what is not packed.
_LONGEST_PLAIN = 256 << 10
_CONTENT = ("data", "binaryData")
_ATTEMPTS = 3


class StateStore:
    """Reads and writes the state. Only the holder of the cluster's lock may write."""

    def __init__(self, cluster: Cluster, version: str) -> None:
        self._cluster = cluster
        self._version = version
        self._lock = threading.Lock()
        self._state: State | None = None

    def load(self) -> State | None:
        """Return the state, None if there is none or it cannot be read.

        Raises:
            PreflightError: CTO-1402, a newer installer wrote it.
        """
        data = self._read(STATE)
        if data is None:
            self._state = None
            return None
        self._refuse_newer(data)
        try:
            state = _decode(data)
        except (KeyError, TypeError, ValueError, AttributeError):
            # A damaged hint: observing costs more without it, and is as right.
            self._state = None
            return None
        self._state = replace(state, steps=self._read(JOURNAL) or {})
        return self._state

    @property
    def known(self) -> State | None:
        """What was loaded last, with what was written since."""
        return self._state

    def begin(self, state: State) -> None:
        """Write who works here now; what is known of releases stays."""
        known = self._state
        if known is not None:
            names = tuple(sorted({*known.namespaces, *state.namespaces}))
            releases = {**known.releases, **state.releases}
            state = replace(
                state,
                releases=releases,
                namespaces=names,
                components={**known.components, **state.components},
                apps=known.apps,
                webhooks=known.webhooks,
                steps=known.steps,
            )
        with self._lock:
            self._state = state
            self._write(STATE, _encode(state))

    def record(self, release: ReleaseState) -> None:
        """Add or replace what is known of one component."""
        with self._lock:
            state = self._required()
            self._state = replace(state, releases={**state.releases, release.component: release})
            self._write(STATE, _encode(self._state))

    def release(self, component: str) -> ReleaseState | None:
        with self._lock:
            return self._state.releases.get(component) if self._state else None

    def forget(self, component: str) -> None:
        with self._lock:
            if self._state is None:
                return
            releases = {**self._state.releases}
            unfinished = {**self._state.unfinished}
            known = [found.pop(component, None) for found in (releases, unfinished)]
            if known == [None, None]:
                return
            # What it is stays known: its data may still be there.
            self._state = replace(self._state, releases=releases, unfinished=unfinished)
            self._write(STATE, _encode(self._state))

    def apps(self) -> Mapping[str, Mapping[str, Any]]:
        with self._lock:
            return self._state.apps if self._state else {}

    def remember_app(self, agent: str, known: Mapping[str, Any] | None) -> None:
        """Write what is known of an agent's GitHub App; None forgets it."""
        with self._lock:
            state = self._required()
            apps = _with(state.apps, agent, known)
            if apps != state.apps:
                self._state = replace(state, apps=apps)
                self._write(STATE, _encode(self._state))

    def restore(
        self,
        *,
        config: Mapping[str, Any],
        given: tuple[str, ...] | None,
        profile: str,
        writer: str,
    ) -> None:
        """Write that what is there is of another day, and of the cto that had written it then."""
        with self._lock:
            self._state = replace(
                self._required(),
                config=config,
                given=given,
                profile=profile,
                writer=writer,
                unfinished={},
            )
            self._write(STATE, _encode(self._state))

    def webhooks(self) -> Mapping[str, Mapping[str, Any]]:
        with self._lock:
            return self._state.webhooks if self._state else {}

    def remember_webhook(self, place: str, known: Mapping[str, Any] | None) -> None:
        """Write what is known of the webhook that was made somewhere; None forgets it."""
        with self._lock:
            state = self._required()
            webhooks = _with(state.webhooks, place, known)
            if webhooks != state.webhooks:
                self._state = replace(state, webhooks=webhooks)
                self._write(STATE, _encode(self._state))

    def finish(self) -> None:
        """Write that the run which began has come to its end."""
        with self._lock:
            state = self._required()
            if state.unfinished:
                self._state = replace(state, unfinished={})
                self._write(STATE, _encode(self._state))

    def journal(self, steps: Mapping[str, Any]) -> None:
        """Write how the run goes; estimates of the next run come from it."""
        with self._lock:
            self._write(JOURNAL, dict(steps))

    def delete(self) -> None:
        with self._lock:
            self._state = None
            for ref in (STATE, JOURNAL):
                self._cluster.delete(ref)

    def _required(self) -> State:
        if self._state is None:
            text = "begin comes before record"
            raise ValueError(text)
        return self._state

    def _read(self, ref: ObjectRef) -> dict[str, Any] | None:
        return content_of(self._cluster.get(ref))

    def _refuse_newer(self, data: Mapping[str, Any]) -> None:
        schema, writer = data.get("schema"), str(data.get("writer", ""))
        newer = isinstance(schema, int) and schema > STATE_SCHEMA
        if newer or _version(writer) > _version(self._version):
            message = f"cto {writer} wrote this cluster's state, this is cto {self._version}"
            hint = f"Use cto {writer} or newer for this cluster."
            raise PreflightError("CTO-1402", message, hint=hint)

    def _write(self, ref: ObjectRef, data: Mapping[str, Any]) -> None:
        content = _content(json.dumps(data, sort_keys=True, separators=(",", ":")), self._version)
        for attempt in range(_ATTEMPTS):
            try:
                self._put(ref, content)
            except ApiError as error:
                if not error.is_conflict or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _put(self, ref: ObjectRef, content: Mapping[str, dict[str, str]]) -> None:
        """Write with the resourceVersion that was read, so that no other writer is overrun."""
        found = self._cluster.get(ref)
        if found is None:
            self._cluster.create(_config_map(ref, content))
        elif any((found.get(key) or {}) != content.get(key, {}) for key in _CONTENT):
            rest = {key: value for key, value in found.items() if key not in _CONTENT}
            self._cluster.update({**rest, **content})


def _with(
    rows: Mapping[str, Mapping[str, Any]], name: str, known: Mapping[str, Any] | None
) -> dict[str, Mapping[str, Any]]:
    """Return rows with another one of a name, or without it."""
    others = {key: row for key, row in rows.items() if key != name}
    return others if known is None else {**others, name: dict(known)}


def _content(text: str, writer: str) -> dict[str, dict[str, str]]:
    """Return the content of a ConfigMap for a text.

    Raises:
        ConfigError: CTO-1355, it does not fit in.
    """
    if len(text) <= _LONGEST_PLAIN:
        return {"data": {_KEY: text}}
    data = packed(text)
    stub = json.dumps({"schema": _PACKED_SCHEMA, "writer": writer})
    if len(data) + len(stub) > MOST_BYTES:
        message = f"the installer's state is too large: {len(data)} bytes packed, of 1 MiB"
        raise ConfigError("CTO-1355", message)
    return {"data": {_KEY: stub}, "binaryData": {_PACKED_KEY: b64encode(data).decode()}}


def content_of(found: Manifest | None) -> dict[str, Any] | None:
    """Return what is in the ConfigMap of state or journal; None if it cannot be read."""
    if found is None:
        return None
    try:
        data = goyaml.load_json(_text_in(found))
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _text_in(config_map: Manifest) -> str:
    """Return the text in a ConfigMap.

    Raises:
        ValueError: What is packed is damaged.
    """
    data = (config_map.get("binaryData") or {}).get(_PACKED_KEY)
    if data is None:
        return str((config_map.get("data") or {}).get(_KEY, ""))
    return unpacked(b64decode(data))


def _config_map(ref: ObjectRef, content: Mapping[str, dict[str, str]]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            # Another day's would not fit what is there: https://velero.io/docs/main/resource-filtering
            "labels": {
                labels.MANAGED_BY: labels.OWNER,
                "velero.io/exclude-from-backup": "true",
            },
        },
        **content,
    }


def _version(text: str) -> tuple[int, ...]:
    parts = text.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0].split(".")
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def _encode(state: State) -> dict[str, Any]:
    return {
        "schema": state.schema,
        "writer": state.writer,
        "provider": state.provider,
        "profile": state.profile,
        "simulated": state.simulated,
        "config": state.config,
        **({"given": list(state.given)} if state.given is not None else {}),
        "namespaces": list(state.namespaces),
        "ports": {str(node): host for node, host in state.ports.items()},
        "releases": {name: encode_release(item) for name, item in state.releases.items()},
        **({"components": dict(state.components)} if state.components else {}),
        **({"unfinished": dict(state.unfinished)} if state.unfinished else {}),
        **_rows("apps", state.apps),
        **_rows("webhooks", state.webhooks),
    }


def _rows(field: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a field that is left out if nothing is in it."""
    return {field: {name: dict(row) for name, row in rows.items()}} if rows else {}


def encode_release(item: ReleaseState) -> dict[str, Any]:
    return {
        "release": item.release,
        "namespace": item.namespace,
        "digest": item.digest,
        "chart": item.chart,
        "objects": [ref.to_json() for ref in item.objects],
        **({"hooks": [ref.to_json() for ref in item.hooks]} if item.hooks else {}),
        "glue": [ref.to_json() for ref in item.glue],
    }


def _decode(data: Mapping[str, Any]) -> State:
    return State(
        schema=int(data["schema"]),
        writer=_text(data["writer"]),
        provider=_text(data["provider"]),
        profile=_text(data["profile"]),
        simulated=bool(data["simulated"]),
        config={_text(key): value for key, value in dict(data["config"]).items()},
        given=tuple(map(_text, data["given"])) if "given" in data else None,
        namespaces=tuple(map(_text, data["namespaces"])),
        ports={int(node): int(host) for node, host in data.get("ports", {}).items()},
        releases={name: decode_release(name, item) for name, item in data["releases"].items()},
        components={name: dict(item) for name, item in data.get("components", {}).items()},
        unfinished={name: _text(item) for name, item in data.get("unfinished", {}).items()},
        apps={name: dict(item) for name, item in data.get("apps", {}).items()},
        webhooks={name: dict(item) for name, item in data.get("webhooks", {}).items()},
    )


def decode_release(component: str, item: Mapping[str, Any]) -> ReleaseState:
    return ReleaseState(
        component=component,
        release=_text(item["release"]),
        namespace=_text(item["namespace"]),
        digest=_text(item["digest"]),
        chart=_text(item["chart"]),
        objects=tuple(map(_decode_ref, item["objects"])),
        hooks=tuple(map(_decode_ref, item.get("hooks", ()))),
        glue=tuple(map(_decode_ref, item["glue"])),
    )


def _decode_ref(item: Mapping[str, Any]) -> ObjectRef:
    return ObjectRef.from_json({key: _text(value) for key, value in item.items()})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
