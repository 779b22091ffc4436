"""`cto task`: give agents work, and see what comes of it."""

from __future__ import annotations

from typing import TextIO

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.group()
def task() -> None:
    """Give agents work: start tasks, list, follow and cancel them."""


@task.command()
@click.option("--agent", metavar="NAME", required=True, help="Who works on it, e.g. rex.")
@click.option("--repo", metavar="URL", required=True, help="The repository to work in.")
@click.option(
    "--prompt", metavar="FILE", type=click.File(encoding="utf-8"), help="What to do; - is stdin."
)
@click.option("-m", "--message", metavar="TEXT", help="What to do, in place of --prompt.")
@click.option("--branch", metavar="NAME", default="", help="Where work starts.")
@click.option("--cli", metavar="NAME", default="", help="Another program than the agent's: echo.")
@click.option("--model", metavar="NAME", default="", help="Another model than the agent's.")
@click.option("-w", "--watch", is_flag=True, help="Tell how it goes, until it has ended.")
@cluster_options
@output_options()
@click.pass_obj
def run(
    terminal: Terminal,
    *,
    options: ClusterOptions,
    agent: str,
    repo: str,
    prompt: TextIO | None,
    message: str | None,
    branch: str,
    cli: str,
    model: str,
    watch: bool,
) -> Result:
    """Start a task: a CodeRun, which the controller makes a Job of.

    With --watch the exit code is 9 if the agent did not succeed.
    """
    from cto.cli.verbs import tasks  # noqa: PLC0415 - pydantic is slow to import
    from cto.engine.tasks import TaskSpec  # noqa: PLC0415 - as above

    if (prompt is None) == (message is None):
        text = "Give either --prompt FILE or --message TEXT."
        raise click.UsageError(text)
    what = prompt.read() if prompt else str(message)
    wish = TaskSpec(agent=agent, repository=repo, prompt=what, branch=branch, cli=cli, model=model)
    return tasks.run(terminal.wiring(options), terminal, wish, watch=watch)


@task.command("list")
@cluster_options
@output_options()
@click.pass_obj
def list_(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Show all tasks, and where they are."""
    from cto.cli.verbs import tasks  # noqa: PLC0415 - as above

    return tasks.listed(terminal.wiring(options), terminal)


@task.command()
@click.argument("name")
@click.option(
    "--lines", metavar="N", type=click.IntRange(1, 10_000), default=200, show_default=True
)
@cluster_options
@output_options()
@click.pass_obj
def logs(terminal: Terminal, *, options: ClusterOptions, name: str, lines: int) -> Result:
    """Show the last lines of the log of the task NAME."""
    from cto.cli.verbs import tasks  # noqa: PLC0415 - as above

    return tasks.logs(terminal.wiring(options), terminal, name, lines)


@task.command()
@click.argument("name")
@cluster_options
@output_options()
@click.pass_obj
def cancel(terminal: Terminal, *, options: ClusterOptions, name: str) -> Result:
    """Stop the task NAME, and delete it. What its agent pushed stays."""
    from cto.cli.verbs import tasks  # noqa: PLC0415 - as above

    return tasks.cancel(terminal.wiring(options), terminal, name)
