"""Runs a made-up command inside the real group, and gives its streams and exit code."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from cto.cli.options import output_options
from cto.cli.root import Root

Invoke = Callable[..., Result]


@pytest.fixture
def group() -> Root:
    """A group with a group in it, and no commands of ours."""
    root = Root(name="cto", table={}, no_args_is_help=True)
    root.add_command(click.Group("deep", help="Holds more."))
    return root


@pytest.fixture
def invoke(group: Root) -> Invoke:
    """Invoke `cto try ARGS`, where `try` does what the given function does."""

    def run(
        function: Callable[..., object], *args: str, env: dict[str, str] | None = None
    ) -> Result:
        command = click.command("try", help="Try something. At length.")(output_options()(function))
        group.add_command(command)
        return CliRunner().invoke(group, ["try", *args], prog_name="cto", env=env)

    return run
