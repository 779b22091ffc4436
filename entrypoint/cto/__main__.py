"""Starts the command line: `cto`, or `python -m cto`."""

from __future__ import annotations

import gc
import os
import signal

# pydantic would look through all that is installed for plugins, and run them in an installer.
# https://docs.pydantic.dev/latest/concepts/plugins/#disable-plugins
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from cto.cli.root import cli
from cto.cli.streams import reserve

# How many objects are made before cycles are looked for. Decoded answers have none, and a thousand
# nodes are a hundred thousand objects: two thirds of the time for them went into looking.
_COLLECTED_AFTER = 100_000


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    gc.set_threshold(_COLLECTED_AFTER)
    reserve()
    # The group ignores it while it runs. This is for what comes after: threads and connections
    # take their time to end, and the exit code has to stay the run's.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    cli(prog_name="cto")


if __name__ == "__main__":
    main()
