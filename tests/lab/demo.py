#!/usr/bin/env python3
"""The demo: the whole platform on a real Kubernetes API server, and its removal.

`make demo` and `make demo-clean` call it with a bare Python. What it installs with is the product:
this script brings what the product needs on a machine that reaches package registries only, says
so before it begins, and otherwise stays out of the way.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from pathlib import Path

from lab import demo_clusters, demo_removal, hosts, prepare
from lab.demo_clusters import DemoCluster
from lab.preparation import Task
from lab.prepare import say
from lab.tools import build

DOCKER = (
    "The demo needs Linux; here, use the image: docker run --rm -v ~/.kube:/root/.kube"
    " -v /var/run/docker.sock:/var/run/docker.sock IMAGE install"
)


def up(profile: str, provider: str) -> int:
    sources = hosts.probe()
    cluster = demo_clusters.choose(sources, demo_clusters.look(), provider)
    tasks = cluster.tasks(profile)
    announce(cluster, tasks, profile)
    missing = list(dict.fromkeys([*prepare.lacking(), *cluster.lacking()]))
    if missing:
        return prepare.refuse(missing)
    try:
        prepare.perform(tasks)
    except build.BuildError as error:
        say(str(error))
        return 1
    explain(cluster, sources)
    code = run_product(cluster.install(profile))
    if code == 0:
        tell_what_next(cluster, profile)
    return code


def announce(cluster: DemoCluster, tasks: list[Task], profile: str) -> None:
    brings = " and ".join(task.what for task in tasks) or "nothing to fetch or build"
    takes = demo_clusters.INSTALL_S[cluster.provider]
    cost = prepare.cost([*tasks, Task("the installation", takes, 0, 0, lambda: None)])
    what = f"demo of profile {profile} on {cluster.provider} ({cluster.why})"
    say(f"{what}: {brings}, then the installation: {cost}")


def explain(cluster: DemoCluster, sources: hosts.Sources) -> None:
    """Say in plain words what is not the real thing, before anything is installed with it."""
    if cluster.takes_stand_ins:
        say(
            "The upstream charts, and all images, are STAND-INS from tests/lab: little"
            " programs that answer probes, and nothing behind them. Cluster, registry and all that"
            " cto does are real."
        )
        return
    if not sources.tools:
        say(f"Download hosts of the programs do not answer: using {prepare.tools_dir()}.")
    if not sources.charts:
        say(
            "Chart hosts do not answer: the upstream charts are STAND-INS from"
            " tests/lab/charts. They have the shape of the real ones (kinds, CRDs, hooks, volumes,"
            " namespaces), not their content."
        )


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
    places = (pin.cached() for pin in hosts.pins() if pin.name == name)
    found = next((path for path in places if path), prepare.tools_dir() / name)
    return short(found) if found.exists() else name


def short(path: Path | str) -> str:
    """Write a path as a person would type it."""
    home = Path.home()
    inside = isinstance(path, Path) and path.is_relative_to(home)
    return f"~/{Path(path).relative_to(home)}" if inside else str(path)


BIGGER = {"minimal": "standard", "standard": "production"}


def tell_what_next(cluster: DemoCluster, profile: str) -> None:
    say("\nThe cluster stays up. What next (the variables are for cto, kubectl and helm):")
    for name, value in cluster.variables().items():
        say(f"  export {name}={short(value)}")
    named = f"--context {cluster.context}" if cluster.provider == "kind" else ""
    kubectl, helm = f"{program('kubectl')} {named}", f"{program('helm')} {named}"
    provider = "" if cluster.provider == "kind" else f" PROVIDER={cluster.provider}"
    again = f"make demo PROFILE={BIGGER.get(profile, '')}{provider}"
    for command, what in (
        (".venv/bin/cto status", "is it healthy?"),
        (f"{kubectl.strip()} get pods -A", cluster.nodes),
        (f"{helm.strip().replace('--context', '--kube-context')} list -A", "a release each"),
        *(((again, "a bigger profile, on the same cluster"),) if profile in BIGGER else ()),
        ("make demo-clean", "remove it all"),
    ):
        say(f"  {command:<44}  # {what}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the platform to play with; remove it.")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("up")
    profiles = sorted(path.stem for path in demo_removal.PROFILES.glob("*.yaml"))
    install.add_argument("--profile", default="minimal", choices=profiles)
    install.add_argument("--provider", default="", choices=("", "kind", "kwok"))
    commands.add_parser("clean")
    given = parser.parse_args()
    if sys.platform != "linux":
        say(DOCKER)
        return 1
    try:
        if given.command == "up":
            return up(given.profile, given.provider)
        return demo_removal.clean(run_product)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
