"""What an installation needs of a cluster, in sum."""

from __future__ import annotations

from cto.engine.needs import needs_of
from cto.engine.preflight import VersionRange
from fakes.components import component, wanted, wanted_component

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
    needs = needs_of(wish, VERSIONS, {}, ha=False)
    assert (needs.cpu, needs.memory) == ("500m", str(256 << 20))
    assert needs.kubernetes is VERSIONS


def test_a_profile_of_ones_own_is_as_big_as_standard_or_production() -> None:
    wish = wanted(wanted_component(WEB), profile="mine")
    assert needs_of(wish, VERSIONS, {}, ha=False).cpu == "1000m"
    assert needs_of(wish, VERSIONS, {}, ha=True).cpu == "2000m"


def test_volumes_are_needed_if_one_component_claims_some() -> None:
    with_volumes = wanted(wanted_component(API), wanted_component(WEB))
    assert needs_of(with_volumes, VERSIONS, {}, ha=False).volumes
    assert not needs_of(wanted(wanted_component(API)), VERSIONS, {}, ha=False).volumes


def test_what_must_be_ours_is_named_with_its_definitions() -> None:
    wish = wanted(wanted_component(WEB), wanted_component(API))
    crds = {"web": ["webs.example.com"]}
    found = needs_of(wish, VERSIONS, crds, ha=False).components
    assert [(item.name, item.namespace, item.release, item.crds) for item in found] == [
        ("web", "web-ns", "web", ("webs.example.com",)),
        ("api", "api-ns", "my-api", ()),
    ]


def test_nothing_needs_nothing() -> None:
    needs = needs_of(wanted(), VERSIONS, {}, ha=False)
    assert (needs.cpu, needs.memory, needs.volumes, needs.components) == ("0m", "0", False, ())
