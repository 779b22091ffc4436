"""`cto bundle serve` makes a registry of its own process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result

from cto.adapters.host import Host
from cto.cli.output import Terminal
from cto.cli.root import cli
from cto.cli.serving import Serving
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.errors import IntegrityError, PreflightError
from fakes.machine import FakeMachine
from unit.airgap.conftest import client, fake, world
from unit.airgap.world import World

__all__ = ["client", "fake", "world"]
_LONGEST_PATH = 4096


class Became(Exception):  # noqa: N818 - stands for the end of the process
    """The process is another program now."""

    def __init__(self, argv: Sequence[str], changes: Mapping[str, str]) -> None:
        self.argv = argv
        self.changes = changes
        super().__init__("became")


def become(argv: Sequence[str], changes: Mapping[str, str]) -> NoReturn:
    raise Became(argv, changes)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "tools" / "registry"
    path.parent.mkdir()
    path.write_text("#!/bin/false\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    before, tempfile.tempdir = tempfile.tempdir, None
    yield folder
    tempfile.tempdir = before


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return FakeMachine(tmp_path / "machine").host


def run(program: Path, host: Host, *words: str | Path) -> Result:
    def wiring(options: ClusterOptions) -> Wiring:
        return Wiring(CommandSettings(options, env={}), host=host, become=become)

    argv = ["bundle", "serve", *map(str, words), "--tools", str(program.parent)]
    return CliRunner().invoke(cli, argv, obj=Terminal(wiring=wiring), prog_name="cto")


def prepared(program: Path, host: Host, bundle: Path) -> tuple[str, ...]:
    serving = Serving(program=lambda: program, host=host, become=become)
    return serving.prepare(bundle, "127.0.0.1:5000").argv


def test_the_process_becomes_the_registry(
    world: World, program: Path, host: Host, temporary: Path
) -> None:
    digest = world.build().digest
    serving = Serving(program=lambda: program, host=host, become=become)
    found = serving.prepare(world.bundle, ":5000")
    assert found.text == f"serving {world.bundle} on :5000: 3 repositories, 43.0 kB, {digest}"
    with pytest.raises(Became) as caught:
        serving.serve(found)
    first, verb, file = caught.value.argv
    assert (first, verb) == (str(program), "serve")
    config = json.loads(Path(file).read_text())
    assert config["http"]["addr"] == ":5000"
    storage = Path(config["storage"]["filesystem"]["rootdirectory"])
    assert (storage / "docker/registry/v2/repositories/charts/thing").is_dir()
    assert storage.is_relative_to(temporary)
    assert caught.value.changes == {"OTEL_TRACES_EXPORTER": "none"}


def test_a_restart_leaves_one_folder(
    world: World, program: Path, host: Host, temporary: Path
) -> None:
    world.build()
    prepared(program, host, world.bundle)
    _, _, file = prepared(program, host, world.bundle)
    assert [*temporary.iterdir()] == [Path(file).parent]


def test_for_the_sake_of_no_bundle_no_program_is_fetched(
    world: World, host: Host, temporary: Path
) -> None:
    def program() -> NoReturn:
        pytest.fail("the registry was asked for")

    with pytest.raises(IntegrityError) as caught:
        Serving(program=program, host=host, become=become).prepare(world.bundle, ":5000")
    assert caught.value.code == "CTO-1811"


def test_storage_that_cannot_be_written_is_told(
    world: World, program: Path, host: Host, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are too long for the kernel stand for a disk that is full."""
    deep = temporary
    while len(str(deep)) < _LONGEST_PATH - 300:
        deep /= "x" * 150
    deep /= "x" * (_LONGEST_PATH - 100 - len(str(deep)))
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    tempfile.tempdir = None
    world.build()
    with pytest.raises(PreflightError) as caught:
        prepared(program, host, world.bundle)
    assert (caught.value.code, caught.value.details) == ("CTO-1485", "")
    assert "TMPDIR" in caught.value.hint


def test_on_the_command_line(world: World, program: Path, host: Host, temporary: Path) -> None:
    digest = world.build().digest
    done = run(program, host, world.bundle, "--listen", "127.0.0.1:0")
    assert f"serving {world.bundle} on 127.0.0.1:0: " in done.stderr
    assert digest in done.stderr
    assert len([*temporary.iterdir()]) == 1


def test_without_a_bundle_there_is_nothing_to_serve(
    program: Path, host: Host, tmp_path: Path, temporary: Path
) -> None:
    done = run(program, host, tmp_path / "none")
    assert done.exit_code == 8
    assert "CTO-1811" in done.stderr
