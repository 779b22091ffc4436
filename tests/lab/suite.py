#!/usr/bin/env python3
"""Everything that CI runs: all parts, whichever fails, and at the end which did and how long.

    python tests lab.suite            what `make test` runs
    python tests lab.suite --slow     what `make faults` runs: what is too slow for that

Stopping at the first failure would hide the others until the next run, many minutes later. Only
what cannot work without an earlier part is left out, and says so.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab import containers
from lab.dockerd import engine
from lab.images import modules
from lab.prepare import ROOT, say
from lab.tools import build

PYTHON = sys.executable
BIN = Path(PYTHON).parent
COVERED_PERCENT = 95
COVERAGE = (PYTHON, "-m", "coverage")


@dataclass(frozen=True)
class Part:
    """Commands that belong together; `tests` are pytest's, and are counted one by one.

    `unless` says why there is nothing to do on this machine; the part then counts as skipped.
    `real`: with every real program that the lab can build in place of its stand-in.
    `split`: its files go to as many processes as there are cores (four at most); each has clusters
    of its own.
    `measured`: it counts for the coverage, which makes Python slower by half.
    """

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    tests: tuple[str, ...] = ()
    marked: str = "not slow"
    needs: str = ""
    unless: Callable[[], str] = lambda: ""
    real: bool = False
    split: bool = False
    measured: bool = False

    @property
    def env(self) -> dict[str, str]:
        """Return the environment, in which Python may keep what it compiled.

        Some containers forbid that; and the tests start hundreds of programs of Python.
        """
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, modules.SWITCH: "all"} if self.real else kept

    @property
    def pytest(self) -> tuple[str, ...]:
        return (
            *(PYTHON, "-m", "pytest", "-m", self.marked, "--durations=5"),
            *(("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile") if self.split else ()),
            *(("--cov", "--cov-append", "--cov-report=") if self.measured else ()),
            *self.tests,
        )


# Asked once: the answer may take a daemon's start.
absence = functools.cache(containers.absence)

TOOLS = Part("tools", commands=((PYTHON, "tests", "lab.prepare", "lab"),))
# The bundle that the tests make their image of.
FOR_IMAGE = ("--profile", "standard")
DOCKER = Part(
    "docker",
    commands=((PYTHON, "tests", "lab.prepare", "docker", *FOR_IMAGE),),
    needs="tools",
    unless=absence,
)

# Those of the contracts that were skipped, or some of them, before there was a Docker.
ON_DOCKER = tuple(f"tests/contract/test_{name}.py" for name in ("docker", "podman", "registry_lab"))

PARTS = (
    Part(
        "lint",
        commands=((f"{BIN}/ruff", "check", "."), (f"{BIN}/ruff", "format", "--check", ".")),
    ),
    Part("types", commands=((f"{BIN}/mypy",),)),
    Part("imports", commands=((f"{BIN}/lint-imports",),)),
    # Also of the tests that this machine may not be able to run.
    Part("collection", commands=((PYTHON, "-m", "pytest", "-qq", "--collect-only", "tests"),)),
    Part("unit", tests=("tests/unit",), split=True, measured=True),
    TOOLS,
    Part("contract", tests=("tests/contract",), needs="tools", split=True, measured=True),
    Part(
        "coverage",
        commands=((*COVERAGE, "report", f"--fail-under={COVERED_PERCENT}"),),
        needs="contract",
    ),
    Part("assets", tests=("tests/assets",), needs="tools", split=True),
    Part("integration", tests=("tests/integration",), needs="tools", split=True),
    DOCKER,
    Part("on docker", tests=ON_DOCKER, needs="docker", unless=absence),
    Part("e2e", tests=("tests/e2e",), needs="docker", unless=absence),
)

SLOW = (
    TOOLS,
    Part("integration", tests=("tests/integration",), marked="slow", needs="tools"),
    DOCKER,
    Part("e2e", tests=("tests/e2e",), marked="slow", needs="docker", unless=absence),
    replace(DOCKER, name="programs", needs="docker", real=True),
    Part(
        "real",
        tests=(
            "tests/e2e/test_real_programs.py",
            "tests/e2e/test_real_platform.py",
            "tests/e2e/test_network.py",
            "tests/assets",
            "tests/integration/test_restore.py",
        ),
        marked="slow",
        needs="programs",
        unless=absence,
        real=True,
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How a part ended; a part without tests of its own counts as one."""

    part: Part
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    left_out: str = ""
    reason: str = ""
    names: tuple[str, ...] = ()  # of the tests that failed

    @property
    def is_good(self) -> bool:
        return not self.failed and not self.left_out

    @property
    def line(self) -> str:
        if self.left_out:
            return f"  {self.part.name:<12} NOT RUN  {self.left_out}"
        if self.reason:
            return f"  {self.part.name:<12} skipped  {self.reason}"
        word = "ok" if self.is_good else "FAILED"
        tests = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        text = tests if self.part.tests else ""
        return f"  {self.part.name:<12} {word:<8} {build.spell_time(self.seconds):>6}  {text}"


def run(argv: tuple[str, ...], part: Part | None = None) -> int:
    env = part.env if part else None
    return subprocess.run(argv, cwd=ROOT, env=env, check=False).returncode


def run_commands(part: Part) -> Outcome:
    begun = time.monotonic()
    failed = sum(run(argv, part) != 0 for argv in part.commands) > 0
    return Outcome(
        part, passed=int(not failed), failed=int(failed), seconds=time.monotonic() - begun
    )


def run_tests(part: Part) -> Outcome:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run((*part.pytest, f"--junitxml={report}"), part)
        tests, failed, skipped = counts(report)
        names = failures(report)
    seconds = time.monotonic() - begun
    # Exit codes beyond "some failed": pytest itself broke, or there was no test to run.
    failed += int(code != 0 and not failed)
    passed = max(0, tests - failed - skipped)
    return Outcome(part, passed, failed, skipped, seconds, names=names)


def counts(report: Path) -> tuple[int, int, int]:
    """Read how many tests there were, failed, and were skipped."""
    if not report.exists():
        return 0, 0, 0
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest just wrote it
    rows = [
        tuple(int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped"))
        for suite in suites
    ]
    tests, failures, errors, skipped = (sum(column) for column in zip(*rows, strict=True))
    return tests, failures + errors, skipped


def failures(report: Path) -> tuple[str, ...]:
    """Name the tests that failed: who keeps only the end of a long output wants them there."""
    if not report.exists():
        return ()
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - pytest just wrote it
    return tuple(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Run all tests, and tell how they ended.")
    parser.add_argument("--slow", action="store_true", help="those that `make test` leaves out")
    parts = SLOW if parser.parse_args().slow else PARTS
    lived = engine.ours()
    try:
        return run_parts(parts)
    finally:
        # Nobody else would end it; one that was up before has its users.
        if not lived:
            engine.down()


def run_parts(parts: tuple[Part, ...]) -> int:
    run((*COVERAGE, "erase"))
    outcomes: dict[str, Outcome] = {}
    for part in parts:
        needed = outcomes.get(part.needs)
        if needed and (needed.left_out or (needed.failed and not needed.part.tests)):
            outcomes[part.name] = Outcome(part, left_out=f"{part.needs} did not work")
            continue
        if reason := part.unless():
            outcomes[part.name] = Outcome(part, skipped=1, reason=reason)
            continue
        say(f"\n=== {part.name} " + "=" * (76 - len(part.name)))
        outcomes[part.name] = run_tests(part) if part.tests else run_commands(part)
    if failed := [name for outcome in outcomes.values() for name in outcome.names]:
        print("\nFailed:", *failed, sep="\n  ")
    print("\nParts:", *(outcome.line for outcome in outcomes.values()), sep="\n")
    totals = [
        sum(getattr(outcome, name) for outcome in outcomes.values())
        for name in ("passed", "failed", "skipped")
    ]
    print(f"\n{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped", flush=True)
    return 0 if all(outcome.is_good for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
