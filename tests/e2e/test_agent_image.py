"""The agents' image: built by `make agent-image`, and run as the controller's Job runs it.

Needs a Docker daemon with a base image (CTO_BASE, the lab's). The CLIs are fetched from npm's
registry, which takes a while: what needs them is slow.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.agents import MOUNTED, AgentPod, run_to_end
from fakes.models import wants
from fakes.repositories import git
from fakes.webserver import WebServer, answer
from lab.nodeimage import base

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
BASE = os.environ.get("CTO_BASE", base.NAME)
PULLS = "/repos/acme/shop/pulls"
URL = "https://github.com/acme/shop/pull/7"
ALL = ("codex", "gemini", "opencode")
_LONG_S = 900


def docker(*words: str, check: bool = True) -> str:
    program = shutil.which("docker") or "docker"
    done = run_to_end([program, *words], os.environ, _LONG_S)
    assert not check or done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base_image() -> str:
    """Return the base image; skip, and say why, where it cannot be had."""
    if not shutil.which("docker") or not docker("info", "--format", "{{.ID}}", check=False):
        pytest.skip("no Docker answers")
    if not docker("image", "inspect", "--format", "{{.Id}}", BASE, check=False):
        pytest.skip(f"Docker has no image {BASE} (CTO_BASE, or tests/lab)")
    return BASE


def build(out: Path, base_image: str, clis: Sequence[str], **more: str) -> Path:
    """Run `make agent-image` as users do."""
    words = {"AGENT": str(out), "BASE": base_image, "CLIS": " ".join(clis), **more}
    argv = ["make", "agent-image", *(f"{key}={value}" for key, value in words.items())]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LONG_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def loaded(tar: Path, name: str) -> str:
    """Have Docker take an image, under a name of this test's own."""
    with tarfile.open(tar) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        given = json.load(index)["manifests"][0]["annotations"]["io.containerd.image.name"]
    docker("load", "--quiet", "--input", str(tar))
    docker("tag", given, name)
    docker("rmi", given)
    return name


@pytest.fixture(scope="module")
def small(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the image with the CLI that needs no model."""
    tar = build(tmp_path_factory.mktemp("small") / "agent.tar", base_image, ())
    yield loaded(tar, "cto-e2e-agent:small")
    docker("rmi", "--force", "cto-e2e-agent:small")


@pytest.fixture(scope="module")
def whole(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the image with all CLIs that may be passed on."""
    if not shutil.which("npm"):
        pytest.skip("this machine has no npm")
    tar = build(tmp_path_factory.mktemp("whole") / "agent.tar", base_image, ALL)
    yield loaded(tar, "cto-e2e-agent:whole")
    docker("rmi", "--force", "cto-e2e-agent:whole")


class Container(AgentPod):
    """The pod as a container, with what the Job says of its rights."""

    image = ""
    program: tuple[str, ...] = ()

    def here(self, text: str) -> str:
        return text

    def environment(self, number: int = 1) -> dict[str, str]:
        env = {**super().environment(number), "REPOSITORY_URL": "file:///origin"}
        del env["PATH"]
        user = self.pod_spec["securityContext"]["runAsUser"]
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, user, user)
        return env

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        pod = self.pod_spec["securityContext"]
        own = self.pod_spec["containers"][0]["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        words = ["--rm", "--read-only", "--network", "host", "--tmpfs", "/tmp"]
        words += ["--user", f"{pod['runAsUser']}:{pod['runAsGroup']}"]
        words += ["--cap-drop", *own["capabilities"]["drop"]]
        words += ["--security-opt", "no-new-privileges"]
        for path in (*MOUNTED, "/origin"):
            words += ["--volume", f"{self.on_disk(path)}:{path}"]
        for name, value in env.items():
            words += ["--env", f"{name}={value}"]
        words += ["--entrypoint", argv[0]] if argv else []
        program = shutil.which("docker") or "docker"
        return run_to_end([program, "run", *words, self.image, *argv[1:]], os.environ, timeout_s)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as made:
        made.on("POST", PULLS, answer(201, {"html_url": URL}))
        yield made


@pytest.fixture
def make(tmp_path: Path, server: WebServer) -> Callable[..., Container]:
    def made(image: str, **spec: Any) -> Container:
        pod = Container(tmp_path / "pod", api_url=server.url, **spec)
        pod.image, pod.program = image, ()
        return pod

    return made


def test_a_run_without_a_model_ends_in_a_pull_request(
    small: str, make: Callable[..., Container], server: WebServer
) -> None:
    pod = make(small, cli="echo", prompt="Say $(it) `so`.")
    done = pod.attempt()
    assert done.returncode == 0, done.stdout + done.stderr
    assert pod.result(done).pull_request_url == URL
    assert "Say $(it) `so`." in git(pod.origin, "show", f"{pod.branch}:agents/agents-rex-shop.md")
    # It has what was chosen, and nothing else.
    refused = pod.attempt(2, AGENT_CLI="codex")
    assert pod.result(refused).summary == "AGENT_CLI is 'codex'; this image has: echo"


def test_it_runs_as_a_user_of_its_own_and_holds_nothing_of_where_it_was_made(small: str) -> None:
    config = json.loads(docker("image", "inspect", small))[0]["Config"]
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"] == ["/opt/agent/cto-agent"]
    shell = ["run", "--rm", "--read-only", "--entrypoint", "/bin/sh", small, "-c"]
    assert docker(*shell, "id -un; ls /opt/agent/clis; ls /var/lib/apt/lists") == "agent\necho"
    assert docker(*shell, "find /opt/agent -perm /022 ! -type l") == ""


@pytest.mark.slow
def test_two_builds_are_one(base_image: str, tmp_path: Path) -> None:
    """As long as Debian's packages are the same, that is: one follows the other at once."""
    same = {"BUILD_ARGS": "--no-cache", "SOURCE_DATE_EPOCH": "1700000000"}
    digests = []
    for name in ("one", "other"):
        with tarfile.open(build(tmp_path / f"{name}.tar", base_image, (), **same)) as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            digests.append(json.load(index)["manifests"][0]["digest"])
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.parametrize("cli", ALL)
def test_every_cli_starts(whole: str, cli: str) -> None:
    lock = ROOT / "bundle" / "images" / "agent" / "clis" / cli / "package-lock.json"
    versions = {
        row["version"].partition("-")[0]
        for name, row in json.loads(lock.read_text())["packages"].items()
        if name
    }
    rights = ("--rm", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/home/agent:uid=1000")
    program = f"/opt/agent/clis/{cli}/node_modules/.bin/{cli}"
    said = docker("run", *rights, "--entrypoint", program, whole, "--version")
    assert [version for version in versions if version in said]


@pytest.mark.slow
@pytest.mark.parametrize(("cli", "model"), [("codex", "gpt-5"), ("opencode", "openai/gpt-5")])
def test_a_cli_does_what_its_model_says(
    whole: str, make: Callable[..., Container], server: WebServer, cli: str, model: str
) -> None:
    command = "echo said > note.md && git add note.md && git commit --quiet --message 'A note'"
    server.on("POST", "/v1/responses", wants(command, "There is a note now."))
    pod = make(whole, cli=cli, prompt="Leave a note.", cliConfig={"model": model})
    options = {"baseURL": f"{server.url}/v1"}
    done = pod.attempt(
        timeout_s=_LONG_S,
        OPENAI_API_KEY="planted-key",
        OPENAI_BASE_URL=options["baseURL"],
        OPENCODE_CONFIG_CONTENT=json.dumps({"provider": {"openai": {"options": options}}}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(pod.origin, "show", f"{pod.branch}:note.md") == "said"
    result = pod.result(done)
    assert (result.summary, result.pull_request_url) == ("There is a note now.", URL)
    asked = server.requests("/v1/responses")
    keys = {value for one in asked for name, value in one.headers.items() if "uthorization" in name}
    assert keys == {"Bearer planted-key"}
    assert any("Leave a note." in one.body.decode() for one in asked)
    assert "planted-key" not in done.stdout + done.stderr
