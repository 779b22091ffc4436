"""Small components to plan with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cto.catalog import Component
from cto.objects import Manifest, dump_yaml
from cto.plan.desired import DesiredComponent, DesiredState
from cto.ports import Chart

FOLDER = Path("/components")
# As the catalog has them.
RUNS_AGENTS = {
    "agents": {
        "program": "controller",
        "account": "cto-agent",
        "settings": "controller-task-controller-config",
    }
}
HEARS_WEBHOOKS = {
    "webhooks": {
        "kind": "EventSource",
        "label": "eventsource-name",
        "starts": {"kind": "Sensor", "name": "flow", "label": "sensor-name"},
    }
}


def component(name: str, **fields: Any) -> Component:
    """Return a component with everything that is required, and the given fields."""
    given = {**_required(name), "namespace": f"{name}-ns", "folder": FOLDER / name, **fields}
    return Component.model_validate(given)


def definition(name: str, more: str = "", **fields: Any) -> str:
    """Return the text of a component.yaml: the same, and `more` lines."""
    return dump_yaml({**_required(name), **fields}) + more


def _required(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.title(),
        "category": "core",
        "required": True,
        "namespace": name,
        "release": name,
        "chart": {"name": name, "version": "1.0.0", "path": f"charts/{name}"},
        "homepage": "https://example.com",
        "licence": "Apache-2.0",
    }


def chart(name: str, version: str = "1.0.0", digest: str = "") -> Chart:
    return Chart(
        name=name,
        version=version,
        path=FOLDER / f"{name}-{version}.tgz",
        digest=digest or f"sha of {name} {version}",
    )


def wanted_component(
    item: Component,
    *,
    version: str = "1.0.0",
    values: Mapping[str, Any] | None = None,
    **fields: Any,
) -> DesiredComponent:
    return DesiredComponent(
        component=item, chart=chart(item.name, version), values=values or {}, **fields
    )


def wanted(*items: DesiredComponent, **fields: Any) -> DesiredState:
    return DesiredState(
        **{"provider": "existing", "profile": "minimal", "components": items, **fields}
    )


def config_map(name: str, namespace: str, data: str = "x") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"key": data},
    }
