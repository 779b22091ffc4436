"""Webhooks that would refuse what is written, found before anything is."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.planned import PlannedObject
from cto.engine.webhooks import check
from cto.errors import ApiError
from cto.objects import Manifest
from cto.result import Check, CheckStatus
from fakes.cluster import FakeCluster
from unit.engine.plans import deployment, planned, small

VALIDATING = "ValidatingWebhookConfiguration"
THERE = {"web": {"team": "a"}}


def webhook(*resources: str, kind: str = VALIDATING, service: bool = True, **more: Any) -> Manifest:
    """Return a configuration `guard` whose webhook looks at these resources."""
    client: dict[str, Any] = {"service": {"namespace": "guards", "name": "guard", "port": 443}}
    if not service:
        client = {"url": "https://guard.example.com"}
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": [*resources]}
    rules = [{**rule, "operations": ["CREATE"], **more.pop("rule", {})}]
    hook = {"name": "guard.example.com", "clientConfig": client, "rules": rules, **more}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "guard"},
        "webhooks": [hook],
    }


def service(*, ready: bool | None = None, kind: str = "ClusterIP") -> list[Manifest]:
    """Return the webhook's Service, and its endpoints if it has some."""
    metadata = {"name": "guard", "namespace": "guards"}
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": kind}}
    ]
    if ready is not None:
        labels = {"kubernetes.io/service-name": "guard"}
        endpoint = {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}
        made.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "guard-1", "namespace": "guards", "labels": labels},
                "endpoints": [endpoint],
            }
        )
    return made


def found(objects: list[Manifest], *writes: PlannedObject) -> Check:
    return check(FakeCluster(objects), writes or [small("ConfigMap")], THERE)


def test_without_webhooks_nothing_is_in_the_way() -> None:
    assert found([]).message == "none looks at what is written"


@pytest.mark.parametrize("kind", [VALIDATING, "MutatingWebhookConfiguration"])
@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([], "its Service guard in guards is not there"),
        (service(), "its Service guard in guards has no ready endpoints"),
        (service(ready=False), "its Service guard in guards has no ready endpoints"),
    ],
)
def test_a_dead_one_is_named_with_its_service_and_what_it_refuses(
    kind: str, objects: list[Manifest], reason: str
) -> None:
    check_ = found([webhook("configmaps", "services", kind=kind), *objects])

    assert (check_.status, check_.code) == (CheckStatus.FAILED, "CTO-1475")
    assert check_.message == "1 has to answer and cannot"
    (item,) = check_.items
    assert item == (
        f"{kind} guard (webhook guard.example.com) refuses configmaps in web, "
        f"configmaps in cto-system: {reason}"
    )
    assert "kubectl -n guards get service,endpointslices,pods" in check_.fix
    assert check_.fix.endswith(f"kubectl delete {kind.lower()} guard")


@pytest.mark.parametrize(
    ("resources", "write"),
    [
        (("namespaces",), small("Namespace", namespace="")),
        (("services",), small("Service")),
        (("secrets",), small("Secret")),
        (("deployments",), deployment()),
        # Its controller is refused as we would be.
        (("pods",), deployment()),
        (("customresourcedefinitions",), small("CustomResourceDefinition", namespace="")),
        (("clusterroles",), small("ClusterRole", namespace="")),
        (("*",), small("ServiceAccount")),
        (("*/*",), small("ServiceAccount")),
        # What the installer and Helm keep for themselves.
        (("leases",), small("ServiceAccount")),
        (("configmaps",), small("ServiceAccount")),
        (("secrets",), small("ServiceAccount")),
    ],
)
def test_every_kind_that_is_written_counts(
    resources: tuple[str, ...], write: PlannedObject
) -> None:
    assert found([webhook(*resources)], write).code == "CTO-1475"


@pytest.mark.parametrize(
    "hook",
    [
        webhook("configmaps", failurePolicy="Ignore"),
        webhook("ingresses"),
        webhook("pods/exec"),
        webhook("configmaps", rule={"operations": ["DELETE"]}),
        webhook("configmaps", rule={"apiGroups": ["apps"]}),
        webhook("configmaps", rule={"scope": "Cluster"}),
        webhook("configmaps", namespaceSelector={"matchLabels": {"guarded": "yes"}}),
        webhook("configmaps", objectSelector={"matchLabels": {"guarded": "yes"}}),
    ],
)
def test_what_looks_elsewhere_is_not_in_the_way(hook: Manifest) -> None:
    assert found([hook]).status is CheckStatus.PASSED


def selector(operator: str, *values: str) -> dict[str, Any]:
    key = "kubernetes.io/metadata.name"
    return {"matchExpressions": [{"key": key, "operator": operator, "values": [*values]}]}


def test_namespaces_are_selected_by_their_names_and_by_labels_that_they_will_have() -> None:
    ours = ("web", "cto-system", "new")
    fresh = small("Namespace", "new", "")
    fresh.manifest["metadata"]["labels"] = {"guarded": "yes"}
    inside = small("ConfigMap", namespace="new")

    def selected(namespace_selector: dict[str, Any], resource: str = "configmaps") -> bool:
        hook = webhook(resource, namespaceSelector=namespace_selector)
        return found([hook], fresh, inside).status is CheckStatus.FAILED

    assert not selected(selector("NotIn", *ours))
    assert selected(selector("In", "new"))
    assert selected({"matchLabels": {"guarded": "yes"}})
    # A namespace is selected by its own labels; what has none, always.
    assert selected({"matchLabels": {"guarded": "yes"}}, "namespaces")
    assert not selected({"matchLabels": {"guarded": "no"}}, "namespaces")
    hook = webhook("clusterroles", namespaceSelector={"matchLabels": {"guarded": "no"}})
    assert found([hook], small("ClusterRole", namespace="")).status is CheckStatus.FAILED


def refusing(text: str, *objects: Manifest) -> FakeCluster:
    cluster = FakeCluster(objects)
    cluster.add(small("Namespace", "web", "").manifest)
    cluster.fail_next("create", ApiError("CTO-1600", text, status=500), kind="ConfigMap")
    return cluster


SILENT = (
    'Internal error occurred: failed calling webhook "guard.example.com": failed to call webhook: '
    'Post "https://guard.guards.svc:443/?timeout=10s": tls: unknown authority'
)


@pytest.mark.parametrize("by_service", [True, False])
def test_one_that_has_endpoints_and_cannot_be_called_is_found_by_a_dry_run(
    *, by_service: bool
) -> None:
    """A certificate that nobody trusts, a firewall between: only the API server knows."""
    cluster = refusing(SILENT, webhook("configmaps", service=by_service), *service(ready=True))
    before = cluster.everything()

    made = check(cluster, [small("ConfigMap")], THERE)

    assert made.code == "CTO-1475"
    assert made.items[0].endswith("tls: unknown authority")
    assert made.items[0].startswith(f"{VALIDATING} guard (webhook guard.example.com) refuses ")
    assert ("Service guard" in made.fix) == by_service
    assert cluster.everything() == before


def test_one_that_refuses_is_told_with_its_words() -> None:
    text = 'admission webhook "guard.example.com" denied the request: label owner is missing'
    cluster = refusing(text, webhook("configmaps"), *service(ready=True))

    made = check(cluster, [small("ConfigMap")], THERE)

    assert made.message == "1 refuses"
    assert made.items[0].endswith(text)
    assert (
        made.fix == f"Except the platform's namespaces from the policy behind {VALIDATING} guard."
    )


@pytest.mark.parametrize(
    "text",
    [
        'failed calling webhook "another.example.com": no route to host',
        "configmaps is forbidden: User cannot create resource",
        'admission webhook "guard.example.com" does not support dry run',
        'configmaps "web" already exists',
    ],
)
def test_what_a_dry_run_says_of_other_things_is_not_held_against_it(text: str) -> None:
    cluster = refusing(text, webhook("configmaps"), *service(ready=True))

    assert check(cluster, [small("ConfigMap")], THERE).status is CheckStatus.PASSED


def test_what_a_condition_lets_pass_only_the_server_knows() -> None:
    conditions = [{"name": "c", "expression": "false"}]

    assert found([webhook("configmaps", matchConditions=conditions)]).message == (
        "none is in the way"
    )


def test_a_name_outside_of_the_cluster_has_no_endpoints_and_may_answer() -> None:
    made = found([webhook("configmaps"), *service(kind="ExternalName")])

    assert made.status is CheckStatus.PASSED


def test_where_nothing_is_written_nobody_is_asked() -> None:
    cluster = FakeCluster([webhook("*")])

    assert check(cluster, [], THERE).status is CheckStatus.PASSED
    assert not [call for call in cluster.calls if call[0] in {"list", "create"}]


def test_objects_without_a_namespace_in_their_chart_are_tried_in_that_of_the_release() -> None:
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bare"}}
    made = planned({**bare, "metadata": {"name": "bare", "namespace": "web"}})
    cluster = refusing(SILENT, webhook("configmaps"), *service(ready=True))

    check(cluster, [made], THERE)

    assert ("create", "ConfigMap", "web", "bare") in cluster.calls
