"""Preflight: every check of a cluster, on a cluster in memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cto import assets
from cto.engine.capacity import Amount
from cto.engine.ownership import ComponentNeeds
from cto.engine.permissions import roles_for
from cto.engine.planned import PlannedObject, Resource
from cto.engine.preflight import Needs, VersionRange, cluster_checks, supported
from cto.engine.rbac import Binding, Right, Rights, Role
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, quantity
from cto.result import Check, CheckStatus
from cto.storage import folder_checks
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster

VERSIONS = VersionRange((1, 31), (1, 36))
GRAFANA = ComponentNeeds(
    name="grafana", namespace="monitoring", release="grafana", crds=("boards.grafana.io",)
)
# Some of what a plan does.
RIGHTS = (
    Right("list", "", "nodes"),
    Right("get", "", "namespaces"),
    *(
        Right(verb, "apiextensions.k8s.io", "customresourcedefinitions")
        for verb in ("create", "delete")
    ),
    Right("update", "coordination.k8s.io", "leases", "cto-system"),
    Right("update", "", "configmaps", "cto-system"),
    *(
        Right(verb, "", "secrets", "monitoring")
        for verb in ("get", "create", "patch", "update", "delete")
    ),
    Right("watch", "", "pods", "monitoring"),
    Right("list", "", "events", "monitoring"),
    Right("watch", "apps", "deployments", "monitoring"),
    Right("create", "batch", "jobs", "monitoring"),
    Right("get", "", "services/proxy", "monitoring"),
)
NEEDS = Needs(
    kubernetes=VERSIONS,
    components=(GRAFANA,),
    rights=Rights(single=RIGHTS),
    volumes=True,
    cpu="2",
    memory="4Gi",
)
RBAC = "rbac.authorization.k8s.io"
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
        *("architecture", "quotas", "webhooks"),
    ]
    assert found.pop("architecture").status is CheckStatus.SKIPPED
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
    assert len(cluster_checks(FakeCluster(version="v1.20.0"), NEEDS)) == 10


def test_the_supported_versions_are_data() -> None:
    versions = supported(assets.root() / "bundle")

    assert versions.low <= (1, 34) <= versions.high


def test_what_cannot_be_checked_is_a_warning(cluster: FakeCluster) -> None:
    cluster.fail_next("list", ApiError("CTO-1602", "nodes is forbidden"), kind="Node")

    room = checks(cluster)["room"]

    assert room.status is CheckStatus.WARNING
    assert "nodes is forbidden" in room.message


def needing(*rights: Right, **more: Any) -> Needs:
    return replace(NEEDS, rights=Rights(single=rights, **more))


class TestPermissions:
    def test_an_administrator_costs_one_question(self, cluster: FakeCluster) -> None:
        checks(cluster)

        assert cluster.count("create", "SelfSubjectAccessReview") == 1

    def test_who_may_do_what_is_needed_is_fine(self) -> None:
        check = checks(Restricted())["permissions"]

        assert check.status is CheckStatus.PASSED
        assert check.message == "everything that is needed is allowed"
        assert check.manifests == ()

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

    def test_what_an_administrator_may_apply_grants_just_what_is_missing(self) -> None:
        places = ("", "a", "b")
        rights = [
            Right(verb, group, resource, place)
            for place in places
            for group, resource in (("", "secrets"), ("", "services"), ("apps", "deployments"))
            for verb in ("create", "patch")
            if place or resource != "services"
        ]
        missing = (("*", "*", "*"),)
        cluster = FakeCluster()
        cluster.denied = set(missing)

        found = checks(cluster, needing(*rights))["permissions"].manifests

        name = found[0]["metadata"]["name"]
        assert name.startswith("cto-installer-")
        assert [(item["kind"], item["metadata"]) for item in found] == [
            ("ClusterRole", {"name": name}),
            ("Role", {"name": name, "namespace": "a"}),
            ("Role", {"name": name, "namespace": "b"}),
        ]
        verbs = ["create", "patch"]
        assert found[0]["rules"] == [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
        ]
        assert found[1]["rules"][0]["resources"] == ["secrets", "services"]

    def test_no_role_takes_the_place_of_another_one(self) -> None:
        """`kubectl apply` of the next message's would take back what the last one's gave."""
        one, two = Right("list", "", "nodes"), Right("get", "", "secrets")
        asked = [((one,), "me"), ((two,), "me"), ((one, two), "me"), ((one,), "you")]
        names = {roles_for(rights, (), user)[0]["metadata"]["name"] for rights, user in asked}
        assert len(names) == len(asked)

    def test_where_nobody_knows_the_namespaces_all_is_in_the_cluster_role(self) -> None:
        """A Role of a namespace that is not there could not be applied."""
        rights = [Right("get", "", "secrets", place) for place in ("a", "b", "")]
        (role,) = roles_for(rights, None)
        assert role["kind"] == "ClusterRole"
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
        assert role["rules"] == rules

    def test_it_is_bound_to_who_asks_where_the_server_tells_who_that_is(self) -> None:
        cluster = FakeCluster()
        cluster.denied = {("*", "*", "*")}
        cluster.user = "system:serviceaccount:ci:deployer"
        rights = [Right("list", "", "nodes"), Right("get", "", "secrets", "a")]

        check = checks(cluster, needing(*rights))["permissions"]

        bindings = [item for item in check.manifests if item["kind"].endswith("Binding")]
        name = bindings[0]["metadata"]["name"]
        assert [(item["kind"], item["metadata"]) for item in bindings] == [
            ("ClusterRoleBinding", {"name": name}),
            ("RoleBinding", {"name": name, "namespace": "a"}),
        ]
        for item in bindings:
            assert item["roleRef"]["kind"] == item["kind"].removesuffix("Binding")
            assert [one["name"] for one in item["subjects"]] == [cluster.user]
        assert "bind it" not in check.fix

    def test_one_line_tells_all_that_is_missing_of_a_kind(self) -> None:
        places = ("a", "b")
        rights = [
            *(Right(verb, "", "nodes") for verb in ("get", "list")),
            *(Right(verb, "", "secrets", place) for place in places for verb in ("get", "delete")),
        ]
        cluster = Restricted(
            ("get", "nodes", ""),
            ("list", "nodes", ""),
            *(("get", "secrets", place) for place in ("", *places)),
            *(("delete", "secrets", place) for place in ("", *places)),
        )

        check = checks(cluster, needing(*rights))["permissions"]

        assert check.message == "6 permissions are missing"
        assert check.items == ("get, list nodes", "get, delete secrets in namespaces a, b")

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
        ],
    )
    def test_what_is_missing_in_a_namespace_names_it(
        self, verb: str, resource: str, where: str, told: str
    ) -> None:
        check = checks(Restricted((verb, resource, ""), (verb, resource, where)))

        assert check["permissions"].items == (f"{told} in namespace {where}",)
        assert check["permissions"].message == "1 permission is missing"

    def test_a_subresource_is_asked_for_as_such(self) -> None:
        cluster = Restricted()

        checks(cluster)

        asked = {
            "verb": "get",
            "resource": "services",
            "subresource": "proxy",
        }
        assert asked in cluster.asked

    def test_nothing_is_asked_for_that_the_plan_does_not_do(self) -> None:
        cluster = Restricted()

        checks(cluster, needing(Right("list", "", "nodes")))

        assert [(row["verb"], row["resource"]) for row in cluster.asked] == [
            ("*", "*"),
            ("list", "nodes"),
        ]

    def test_what_roles_tell_is_not_asked_for(self) -> None:
        cluster = Restricted()
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        cluster.rules = {"monitoring": [everything], "cto-system": [everything]}

        assert checks(cluster)["permissions"].status is CheckStatus.PASSED
        # What has no namespace no role of a namespace grants.
        assert {row["resource"] for row in cluster.asked} == {
            *("*", "namespaces", "nodes", "customresourcedefinitions"),
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
        needs = needing(Right("get", "", "services/proxy", "monitoring"))
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


def rule(*verbs: str, resources: tuple[str, ...] = ("pods",), **more: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": [*resources], "verbs": [*verbs], **more}


WATCHER = Role("ClusterRole", "watcher", "", (rule("get", "watch"),))
ESCALATE = ("escalate", "clusterroles", "")
BIND = ("bind", "clusterroles", "")


class TestEscalation:
    """Who writes roles and bindings must have what they grant, or be let give more."""

    def needs(self, *roles: Role, bindings: tuple[Binding, ...] = ()) -> Needs:
        return needing(roles=roles, bindings=bindings)

    def test_who_may_escalate_is_asked_for_nothing_else(self) -> None:
        cluster = Restricted(("get", "pods", ""))

        assert checks(cluster, self.needs(WATCHER))["permissions"].status is CheckStatus.PASSED
        assert [row["verb"] for row in cluster.asked] == ["*", "escalate"]

    def test_who_has_all_that_a_role_grants_may_write_it(self) -> None:
        check = checks(Restricted(ESCALATE), self.needs(WATCHER))["permissions"]

        assert check.status is CheckStatus.PASSED

    def test_who_has_less_needs_escalate_or_what_is_named(self) -> None:
        cluster = Restricted(ESCALATE, ("watch", "pods", ""))

        check = checks(cluster, self.needs(WATCHER))["permissions"]

        assert check.code == "CTO-1602"
        assert check.items == (
            f"escalate clusterroles.{RBAC} (or, of what ClusterRole watcher grants: watch pods)",
        )
        (made,) = check.manifests
        assert made["rules"] == [
            {
                "apiGroups": ["rbac.authorization.k8s.io"],
                "resources": ["clusterroles"],
                "verbs": ["escalate"],
            }
        ]

    def test_a_role_that_is_there_and_stays_as_it_is_asks_for_nothing(self) -> None:
        cluster = Restricted(ESCALATE, ("watch", "pods", ""))
        live = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "watcher"},
            "rules": [rule("get", "watch")],
        }
        cluster.add(live)

        assert checks(cluster, self.needs(WATCHER))["permissions"].status is CheckStatus.PASSED

        cluster.add({**live, "rules": [rule("get")]})
        assert checks(cluster, self.needs(WATCHER))["permissions"].items

    def test_who_may_not_look_at_roles_learns_what_is_missing_all_the_same(self) -> None:
        cluster = Restricted(ESCALATE, BIND, ("watch", "pods", ""))
        refused = ApiError("CTO-1602", "clusterroles is forbidden", status=403)
        cluster.fail_next("get", refused, kind="ClusterRole", times=2)
        bindings = (Binding("admins", "", "ClusterRole", "theirs"),)

        check = checks(cluster, self.needs(WATCHER, bindings=bindings))["permissions"]

        assert [item.partition(" ")[0] for item in check.items] == ["escalate", "bind"]

    def test_rights_in_the_roles_own_namespace_count(self) -> None:
        role = Role("Role", "watcher", "monitoring", WATCHER.rules)
        cluster = Restricted(
            ("escalate", "roles", ""), ("escalate", "roles", "monitoring"), ("get", "pods", "")
        )

        assert checks(cluster, self.needs(role))["permissions"].status is CheckStatus.PASSED

    @pytest.mark.parametrize(
        "granted",
        [
            {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            rule("*", resources=("*",)),
            rule("get", resourceNames=["one"]),
        ],
    )
    def test_every_form_of_a_rule_is_asked_for(self, granted: dict[str, Any]) -> None:
        cluster = FakeCluster()
        cluster.denied = {("*", "*", "*")}

        check = checks(cluster, self.needs(Role("ClusterRole", "r", "", (granted,))))

        assert check["permissions"].items[0].startswith("escalate clusterroles")

    def test_a_binding_needs_bind_or_all_of_the_role_that_the_plan_writes(self) -> None:
        binding = Binding("watchers", "", "ClusterRole", "watcher")
        needs = self.needs(WATCHER, bindings=(binding,))

        assert checks(Restricted(BIND), needs)["permissions"].status is CheckStatus.PASSED

        check = checks(Restricted(BIND, ("get", "pods", "")), needs)["permissions"]
        assert check.items == (
            f"bind clusterroles.{RBAC} watcher (or, of what ClusterRole watcher grants: get pods)",
        )
        assert check.manifests[0]["rules"][0]["resourceNames"] == ["watcher"]

    def test_a_binding_to_a_role_that_nobody_knows_needs_bind(self) -> None:
        admin = "cluster-admin"
        binding = Binding("admins", "", "ClusterRole", admin)

        check = checks(Restricted(BIND), self.needs(bindings=(binding,)))["permissions"]

        assert check.items == (
            f"bind clusterroles.{RBAC} {admin} (or, of what ClusterRole {admin} grants: * *.*)",
        )


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


def cluster_role(name: str, **metadata: Any) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, **metadata},
        "rules": [],
    }


def helms(release: str, where: str) -> dict[str, Any]:
    """Return the metadata that Helm writes on what it makes, and looks at."""
    return {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            "meta.helm.sh/release-name": release,
            "meta.helm.sh/release-namespace": where,
        },
    }


def planned(manifest: Manifest, plural: str, group: str, **more: Any) -> PlannedObject:
    metadata = manifest["metadata"]
    where = metadata.get("namespace", "")
    ref = ObjectRef(manifest["apiVersion"], manifest["kind"], where, metadata["name"])
    return PlannedObject(
        component="grafana",
        ref=ref,
        resource=Resource(group, plural, bool(where)),
        manifest=manifest,
        **{"release": ("grafana", "monitoring"), **more},
    )


ROLE = planned(cluster_role("grafana"), "clusterroles", RBAC)


def foreign(cluster: FakeCluster, *objects: PlannedObject) -> Check:
    return checks(cluster, replace(NEEDS, objects=objects))["foreign"]


KINDS = [
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    ("apiregistration.k8s.io/v1", "APIService", "apiservices"),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses"),
    ("networking.k8s.io/v1", "IngressClass", "ingressclasses"),
]


class TestForeignObjects:
    """Of everything that a chart renders, as Helm itself would refuse it half-way."""

    def test_what_the_release_has_is_ours(self, cluster: FakeCluster) -> None:
        cluster.add(cluster_role("grafana", **helms("grafana", "monitoring")))

        assert foreign(cluster, ROLE).status is CheckStatus.PASSED

    @pytest.mark.parametrize(("api_version", "kind", "plural"), KINDS)
    def test_a_leftover_of_any_kind_is_named_with_whose_it_was(
        self, cluster: FakeCluster, api_version: str, kind: str, plural: str
    ) -> None:
        group = api_version.partition("/")[0]
        metadata = {"name": "grafana", **helms("old", "elsewhere")}
        theirs = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
        ours = {**theirs, "metadata": {"name": "grafana"}}
        cluster.add(theirs)

        check = foreign(cluster, planned(ours, plural, group))

        what = f"{plural}.{group} grafana --overwrite"
        of_namespace = "meta.helm.sh/release-namespace=monitoring"
        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1401")
        assert check.message == "1 object was not made by this installer and in the way"
        assert check.items == (
            f"{kind} grafana, left by Helm release old in elsewhere, which is gone",
        )
        assert check.fix.splitlines() == [
            "Use what is there:",
            "  components.grafana.mode: external",
            "or take it away, if nobody needs it:",
            f"  kubectl delete {plural}.{group} grafana",
            "or hand it over, to be changed and one day removed by this installer:",
            f"  kubectl label {what} app.kubernetes.io/managed-by=Helm",
            f"  kubectl annotate {what} meta.helm.sh/release-name=grafana {of_namespace}",
        ]

    def test_what_a_living_release_has_is_not_handed_over(self, cluster: FakeCluster) -> None:
        """That release would take it back."""
        cluster.add(record("graf", "theirs", 3))
        cluster.add(cluster_role("grafana", **helms("graf", "theirs")))

        check = foreign(cluster, ROLE)

        assert check.items == ("ClusterRole grafana, of Helm release graf in theirs",)
        assert "  helm uninstall graf -n theirs" in check.fix.splitlines()
        assert "kubectl" not in check.fix

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({}, ""),
            (
                {"annotations": {"argocd.argoproj.io/tracking-id": "shop:a/B:c/d"}},
                "CD application shop",
            ),
            (
                {"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}},
                ", Flux Kustomization infra",
            ),
            ({"labels": {"olm.owner": "csv"}}, "Manager's csv"),
            ({"labels": {"app.kubernetes.io/managed-by": "terraform"}}, ", managed by terraform"),
            # Helm's words without the release's name are no ownership: Helm refuses it.
            ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ", managed by Helm"),
            (
                {"ownerReferences": [{"apiVersion": "v1", "kind": "Box", "name": "b", "uid": "u"}]},
                ", owned by Box b",
            ),
        ],
    )
    def test_other_owners_are_named_as_far_as_they_can_be_told(
        self, cluster: FakeCluster, metadata: dict[str, Any], told: str
    ) -> None:
        cluster.add(cluster_role("grafana", **metadata))

        (item,) = foreign(cluster, ROLE).items

        assert item.startswith("ClusterRole grafana")
        assert item.endswith(told)

    def test_the_same_name_of_the_release_in_another_namespace_is_not_ours(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(cluster_role("grafana", **helms("grafana", "elsewhere")))

        assert foreign(cluster, ROLE).code == "CTO-1401"

    def test_objects_in_a_namespace_of_ours_count_too(self, cluster: FakeCluster) -> None:
        """Somebody's, or what a release that is gone was told to keep."""
        cluster.add(namespace("monitoring", **OURS))
        theirs = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "grafana", "namespace": "monitoring"},
        }
        cluster.add(theirs)

        check = foreign(cluster, planned(theirs, "configmaps", ""))

        assert check.items == ("ConfigMap grafana in monitoring",)
        assert "  kubectl delete configmaps grafana -n monitoring" in check.fix.splitlines()

    def test_what_the_installer_applies_itself_carries_its_label(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(cluster_role("grafana", labels=OURS))
        assert foreign(cluster, replace(ROLE, release=None)).status is CheckStatus.PASSED

        cluster.add(cluster_role("grafana"))
        what = f"clusterroles.{RBAC} grafana --overwrite"
        assert foreign(cluster, replace(ROLE, release=None)).fix.endswith(
            f"  kubectl label {what} app.kubernetes.io/managed-by=cto"
        )

    @pytest.mark.parametrize(
        ("live", "ours"),
        [
            ({"annotations": {"helm.sh/hook": "pre-install"}}, True),
            ({}, False),
            (helms("other", "theirs"), False),
            (
                {
                    "annotations": {"helm.sh/hook": "pre-install"},
                    "labels": {"app.kubernetes.io/instance": "other"},
                },
                False,
            ),
        ],
    )
    def test_what_an_earlier_hook_left_is_ours_though_helm_marks_it_not(
        self, cluster: FakeCluster, live: dict[str, Any], *, ours: bool
    ) -> None:
        metadata = {"labels": {"app.kubernetes.io/instance": "grafana"}}
        metadata |= {"annotations": {"helm.sh/hook": "pre-install"}}
        hook = planned(cluster_role("grafana", **metadata), "clusterroles", RBAC)
        instance = {"app.kubernetes.io/instance": "grafana"}
        labels = {**instance, **live.get("labels", {})}
        cluster.add(cluster_role("grafana", **{**live, "labels": labels}))

        assert (foreign(cluster, hook).status is CheckStatus.PASSED) == ours

    def test_many_of_a_kind_are_listed_once_and_named_in_one_command(
        self, cluster: FakeCluster
    ) -> None:
        names = [f"r{number}" for number in range(6)]
        objects = [planned(cluster_role(name), "clusterroles", RBAC) for name in names]
        for name in names:
            cluster.add(cluster_role(name))

        check = foreign(cluster, *objects)

        assert len(check.items) == 6
        assert f"  kubectl delete clusterroles.{RBAC} r0 r1 r2 r3 r4 r5" in check.fix.splitlines()
        assert cluster.count("list_metadata", "ClusterRole") == 1

    def test_what_earlier_runs_made_is_not_asked_for(self, cluster: FakeCluster) -> None:
        foreign(cluster, replace(ROLE, known=True))

        assert cluster.count("list_metadata", "ClusterRole") == 0

    def test_of_secrets_nothing_but_metadata_is_read(self, cluster: FakeCluster) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "monitoring"},
        }
        cluster.add(namespace("monitoring", **OURS))
        cluster.add(secret)

        assert foreign(cluster, planned(secret, "secrets", "")).items == ("Secret s in monitoring",)
        assert not {"get", "list"} & {call[0] for call in cluster.calls if call[1] == "Secret"}


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

    def test_the_level_that_the_platform_itself_wants_is_no_news(
        self, cluster: FakeCluster
    ) -> None:
        cluster.add(namespace("monitoring", **OURS, **{ENFORCE: "restricted"}))
        needs = replace(NEEDS, components=(replace(GRAFANA, level="restricted"),))

        assert checks(cluster, needs)["policies"].status is CheckStatus.PASSED
        other = replace(NEEDS, components=(replace(GRAFANA, level="baseline"),))
        assert checks(cluster, other)["policies"].status is CheckStatus.WARNING

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

        assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1485")
        assert check.message == f"{tmp_path / 'cache'} cannot be written: File exists"
        assert check.fix.startswith(
            f"A file is where a folder should be: ls -ld {tmp_path / 'cache'}"
        )
