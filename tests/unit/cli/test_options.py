"""What the common options hand to commands."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cto.cli.options import ClusterOptions, cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.root import Root
from cto.result import Result


@pytest.fixture
def taken(group: Root) -> list[ClusterOptions]:
    """Add a command that keeps what it gets."""
    options: list[ClusterOptions] = []

    @click.command("take")
    @click.option("--own", default="mine")
    @cluster_options
    @output_options("mermaid")
    @click.pass_obj
    def take(terminal: Terminal, own: str, options: ClusterOptions) -> Result:
        received.append(options)
        text = f"{own} {terminal.format} {terminal.quiet} {terminal.debug}"
        return Result(command=terminal.command, text=text, data={"text": text})

    received = options
    group.add_command(take)
    return options


def run(group: Root, *args: str, env: dict[str, str] | None = None) -> str:
    result = CliRunner().invoke(group, ["take", *args], prog_name="cto", env=env)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_nothing_given_is_nothing_said(group: Root, taken: list[ClusterOptions]) -> None:
    assert run(group) == "mine human False False\n"
    assert taken == [ClusterOptions()]


def test_everything_given(group: Root, taken: list[ClusterOptions], tmp_path: Path) -> None:
    line = (
        "--provider kwok --context one --kubeconfig kube.yaml -p production -c a.yaml --config -"
        " --non-interactive --yes --own yours -q --debug -o mermaid"
    )
    text = run(group, *line.split(), "--charts", str(tmp_path), "--tools", str(tmp_path))
    assert text == "yours mermaid True True\n"
    assert taken == [
        ClusterOptions(
            flags={
                "cluster.provider": ("--provider", "kwok"),
                "cluster.context": ("--context", "one"),
                "profile": ("--profile", "production"),
            },
            files=("a.yaml", "-"),
            kubeconfig=Path("kube.yaml"),
            non_interactive=True,
            yes=True,
            charts=tmp_path,
            tools=tmp_path,
        )
    ]


def test_folders_come_from_the_environment(
    group: Root, taken: list[ClusterOptions], tmp_path: Path
) -> None:
    run(group, env={"CTO_CHARTS": str(tmp_path), "CTO_TOOLS": str(tmp_path)})
    assert taken == [ClusterOptions(charts=tmp_path, tools=tmp_path)]


def test_a_folder_that_is_not_there_is_wrong_use(group: Root, taken: list[ClusterOptions]) -> None:
    result = CliRunner().invoke(group, ["take", "--charts", "/no/such"], prog_name="cto")
    assert result.exit_code == 2
    assert "Directory '/no/such' does not exist." in result.stderr
    assert taken == []


def test_the_command_is_named_without_the_program(group: Root, taken: list[ClusterOptions]) -> None:
    assert json.loads(run(group, "-o", "json"))["command"] == "take"
