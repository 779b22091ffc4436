"""What the API server would refuse, and what others wrote, is in the plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cto.catalog import load
from cto.config.model import Config
from cto.engine import immutable
from cto.engine.immutable import narrowed
from cto.errors import ApiError, PreflightError, ToolError
from cto.events import StepProgress
from cto.objects import Manifest, ObjectRef
from cto.plan.steps import ApplyRelease, Plan
from cto.ports import ReleaseSpec
from cto.result import CheckStatus
from fakes.components import chart, definition
from fakes.releases import plain_chart
from fakes.world import World, crd, write_components

WEB = definition(
    "web",
    """
crds: {source: crds}
manifests: {after: [glue.yaml.j2]}
""",
)
GLUE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: glue, namespace: web}
data: {a: "1"}
"""
DEPLOYMENT = ObjectRef("apps/v1", "Deployment", "web", "web")
POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
Change = Callable[[Manifest], object]


@pytest.fixture
def world(tmp_path: Path) -> World:
    files = {"component.yaml": WEB, "values.yaml.j2": "{}\n", "glue.yaml.j2": GLUE}
    write_components(tmp_path, {"web": files})
    made = World(load(tmp_path), Config())
    made.crds["web"] = [crd("webs.example.com", "Web")]
    return made


def rendering(world: World, *manifests: Manifest) -> None:
    world.releases.render["web"] = lambda _: copy.deepcopy(manifests)


def upgraded(world: World, *manifests: Manifest) -> Plan:
    """Return the plan of an upgrade to a chart that renders these."""
    rendering(world, *manifests)
    world.charts["web"] = chart("web", "2.0.0")
    return world.installer().plan_install()


def thing(kind: str, api_version: str = "v1", **fields: Any) -> Manifest:
    metadata = {"name": "thing", "namespace": "web"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def selecting(name: str) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"app": name}}, "template": POD}}


CLAIMS = "volumeClaimTemplates"
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role"}
RBAC = "rbac.authorization.k8s.io/v1"
CASES: dict[str, tuple[Manifest, Manifest, str, str]] = {
    "deployment": (
        thing("Deployment", "apps/v1", **selecting("a")),
        thing("Deployment", "apps/v1", **selecting("b")),
        "spec.selector",
        "delete deployment thing -n web",
    ),
    "daemonset": (
        thing("DaemonSet", "apps/v1", **selecting("a")),
        thing("DaemonSet", "apps/v1", **selecting("b")),
        "spec.selector",
        "delete daemonset thing -n web",
    ),
    "statefulset": (
        thing("StatefulSet", "apps/v1", spec={CLAIMS: [{"metadata": {"name": "a"}}]}),
        thing("StatefulSet", "apps/v1", spec={CLAIMS: [{"metadata": {"name": "b"}}]}),
        "spec.volumeClaimTemplates",
        "delete --cascade=orphan statefulset thing -n web",
    ),
    "statefulset's selector": (
        thing("StatefulSet", "apps/v1", **selecting("a")),
        thing("StatefulSet", "apps/v1", **selecting("b")),
        "spec.selector",
        "delete statefulset thing -n web",
    ),
    "job": (
        thing("Job", "batch/v1", spec={"template": POD}),
        thing("Job", "batch/v1", spec={"template": {}}),
        "spec.template",
        "delete job thing -n web",
    ),
    "service": (
        thing("Service", spec={"clusterIP": "10.0.0.1"}),
        thing("Service", spec={"clusterIP": "None"}),
        "spec.clusterIP",
        "delete service thing -n web",
    ),
    "claim": (
        thing("PersistentVolumeClaim", spec={"storageClassName": "a"}),
        thing("PersistentVolumeClaim", spec={"storageClassName": "b"}),
        "spec.storageClassName",
        "get -o yaml persistentvolumeclaim thing -n web",
    ),
    "class": (
        thing("StorageClass", "storage.k8s.io/v1", provisioner="a"),
        thing("StorageClass", "storage.k8s.io/v1", provisioner="b"),
        "provisioner",
        "delete storageclass thing",
    ),
    "binding": (
        thing("RoleBinding", RBAC, roleRef={**ROLE, "name": "a"}),
        thing("RoleBinding", RBAC, roleRef={**ROLE, "name": "b"}),
        "roleRef",
        "delete rolebinding thing -n web",
    ),
    "cluster's binding": (
        thing("ClusterRoleBinding", RBAC, roleRef={**ROLE, "name": "a"}),
        thing("ClusterRoleBinding", RBAC, roleRef={**ROLE, "name": "b"}),
        "roleRef",
        "delete clusterrolebinding thing",
    ),
    "immutable map": (
        thing("ConfigMap", immutable=True, data={"a": "1"}),
        thing("ConfigMap", immutable=True, data={"a": "2"}),
        "data",
        "delete configmap thing -n web",
    ),
    "secret's type": (
        thing("Secret", type="Opaque"),
        thing("Secret", type="kubernetes.io/tls"),
        "type",
        "get -o yaml secret thing -n web",
    ),
}


@pytest.mark.parametrize(("old", "new", "field", "command"), CASES.values(), ids=list(CASES))
def test_a_field_that_cannot_be_changed_is_found_by_the_plan(
    world: World, old: Manifest, new: Manifest, field: str, command: str
) -> None:
    rendering(world, old)
    world.installer().install()
    before = world.cluster.everything()
    plan = upgraded(world, new)
    (check,) = plan.checks
    where = " in web" if old["kind"] not in {"StorageClass", "ClusterRoleBinding"} else ""
    assert (check.status, check.code) == (CheckStatus.FAILED, "CTO-1471")
    assert check.items == (
        (
            f"Web (chart web 2.0.0): {old['kind']} thing{where}: {field}: "
            "Invalid value: field is immutable"
        ),
    )
    assert f"kubectl --context test {command}\n" in check.fix
    with pytest.raises(PreflightError) as error:
        world.installer().install()
    assert error.value.code == "CTO-1471"
    assert world.cluster.everything() == before


OTHERS = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' are "
    "forbidden"
)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"serviceName": "b", "replicas": 3}, "spec.serviceName"),
        ({"serviceName": "b", "claims": [{"size": 2}]}, "spec.serviceName, spec.claims"),
        ({"claims": [{"size": 1}, {"size": 1}], "template": {}}, "spec.claims"),
        ({"claims": [{"size": 1}], "replicas": 3}, "spec"),
        ({"more": {"a": 1}, "serviceName": "a"}, "spec.more"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "spec"),
        (None, "spec"),
    ],
)
def test_where_only_the_whole_is_named_the_field_that_differs_is(wanted: Any, field: str) -> None:
    live = {"spec": {"serviceName": "a", "replicas": 1, "claims": [{"size": 1, "mode": "x"}]}}
    assert narrowed("spec", OTHERS, {"spec": wanted}, live) == field


def test_many_objects_that_cannot_be_tried_are_cut(world: World) -> None:
    world.installer().install()
    world.cluster.fail_next("dry-run", ApiError("CTO-1602", "no", status=403), times=20)
    things = [thing("ConfigMap") for _ in range(15)]
    for number, one in enumerate(things):
        one["metadata"] = {"name": f"thing{number}"}
    (check,) = upgraded(world, *things).checks
    assert len(check.items) == 11
    assert check.items[-1] == "and 5 more"


def test_deleting_the_object_is_the_way_out(world: World) -> None:
    old, new, *_ = CASES["deployment"]
    rendering(world, old)
    world.installer().install()
    upgraded(world, new)
    world.cluster.delete_quietly(ObjectRef("apps/v1", "Deployment", "web", "thing"))
    _, report = world.installer().install()
    assert report.errors == ()


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "Secret", "Widget", "Namespace"])
def test_no_command_that_loses_data_is_proposed(kind: str) -> None:
    lines = immutable.lines(ObjectRef("v1", kind, "web", "thing"), "here")
    assert " delete " not in lines[0]


def test_a_first_installation_and_an_unchanged_one_are_not_tried(world: World) -> None:
    world.installer().install()
    assert world.cluster.count("dry-run") == 0
    world.releases.calls.clear()
    world.installer().install()
    assert world.cluster.count("dry-run") == 0
    assert world.releases.calls == []


def test_what_an_uninstalled_release_left_in_its_namespace_is_tried(world: World) -> None:
    old, new, *_ = CASES["claim"]
    world.cluster.add(old)
    rendering(world, new)
    assert [check.code for check in world.installer().plan_install().checks] == ["CTO-1471"]


def test_the_change_of_a_strategy_that_the_run_mends_first_is_no_reason(world: World) -> None:
    world.installer().install()
    cause = ("spec.strategy.rollingUpdate", "Forbidden: may not be specified")
    refusal = ApiError("CTO-1605", "no", status=422, reason="Invalid", causes=(cause,))
    world.cluster.fail_next("dry-run", refusal, kind="Deployment")
    assert upgraded(world, *plain_chart(spec("2.0.0"))).checks == ()


def spec(version: str) -> ReleaseSpec:
    return ReleaseSpec(name="web", namespace="web", chart=chart("web", version), values={})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ApiError("CTO-1605", "denied the request", status=403), CheckStatus.WARNING),
        (ApiError("CTO-1602", "cannot patch", status=403), CheckStatus.WARNING),
        (ApiError("CTO-1605", "webhook failed", status=500), CheckStatus.WARNING),
        (ApiError("CTO-1605", "is invalid: spec: bad", status=422), CheckStatus.FAILED),
        (ApiError("CTO-1603", "no such namespace", status=404), None),
        (ApiError("CTO-1604", "changed", status=409, reason="Conflict"), None),
    ],
)
def test_only_what_is_certain_stops_a_run(
    world: World, error: ApiError, status: CheckStatus | None
) -> None:
    world.installer().install()
    world.cluster.fail_next("dry-run", error, kind="Deployment")
    checks = upgraded(world, *plain_chart(spec("2.0.0"))).checks
    assert [check.status for check in checks] == ([status] if status else [])
    if status:
        assert checks[0].items[0].startswith("Web (chart web 2.0.0): ")
        assert error.message in checks[0].items[0]


def test_own_objects_of_a_component_are_tried_as_well(world: World) -> None:
    world.installer().install()
    glue = ObjectRef("v1", "ConfigMap", "web", "glue")
    live = {**world.cluster.everything()[glue], "immutable": True}
    live["metadata"]["labels"].pop("cto.dev/digest")
    world.cluster.add({**live, "data": {"a": "other"}})
    (check,) = world.installer().plan_install().checks
    assert check.items == ("Web: ConfigMap glue in web: data: Invalid value: field is immutable",)


def test_a_chart_that_cannot_be_rendered_ends_the_plan(world: World) -> None:
    world.installer().install()

    def broken(_: ReleaseSpec) -> list[Manifest]:
        raise ToolError("CTO-1500", "web cannot be rendered")

    world.charts["web"] = chart("web", "2.0.0")
    world.releases.render["web"] = broken
    with pytest.raises(ToolError, match="web cannot be rendered"):
        world.installer().plan_install()


# what others wrote


def managed(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "time": "2029-12-31T23:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
ENV: dict[str, Any] = {
    "f:spec": {
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {"f:image": {}, "f:command": {}, "f:name": {}}
                }
            }
        }
    }
}


def edited(world: World, change: Change, *entries: dict[str, Any]) -> None:
    live = world.cluster.everything()[DEPLOYMENT]
    change(live)
    live["metadata"]["managedFields"] = list(entries)
    world.cluster.add(live)


def release(plan: Plan) -> ApplyRelease:
    return next(step for step in plan.steps if isinstance(step, ApplyRelease))


def test_a_scaled_deployment_is_in_the_plan_of_any_change(world: World) -> None:
    world.installer().install()
    edited(
        world,
        lambda live: live["spec"].update(replicas=5),
        managed("helm", REPLICAS),
        managed("kubectl", REPLICAS, subresource="scale"),
    )
    step = release(upgraded(world, *plain_chart(spec("2.0.0"))))
    assert step.touches() == (
        "Helm release web in web",
        (
            "take back spec.replicas of Deployment web in web: 5 -> 1 (written by kubectl scale, "
            "2029-12-31T23:00:00Z)"
        ),
    )
    assert step.to_json()["takes_back"] == [
        {
            "object": DEPLOYMENT.to_json(),
            "field": "spec.replicas",
            "manager": "kubectl",
            "subresource": "scale",
            "time": "2029-12-31T23:00:00Z",
            "change": "5 -> 1",
        }
    ]
    plan, _ = world.installer().install()
    told = [event.message for event in world.events if isinstance(event, StepProgress)]
    assert str(step.takes_back[0]) in told
    assert release(plan).takes_back == step.takes_back
    assert world.cluster.everything()[DEPLOYMENT]["spec"]["replicas"] == 1


def test_an_unchanged_release_takes_nothing_back(world: World) -> None:
    world.installer().install()
    edited(world, lambda live: live["spec"].update(replicas=5), managed("kubectl", REPLICAS))
    plan, _ = world.installer().install()
    assert release(plan).takes_back == ()
    assert world.cluster.everything()[DEPLOYMENT]["spec"]["replicas"] == 5


@pytest.mark.parametrize("manager", ["kube-controller-manager", "keda", "kubectl"])
def test_what_an_autoscaler_scales_is_nobodys_drift(world: World, manager: str) -> None:
    world.installer().install()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    world.cluster.add(
        thing("HorizontalPodAutoscaler", "autoscaling/v2", spec={"scaleTargetRef": target})
    )
    edited(world, lambda live: live["spec"].update(replicas=5), managed(manager, REPLICAS))
    assert release(upgraded(world, *plain_chart(spec("2.0.0")))).takes_back == ()


def test_fields_in_lists_are_named_by_their_keys_and_only_images_are_shown(world: World) -> None:
    world.installer().install()

    def change(live: Manifest) -> None:
        container = live["spec"]["template"]["spec"]["containers"][0]
        container.update(image="y", command=["planted-secret"])

    edited(world, change, managed("kubectl-set", ENV))
    wanted = plain_chart(spec("2.0.0"))
    wanted[1]["spec"]["template"]["spec"]["containers"][0]["command"] = ["run"]
    lines = [str(one) for one in release(upgraded(world, *wanted)).takes_back]
    place = "spec.template.spec.containers[main]"
    assert lines == [
        (
            f"take back {place}.command of Deployment web in web (written by kubectl-set, "
            "2029-12-31T23:00:00Z)"
        ),
        (
            f"take back {place}.image of Deployment web in web: y -> x (written by kubectl-set, "
            "2029-12-31T23:00:00Z)"
        ),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        managed("kubectl", {"f:metadata": {"f:annotations": {".": {}, "f:mine": {}}}}),
        managed("controller", {"f:status": {"f:x": {}}}, subresource="status"),
        managed("cto", REPLICAS),
        managed("helm", REPLICAS),
        managed("kubectl", {"f:spec": {"f:paused": {}}}),
        managed("kubectl", {"f:metadata": {"f:finalizers": {'v:"x"': {}}}}),
    ],
)
def test_what_the_run_leaves_alone_is_not_told(world: World, entry: dict[str, Any]) -> None:
    world.installer().install()

    def change(live: Manifest) -> None:
        live["metadata"]["annotations"]["mine"] = "1"
        live["metadata"]["finalizers"] = ["x"]
        live["spec"].update(replicas=5, paused=True)
        live["status"] = {**live["status"], "x": 1}

    edited(world, change, entry)
    assert release(upgraded(world, *plain_chart(spec("2.0.0")))).takes_back == ()


# versions of definitions


def versions(*names: str, served: bool = True) -> Manifest:
    made = crd("webs.example.com", "Web")
    first = made["spec"]["versions"][0]
    made["spec"]["versions"] = [{**first, "name": name, "served": served} for name in names]
    return made


def stored(world: World, *names: str) -> None:
    ref = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "webs.example.com")
    status = world.cluster.everything()[ref]["status"]
    world.cluster.set_status(ref, {**status, "storedVersions": list(names)})


def test_a_definition_that_would_lose_stored_objects_is_refused_with_consent_too(
    world: World,
) -> None:
    world.crds["web"] = [versions("v1", "v2")]
    world.charts["web"] = chart("web", "2.0.0")
    world.installer().install()
    stored(world, "v1", "v2")
    world.crds["web"] = [versions("v1")]
    world.charts["web"] = chart("web", "1.0.0")
    plan = world.installer(allow_downgrade=True).plan_install()
    assert [(check.status, check.code) for check in plan.checks] == [
        (CheckStatus.WARNING, ""),
        (CheckStatus.FAILED, "CTO-1472"),
    ]
    assert plan.checks[1].items == ("Web: webs.example.com has no v2 in chart web 1.0.0",)
    with pytest.raises(PreflightError) as error:
        world.installer(allow_downgrade=True).install()
    assert error.value.code == "CTO-1472"


def test_a_version_that_is_no_longer_served_is_told(world: World) -> None:
    world.crds["web"] = [versions("v1", "v2")]
    world.installer().install()
    stored(world, "v2")
    world.crds["web"] = [versions("v2")]
    world.charts["web"] = chart("web", "2.0.0")
    (check,) = world.installer().plan_install().checks
    assert check.status is CheckStatus.WARNING
    assert check.items == ("Web: webs.example.com no longer serves v1 in chart web 2.0.0",)


def test_definitions_that_only_gain_versions_are_fine(world: World) -> None:
    world.crds["web"] = [versions("v1")]
    world.installer().install()
    stored(world, "v1")
    world.crds["web"] = [versions("v1", "v2"), crd("more.example.com", "More")]
    world.charts["web"] = chart("web", "2.0.0")
    assert world.installer().plan_install().checks == ()
