#!/usr/bin/env python3
"""Makes images of little programs under the names of upstream's, for two platforms.

    python3 tests lab.images.build

No registry is in reach of the lab: these stand in for all images of bundle/lock.yaml. They are
made without Docker, the same bytes every time: an index of linux/amd64 and linux/arm64, and three
layers: one that all images of a host share, one with the program, one of its own. Where the real
program is to be had, this machine's platform gets that in a fourth layer, and runs it.
CTO_LAB_LAYER_MIB makes the first that big (1), out of words that gzip to 1/2.8 as upstream's do.
CTO_LAB_REAL asks for more real programs (modules.py).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.images import catalog, debian, layout, modules
from lab.tools import build

HERE = Path(__file__).resolve().parent

ARCHITECTURES = ("amd64", "arm64")
PROGRAM = "/stand-in"
# Upstream's images say one, and pods that must not run as root rely on it.
USER = "65532"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/lib/postgresql/18/bin"
# The label that says what runs in an image, whatever its name and tag promise.
RUNS = "cto.dev/runs"
REFERENCE = "org.opencontainers.image.ref.name"

SECONDS, KEPT_MIB = 40, 60

_MIB = 1024**2
_WORDS = 1024


@dataclass(frozen=True)
class Layer:
    """A layer that is in the layout."""

    descriptor: dict[str, Any]
    diff_id: str


def folder() -> Path:
    return build.cache_dir() / "images"


def layer_mib() -> int:
    return int(os.environ.get("CTO_LAB_LAYER_MIB") or 1)


def recipe() -> str:
    """Hash what the images are made of."""
    own = [HERE / f"{name}.py" for name in ("build", "catalog", "debian", "layout", "modules")]
    files = [*own, *sorted((HERE / "program").iterdir())]
    names = [str(reference) for reference in catalog.references()]
    parts = [path.read_text() for path in files] + names + [str(layer_mib())]
    parts += [repr(debian.wanted()), *(tool.recipe for tool in modules.chosen())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def made() -> layout.Layout:
    return layout.Layout(folder() / f"{_kind()}-{recipe()}")


def _kind() -> str:
    """Keep both kinds: who goes from one to the other and back builds nothing again."""
    return "real" if modules.chosen() else "layout"


def is_there() -> bool:
    return (made().folder / "index.json").exists()


# --- layers --------------------------------------------------------------------------------------


def packed(
    files: Mapping[str, bytes], links: Mapping[str, str] | None = None, mode: int = 0o644
) -> bytes:
    """Return a tar in which nothing depends on when and where it was made."""
    raw, links = io.BytesIO(), links or {}
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in sorted({str(Path(name).parent) for name in (*files, *links)} - {"/"}):
            info = tarfile.TarInfo(folder.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755
            tar.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
        for name, to in links.items():
            info = tarfile.TarInfo(name.lstrip("/"))
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, to, 0o777
            tar.addfile(info)
    return raw.getvalue()


def _with_tmp(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Add what every base image has, upstream's distroless too: programs write there."""
    return {**files, "/tmp/.keep": b""}


def layer(out: layout.Layout, tar: bytes) -> Layer:
    data = gzip.compress(tar, compresslevel=6, mtime=0)
    return Layer(out.put(data, layout.GZIP_LAYER), layout.digest_of(tar))


def numbers(seed: str) -> Iterator[int]:
    """Yield numbers below 65536, the same on every Python."""
    count = 0
    while True:
        block = hashlib.sha256(f"{seed}/{count}".encode()).digest()
        yield from (int.from_bytes(block[at : at + 2], "big") for at in range(0, len(block), 2))
        count += 1


def filler(seed: str, mib: int) -> bytes:
    """Return text that gzips about as well as what upstream's images hold."""
    dice = numbers(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        "".join(letters[next(dice) % len(letters)] for _ in range(2 + next(dice) % 7))
        for _ in range(_WORDS)
    ]
    # gzip looks back 32 KiB: text that repeats after 1 MiB packs as if it never did.
    text = " ".join(words[next(dice) % _WORDS] for _ in range(_MIB // 5)).encode()
    return (text[:_MIB].ljust(_MIB, b".")) * mib


# --- programs and images -------------------------------------------------------------------------


def compiled(architecture: str, work: Path) -> bytes:
    go = build.go_command()
    if go is None:
        raise build.BuildError(build.VANISHED.format("Go"))
    out = work / architecture
    tool = stand_in()
    env = {**build.go_environment(go, tool), "GOARCH": architecture}
    argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(out), "."]
    build.run_quietly(argv, env, HERE / "program")
    return out.read_bytes()


def stand_in() -> build.GoTool:
    return build.GoTool(
        name="stand-in",
        version="1",
        folder="../images/program",
        package=".",
        seconds=SECONDS,
        size_mib=KEPT_MIB,
        cache_mib=100,
    )


def lacking() -> list[str]:
    return [] if is_there() else build.lacking([*modules.missing(), stand_in()], folder())


def index(
    out: layout.Layout,
    reference: catalog.Reference,
    shared: Layer,
    programs: Mapping[str, Layer],
    real: tuple[catalog.Program, Layer] | None,
) -> dict[str, Any]:
    """Keep an image of all platforms, and return what describes it."""
    names = dict.fromkeys(reference.role.names, PROGRAM)
    note = packed({"/etc/stand-in": f"{reference}\n".encode()}, names)
    own = layer(out, note)
    config = {
        "Entrypoint": [PROGRAM],
        "Env": [
            f"PATH={PATH}",
            f"STAND_IN_IMAGE={reference}",
            f"STAND_IN_PORTS={reference.role.ports}",
        ],
        "User": USER,
        "WorkingDir": "/",
        "Labels": {RUNS: "a stand-in"},
    }
    images = []
    for architecture, played in programs.items():
        layers, runs = [shared, played, own], config
        if real and architecture == build.machine():
            program, its_own = real
            layers.append(its_own)
            runs = {**config, "Entrypoint": list(program.argv), "Labels": {RUNS: program.what}}
            runs["User"] = program.user or USER
        whole = layout.config_of(architecture, [item.diff_id for item in layers], runs)
        platform = {"architecture": architecture, "os": "linux"}
        images.append(out.image(whole, [item.descriptor for item in layers], platform=platform))
    body = {"schemaVersion": 2, "mediaType": layout.INDEX, "manifests": images}
    notes = {REFERENCE: str(reference)}
    return out.put(layout.as_json(body), layout.INDEX, annotations=notes)


def make() -> None:
    """Write the layout, unless it is there.

    Raises:
        BuildError: The machine lacks something, or Go refuses.
    """
    with build.alone(folder()):
        if is_there():
            return
        if found := lacking():
            raise build.BuildError("\n  ".join(["this machine lacks:", *found]))
        work = folder() / ".work.tmp"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        out = layout.Layout(work / "layout")
        programs = {
            name: layer(out, packed({PROGRAM: compiled(name, work)}, mode=0o755))
            for name in ARCHITECTURES
        }
        (work / "debian").mkdir()
        real = {
            program.repository: (
                program,
                layer(out, packed(_with_tmp(program.files), program.links, mode=0o755)),
            )
            for program in (*debian.programs(work / "debian"), *modules.programs(work))
        }
        wanted = catalog.references()
        hosts = sorted({reference.host for reference in wanted})
        bases = {
            host: layer(out, packed({"/usr/share/filler": filler(host, layer_mib())}))
            for host in hosts
        }
        out.finish(
            [index(out, one, bases[one.host], programs, real.get(one.repository)) for one in wanted]
        )
        for older in folder().glob(f"{_kind()}-*"):
            shutil.rmtree(older)
        out.folder.replace(made().folder)
        shutil.rmtree(work)


def main() -> int:
    try:
        make()
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(made().folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
