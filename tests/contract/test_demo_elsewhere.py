"""What `make demo` says on a machine that it cannot run on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
# Everything that the demo takes of the standard library and that knows the platform is imported
# before it changes its name: it is the modules of the lab that are looked at.
_ELSEWHERE = """
import argparse, contextlib, platform, runpy, shutil, signal, subprocess, sys, tempfile, threading
import json, tarfile, urllib.request, zipfile
for name in {absent!r}:
    sys.modules[name] = None
sys.platform = {platform!r}
sys.path.insert(0, {folder!r})
sys.argv = ["lab.demo", "up"]
runpy.run_module("lab.demo", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("platform", "absent"),
    [("win32", ["fcntl", "grp", "pty", "pwd", "resource", "termios"]), ("darwin", [])],
)
def test_it_says_in_a_line_that_it_needs_linux(platform: str, absent: list[str]) -> None:
    program = _ELSEWHERE.format(platform=platform, absent=absent, folder=str(_TESTS))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("The demo needs Linux; here, use the image: docker run ")
