"""Help costs little: no command needs what it works with to tell what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cto
from cto.cli.root import COMMANDS, cli

HEAVY = {"jinja2", "kubernetes", "pydantic", "requests", "rich", "urllib3", "yaml"}
SCRIPT = """
import sys
from cto.cli.root import cli
cli(prog_name="cto", standalone_mode=False, args=sys.argv[1:])
print("\\n" + " ".join(sys.modules))
"""


@pytest.mark.parametrize("command", ["", *COMMANDS, "plan install", "plan uninstall"])
def test_help_imports_nothing_heavy(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split(), "--help"],
        env={**os.environ, "PYTHONPATH": str(Path(cto.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    assert text.startswith(f"Usage: cto {command}".rstrip())
    assert HEAVY.intersection(modules.split()) == set()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_sentence_of_a_list_of_commands_is_cut(name: str) -> None:
    result = CliRunner().invoke(cli, [*filter(None, [name]), "--help"], prog_name="cto")
    assert result.exit_code == 0
    assert "..." not in result.output.partition("\nCommands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_options_of_output(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    leaves = command.commands.values() if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        options = {option for parameter in leaf.params for option in parameter.opts}
        assert {"--output", "--debug", "--quiet"} <= options
