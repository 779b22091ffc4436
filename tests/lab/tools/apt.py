"""Debian's packages: what a build takes from the archive that this machine itself comes from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.tools import build

# Those whose archive is known to have what is taken from it.
RELEASES = ("bookworm", "trixie")


def release() -> str:
    """Name this machine's distribution as its archive does; `ID` where there is no such name."""
    file = Path("/etc/os-release")
    text = file.read_text() if file.exists() else ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return fields.get("VERSION_CODENAME", fields.get("ID", "")).strip('"')


def lacking() -> list[str]:
    """List what keeps a build from taking anything from Debian here."""
    found = [] if not os.geteuid() else ["root, for apt-get, debootstrap and Docker"]
    if release() not in RELEASES or not shutil.which("apt-get"):
        found.append(f"Debian 12 or 13, whose packages are used; this is {release()!r}")
    return found


def install(packages: dict[str, str]) -> None:
    """Install the packages whose programs are not there (program: package)."""
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if missing:
        update()
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        argv = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing]
        build.run_quietly(argv, quiet)


def update() -> None:
    build.run_quietly(["apt-get", "-qq", "update"])


def archive() -> str:
    """Find the archive that this machine takes its own Debian from; it has other suites too."""
    ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    ask += [f"Codename: {release()}", "Component: main", "Created-By: Packages"]
    found = build.run_quietly(ask).split()
    if not found:
        update()
        found = build.run_quietly(ask).split()
    if not found:
        text = f"no archive of Debian's {release()} is in this machine's apt sources"
        raise build.BuildError(text)
    return found[0]


def unpack(packages: tuple[str, ...], suite: str, work: Path, *, whole: bool = False) -> Path:
    """Unpack packages of another suite into a folder, and leave this machine's own as they are.

    Args:
        packages: Their names.
        suite: One that the machine's archive has.
        work: A folder for what is needed meanwhile; what is returned is in it.
        whole: Also everything that they depend on, down to the C library.
    """
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "archives" / "partial").mkdir(parents=True)
    tree = work / "tree"
    tree.mkdir()
    (work / "status").touch()
    sources = work / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={keys}] {archive()} {suite} main\n")
    get = _apt_get(work, sources)
    build.run_quietly([*get, "update"])
    if whole:
        build.run_quietly([*get, "-y", "--download-only", "install", *packages], cwd=work)
    else:
        build.run_quietly([*get, "download", *packages], cwd=work)
    for package in sorted([*work.glob("*.deb"), *(work / "archives").glob("*.deb")]):
        build.run_quietly(["dpkg-deb", "-x", str(package), str(tree)])
    return tree


def keep(packages: tuple[str, ...], suite: str, target: Path, *, whole: bool = False) -> None:
    """Unpack packages into a folder that stays, all or none as far as anyone can see."""
    if target.exists():
        return
    work = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    unpack(packages, suite, work, whole=whole).replace(target)
    shutil.rmtree(work)


def _apt_get(work: Path, sources: Path) -> list[str]:
    """Return an apt-get that knows one suite, and takes nothing for installed."""
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache::archives": work / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
