"""Provider kind over fakes: what it makes, what it repairs, and what it never touches."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cto.adapters.docker.container import DockerContainer
from cto.adapters.host import Host
from cto.adapters.kind import mirrors
from cto.adapters.kind.access import NETWORK
from cto.errors import Cancelled, CtoError, LockedError, PreflightError, ToolError
from cto.holder import Holder
from cto.objects import labels_of, load_yaml
from cto.ports import Access, ProviderState, Reach
from cto.result import CheckStatus
from fakes.containers import FakeContainers
from fakes.kind import NODE, OPTIONS, PORTS, KindBench
from fakes.runner import FakeRunner, Reply

FAILS = Reply(returncode=1, stderr="ERROR: failed to create cluster: it rains")


@pytest.fixture
def bench(tmp_path: Path) -> KindBench:
    return KindBench(tmp_path)


def ignore(_: str) -> None:
    pass


def asked(texts: Iterable[str]) -> set[str]:
    """Return the hosts that these hosts.toml send containerd to."""
    parsed = [tomllib.loads(text) for text in texts]
    servers = [one["server"] for one in parsed if "server" in one]
    addresses = [*servers, *(address for one in parsed for address in one.get("host", ()))]
    return {urlsplit(address).hostname or "" for address in addresses}


def is_proxied(host: str, no_proxy: str) -> bool:
    """Tell what containerd does: Go's rule for names, which no address range fits.

    https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config: `.x` fits subdomains of x alone, `x`
    also x itself.
    """
    return not any(
        host.endswith(word) if word.startswith(".") else f".{host}".endswith(f".{word}")
        for word in no_proxy.split(",")
    )


class TestMaking:
    def test_a_new_cluster(self, bench: KindBench) -> None:
        provider = bench.provider()
        assert provider.state() is ProviderState.ABSENT
        assert provider.kube_version() == "v1.34.0"
        access = provider.provision(OPTIONS, bench.said.append)
        assert access == Access(bench.folder / "state" / "kubeconfig", "kind-cto")
        assert bench.provider().state() is ProviderState.READY
        assert bench.docker.names() == ["cto-control-plane", "cto-kind-cto"]
        assert bench.docker.kept == {"cto-control-plane"}
        assert bench.supply.asked == ["check", "node image", "join kind: cto-control-plane"]
        assert bench.said == ["Preparing nodes"]
        bench.make()
        assert bench.supply.asked[3:] == ["join kind: cto-control-plane"]

    def test_kind_sees_our_docker_and_no_settings_of_the_user(self, bench: KindBench) -> None:
        bench.environ["HTTPS_PROXY"] = "http://proxy"
        bench.make()
        call = next(one for one in bench.runner.calls if one.argv[1] == "create")
        state = bench.folder / "state"
        assert call.argv == (
            *("/tools/kind", "create", "cluster", "--name", "cto", "--image", NODE),
            *("--config", "-", "--kubeconfig", str(state / "kind-wrote")),
        )
        assert not (state / "kind-wrote").exists()
        assert call.env["PATH"] == "/tools:/usr/bin"
        assert call.env["KIND_EXPERIMENTAL_DOCKER_NETWORK"] is None
        proxy = "10.244.0.0/16,10.96.0.0/16,cto-control-plane,.kind"
        assert call.env["NO_PROXY"] == proxy

    @pytest.mark.parametrize("air_gapped", [True, False])
    def test_behind_a_proxy_nodes_ask_registries_without_it(
        self, bench: KindBench, *, air_gapped: bool
    ) -> None:
        """Those of today and of bundles to come: a node's environment is that of its making."""
        bench.environ["HTTP_PROXY"] = "http://proxy"
        bench.make()
        call = next(one for one in bench.runner.calls if one.argv[1] == "create")
        assert call.env["NO_PROXY"]
        names = ["cto-registry-0123456789ab", "cto-registry-ba9876543210"]
        texts = mirrors.files(["quay.io"], names, network=NETWORK, air_gapped=air_gapped)
        hosts = asked(texts.values())
        assert hosts
        assert not [host for host in hosts if is_proxied(host, call.env["NO_PROXY"])]
        assert is_proxied("quay.io", call.env["NO_PROXY"])

    def test_behind_docker_s_own_proxy_nodes_are_told_the_same(self, bench: KindBench) -> None:
        """Docker puts it into nodes by itself; kind adds nothing as long as it knows of none."""
        bench.injected = {"HTTPS_PROXY": "http://proxy", "NO_PROXY": "mine.example.com"}
        bench.make()
        call = next(one for one in bench.runner.calls if one.argv[1] == "create")
        expected = "mine.example.com,10.244.0.0/16,10.96.0.0/16,cto-control-plane,.kind"
        assert (call.env["NO_PROXY"], call.env["no_proxy"]) == (expected, expected)
        assert "HTTPS_PROXY" not in call.env

    def test_ports_that_are_taken_move_and_it_is_told(self, bench: KindBench) -> None:
        bench.taken = {8080, 8081}
        provider = bench.make()
        assert provider.reach().ports == {30080: 8082, 30300: 3000}
        assert "Port 8080 is taken: 8082 is used instead" in bench.said

    def test_before_and_after_it_is_made_the_same_ports_are_told(self, bench: KindBench) -> None:
        """They stand in what is rendered: what is told must not change when somebody else goes."""
        bench.taken = {8080, 8081}
        planned = bench.provider().published()
        assert planned == {30080: 8082, 30300: 3000}
        assert bench.make().published() == planned
        bench.taken = set()
        assert bench.provider().published() == planned
        bench.docker.stop("cto-control-plane")
        assert bench.provider().published() == planned

    def test_more_nodes(self, bench: KindBench) -> None:
        bench.provider().provision(replace(OPTIONS, nodes=3), ignore)
        assert len(bench.config["nodes"]) == 3
        assert bench.docker.kept == {"cto-control-plane", "cto-worker", "cto-worker2"}
        assert bench.marker().find().nodes == 3

    def test_old_control_groups(self, bench: KindBench) -> None:
        bench.docker.info = replace(bench.docker.info, cgroup_version=1)
        bench.make(kube_version=lambda: "v1.35.1")
        assert "failCgroupV1" in bench.config["kubeadmConfigPatches"][-1]

    def test_a_second_run_changes_nothing(self, bench: KindBench) -> None:
        provider = bench.make()
        before = bench.docker.names()
        file = bench.file.read_text()
        provider.provision(OPTIONS, bench.said.append)
        assert bench.docker.names() == before
        assert bench.file.read_text() == file
        assert [call.argv[1] for call in bench.runner.calls].count("create") == 1
        assert provider.kube_version() == bench.cluster.server_version()
        assert provider.access().context == "kind-cto"

    def test_nodes_carry_the_profile_that_is_there_not_the_one_that_is_wanted(
        self, bench: KindBench
    ) -> None:
        provider = bench.make()
        provider.label(bench.cluster, "minimal")
        provider.provision(replace(OPTIONS, profile="standard"), ignore)
        (node,) = bench.cluster.list("v1", "Node")
        assert labels_of(node) == {"cto": "true", "profile": "minimal"}
        provider.label(bench.cluster, "standard")
        (node,) = bench.cluster.list("v1", "Node")
        assert labels_of(node) == {"cto": "true", "profile": "standard"}

    def test_no_address_range_is_left(self, bench: KindBench) -> None:
        bench.docker.add_network("vast", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        with pytest.raises(PreflightError):
            bench.make()


class TestFailing:
    def test_kind_fails_and_nothing_is_left(self, bench: KindBench) -> None:
        bench.fail_creating(FAILS)
        with pytest.raises(ToolError) as caught:
            bench.make()
        assert caught.value.code == "CTO-1504"
        assert "it rains" in caught.value.details
        assert bench.docker.names() == []
        assert bench.docker.network("kind") is None

    @pytest.mark.parametrize("labels", [{}, {"cto.dev/role": "registry"}])
    def test_kind_fails_and_a_network_that_was_there_before_stays(
        self, bench: KindBench, labels: dict[str, str]
    ) -> None:
        bench.docker.add_network("kind", "172.18.0.0/16")
        bench.docker.add(DockerContainer(id="", name="other", networks={"kind": ""}, labels=labels))
        bench.fail_creating(FAILS)
        with pytest.raises(ToolError):
            bench.make()
        network = bench.docker.network("kind")
        assert network is not None
        assert network.containers == ("other",)

    def test_a_network_that_only_a_registry_is_in_goes_as_well(self, bench: KindBench) -> None:
        """Somebody deleted the nodes of a cluster that came up, and making them anew fails."""
        bench.make()
        bench.docker.remove("cto-control-plane")
        labels = {"cto.dev/role": "registry"}
        bench.docker.add(
            DockerContainer(id="", name="served", networks={"kind": ""}, labels=labels)
        )
        bench.fail_creating(FAILS)
        with pytest.raises(ToolError):
            bench.make()
        assert bench.docker.names() == ["served"]
        assert bench.docker.network("kind") is None

    @pytest.mark.parametrize(
        ("said", "code", "hint"),
        [
            ("write /var: no space left on device", "CTO-1523", "df"),
            ("Bind for 127.0.0.1:80 failed: port is already allocated", "CTO-1504", "takes others"),
            ("could not find an available, non-overlapping IPv4 address pool", "CTO-1504", "prune"),
        ],
    )
    def test_what_it_says_is_understood(
        self, bench: KindBench, said: str, code: str, hint: str
    ) -> None:
        bench.fail_creating(Reply(returncode=1, stderr=said))
        with pytest.raises(ToolError) as caught:
            bench.make()
        assert caught.value.code == code
        assert hint in caught.value.hint

    def test_a_kind_that_hangs_is_ended(self, bench: KindBench) -> None:
        bench.fail_creating(Reply(seconds=100_000))
        with pytest.raises(ToolError) as caught:
            bench.make()
        assert "did not end" in caught.value.message

    def test_an_interrupted_run_leaves_what_the_next_one_removes(self, bench: KindBench) -> None:
        def interrupt() -> None:
            raise Cancelled

        bench.during = interrupt
        with pytest.raises(Cancelled):
            bench.make()
        assert bench.docker.names() == ["cto-control-plane", "cto-kind-cto.making"]
        assert bench.provider().state() is ProviderState.PARTIAL
        with pytest.raises(ToolError):
            bench.provider().access()


class TestRepair:
    def test_what_never_came_up_is_made_anew(self, bench: KindBench) -> None:
        half_made(bench)
        bench.machine.end(4711)
        bench.make()
        assert bench.said[0] == "Removing 1 nodes of a cluster that never came up"
        assert bench.provider().state() is ProviderState.READY

    def test_whoever_lives_is_left_in_peace_and_named(self, bench: KindBench) -> None:
        half_made(bench)
        for call in (bench.make, bench.provider().destroy, bench.provider().validate):
            with pytest.raises(LockedError) as caught:
                call()
            assert caught.value.message == (
                f"Process 4711 on {bench.machine.host.name} makes the cluster cto"
            )
        assert bench.docker.names() == ["cto-control-plane", "cto-kind-cto.making"]

    def test_a_marker_whose_nodes_somebody_removed(self, bench: KindBench) -> None:
        provider = bench.make()
        bench.docker.remove("cto-control-plane")
        assert provider.state() is ProviderState.PARTIAL
        bench.make()
        assert bench.provider().state() is ProviderState.READY

    def test_a_lost_control_plane_is_never_made_anew_unasked(self, bench: KindBench) -> None:
        bench.make()
        bench.docker.remove("cto-control-plane")
        bench.add_node("cto-worker")
        with pytest.raises(ToolError) as caught:
            bench.make()
        assert "--cluster" in caught.value.hint
        assert bench.provider().destroy()

    def test_stopped_nodes_are_started(self, bench: KindBench) -> None:
        provider = bench.make()
        bench.docker.stop_all()
        assert provider.state() is ProviderState.STOPPED
        with pytest.raises(ToolError):
            provider.access()
        provider.provision(OPTIONS, bench.said.append)
        assert bench.said[-1] == "Starting cto-control-plane again"
        assert bench.provider().state() is ProviderState.READY

    def test_paused_nodes_go_on(self, bench: KindBench) -> None:
        """Docker Desktop's users pause what they do not need just now."""
        provider = bench.make()
        bench.docker.pause("cto-control-plane")
        assert provider.state() is ProviderState.STOPPED
        provider.provision(OPTIONS, bench.said.append)
        assert bench.provider().state() is ProviderState.READY

    def test_another_run_was_quicker(self, bench: KindBench) -> None:
        """It came up between our look and our marker."""
        provider = bench.provider()
        other = KindBench(bench.folder / "other", docker=bench.docker)
        ask = bench.supply.node_image

        def meanwhile(progress: Callable[[str], None]) -> str:
            other.make()
            return ask(progress)

        bench.supply.node_image = meanwhile  # type: ignore[method-assign] # a fake that is late
        with pytest.raises(LockedError):
            provider.provision(OPTIONS, ignore)
        assert bench.docker.names() == ["cto-control-plane", "cto-kind-cto"]
        assert bench.provider().state() is ProviderState.READY


def half_made(bench: KindBench, *, makes_network: bool = False) -> None:
    """Leave what a run of process 4711 has begun."""
    machine = bench.machine
    machine.start(4711, "cto")
    bench.docker.add_image(NODE)
    before, machine.host.pid = machine.host.pid, 4711
    bench.marker().take(NODE, nodes=1, makes_network=makes_network)
    machine.host.pid = before
    bench.add_node()


class TestForeign:
    def test_a_cluster_without_our_marker_is_never_touched(self, bench: KindBench) -> None:
        bench.add_node()
        provider = bench.provider()
        failed = [c for c in provider.validate() if c.status is CheckStatus.FAILED]
        assert [check.code for check in failed] == ["CTO-1424"]
        for call in (provider.state, provider.destroy, bench.make):
            with pytest.raises(PreflightError) as caught:
                call()
            assert caught.value.code == "CTO-1424"
        assert bench.docker.names() == ["cto-control-plane"]


class TestValidating:
    def names(self, bench: KindBench) -> list[str]:
        return [check.name for check in bench.provider().validate()]

    def test_a_new_cluster_is_checked_for_everything(self, bench: KindBench) -> None:
        assert self.names(bench) == [
            "docker",
            "docker-place",
            "docker-room",
            "docker-disk",
            "docker-cgroup",
            "docker-inotify",
            "docker-ports",
            "docker-subnets",
        ]

    def test_one_that_is_there_only_for_what_it_still_needs(self, bench: KindBench) -> None:
        bench.make()
        assert self.names(bench) == ["docker", "docker-place", "docker-room", "docker-disk"]

    def test_behind_a_docker_that_is_refused_nothing_is_measured(self, bench: KindBench) -> None:
        bench.docker.info = replace(bench.docker.info, product="Podman")
        assert self.names(bench) == ["docker", "docker-place"]

    def test_a_docker_that_does_not_answer_is_a_failed_check(self, bench: KindBench) -> None:
        bench.docker.fails = PreflightError("CTO-1420", "no Docker answers", details="why")
        (check,) = bench.provider().validate()
        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1420")
        assert check.items == ("why",)

    def test_ports_of_nodes_that_are_about_to_go_are_ours(self, bench: KindBench) -> None:
        half_made(bench)
        bench.machine.end(4711)
        bench.taken = set(PORTS.values())
        found = {check.name: check for check in bench.provider().validate()}
        assert found["docker-ports"].status is CheckStatus.PASSED


class TestRemoving:
    def test_everything_goes(self, bench: KindBench) -> None:
        provider = bench.make()
        assert provider.destroy()
        assert bench.docker.names() == []
        assert bench.docker.network("kind") is None
        assert not bench.file.exists()
        assert not (bench.folder / "state" / "kubeconfig").exists()
        assert bench.supply.asked[-1] == "leave cto"
        assert provider.leftovers() == ("left",)
        assert not provider.destroy()

    def test_a_network_that_was_there_before_stays(self, bench: KindBench) -> None:
        bench.docker.add_network("kind", "172.18.0.0/16")
        bench.make().destroy()
        assert bench.docker.network("kind") is not None

    @pytest.mark.parametrize("in_use", [True, False])
    def test_a_network_that_a_killed_run_made_goes_with_the_cluster_made_after_it(
        self, bench: KindBench, *, in_use: bool
    ) -> None:
        bench.docker.add_network("kind", "172.18.0.0/16")
        half_made(bench, makes_network=True)
        bench.machine.end(4711)
        if in_use:
            bench.docker.add(DockerContainer(id="", name="registry", networks={"kind": ""}))
        provider = bench.make()
        bench.docker.remove("registry")
        provider.destroy()
        assert bench.docker.network("kind") is None

    def test_a_network_that_others_use_stays_even_if_they_are_stopped(
        self, bench: KindBench
    ) -> None:
        provider = bench.make()
        bench.docker.add(
            DockerContainer(id="", name="other", state="exited", networks={"kind": ""})
        )
        provider.destroy()
        assert bench.docker.network("kind") is not None

    @pytest.mark.parametrize("step", range(1, 4))
    def test_killed_anywhere_the_next_removal_ends_it(self, bench: KindBench, step: int) -> None:
        bench.make()
        remove, left = bench.docker.remove, [step]

        def dies(name: str) -> bool:
            left[0] -= 1
            if left[0] == 0:
                raise Cancelled
            return remove(name)

        bench.docker.remove = dies  # type: ignore[method-assign] # a fake that fails
        try:
            bench.provider().destroy()
        except Cancelled:
            bench.machine.host = died(bench)
        bench.docker.remove = remove  # type: ignore[method-assign] # whole again
        bench.provider().destroy()
        assert bench.docker.names() == []
        assert not bench.file.exists()


def died(bench: KindBench) -> Host:
    """Return the host as a later process sees it: the one that made the cluster has ended."""
    host = bench.machine.host
    bench.machine.end(host.pid)
    host.pid += 1
    bench.machine.start(host.pid, "python")
    return host


class TestInsideAContainer:
    @pytest.fixture
    def inside(self, bench: KindBench) -> KindBench:
        own = bench.docker.add(
            DockerContainer(id="", name="installer", image_id="", networks={"bridge": "172.17.0.2"})
        )
        image = bench.docker.add_image("cto")
        bench.docker.remove(own.name)
        bench.docker.add(replace(own, image_id=image.id))
        bench.docker.inside = "installer"
        return bench

    def test_after_a_refusal_our_look_for_ports_is_gone(self, inside: KindBench) -> None:
        """Docker removes it by itself, a moment after it ended."""
        own = inside.docker.own()
        assert own is not None
        labels = {"cto.dev/role": "ports", "cto.dev/of": own.id}
        inside.docker.add(DockerContainer(id="", name="look", state="exited", labels=labels))
        inside.clock.at(0.25, lambda: inside.docker.remove("look"))
        inside.docker.info = replace(inside.docker.info, memory=1 << 30)
        assert CheckStatus.FAILED in {check.status for check in inside.provider().validate()}
        assert inside.docker.container("look") is None
        assert inside.clock.waits == [0.1, 0.1, 0.1]

    def test_the_nodes_network_is_the_way_and_the_user_gets_the_published_one(
        self, inside: KindBench
    ) -> None:
        access = inside.make().access()
        own = inside.docker.container("installer")
        assert own is not None
        assert set(own.networks) == {"bridge", "kind"}
        ours = load_yaml(access.kubeconfig.read_text())
        assert ours["clusters"][0]["cluster"]["server"] == "https://cto-control-plane:6443"
        theirs = load_yaml(inside.file.read_text())
        assert theirs["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:40123"

    def test_without_a_network_it_gets_one(self, inside: KindBench) -> None:
        own = inside.docker.container("installer")
        assert own is not None
        inside.docker.add(replace(own, networks={"none": ""}))
        inside.make()
        own = inside.docker.container("installer")
        assert own is not None
        assert set(own.networks) == {"kind"}

    def test_with_the_hosts_network_the_loopback_address_is_the_way(
        self, inside: KindBench
    ) -> None:
        own = inside.docker.container("installer")
        assert own is not None
        inside.docker.add(replace(own, networks={"host": ""}))
        access = inside.make().access()
        ours = load_yaml(access.kubeconfig.read_text())
        assert ours["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:40123"

    def test_a_removal_leaves_the_network_and_takes_it_away(self, inside: KindBench) -> None:
        inside.make().destroy()
        assert inside.docker.names() == ["installer"]
        assert inside.docker.network("kind") is None

    @pytest.mark.parametrize("state", ["", "exited", "paused", "running"])
    def test_a_lock_of_a_killed_installer_is_cleared_and_of_a_living_one_is_not(
        self, inside: KindBench, state: str
    ) -> None:
        if state:
            inside.docker.add(DockerContainer(id="f" * 64, name="other", state=state))
        inside.file.parent.mkdir(parents=True)
        lock = inside.file.with_name("config.lock")
        killed = Holder.here(inside.machine.host, FakeContainers(own="f" * 64))
        lock.write_text(f"cto {replace(killed, pidns='pid:[4026532222]')}")
        inside.make()
        lives = state in ("paused", "running")
        assert (lock.exists(), inside.file.exists()) == (lives, not lives)


class TestTheUsersKubeconfig:
    def test_a_foreign_entry_stays_and_the_way_round_is_told(self, bench: KindBench) -> None:
        """No line leads to somebody else's cluster."""
        bench.file.parent.mkdir(parents=True)
        text = "contexts: [{name: kind-cto, context: {cluster: theirs}}]\n"
        bench.file.write_text(text)
        reach = bench.makes().reach()
        address = "'s#server: .*#server: https://127.0.0.1:40123#'"
        files = "/etc/kubernetes/admin.conf > cto-kubeconfig"
        assert bench.file.read_text() == text
        assert reach == Reach(
            context="kubernetes-admin@cto",
            kubeconfig=Path("cto-kubeconfig"),
            is_there=False,
            notes=(
                f"{bench.file} has a context kind-cto that is not cto's, and keeps it",
                f"to get a kubeconfig: docker exec cto-control-plane sed {address} {files}",
            ),
            ports={30080: 8080, 30300: 3000},
        )

    def test_one_that_cannot_be_written_does_not_stop_the_installation(
        self, bench: KindBench
    ) -> None:
        bench.file.parent.parent.mkdir(parents=True)
        bench.file.parent.write_text("a file where the folder should be")
        why, instead = bench.makes().reach().notes
        assert f"{bench.file}: cannot be written" in why
        assert "(CTO-1403)" in why
        assert "docker exec cto-control-plane sed" in instead
        assert bench.provider().state() is ProviderState.READY

    def test_of_one_that_is_locked_the_fix_is_told(self, bench: KindBench) -> None:
        bench.file.parent.mkdir(parents=True)
        lock = bench.file.with_name("config.lock")
        lock.touch()
        provider = bench.makes()
        why, _ = provider.reach().notes
        assert "(CTO-1404)" in why
        assert f"rm {lock}" in why
        lock.unlink()
        provider.provision(OPTIONS, bench.said.append)
        assert provider.reach() == bench.provider().reach()

    def test_another_than_the_usual_one_is_named(self, bench: KindBench) -> None:
        assert bench.make().reach().kubeconfig is None
        assert bench.provider(usual=False).reach().kubeconfig == bench.file

    def test_the_current_context_is_switched_only_if_asked_for(self, bench: KindBench) -> None:
        bench.file.parent.mkdir(parents=True)
        bench.file.write_text("current-context: mine\n")
        bench.make()
        assert load_yaml(bench.file.read_text())["current-context"] == "mine"
        bench.make(make_current=True)
        assert load_yaml(bench.file.read_text())["current-context"] == "kind-cto"

    def test_a_new_file_of_root_in_a_container_is_told(self, bench: KindBench) -> None:
        (bench.machine.root / ".dockerenv").touch()
        bench.docker.info = replace(bench.docker.info, host=bench.machine.host.name)
        reach = bench.makes().reach()
        owned_by_root = bench.file.stat().st_uid == 0
        assert any("sudo chown -R" in note for note in reach.notes) == owned_by_root
        assert reach.is_there
        assert bench.makes().reach().notes == ()

    def test_root_who_asked_for_a_file_of_root_is_told_nothing(self, bench: KindBench) -> None:
        (bench.machine.root / ".dockerenv").touch()
        bench.docker.info = replace(bench.docker.info, host=bench.machine.host.name)
        assert bench.makes(owner=(0, 0)).reach().notes == ()

    def test_kind_may_know_nothing(self, bench: KindBench) -> None:
        bench.runner = FakeRunner().on("kind", "create", reply=bench.creates())
        bench.runner.on("kind", "get", "kubeconfig", stdout="{}")
        with pytest.raises(CtoError) as caught:
            bench.make()
        assert caught.value.code == "CTO-1403"
