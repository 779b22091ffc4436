"""`cto version`: what this installer is, and what it would install."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cto import __version__
from cto.cli.options import bundle_option, output_options, tools_option
from cto.result import Result

# Some look into their configuration first, none asks a server.
_ANSWER_S = 5.0


@click.command()
@bundle_option
@tools_option
@output_options()
def version(bundle: Path | None, tools: Path | None) -> Result:
    """Show the versions of cto, its tools and its charts, and its bundle."""
    from cto import assets  # noqa: PLC0415 - `--help` need not wait for it
    from cto.cli import toolbox  # noqa: PLC0415 - as above
    from cto.objects import load_yaml  # noqa: PLC0415 - as above

    data = assets.root() / "bundle"
    pinned = load_yaml((data / "tools.yaml").read_text(encoding="utf-8"))["tools"]
    known = {name: str(tool["version"]) for name, tool in pinned.items()}
    versions = toolbox.versions(tools, known, _said)
    # Not by cto.catalog: its models take longer to import than all the rest.
    files = sorted(data.glob("components/*/component.yaml"))
    parsed = [load_yaml(file.read_text(encoding="utf-8")) for file in files]
    charts = {one["name"]: f"{one['chart']['name']} {one['chart']['version']}" for one in parsed}
    python = platform.python_version()
    held = _bundle(bundle) if bundle else {}
    return Result(
        command="version",
        data={
            "cto": __version__,
            "python": python,
            "tools": versions,
            "charts": charts,
            "bundle": held,
        },
        text="\n".join(
            [
                f"cto {__version__} (Python {python})",
                *_section("Tools", versions),
                *_section("Charts", charts),
                *(_section("Bundle", held) if held else ()),
            ]
        ),
    )


def _said(command: Sequence[str]) -> str:
    """Return what a program says, '' if it cannot be run."""
    from cto.adapters.clock import SystemClock  # noqa: PLC0415 - most programs are pinned
    from cto.adapters.process import ProcessRunner  # noqa: PLC0415 - as above
    from cto.errors import CtoError  # noqa: PLC0415 - as above

    try:
        runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
        done = runner.run(command, timeout_s=_ANSWER_S, check=False)
    except CtoError:
        return ""
    return done.stdout or done.stderr


def _bundle(folder: Path) -> dict[str, str]:
    from cto_airgap.bundle import BundleSource  # noqa: PLC0415 - most installers have no bundle

    source = BundleSource(folder)
    return {
        "folder": str(folder),
        "digest": source.digest,
        "profile": source.profile,
        "platform": str(source.platform),
        "images": str(len(source.contents.images)),
    }


def _section(title: str, rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return ["", f"{title}:", *(f"  {name:{width}}  {value}" for name, value in rows.items())]
