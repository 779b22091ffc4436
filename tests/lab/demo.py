#!/usr/bin/env python3
"""The demo: the whole platform on a real API server with simulated nodes, and its removal.

`make demo` and `make demo-clean` call it with a bare Python. What it installs with is the product:
this script brings what the product needs on a machine that reaches package registries only, says
so before it begins, and otherwise stays out of the way.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import prepare
from prepare import ROOT, VENV, Task, say
from tools import build

PROVIDER = ("--provider", "kwok")
CONTEXT = "kwok-cto"
CTO = VENV / "bin" / "cto"
DOCKER = (
    "The demo needs Linux; here, use the image: docker run --rm -v ~/.kube:/root/.kube"
    " -v /var/run/docker.sock:/var/run/docker.sock IMAGE install"
)

# The whole answer, redirects included, must be there after this long; an unreachable host often
# does not refuse but stays silent.
PROBE_S = 5

# What a kwok cluster with the minimal profile takes, apiserver and etcd above all.
MEMORY_MIB = 1500

INSTALL_S = 30
DOWNLOADED_TOOLS = Task(
    what="the programs, by digest",
    seconds=120,
    peak_mib=1000,
    kept_mib=560,
    run=lambda: None,
)


@dataclass(frozen=True)
class Sources:
    """Which download hosts answer: the products' own ones, or stand-ins have to do."""

    tools: bool
    charts: bool


# --- what is in reach ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Pin:
    """A tool of bundle/tools.yaml, for this machine."""

    name: str
    url: str
    algorithm: str
    digest: str

    def cached(self) -> Path | None:
        """Find it where cto has put it already; then its host does not matter."""
        return next(cto_cache().glob(f"**/{self.algorithm}-{self.digest}/{self.name}"), None)


def pins() -> list[Pin]:
    """Read the tools that a kwok cluster needs (by hand: there may be no YAML library yet)."""
    text = (ROOT / "bundle" / "tools.yaml").read_text()
    wanted = {tool.name for tool in build.tools()}
    field = rf"linux/{build.machine()}:\n(?:\s+(?:format|member): \S+\n)*\s+url: (\S+)\n"
    field += r"(?:\s+(?:format|member): \S+\n)*\s+(sha256|sha512): (\S+)"
    blocks = re.split(r"^  (?=\S+:$)", text, flags=re.MULTILINE)
    found = [(block.split(":", 1)[0], re.search(field, block)) for block in blocks]
    return [Pin(name, *match.groups()) for name, match in found if match and name in wanted]


def chart_urls() -> list[str]:
    files = sorted((ROOT / "bundle" / "components").glob("*/component.yaml"))
    pattern = re.compile(r"^\s+url: (https://\S+)", re.MULTILINE)
    return one_per_host([url for file in files for url in pattern.findall(file.read_text())])


def tool_urls() -> list[str]:
    """List a real download of each host: a front page may answer where a download does not."""
    return one_per_host([pin.url for pin in pins() if not pin.cached()])


def one_per_host(urls: list[str]) -> list[str]:
    return list({url.split("/")[2]: url for url in urls}.values())


def answers(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https, from our own data
    try:
        with urllib.request.urlopen(request, timeout=PROBE_S):  # noqa: S310 - as above
            return True
    except (OSError, ValueError):
        return False


def probe() -> Sources:
    """Ask all hosts at once; who has not answered in time counts as out of reach."""
    tools, charts = tool_urls(), chart_urls()
    heard: set[str] = set()

    def ask(url: str) -> None:
        if answers(url):
            heard.add(url)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in (*tools, *charts)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_S
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return Sources(tools=heard.issuperset(tools), charts=heard.issuperset(charts))


# --- the demo ------------------------------------------------------------------------------------


def lacking_memory() -> list[str]:
    free = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if free and int(free[1]) < MEMORY_MIB * 1024:
        return [f"{MEMORY_MIB} MiB of free memory; {int(free[1]) // 1024} MiB are free"]
    return []


def to_bring(sources: Sources) -> list[Task]:
    tools = prepare.tools_task()
    if sources.tools:
        tools = DOWNLOADED_TOOLS if tool_urls() else None
    return [task for task in (prepare.venv_task(), tools) if task]


def announce(tasks: list[Task], profile: str) -> None:
    brings = " and ".join(task.what for task in tasks) or "nothing to fetch or build"
    cost = prepare.cost([*tasks, Task("the installation", INSTALL_S, 0, 0, lambda: None)])
    say(f"demo of profile {profile}: {brings}, then the installation: {cost}")


def explain(sources: Sources) -> None:
    """Say in plain words what is not the real thing, before anything is installed with it."""
    if not sources.tools:
        say(f"Download hosts of the programs do not answer: using {prepare.tools_dir()}.")
    if not sources.charts:
        say(
            "Chart hosts do not answer: the nine upstream charts are STAND-INS from"
            " tests/lab/charts. They have the shape of the real ones (kinds, CRDs, hooks, volumes,"
            " namespaces), not their content."
        )


def stand_ins(sources: Sources) -> dict[str, tuple[str, Path]]:
    """Map what is out of reach to the option that names a folder instead, and the folder."""
    folders = {
        "CTO_TOOLS": ("--tools", prepare.tools_dir(), sources.tools),
        "CTO_CHARTS": ("--charts", prepare.charts_dir(), sources.charts),
    }
    return {name: (option, path) for name, (option, path, there) in folders.items() if not there}


def install_argv(profile: str, sources: Sources) -> list[str]:
    argv = [str(CTO), "install", *PROVIDER, "--profile", profile, "--non-interactive"]
    for option, path in stand_ins(sources).values():
        argv += [option, str(path)]
    return argv


def up(profile: str) -> int:
    sources = probe()
    tasks = to_bring(sources)
    announce(tasks, profile)
    missing = prepare.lacking() + lacking_memory()
    if not sources.tools:
        missing += build.lacking(build.tools_missing(prepare.tools_dir()), prepare.tools_dir())
    if missing:
        return prepare.refuse(missing)
    try:
        prepare.perform([task for task in tasks if task is not DOWNLOADED_TOOLS])
        if not sources.charts:
            prepare.make_charts()
    except build.BuildError as error:
        say(str(error))
        return 1
    explain(sources)
    code = run_product(install_argv(profile, sources))
    if code == 0:
        tell_what_next(sources)
    return code


def run_product(argv: list[str]) -> int:
    """Run cto in the foreground and wait for it, whatever comes.

    Ctrl-C reaches it as well as us, and it has something to say then; subprocess.run would kill it
    after a quarter of a second.
    """
    with subprocess.Popen(argv) as product:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return product.wait()


def program(name: str) -> str:
    """Say how to call a tool that cto used, wherever it was taken from."""
    places = (pin.cached() for pin in pins() if pin.name == name)
    found = next((path for path in places if path), prepare.tools_dir() / name)
    return short(found) if found.exists() else name


def short(path: Path) -> str:
    """Write a path as a person would type it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def tell_what_next(sources: Sources) -> None:
    say("\nThe cluster stays up. What next (the variables are for cto, kubectl and helm):")
    variables = {name: path for name, (_, path) in stand_ins(sources).items()}
    variables["KUBECONFIG"] = cluster_folder() / "kubeconfig"
    for name, path in variables.items():
        say(f"  export {name}={short(path)}")
    for command, what in (
        (".venv/bin/cto status", "is it healthy?"),
        (f"{program('kubectl')} get pods -A", "a real API server, simulated nodes"),
        (f"{program('helm')} list -A", "one release per component"),
        ("make demo PROFILE=production", "the big profile, on the same cluster"),
        ("make demo-clean", "remove it all"),
    ):
        say(f"  {command:<44}  # {what}")


# --- its removal ---------------------------------------------------------------------------------


def cto_cache() -> Path:
    """Where cto keeps downloads (docs: CTO_CACHE_DIR, XDG_CACHE_HOME)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cto"
    return Path(os.environ.get("CTO_CACHE_DIR") or base).expanduser()


def cluster_folder() -> Path:
    """Where cto keeps its kwok cluster (docs: CTO_STATE_DIR, XDG_STATE_HOME)."""
    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "cto"
    return Path(os.environ.get("CTO_STATE_DIR") or base).expanduser().resolve() / "kwok" / "cto"


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


def kubeconfigs_with_entry() -> list[Path]:
    """List the kubeconfig files in which cto's mark and the context's name are left."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    files = [Path(name) for name in named if name] or [Path("~/.kube/config").expanduser()]
    texts = {file: file.read_text() for file in files if file.is_file()}
    return [file for file, text in texts.items() if CONTEXT in text and "cto.dev" in text]


def uninstall() -> int:
    if task := prepare.venv_task():
        prepare.perform([task])
    argv = [str(CTO), "uninstall", *PROVIDER, "--cluster", "--yes", "--non-interactive"]
    if not build.tools_missing(prepare.tools_dir()):
        argv += ["--tools", str(prepare.tools_dir())]
    return run_product(argv)


def clean() -> int:
    """Let cto remove its cluster, then look for traces: what is found is a failure, and named."""
    folder = cluster_folder()
    code = uninstall() if folder.exists() or processes_of(folder) else 0
    traces = ["processes (ended now)"] if end(folder) else []
    if folder.exists():
        shutil.rmtree(folder)
        traces.append(f"{folder} (removed now)")
    traces += [f"context {CONTEXT} in {file}" for file in kubeconfigs_with_entry()]
    if traces:
        say("\n  ".join(["cto left behind:", *traces]))
    kept = [str(path) for path in (build.cache_dir(), cto_cache()) if path.exists()]
    say(f"No cluster is left. Caches stay: {', '.join(kept) or 'there are none'}.")
    return 1 if code or traces else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the platform to play with; remove it.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("--profile", default="minimal")
    commands.add_parser("clean")
    given = parser.parse_args()
    if sys.platform != "linux":
        say(DOCKER)
        return 1
    try:
        return up(given.profile) if given.command == "up" else clean()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
