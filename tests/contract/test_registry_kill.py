"""Builds and pushes that are killed, and the same call again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from cto_airgap.reference import PushTarget
from cto_airgap.verify import check
from cto_airgap.web import WebTransport
from fakes.depot import Depot
from fakes.flaky import FlakyProxy
from lab.registry.running import Registries, missing

pytestmark = pytest.mark.lab

_PROGRAM = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from cto_airgap.reference import PushTarget
from cto_airgap.web import WebTransport
from fakes.depot import Depot
folder = Path({folder!r})
with WebTransport() as transport:
    depot = Depot({host!r}, transport, plain=True)
    if {verb!r} == "build":
        depot.builder(folder).build(depot.fill(folder), folder / {name!r})
    else:
        depot.pusher.push(folder / {name!r}, PushTarget({host!r}, "mine"))
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[FlakyProxy]:
    if why := missing():
        pytest.skip(why)
    with (
        Registries(tmp_path / "registries") as registries,
        FlakyProxy(registries.start()) as proxy,
    ):
        yield proxy


def killed(proxy: FlakyProxy, bundle: Path, verb: str, requests: int) -> None:
    """Run in a process of its own, and kill it when so many requests came in."""
    goal = len(proxy.seen) + requests
    program = _PROGRAM.format(
        path=sys.path, folder=str(bundle.parent), name=bundle.name, host=proxy.host, verb=verb
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    end = monotonic() + 60
    while len(proxy.seen) < goal and process.poll() is None and monotonic() < end:
        sleep(0.001)
    process.kill()
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said


def files_of(folder: Path) -> dict[str, bytes]:
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): data for path, data in found.items()}


def test_killed_at_many_moments_a_build_ends_as_if_it_had_not_been(
    proxy: FlakyProxy, tmp_path: Path
) -> None:
    with WebTransport() as transport:
        depot = Depot(proxy.host, transport, plain=True)
        wanted = depot.fill(tmp_path)
        # The process fills the registry once more: these requests come before those of a build.
        filling = len(proxy.seen)
        depot.builder(tmp_path).build(wanted, tmp_path / "undisturbed")
        building = len(proxy.seen) - filling
        for requests in range(1, building + 1):
            bundle = tmp_path / f"bundle-{requests}"
            killed(proxy, bundle, "build", filling + requests)
            depot.builder(tmp_path).build(wanted, bundle)
            check(bundle)
            assert files_of(bundle) == files_of(tmp_path / "undisturbed")


def test_killed_at_many_moments_a_push_ends_as_if_it_had_not_been(
    proxy: FlakyProxy, tmp_path: Path
) -> None:
    with WebTransport() as transport:
        depot = Depot(proxy.host, transport, plain=True)
        depot.builder(tmp_path).build(depot.fill(tmp_path), tmp_path / "bundle")
        for requests in (1, 4, 7, 10, 13, 16):
            killed(proxy, tmp_path / "bundle", "push", requests)
        outcome = depot.pusher.push(tmp_path / "bundle", PushTarget(proxy.host, "mine"))
        for one in outcome.pushed:
            assert depot.registry.manifest(one.new).digest == one.new.digest
        again = depot.pusher.push(tmp_path / "bundle", PushTarget(proxy.host, "mine"))
        assert (again.uploaded, again.mounted) == (0, 0)
