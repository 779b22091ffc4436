"""Debian's own programs, with the libraries that they load, where Debian has what upstream has."""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path

from lab.images import catalog
from lab.tools import apt, build

SUITE = "bookworm"


def wanted() -> dict[str, catalog.Debian]:
    """Return repository -> the program, where this machine can have them."""
    if apt.release() not in apt.RELEASES or not shutil.which("apt-get"):
        return {}
    return {name: role.debian for name, role in catalog.ROLES.items() if role.debian}


def programs(work: Path) -> list[catalog.Program]:
    """Unpack the packages into a folder, and return what is wanted of them.

    Raises:
        BuildError: The packages cannot be had, or do not have the program.
    """
    found = wanted()
    if not found:
        return []
    packages = tuple(sorted(one.package for one in found.values()))
    tree = apt.unpack(packages, SUITE, work, whole=True)
    return [
        catalog.Program(
            repository=repository,
            what=f"{one.package} of Debian {SUITE}",
            argv=one.argv,
            files=_files(tree, one.argv[0]),
        )
        for repository, one in found.items()
    ]


def tree(wanted: catalog.Tree, work: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files, and the links, that an image has of packages.

    Raises:
        BuildError: The packages cannot be had.
    """
    root = apt.unpack(wanted.packages, wanted.suite, work, whole=True)
    for name in ("lib", "lib64"):
        # A link of the package base-files, which nothing depends on.
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for place in wanted.paths:
        top = root / place.lstrip("/")
        for path in sorted([top, *top.rglob("*")]):
            if path.is_symlink():
                links[f"/{path.relative_to(root)}"] = str(path.readlink())
            elif path.is_file():
                files |= _files(root, f"/{path.relative_to(root)}")
    return files, links


def _files(tree: Path, program: str) -> dict[str, bytes]:
    file = (tree / program.lstrip("/")).resolve()
    if not file.exists():
        text = f"Debian's {SUITE} has no {program}"
        raise build.BuildError(text)
    files = {program: file.read_bytes()}
    for name in _libraries(tree, file):
        files[name] = Path(f"{tree}{name}").resolve().read_bytes()
    return files


def _libraries(tree: Path, program: Path) -> list[str]:
    """List what a program loads, the loader itself first; nothing if it is static."""
    interpreter = re.search(rb"/lib[\w/.-]*/ld-linux[\w.-]+\.so\.\d", program.read_bytes()[:4096])
    if interpreter is None:
        return []
    loader = interpreter[0].decode()
    folder = f"{platform.machine()}-linux-gnu"
    places = [f"/lib/{folder}", f"/usr/lib/{folder}"]
    ask = [f"{tree}{loader}", "--inhibit-cache", "--list"]
    ask += ["--library-path", ":".join(f"{tree}{place}" for place in places), str(program)]
    loaded = re.findall(r"=> (\S+)", build.run_quietly(ask))
    return [loader, *(path.removeprefix(str(tree)) for path in loaded)]
