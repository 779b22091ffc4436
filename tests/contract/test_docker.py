"""Docker and its fake do the same. The real one is any that answers and has the lab's node image.

Everything made here is named `cto-contract-...` and removed again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.docker.client import Docker
from cto.adapters.docker.container import ContainerSpec, Engine, Publish
from cto.adapters.process import ProcessRunner
from cto.errors import CtoError, PreflightError, ToolError
from fakes.docker import FakeDocker

IMAGE = os.environ.get("CTO_NODE_IMAGE", "cto-lab/node:v1.34.4")
LABEL = "cto.dev/contract"
FREEZER = Path("/sys/fs/cgroup/freezer")


def real_docker(**environ: str) -> Docker:
    runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
    return Docker(
        runner, lambda: "docker", environ={**os.environ, **environ}, own_ids=lambda: ("0" * 12,)
    )


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "fake":
        fake = FakeDocker()
        fake.add_image(IMAGE)
        fake.add_network("cto-contract")
        yield fake
        return
    if shutil.which("docker") is None:
        pytest.skip("there is no docker program on PATH")
    docker = real_docker()
    try:
        image = docker.image(IMAGE)
    except CtoError as error:
        pytest.skip(f"no Docker answers: {error.details or error}")
    if image is None:
        pytest.skip(f"Docker has no image {IMAGE}, see tests/lab")
    runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
    runner.run(("docker", "network", "create", "cto-contract"), timeout_s=60, check=False)
    yield docker
    for one in docker.containers(**{LABEL: ""}):
        docker.remove(one.id)
    docker.remove_network("cto-contract")


def spec(name: str, *command: str, publish: tuple[Publish, ...] = ()) -> ContainerSpec:
    return ContainerSpec(
        name=f"cto-contract-{name}",
        image=IMAGE,
        entrypoint=command[0] if command else "true",
        command=command[1:],
        labels={LABEL: name},
        publish=publish,
    )


def test_the_daemon_tells_what_it_is(engine: Engine) -> None:
    daemon = engine.daemon()
    assert daemon.product == "Docker"
    assert daemon.os_type == "linux"
    assert daemon.memory > 1 << 30
    assert daemon.endpoint
    assert daemon.id
    assert " " not in daemon.id
    assert engine.own() is None


def test_a_container_is_made_found_renamed_and_removed(engine: Engine) -> None:
    assert engine.container("cto-contract-a") is None
    made = engine.container(engine.create(spec("a")))
    assert made is not None
    assert (made.name, made.state, made.running) == ("cto-contract-a", "created", False)
    assert made.labels[LABEL] == "a"
    assert engine.container(made.id) == engine.container("cto-contract-a")
    assert [one.name for one in engine.containers(**{LABEL: "a"})] == ["cto-contract-a"]
    assert [one.name for one in engine.containers(**{LABEL: ""})] == ["cto-contract-a"]
    assert engine.containers(**{LABEL: "other"}) == []

    engine.rename(made.id, "cto-contract-b")
    assert engine.container("cto-contract-a") is None
    found = engine.first("cto-contract-a", "cto-contract-b")
    assert found is not None
    assert found.id == made.id
    assert engine.remove(made.id)
    assert not engine.remove(made.id)


def test_a_name_is_given_once(engine: Engine) -> None:
    engine.create(spec("a"))
    other = engine.create(spec("b"))
    with pytest.raises(ToolError) as caught:
        engine.create(spec("a"))
    assert caught.value.code == "CTO-1522"
    with pytest.raises(ToolError) as caught:
        engine.rename(other, "cto-contract-a")
    assert caught.value.code == "CTO-1522"


def test_what_is_not_there_is_refused(engine: Engine) -> None:
    for call in (
        lambda: engine.start("cto-contract-none"),
        lambda: engine.rename("cto-contract-none", "cto-contract-other"),
        lambda: engine.execute("cto-contract-none", ["true"]),
        lambda: engine.connect("cto-contract", "cto-contract-none"),
        lambda: engine.keep_running("cto-contract-none"),
        lambda: engine.tag("cto-contract/none:1", "cto-contract/other:1"),
        lambda: engine.create(ContainerSpec(name="cto-contract-x", image="cto-contract/none:1")),
    ):
        with pytest.raises(ToolError) as caught:
            call()
        assert caught.value.code == "CTO-1520"


def test_ending_what_is_not_there_is_fine(engine: Engine) -> None:
    engine.stop("cto-contract-none")
    engine.disconnect("cto-contract", "cto-contract-none")
    assert engine.logs("cto-contract-none") == ""
    assert not engine.remove_network("cto-contract-none")
    assert engine.network("cto-contract-none") is None


def test_a_program_runs_until_it_is_stopped(engine: Engine) -> None:
    made = engine.create(spec("a", "sleep", "1000"))
    engine.start(made)
    engine.start(made)
    found = engine.container(made)
    assert found is not None
    assert found.running
    engine.keep_running(made)
    assert engine.execute(made, ["cat"], stdin="hello").returncode == 0
    engine.stop(made, timeout_s=0)
    engine.stop(made, timeout_s=0)
    found = engine.container(made)
    assert found is not None
    assert found.state == "exited"
    with pytest.raises(ToolError):
        engine.execute(made, ["true"])


def test_what_is_there_once_goes_when_it_ends(engine: Engine) -> None:
    made = engine.create(replace(spec("a"), once=True))
    assert engine.container(made) is not None
    engine.start(made)
    end = time.monotonic() + 30
    while engine.container(made) is not None:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_paused_program_goes_on(engine: Engine) -> None:
    made = engine.create(spec("a", "sleep", "1000"))
    engine.start(made)
    if isinstance(engine, FakeDocker):
        engine.pause(made)
    else:
        runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
        runner.run(("docker", "pause", made), timeout_s=60)
    found = engine.container(made)
    assert found is not None
    assert (found.state, found.running, found.alive) == ("paused", False, True)
    engine.start(made)
    found = engine.container(made)
    assert found is not None
    assert found.running
    engine.stop(made, timeout_s=0)
    found = engine.container(made)
    assert found is not None
    assert not found.alive


def test_a_network_knows_who_is_in_it(engine: Engine) -> None:
    made = engine.create(spec("a", "sleep", "1000"))
    engine.start(made)
    engine.connect("cto-contract", made, aliases=["registry.example"])
    engine.connect("cto-contract", made)
    found, network = engine.container(made), engine.network("cto-contract")
    assert found is not None
    assert network is not None
    assert set(found.networks) == {"bridge", "cto-contract"}
    assert found.networks["cto-contract"]
    assert network.containers == ("cto-contract-a",)
    assert not engine.remove_network("cto-contract")

    engine.disconnect("cto-contract", made)
    engine.disconnect("cto-contract", made)
    found = engine.container(made)
    assert found is not None
    assert set(found.networks) == {"bridge"}
    assert engine.remove_network("cto-contract")
    assert {"bridge", "host", "none"} <= {one.name for one in engine.networks()}


def test_a_port_is_published_while_the_container_runs(engine: Engine) -> None:
    ports = (Publish(container_port=5000), Publish(container_port=5001, host_port=28471))
    made = engine.container(engine.create(spec("a", "sleep", "1000", publish=ports)))
    assert made is not None
    assert made.bindings == {5000: 0, 5001: 28471}
    assert made.ports == {}
    engine.start(made.id)
    found = engine.container(made.id)
    assert found is not None
    assert found.ports[5001] == 28471
    assert found.ports[5000] > 1024


def test_an_image_has_an_id_and_may_get_another_name(engine: Engine) -> None:
    image = engine.image(IMAGE)
    assert image is not None
    by_id = engine.image(image.id)
    assert by_id is not None
    assert by_id.id == image.id
    assert engine.image("cto-contract/none:1") is None


@pytest.mark.docker
@pytest.mark.parametrize("engine", ["real"], indirect=True)
def test_one_that_is_frozen_within_goes_all_the_same(engine: Engine) -> None:
    """As a node is whose runc was killed at the wrong moment: nothing in it hears of its end."""
    if not FREEZER.is_dir() or os.geteuid():
        pytest.skip(f"freezing a part of a container needs root, and cgroup v1 ({FREEZER})")
    made = engine.create(spec("a", "sleep", "1000"))
    engine.start(made)
    runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
    inspect = ("docker", "inspect", "--format={{.State.Pid}}", made)
    pid = runner.run(inspect, timeout_s=60).stdout.strip()
    groups = [line.split(":") for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    own = next(path for _, controller, path in groups if controller == "freezer")
    within = FREEZER / own.strip("/") / "within"
    within.mkdir()
    (within / "cgroup.procs").write_text(pid)
    (within / "freezer.state").write_text("FROZEN")
    assert engine.remove("cto-contract-a")
    assert engine.container("cto-contract-a") is None


def test_an_image_loses_a_name_though_a_container_is_made_of_it(engine: Engine) -> None:
    engine.tag(IMAGE, "cto-contract/other:1")
    assert engine.image("cto-contract/other:1") is not None
    spec = ContainerSpec(
        name="cto-contract-a", image="cto-contract/other:1", entrypoint="true", labels={LABEL: "a"}
    )
    engine.create(spec)
    engine.untag("cto-contract/other:1")
    engine.untag("cto-contract/other:1")
    assert engine.image("cto-contract/other:1") is None
    assert engine.image(IMAGE) is not None


def test_an_image_that_nobody_has_cannot_be_pulled(engine: Engine) -> None:
    # Port 9 is that of the discard protocol: nobody listens there.
    with pytest.raises(ToolError) as caught:
        engine.pull("127.0.0.1:9/cto-contract/none:1", timeout_s=120)
    assert caught.value.code == "CTO-1521"


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker program on PATH")
class TestRefusals:
    """What the docker program says where no Docker is."""

    @pytest.mark.parametrize(
        ("host", "code"),
        [
            ("unix:///nonexistent/docker.sock", "CTO-1420"),
            ("tcp://127.0.0.1:9", "CTO-1420"),
            ("nonsense://somewhere", "CTO-1420"),
        ],
    )
    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch, host: str, code: str) -> None:
        monkeypatch.setenv("DOCKER_HOST", host)
        for call in (real_docker().daemon, real_docker().networks):
            with pytest.raises(PreflightError) as caught:
                call()
            assert caught.value.code == code
            assert f"{host} (DOCKER_HOST)" in caught.value.message

    def test_the_program_speaks_no_version_that_the_daemon_does(
        self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        try:
            real_docker().daemon()
        except CtoError as error:
            pytest.skip(f"no Docker answers: {error.details or error}")
        monkeypatch.setenv("DOCKER_API_VERSION", "1.12")
        with pytest.raises(PreflightError) as caught:
            real_docker().networks()
        assert caught.value.code == "CTO-1422"
