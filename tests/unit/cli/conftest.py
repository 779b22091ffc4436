"""Runs made-up commands inside the real group, and the true ones at a desk full of fakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cto.cli.options import output_options
from cto.cli.root import Root
from fakes.components import definition
from fakes.desk import Desk
from fakes.world import crd

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


WEB = definition(
    "web",
    """
crds: {source: crds}
generated_secrets:
  - name: web-admin
    keys: {password: {random: 32}}
access: {service: web, port: 80, user: admin, secret: web-admin/password}
""",
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with an empty cluster, and one component: `web`."""
    made = Desk(tmp_path)
    made.component(WEB, crds=[crd("webs.example.com", "Web")])
    return made
