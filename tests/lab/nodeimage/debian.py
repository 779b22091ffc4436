"""The Debian tree that a node is made of, and copies of single programs out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from lab.tools import apt, build

# Its systemd 252 is the last one that takes cgroup v1 without a switch of the kernel:
# https://github.com/systemd/systemd/blob/v256/NEWS
SUITE = "bookworm"
PACKAGES = (
    "busybox-static",
    "ca-certificates",
    "containernetworking-plugins",
    "curl",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "mount",
    # Kind's own nodes have it, and containerd unpacks with it where it is there.
    "pigz",
    "procps",
    "runc",
    "systemd",
    "systemd-sysv",
    "util-linux",
)
# The plugins that podnet names.
CNI = ("bridge", "host-local", "loopback", "portmap", "ptp")

# Nothing in an image is for a person to read, and the package tools are not used.
UNUSED = (
    "etc/machine-id",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*",
    *(
        f"usr/share/{name}/*"
        for name in ("bash-completion", "doc", "i18n", "info", "lintian", "locale", "man", "perl5")
    ),
    "usr/share/zoneinfo/*",
)
# A container is no machine: of the services that come enabled only the journal is wanted.
_SERVICES = (
    "etc/systemd/system/*.wants/*",
    *(
        f"usr/lib/systemd/system/{target}.target.wants/*"
        for target in ("basic", "graphical", "local-fs", "multi-user", "rescue", "timers")
    ),
)
_JOURNAL_ONLY = (
    "usr/lib/systemd/system/sysinit.target.wants",
    "usr/lib/systemd/system/sockets.target.wants",
)


def install(tree: Path, suite: str, packages: tuple[str, ...]) -> None:
    """Install packages of a suite into a folder; what is for people to read is taken out again."""
    apt.install({"debootstrap": "debootstrap"})
    include = f"--include={','.join(packages)}"
    # It mounts /proc and /sys into the tree: in a namespace of its own, they go with it, whatever
    # ends it, before somebody removes the tree.
    alone = ["unshare", "--mount", "--propagation", "private"]
    argv = ["debootstrap", "--variant=minbase", include, suite, str(tree), apt.archive()]
    build.run_quietly([*alone, *argv])
    clear(tree, UNUSED)


def make(tree: Path) -> None:
    """Make the tree of a node."""
    install(tree, SUITE, PACKAGES)
    clear(tree, _SERVICES)
    for folder in _JOURNAL_ONLY:
        for unit in (tree / folder).iterdir():
            if "journal" not in unit.name:
                unit.unlink()
    plugins = tree / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for name in CNI:
        (tree / "usr/lib/cni" / name).replace(plugins / name)
    shutil.rmtree(tree / "usr/lib/cni")


def clear(tree: Path, patterns: tuple[str, ...]) -> None:
    for path in [path for pattern in patterns for path in tree.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def copy_with_libraries(debian: Path, to: Path, files: list[str]) -> None:
    """Copy programs, and the libraries that they load, into a tree of their own."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (to / "usr" / name).mkdir(parents=True, exist_ok=True)
        (to / name).symlink_to(f"usr/{name}")
    ldd = build.bound(["chroot", str(debian), "ldd", *files])
    done = subprocess.run(ldd, capture_output=True, text=True, check=False)
    for file in sorted({*files, *re.findall(r"/[^ :]+\.so[^ :]*", done.stdout)}):
        # /lib is a link to /usr/lib on both sides.
        within = file if file.startswith("/usr/") else f"/usr{file}"
        target = Path(f"{to}{within}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(f"{debian}{within}", target)
