"""The settings of a kind cluster follow from what is wanted and what is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.adapters.kind.config import (
    HOLD,
    Ranges,
    Shape,
    configuration,
    minor,
    needs_old_cgroups,
    node_ports,
    placed,
    ranges,
    without_proxy,
)
from cto.objects import load_yaml

CATALOG = {30080: 8080, 30300: 3000, 31200: 80, 32746: 2746}
RANGES = Ranges("10.244.0.0/16", "10.96.0.0/16")


def shape(nodes: int = 1, *, old_cgroups: bool = False) -> Shape:
    return Shape(
        cluster="cto",
        nodes=nodes,
        profile="minimal",
        ports={30080: 8080},
        ranges=RANGES,
        old_cgroups=old_cgroups,
    )


class TestConfiguration:
    def test_one_node_is_everything(self) -> None:
        made = configuration(shape())
        assert made == {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {
                "apiServerAddress": "127.0.0.1",
                "podSubnet": "10.244.0.0/16",
                "serviceSubnet": "10.96.0.0/16",
            },
            "containerdConfigPatches": made["containerdConfigPatches"],
            "kubeadmConfigPatches": made["kubeadmConfigPatches"],
            "nodes": [
                {
                    "role": "control-plane",
                    "labels": {"cto": "true", "profile": "minimal"},
                    "extraPortMappings": [
                        {
                            "containerPort": 30080,
                            "hostPort": 8080,
                            "listenAddress": "127.0.0.1",
                            "protocol": "TCP",
                        }
                    ],
                }
            ],
        }
        assert "/etc/containerd/certs.d" in made["containerdConfigPatches"][0]

    def test_more_nodes_are_workers_without_ports(self) -> None:
        nodes = configuration(shape(3))["nodes"]
        assert [node["role"] for node in nodes] == ["control-plane", "worker", "worker"]
        assert "extraPortMappings" not in nodes[1]
        assert nodes[2]["labels"] == {"cto": "true", "profile": "minimal"}

    def test_kubelets_are_told_to_take_old_cgroups_only_where_they_have_to_be(self) -> None:
        told = "kind: KubeletConfiguration\nfailCgroupV1: false\n"
        assert told not in configuration(shape())["kubeadmConfigPatches"]
        assert told in configuration(shape(old_cgroups=True))["kubeadmConfigPatches"]

    def test_images_are_pulled_side_by_side(self) -> None:
        patches = [load_yaml(text) for text in configuration(shape())["kubeadmConfigPatches"]]
        (kubelet,) = [patch for patch in patches if patch["kind"] == "KubeletConfiguration"]
        # Without the first, kubelets refuse the second.
        assert (kubelet["serializeImagePulls"], kubelet["maxParallelImagePulls"]) == (False, 3)
        assert kubelet["serverTLSBootstrap"] is True

    def test_no_pod_starts_on_a_node_before_it_is_told_where_images_come_from(self) -> None:
        patches = [load_yaml(text) for text in configuration(shape())["kubeadmConfigPatches"]]
        taints = {
            one["kind"]: one["nodeRegistration"]["taints"]
            for one in patches
            if "nodeRegistration" in one
        }
        held = {"key": HOLD, "effect": "NoSchedule"}
        own = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
        assert taints == {"InitConfiguration": [own, held], "JoinConfiguration": [held]}

    @pytest.mark.parametrize(
        ("version", "cgroup", "needed"),
        [
            ("v1.34.4", 1, False),
            ("v1.35.0", 1, True),
            ("v1.35.0", 2, False),
            ("v2.0.0", 1, True),
            ("latest", 1, False),
        ],
    )
    def test_that_depends_on_the_version(self, version: str, cgroup: int, *, needed: bool) -> None:
        assert needs_old_cgroups(version, cgroup) is needed

    def test_a_version_is_read_with_and_without_its_letter(self) -> None:
        assert (minor("v1.34.4"), minor("1.9"), minor("x")) == ((1, 34), (1, 9), (0, 0))


class TestPorts:
    def test_they_are_the_same_for_every_profile(self) -> None:
        assert sorted(node_ports(CATALOG).values()) == [80, 443, 2746, 3000, 8080]

    def test_free_ones_stay(self) -> None:
        assert placed(CATALOG, ()) == CATALOG

    def test_a_taken_one_moves_to_the_next_that_nobody_has_or_wants(self) -> None:
        assert placed(CATALOG, {8080})[30080] == 8081
        assert placed(CATALOG, {8080, 8081})[30080] == 8082

    def test_a_privileged_one_moves_to_where_no_privilege_is_needed(self) -> None:
        assert placed(CATALOG, {80})[31200] == 8081
        assert placed({1: 80}, {80}) == {1: 8080}

    @given(st.sets(st.sampled_from([80, 443, 2746, 3000, 8080, 8081, 8082, 8443, 3001])))
    def test_nobody_gets_a_taken_one_nor_two_the_same(self, taken: set[int]) -> None:
        wanted = node_ports(CATALOG)
        result = placed(wanted, taken)
        assert result.keys() == wanted.keys()
        assert not taken & set(result.values())
        assert len(set(result.values())) == len(wanted)
        for node, port in wanted.items():
            assert port in taken or result[node] == port


class TestRanges:
    def test_the_usual_ones_if_they_are_free(self) -> None:
        assert ranges(["172.17.0.0/16", "fc00:f853:ccd:e793::/64"]) == RANGES

    def test_others_if_docker_has_them(self) -> None:
        found = ranges(["10.244.8.0/24", "10.96.0.0/12"])
        assert found == Ranges("10.245.0.0/16", "10.112.0.0/16")

    def test_none_if_everything_is_taken(self) -> None:
        assert ranges(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]) is None


class TestProxy:
    @pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY"])
    def test_that_of_docker_s_configuration_counts(self, name: str) -> None:
        assert without_proxy({}, ["b"], {name: "http://proxy"})["NO_PROXY"] == "b"

    def test_exceptions_for_containers_alone_need_none(self) -> None:
        assert without_proxy({}, ["b"], {"NO_PROXY": "a"}) == {}

    def test_exceptions_of_both_are_kept(self) -> None:
        env = {"HTTPS_PROXY": "http://proxy", "NO_PROXY": "a"}
        found = without_proxy(env, ["c"], {"HTTP_PROXY": "http://other", "NO_PROXY": "b, a"})
        assert found["no_proxy"] == "a,b,c"

    def test_nothing_changes_where_there_is_none(self) -> None:
        assert without_proxy({"NO_PROXY": "a"}, ["b"]) == {}

    def test_our_ranges_come_after_what_the_user_said(self) -> None:
        env = {"https_proxy": "http://proxy", "no_proxy": "a, b,,"}
        assert without_proxy(env, ["b", "10.0.0.0/8"]) == {
            "NO_PROXY": "a,b,10.0.0.0/8",
            "no_proxy": "a,b,10.0.0.0/8",
        }
