"""The real program, its streams broken or closed: the exit code stays the run's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cto

ENV = {**os.environ, "PYTHONPATH": str(Path(cto.__file__).parents[1])}


@pytest.mark.parametrize(("code", "exit_code"), [("2000", 0), ("nope", 2)])
@pytest.mark.parametrize("broken", ["stdout", "stderr"])
def test_a_reader_who_has_gone_changes_no_exit_code(broken: str, code: str, exit_code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, broken: writer}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cto", "explain", code, "-o", "json"],
            env=ENV,
            check=False,
            timeout=60,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
        )
    finally:
        os.close(writer)
    assert done.returncode == exit_code
    other = done.stdout if broken == "stderr" else done.stderr
    assert b"Broken pipe" not in other
    assert b"Traceback" not in other
    assert bool(other) is (broken == "stderr" or exit_code != 0)


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_streams_that_were_never_open_change_no_exit_code(closed: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "cto", "explain"],
        env=ENV,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    script = """
import os, sys
from cto.cli.streams import reserve
reserve()
sys.exit(open(sys.argv[1], "w").fileno())
"""
    command = 'exec "$@" 0<&- 1>&- 2>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", sys.executable, "-c", script, tmp_path / "file"],
        env=ENV,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
