"""What the common options hand to commands."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.root import Root
from cto.cli.settings import ClusterOptions
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
        "--provider existing --context one --kubeconfig kube.yaml -p production -c a.yaml"
        " --config - --non-interactive --yes --own yours -q --debug -o mermaid"
    )
    text = run(group, *line.split(), "--charts", str(tmp_path), "--tools", str(tmp_path))
    assert text == "yours mermaid True True\n"
    assert taken == [
        ClusterOptions(
            flags={
                "cluster.provider": ("--provider", "existing"),
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


@pytest.mark.parametrize(
    ("line", "message", "fix"),
    [
        (
            "--provider kwok --context one",
            "--provider kwok and --context one contradict each other",
            "--provider existing --context one",
        ),
        (
            "--context it's --provider kind",
            "--provider kind and --context it's contradict each other",
            "--provider existing --context 'it'\"'\"'s'",
        ),
        (
            "--provider existing --nodes 3",
            "--provider existing and --nodes contradict each other",
            "--provider kind or kwok instead of --provider existing",
        ),
        (
            "--context one --nodes 3",
            "--context one and --nodes contradict each other",
            "--provider kind or kwok instead of --context one",
        ),
        (
            "--provider existing --use-context",
            "--provider existing and --use-context contradict each other",
            "--provider kind or kwok instead of --provider existing",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused_with_both_names(
    group: Root, taken: list[ClusterOptions], line: str, message: str, fix: str
) -> None:
    result = CliRunner().invoke(group, ["take", *line.split(), "-o", "json"], prog_name="cto")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"], error["message"]) == (2, "CTO-1200", message)
    assert error["fix"].endswith(fix)
    assert taken == []


@pytest.mark.parametrize("line", ["--provider kwok --nodes 3", "--provider existing --context a"])
def test_flags_that_go_together_are_taken(
    group: Root, taken: list[ClusterOptions], line: str
) -> None:
    run(group, *line.split())
    assert len(taken) == 1


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
