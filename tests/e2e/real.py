"""Tests of upstream's own programs: which there are, and what they do."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from cto.objects import load_yaml
from lab.images import modules

from .events import READY_S, apply, waited
from .installer import CLUSTER, Installer

# The executor's own image, as it is in every bundle, and is no stand-in.
_WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: two-steps, namespace: argo}
spec:
  entrypoint: main
  templates:
    - name: main
      steps: [[{name: first, template: version}], [{name: second, template: version}]]
    - name: version
      container: {image: IMAGE, command: [argoexec, version]}
"""


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = set(programs) - {tool.name for tool in modules.chosen()}
    reason = (
        f"stand-ins do nothing, and {modules.SWITCH} does not name {', '.join(sorted(missing))}"
    )
    return pytest.mark.skipif(bool(missing), reason=reason)


def assert_a_workflow_runs(installer: Installer) -> str:
    """Run one under our defaults, and see it end well. Returns how long it took."""
    words = ("get", "deployments", "-n", "argo", "-o", "jsonpath={..args}")
    found = json.loads(f"[{installer.kubectl(*words).replace('] [', '], [')}]")
    image = next(
        args[args.index("--executor-image") + 1] for args in found if "--executor-image" in args
    )
    _, took = succeeded(installer, _WORKFLOW.replace("IMAGE", image))
    return f"a workflow of two steps {took:.0f} s"


def succeeded(
    installer: Installer, text: str, seconds: float = READY_S
) -> tuple[dict[str, Any], float]:
    """Submit a workflow, see it end well, and return its status with how long it took."""
    apply(installer, text)
    name = load_yaml(text)["metadata"]["name"]
    words = ("get", "workflow", name, "-n", "argo", "-o", "json")

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(installer.kubectl(*words)).get("status") or {}
        return found

    over = ("Succeeded", "Failed", "Error")
    took = waited("the workflow does not end", seconds, lambda: status().get("phase") in over)
    ended = status()
    told = installer.kubectl("get", "pods", "-n", "argo", "-o", "yaml")
    assert ended["phase"] == "Succeeded", f"{json.dumps(ended, indent=1)}\n{told}"
    return ended, took


def assert_a_database_works(installer: Installer, namespace: str, name: str) -> str:
    """See that it is ready, who has its Secret logs in, and its metrics are where they are told."""
    words = ("get", "cluster.postgresql.cnpg.io", name, "-n", namespace, "-o")
    ready = partial(installer.kubectl, *words, "jsonpath={.status.readyInstances}", code=None)
    took = waited(f"database {name} is not ready", READY_S, lambda: ready() == "1")
    sql = f"{name}-1", "-c", "postgres", "--", "sh", "-c"
    uri = f"secret/{name}-app", "-o", "go-template={{.data.uri | base64decode}}"
    address = installer.kubectl("get", "-n", namespace, *uri)
    asked = f"psql '{address}' --tuples-only --no-align --command 'select 6 * 7'"
    assert installer.kubectl("exec", "-n", namespace, *sql, asked).strip() == "42"

    place = f"endpoints/{name}-metrics", "-o", "jsonpath={..ip}:{..port}"
    metrics = installer.kubectl("get", "-n", namespace, *place)
    curl = ("exec", f"{CLUSTER}-control-plane", "curl", "--silent", "--fail")
    assert "\ncnpg_collector_up" in installer.engine.out(*curl, f"http://{metrics}/metrics")
    return f"a database was ready {took:.0f} s after the installation"
