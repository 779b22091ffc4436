"""The images that kubeadm and the node's own manifests ask for: one program, one layer each."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.nodeimage import archive, debian, programs
from lab.tools import build

OWN_TAG = "1"
REGISTRY = "registry.k8s.io"
OWN = "node.local"

# kube-proxy drives iptables; podnet does as well, and shares the image.
_IPTABLES = "/usr/sbin/xtables-nft-multi"
_PROBE = """\
*nat
:A - [0:0]
-A A -m comment --comment c -m statistic --mode random --probability 0.5 \
-m addrtype --dst-type LOCAL -j MARK --or-mark 0x1
-A A -p udp -m udp -j DNAT --to-destination 10.0.0.1:53
-A A -m recent --rcheck --name c -j MASQUERADE --random-fully
COMMIT
"""


def singles() -> dict[str, tuple[str, str]]:
    """Map the images of one program to the program and its path in the image."""
    kubernetes = {
        f"{REGISTRY}/{name}:v{programs.KUBERNETES}": (name, f"/usr/local/bin/{name}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    provisioner = "local-path-provisioner"
    return {
        **kubernetes,
        f"{REGISTRY}/etcd:{programs.ETCD_TAG}": ("etcd", "/usr/local/bin/etcd"),
        f"{REGISTRY}/coredns/coredns:v{programs.COREDNS}": ("coredns", "/coredns"),
        f"{REGISTRY}/pause:{programs.PAUSE_TAG}": ("pause", "/pause"),
        f"{OWN}/{provisioner}:v{programs.PROVISIONER}": (
            provisioner,
            f"/usr/local/bin/{provisioner}",
        ),
    }


def make(tree: Path, out: Path) -> None:
    """Write all of them into a folder, from the programs and a Debian tree."""
    for name, (program, path) in singles().items():
        with empty_tree(out) as image:
            programs.copy(program, Path(f"{image}{path}"))
            write(out, name, image, path)
    with empty_tree(out) as image:
        busybox(tree, image / "bin")
        write(out, f"{OWN}/busybox:{OWN_TAG}", image, "/bin/sh")
    with empty_tree(out) as image:
        proxy(tree, image)
        write(out, f"{REGISTRY}/kube-proxy:v{programs.KUBERNETES}", image, "kube-proxy")


@contextlib.contextmanager
def empty_tree(out: Path) -> Iterator[Path]:
    """Make a folder with what every program expects; it is gone once it is packed."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".tree-") as name:
        tree = Path(name)
        tree.chmod(0o755)
        (tree / "etc").mkdir()
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)
        yield tree


def write(out: Path, name: str, tree: Path, entrypoint: str) -> None:
    folder = out / name.replace("/", "_").replace(":", "_")
    archive.write(folder, name, tree, {"Entrypoint": [entrypoint]})


def busybox(tree: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / "busybox"
    shutil.copy(tree / "bin/busybox", program)
    for name in build.run_quietly([str(program), "--list"]).split():
        if name != "busybox":
            (folder / name).symlink_to("busybox")


def proxy(tree: Path, image: Path) -> None:
    # iptables loads its extensions while it runs: their libraries count as well.
    extensions = sorted(tree.glob("usr/lib/*/xtables/*.so"))
    files = [_IPTABLES, *(f"/{path.relative_to(tree)}" for path in extensions)]
    debian.copy_with_libraries(tree, image, files)
    for name in ("iptables", "ip6tables"):
        for what in ("", "-save", "-restore"):
            (image / f"usr/sbin/{name}{what}").symlink_to(Path(_IPTABLES).name)
    shutil.copy(tree / "bin/busybox", image / "usr/bin/busybox")
    for name in ("sh", "ip", "cat", "ls"):
        (image / "usr/bin" / name).symlink_to("busybox")
    for name in ("kube-proxy", "podnet"):
        programs.copy(name, image / "usr/local/bin" / name)
    try_rules(image)


def try_rules(image: Path) -> None:
    """Read some rules: kube-proxy goes on without Services when one cannot be read."""
    restore = ["chroot", str(image), "/usr/sbin/iptables-restore", "--test"]
    argv = build.bound(["unshare", "-n", *restore])
    done = subprocess.run(argv, input=_PROBE, capture_output=True, text=True, check=False)
    if done.returncode:
        text = f"the image of kube-proxy lacks something of iptables:\n  {done.stderr.strip()}"
        raise build.BuildError(text)
