"""What an installation needs of a cluster, in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cto.catalog import PodRequests, Requests
from cto.engine.planned import Known, known_of
from cto.engine.preflight import VersionRange, needs_of
from cto.engine.rbac import Binding, Right, Role
from cto.events import Phase
from cto.objects import Manifest, ObjectRef
from cto.plan.build import install
from cto.plan.changes import Action
from cto.plan.desired import DesiredComponent, DesiredState
from cto.plan.observed import Observed, ReleaseRecord
from cto.plan.pulling import PullLogin
from cto.plan.steps import ApplyManifests, ApplyRelease
from cto.ports import ApiKind, ReleaseSpec
from cto.relocation import Relocation
from fakes.cluster import FakeCluster
from fakes.components import RUNS_AGENTS, component, config_map, wanted, wanted_component
from fakes.kinds import builtin
from fakes.releases import FakeReleases, plain_chart
from fakes.world import crd

VERSIONS = VersionRange((1, 33), (1, 35))
WEB = component("web", volumes=True)
API = component("api", release="my-api")
PLAIN = component("plain")


def ask(pods: int, cpu: str, memory: str) -> PodRequests:
    return PodRequests(pods=pods, requests=Requests(cpu=cpu, memory=memory))


def test_requests_of_all_pods_are_added_up() -> None:
    web = (ask(2, "100m", "64Mi"), ask(0, "8", "64Gi"))
    wish = wanted(
        wanted_component(WEB, asked=web),
        wanted_component(API, asked=(ask(1, "0.3", "128Mi"),)),
        wanted_component(PLAIN),
    )
    needs = needs_of(wish, VERSIONS, Known())
    assert (needs.cpu, needs.memory) == ("500m", str(256 << 20))
    assert needs.kubernetes is VERSIONS


def test_volumes_are_needed_if_one_component_claims_some() -> None:
    with_volumes = wanted(wanted_component(API), wanted_component(WEB))
    assert needs_of(with_volumes, VERSIONS, Known()).volumes
    assert not needs_of(wanted(wanted_component(API)), VERSIONS, Known()).volumes


def test_what_must_be_ours_is_named_with_its_definitions() -> None:
    wish = wanted(wanted_component(WEB), wanted_component(API))
    crds = {"web": [crd("webs.example.com", "Web")]}
    found = needs_of(wish, VERSIONS, Known(crds=crds)).components
    assert [(item.name, item.namespace, item.release, item.crds) for item in found] == [
        ("web", "web-ns", "web", ("webs.example.com",)),
        ("api", "api-ns", "my-api", ()),
    ]


def test_nothing_needs_nothing() -> None:
    needs = needs_of(wanted(), VERSIONS, Known())
    assert (needs.cpu, needs.memory, needs.volumes, needs.components) == ("0m", "0", False, ())


KINDS = tuple(builtin())


def known(wish: DesiredState, observed: Observed | None = None, **more: Any) -> Known:
    """Return what is known of an empty cluster, or of what was observed."""
    seen = observed or Observed(kube_version="v1.34.0")
    settings = {"kinds": KINDS, "namespaces": seen.namespaces, **more}
    return Known(steps=install(wish, seen).steps, **settings)


def asked(wish: DesiredState, observed: Observed | None = None, **more: Any) -> Sequence[Right]:
    return needs_of(wish, VERSIONS, known(wish, observed, **more)).rights.single


def verbs(rights: Sequence[Right], resource: str, namespace: str = "") -> set[str]:
    return {r.verb for r in rights if (r.kind, r.namespace) == (resource, namespace)}


def test_a_namespace_is_only_to_be_made_where_it_is_missing() -> None:
    wish = wanted(wanted_component(PLAIN))
    ours = {"app.kubernetes.io/managed-by": "cto"}
    there = {"cto-system": ours, "plain-ns": ours}
    unlabelled = {**there, "plain-ns": {}}

    def rights(namespaces: dict[str, dict[str, str]]) -> set[str]:
        observed = Observed(kube_version="v1.34.0", namespaces=namespaces)
        return verbs(asked(wish, observed), "namespaces")

    assert rights({}) == {"get", "list", "create", "patch"}
    assert rights({"plain-ns": ours}) == {"get", "list", "create"}
    assert rights(unlabelled) == {"get", "list", "patch"}
    assert rights(there) == {"get", "list"}


def test_what_charts_render_is_to_be_written_where_it_will_be() -> None:
    """Nothing is asked for that no chart has."""
    role: Manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "web"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "web"},
        "roleRef": {"kind": "ClusterRole", "name": "web"},
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}}
    wish = wanted(wanted_component(PLAIN))
    rendered = {"plain": [role, binding, config, claim, config_map("there", "other")]}

    needs = needs_of(wish, VERSIONS, known(wish, rendered=rendered))

    made = {"get", "list", "create", "patch", "delete"}
    rights = needs.rights.single
    assert verbs(rights, "clusterroles.rbac.authorization.k8s.io") == made
    assert verbs(rights, "configmaps", "plain-ns") == made
    assert verbs(rights, "configmaps", "other") == made
    assert verbs(rights, "persistentvolumeclaims", "plain-ns") == {*made, "watch"}
    assert verbs(rights, "secrets", "plain-ns") == {"get", "list", "create", "update", "delete"}
    # While Helm waits for hooks, their Jobs, pods and events are followed.
    for kind in ("jobs.batch", "pods", "events"):
        assert verbs(rights, kind, "plain-ns") == {"list", "watch"}
    kinds = {right.kind for right in rights}
    assert not kinds & {"deployments.apps", "ingresses.networking.k8s.io", "subjectaccessreviews"}
    assert needs.rights.roles == (Role("ClusterRole", "web", "", tuple(role["rules"])),)
    assert needs.rights.bindings == (Binding("web", "plain-ns", "ClusterRole", "web"),)


def test_an_unchanged_platform_asks_for_what_looking_takes() -> None:
    wish = wanted(wanted_component(PLAIN))
    steps = [
        replace(step, action=Action.KEEP)
        for step in install(wish, Observed(kube_version="v1.34.0")).steps
    ]
    still = Known(steps=steps, kinds=KINDS, namespaces={"cto-system": {}, "plain-ns": {}})

    rights = needs_of(wish, VERSIONS, still).rights.single

    assert {right.namespace for right in rights} == {"", "cto-system"}
    assert len(rights) == 11


def test_own_objects_are_to_be_made_and_followed_whoever_defines_their_kind() -> None:
    """One kind is offered already, one will be, one has no namespace, and one nobody knows."""
    role = {"apiVersion": "rbac.example.com/v1", "kind": "Role", "metadata": {"name": "r"}}
    web = {
        "apiVersion": "example.com/v1",
        "kind": "Web",
        "metadata": {"name": "w", "namespace": "web-ns"},
    }
    lost = {"apiVersion": "lost.example.com/v1", "kind": "Lost", "metadata": {"name": "l"}}
    item = component("web", crds={"source": "crds"})
    wish = wanted(
        wanted_component(item, before=(config_map("a", "there"), role), after=(web, lost))
    )
    kinds = (
        *KINDS,
        ApiKind("rbac.example.com/v1", "Role", "roles", namespaced=False, verbs=frozenset()),
    )

    rights = asked(wish, crds={"web": [crd("webbes.example.com", "Web")]}, kinds=kinds)

    applied = {"get", "list", "create", "patch"}
    assert verbs(rights, "configmaps", "there") == applied
    assert verbs(rights, "webbes.example.com", "web-ns") == {*applied, "watch"}
    assert verbs(rights, "roles.rbac.example.com") == {*applied, "watch"}
    definitions = "customresourcedefinitions.apiextensions.k8s.io"
    assert verbs(rights, definitions) == {*applied, "watch"}


def test_what_is_no_longer_wanted_is_to_be_deleted() -> None:
    gone = ObjectRef("v1", "ConfigMap", "there", "gone")
    step = ApplyManifests(
        id="after:web",
        phase=Phase.CORE,
        title="",
        action=Action.UPDATE,
        component="web",
        manifests=(config_map("a", "there"),),
        prune=(gone,),
    )
    needs = needs_of(wanted(), VERSIONS, Known(steps=[step], kinds=KINDS))

    assert verbs(needs.rights.single, "configmaps", "there") >= {"delete", "patch"}


def test_a_changed_release_replaces_deployments_and_a_login_patches_an_account() -> None:
    wish = wanted(
        wanted_component(PLAIN),
        login=PullLogin(host="r.example.com", username="u", secret_path="registry.password"),
    )
    steps = install(wish, Observed(kube_version="v1.34.0")).steps
    steps = tuple(
        replace(step, action=Action.UPDATE) if isinstance(step, ApplyRelease) else step
        for step in steps
    )

    needs = needs_of(wish, VERSIONS, Known(steps=steps, kinds=KINDS))

    rights = needs.rights.single
    assert verbs(rights, "deployments.apps", "plain-ns") == {"get", "update"}
    assert verbs(rights, "serviceaccounts", "plain-ns") == {"get", "patch"}


def test_a_probe_and_a_run_are_to_be_allowed_where_there_is_one() -> None:
    probe = {"service": "web", "port": 80, "path": "/"}
    probed = component("controller", ready={"probe": probe}, health=RUNS_AGENTS)
    rights = asked(wanted(wanted_component(probed), wanted_component(API)))

    assert verbs(rights, "services/proxy", "controller-ns") == {"get"}
    assert verbs(rights, "coderuns.agents.platform", "controller-ns") == {"create"}
    assert verbs(rights, "subjectaccessreviews.authorization.k8s.io") == {"create"}
    assert not verbs(rights, "services/proxy", "api-ns")


def test_objects_that_earlier_runs_made_are_known() -> None:
    wish = wanted(wanted_component(PLAIN))
    mine = ObjectRef("v1", "ConfigMap", "plain-ns", "mine")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    seen = known(wish, rendered={"plain": [config, new]}, inventory=frozenset([mine]))

    objects = needs_of(wish, VERSIONS, seen).objects

    assert {item.ref.name: item.known for item in objects if item.ref.kind == "ConfigMap"} == {
        "mine": True,
        "new": False,
    }
    assert {item.release for item in objects if item.ref.kind == "ConfigMap"} == {
        ("plain", "plain-ns")
    }


def test_only_what_changes_is_rendered_with_what_the_cluster_offers() -> None:
    cluster = FakeCluster([crd("webs.example.com", "Web")])
    releases = FakeReleases(cluster)
    asked_with: list[Sequence[str]] = []

    def template(spec: ReleaseSpec, **more: Any) -> Sequence[Manifest]:
        asked_with.append(more["api_versions"])
        return plain_chart(spec)

    releases.template = template  # type: ignore[method-assign]
    wish = wanted(wanted_component(PLAIN), wanted_component(API))
    seen = Observed(kube_version="v1.34.0")
    plan = install(wish, seen)
    kept = tuple(
        replace(step, action=Action.KEEP) if step.id == "release:api" else step
        for step in plan.steps
    )

    found = known_of(replace(plan, steps=kept), seen, cluster, lambda _: (), releases)

    assert set(found.rendered) == {"plain"}
    assert asked_with == [("example.com/v1", "example.com/v1/Web")]


def test_only_a_deployed_release_of_ours_is_installed() -> None:
    def record(name: str, status: str, **labels: str) -> ReleaseRecord:
        where = f"{name}-ns"
        return ReleaseRecord(name=name, namespace=where, revision=1, status=status, labels=labels)

    ours = {"cto.dev/managed": "true"}
    records = {
        "web-ns/web": record("web", "deployed", **ours),
        "api-ns/my-api": record("my-api", "failed", **ours),
        "plain-ns/plain": record("plain", "deployed"),
    }
    wish = wanted(*map(wanted_component, (WEB, API, PLAIN)))

    needs = needs_of(wish, VERSIONS, Known(records=records))

    assert needs.settled == ("web-ns",)


def test_an_image_of_the_platform_is_named_as_nodes_pull_it() -> None:
    images = [{"ref": f"docker.io/library/{name}:1", "why": "all"} for name in ("a", "b")]
    plain, imaged = wanted_component(PLAIN), component("imaged", images=images)
    moved = Relocation(images={"docker.io/library/b:1": "registry.example.com/b:1@sha256:ab"})

    def image(item: DesiredComponent) -> str:
        return needs_of(wanted(plain, item), VERSIONS, Known()).image

    assert image(wanted_component(imaged)) == "docker.io/library/a:1"
    assert image(wanted_component(imaged, relocation=moved)) == "registry.example.com/b:1@sha256:ab"
    assert image(plain) == "registry.k8s.io/pause:3.10"
