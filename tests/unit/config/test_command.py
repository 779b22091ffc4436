"""`cto config` from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cto.cli.root import cli
from cto.config.display import schema
from unit.config.loading import Loader


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str, **settings: Any) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments], **settings)


def test_init_writes_a_file_that_validate_accepts(folder: Path) -> None:
    result = _run("init", "-p", "standard")
    assert result.exit_code == 0
    assert result.stdout == (
        "Wrote cto.yaml. Edit it, then check it: cto config validate -c cto.yaml\n"
    )
    assert "profile: standard" in (folder / "cto.yaml").read_text(encoding="utf-8")
    checked = _run("validate", "-c", "cto.yaml")
    assert checked.exit_code == 0
    assert "standard: 8 CPUs, 16 GB memory, 50 GB disk, about 10 minutes" in checked.stdout
    assert "features  monitoring, databases\n" in checked.stdout


def test_init_never_overwrites(folder: Path) -> None:
    (folder / "mine.yaml").write_text("mine", encoding="utf-8")
    result = _run("init", "mine.yaml")
    assert result.exit_code == 2
    assert "mine.yaml exists and is not overwritten" in result.stderr
    assert (folder / "mine.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("command", ["show", "validate"])
def test_a_configuration_that_lies_here_and_is_not_named_is_told(
    folder: Path, command: str
) -> None:
    assert _run(command).stderr == ""
    (folder / "cto.yaml").write_text("profile: standard\n")
    told = "./cto.yaml is not read: add `-c cto.yaml` to have it count\n"
    assert _run(command).stderr == told
    assert _run(command, "-q").stderr == ""
    assert _run(command, "-c", "cto.yaml").stderr == ""


@pytest.mark.parametrize(
    ("setting", "code"), [("mapping: no.json", "CTO-1331"), ("ca_file: no.pem", "CTO-1360")]
)
def test_validate_looks_at_files_that_an_installation_reads(
    folder: Path, setting: str, code: str
) -> None:
    text = f"registry: {{type: generic, url: r.example.com, {setting}}}\n"
    (folder / "cto.yaml").write_text(text)
    result = _run("validate", "-c", "cto.yaml", "-o", "json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"]) == (3, code)
    assert "no." in error["message"]


def test_init_tells_why_it_cannot_write(folder: Path) -> None:
    result = _run("init", "missing/cto.yaml")
    assert result.exit_code == 2
    assert "missing/cto.yaml cannot be written: No such file or directory" in result.stderr
    assert not list(folder.iterdir())


def test_init_to_stdout_and_show_from_stdin(folder: Path) -> None:
    text = _run("init", "-").stdout
    shown = _run("show", "-c", "-", input=text)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("version: 0.1.0\nprofile: minimal\nplatform:\n  name: cto\n")
    assert not list(folder.iterdir())


def test_init_takes_nothing_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTO_PLATFORM__NAME", "of-my-shell")
    assert "of-my-shell" not in _run("init", "-").stdout
    assert not list(folder.iterdir())


def test_show_names_the_origin_of_every_value(loading: Loader) -> None:
    file = loading.file(
        "platform: {name: acme}\ncomponents: {grafana: {values: {a: {}, b: [1, '${HOME}']}}}\n"
        "providers: {anthropic: x}"
    )
    result = _run("show", "--origin", "-c", file, "-p", "standard", env={"HOME": "/root"})
    assert f"  name: acme                                  # {file}:1\n" in result.stdout
    assert "profile: standard                             # --profile\n" in result.stdout
    assert f"      b: [1, '${{HOME}}']                       # {file}:2\n" in result.stdout
    lines = [line for line in result.stdout.splitlines() if not line.endswith(":")]
    assert not [line for line in lines if "  # " not in line]


def test_show_as_json_has_values_and_origins() -> None:
    document = json.loads(_run("show", "--origin", "--output", "json").stdout)
    assert document["command"] == "config show"
    assert document["data"]["config"]["profile"] == "minimal"
    assert document["data"]["origins"]["platform.environment"] == "profile minimal"
    assert "origins" not in json.loads(_run("show", "-o", "json").stdout)["data"]


def test_validate_as_json_lists_what_was_understood() -> None:
    data = json.loads(_run("validate", "-o", "json").stdout)["data"]
    assert data == {
        "valid": True,
        "files": [],
        "profile": "minimal",
        "needs": {"cpu": 4, "memory_gb": 8, "disk_gb": 20, "minutes": 5},
        "features": [],
        "agents": ["rex", "cleo", "tess"],
    }


def test_validate_exits_with_3_and_lists_every_error(loading: Loader) -> None:
    result = _run("validate", "-c", loading.file("cluster: {nodes: 0}\nplatfrom: {}"))
    assert result.exit_code == 3
    assert "cto.yaml:1): must be at least 1" in result.stderr
    assert "platfrom" in result.stderr
    assert "did you mean platform?" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["init", "-"], ["show"], ["validate"], ["validate", "-c", "-"]]
)
def test_a_stdin_that_was_closed_is_an_empty_one(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cto config validate <&-`, as some service managers start programs."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as left:
        cli(["config", *arguments], prog_name="cto")
    assert (left.value.code, capsys.readouterr().err) == (0, "")


def test_schema_is_plain_json_on_stdout() -> None:
    assert json.loads(_run("schema").stdout) == schema()
    assert json.loads(_run("schema", "-o", "json").stdout)["data"] == schema()
