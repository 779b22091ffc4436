"""A task for an agent, on a cluster of containers: from the command line to a pushed branch."""

from __future__ import annotations

import json
import time

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
_LIMITS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD = {
    "containers": [
        {
            "name": "git",
            "image": AGENT,
            "command": ["sh", "-c", _SERVER],
            "env": [{"name": "HOME", "value": "/tmp"}],
            "ports": [{"containerPort": 9418}],
            "readinessProbe": {"tcpSocket": {"port": 9418}, "periodSeconds": 1},
            "securityContext": _LIMITS,
            "volumeMounts": [{"name": "srv", "mountPath": "/srv"}],
        }
    ],
    "securityContext": {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumes": [{"name": "srv", "emptyDir": {}}],
}
_OBJECTS = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "git"}},
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "git", "namespace": "git", "labels": {"app": "git"}},
        "spec": _POD,
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "git", "namespace": "git"},
        "spec": {"selector": {"app": "git"}, "ports": [{"port": 9418}]},
    },
)


def assert_agents_work(installer: Installer) -> str:
    """Give an agent a task, see it end well, and find what it pushed. Returns how long it took."""
    admin = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": _OBJECTS})
    installer.engine.run("exec", "-i", _NODE, *admin, "apply", "-f", "-", stdin=whole)
    installer.kubectl("wait", "pod/git", "-n", "git", "--for=condition=Ready", "--timeout=120s")

    begun = time.monotonic()
    words = ("--agent", "rex", "--cli", "echo", "--repo", "git://git.git.svc/shop.git")
    done = installer.data("task", "run", *words, "-m", "Say $HOME {{ hello }}", "--watch")
    seconds = time.monotonic() - begun
    task = done["task"]
    assert task["phase"] == "Succeeded", task

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
