"""Preflight: every check of a cluster, on a cluster in memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cto import assets
from cto.engine.files import folder_checks
from cto.engine.ownership import ComponentNeeds
from cto.engine.permissions import Right
from cto.engine.preflight import Needs, VersionRange, cluster_checks, supported
from cto.engine.room import Amount, quantity
from cto.errors import ApiError
from cto.objects import Manifest
from cto.result import Check, CheckStatus
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster

VERSIONS = VersionRange((1, 31), (1, 36))
GRAFANA = ComponentNeeds(
    name="grafana", namespace="monitoring", release="grafana", crds=("boards.grafana.io",)
)
NEEDS = Needs(kubernetes=VERSIONS, components=(GRAFANA,), volumes=True, cpu="2", memory="4Gi")
OURS = {"app.kubernetes.io/managed-by": "cto"}


def node(name: str, cpu: str = "4", memory: str = "8Gi", **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory}},
    }


def pod(name: str, namespace: str, cpu: str, memory: str, on: str = "n1") -> Manifest:
    containers = [
        {"name": "a", "resources": {"requests": {"cpu": cpu, "memory": memory}}},
        {"name": "b"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": on, "containers": containers},
        "status": {"phase": "Running"},
    }


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def storage_class(name: str, **annotations: str) -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
    }


def record(release: str, where: str, revision: int, **labels: str) -> Manifest:
    name = f"sh.helm.release.v1.{release}.v{revision}"
    labels |= {"owner": "helm", "name": release, "version": str(revision), "status": "deployed"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where, "labels": labels},
    }


def definition(name: str, **labels: str) -> Manifest:
    plural, _, group = name.partition(".")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "group": group,
            "names": {"kind": plural.title(), "plural": plural},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True}],
        },
    }


def webhook(kind: str, name: str, **rule: Any) -> Manifest:
    rules = [{"apiGroups": [""], "operations": ["CREATE"], **rule}]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": [{"name": "w", "rules": rules}, {"name": "empty"}],
    }


class Restricted(FakeCluster):
    """Who asks is no administrator, and lacks these rights: (verb, resource, namespace)."""

    def __init__(self, *missing: tuple[str, str, str]) -> None:
        super().__init__([node("n1")])
        self.asked: list[dict[str, str]] = []
        self._missing = {*missing, ("*", "*", "")}

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest["kind"] != "SelfSubjectAccessReview":
            return super().create(manifest, dry_run=dry_run)
        asked = manifest["spec"]["resourceAttributes"]
        self.asked.append(asked)
        question = (asked["verb"], asked["resource"], asked.get("namespace", ""))
        return {**manifest, "status": {"allowed": question not in self._missing}}


class OneRegistry(FakeCluster):
    """A policy refuses images of other registries than registry.example.com."""

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest["kind"] == "Pod":
            (container,) = manifest["spec"]["containers"]
            if not container["image"].startswith("registry.example.com/"):
                text = f"image {container['image']} is not allowed"
                raise ApiError("CTO-1605", text, status=403)
        return super().create(manifest, dry_run=dry_run)


@pytest.fixture
def cluster() -> FakeCluster:
    default = storage_class("fast", **{"storageclass.kubernetes.io/is-default-class": "true"})
    return FakeCluster([node("n1"), default])


def checks(cluster: FakeCluster, needs: Needs = NEEDS, **more: Any) -> dict[str, Check]:
    return {check.name: check for check in cluster_checks(cluster, needs, **more)}


def test_a_fitting_cluster_passes_every_check(cluster: FakeCluster) -> None:
    found = checks(cluster, clock=FakeClock())

    assert list(found) == [
        *("version", "permissions", "storage", "room", "foreign", "policies", "pods"),
    ]
    assert {check.status for check in found.values()} == {CheckStatus.PASSED}


def test_checks_change_nothing(cluster: FakeCluster) -> None:
    before = cluster.everything()

    checks(cluster)

    assert cluster.everything() == before


def test_a_cluster_that_does_not_answer_is_the_only_news(cluster: FakeCluster) -> None:
    cluster.fail_next("server_version", ApiError("CTO-1601", "no answer", hint="Start it."))

    (check,) = cluster_checks(cluster, NEEDS)

    assert (check.status, check.code, check.message) == (
        CheckStatus.FAILED,
        "CTO-1601",
        "no answer",
    )
    assert check.fix == "Start it."


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("v1.30.9", CheckStatus.FAILED),
        ("v1.31.0", CheckStatus.PASSED),
        ("v1.36.2-eks-1234", CheckStatus.PASSED),
        ("1.37+", CheckStatus.WARNING),
        ("what?", CheckStatus.FAILED),
    ],
)
def test_versions(version: str, status: CheckStatus) -> None:
    check = cluster_checks(FakeCluster(version=version), NEEDS)[0]

    assert check.status is status
    assert "1.31 to 1.36" in check.message
    assert bool(check.fix) == (status is not CheckStatus.PASSED)


def test_an_unsupported_version_does_not_hide_the_other_checks() -> None:
    assert len(cluster_checks(FakeCluster(version="v1.20.0"), NEEDS)) == 7


def test_the_supported_versions_are_data() -> None:
    versions = supported(assets.root() / "bundle")

    assert versions.low <= (1, 34) <= versions.high


def test_what_cannot_be_checked_is_a_warning(cluster: FakeCluster) -> None:
    cluster.fail_next("list", ApiError("CTO-1602", "nodes is forbidden"), kind="Node")

    room = checks(cluster)["room"]

    assert room.status is CheckStatus.WARNING
    assert "nodes is forbidden" in room.message


class TestPermissions:
    def test_an_administrator_costs_one_question(self, cluster: FakeCluster) -> None:
        checks(cluster)

        assert cluster.count("create", "SelfSubjectAccessReview") == 1

    def test_who_may_do_what_is_needed_is_fine(self) -> None:
        check = checks(Restricted())["permissions"]

        assert check.status is CheckStatus.PASSED
        assert check.message == "everything that is needed is allowed"

    def test_missing_ones_are_listed_with_their_namespace(self) -> None:
        cluster = Restricted(
            ("delete", "customresourcedefinitions", ""),
            ("patch", "secrets", ""),
            ("patch", "secrets", "monitoring"),
        )

        check = checks(cluster)["permissions"]

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1602")
        assert check.items == (
            "delete customresourcedefinitions.apiextensions.k8s.io",
            "patch secrets in namespace monitoring",
        )

    def test_one_line_tells_all_that_is_missing_of_a_kind(self) -> None:
        places = ("", "a", "b")
        parts = tuple(
            ComponentNeeds(name=name, namespace=name, release=name) for name in places if name
        )
        cluster = Restricted(
            ("get", "nodes", ""),
            ("list", "nodes", ""),
            *(("create", "secrets", place) for place in places),
            *(("delete", "secrets", place) for place in places),
        )

        check = checks(cluster, Needs(kubernetes=VERSIONS, components=parts))["permissions"]

        assert check.message == "6 permissions are missing"
        assert check.items == ("get, list nodes", "create, delete secrets in namespaces a, b")

    def test_rights_in_the_namespaces_are_enough_there(self) -> None:
        check = checks(Restricted(("create", "jobs", "")))["permissions"]

        assert check.status is CheckStatus.PASSED

    @pytest.mark.parametrize(
        ("verb", "resource", "where", "told"),
        [
            ("update", "leases", "cto-system", "update leases.coordination.k8s.io"),
            ("update", "configmaps", "cto-system", "update configmaps"),
            ("update", "secrets", "monitoring", "update secrets"),
            ("watch", "pods", "monitoring", "watch pods"),
            ("list", "events", "monitoring", "list events"),
            ("watch", "deployments", "monitoring", "watch deployments.apps"),
            ("create", "coderuns", "monitoring", "create coderuns.agents.platform"),
        ],
    )
    def test_what_the_installer_itself_does_is_asked_for(
        self, verb: str, resource: str, where: str, told: str
    ) -> None:
        right = Right("create", "agents.platform", "coderuns", "monitoring")
        needs = replace(NEEDS, components=(replace(GRAFANA, rights=(right,)),))

        check = checks(Restricted((verb, resource, ""), (verb, resource, where)), needs)

        assert check["permissions"].items == (f"{told} in namespace {where}",)

    def test_a_subresource_is_asked_for_as_such(self) -> None:
        right = Right("get", "", "services/proxy", "monitoring")
        needs = replace(NEEDS, components=(replace(GRAFANA, rights=(right,)),))
        cluster = Restricted()

        checks(cluster, needs)

        asked = {
            "verb": "get",
            "resource": "services",
            "subresource": "proxy",
        }
        assert asked in cluster.asked

    def test_the_platforms_kinds_are_not_asked_for_where_only_the_state_is(self) -> None:
        cluster = Restricted(*(("create", "deployments", where) for where in ("", "cto-system")))

        assert checks(cluster)["permissions"].status is CheckStatus.PASSED

    def test_what_roles_tell_is_not_asked_for(self) -> None:
        right = Right("get", "", "services/proxy", "monitoring")
        needs = replace(NEEDS, components=(replace(GRAFANA, rights=(right,)),))
        cluster = Restricted()
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        cluster.rules = {"monitoring": [everything], "cto-system": [everything]}

        assert checks(cluster, needs)["permissions"].status is CheckStatus.PASSED
        # What has no namespace no role of a namespace grants.
        assert {row["resource"] for row in cluster.asked} == {
            *("*", "namespaces", "nodes", "secrets", "customresourcedefinitions"),
            *("clusterroles", "clusterrolebindings", "subjectaccessreviews"),
            *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        }

    @pytest.mark.parametrize(
        ("rule", "granted"),
        [
            ({"verbs": ["get"], "apiGroups": [""], "resources": ["services/proxy"]}, True),
            ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/proxy"]}, True),
            ({"verbs": ["get"], "apiGroups": [""], "resources": ["services"]}, False),
            ({"verbs": ["list"], "apiGroups": [""], "resources": ["services/proxy"]}, False),
            ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["services/proxy"]}, False),
            ({"verbs": ["get"]}, False),
            (
                {
                    "verbs": ["get"],
                    "apiGroups": [""],
                    "resources": ["services/proxy"],
                    "resourceNames": ["one"],
                },
                False,
            ),
        ],
    )
    def test_rules_are_read_as_the_server_reads_them(
        self, rule: dict[str, list[str]], *, granted: bool
    ) -> None:
        right = Right("get", "", "services/proxy", "monitoring")
        needs = replace(NEEDS, components=(replace(GRAFANA, rights=(right,)),))
        cluster = Restricted(("get", "services", ""), ("get", "services", "monitoring"))
        cluster.rules = {
            "monitoring": [
                rule,
                {"verbs": ["get"], "apiGroups": [""], "resources": ["services"]},
            ]
        }

        check = checks(cluster, needs)["permissions"]

        assert check.items == (() if granted else ("get services/proxy in namespace monitoring",))

    def test_a_server_that_does_not_tell_rules_is_asked_for_each_right(self) -> None:
        cluster = Restricted(("create", "jobs", ""), ("create", "jobs", "monitoring"))
        refused = ApiError("CTO-1602", "forbidden", status=403)
        cluster.fail_next("create", refused, kind="SelfSubjectRulesReview", times=2)

        check = checks(cluster)["permissions"]

        assert check.items == ("create jobs.batch in namespace monitoring",)


class TestStorage:
    def test_no_class_at_all(self) -> None:
        check = checks(FakeCluster([node("n1")]))["storage"]

        assert check.status is CheckStatus.FAILED
        assert check.fix.startswith("Install a provisioner, then: kubectl annotate storageclass ")

    def test_no_default_names_the_line_for_one_that_is_there(self) -> None:
        check = checks(FakeCluster([storage_class("slow"), storage_class("fast")]))["storage"]

        assert check.message == "none of fast, slow is the default"
        assert check.fix == (
            "kubectl annotate storageclass fast storageclass.kubernetes.io/is-default-class=true"
        )

    def test_nothing_is_asked_if_no_volume_is_needed(self) -> None:
        check = checks(FakeCluster(), Needs(kubernetes=VERSIONS))["storage"]

        assert check.status is CheckStatus.SKIPPED


class TestRoom:
    def test_what_others_asked_for_is_taken(self, cluster: FakeCluster) -> None:
        cluster.add(pod("a", "shop", "2500m", "1Gi"))

        check = checks(cluster)["room"]

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1400")
        assert check.message == (
            "1 usable nodes have 1.5 CPU and 7 GiB of memory left, "
            "and 2 CPU and 4 GiB of memory are needed"
        )

    def test_memory_counts_too(self, cluster: FakeCluster) -> None:
        cluster.add(pod("a", "shop", "1", "5Gi"))

        assert checks(cluster)["room"].status is CheckStatus.FAILED

    def test_our_own_and_ended_pods_and_other_nodes_do_not_count(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(namespace("monitoring", **OURS))
        cluster.add(pod("mine", "monitoring", "3", "6Gi"))
        cluster.add({**pod("over", "shop", "3", "6Gi"), "status": {"phase": "Succeeded"}})
        cluster.add(pod("pending", "shop", "3", "6Gi", on="elsewhere"))

        assert checks(cluster)["room"].status is CheckStatus.PASSED

    @pytest.mark.parametrize(
        "spec", [{"unschedulable": True}, {"taints": [{"key": "a", "effect": "NoSchedule"}]}]
    )
    def test_nodes_that_take_no_pods_do_not_count(self, spec: dict[str, Any]) -> None:
        found = checks(FakeCluster([node("n1", **spec)]))

        assert found["room"].message.startswith("0 usable nodes")

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("2", 2),
            ("500m", Fraction(1, 2)),
            ("1.5Gi", 3 * 2**29),
            ("4k", 4000),
            ("1e3", 1000),
            ("2E", 2 * 10**18),
            ("100u", Fraction(1, 10_000)),
        ],
    )
    def test_quantities(self, text: str, value: Fraction) -> None:
        assert quantity(text) == value

    @pytest.mark.parametrize("text", ["", "Gi", "1Zi", "one"])
    def test_what_is_no_quantity(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no quantity"):
            quantity(text)

    def test_amounts_add_up(self) -> None:
        one = Amount.of("500m", "1Gi")

        assert str(one + one - Amount.of("0", "512Mi")) == "1 CPU and 1.5 GiB of memory"


class TestForeign:
    def test_what_is_ours_is_no_obstacle(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring", **OURS))
        cluster.add(record("grafana", "monitoring", 2, **{"cto.dev/managed": "true"}))
        cluster.add(definition("boards.grafana.io", **OURS))

        assert checks(cluster)["foreign"].status is CheckStatus.PASSED

    def test_everything_foreign_is_named_with_both_ways_out(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring"))
        cluster.add(record("grafana", "monitoring", 1))
        cluster.add(record("grafana", "monitoring", 2))
        cluster.add(definition("boards.grafana.io"))

        check = checks(cluster)["foreign"]

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1401")
        assert check.items == (
            "Helm release grafana in monitoring",
            "Namespace monitoring",
            "CustomResourceDefinition boards.grafana.io",
        )
        assert "components.grafana.mode: external" in check.fix
        label = "app.kubernetes.io/managed-by=cto"
        for command in (
            "kubectl label secret sh.helm.release.v1.grafana.v2 -n monitoring cto.dev/managed=true",
            f"kubectl label namespace monitoring --overwrite {label}",
            f"kubectl label crd boards.grafana.io --overwrite {label}",
        ):
            assert f"  {command}" in check.fix.splitlines()

    def test_a_namespace_of_two_components_is_named_once(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring"))
        other = ComponentNeeds(name="victoria", namespace="monitoring", release="vm")
        needs = Needs(kubernetes=VERSIONS, components=(GRAFANA, other))

        check = checks(cluster, needs)["foreign"]

        assert check.items == ("Namespace monitoring",)
        assert check.fix.count("kubectl label") == 1
        assert "components.victoria.mode: external" in check.fix

    def test_the_installers_own_namespace_can_only_be_handed_over(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(namespace("cto-system"))

        check = checks(cluster)["foreign"]

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1401")
        assert check.items == ("Namespace cto-system",)
        assert check.fix == (
            "Hand it over, to be changed and one day removed by this installer:\n"
            "  kubectl label namespace cto-system --overwrite app.kubernetes.io/managed-by=cto"
        )

    def test_the_same_names_elsewhere_are_no_obstacle(self, cluster: FakeCluster) -> None:
        cluster.add(record("grafana", "theirs", 1))
        cluster.add(definition("other.grafana.io"))

        assert checks(cluster)["foreign"].status is CheckStatus.PASSED


class TestAdmission:
    def test_what_looks_at_pods_is_named(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring", **OURS, **{ENFORCE: "restricted"}))
        cluster.add(webhook("ValidatingWebhookConfiguration", "kyverno", resources=["pods"]))
        cluster.add(webhook("MutatingWebhookConfiguration", "istio", resources=["*/*"]))
        cluster.add(webhook("MutatingWebhookConfiguration", "certs", resources=["secrets"]))
        cluster.add(
            webhook(
                "MutatingWebhookConfiguration",
                "deletes",
                resources=["pods"],
                operations=["DELETE"],
            )
        )
        cluster.add(policy("no-latest", {"resourceRules": [POD_RULE]}))
        cluster.add(policy("matches-nothing", None))

        check = checks(cluster)["policies"]

        assert check.status is CheckStatus.WARNING
        assert check.items == (
            "Namespace monitoring enforces the Pod Security level restricted",
            "MutatingWebhookConfiguration istio",
            "ValidatingWebhookConfiguration kyverno",
            "ValidatingAdmissionPolicy no-latest",
        )

    def test_other_namespaces_and_levels_that_allow_all_are_not_named(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(namespace("monitoring", **OURS, **{ENFORCE: "privileged"}))
        cluster.add(namespace("theirs", **{ENFORCE: "restricted"}))

        assert checks(cluster)["policies"].status is CheckStatus.PASSED

    def test_a_pod_that_is_refused_in_our_namespace_fails(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring", **OURS))
        refused = ApiError("CTO-1605", "admission denied", details="policy no-latest")
        cluster.fail_next("create", refused, kind="Pod")

        check = checks(cluster)["pods"]

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1400")
        assert check.items == ("monitoring: admission denied policy no-latest",)

    def test_a_pod_unlike_those_that_were_let_in_proves_nothing(self, cluster: FakeCluster) -> None:
        """A quota that the platform fills, a label that its own values give: it is healthy."""
        cluster.add(namespace("monitoring", **OURS))
        cluster.fail_next("create", ApiError("CTO-1605", "exceeded quota"), kind="Pod")
        needs = replace(NEEDS, components=(replace(GRAFANA, installed=True),))

        check = checks(cluster, needs)["pods"]

        assert (check.status, check.code) == (CheckStatus.WARNING, "")
        assert check.items == ("monitoring: exceeded quota",)

    def test_one_namespace_without_a_release_is_enough_to_fail(self, cluster: FakeCluster) -> None:
        for name in ("monitoring", "fresh"):
            cluster.add(namespace(name, **OURS))
        refused = ApiError("CTO-1605", "admission denied")
        cluster.fail_next("create", refused, kind="Pod", times=2)
        fresh = ComponentNeeds(name="fresh", namespace="fresh", release="fresh")
        needs = replace(NEEDS, components=(replace(GRAFANA, installed=True), fresh))

        assert checks(cluster, needs)["pods"].code == "CTO-1400"

    def test_where_only_one_registry_is_let_in_the_platforms_own_image_is(self) -> None:
        """All images come from there, and so does the one that the pod names."""
        cluster = OneRegistry([namespace("monitoring", **OURS)])
        needs = replace(NEEDS, image="registry.example.com/cto/grafana:1@sha256:ab")

        assert checks(cluster, needs)["pods"].status is CheckStatus.PASSED
        assert checks(cluster)["pods"].status is CheckStatus.FAILED

    def test_a_pod_that_is_refused_in_namespace_default_is_a_warning(
        self, cluster: FakeCluster
    ) -> None:
        cluster.fail_next("create", ApiError("CTO-1605", "admission denied"), kind="Pod")

        check = checks(cluster)["pods"]

        assert (check.status, check.code) == (CheckStatus.WARNING, "")

    def test_an_account_that_is_not_there_yet_is_no_refusal(self, cluster: FakeCluster) -> None:
        text = 'error looking up service account: serviceaccount "default" not found'
        cluster.fail_next("create", ApiError("CTO-1605", text), kind="Pod")

        assert checks(cluster, clock=FakeClock())["pods"].status is CheckStatus.PASSED

    def test_a_namespace_that_still_goes_is_not_asked(self, cluster: FakeCluster) -> None:
        """An installation right after a removal: it is waited for, and made again."""
        going = namespace("monitoring", **OURS)
        going["metadata"]["deletionTimestamp"] = "2030-01-02T03:04:05Z"
        cluster.add(going)

        assert checks(cluster)["pods"].message == "accepted in default"

    def test_a_namespace_that_goes_meanwhile_refuses_nothing(self, cluster: FakeCluster) -> None:
        cluster.add(namespace("monitoring", **OURS))
        text = "unable to create new content in namespace monitoring because it is being terminated"
        cluster.fail_next("create", ApiError("CTO-1602", text), kind="Pod")

        assert checks(cluster)["pods"].status is CheckStatus.PASSED

    def test_clocks_that_differ_are_a_warning(self, cluster: FakeCluster) -> None:
        clock = FakeClock()
        clock.advance(300)

        check = checks(cluster, clock=clock)["pods"]

        assert check.status is CheckStatus.WARNING
        assert "differ by 300 s" in check.message


ENFORCE = "pod-security.kubernetes.io/enforce"
POD_RULE = {"apiGroups": ["*"], "resources": ["pods"], "operations": ["*"]}


def policy(name: str, constraints: object) -> Manifest:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": constraints},
    }


class TestFolders:
    def test_room_and_the_right_to_write(self, tmp_path: Path) -> None:
        (check,) = folder_checks({tmp_path / "not" / "yet": 1 << 30}, free=lambda _: 1 << 30)

        assert check.status is CheckStatus.PASSED
        assert check.message == "1.0 GiB are free, and 1.0 GiB are needed"

    def test_too_little_room_names_how_much(self, tmp_path: Path) -> None:
        (check,) = folder_checks({tmp_path: 3 << 30}, free=lambda _: 1 << 30)

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1400")
        assert check.fix == f"Free 2.0 GiB on the file system of {tmp_path}."

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "cache").touch()

        (check,) = folder_checks({tmp_path / "cache": 0})

        assert check.fix == f"Make {tmp_path / 'cache'} a folder that can be written to."
