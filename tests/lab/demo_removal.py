"""Takes the demo's clusters away, and looks for what is left of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab import demo_clusters, hosts, image, prepare
from lab.dockerd import engine
from lab.prepare import ROOT, say
from lab.tools import build

# Both of cto's and of kind's own.
LABELS = ("io.x-k8s.kind.cluster", "cto.dev/cluster")
PROFILES = ROOT / "profiles"

Run = Callable[[list[str]], int]
"""Runs the product in the foreground, returns its exit code."""


def clean(run: Run) -> int:
    """Let cto remove its clusters, then look for traces: what is found is a failure, and named."""
    folder = demo_clusters.simulated_folder()
    codes = [remove_containers(run)] if containers_left() else []
    if folder.exists() or processes_of(folder):
        codes.append(remove_simulated(run))
    traces = ["processes (ended now)"] if end(folder) else []
    if folder.exists():
        shutil.rmtree(folder)
        traces.append(f"{folder} (removed now)")
    traces += [f"container {name}" for name in containers_left()]
    for context in (f"kind-{demo_clusters.CLUSTER}", "kwok-cto"):
        traces += [f"context {context} in {file}" for file in kubeconfigs_with(context)]
    if traces:
        say("\n  ".join(["cto left behind:", *traces]))
    drop_images()
    tell_what_stays()
    return 1 if any(codes) or traces else 0


def tell_what_stays() -> None:
    folders = (build.cache_dir(), hosts.cto_cache())
    kept = [str(path) for path in folders if path.exists()]
    say(f"No cluster is left. Caches stay: {', '.join(kept) or 'there are none'}.")
    if names := engine.ask("images", "--format", "{{.Repository}}:{{.Tag}}", "cto-lab/*").split():
        say(f"So do Docker's images of the lab: docker rmi {' '.join(names)}")


# --- containers ----------------------------------------------------------------------------------


def containers_left() -> list[str]:
    """Name the containers of the demo's cluster, running or not."""
    found: set[str] = set()
    for label in LABELS:
        wanted = f"label={label}={demo_clusters.CLUSTER}"
        found.update(engine.ask("ps", "-a", "--filter", wanted, "--format", "{{.Names}}").split())
    return sorted(found)


def images() -> list[str]:
    """Return the images of the demo that Docker has: one of each profile, at most."""
    wanted = [image.reference(path.stem) for path in sorted(PROFILES.glob("*.yaml"))]
    return [name for name in wanted if engine.ask("image", "inspect", "-f", "{{.Id}}", name)]


def remove_containers(run: Run) -> int:
    """Remove them as they were made: by the product's image, or from the checkout."""
    removal = ["--cluster", "--yes"]
    if made := images():
        return run(demo_clusters.in_container(made[0], "uninstall", *removal))
    bring_cto()
    argv = [
        *demo_clusters.cto("uninstall", "kind"),
        "--cluster-name",
        demo_clusters.CLUSTER,
        *removal,
    ]
    return run([*argv, *given_tools()])


def drop_images() -> None:
    for name in images():
        subprocess.run([engine.client() or "docker", "rmi", name], capture_output=True, check=False)


# --- simulated nodes -----------------------------------------------------------------------------


def remove_simulated(run: Run) -> int:
    bring_cto()
    return run([*demo_clusters.cto("uninstall", "kwok"), "--cluster", "--yes", *given_tools()])


def bring_cto() -> None:
    if task := prepare.venv_task():
        prepare.perform([task])


def given_tools() -> list[str]:
    there = not build.tools_missing(prepare.tools_dir())
    return ["--tools", str(prepare.tools_dir())] if there else []


def processes_of(folder: Path) -> dict[int, str]:
    """Find what runs out of a folder, by the name that it was started with.

    The file behind that name is no sign: other clusters of the same machine, those of the tests
    for one, run the very same programs.
    """
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if command[0].startswith(f"{folder}/"):
                found[int(entry.name)] = " ".join(command)[:100]
    return found


def end(folder: Path) -> bool:
    """End by its number each process that a removal left; tell whether there was one."""
    left = processes_of(folder)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid, command in processes_of(folder).items():
            say(f"left behind, ending it: process {pid}, {command}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        deadline = time.monotonic() + 5
        while processes_of(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
    return bool(left)


def kubeconfigs_with(context: str) -> list[Path]:
    """List the kubeconfig files in which cto's mark and the context's name are left."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    files = {Path(name) for name in named if name} | {demo_clusters.shared_kubeconfig()}
    texts = {file: file.read_text() for file in sorted(files) if file.is_file()}
    return [file for file, text in texts.items() if context in text and "cto.dev" in text]
