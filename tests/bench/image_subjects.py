"""What is measured of the image, each beside what it is compared with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cto.adapters.kind.config import PULLS
from e2e.daemon import DATA, Daemon
from e2e.delivery import registries, sent
from e2e.engine import Engine
from e2e.image import Image
from e2e.installer import CLUSTER, Installer

NODE = f"{CLUSTER}-control-plane"
PLAIN = "plain"
KEPT = "bench.invalid/node:kept"
CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
DISK_MIB = 512
GONE_S = 180


@dataclass
class Samples:
    """Seconds, bytes and rates by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)


def timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@dataclass
class Subjects:
    """One daemon with the image, and where the samples go.

    Attributes:
        node: What Docker knows the node image as, once it was pulled.
    """

    daemon: Daemon
    image: Image
    bundle: Path
    kube: Path
    samples: Samples
    node: str = ""

    @property
    def installer(self) -> Installer:
        return Installer(self.daemon.engine, self.image.reference, self.kube)

    # starting the image

    def version(self) -> None:
        """Take `docker run IMAGE version`, and a container of the image that does nothing."""
        engine, name = self.daemon.engine, self.image.reference
        nothing = ["run", "--rm", "--entrypoint", "/bin/true", name]
        self.samples.add("true", timed(lambda: engine.run(*nothing)))
        self.samples.add("version", timed(lambda: engine.run("run", "--rm", name, "version")))

    # files

    def verify(self, cto: Path) -> None:
        """Take `bundle verify`, and sha256sum over the same files on one core."""
        files = [str(path) for path in sorted(self.bundle.rglob("*")) if path.is_file()]
        self.samples.add("sha256sum", timed(lambda: _quietly("sha256sum", *files)))
        verify = (str(cto), "bundle", "verify", str(self.bundle))
        before = os.times()
        taken = timed(lambda: _quietly(*verify))
        after = os.times()
        self.samples.add("verify", taken)
        busy = sum(after[2:4]) - sum(before[2:4])
        self.samples.add("cores", max(1.0, min(os.cpu_count() or 1, busy / taken)))

    def size(self) -> None:
        blobs = {
            path.name: path.stat().st_size
            for path in (self.bundle / "blobs").rglob("*")
            if path.is_file()
        }
        total = sum(p.stat().st_size for p in self.bundle.rglob("*") if p.is_file())
        self.samples.add("bundle", total)
        self.samples.add("blobs", sum(blobs.values()))

    # clusters

    def node_image(self) -> None:
        """Take Docker's pull of the node image, and keep that image; nothing else stays."""
        stamps = self.install()
        self.samples.add("node image", stamps["kind"] - stamps["pull"])
        self.node = self.daemon.engine.out("inspect", "--format", "{{.Config.Image}}", NODE)
        self.daemon.engine.run("tag", self.node, KEPT)
        self.gone()

    def gone(self) -> None:
        self.installer.run("uninstall", "--cluster", "--yes")

    def cluster(self) -> None:
        """Take a cluster of kind alone, then the cluster within an installation.

        Docker has the node image, nothing else runs, and both end when nodes take pods.
        """
        for wait, sample in (("0s", "kind bare"), ("5m", "kind")):
            self.samples.add(sample, self._plain(wait))
        self.daemon.engine.run("tag", KEPT, self.node)
        stamps = self.install()
        assert "pull" not in stamps, f"Docker did not have {self.node}"
        self.samples.add("cluster", stamps["made"] - stamps["begun"])

    def install(self) -> dict[str, float]:
        """Install; return when it began and ended, and the pull, kind, and the cluster made."""
        signs = {
            "pull": r"Docker pulls",
            "kind": r"Ensuring node image",
            "made": r"✓ Make the kind cluster",
        }
        stamps = {"begun": time.monotonic()}
        running = self.installer.start("install", "--profile", "minimal")
        said = []
        assert running.process.stderr
        for line in running.process.stderr:
            said.append(line)
            for name, pattern in signs.items():
                if name not in stamps and re.search(pattern, line):
                    stamps[name] = time.monotonic()
        assert running.process.wait() == 0, "".join(said[-30:])
        return {**stamps, "ended": time.monotonic()}

    def _plain(self, wait: str) -> float:
        """Make a cluster with kind alone, out of the same image's own kind."""
        kind = ["--entrypoint", "kind", self.image.reference]
        mount = f"--volume={self.daemon.engine.socket}:/var/run/docker.sock"
        run = ["run", "--rm", mount, *kind]
        create = ["create", "cluster", "--name", PLAIN, "--image", KEPT, "--kubeconfig=/tmp/k"]
        create += ["--wait", wait]
        taken = timed(lambda: self.daemon.engine.run(*run, *create))
        self.daemon.engine.run(*run, "delete", "cluster", "--name", PLAIN)
        return taken

    def again(self) -> None:
        """Take a second installation: the bytes that the registry sends meanwhile."""
        (registry,) = registries(self.daemon.engine)
        before = sum(blob.size for blob in sent(self.daemon.engine, registry))
        self.samples.add("again", timed(lambda: self.installer.run("install")))
        after = sum(blob.size for blob in sent(self.daemon.engine, registry))
        self.samples.add("again bytes", after - before)

    # delivery

    def empty(self) -> list[str]:
        """Take the platform off the node; return the images that it was made of.

        As long as a container runs, its layers' snapshots stay, and containerd asks no registry
        for a layer whose snapshot it has.
        """
        found = self._images()
        images, namespaces = sorted(found), set().union(*found.values())
        self.installer.run("uninstall", "--yes")
        end = time.monotonic() + GONE_S
        # A pod has 30 seconds to end, and kubelets remove its containers some time after it.
        while left := namespaces & self._namespaces_of_containers():
            assert time.monotonic() < end, f"containers of {', '.join(sorted(left))} stay"
            time.sleep(1)
        self._forget(images)
        return images

    def _namespaces_of_containers(self) -> set[str]:
        found = json.loads(self._in_node("crictl", "ps", "--all", "--output", "json"))
        return {one["labels"]["io.kubernetes.pod.namespace"] for one in found["containers"]}

    def delivery(self, images: Sequence[str]) -> None:
        """Take all images of the set to a node without one: by the registry, by `kind load`."""
        (registry,) = registries(self.daemon.engine)
        before = len(sent(self.daemon.engine, registry))
        busy = self._containerd_s()
        self.samples.add("pull", timed(lambda: self._pull(images)))
        busy = self._containerd_s() - busy
        self.samples.add("containerd", busy / (os.cpu_count() or 1))
        blobs = sent(self.daemon.engine, registry)[before:]
        digests = sorted({blob.digest for blob in blobs})
        self._bound([self.bundle / "blobs" / digest.replace(":", "/") for digest in digests])
        self._forget(images)
        loaded = self._to_docker(images)
        mount = f"--volume={self.daemon.engine.socket}:/var/run/docker.sock"
        load = ["run", "--rm", mount, "--entrypoint", "kind", self.image.reference]
        load += ["load", "docker-image", "--name", CLUSTER, *loaded]
        self.samples.add("kind load", timed(lambda: self.daemon.engine.run(*load, timeout_s=900)))
        self.daemon.engine.run("rmi", "--force", *loaded)
        self._forget(images)

    def _bound(self, blobs: Sequence[Path]) -> None:
        """Take what nobody can be faster than: this disk, and gunzip of what was sent."""
        layers = [blob for blob in blobs if blob.read_bytes()[:2] == GZIP]
        assert layers, "the node had layers of the set already"
        size, seconds = _unpacked(layers)
        self.samples.add("set", size)
        self.samples.add("gunzip", size / seconds * (os.cpu_count() or 1))
        self.samples.add("disk", _disk_rate())

    def _images(self) -> dict[str, set[str]]:
        """Return what the pods of the set are made of, as they name it, and their namespaces."""
        pods = self.installer.kubectl("get", "pods", "--all-namespaces", "--output", "json")
        hosts = self._in_node("ls", "/etc/containerd/certs.d").split()
        found: dict[str, set[str]] = {}
        for pod in json.loads(pods)["items"]:
            spec = pod["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                if container["image"].split("/")[0] in hosts:
                    found.setdefault(container["image"], set()).add(pod["metadata"]["namespace"])
        return found

    def _pull(self, images: Sequence[str]) -> None:
        # As kubelets of our nodes do (`maxParallelImagePulls`).
        each = f"xargs --max-procs={PULLS} --max-args=1 crictl pull"
        self._in_node("sh", "-ec", f'printf "%s\\n" "$@" | {each}', "sh", *images)

    def _containerd_s(self) -> float:
        """Return the seconds of CPU time that the node's containerd took, and its gunzips."""
        pid = self._in_node("systemctl", "show", "--property=MainPID", "--value", "containerd")
        stat = self._in_node("cat", f"/proc/{pid.strip()}/stat")
        # proc_pid_stat(5): from the state on, counted from 0; own and children's, user and system.
        return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")

    def _forget(self, images: Sequence[str]) -> None:
        """Take images off the node by every name they have there, layers included."""
        self._in_node("crictl", "rmi", *images)

    def _to_docker(self, images: Sequence[str]) -> list[str]:
        """Let Docker have them, as somebody who uses `kind load` would.

        By the manifest of this one platform: `kind load` imports all platforms of an index, which
        fails where only one was pulled (https://github.com/kubernetes-sigs/kind/issues/3795).
        """
        engine = self.daemon.engine
        (registry,) = registries(engine)
        port = engine.out("port", registry, "5000").rpartition(":")[2]
        crane = ["crane", "digest", "--insecure", f"--platform={_platform(engine)}"]
        for image in images:
            digest = engine.out("exec", registry, *crane, f"127.0.0.1:5000/{image}")
            name = f"127.0.0.1:{port}/{image.rpartition(':')[0]}@{digest.strip()}"
            engine.run("pull", "--quiet", name)
            engine.run("tag", name, image)
            engine.run("rmi", "--force", name)
        return list(images)

    def _in_node(self, *words: str) -> str:
        return self.daemon.engine.out("exec", NODE, *words, timeout_s=900)


def _platform(engine: Engine) -> str:
    return engine.out("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").strip()


def _disk_rate() -> float:
    """Return the bytes per second that Docker's disk takes, all of them down on it."""
    file = DATA / "written"
    block = os.urandom(CHUNK)

    def write() -> None:
        with file.open("wb") as stream:
            for _ in range(DISK_MIB):
                stream.write(block)
            os.fsync(stream.fileno())

    try:
        return DISK_MIB * CHUNK / timed(write)
    finally:
        file.unlink(missing_ok=True)


def _unpacked(layers: Sequence[Path]) -> tuple[int, float]:
    """Return how many bytes layers hold, and the seconds that one core takes to unpack them."""
    size = 0
    begun = time.monotonic()
    for layer in layers:
        inflate = zlib.decompressobj(31)
        with layer.open("rb") as stream:
            while block := stream.read(CHUNK):
                size += len(inflate.decompress(block))
    return size, time.monotonic() - begun


def _quietly(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
