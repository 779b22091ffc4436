"""The docker command line: which words it gets, and what its answers and refusals mean.

tests/contract/test_docker.py holds the same adapter against a real daemon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cto.adapters.docker.client import Docker, own_ids
from cto.adapters.docker.container import ContainerSpec, Daemon, DockerContainer, Publish
from cto.adapters.docker.errors import failure
from cto.errors import CtoError, PreflightError, ToolError, WaitError
from fakes.runner import FakeRunner, Reply

ID = "ab" * 32
INSPECTED: Mapping[str, Any] = {
    "Id": ID,
    "Name": "/web",
    "Image": "sha256:1",
    "Config": {"Image": "nginx:1", "Hostname": "web", "Labels": {"a": "b"}},
    "State": {"Status": "running", "ExitCode": 0},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}},
    "NetworkSettings": {
        "Networks": {"kind": {"IPAddress": "172.18.0.2"}},
        "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "53/udp": None},
    },
    "Mounts": [{"Type": "bind", "Source": "/home/me/.kube", "Destination": "/root/.kube"}],
}
WEB = DockerContainer(
    id=ID,
    name="web",
    image="nginx:1",
    image_id="sha256:1",
    state="running",
    hostname="web",
    labels={"a": "b"},
    networks={"kind": "172.18.0.2"},
    ports={80: 32768},
    bindings={80: 0},
    mounts={"/root/.kube": "/home/me/.kube"},
)


def docker(
    runner: FakeRunner, environ: Mapping[str, str] | None = None, ids: Sequence[str] = ()
) -> Docker:
    return Docker(runner, lambda: "docker", environ=environ or {}, own_ids=lambda: ids)


def inside(network: str) -> dict[str, Any]:
    return {**INSPECTED, "NetworkSettings": {"Networks": {network: {"IPAddress": "10.0.0.2"}}}}


def info(**more: Any) -> str:
    return json.dumps({"ServerVersion": "26.1.5", "ClientInfo": {"Context": "default"}, **more})


class TestDaemon:
    def test_it_says_what_it_is(self) -> None:
        said = info(
            OSType="linux",
            NCPU=2,
            MemTotal=1024,
            DockerRootDir="/data",
            CgroupVersion="2",
            Driver="overlay2",
            SecurityOptions=["name=seccomp", "name=rootless"],
            Name="vm",
            ID="7f5c",
        )
        found = docker(FakeRunner().on("docker", "info", stdout=said)).daemon()
        assert found == Daemon(
            endpoint="unix:///var/run/docker.sock",
            id="7f5c",
            version="26.1.5",
            host="vm",
            cpus=2,
            memory=1024,
            root="/data",
            cgroup_version=2,
            storage_driver="overlay2",
            rootless=True,
        )

    @pytest.mark.parametrize(
        ("index", "product"), [("", "Podman"), ("https://index.example.com/v1/", "Docker")]
    )
    def test_podman_gives_itself_away(self, index: str, product: str) -> None:
        said = info(IndexServerAddress=index)
        found = docker(FakeRunner().on("docker", "info", stdout=said)).daemon()
        assert found.product == product

    def test_its_address_is_that_of_the_variable_before_that_of_the_context(self) -> None:
        said = info(ClientInfo={"Context": "desktop"})
        runner = FakeRunner().on("docker", "info", stdout=said)
        runner.on("docker", "context", "inspect", stdout="unix:///home/me/docker.sock\n")
        assert docker(runner).daemon().endpoint == "unix:///home/me/docker.sock"
        there = docker(runner, {"DOCKER_HOST": "tcp://127.0.0.1:2375"}).daemon()
        assert there.endpoint == "tcp://127.0.0.1:2375"

    def test_an_info_that_holds_only_errors_is_no_answer(self) -> None:
        """`docker info` ends with 0 although nobody answered."""
        said = json.dumps({"ServerErrors": ["Cannot connect to the Docker daemon at unix:///x."]})
        with pytest.raises(PreflightError) as caught:
            docker(FakeRunner().on("docker", "info", stdout=said)).daemon()
        assert caught.value.code == "CTO-1420"
        assert "unix:///var/run/docker.sock" in caught.value.message

    def test_what_is_no_json_is_no_docker(self) -> None:
        with pytest.raises(PreflightError) as caught:
            docker(FakeRunner().on("docker", "info", stdout="hello")).daemon()
        assert caught.value.code == "CTO-1423"

    def test_a_daemon_that_hangs_is_named(self) -> None:
        runner = FakeRunner().on("docker", reply=Reply(seconds=1000))
        with pytest.raises(WaitError) as caught:
            docker(runner, {"DOCKER_CONTEXT": "far"}).networks()
        assert "context far (DOCKER_CONTEXT)" in caught.value.hint


class TestContainers:
    def test_one_is_read(self) -> None:
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([INSPECTED]))
        assert docker(runner).container("web") == WEB

    def test_one_that_vanishes_between_list_and_look_is_left_out(self) -> None:
        gone = Reply(
            stdout=json.dumps([INSPECTED]), stderr="Error: No such container: x", returncode=1
        )
        runner = FakeRunner().on("docker", "ps", stdout=f"{ID} x")
        runner.on("docker", "container", reply=gone)
        assert docker(runner).containers(a="b", c="") == [WEB]
        assert runner.argvs()[0][5:] == ("--filter=label=a=b", "--filter=label=c")

    def test_nothing_is_asked_about_no_containers(self) -> None:
        runner = FakeRunner().on("docker", "ps", stdout="")
        assert docker(runner).containers(a="b") == []
        assert len(runner.calls) == 1

    def test_one_is_made_without_a_bind_mount_and_without_a_pull(self) -> None:
        runner = FakeRunner().on("docker", "create", stdout=f"{ID}\n")
        spec = ContainerSpec(
            name="web",
            image="nginx:1",
            command=("serve",),
            entrypoint="cto",
            labels={"a": "b"},
            network="kind",
            aliases=("registry",),
            publish=(Publish(container_port=80), Publish(container_port=81, host_port=8081)),
            restart="unless-stopped",
            env={"NO_PROXY": "*"},
        )
        assert docker(runner).create(spec) == ID
        assert runner.argvs()[0] == (
            "docker",
            "create",
            "--name=web",
            "--pull=never",
            "--restart=unless-stopped",
            "--label=a=b",
            "--publish=127.0.0.1::80",
            "--publish=127.0.0.1:8081:81",
            "--env=NO_PROXY=*",
            "--entrypoint=cto",
            "--network=kind",
            "--network-alias=registry",
            "nginx:1",
            "serve",
        )

    def test_a_program_gets_its_input_and_is_never_quoted_in_an_error(self) -> None:
        runner = FakeRunner().on("docker", "exec", reply=Reply(stderr="no", returncode=2))
        made = docker(runner)
        with pytest.raises(ToolError) as caught:
            made.execute("web", ["sh", "-c", "a long script"], stdin="text")
        assert caught.value.message == "docker exec web failed"
        assert runner.calls[0].stdin == "text"
        assert made.execute("web", ["false"], check=False).returncode == 2

    def test_it_leaves_a_network_by_which_the_answer_would_have_come(self) -> None:
        """As where Docker is at a TCP address: the answer is waited for in vain."""
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([inside("kind")]))
        runner.on("docker", "container", stdout=json.dumps([inside("bridge")]))
        runner.on("docker", "network", "disconnect", reply=Reply(seconds=1000))
        docker(runner).disconnect("kind", "web")
        assert [call.timeout_s for call in runner.calls] == [90, 10, 90]

    def test_one_that_stays_in_a_network_is_told(self) -> None:
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([inside("kind")]))
        runner.on("docker", "network", "disconnect", reply=Reply(seconds=1000))
        with pytest.raises(WaitError, match="within 90 s"):
            docker(runner).disconnect("kind", "web")

    def test_why_it_stays_in_a_network_is_told(self) -> None:
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([inside("kind")]))
        refusal = Reply(stderr="Error response from daemon: no", returncode=1)
        runner.on("docker", "network", "disconnect", reply=refusal)
        with pytest.raises(ToolError, match="docker network disconnect"):
            docker(runner).disconnect("kind", "web")

    def test_one_that_a_kill_does_not_end_is_let_go_and_removed(self) -> None:
        stuck = Reply(stderr="could not kill: did not receive an exit event", returncode=1)
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([INSPECTED]))
        runner.on("docker", "rm", reply=stuck).on("docker", "rm")
        runner.on("docker", "run", reply=Reply(stderr="no freezer here", returncode=1))
        assert docker(runner).remove("web")
        _, first, thaw, second = runner.argvs()
        assert first == second
        assert "sha256:1" in thaw
        assert thaw[-1] == ID

    def test_one_that_stays_all_the_same_is_told(self) -> None:
        stuck = Reply(stderr="could not kill: did not receive an exit event", returncode=1)
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([INSPECTED]))
        runner.on("docker", "rm", reply=stuck).on("docker", "run")
        with pytest.raises(ToolError) as caught:
            docker(runner).remove("web")
        assert "exit event" in caught.value.details

    def test_our_own_is_one_that_this_daemon_runs(self) -> None:
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([INSPECTED]))
        assert docker(runner, ids=[ID]).own() == WEB
        assert docker(runner, ids=[ID[:12]]).own() == WEB

    def test_a_host_that_is_named_like_a_container_is_none(self) -> None:
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([INSPECTED]))
        assert docker(runner, ids=["cd" * 6]).own() is None
        stopped = {**INSPECTED, "State": {"Status": "exited"}}
        runner = FakeRunner().on("docker", "container", stdout=json.dumps([stopped]))
        assert docker(runner, ids=[ID]).own() is None


class TestImages:
    def test_one_is_there_after_a_pull(self) -> None:
        said = json.dumps([{"Id": "sha256:1", "RepoTags": None, "RepoDigests": ["a@sha256:2"]}])
        runner = FakeRunner().on("docker", "pull").on("docker", "image", stdout=said)
        assert docker(runner).pull("a@sha256:2").digests == ("a@sha256:2",)

    def test_a_pull_after_which_it_is_not_there_has_failed(self) -> None:
        gone = Reply(stderr="No such image: a", returncode=1)
        runner = FakeRunner().on("docker", "pull").on("docker", "image", reply=gone)
        with pytest.raises(ToolError) as caught:
            docker(runner).pull("a")
        assert caught.value.code == "CTO-1521"


class TestRefusals:
    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("Cannot connect to the Docker daemon at unix:///x. Is it running?", "CTO-1420"),
            ("permission denied while trying to connect to the Docker daemon socket", "CTO-1421"),
            ("client version 1.99 is too new. Maximum supported API version is 1.41", "CTO-1422"),
            ('"network ls" requires API version 1.21, but the daemon has 1.12', "CTO-1422"),
            ("write /x: no space left on device", "CTO-1523"),
            ('Conflict. The container name "/a" is already in use by container "b".', "CTO-1522"),
            ("something else", "CTO-1520"),
        ],
    )
    def test_each_has_its_code(self, said: str, code: str) -> None:
        error = failure("docker run", said, "unix:///x")
        assert (error.code, error.details) == (code, said)

    def test_a_network_in_use_stays_and_what_else_goes_wrong_is_told(self) -> None:
        used = Reply(stderr="error: network kind has active endpoints", returncode=1)
        broken = Reply(stderr="disk on fire", returncode=1)
        runner = FakeRunner().on("docker", reply=used).on("docker", reply=broken)
        made = docker(runner)
        assert not made.remove_network("kind")
        with pytest.raises(CtoError):
            made.remove_network("kind")


class TestOwnId:
    @pytest.mark.parametrize(
        "root",
        [
            f"/var/lib/docker/containers/{ID}/hostname",
            f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/hostname",
        ],
    )
    def test_it_is_in_the_files_that_docker_mounts(self, root: str) -> None:
        mounts = f"10 1 0:1 / / rw - overlay overlay rw\n11 10 8:1 {root} /etc/hostname rw - ext4"
        assert own_ids(mounts, "laptop") == (ID,)

    def test_other_mounts_of_containers_are_not_ours(self) -> None:
        """On Docker's host every container's shared memory is mounted."""
        mounts = f"11 10 0:9 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\nodd"
        assert own_ids(mounts, "laptop") == ()

    def test_the_host_name_may_be_a_short_id(self) -> None:
        assert own_ids("", "0123456789ab") == ("0123456789ab",)
