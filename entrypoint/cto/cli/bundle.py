"""`cto bundle`: the lock of the platform's images, and bundles made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cto import assets
from cto.cli.options import charts_option, components_option, flags, output_options, tools_option
from cto.cli.output import Terminal
from cto.cli.registries import RegistryOptions, reading_options, writing_options
from cto.cli.root import Group
from cto.cli.settings import ClusterOptions
from cto.result import Result

if TYPE_CHECKING:
    from cto.cli.bundling import Bundling

# The names only: cto.bundle.rendering has what they stand for, and is slow to import.
PROFILES = ("minimal", "standard", "production")
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

lock_option = click.option(
    "--lock",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Lock file instead of the installer's own (bundle/lock.yaml).",
)


@click.group(cls=Group)
def bundle() -> None:
    """Lock the platform's images; build, check, compare and push bundles."""


@bundle.command()
@click.option("--update", is_flag=True, help="Ask for all digests anew, not just for missing ones.")
@lock_option
@charts_option
@components_option
@tools_option
@reading_options
@output_options()
@click.pass_obj
def lock(
    terminal: Terminal,
    *,
    update: bool,
    file: Path | None,
    charts: Path | None,
    components_from: tuple[str, ...],
    tools: Path | None,
    registries: RegistryOptions,
) -> Result:
    """Find every image of the platform, and write the digests of all to the lock.

    Renders all components for all profiles, on the oldest and the newest Kubernetes, and asks the
    registries. What they do not tell stays unresolved.
    """
    options = ClusterOptions(
        flags=flags(components_from=components_from),
        charts=charts,
        tools=tools,
        ca_file=registries.ca_file,
    )
    with _opened(terminal, registries, options, cache=True) as work:
        return work.lock(_lock(file), update=update)


@bundle.command()
@click.option(
    "-p",
    "--profile",
    type=click.Choice(PROFILES),
    default=PROFILES[0],
    show_default=True,
    help="What the bundle has to be enough for.",
)
@click.option("--platform", default="linux/amd64", show_default=True, help="Of the nodes.")
@click.option("--out", metavar="DIR", required=True, type=_FOLDER, help="Folder for the bundle.")
@click.option("--no-images", is_flag=True, help="Charts only, for networks with a registry.")
@click.option(
    "--archive",
    "archives",
    metavar="NAME=FILE",
    multiple=True,
    help="Where an image of ours is, which no registry has; `make image` gives them.",
)
@lock_option
@charts_option
@components_option
@reading_options
@output_options()
@click.pass_obj
def build(
    terminal: Terminal,
    *,
    profile: str,
    platform: str,
    out: Path,
    no_images: bool,
    archives: tuple[str, ...],
    file: Path | None,
    charts: Path | None,
    components_from: tuple[str, ...],
    registries: RegistryOptions,
) -> Result:
    """Build a bundle: every image and chart of a profile, by digest, as an OCI layout.

    The same lock gives the same bytes. Interrupted, the same command goes on from there.
    """
    from cto.cli.bundling import archives_of, platform_of  # noqa: PLC0415 - `--help` is quick

    options = ClusterOptions(
        flags=flags(components_from=components_from), charts=charts, ca_file=registries.ca_file
    )
    with _opened(terminal, registries, options, cache=True) as work:
        return work.build(
            _lock(file),
            out,
            profile=profile,
            platform=platform_of(platform),
            with_images=not no_images,
            archives=archives_of(archives),
        )


@bundle.command("list")
@click.argument("folder", metavar="[DIR]", required=False, type=_FOLDER)
@click.option(
    "-p", "--profile", type=click.Choice(PROFILES), help="Of the lock, only what it needs."
)
@lock_option
@output_options()
def list_(folder: Path | None, profile: str | None, file: Path | None) -> Result:
    """Show what the bundle DIR holds; without DIR, the images of the lock."""
    from cto.cli import bundling  # noqa: PLC0415 - `--help` need not wait for it

    if folder and (profile or file):
        text = "--profile and --lock are about the lock, not about a bundle."
        raise click.UsageError(text)
    return bundling.listed(folder) if folder else bundling.listed_lock(_lock(file), profile)


@bundle.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@output_options()
def verify(folder: Path) -> Result:
    """Hash every file of the bundle DIR; name those that are wrong, and the images in them."""
    from cto.cli import bundling  # noqa: PLC0415 - `--help` need not wait for it

    return bundling.verified(folder)


@bundle.command()
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER)
@output_options()
def diff(old: Path, new: Path) -> Result:
    """Show what changes from the bundle OLD to the bundle NEW: images, charts, bytes."""
    from cto.cli import bundling  # noqa: PLC0415 - `--help` need not wait for it

    return bundling.compared(old, new)


@bundle.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.argument("registry")
@writing_options
@output_options()
@click.pass_obj
def push(terminal: Terminal, *, folder: Path, registry: str, registries: RegistryOptions) -> Result:
    """Bring the bundle DIR to REGISTRY, HOST[:PORT][/PREFIX]: only what that lacks.

    Log-ins are those of `docker login`. A registry without TLS has http:// in front.
    """
    with _opened(terminal, registries, ClusterOptions()) as work:
        return work.push(folder, registry)


@bundle.command()
@click.option("--out", metavar="DIR", required=True, type=_FOLDER, help="Folder for the programs.")
@click.option("--platform", default="linux/amd64", show_default=True, help="Where they will run.")
@tools_option
@output_options()
@click.pass_obj
def tools(terminal: Terminal, *, out: Path, platform: str, tools: Path | None) -> Result:
    """Bring kubectl, helm, kind and what else cto calls into a folder, for --tools there.

    Each one is checked against its published digest, unless it is from the folder that --tools
    names here.
    """
    from cto.cli import toolbox  # noqa: PLC0415 - `--help` need not wait for it
    from cto.cli.bundling import platform_of  # noqa: PLC0415 - as above
    from cto.engine.preflight_errors import refuse_failed  # noqa: PLC0415 - as above

    wiring = terminal.wiring(ClusterOptions(tools=tools))
    refuse_failed(wiring.folder_checks(state=None))
    with terminal.screen(wiring.clock) as screen:
        return toolbox.filled(wiring.tools.on(str(platform_of(platform))), out, screen.notice)


@bundle.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--program", metavar="FILE", required=True, type=_FILE, help="An image of cto.")
@click.option("--out", metavar="FILE", required=True, type=_FILE, help="The image to write.")
@click.option("--name", metavar="NAME:TAG", required=True, help="What Docker is to call it.")
@output_options()
def image(folder: Path, *, program: Path, out: Path, name: str) -> Result:
    """Put the bundle DIR into an image of cto; `docker load` takes what is written.

    The image is an OCI layout in a tar, as `docker buildx build --output type=oci` makes it.
    """
    from cto.cli.bundling import written  # noqa: PLC0415 - `--help` need not wait for it

    return written(program, folder, out, name)


@bundle.command()
@click.argument("folder", metavar="[DIR]", envvar="CTO_BUNDLE", type=_FOLDER)
@click.option(
    "--listen", metavar="ADDRESS", default=":5000", show_default=True, help="[HOST]:PORT, no TLS."
)
@tools_option
@output_options()
@click.pass_obj
def serve(terminal: Terminal, *, folder: Path, listen: str, tools: Path | None) -> NoReturn:
    """Be a registry that has what the bundle DIR (CTO_BUNDLE) has, and takes nothing.

    Images are called HOST/NAME, with the host that upstream has them on. Ends when it is told to.
    """
    from cto.cli.serving import Serving  # noqa: PLC0415 - `--help` need not wait for it

    wiring = terminal.wiring(ClusterOptions(tools=tools))
    program = partial(wiring.tools.path, "registry")
    server = Serving(program=program, host=wiring.host, become=wiring.become)
    with terminal.screen(wiring.clock) as screen:
        prepared = server.prepare(folder, listen)
        screen.notice(prepared.text)
    server.serve(prepared)


def _lock(file: Path | None) -> Path:
    return file or assets.root() / "bundle" / "lock.yaml"


@contextmanager
def _opened(
    terminal: Terminal,
    registries: RegistryOptions,
    options: ClusterOptions,
    *,
    cache: bool = False,
) -> Iterator[Bundling]:
    """Open what works on bundles; `cache` tells whether it keeps charts and programs."""
    from cto.cli.bundling import of_wiring  # noqa: PLC0415 - `--help` need not wait for it
    from cto.engine.preflight_errors import refuse_failed  # noqa: PLC0415 - nor for that

    wiring = terminal.wiring(options)
    if cache:
        refuse_failed(wiring.folder_checks(state=None))
    with terminal.screen(wiring.clock) as screen:
        yield of_wiring(wiring, registries, screen)
