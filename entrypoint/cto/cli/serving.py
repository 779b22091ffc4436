"""Serves a bundle: the verb of `cto bundle serve`, apart from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cto.adapters import scratch
from cto.adapters.host import Host
from cto.cli.bundletext import amount
from cto_airgap.distribution import configuration, store

# Distribution 3 would send traces to a collector on this machine:
# https://distribution.github.io/distribution/about/configuration/#opentelemetry
_ENVIRONMENT = {"OTEL_TRACES_EXPORTER": "none"}

Become = Callable[[Sequence[str], Mapping[str, str]], NoReturn]
"""Replaces this process by another program, with these changes to its environment."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A registry that has everything it needs, and does not run yet."""

    argv: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Turns this process into a registry.

    Attributes:
        program: Finds the registry program.
        host: This machine: the folder of the storage is named by our process.
        become: Replaces this process.
    """

    program: Callable[[], Path]
    host: Host
    become: Become

    def prepare(self, bundle: Path, listen: str) -> Prepared:
        """Write down for the registry what it serves, and where.

        Raises:
            IntegrityError: CTO-1811, there is no bundle; CTO-1810, files are missing or cut off.
            PreflightError: CTO-1400, there is no room for temporary files.
            ToolError: CTO-1501, the registry program cannot be had.
        """
        folder = scratch.folder(self.host.pid, lambda pid: bool(self.host.started(pid)))
        config = folder / "config.json"
        try:
            stored = store(bundle, folder / "storage")
            config.write_text(json.dumps(configuration(folder / "storage", listen)), "utf-8")
        except OSError as error:
            raise scratch.unwritable(folder, error) from error
        # Last: it may have to be fetched, for nothing where there is no bundle.
        program = self.program()
        what = f"{len(stored.repositories)} repositories, {amount(stored.size)}"
        text = f"serving {bundle} on {listen}: {what}, {stored.digest}"
        return Prepared(argv=(str(program), "serve", str(config)), text=text)

    def serve(self, prepared: Prepared) -> NoReturn:
        """Serve until the process is ended."""
        self.become(prepared.argv, _ENVIRONMENT)
