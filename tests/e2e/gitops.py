"""What the real Argo CD does with an installed platform: log-ins, and applications of git."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from cto.objects import load_yaml
from lab.nodeimage import programs

from .agents import AGENT
from .events import READY_S, apply, waited
from .forge import CLONE_URL, Forge
from .installer import Installer
from .namespaces import inside
from .probes import answers

# Argo CD deletes what an application made before the application itself.
_APPLICATION = f"""
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: %(name)s
  namespace: argocd
  finalizers: [resources-finalizer.argocd.argoproj.io]
spec:
  project: %(project)s
  source: {{repoURL: "{CLONE_URL}", path: %(path)s, targetRevision: main}}
  destination: {{server: "https://kubernetes.default.svc", namespace: %(namespace)s}}
  syncPolicy: {{automated: {{}}, syncOptions: [CreateNamespace=true]}}
"""
_WEB = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: web}}
data: {{said: hello}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {{name: web, image: "{AGENT}", command: [sleep, infinity]}}
"""
_RUN = f"""
apiVersion: agents.platform/v1
kind: CodeRun
metadata: {{name: from-git}}
spec:
  githubApp: cto-agent-rex
  repositoryUrl: {CLONE_URL}
  prompt: Say hello.
"""


def assert_printed_log_in_works(installer: Installer) -> None:
    """Do as `cto access` says: its command's password, at its address."""
    printed = installer.run("access", "argocd").stdout
    (shown,) = installer.data("access", "argocd")["access"]
    assert shown["url"] in printed
    (command,) = (line.strip() for line in printed.splitlines() if " get secret " in line)
    places = f"{programs.tools_folder()}:{os.environ['PATH']}"
    home = str(installer.kube.parent)
    env = {"PATH": places, "HOME": home, "KUBECONFIG": str(installer.kubeconfig)}
    done = inside(
        installer.engine.namespace,
        lambda: subprocess.run(
            ["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=False
        ),
    )
    assert done.returncode == 0, done.stderr

    assert answers(installer.engine, shown["url"]) == 200
    login = {"username": shown["user"], "password": done.stdout}
    session = f"{shown['url']}/api/v1/session"
    assert _asked(installer, session, {**login, "password": "not-it"})[0] == 401
    status, made = _asked(installer, session, login)
    assert status == 200, made
    _, who = _asked(installer, f"{session}/userinfo", token=made["token"])
    assert (who["loggedIn"], who["username"]) == (True, "admin")


def assert_applications_work(installer: Installer, forge: Forge) -> str:
    """See one of a user's come and go, as git has it. Returns how long its coming took."""
    forge.push(installer, "web", _WEB)
    make(installer, "web", project="applications", namespace="shop-web")
    took = synced(installer, "web")
    deployment = ("get", "deployment", "web", "-n", "shop-web", "-o", "jsonpath={..readyReplicas}")
    assert installer.kubectl(*deployment) == "1"
    remove(installer, "web")
    assert installer.kubectl("get", "deployments,pods", "-n", "shop-web", "-o", "name") == ""
    installer.kubectl("delete", "namespace", "shop-web", "--timeout=60s")
    return f"an application of git was healthy after {took:.0f} s"


def assert_runs_have_health(installer: Installer, forge: Forge) -> str:
    """See a run that is in git end well, and Argo CD say so."""
    forge.push(installer, "run", _RUN)
    make(installer, "run", project="runs", namespace="cto")
    took = synced(installer, "run")
    phase = ("get", "coderun", "from-git", "-n", "cto", "-o", "jsonpath={.status.phase}")
    assert installer.kubectl(*phase) == "Succeeded"
    remove(installer, "run")
    return f"a run of git was healthy after {took:.0f} s"


def assert_the_platform_is_no_destination(installer: Installer, project: str) -> None:
    """See an application of a project refused where the platform is, and nothing written."""
    make(installer, "web", project=project, namespace="argo-events")
    refused = "do not match any of the allowed destinations"

    def told() -> str:
        conditions = application(installer, "web").get("conditions") or []
        return " ".join(one["message"] for one in conditions)

    waited("the application is not refused", READY_S, lambda: refused in told())
    words = ("get", "deployment,configmap", "-n", "argo-events", "-o", "name")
    assert "/web" not in installer.kubectl(*words)
    remove(installer, "web")


def make(installer: Installer, name: str, *, project: str, namespace: str) -> None:
    """Make an application of the repository's folder of the same name."""
    place = {"project": project, "namespace": namespace}
    apply(installer, _APPLICATION % {"name": name, "path": name, **place})


def synced(installer: Installer, name: str) -> float:
    """Wait until an application is what git says, and well; return for how long."""

    def is_well() -> bool:
        status = application(installer, name)
        found = [status.get(part, {}).get("status") for part in ("sync", "health")]
        return found == ["Synced", "Healthy"]

    try:
        return waited(f"application {name} is not well", READY_S, is_well)
    except AssertionError as error:
        told = f"{error}\n{json.dumps(application(installer, name), indent=1)}"
        raise AssertionError(told) from None


def application(installer: Installer, name: str) -> dict[str, Any]:
    found = installer.kubectl("get", "application", name, "-n", "argocd", "-o", "yaml")
    status: dict[str, Any] = load_yaml(found).get("status") or {}
    return status


def remove(installer: Installer, name: str) -> None:
    installer.kubectl("delete", "application", name, "-n", "argocd", "--timeout=120s")


def _asked(installer: Installer, url: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """Send something to the API, or read of it."""
    place, text = urlsplit(url), None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def ask() -> tuple[int, Any]:
        with closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:
            connection.request("POST" if text else "GET", place.path, text, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")

    return inside(installer.engine.namespace, ask)
