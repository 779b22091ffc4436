"""`cto version`: what this installer is, and what it would install."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import click

from cto import __version__
from cto.cli.options import output_options
from cto.result import Result


@click.command()
@output_options()
def version() -> Result:
    """Show the versions of cto, its tools and its charts."""
    from cto import assets, catalog  # noqa: PLC0415 - `--help` need not wait for them
    from cto.objects import load_yaml  # noqa: PLC0415 - as above

    bundle = assets.root() / "bundle"
    pinned = load_yaml((bundle / "tools.yaml").read_text(encoding="utf-8"))["tools"]
    tools = {name: str(tool["version"]) for name, tool in pinned.items()}
    charts = {c.name: f"{c.chart.name} {c.chart.version}" for c in catalog.load(bundle).components}
    python = platform.python_version()
    return Result(
        command="version",
        data={"cto": __version__, "python": python, "tools": tools, "charts": charts},
        text="\n".join(
            [
                f"cto {__version__} (Python {python})",
                *_section("Tools", tools),
                *_section("Charts", charts),
            ]
        ),
    )


def _section(title: str, rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return ["", f"{title}:", *(f"  {name:{width}}  {value}" for name, value in rows.items())]
