"""The command `cto`: the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from cto import __version__
from cto.cli.output import Terminal
from cto.errors import nearest
from cto.result import Result

# Help is printed from here: no command's module, with all that it needs, is imported for it.
COMMANDS = {
    "install": "Install the platform, or finish or repair an installation.",
    "upgrade": "Bring what is installed to this version of cto.",
    "rollback": "Bring the platform back to what it was before a run.",
    "history": "Show what runs did to the platform, and how they ended.",
    "plan": "Show what a run would do, and why, before it does anything.",
    "status": "Show what is installed and whether it is healthy.",
    "uninstall": "Remove the platform; data stays unless asked otherwise.",
    "access": "Show how to reach the user interfaces, and whether they answer.",
    "github": "Set up the agents' GitHub Apps, and see how they are.",
    "task": "Give agents work, and see what comes of it.",
    "backup": "Make backups of the platform, and list them.",
    "restore": "Bring back what a backup has.",
    "notify": "See that the platform's mails arrive.",
    "bundle": "Lock images; build, check, compare and push bundles.",
    "config": "Write, check and show the configuration.",
    "support-bundle": "Write what helps to find a fault into a file, without secrets.",
    "diagnose": "Name the likely causes of what is broken.",
    "explain": "Explain an error code.",
    "version": "Show the versions of cto, its tools and its charts.",
    "completion": "Print the completion script of a shell.",
}

# Longer than any sentence: click cuts what is longer.
_WHOLE = 1000
_HELP = """Install a multi-agent development platform on Kubernetes.

Every command may be interrupted at any moment and run again. Its result goes to stdout, what it
says meanwhile to stderr.
"""
_EPILOG = """\b
Exit codes: 0 ok, 1 bug, 2 usage, 3 configuration, 4 preflight, 5 external tool,
6 cluster API, 7 timeout, 8 wrong digest, 9 not healthy, 10 another run is at work,
11 there is something to do (plan upgrade --check), 130 interrupted.
"""


class Group(click.Group):
    """A group that tells of each command by a whole sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        rows = [
            (name, command.get_short_help_str(_WHOLE)) for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


class Root(Group):
    """A group that imports its commands when they are called, and renders what they return.

    Commands return a Result or raise. Attributes of modules are looked up by naming convention:
    `cto.cli.NAME` has the command NAME; a hyphen is an underscore there.
    """

    def __init__(self, *, table: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*self._table, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._table:
            name = cmd_name.replace("-", "_")
            module = importlib.import_module(f"cto.cli.{name}")
            command: click.Command = getattr(module, name)
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        own = {name: one.get_short_help_str(_WHOLE) for name, one in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl([*self._table.items(), *own.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = nearest(name, known, likeness=0.6)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {near}?" if near else ""))
        ctx.ensure_object(Terminal).command = name
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> int:
        """Run a command and render what it returned or raised. Returns the exit code."""
        terminal = ctx.ensure_object(Terminal)
        try:
            result: Result = super().invoke(ctx)
            return terminal.show(result)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the boundary
            return terminal.fail(error)

    def main(  # type: ignore[override] # never returns: standalone_mode is ours
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Run the command line. Leaves the process with the exit code, if standalone."""
        argv = list(sys.argv[1:] if args is None else args)
        terminal: Terminal = extra.pop("obj", None) or Terminal()
        terminal.format = _format_of(argv)
        with _signals():
            try:
                code = int(
                    super().main(argv, prog_name, standalone_mode=False, obj=terminal, **extra)
                )
            except click.exceptions.NoArgsIsHelpError as error:
                error.show()
                code = error.exit_code
            except click.ClickException as error:
                terminal.command = _command_of(error) or terminal.command
                code = terminal.fail(error)
            except (click.Abort, KeyboardInterrupt) as error:
                code = terminal.fail(error)
        if standalone_mode:
            sys.exit(code)
        return code


def _format_of(argv: Sequence[str]) -> str:
    """Return the format that is asked for: a wrong command line is reported in it, too."""
    line = "\n".join(argv).partition("\n--\n")[0]
    found = re.findall(r"^(?:--output[=\n]|-[a-z]*o\n?)(\w+)$", line, re.MULTILINE)
    return "json" if found and found[-1] == "json" else "human"


def _command_of(error: click.ClickException) -> str:
    context: click.Context | None = getattr(error, "ctx", None)
    if context is None:
        return ""
    return context.command_path.removeprefix(context.find_root().command_path).strip()


@contextmanager
def _signals() -> Iterator[None]:
    """Take a request to end for a Ctrl-C, and a closed terminal for no reason to end.

    SIGHUP is ignored, not handled: the programs that we start inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


cli = Root(
    name="cto",
    table=COMMANDS,
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
click.version_option(__version__, prog_name="cto")(cli)
