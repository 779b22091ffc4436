"""A desk with an installed controller, a GitHub, and a browser that clicks on everything."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Event as Flag
from threading import Thread
from typing import Any

import requests

from cto import __version__
from cto.cli.output import Terminal
from cto.cli.root import cli
from cto.config.model import Config
from cto.engine.state import StateStore
from cto.objects import Manifest, ObjectRef, dump_yaml, ref_of
from cto.plan import labels
from cto.plan.observed import ReleaseState, State
from fakes.cluster import FakeCluster
from fakes.components import HEARS_WEBHOOKS, RUNS_AGENTS, definition
from fakes.controllers import make_ready
from fakes.desk import Desk
from fakes.github.served import GitHubServer
from fakes.handclock import HandClock

AGENTS = ("cleo", "rex")
STATE = ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")
INGRESS = {"ingress_type": "ingress", "domain": "agents.acme.dev"}
HOOKS = "https://webhooks.agents.acme.dev/github/webhook"
HOOK_SECRETS = "github-app-webhooks"
EVENT_SOURCES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "eventsources.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {"kind": "EventSource", "plural": "eventsources"},
        "versions": [{"name": "v1alpha1", "served": True, "storage": True}],
    },
}
SOURCE: Manifest = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "EventSource",
    "metadata": {"name": "github", "namespace": "argo-events"},
    "spec": {"template": {"serviceAccountName": "source"}},
}
FORM = re.compile(
    r'<form method="post" action="([^"]*)".*?name="manifest" value="([^"]*)"', re.DOTALL
)
_LINK = re.compile(r'<a class="button" href="([^"]*)"')


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


class Mortal(FakeCluster):
    """Ends the process at the n-th write of a Secret or the state, before it or after it."""

    writes = 0
    end_at: tuple[int, str] | None = None

    def apply(self, manifest: Manifest, **options: Any) -> Manifest:
        return self._counted(manifest, lambda: super(Mortal, self).apply(manifest, **options))

    def update(self, manifest: Manifest) -> Manifest:
        return self._counted(manifest, lambda: super(Mortal, self).update(manifest))

    def _counted(self, manifest: Manifest, write: Callable[[], Manifest]) -> Manifest:
        name = manifest["metadata"]["name"]
        if (name != STATE.name and not name.startswith("github")) or manifest["kind"] == "Lease":
            return write()
        self.writes += 1
        if self.end_at == (self.writes, "before"):
            raise KilledError
        done = write()
        if self.end_at == (self.writes, "after"):
            raise KilledError
        return done


class Brisk(HandClock):
    """A clock whose short waits take a tenth of their time, and less."""

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if timeout_s > 5:
            return super().wait(flag, timeout_s)
        self.advance(timeout_s)
        return flag.wait(min(timeout_s / 10, 0.05))


class Watched(io.StringIO):
    """What is written, for a browser that waits for an address."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: Queue[str] = Queue()

    def write(self, text: str) -> int:
        for url in re.findall(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", text):
            self.urls.put(url)
        return super().write(text)


class Browser(Thread):
    """Clicks on everything that there is to click, once."""

    def __init__(self, urls: Queue[str], *, rename: str = "") -> None:
        super().__init__(daemon=True)
        self.urls = urls
        self.rename = rename
        self.pages: list[str] = []
        self.errors: list[str] = []
        self.answers: list[requests.Response] = []

    def run(self) -> None:
        # The end of the command is the end of the page.
        with suppress(requests.ConnectionError):
            url = self.urls.get(timeout=120)
            page = self._page(url)
            for action, manifest in FORM.findall(page.text):
                self._make(html.unescape(action), html.unescape(manifest))
            while "Install " in (shown := self._page(url).text) or 'class="busy"' in shown:
                for link in _LINK.findall(shown):
                    requests.get(html.unescape(link), timeout=10)

    def _page(self, url: str) -> requests.Response:
        answer = requests.get(url, timeout=10)
        self.pages.append(answer.text)
        self.answers.append(answer)
        return answer

    def _make(self, action: str, manifest: str) -> None:
        form = {"manifest": manifest}
        confirm = requests.post(action, data=form, timeout=10)
        name = self.rename or html.unescape(
            re.findall('name="name" value="([^"]*)"', confirm.text)[0]
        )
        form |= {"name": name, "create": "1"}
        done = requests.post(action, data=form, timeout=10, allow_redirects=False)
        if done.status_code != 302:
            self.errors.append(done.text)
            return
        back = done.headers["Location"]
        # Twice, as browsers do that restore their tabs.
        for _ in range(2):
            self.answers.append(requests.get(back, timeout=10, allow_redirects=False))


@dataclass
class Office:
    """A desk with an installed controller, and a GitHub."""

    desk: Desk
    server: GitHubServer
    cluster: Mortal
    out: str = ""
    err: str = ""
    pages: list[str] = field(default_factory=list)
    checked: dict[str, str] = field(default_factory=dict)
    """What the receiver holds signatures against."""
    starts: int = 0

    def run(self, *words: str, browser: bool = True, stdin: str = "", rename: str = "") -> int:
        stderr, stdout = Watched(), io.StringIO()
        clicking = Browser(stderr.urls, rename=rename)
        argv = [*words, "--kubeconfig", str(self.desk.kubeconfig), "--tools", str(self.desk.tools)]
        terminal = Terminal(wiring=self.desk._wiring, attended=lambda: True)
        kept, sys.stdin = sys.stdin, io.StringIO(stdin)
        if browser:
            clicking.start()
        try:
            with redirect_stderr(stderr), redirect_stdout(stdout):
                return int(cli.main(argv, "cto", standalone_mode=False, obj=terminal))
        except KilledError:
            return 137
        finally:
            sys.stdin = kept
            self.out, self.err = stdout.getvalue(), stderr.getvalue()
            if browser and clicking.is_alive():
                clicking.urls.put("http://127.0.0.1:1/")
                clicking.join(30)
                assert not clicking.is_alive()
            self.pages, self.browser = clicking.pages, clicking

    def install(self, *more: str, **sections: Any) -> None:
        """Let the controller, and more components, be installed by a configuration."""
        github = {"organization": "acme", "repository": "shop", "url": self.server.url}
        given = {**sections, "github": {**github, **sections.get("github", {})}}
        places = {"controller": "cto", **{name: name for name in more}}
        releases = {
            name: ReleaseState(
                component=name,
                release=name,
                namespace=at,
                digest="d",
                chart="c",
                glue=(ref_of(SOURCE),) if name == "argo-events" else (),
            )
            for name, at in places.items()
        }
        store = StateStore(self.cluster, __version__)
        store.load()
        store.begin(
            State(
                writer=__version__,
                provider="existing",
                profile="minimal",
                config=Config.model_validate(given).public(),
                releases=releases,
            )
        )
        self.cluster.writes = 0

    def receive(self, **sections: Any) -> None:
        """Let webhooks come in at a public address, for these agents and for all."""
        self.install("argo-events", **{"platform": INGRESS, **sections})
        for name, data in (
            (HOOK_SECRETS, {agent: f"planted-{agent}-hook" for agent in AGENTS}),
            ("github-webhook-secret", {"secret": "planted-common-hook"}),
        ):
            ref = ObjectRef("v1", "Secret", "argo-events", name)
            encoded = {key: base64.b64encode(one.encode()).decode() for key, one in data.items()}
            metadata = {"name": ref.name, "namespace": ref.namespace}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
            self.cluster.add({**secret, "data": encoded})
        self.server.github.receives = self._received
        self.cluster.add(EVENT_SOURCES)
        if self._start not in self.cluster.controllers:
            self.cluster.controllers.append(self._start)
        self.cluster.add(SOURCE)
        self._start(SOURCE)

    def _start(self, written: Manifest) -> None:
        """Start the receiver's pods anew, as its controller does: they read secrets once."""
        if written["kind"] != "EventSource":
            return
        metadata = {
            "name": "github-eventsource-x",
            "namespace": "argo-events",
            "labels": {"eventsource-name": "github"},
        }
        spec = {"replicas": 1, "template": written["spec"].get("template") or {}}
        made = self.cluster.add(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        )
        make_ready(made)
        self.cluster.add(made)
        found = (self.cluster.peek(self.hook_secrets) or {}).get("data") or {}
        self.checked = {key: base64.b64decode(one).decode() for key, one in found.items()}
        self.starts += 1

    @property
    def hook_secrets(self) -> ObjectRef:
        return ObjectRef("v1", "Secret", "argo-events", HOOK_SECRETS)

    def change_hook_secret(self, agent: str, value: str) -> None:
        found = self.cluster.peek(self.hook_secrets) or {}
        changed = {**found["data"], agent: base64.b64encode(value.encode()).decode()}
        self.cluster.add({**found, "data": changed})

    def common_secret(self) -> str:
        ref = ObjectRef("v1", "Secret", "argo-events", "github-webhook-secret")
        found = self.cluster.peek(ref) or {}
        return base64.b64decode(found["data"]["secret"]).decode()

    def hook_secret(self, agent: str) -> str:
        found = self.cluster.peek(self.hook_secrets) or {}
        return base64.b64decode(found["data"][agent]).decode()

    def _received(self, url: str, event: str, secret: str) -> int:
        """Answer as the receiver does."""
        del event
        base, _, agent = url.rpartition("/")
        if base != HOOKS or agent not in AGENTS:
            return 404
        return 200 if secret == self.checked.get(agent) else 400

    def setup(self, *words: str, **settings: Any) -> int:
        return self.run("github", "setup", *words, **settings)

    def know(self, *agents: str, **apps: str) -> None:
        """Let the controller know these agents, and no others; `apps` calls their Apps."""
        metadata = {"name": "controller-task-controller-config", "namespace": "cto"}
        names = {**{name: f"cto-agent-{name}" for name in agents}, **apps}
        told = {"agents": {name: {"githubApp": app} for name, app in names.items()}}
        config_map = {"kind": "ConfigMap", "metadata": metadata}
        data = {"config.yaml": dump_yaml(told)}
        self.cluster.add({"apiVersion": "v1", **config_map, "data": data})

    def secret(self, agent: str) -> dict[str, str] | None:
        found = self.cluster.peek(ObjectRef("v1", "Secret", "cto", f"github-app-cto-agent-{agent}"))
        data = (found or {}).get("data") or {}
        return {name: base64.b64decode(one).decode() for name, one in data.items()} or None

    def apps(self) -> Any:
        text = (self.cluster.peek(STATE) or {})["data"]["state.json"]
        return json.loads(text).get("apps", {})

    def config(self, **github: Any) -> str:
        file = self.desk.folder / "cto.yaml"
        told = {"organization": "acme", "repository": "shop", "url": self.server.url, **github}
        file.write_text(dump_yaml({"github": told}))
        return str(file)


@contextmanager
def opened(tmp_path: Path) -> Iterator[Office]:
    """Open an office: no agent has an App."""
    with GitHubServer() as server:
        cluster = Mortal(controllers=[make_ready])
        for name in ("cto-system", "cto", "argo-events"):
            metadata = {"name": name, "labels": {labels.MANAGED_BY: labels.OWNER}}
            cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        desk = Desk(tmp_path, cluster=cluster, clock=Brisk())
        desk.component(definition("controller", namespace="cto", health=RUNS_AGENTS))
        desk.component(definition("argo-events", health=HEARS_WEBHOOKS))
        server.github.now = lambda: desk.clock.now().timestamp()
        made = Office(desk, server, cluster)
        made.install()
        made.know(*AGENTS)
        cluster.writes = 0
        yield made
