#!/usr/bin/env python3
"""Builds a node image for kind out of Go modules and Debian packages alone, and loads it.

    python3 tests lab.nodeimage.build

No container registry and no ready-made image takes part. The programs are kept one by one, the
image as an OCI layout named after the hash of its recipe; a kill at any moment costs no
more than the step that it was in. Needs root, Debian, Go, and a Docker daemon to load it into.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from lab.dockerd import engine
from lab.nodeimage import archive, debian, images, programs, store
from lab.nodeimage.cached import CachedImage
from lab.tools import apt, build

HERE = Path(__file__).resolve().parent

NAME = f"cto-lab/node:v{programs.KUBERNETES}"

# systemd as the first program: it asks for `container`, and stops in good order on this signal.
CONFIG = {
    "Entrypoint": ["/usr/local/sbin/node-entry"],
    "Env": [archive.PATH, "container=docker"],
    "StopSignal": "SIGRTMIN+3",
}

SERVICES = ("containerd", "kubelet", "nodedns")
# What acts on the kernel, which is the host's.
MASKED = (
    "console-getty",
    "getty@",
    "systemd-binfmt",
    "systemd-logind",
    "systemd-modules-load",
    "systemd-remount-fs",
    "systemd-sysctl",
    "systemd-udevd",
)

ASSEMBLE_S, LOAD_S = 150, 30
PEAK_MIB, KEPT_MIB = 3200, 280


def recipe() -> str:
    """Hash what the image is made of, but for the point release of Debian."""
    files = [path for path in sorted(HERE.rglob("*")) if path.is_file()]
    texts = [
        f"{path.relative_to(HERE)} {path.stat().st_mode & 0o111} {path.read_text()}"
        for path in files
        if path.suffix in {"", ".py", ".go", ".yaml", ".toml", ".conf", ".service", ".slice"}
    ]
    return hashlib.sha256("\0".join([*texts, *programs.recipes()]).encode()).hexdigest()[:16]


def image() -> CachedImage:
    return CachedImage(NAME, build.cache_dir() / "node", recipe())


def is_there() -> bool:
    return image().is_cached and image().is_loaded


def lacking() -> list[str]:
    return [] if image().is_cached else apt.lacking()


# --- the node ------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    return {
        "KUBE_VERSION": programs.KUBERNETES,
        "PAUSE_TAG": programs.PAUSE_TAG,
        "LOCALPATH_VERSION": programs.PROVISIONER,
        "OWN_TAG": images.OWN_TAG,
    }


def add_own_files(tree: Path) -> None:
    """Copy `rootfs`, with versions filled in: @NAME@."""
    for source in sorted((HERE / "rootfs").rglob("*")):
        if not source.is_file():
            continue
        text = source.read_text()
        for name, version in versions().items():
            text = text.replace(f"@{name}@", version)
        target = tree / source.relative_to(HERE / "rootfs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if source.parent.name == "sbin" else 0o644)
    (tree / "kind/version").write_text(f"v{programs.KUBERNETES}\n")


def add_services(tree: Path) -> None:
    units = tree / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for name in SERVICES:
        (wanted / f"{name}.service").symlink_to(f"../{name}.service")
    links = {"default.target": "/usr/lib/systemd/system/multi-user.target"}
    links |= {f"{name}.service": "/dev/null" for name in MASKED}
    for name, target in links.items():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to(target)


def add_programs(tree: Path) -> None:
    in_images = {program for program, _ in images.singles().values()} | {"kube-proxy", "podnet"}
    everything = {tool.name for tool in programs.PROGRAMS} | set(programs.SHARED)
    for name in sorted(everything - in_images):
        programs.copy(name, tree / "usr/local/bin" / name)


def assemble(tree: Path, work: Path) -> None:
    """Turn the Debian tree into a node's."""
    (work / "images").mkdir()
    images.make(tree, work / "images")
    add_own_files(tree)
    add_programs(tree)
    add_services(tree)
    for name in ("etc/kubernetes/manifests", "etc/cni/net.d", "etc/containerd/certs.d"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    store.make(work / "images", tree / "var/lib/containerd")


# --- making it -----------------------------------------------------------------------------------


def make() -> None:
    """Build the image, unless the cache has it, and load it.

    Raises:
        BuildError: The machine lacks something, or a step failed.
    """
    kept = image()
    with build.alone(kept.folder):
        if not kept.is_cached:
            build_into(kept)
        kept.load()


def build_into(kept: CachedImage) -> None:
    if found := lacking():
        raise build.BuildError("\n  ".join(["this machine lacks:", *found]))
    programs.make()
    with kept.workspace() as work:
        tree = work / "tree"
        say("node image: Debian's part")
        debian.make(tree)
        say("node image: the rest of it")
        assemble(tree, work)
        say("node image: packing it")
        kept.keep(work, tree, CONFIG)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    try:
        engine.up()
        make()
    except build.BuildError as error:
        say(str(error))
        return 1
    say(f"{NAME} is in Docker, and in {image().path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
