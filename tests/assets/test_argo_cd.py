"""Our settings as the real Argo CD takes them: its own command line reads them from files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cto.catalog import Catalog
from cto.render import Renderer
from fakes.programs import program

pytestmark = pytest.mark.slow
Make = Callable[..., Renderer]
# Where it asks for a cluster, an address is enough.
_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}
# The server's own key, which it makes at its first start.
_MADE_AT_START = {"server.secretkey": "c2VjcmV0"}


class Settings:
    """The values of a profile, as files of the ConfigMaps that the chart makes of them."""

    def __init__(self, values: Mapping[str, Any], folder: Path) -> None:
        self._program = program("argo-cd")
        self._folder = folder
        configs, mails = values["configs"], values["notifications"]
        named = {name: mails.get(name, {}) for name in ("notifiers", "triggers", "templates")}
        self.settings = self._file("argocd-cm", configs["cm"])
        self.rights = self._file("argocd-rbac-cm", configs.get("rbac", {}))
        self.mails = self._file(
            "argocd-notifications-cm",
            {key: text for one in named.values() for key, text in one.items()},
        )
        self.secret = self.write("argocd-secret", {"kind": "Secret", "data": _MADE_AT_START})

    def _file(self, name: str, data: Mapping[str, Any]) -> Path:
        texts = {
            key: text if isinstance(text, str) else json.dumps(text) for key, text in data.items()
        }
        return self.write(name, {"kind": "ConfigMap", "data": texts})

    def write(self, name: str, document: Mapping[str, Any]) -> Path:
        file = self._folder / f"{name}.yaml"
        metadata = {"name": name, "labels": {"app.kubernetes.io/part-of": "argocd"}}
        file.write_text(json.dumps({"apiVersion": "v1", "metadata": metadata, **document}))
        return file

    def admin(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `argocd admin`."""
        kubeconfig = self.write("kubeconfig", _KUBECONFIG)
        argv = [str(self._program), "admin", *map(str, words)]
        env = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(self._folder)}
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def settings(catalog: Catalog, renderer: Make, tmp_path: Path) -> Callable[[str], Settings]:
    def made(profile: str) -> Settings:
        return Settings(renderer(profile).values(catalog["argocd"]), tmp_path)

    return made


@pytest.mark.parametrize("profile", ["minimal", "standard", "production"])
def test_settings_are_valid(settings: Callable[[str], Settings], profile: str) -> None:
    given = settings(profile)
    files = ("--argocd-cm-path", given.settings, "--argocd-secret-path", given.secret)
    done = given.admin("settings", "validate", *files)
    assert done.stdout.count("\u2705") == 4, done
    assert "\u274c" not in done.stdout, done.stdout
    # It has one for all kinds by itself.
    assert "3 resource overrides" in done.stdout, done.stdout


@pytest.mark.parametrize("kind", ["CodeRun", "DocsRun"])
@pytest.mark.parametrize(
    ("spec", "status", "health"),
    [
        ({}, None, "Progressing"),
        ({}, {"phase": "Pending", "message": "waits for room"}, "Progressing"),
        ({}, {"phase": "Running"}, "Progressing"),
        ({}, {"phase": "Succeeded"}, "Healthy"),
        ({}, {"phase": "Failed", "message": "no such branch"}, "Degraded"),
        ({"suspend": True}, {"phase": "Pending"}, "Suspended"),
    ],
)
def test_a_run_is_as_well_as_its_phase(
    settings: Callable[[str], Settings], kind: str, spec: Any, status: Any, health: str
) -> None:
    given = settings("minimal")
    run = {"apiVersion": "agents.platform/v1", "kind": kind, "spec": spec}
    file = given.write("run", run if status is None else {**run, "status": status})
    words = ("settings", "resource-overrides", "health", file, "--argocd-cm-path", given.settings)
    done = given.admin(*words)
    message = (status or {}).get("message", "")
    assert done.stdout.strip() == f"STATUS: {health}\nMESSAGE: {message}".strip(), done


@pytest.mark.parametrize(
    ("who", "action", "may"),
    [
        ("acme:platform", "get", True),
        ("acme:platform", "delete", True),
        ("acme:sre", "sync", True),
        ("acme:others", "get", True),
        ("acme:others", "sync", False),
        ("platform", "delete", False),
    ],
)
def test_teams_administer_and_others_read(
    settings: Callable[[str], Settings], who: str, action: str, *, may: bool
) -> None:
    given = settings("production")
    words = ("settings", "rbac", "can", who, action, "applications", "applications/web")
    done = given.admin(*words, "--policy-file", given.rights)
    assert done.stdout.strip() == ("Yes" if may else "No"), done


def test_mails_have_triggers_and_texts(settings: Callable[[str], Settings]) -> None:
    given = settings("production")
    files = ("--config-map", given.mails, "--secret", ":empty")
    for what, names in (
        ("trigger", ["on-health-degraded", "on-sync-failed"]),
        ("template", ["health-degraded", "sync-failed"]),
    ):
        done = given.admin("notifications", what, "get", "-o", "name", *files)
        assert sorted(done.stdout.split()) == names, done
