"""containerd's store with the node's images in it, unpacked: the node has them when it starts.

A containerd of the node's own version unpacks them here. Every image has one layer, so that no
overlay takes part, and a plain copy of the folder stays valid. The layers themselves are dropped:
the unpacked copy is enough.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.nodeimage import archive, programs
from lab.tools import build

_READY_S = 20
_NOT_NEEDED = (
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
)


def make(images: Path, store: Path) -> None:
    """Unpack all images of a folder into a new store."""
    with containerd(store) as ctr:
        for folder in sorted(images.iterdir()):
            pinned = ["--label", "io.cri-containerd.pinned=pinned"]
            archive.feed(folder, [*ctr, "images", "import", *pinned, "-"])
        drop_layers(ctr)


@contextlib.contextmanager
def containerd(store: Path) -> Iterator[list[str]]:
    """Run a containerd on a store; yields the client's command for it."""
    # In /tmp: the paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="nodestore-", dir="/tmp") as run:
        config = Path(run) / "config.toml"
        config.write_text(configured(store, run))
        serve = [str(programs.path("containerd")), "--config", str(config), "--log-level", "warn"]
        with (Path(run) / "log").open("w") as log:
            process = subprocess.Popen(build.bound(serve), stdout=log, stderr=log)
        ctr = [str(programs.path("ctr")), "-a", f"{run}/sock", "-n", "k8s.io"]
        try:
            await_ready(ctr)
            yield ctr
        finally:
            process.terminate()
            process.wait()


def configured(store: Path, run: str) -> str:
    disabled = ", ".join(f'"{name}"' for name in _NOT_NEEDED)
    return f"""\
version = 3
root = "{store}"
state = "{run}/state"
disabled_plugins = [{disabled}]
[grpc]
  address = "{run}/sock"
[ttrpc]
  address = "{run}/ttrpc"
"""


def await_ready(ctr: list[str]) -> None:
    deadline = time.monotonic() + _READY_S
    while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            text = "containerd, which unpacks the node's images, does not answer"
            raise build.BuildError(text)
        time.sleep(0.2)


def drop_layers(ctr: list[str]) -> None:
    layers = set()
    for line in build.run_quietly([*ctr, "images", "ls"]).splitlines()[1:]:
        manifest = json.loads(build.run_quietly([*ctr, "content", "get", line.split()[2]]))
        layers |= {layer["digest"] for layer in manifest.get("layers", [])}
    build.run_quietly([*ctr, "content", "rm", *sorted(layers)])
    # Removing something with --sync makes the collector run now.
    build.run_quietly([*ctr, "leases", "create", "--id", "flush"])
    build.run_quietly([*ctr, "leases", "rm", "--sync", "flush"])
