"""A bundle behind CNCF Distribution: what comes out is what went in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

import pytest

from cto_airgap.build import WantedBundle
from cto_airgap.bundle import open_item
from cto_airgap.layout import Layout
from cto_airgap.oci import Descriptor, Document
from cto_airgap.verify import check
from cto_airgap.web import WebTransport
from fakes.depot import Depot
from lab.registry import running
from lab.registry.running import Registries

pytestmark = pytest.mark.lab
_SOON_S = 30


@dataclass
class Served:
    """A bundle, what was wanted of it, and the registry that serves it."""

    folder: Path
    wanted: WantedBundle
    upstream: str
    process: subprocess.Popen[str]
    host: str = ""
    lines: list[str] = field(default_factory=list)

    def wait(self) -> None:
        """Read until it listens."""
        assert self.process.stderr is not None
        while not self.host:
            line = self.process.stderr.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)
            if '"listening on ' in line:
                self.host = json.loads(line)["msg"].removeprefix("listening on ")

    def end(self) -> list[str]:
        """End it as Docker does; return what it wrote."""
        self.process.send_signal(SIGTERM)
        out, err = self.process.communicate(timeout=_SOON_S)
        return [*self.lines, *err.splitlines(), *out.splitlines()]

    def answers(self) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.end() if line.startswith("{")]
        return [one for one in found if "http.response.written" in one]


@contextmanager
def serve(folder: Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    temporary.mkdir(exist_ok=True)
    words = ("bundle", "serve", str(folder), "--listen", "127.0.0.1:0")
    with subprocess.Popen(
        [sys.executable, "-m", "cto", *words, "--tools", str(running.folder())],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Build a bundle of a registry's images, and serve it from another one."""
    if why := running.missing():
        pytest.skip(why)
    with Registries(tmp_path / "upstream") as registries, WebTransport() as transport:
        upstream = registries.start()
        depot = Depot(upstream, transport, plain=True)
        wanted = depot.fill(tmp_path)
        depot.builder(tmp_path).build(wanted, tmp_path / "bundle")
    with serve(tmp_path / "bundle", tmp_path / "tmp") as process:
        found = Served(tmp_path / "bundle", wanted, upstream, process)
        found.wait()
        yield found


def mirror_of(served: Served) -> str:
    """Return where the images of the upstream host are now."""
    return f"http://{served.host}/{served.upstream.replace(':', '-')}"


def test_a_bundle_built_of_a_served_one_is_the_same(served: Served, tmp_path: Path) -> None:
    """Every manifest, layer and chart comes, with upstream's digest, under upstream's name."""
    with WebTransport() as transport:
        mirrors = {served.upstream: [mirror_of(served)]}
        depot = Depot(served.upstream, transport, plain=True, mirrors=mirrors)
        again = depot.builder(tmp_path).build(served.wanted, tmp_path / "again")
    assert check(tmp_path / "again").digest == check(served.folder).digest
    assert again.fetched > 0


def test_every_byte_of_a_layer_that_was_sent_can_be_counted(served: Served, tmp_path: Path) -> None:
    with WebTransport() as transport:
        mirrors = {served.upstream: [mirror_of(served)]}
        depot = Depot(served.upstream, transport, plain=True, mirrors=mirrors)
        depot.builder(tmp_path).build(served.wanted, tmp_path / "again")
    layout = Layout(served.folder)
    trees = [open_item(layout, item) for item in layout.contents().images]
    layers = {digest: one.size for tree in trees for digest, one in tree.layers.items()}
    sent: dict[object, int] = {}
    for one in served.answers():
        digest = one.get("vars.digest")
        if digest in layers:
            sent[digest] = sent.get(digest, 0) + int(str(one["http.response.written"]))
    assert sent == layers


def test_it_takes_nothing_and_what_it_lacks_it_says(served: Served) -> None:
    import requests

    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{served.host}/v2"
        refused = session.post(f"{url}/docker.io/x/blobs/uploads/", timeout=_SOON_S)
        assert refused.status_code == 405
        lacking = session.get(f"{url}/docker.io/x/manifests/1", timeout=_SOON_S)
        assert lacking.status_code == 404
        assert lacking.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"


def test_crane_pulls_the_platform_that_is_there(served: Served, tmp_path: Path) -> None:
    layout = Layout(served.folder)
    name = f"{served.host}/{served.upstream.replace(':', '-')}/team/one:1"
    crane = [str(running.folder() / "crane"), "--insecure", "--platform", "linux/amd64"]
    argv = [*crane, "pull", "--format", "oci", name, str(tmp_path / "pulled")]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    item = next(one for one in layout.contents().images if "team/one" in one.name)
    manifest: Document = open_item(layout, item).manifests[0]
    wanted: list[Descriptor] = [manifest.descriptor, *manifest.blobs]
    for one in wanted:
        assert Layout(tmp_path / "pulled").holds(one)


def test_the_process_is_the_registry_and_ends_when_it_is_told(served: Served) -> None:
    """Docker signals the first process of a container, and kills it when that does not help."""
    import requests

    assert Path(f"/proc/{served.process.pid}/exe").resolve().name == "registry"
    # It says that it listens before it listens to signals; who gets an answer is past both.
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"http://{served.host}/v2/", timeout=_SOON_S).ok
    assert any("stopping server gracefully" in line for line in served.end())
    assert served.process.returncode == 0


def test_a_restart_sweeps_what_the_one_before_left(served: Served, tmp_path: Path) -> None:
    left = {path.name for path in (tmp_path / "tmp").iterdir()}
    assert len(left) == 1
    served.process.kill()
    served.process.communicate(timeout=_SOON_S)
    with serve(served.folder, tmp_path / "tmp") as process:
        again = Served(served.folder, served.wanted, served.upstream, process)
        again.wait()
        assert len([*(tmp_path / "tmp").iterdir()]) == 1
        assert left.isdisjoint(path.name for path in (tmp_path / "tmp").iterdir())


def test_no_program_is_an_error_with_a_code(tmp_path: Path) -> None:
    """What takes the place of the process must be a program."""
    bad = tmp_path / "registry"
    bad.write_text("not a program")
    bad.chmod(0o755)
    script = "import sys; from cto.adapters.process import become; become(sys.argv[1:], {})"
    done = subprocess.run(
        [sys.executable, "-c", script, str(bad)], capture_output=True, text=True, check=False
    )
    assert "ToolError" in done.stderr
    assert f"{bad} cannot be started" in done.stderr
