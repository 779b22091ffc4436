"""A task for an agent, on a cluster of containers: from the command line to a pushed branch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cto import __version__

from .installer import CLUSTER, Installer

AGENT = f"cto.internal/agent:{__version__}"
_NODE = f"{CLUSTER}-control-plane"
_REPOSITORY = "/srv/shop.git"
# git's own server, out of the agents' image: the cluster has no way out to another one.
_SERVER = f"""
set -e
git init --quiet --bare --initial-branch=main {_REPOSITORY}
git clone --quiet {_REPOSITORY} /tmp/first 2>/dev/null
cd /tmp/first
git -c user.name=test -c user.email=test@example.com commit --quiet --allow-empty --message first
git push --quiet origin HEAD:main
exec git daemon --base-path=/srv --export-all --enable=receive-pack --reuseaddr --verbose
"""


def server(
    name: str, port: int, script: str, files: Mapping[str, str], *, public: int = 0
) -> tuple[Any, ...]:
    """Return a pod of the agents' image that serves, in the namespace `git`, and its Service.

    `files` are in its folder /files; `public` is the Service's port, if it is another one.
    """
    ports = [{"port": public or port, "targetPort": port}]
    labels, place = {"app": name}, {"name": name, "namespace": "git"}
    limits = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": name,
        "image": AGENT,
        "command": ["sh", "-c", script],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "securityContext": limits,
        "volumeMounts": [
            {"name": "srv", "mountPath": "/srv"},
            {"name": "files", "mountPath": "/files"},
        ],
    }
    user = {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 1000}
    pod = {
        "containers": [container],
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "srv", "emptyDir": {}},
            {"name": "files", "configMap": {"name": name}},
        ],
    }
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "git"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": dict(files)},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**place, "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": ports},
        },
    )


def serve(installer: Installer, name: str, objects: Sequence[Any]) -> None:
    """Make the objects of a server, and wait until it answers."""
    admin = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    installer.engine.run("exec", "-i", _NODE, *admin, "apply", "-f", "-", stdin=whole)
    words = ("-n", "git", "--for=condition=Ready", "--timeout=120s")
    installer.kubectl("wait", f"pod/{name}", *words)


def give_task(installer: Installer) -> tuple[dict[str, Any], float]:
    """Give an agent a task, see it end well, and return it with the seconds that it took."""
    serve(installer, "git", server("git", 9418, _SERVER, {}))
    begun = time.monotonic()
    words = ("--agent", "rex", "--cli", "echo", "--repo", "git://git.git.svc/shop.git")
    done = installer.data("task", "run", *words, "-m", "Say $HOME {{ hello }}", "--watch")
    seconds = time.monotonic() - begun
    task: dict[str, Any] = done["task"]
    assert task["phase"] == "Succeeded", task
    return task, seconds


def assert_agents_work(installer: Installer) -> str:
    """Find what an agent pushed, and its task again. Returns how long that took."""
    task, seconds = give_task(installer)
    name = task["name"]
    branch = f"agents/rex/{name}"
    file = f"{branch}:agents/agents-rex-{name}.md"
    git = ("exec", "-n", "git", "git", "--", "git", "-C", _REPOSITORY)
    assert "Say $HOME {{ hello }}" in installer.kubectl(*git, "show", file)
    assert [row["name"] for row in installer.data("task", "list")["tasks"]] == [name]
    assert "wrote agents/" in installer.data("task", "logs", name)["log"]
    installer.run("task", "cancel", name)
    assert installer.data("task", "list")["tasks"] == []
    installer.kubectl("delete", "namespace", "git", "--timeout=60s")
    return f"a task for an agent took {seconds:.0f} s"
