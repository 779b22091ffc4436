"""Makes a kwok cluster in a process of its own, for tests that kill it.

Usage: kwok_driver.py TOOLS STATE KUBECONFIG NAME
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cto import assets
from cto.adapters.clock import SystemClock
from cto.adapters.download import Downloader
from cto.adapters.host import Host
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.kwok.provider import Kwok
from cto.adapters.process import ProcessRunner
from cto.adapters.tools import Tools
from cto.objects import Manifest, load_documents
from cto.ports import NodeOptions
from cto.render import Renderer

OPTIONS = NodeOptions(nodes=3, profile="production", cpu=16, memory_gib=32)


def simulation() -> Sequence[Manifest]:
    renderer = Renderer({"pod_ready_seconds": 0}, env={})
    files = sorted((assets.root() / "templates" / "kwok").iterdir())
    return [item for file in files for item in load_documents(renderer.text(file))]


def provider(tools: Path, state: Path, kubeconfig: Path, name: str) -> Kwok:
    """Wire the provider as the command line does, with programs that are there."""
    clock = SystemClock()
    downloads = state.parent / "downloads"
    return Kwok(
        runner=ProcessRunner(log=lambda _: None, clock=clock),
        tools=Tools(
            assets.root() / "bundle",
            folder=tools,
            downloader=Downloader(downloads),
            cache=downloads,
        ),
        clock=clock,
        host=Host(),
        connect=lambda access: KubeCluster(access, clock=clock),
        manifests=simulation,
        folder=state,
        shared=kubeconfig,
        cluster=name,
        environ=os.environ,
    )


def main() -> None:
    tools, state, kubeconfig, name = sys.argv[1:]
    cluster = provider(Path(tools), Path(state), Path(kubeconfig), name)
    cluster.provision(OPTIONS, lambda line: print(line, flush=True))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
