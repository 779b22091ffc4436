"""`cto completion` prints what a shell sources."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cto.cli.root import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell], prog_name="cto")
    assert result.exit_code == 0
    assert f"_CTO_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_wrong_use() -> None:
    result = CliRunner().invoke(cli, ["completion", "tcsh"], prog_name="cto")
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr


def test_commands_are_completed_without_running_one() -> None:
    result = CliRunner().invoke(
        cli,
        [],
        prog_name="cto",
        env={"_CTO_COMPLETE": "bash_complete", "COMP_WORDS": "cto expl", "COMP_CWORD": "1"},
    )
    assert result.stdout == "plain,explain\n"
