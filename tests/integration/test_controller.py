"""The controller on a real API server: its CRDs, its rights, and what kills make of its runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cto.objects import dump_yaml, load_yaml
from fakes.webserver import free_port

from .conftest import ROOT, Lab

CHART = ROOT / "bundle" / "charts" / "controller"
NAMESPACE = "cto"
SOON_S = 120.0


@dataclass
class Controller:
    """Runs the program as its Deployment does: with its account's token, and a kubeconfig of it."""

    lab: Lab
    folder: Path
    lives: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        helm = ["template", "controller", str(CHART), "-n", NAMESPACE, "--include-crds"]
        values = {
            "agents": {
                "rex": {"githubApp": "acme-rex", "image": "example.com/rex:1", "maxConcurrent": 8}
            },
            "queue": {"maxConcurrent": 8},
            "cleanup": {"enabled": False},
        }
        (self.folder / "values.yaml").write_text(dump_yaml(values))
        rendered = self.lab.helm(*helm, "-f", str(self.folder / "values.yaml"))
        objects = [o for o in map(load_yaml, rendered.split("\n---\n")) if o]
        self.lab.kubectl("create", "namespace", NAMESPACE)
        wanted = [o for o in objects if o["kind"] not in ("Deployment", "Service")]
        for first in (True, False):
            part = [o for o in wanted if (o["kind"] == "CustomResourceDefinition") is first]
            self.lab.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(dump_yaml, part)))
        crds = ("crd/coderuns.agents.platform", "crd/docsruns.agents.platform")
        self.lab.kubectl("wait", "--for=condition=Established", *crds)
        (config,) = [o for o in objects if "config.yaml" in (o.get("data") or {})]
        (self.folder / "config.yaml").write_text(config["data"]["config.yaml"])
        token = self.lab.kubectl("-n", NAMESPACE, "create", "token", "controller")
        kubeconfig = load_yaml((self.lab.folder / "kubeconfig").read_text())
        kubeconfig["users"][0]["user"] = {"token": token.strip()}
        (self.folder / "kubeconfig").write_text(dump_yaml(kubeconfig))

    def start(self, port: int = 0) -> subprocess.Popen[str]:
        self.logs.append(self.folder / f"log-{len(self.logs)}")
        env = {
            **self.lab.env,
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "CONTROLLER_CONFIG_PATH": str(self.folder / "config.yaml"),
            "KUBERNETES_NAMESPACE": NAMESPACE,
            "PORT": str(port),
        }
        argv = [sys.executable, "-m", "cto_controller"]
        with self.logs[-1].open("w") as log:
            made = subprocess.Popen(argv, env=env, stderr=log, stdin=subprocess.DEVNULL, text=True)
        self.lives.append(made)
        return made

    def stop(self) -> None:
        for life in self.lives:
            life.kill()
            life.wait()

    def only_one(self, port: int = 0) -> subprocess.Popen[str]:
        """End those that live, and start one that leads."""
        self.stop()
        life = self.start(port)
        until("it leads", lambda: "this one leads now" in self.logs[-1].read_text())
        return life

    def log(self) -> str:
        return "".join(path.read_text() for path in self.logs)


@pytest.fixture(scope="module")
def controller(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    lab.forget()
    made = Controller(lab, tmp_path_factory.mktemp("controller"))
    yield made
    made.stop()
    # Its objects are nobody's: an installation would refuse to write over them.
    lab.forget()


def run(name: str, **spec: Any) -> dict[str, Any]:
    told = {
        "repositoryUrl": f"https://git.example.com/acme/{name}",
        "githubApp": "acme-rex",
        "prompt": "Do it.",
        **spec,
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    spec_ = {key: value for key, value in told.items() if value is not None}
    return {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": metadata,
        "spec": spec_,
    }


def listed(lab: Lab, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        lab.kubectl("-n", NAMESPACE, "get", kind, "-o", "json")
    )["items"]
    return found


def is_idle(lab: Lab) -> bool:
    """Whether every run has ended."""
    path = "jsonpath={range .items[*]}{.status.phase},{end}"
    phases = lab.kubectl("-n", NAMESPACE, "get", "coderuns", "-o", path).split(",")[:-1]
    return all(phase in ("Succeeded", "Failed") for phase in phases)


def until(what: str, done: Any) -> None:
    end = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < end, f"not within {SOON_S:g} s: {what}"
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"prompt": None}, "the task is missing"),
        ({"repositoryUrl": None}, "repositoryUrl"),
        ({"githubApp": None}, "githubApp"),
        ({"repositoryUrl": "https://me:secret@github.com/acme/shop"}, "a password or token"),
        ({"repositoryUrl": "https://ghp_planted@github.com/acme/shop"}, "a password or token"),
        ({"repositoryUrl": "/etc/passwd"}, "must be an address"),
        ({"workingDirectory": "../../etc"}, "within the repository"),
        ({"workingDirectory": "/etc"}, "within the repository"),
        ({"prompt": "x" * 300_000}, "Too long"),
        ({"contextVersion": 0}, "greater than or equal to 1"),
    ],
)
def test_the_api_server_refuses_what_cannot_be_run(
    controller: Controller, spec: dict[str, Any], text: str
) -> None:
    with pytest.raises(AssertionError, match=text):
        controller.lab.kubectl("create", "-f", "-", stdin=json.dumps(run("wrong", **spec)))


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/shop",
        "https://git@github.com/acme/shop.git",
        "ssh://git@github.com/acme/shop.git",
        "http://10.0.0.1:3000/acme/shop",
    ],
)
def test_the_api_server_takes_addresses_of_repositories(controller: Controller, url: str) -> None:
    dry = ("create", "--dry-run=server", "-f", "-")
    controller.lab.kubectl(*dry, stdin=json.dumps(run("fine", repositoryUrl=url)))


@pytest.mark.parametrize(
    ("runs", "kills"), [(12, 6), pytest.param(150, 50, marks=pytest.mark.slow)]
)
def test_killed_again_and_again_every_run_ends_once(
    controller: Controller, runs: int, kills: int
) -> None:
    """With nothing but the rights of its Role. Simulated nodes end every Job's pod at once."""
    lab = controller.lab
    controller.stop()
    lab.kubectl("-n", NAMESPACE, "delete", "coderuns", "--all")
    until("no Job is left", lambda: not listed(lab, "jobs"))
    made = "\n---\n".join(dump_yaml(run(f"run-{n}")) for n in range(runs))
    lab.kubectl("create", "-f", "-", stdin=made)
    struck = 0
    for number in range(kills):
        life, log = controller.start(), controller.logs[-1]
        lines = 2 + number % 5

        def has_worked(log: Path = log, lines: int = lines) -> bool:
            return len(log.read_text().splitlines()) >= lines or is_idle(lab)

        until("it works", has_worked)
        assert life.poll() is None, controller.log()
        life.send_signal(signal.SIGKILL)
        life.wait()
        struck += not is_idle(lab)
    # While it had something to do.
    assert struck >= kills // 2
    controller.start()
    until("all runs succeeded", lambda: is_idle(lab))
    phases = {item["status"]["phase"] for item in listed(lab, "coderuns")}
    assert phases == {"Succeeded"}
    jobs = listed(lab, "jobs")
    owners = sorted(job["metadata"]["ownerReferences"][0]["name"] for job in jobs)
    assert owners == sorted(f"run-{n}" for n in range(runs))
    for item in listed(lab, "coderuns"):
        assert item["status"]["attempts"] == 1
        assert item["status"]["observedGeneration"] == item["metadata"]["generation"]
    told = [e for e in listed(lab, "events") if e.get("source", {}).get("component")]
    ends = [e["involvedObject"]["uid"] for e in told if e["reason"] == "Succeeded"]
    assert len(ends) == len(set(ends))
    refused = [line for line in controller.log().splitlines() if '"level": "error"' in line]
    assert refused == []


def test_a_second_one_waits_for_its_turn(controller: Controller) -> None:
    first = controller.only_one()
    second = controller.start()
    log = controller.logs[-1]
    until("the second waits", lambda: "another one leads" in log.read_text())
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    until("it leads", lambda: "this one leads now" in log.read_text())
    assert second.poll() is None


def test_it_is_small_and_tells_how_it_is(controller: Controller) -> None:
    life = controller.only_one(port := free_port())
    until("it looks", lambda: 'running{agent="rex"}' in page(port, "/metrics")[1])
    assert page(port, "/ready") == (200, "ok\n")
    assert page(port, "/health") == (200, "ok\n")
    status, text = page(port, "/metrics")
    assert status == 200
    assert 'cto_runs_running{agent="rex"} 0.0' in text
    assert page(port, "/other")[0] == 404
    rss = Path(f"/proc/{life.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
    assert int(rss) / 1024 < 100


def page(port: int, path: str) -> tuple[int, str]:
    from urllib.error import HTTPError, URLError

    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except (URLError, OSError):
        return 0, ""


def test_a_run_that_is_deleted_takes_its_job_along(controller: Controller) -> None:
    lab = controller.lab
    controller.only_one()
    lab.kubectl("create", "-f", "-", stdin=json.dumps(run("gone")))

    def jobs() -> int:
        owners = [job["metadata"]["ownerReferences"][0]["name"] for job in listed(lab, "jobs")]
        return owners.count("gone")

    until("it has a Job", lambda: jobs() == 1)
    lab.kubectl("-n", NAMESPACE, "delete", "coderun", "gone")
    until("its Job is gone", lambda: jobs() == 0)
