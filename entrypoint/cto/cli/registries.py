"""The options that say which registries to ask, and how."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cto.errors import UsageError

EVERY_HOST = "*"
# Log-ins of docker in place of a file, before one: what CI systems set.
LOGINS = "DOCKER_AUTH_CONFIG"


@dataclass(frozen=True, kw_only=True)
class RegistryOptions:
    """What the command line says about registries.

    Attributes:
        mirrors: `HOST=ADDRESS`, in the order of the command line; HOST may be `*`.
        ca_file: Certificates to trust besides the usual ones.
    """

    mirrors: tuple[str, ...] = ()
    ca_file: Path | None = None

    def mirrors_of(self, hosts: Iterable[str]) -> dict[str, list[str]]:
        """Return the mirrors of each host: its own ones first, then those of every host.

        Raises:
            UsageError: CTO-1200, a mirror is not HOST=ADDRESS.
        """
        named: dict[str, list[str]] = {}
        for text in self.mirrors:
            host, equals, address = text.partition("=")
            if not (host and equals and address):
                message = f"--mirror {text}: not HOST=ADDRESS"
                hint = "E.g. --mirror docker.io=mirror.example.com/docker.io"
                raise UsageError("CTO-1200", message, hint=hint)
            named.setdefault(host, []).append(address)
        every = named.pop(EVERY_HOST, [])
        found = {host: [*named.get(host, []), *every] for host in sorted({*hosts, *named})}
        return {host: addresses for host, addresses in found.items() if addresses}


_MIRROR = click.option(
    "--mirror",
    "mirrors",
    metavar="HOST=ADDRESS",
    multiple=True,
    envvar="CTO_REGISTRY_MIRRORS",
    show_envvar=True,
    help="Ask ADDRESS before HOST, e.g. docker.io=mirror.example.com/docker.io; * stands for "
    "every host. May be repeated.",
)
_CA_FILE = click.option(
    "--ca-file",
    metavar="FILE",
    envvar="CTO_CA_FILE",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates to trust besides the usual ones.",
)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that read; they get `registries`, a RegistryOptions."""
    return _MIRROR(_CA_FILE(_collecting(function)))


def writing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that write: nothing is ever written to a mirror."""
    return _CA_FILE(_collecting(function))


def _collecting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def collect(*args: Any, **values: Any) -> Any:
        options = RegistryOptions(mirrors=values.pop("mirrors", ()), ca_file=values.pop("ca_file"))
        return function(*args, registries=options, **values)

    return collect


def login_files(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files in which `docker login` and `podman login` keep log-ins, in their rank.

    The one that is named for podman comes first, else Docker's.
    """
    from cto.adapters.docker import folder_of  # noqa: PLC0415 - `--help` need not wait for it

    named, runtime = env.get("REGISTRY_AUTH_FILE"), env.get("XDG_RUNTIME_DIR")
    files = [Path(named)] if named else []
    files.append(folder_of(env) / "config.json")
    if runtime and not named:
        files.append(Path(runtime) / "containers" / "auth.json")
    return tuple(files)
