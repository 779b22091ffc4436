"""Two installers at once, one that was stopped, interruptions, terminals that go away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.catalog import load
from cto.objects import ObjectRef

from .conftest import CONTEXT, ROOT, Lab
from .essence import essence, versions
from .kills import (
    INSTALL,
    LEASE,
    Run,
    children,
    data_of,
    going,
    held,
    holder,
    no_child_is_left,
    record,
    says,
    there,
)

UNINSTALL = ("uninstall", "--yes", "--delete-data", "--delete-crds")
MINIMAL = sorted(one.release for one in load(ROOT / "bundle").components if one.required)
# Controllers write these by themselves, whoever installs.
MOVING = ("Event", "Lease", "Node", "Pod", "EndpointSlice", "Endpoints")


def deployed(lab: Lab) -> list[str]:
    return sorted(lab.helm("list", "-A", "--deployed", "-q").split())


def test_of_two_installers_one_works_and_the_other_names_it(fresh: Lab) -> None:
    worker = Run(fresh, *INSTALL)
    worker.until(held())
    refused = fresh.data(*INSTALL, code=10)["error"]
    lease = fresh.cluster().get(LEASE)
    assert lease
    assert refused["code"] == "CTO-2000"
    assert f"Process {worker.pid} on {socket.gethostname()}" in refused["message"]
    assert lease["spec"]["acquireTime"] in refused["message"]
    assert f"`ps -o pid,lstart,args -p {worker.pid}`" in refused["fix"]
    assert "kubectl get lease cto-lock -n cto-system" in refused["fix"]
    assert worker.process.poll() is None, "the first one was over: nothing was shown"
    fresh.run(*UNINSTALL, code=10)
    assert worker.end() == 0, worker.text
    assert deployed(fresh) == MINIMAL
    assert holder(fresh.cluster()) == ""


def test_a_stopped_installer_loses_the_lock_and_writes_nothing_when_it_goes_on(
    fresh: Lab, tmp_path: Path
) -> None:
    """The second one works as from another machine: it shares no files with the first."""
    stopped = Run(fresh, *INSTALL, "--output", "json")
    stopped.until(there("v1", "Secret", "argocd-redis", "argocd"))
    stopped.send(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        elsewhere = {"CTO_STATE_DIR": str(tmp_path / "state")}
        argv = (*INSTALL, "--provider", "existing", "--context", CONTEXT)
        done = fresh.run(*argv, env=elsewhere)
        assert "to see whether it is alive" in done.stderr
        assert time.monotonic() - begun > 25, "the lease was not given its time"
        before = versions(fresh.cluster(), without=MOVING)
        lease = fresh.cluster().get(LEASE)
    finally:
        stopped.send(signal.SIGCONT)
    assert stopped.end(60) == 10, stopped.text
    error = data_of(stopped)["error"]
    assert error["code"] == "CTO-2001"
    assert "not begun: " in error["details"]
    assert versions(fresh.cluster(), without=MOVING) == before
    assert fresh.cluster().get(LEASE) == lease
    no_child_is_left(fresh)
    assert deployed(fresh) == MINIMAL


def test_an_api_server_that_is_silent_for_40_s_ends_no_installation(fresh: Lab) -> None:
    """Nobody else is at work, so the run goes on as soon as it knows that."""
    run = Run(fresh, *INSTALL)
    run.until(record("argocd", "pending-install"))
    server = int(next(fresh.folder.rglob("kube-apiserver.pid")).read_text())
    os.kill(server, signal.SIGSTOP)
    try:
        time.sleep(40)
        assert run.process.poll() is None, run.text
    finally:
        os.kill(server, signal.SIGCONT)
    run.until(says("the lock is still ours: going on"))
    assert "the lock of the cluster could not be renewed" in run.text
    run.until(record("argo-workflows", "deployed"))
    # Controller-manager and scheduler lost their own leases and ended: the next run starts them.
    run.send(signal.SIGINT)
    assert run.end(30) == 130, run.text
    fresh.run(*INSTALL)
    assert deployed(fresh) == MINIMAL
    assert holder(fresh.cluster()) == ""
    no_child_is_left(fresh)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_installation_says_what_is_left_and_leaves_no_child(
    fresh: Lab, number: signal.Signals
) -> None:
    run = Run(fresh, *INSTALL, "--output", "json")
    run.until(record("argocd", "pending-install"))
    assert children(fresh, "helm")
    run.send(number)
    assert run.end(30) == 130, run.text
    assert children(fresh) == {}
    assert holder(fresh.cluster()) == ""
    error = data_of(run)["error"]
    lines = dict(line.split(": ", maxsplit=1) for line in error["message"].splitlines())
    assert lines.keys() == {"done, and stays done", "in the middle of", "not begun"}
    assert "Create namespace" in lines["done, and stays done"]
    assert "Install Argo CD" in lines["in the middle of"]
    assert "is ready" in lines["not begun"]
    assert "Run the same command again" in error["fix"]
    assert error["message"].splitlines()[-1] in run.text
    fresh.run(*INSTALL)
    assert deployed(fresh) == MINIMAL


@pytest.mark.slow
def test_an_interrupted_making_of_the_cluster_is_finished_by_the_next_run(other: Lab) -> None:
    run = Run(other, *INSTALL)
    run.until(says("Make the kwok cluster: Starting"))
    run.send(signal.SIGINT)
    assert run.end(30) == 130, run.text
    assert "in the middle of: making the cluster; not begun: everything else" in run.text
    assert children(other) == {}
    other.run(*INSTALL)
    assert deployed(other) == MINIMAL


def test_an_interrupted_removal_goes_on_with_the_same_command(lab: Lab) -> None:
    lab.run(*INSTALL)
    run = Run(lab, *UNINSTALL)
    run.until(record("argocd", "uninstalling"))
    run.send(signal.SIGINT)
    assert run.end(30) == 130, run.text
    assert "in the middle of: " in run.text
    assert "Uninstall Argo CD" in run.text
    no_child_is_left(lab)
    lab.run(*UNINSTALL)
    assert "argocd" not in str(list(essence(lab.cluster())))


def test_a_closed_terminal_and_closed_pipes_are_no_reason_to_end(fresh: Lab) -> None:
    """`ssh` that breaks off, `cto install | head`: the run goes on to its end."""
    ends = [os.pipe(), os.pipe()]
    process = subprocess.Popen(
        fresh.argv(*INSTALL, "--output", "json"),
        env=fresh.env,
        cwd=fresh.folder,
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        start_new_session=True,
    )
    for _, writing in ends:
        os.close(writing)
    with open(ends[1][0]) as talk:  # noqa: PTH123 - a descriptor, no path
        talk.readline()
        os.close(ends[0][0])
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(240) == 0
    assert deployed(fresh) == MINIMAL


def test_streams_that_were_never_open_are_no_reason_to_fail(lab: Lab) -> None:
    """As a careless cron or daemon starts it."""
    lab.run(*INSTALL)
    lab.cluster().delete(ObjectRef("apps/v1", "Deployment", "cto", "controller"))
    words = " ".join(f"'{word}'" for word in lab.argv(*INSTALL))
    shell = ["/bin/sh", "-c", f"exec {words} <&- >&- 2>&-"]
    done = subprocess.run(shell, env=lab.env, cwd=lab.folder, check=False, timeout=240)
    assert done.returncode == 0
    # The cluster may have more of earlier tests.
    assert {*MINIMAL} <= {*deployed(lab)}


@pytest.mark.slow
@pytest.mark.parametrize("namespace", ["argo", "cto-system"])
def test_an_installation_right_after_a_removal_waits_for_what_still_goes(
    lab: Lab, namespace: str
) -> None:
    """Namespaces take their time to end; what is made in them meanwhile would be lost."""
    lab.run(*INSTALL)
    ref = ObjectRef("v1", "Namespace", "", namespace)
    hold(lab, ref, "cto.dev/test")
    try:
        removal = Run(lab, *UNINSTALL)
        removal.until(going(namespace))
        removal.kill(group=False)
        run = Run(lab, *INSTALL)
        time.sleep(4)
        assert run.process.poll() is None, run.text
    finally:
        hold(lab, ref)
    assert run.end() == 0, run.text + run.stdout
    # The cluster may have more of earlier tests.
    assert {*MINIMAL} <= {*deployed(lab)}
    assert "deletionTimestamp" not in (lab.cluster().get(ref) or {})["metadata"]


def hold(lab: Lab, ref: ObjectRef, *finalizers: str) -> None:
    """Keep an object from going, or let it go."""
    cluster = lab.cluster()
    found = cluster.get(ref)
    assert found
    cluster.update({**found, "metadata": {**found["metadata"], "finalizers": list(finalizers)}})


@pytest.fixture
def other(lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """A second machine, so to speak: without a cluster yet."""
    (tmp_path / "home").mkdir()
    made = Lab(tmp_path, lab.tools, lab.charts)
    yield made
    made.run("uninstall", "--cluster", "--yes", "--provider", "kwok")
