"""`make demo` and `make demo-clean`, as a newcomer calls them, in a home that is empty."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, tools_folder

pytestmark = pytest.mark.lab


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    """The lab's cache is as it is; no Docker is asked, where somebody may have a demo of theirs."""
    foreign = ("CTO_", "KUBE", "HELM_", "XDG_", "DOCKER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "HOME": str(home),
        "CTO_LAB_CACHE": str(tools_folder().parent),
        # pip asks rustc for its version, and the one of rustup writes settings then.
        "RUSTUP_HOME": str(home.parent / "rustup"),
        "DOCKER_HOST": f"unix://{home}/no-docker.sock",
    }


def demo(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "tests"), "lab.demo", *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_demo_comes_up_stays_up_and_goes_without_a_trace(
    env: dict[str, str], home: Path
) -> None:
    try:
        up = demo(env, "up", "--provider", "kwok")
        first = up.stderr.splitlines()[0]
        assert re.match(r"demo of profile minimal on kwok .*installation: about \d+", first), first
        told = dict(re.findall(r"^  export (\w+)=(\S+)$", up.stderr, re.MULTILINE))
        told = {name: value.replace("~", str(home), 1) for name, value in told.items()}
        kubectl = tools_folder() / "kubectl"
        pods = subprocess.run(
            [
                kubectl,
                f"--cache-dir={home.parent}",
                "get",
                "pods",
                "--all-namespaces",
                "--no-headers",
            ],
            env={**env, **told},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        assert pods
        assert {re.split(r" +", pod)[3] for pod in pods} <= {"Running", "Completed"}
        status = [sys.executable, "-m", "cto", "status", "--output", "json"]
        subprocess.run(status, env={**env, **told}, cwd=ROOT, capture_output=True, check=True)
    finally:
        clean = demo(env, "clean")
    assert "left behind" not in clean.stderr
    assert "No cluster is left." in clean.stderr
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_of(path, home)]
    assert running == []
    assert {name for name in files(home) if not name.startswith(".cache/")} == set()


def _is_of(cmdline: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in cmdline.read_bytes()
    except OSError:
        return False
