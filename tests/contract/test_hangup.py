"""A terminal that is closed while the program ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cto

SCRIPT = """
import atexit, os, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.SIGHUP))
sys.argv = ["cto", "explain", "2000", "-q"]
from cto.__main__ import main
main()
"""


def test_a_hangup_at_the_very_end_changes_no_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(Path(cto.__file__).parents[1])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
