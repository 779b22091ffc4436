"""`cto config`: write, check and show the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cto import assets
from cto.cli.options import output_options
from cto.cli.output import STARTER, Terminal
from cto.cli.root import Group
from cto.cli.streams import piped
from cto.errors import UsageError
from cto.result import Result

if TYPE_CHECKING:
    from cto.config.load import Loaded

_files = click.option(
    "-c",
    "--config",
    "files",
    metavar="FILE",
    multiple=True,
    help="Configuration file; may be repeated, later files win, - is stdin.",
)
_profile = click.option(
    "-p", "--profile", metavar="NAME", help="minimal, standard, production, or a profile file."
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Write, check and show the configuration.

    What counts first: flags, environment, files (the last one first), profile, defaults.

    Every field has an environment variable. Keys are parted by two underscores, words of a key by
    one: CTO_PLATFORM__NAME is platform.name, CTO_COMPONENTS__ARGO_EVENTS__MODE is
    components.argo-events.mode. Lists and mappings are YAML text.
    """


@config.command()
@_profile
@click.argument("file", default=STARTER)
@output_options()
def init(profile: str | None, file: str) -> Result:
    """Write a commented configuration to FILE (cto.yaml; - is stdout)."""
    from cto.config.display import starter  # noqa: PLC0415 - pydantic is slow to import

    # Nothing of the environment: what is written may be shared.
    text = starter(_load(profile=profile, files=(), env={}).config)
    if file == "-":
        return Result(command="config init", data={"file": None, "text": text}, text=text)
    _write(Path(file), text)
    told = f"Wrote {file}. Edit it, then check it: cto config validate -c {file}"
    return Result(command="config init", data={"file": file, "text": text}, text=told)


@config.command()
@_files
@_profile
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@output_options()
@click.pass_obj
def show(
    terminal: Terminal, files: tuple[str, ...], profile: str | None, *, origin: bool
) -> Result:
    """Show the configuration that counts. Secrets are shown as their source."""
    from cto.config.display import display  # noqa: PLC0415 - pydantic is slow to import

    terminal.tell_unread(files)
    loaded = _load(profile=profile, files=files, env=os.environ)
    data: dict[str, Any] = {"config": loaded.config.public()}
    if origin:
        data["origins"] = {path: str(item) for path, item in loaded.origins.items()}
    text = display(loaded, origins=origin)
    return Result(command="config show", data=data, text=text.rstrip("\n"))


@config.command()
@_files
@_profile
@output_options()
@click.pass_obj
def validate(terminal: Terminal, files: tuple[str, ...], profile: str | None) -> Result:
    """Check the configuration; every error is listed, with its place and its fix."""
    terminal.tell_unread(files)
    loaded = _load(profile=profile, files=files, env=os.environ)
    _check_files(loaded)
    size = loaded.profile
    features = [name for name, on in loaded.config.features.model_dump().items() if on]
    agents = [name for name, agent in loaded.config.agents.items() if agent.enabled]
    needs = {"cpu": size.cpu, "memory_gb": size.memory_gb, "disk_gb": size.disk_gb}
    data = {
        "valid": True,
        "files": list(files),
        "profile": size.name,
        "needs": {**needs, "minutes": size.minutes},
        "features": features,
        "agents": agents,
    }
    room = f"{size.cpu} CPUs, {size.memory_gb} GB memory, {size.disk_gb} GB disk"
    lines = (
        "The configuration is valid.",
        f"  profile   {size.name}: {room}, about {size.minutes} minutes",
        f"  features  {', '.join(features) or 'none'}",
        f"  agents    {', '.join(agents) or 'none'}",
    )
    return Result(command="config validate", data=data, text="\n".join(lines))


@config.command()
@output_options()
def schema() -> Result:
    """Print the JSON schema of configuration files, for editors."""
    from cto.config.display import schema as build  # noqa: PLC0415 - pydantic is slow to import
    from cto.config.display import schema_text  # noqa: PLC0415 - as above

    return Result(command="config schema", data=build(), text=schema_text().rstrip("\n"))


def _load(*, profile: str | None, files: tuple[str, ...], env: Mapping[str, str]) -> Loaded:
    from cto.catalog import names  # noqa: PLC0415 - pydantic is slow to import
    from cto.config.load import load  # noqa: PLC0415 - as above

    root = assets.root()
    return load(
        flags={"profile": profile},
        env=env,
        files=files,
        profiles=root / "profiles",
        component_names=partial(names, root / "bundle"),
        stdin=piped,
    )


def _check_files(loaded: Loaded) -> None:
    """See that the files are there, and what they have to be, that an installation reads.

    Raises:
        ConfigError: CTO-1331, the mapping of images is none; CTO-1360, nor are the certificates.
    """
    registry = loaded.config.registry
    if registry.mapping:
        from cto.cli.relocating import read_mapping  # noqa: PLC0415 - most configurations have none

        read_mapping(Path(registry.mapping))
    if registry.ca_file:
        from cto.network import trust  # noqa: PLC0415 - as above

        trust.context(os.environ, ca_file=Path(registry.ca_file))


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        hint = "Name another file, or move this one away."
        message = f"{file} exists and is not overwritten."
        raise UsageError("CTO-1200", message, hint=hint) from error
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}."
        raise UsageError("CTO-1200", message, hint="Name another file.") from error
