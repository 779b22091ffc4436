"""`cto explain`, and the page that is made of the same table."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from cto.cli import explain as module
from cto.cli.root import cli
from cto.errors import KINDS

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("code", ["CTO-1203", "cto-1203", "1203"])
def test_one_code_is_explained_however_it_is_written(code: str) -> None:
    result = CliRunner().invoke(cli, ["explain", code], prog_name="cto")
    assert result.exit_code == 0
    assert result.stdout == (
        "CTO-1203  Context not in the kubeconfig\n"
        "\n"
        "Cause:      The context that was named does not exist in the kubeconfig that was read.\n"
        "Fix:        Take one of the names that `kubectl config get-contexts` lists.\n"
        "Exit code:  2\n"
    )


def test_one_code_is_a_document() -> None:
    result = CliRunner().invoke(cli, ["explain", "2000", "-o", "json"], prog_name="cto")
    assert json.loads(result.stdout) == {
        "schema": 1,
        "command": "explain",
        "ok": True,
        "exit_code": 0,
        "simulated": False,
        "data": {
            "errors": [
                {
                    "code": "CTO-2000",
                    "title": "Another run is at work on this cluster",
                    "cause": "Another installer holds the lock of the cluster.",
                    "fix": "Wait for it. The message says how to see that it is alive.",
                    "exit_code": 10,
                }
            ]
        },
        "error": None,
    }


def test_without_a_code_all_are_listed() -> None:
    result = CliRunner().invoke(cli, ["explain"], prog_name="cto")
    head, *rows = result.stdout.splitlines()
    assert head == "CODE      EXIT  TITLE"
    assert rows[0] == "CTO-1100     1  Internal error"
    assert len(rows) == len(KINDS)


@pytest.mark.parametrize("code", ["1299", "nonsense"])
def test_an_unknown_code_is_wrong_use(code: str) -> None:
    result = CliRunner().invoke(cli, ["explain", code], prog_name="cto")
    assert result.exit_code == 2
    assert f"There is no error code '{code}'." in result.stderr


def test_the_page_is_current() -> None:
    """`make docs` writes it."""
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == module.markdown()


def test_the_module_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(module.__file__), run_name="__main__")
    assert capsys.readouterr().out == module.markdown()
