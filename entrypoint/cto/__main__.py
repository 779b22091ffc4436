"""Starts the command line: `cto`, or `python -m cto`."""

from __future__ import annotations

from cto.cli.root import cli
from cto.cli.streams import reserve


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    reserve()
    cli(prog_name="cto")


if __name__ == "__main__":
    main()
