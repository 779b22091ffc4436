#!/usr/bin/env python3
"""Brings what the demo and the tests need: the virtual environment, the tools, the charts, Docker.

Runs with a bare Python; nothing is done twice, and a kill at any moment costs only time.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import containers
from lab.preparation import Task
from lab.registry import build as registry
from lab.tools import build

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
PROJECT = ROOT / "pyproject.toml"
PACK_CHARTS = ROOT / "tests" / "lab" / "charts" / "pack.py"
OLDEST_PYTHON = (3, 11)


def lacking() -> list[str]:
    """List what Python itself lacks for a virtual environment, with the package to install."""
    found = []
    if sys.version_info < OLDEST_PYTHON:
        found.append(
            f"Python {build.dotted(OLDEST_PYTHON)} or newer; this is {sys.version.split()[0]}"
            " (Debian 12 or newer: python3; or name one: make PYTHON=python3.12)"
        )
    try:
        import ensurepip  # noqa: F401 - its absence is the answer
        import venv  # noqa: F401 - its absence is the answer
    except ImportError:
        found.append("the venv module of Python (Debian: python3-venv)")
    return found


# --- the virtual environment ---------------------------------------------------------------------


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def installed() -> dict[str, str]:
    """Read which lock file and which pyproject.toml the environment was made from."""
    try:
        known = json.loads((VENV / ".made-from").read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def venv_is_there() -> bool:
    wanted = {"lock": digest(LOCK), "project": digest(PROJECT)}
    return installed() == wanted and (VENV / "bin" / "cto").exists()


def venv_task() -> Task | None:
    if venv_is_there():
        return None
    known = installed().get("lock") == digest(LOCK)
    return Task(
        what="Python packages",
        seconds=5 if known else 40,
        peak_mib=0 if known else 330,
        kept_mib=0 if known else 330,
        run=make_venv,
    )


def remember(**digests: str) -> None:
    temporary = VENV / ".made-from.tmp"
    temporary.write_text(json.dumps(digests, indent=2) + "\n")
    temporary.replace(VENV / ".made-from")


def make_venv() -> None:
    """Make .venv from the lock file, whole or not at all as far as anyone can see."""
    VENV.mkdir(exist_ok=True)
    with locked(VENV):
        python = VENV / "bin" / "python"
        if not works(python):
            make_empty_venv(python)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        if installed().get("lock") != digest(LOCK):
            (VENV / ".made-from").unlink(missing_ok=True)
            build.run_quietly([*pip, "--require-hashes", "--no-deps", "-r", str(LOCK)])
            remember(lock=digest(LOCK))
        if installed().get("project") != digest(PROJECT):
            build.run_quietly([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
            remember(lock=digest(LOCK), project=digest(PROJECT))


def make_empty_venv(python: Path) -> None:
    """Make the environment anew; of a run that was killed, ensurepip lives on for some seconds."""
    argv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    with contextlib.suppress(build.BuildError):
        build.run_quietly(argv)
    if not works(python):
        time.sleep(5)
        build.run_quietly(argv)


def works(python: Path) -> bool:
    """Tell a complete environment from one whose Python went away, or that a kill cut short."""
    with contextlib.suppress(OSError):
        probe = [str(python), "-m", "pip", "--version"]
        return not subprocess.run(probe, capture_output=True, check=False).returncode
    return False


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder itself: a file in it would go with `venv --clear`."""
    # Not at the top: Windows has none, and `make demo` is to say so in words there.
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that fills {folder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# --- tools and charts ----------------------------------------------------------------------------


def tools_dir() -> Path:
    return build.cache_dir() / "tools"


def charts_dir() -> Path:
    return build.cache_dir() / "charts"


def tools_task() -> Task | None:
    missing = build.tools_missing(tools_dir())
    if not missing:
        return None
    return Task(
        what=f"{len(missing)} programs, from Go modules and a Python wheel",
        seconds=build.seconds(missing),
        peak_mib=build.peak_mib(missing),
        kept_mib=sum(tool.size_mib for tool in missing),
        run=make_tools,
    )


def registry_task() -> Task | None:
    missing = registry.missing()
    if not missing:
        return None
    return Task(
        what="a registry for the tests of bundles, from Go modules",
        seconds=build.seconds(missing),
        peak_mib=build.peak_mib(missing),
        kept_mib=sum(tool.size_mib for tool in missing),
        run=registry.make,
    )


def make_tools() -> None:
    # The node image is built of the same modules, right after this, and then they go.
    build.build(tools_dir(), keep_caches=containers.will_build())


def make_charts() -> None:
    """Pack the stand-in charts; quick, and the packer itself knows what is already packed."""
    build.run_quietly([str(VENV / "bin" / "python"), str(PACK_CHARTS), "--out", str(charts_dir())])


# --- telling -------------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def spell_size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def spell_duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{round(seconds / 60)} min"


def cost(tasks: list[Task]) -> str:
    """Say what the tasks take, e.g. `about 8 min, 5.1 GiB of disk meanwhile and 522 MiB kept`."""
    peak, kept = sum(task.peak_mib for task in tasks), sum(task.kept_mib for task in tasks)
    text = f"about {spell_duration(sum(task.seconds for task in tasks))}"
    if peak > kept:
        text += f", {spell_size(peak)} of disk meanwhile and {spell_size(kept)} kept"
    elif kept:
        text += f", {spell_size(kept)} of disk"
    return text


def refuse(missing: list[str]) -> int:
    say("\n  ".join(["this machine lacks:", *missing]))
    return 1


def perform(tasks: list[Task]) -> None:
    for task in tasks:
        begun = time.monotonic()
        task.run()
        say(f"{task.what}: there after {build.spell_time(time.monotonic() - begun)}")


def tasks_of(what: str, profile: str) -> list[Task]:
    wanted = [venv_task()]
    if what != "venv":
        wanted += [registry_task(), tools_task()]
    if what == "docker":
        wanted += containers.tasks(profile, containers.Prepared(VENV / "bin" / "cto", make_charts))
    return [task for task in wanted if task]


def lacking_of(what: str) -> list[str]:
    found = lacking()
    if what != "venv":
        tools = [*build.tools_missing(tools_dir()), *registry.missing()]
        found += build.lacking(tools, tools_dir())
    if what == "docker":
        found += containers.lacking()
    return list(dict.fromkeys(found))


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring what the demo and the tests need.")
    parser.add_argument(
        "what",
        choices=("venv", "lab", "docker"),
        help="lab: the tools and the charts; docker: also clusters of containers, and a bundle",
    )
    parser.add_argument("--profile", default="minimal", help="of the bundle (minimal)")
    given = parser.parse_args()
    if missing := lacking_of(given.what):
        return refuse(missing)
    try:
        tasks = tasks_of(given.what, given.profile)
        if tasks:
            say(f"bringing {' and '.join(task.what for task in tasks)}: {cost(tasks)}")
        perform(tasks)
        if given.what != "venv":
            make_charts()
        if given.what == "docker":
            containers.gather_programs()
    except build.BuildError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
