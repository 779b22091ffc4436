"""What an installation needs of a cluster, in sum."""

from __future__ import annotations

from cto.engine.needs import Known, needs_of
from cto.engine.permissions import Right
from cto.engine.preflight import VersionRange
from cto.plan.observed import ReleaseRecord
from cto.plan.wish import WantedComponent
from cto.ports import ApiKind
from cto.relocation import Relocation
from fakes.components import component, config_map, wanted, wanted_component
from fakes.world import crd

VERSIONS = VersionRange((1, 33), (1, 35))
SIZES = {
    "minimal": {"cpu": "250m", "memory": "128Mi"},
    "standard": {"cpu": "1", "memory": "1Gi"},
    "production": {"cpu": "2", "memory": "2Gi"},
}
WEB = component("web", resources=SIZES, volumes=True)
API = component("api", resources=SIZES, release="my-api")
PLAIN = component("plain")


def test_requests_are_added_up_in_the_size_of_the_profile() -> None:
    wish = wanted(wanted_component(WEB), wanted_component(API), wanted_component(PLAIN))
    needs = needs_of(wish, VERSIONS, Known(), ha=False)
    assert (needs.cpu, needs.memory) == ("500m", str(256 << 20))
    assert needs.kubernetes is VERSIONS


def test_a_profile_of_ones_own_is_as_big_as_standard_or_production() -> None:
    wish = wanted(wanted_component(WEB), profile="mine")
    assert needs_of(wish, VERSIONS, Known(), ha=False).cpu == "1000m"
    assert needs_of(wish, VERSIONS, Known(), ha=True).cpu == "2000m"


def test_volumes_are_needed_if_one_component_claims_some() -> None:
    with_volumes = wanted(wanted_component(API), wanted_component(WEB))
    assert needs_of(with_volumes, VERSIONS, Known(), ha=False).volumes
    assert not needs_of(wanted(wanted_component(API)), VERSIONS, Known(), ha=False).volumes


def test_what_must_be_ours_is_named_with_its_definitions() -> None:
    wish = wanted(wanted_component(WEB), wanted_component(API))
    crds = {"web": [crd("webs.example.com", "Web")]}
    found = needs_of(wish, VERSIONS, Known(crds=crds), ha=False).components
    assert [(item.name, item.namespace, item.release, item.crds) for item in found] == [
        ("web", "web-ns", "web", ("webs.example.com",)),
        ("api", "api-ns", "my-api", ()),
    ]


def test_nothing_needs_nothing() -> None:
    needs = needs_of(wanted(), VERSIONS, Known(), ha=False)
    assert (needs.cpu, needs.memory, needs.volumes, needs.components) == ("0m", "0", False, ())


def test_own_objects_are_to_be_made_and_followed_whoever_defines_their_kind() -> None:
    """One kind is offered already, one will be, and one has no namespace."""
    role = {"apiVersion": "rbac.example.com/v1", "kind": "Role", "metadata": {"name": "r"}}
    web = {"apiVersion": "example.com/v1", "kind": "Web", "metadata": {"name": "w"}}
    wish = wanted(wanted_component(WEB, before=(config_map("a", "there"), role), after=(web,)))
    known = Known(
        crds={"web": [crd("webbes.example.com", "Web")]},
        kinds=[
            ApiKind("v1", "ConfigMap", "configmaps", namespaced=True, verbs=frozenset()),
            ApiKind("rbac.example.com/v1", "Role", "roles", namespaced=False, verbs=frozenset()),
        ],
    )

    (found,) = needs_of(wish, VERSIONS, known, ha=False).components

    verbs = ("get", "list", "create", "patch", "delete", "watch")
    assert found.rights == (
        *(Right(verb, "", "configmaps", "there") for verb in verbs),
        *(Right(verb, "example.com", "webbes", "web-ns") for verb in verbs),
    )


def test_a_probe_a_run_and_an_ingress_are_to_be_allowed_where_there_is_one() -> None:
    probe = {"service": "web", "port": 80, "path": "/"}
    probed = component("controller", ready={"probe": probe})
    values = {"server": {"ingress": {"enabled": True}}}
    wish = wanted(
        wanted_component(probed),
        wanted_component(API, values=values),
        wanted_component(PLAIN, values={"ingress": {"enabled": False}, "other": ["ingress"]}),
    )

    one, two, three = needs_of(wish, VERSIONS, Known(), ha=False).components

    assert one.rights == (
        Right("get", "", "services/proxy", "controller-ns"),
        Right("create", "agents.platform", "coderuns", "controller-ns"),
    )
    assert {(right.resource, right.namespace) for right in two.rights} == {("ingresses", "api-ns")}
    assert three.rights == ()


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

    needs = needs_of(wish, VERSIONS, Known(records=records), ha=False)

    assert needs.settled == ("web-ns",)


def test_an_image_of_the_platform_is_named_as_nodes_pull_it() -> None:
    images = [{"ref": f"docker.io/library/{name}:1", "why": "all"} for name in ("a", "b")]
    plain, imaged = wanted_component(PLAIN), component("imaged", images=images)
    moved = Relocation(images={"docker.io/library/b:1": "registry.example.com/b:1@sha256:ab"})

    def image(item: WantedComponent) -> str:
        return needs_of(wanted(plain, item), VERSIONS, Known(), ha=False).image

    assert image(wanted_component(imaged)) == "docker.io/library/a:1"
    assert image(wanted_component(imaged, relocation=moved)) == "registry.example.com/b:1@sha256:ab"
    assert image(plain) == "registry.k8s.io/pause:3.10"
