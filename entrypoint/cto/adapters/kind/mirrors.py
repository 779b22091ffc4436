"""Where containerd looks for images: hosts.toml, per upstream host. Data in, text out.

https://github.com/containerd/containerd/blob/main/docs/hosts.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

PORT = 5000
FOLDER = "/etc/containerd/certs.d"
# containerd asks it about hosts that have no folder of their own.
OTHERS = "_default"
# No repository of a bundle is called so: whoever is sent there finds nothing.
_NOWHERE = "not-in-the-bundle"
_MARK = "# Written by cto at each install. It asks:"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?")


def files(
    hosts: Iterable[str], registries: Sequence[str], *, network: str, air_gapped: bool
) -> dict[str, str]:
    """Return the name of each folder below certs.d -> the text of its hosts.toml.

    Args:
        hosts: Upstream's hosts.
        registries: Names of the registries that have their images; they are asked in this order.
        network: Docker's network in which they and the nodes are.
        air_gapped: Ask nobody else, whatever the host.
    """
    asked = [f"{name}.{network}" for name in registries]
    found = {
        host: _text(registries, asked, prefix_of(host), air_gapped=air_gapped)
        for host in hosts
        if _HOST.fullmatch(host)
    }
    if air_gapped:
        found[OTHERS] = _text(registries, asked[:1], _NOWHERE, air_gapped=True)
    return found


def script(texts: dict[str, str], folder: str = FOLDER) -> str:
    """Return a shell script that puts the files in place, each one at once, and sweeps old ones.

    What somebody else wrote for other hosts stays.
    """
    lines = [
        "set -eu",
        f"mkdir -p {folder}",
        f"cd {folder}",
        'put() { mkdir -p "$1"; cat >"$1/.hosts.toml"; mv "$1/.hosts.toml" "$1/hosts.toml"; }',
    ]
    for name, text in sorted(texts.items()):
        lines += [f"put '{name}' <<'END'", text.rstrip(), "END"]
    kept = "|".join(f"'{name}'" for name in sorted(texts)) or "''"
    lines += [
        "for file in */hosts.toml; do",
        '  case "${file%/hosts.toml}" in',
        f"    {kept}) ;;",
        f"    *) if grep -qsF '{_MARK}' \"$file\"; then",
        '      rm "$file"; rmdir "${file%/hosts.toml}" 2>/dev/null || true; fi ;;',
        "  esac",
        "done",
    ]
    return "\n".join(lines) + "\n"


def reader(folder: str = FOLDER) -> tuple[str, ...]:
    """Return a command that prints what was written; nothing, if nothing was."""
    return ("sh", "-c", f"cat {folder}/*/hosts.toml 2>/dev/null || true")


def registries(texts: str) -> tuple[str, ...]:
    """Return the names of the registries that files name, the one that is asked first first."""
    lines = [line for line in texts.splitlines() if line.startswith(_MARK)]
    return tuple(dict.fromkeys(name for line in lines for name in line[len(_MARK) :].split()))


def _text(named: Sequence[str], asked: Sequence[str], path: str, *, air_gapped: bool) -> str:
    """Return a hosts.toml that names registries, and has these hosts asked.

    Docker's name server knows a container as NAME and as NAME.NETWORK. It is asked by the second:
    nodes behind a proxy are told once, when they are made, whom they ask without it, and a suffix
    fits the registries of all bundles to come.

    Without `server`, containerd would ask upstream's own registry after all the others.
    """
    addresses = [f"http://{host}:{PORT}/v2/{path}" for host in asked]
    lines = [" ".join([_MARK, *named])]
    if air_gapped:
        lines += [f'server = "{addresses.pop()}"', *_SETTINGS]
    lines += list(_tables(addresses))
    return "\n".join(lines) + "\n"


# The address has the path of its API already.
_SETTINGS = ('capabilities = ["pull", "resolve"]', "override_path = true")


def _tables(addresses: Iterable[str]) -> Iterator[str]:
    for address in addresses:
        yield from ("", f'[host."{address}"]', *(f"  {line}" for line in _SETTINGS))


def prefix_of(host: str) -> str:
    """Return what the images of a host have in front of their names in a bundle's registry."""
    return host.replace(":", "-").lower()
