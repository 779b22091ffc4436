"""The options that commands share, as decorators."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import click

from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.errors import UsageError
from cto.providers import EXISTING, NAMES, PROVIDERS, choices

_Function = TypeVar("_Function", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

# Those of cto.engine.preflight. What is foreign is never written over, so that it is looked for
# cannot be left out.
PREFLIGHT = (
    *("version", "permissions", "storage", "architecture", "room", "quotas"),
    *("policies", "webhooks", "pods", "registry"),
)


# As a configuration file would say it.
_TRUTH = {True: "true", False: "false"}
_FLAGS = {
    "provider": ("cluster.provider", "--provider"),
    "context": ("cluster.context", "--context"),
    "profile": ("profile", "--profile"),
    "nodes": ("cluster.nodes", "--nodes"),
    "step_timeout": ("cluster.step_timeout", "--step-timeout"),
    "use_context": ("cluster.use_context", "--use-context"),
    "cluster_name": ("cluster.name", "--cluster-name"),
    "air_gapped": ("air_gapped", "--air-gapped"),
    "skip_preflight": ("cluster.skip_preflight", "--skip-preflight"),
    "components_from": ("components_from", "--components"),
    "skip_github": ("github.mode", "--skip-github"),
}


def _refuse_contradictions(given: Mapping[str, Any]) -> None:
    """Refuse flags of which one would be ignored in silence.

    Of what files and variables say the first one counts: they may serve several commands.

    Raises:
        UsageError: CTO-1200, naming both.
    """
    provider, context = given["provider"], given["context"]
    if context and provider not in {None, EXISTING}:
        hint = (
            f"--provider {provider} takes its own cluster, whatever the kubeconfig has: leave "
            "--context away. To work on the cluster of that context: --provider existing "
            f"--context {shlex.quote(context)}"
        )
        refuse_both(f"--provider {provider}", f"--context {context}", hint)
    there = f"--provider {EXISTING}" if provider == EXISTING else f"--context {context}"
    for name in ("nodes", "use_context") if provider == EXISTING or context else ():
        if given[name]:
            _, flag = _FLAGS[name]
            hint = (
                f"{flag} is about a cluster that cto makes: leave it away. To have one made: "
                f"--provider {choices(creating=True)} instead of {there}"
            )
            refuse_both(there, flag, hint)


def refuse_both(one: str, other: str, hint: str) -> NoReturn:
    raise UsageError("CTO-1200", f"{one} and {other} contradict each other", hint=hint)


def _said(value: Any) -> str | tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else str(value)


def flags(**given: Any) -> Mapping[str, tuple[str, str | tuple[str, ...]]]:
    """Return what ClusterOptions has of options that are fields of the configuration."""
    return {_FLAGS[name][0]: (_FLAGS[name][1], _said(v)) for name, v in given.items() if v}


def cluster_options(function: _Function) -> Callable[..., Any]:
    """Add the options of commands that work on a cluster: they get `options`, a ClusterOptions."""
    return _collected(function, _PROFILE)


def _collected(function: _Function, profile: Decorator) -> Callable[..., Any]:
    @functools.wraps(function)
    def collect(*args: Any, **values: Any) -> Any:
        given = {name: values.pop(name, None) for name in _FLAGS}
        _refuse_contradictions(given)
        options = ClusterOptions(
            flags=flags(**given),
            files=values.pop("files"),
            kubeconfig=values.pop("kubeconfig"),
            non_interactive=values.pop("non_interactive"),
            yes=values.pop("yes"),
            charts=values.pop("charts"),
            tools=values.pop("tools"),
            bundle=values.pop("bundle"),
            allow_downgrade=values.pop("allow_downgrade", False),
            may_replace=values.pop("replace", False),
        )
        return function(*args, options=options, **values)

    return _decorated(collect, (*_CLUSTER, profile))


def upgrade_options(function: _Function) -> Callable[..., Any]:
    """Add the options of upgrades; the command gets `options`, and `only`."""
    more: tuple[Decorator, ...] = (
        click.option(
            "--only",
            metavar="NAME",
            multiple=True,
            help="Upgrade only this component; may be repeated.",
        ),
        click.option(
            "--replace",
            is_flag=True,
            help="Delete and make again what cannot be changed, where no data go with it.",
        ),
        downgrade_option,
        skip_option,
        components_option,
    )
    return _decorated(_collected(function, _PROFILE_OF_UPGRADE), more)


def removal_options(function: _Function) -> Callable[..., Any]:
    """Add the options that say what may go; the command gets `removal`, a remove.Options."""

    @functools.wraps(function)
    def collect(*args: Any, **values: Any) -> Any:
        from cto.plan.remove import Options  # noqa: PLC0415 - pydantic is slow to import

        removal = Options(
            components=values.pop("components"),
            delete_data=values.pop("delete_data"),
            delete_crds=values.pop("delete_crds"),
        )
        return function(*args, removal=removal, **values)

    return _decorated(collect, _REMOVAL)


def output_options(*more_formats: str, letter: bool = True) -> Decorator:
    """Add the options of every command. They go to the Terminal, not to the command.

    Args:
        letter: Whether `-o` is the format too; a command may mean a file by it.
        *more_formats: What `--output` takes beside human and json. The command looks at
            `Terminal.format` itself and returns the text.
    """
    return functools.partial(_decorated, options=_output((*_FORMATS, *more_formats), letter=letter))


def _decorated(function: Callable[..., Any], options: tuple[Decorator, ...]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def _folder(name: str, variable: str, text: str) -> Decorator:
    return click.option(
        name,
        metavar="DIR",
        envvar=variable,
        show_envvar=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help=text,
    )


charts_option = _folder("--charts", "CTO_CHARTS", "Folder to take charts from.")
bundle_option = _folder("--bundle", "CTO_BUNDLE", "Bundle to take charts and images from.")
tools_option = _folder("--tools", "CTO_TOOLS", "Folder to take kubectl, helm and the like from.")

_FORMATS = ("human", "json")

_PROFILE = click.option(
    "-p", "--profile", metavar="NAME", help="minimal, standard, production, or a profile file."
)
_PROFILE_OF_UPGRADE = click.option(
    "--to-profile",
    "profile",
    metavar="NAME",
    help="Another profile than the one that is installed, or its file.",
)

_CLUSTER: tuple[Decorator, ...] = (
    click.option(
        "--provider",
        type=click.Choice(NAMES),
        help=f"Where the cluster comes from: {', '.join(f'{p.name} {p.does}' for p in PROVIDERS)}.",
    ),
    click.option(
        "--cluster-name", metavar="NAME", help="Name of the kind cluster; cto if not given."
    ),
    click.option(
        "--nodes",
        metavar="N",
        type=click.IntRange(1, 100),
        help="Nodes of a cluster that is made; a kind cluster keeps what it was made with.",
    ),
    click.option(
        "--step-timeout",
        metavar="TIME",
        help="How long a step may take before it is given up, like 90s, 20m or 1h; 10m if not "
        "given.",
    ),
    click.option(
        "--use-context",
        is_flag=True,
        default=None,
        callback=lambda _context, _option, value: _TRUTH.get(value),
        help="Let kubectl use the cluster that is made, though it uses another one now.",
    ),
    click.option(
        "--context",
        metavar="NAME",
        help="Context of the kubeconfig to work on; not beside --provider "
        f"{choices(creating=True)}.",
    ),
    click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Kubeconfig to read instead of the usual one.",
    ),
    click.option(
        "-c",
        "--config",
        "files",
        metavar="FILE",
        multiple=True,
        help="Configuration file; may be repeated, later files win, - is stdin.",
    ),
    click.option("--non-interactive", is_flag=True, help="Never ask; take defaults, or fail."),
    click.option("-y", "--yes", is_flag=True, help="Take confirmations as given."),
    click.option(
        "--air-gapped/--no-air-gapped",
        default=None,
        callback=lambda _context, _option, value: _TRUTH.get(value),
        help="Fetch nothing from outside: the default with a bundle that has images.",
    ),
    bundle_option,
    charts_option,
    tools_option,
)


def _skip(names: tuple[str, ...], more: str = "") -> Decorator:
    return click.option(
        "--skip-preflight",
        metavar="CHECK",
        multiple=True,
        type=click.Choice(names),
        help=f"Leave a check of the cluster out{more}.",
    )


skip_option = _skip(PREFLIGHT, f"; may be repeated. One of {', '.join(PREFLIGHT)}")

components_option = click.option(
    "--components",
    "components_from",
    metavar="DIR",
    multiple=True,
    help="Folder with components of your own: docs/own-components.md; may be repeated.",
)

github_option = click.option(
    "--skip-github",
    is_flag=True,
    default=None,
    callback=lambda _context, _option, value: "later" if value else None,
    help="Leave the agents' GitHub Apps for `cto github setup`.",
)

to_option = click.option(
    "--to",
    metavar="N",
    type=click.IntRange(1),
    help="Number of the run in `cto history` whose result shall be there again; the last one but "
    "one if not given.",
)

downgrade_option = click.option(
    "--allow-downgrade",
    is_flag=True,
    help="Install charts and CRDs that are older than what is installed.",
)

_REMOVAL: tuple[Decorator, ...] = (
    _skip(("permissions",), ": permissions"),
    click.option(
        "--component",
        "components",
        metavar="NAME",
        multiple=True,
        help="Take only this component away; may be repeated.",
    ),
    click.option(
        "--delete-data",
        is_flag=True,
        help="Delete volumes, generated secrets and your custom resources too.",
    ),
    click.option("--delete-crds", is_flag=True, help="Delete our CRDs that have no instances too."),
)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Hand an option to the terminal, which has to know it even if the command fails."""
    terminal = context.ensure_object(Terminal)
    setattr(terminal, str(parameter.name), value)
    root = context.find_root().command_path
    terminal.command = context.command_path.removeprefix(root).strip()


def _output(formats: tuple[str, ...], *, letter: bool) -> tuple[Decorator, ...]:
    return (
        click.option(
            *(("-o",) if letter else ()),
            "--output",
            "format",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            expose_value=False,
            callback=_keep,
            help="What goes to stdout.",
        ),
        click.option(
            "--debug",
            is_flag=True,
            envvar="CTO_DEBUG",
            show_envvar=True,
            expose_value=False,
            callback=_keep,
            help="Show tracebacks, every command that is run, and every request that is sent.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Show no progress, only what went wrong.",
        ),
    )
