"""Makes a kind cluster in a process of its own, for tests that kill it.

Usage: kind_driver.py NAME. Everything else comes from the environment, as for the command line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.ports import NodeOptions, Provider

OPTIONS = NodeOptions(nodes=1, profile="minimal", cpu=1, memory_gib=1)


def provider(name: str) -> Provider:
    """Wire the provider as the command line does."""
    flags = {"cluster.name": ("--cluster-name", name)}
    tools = Path(os.environ["CTO_TOOLS"])
    wiring = Wiring(CommandSettings(ClusterOptions(flags=flags, tools=tools)))
    wiring.configure()
    return wiring.provider("kind")


def main() -> None:
    cluster = provider(sys.argv[1])
    cluster.provision(OPTIONS, lambda line: print(line, flush=True))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
