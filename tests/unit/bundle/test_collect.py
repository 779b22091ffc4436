"""Charts and catalog have to agree about images; then each image's needs are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cto.bundle.collect import Need, Rendering, collect, of_profile
from cto.catalog import Component
from cto.errors import ConfigError
from fakes.components import component
from unit.bundle.parts import rendering

PROFILES = ("minimal", "standard", "production")
UNLISTED = "is in a pod, and not under images"
UNUSED = "is under images, and neither in a pod of any profile nor does hides_in tell where it is"


def listing(name: str, **hidden: str) -> Component:
    """Return a component that lists images: NAME=where it hides; `_` stands for `:`."""
    images = [
        {"ref": ref.replace("_", ":"), "why": "it", "hides_in": where}
        for ref, where in hidden.items()
    ]
    return component(name, images=images)


def gather(components: Sequence[Component], *renderings: Rendering) -> dict[str, Any]:
    return collect(components, renderings, PROFILES, normalise)


def normalise(text: str) -> str:
    if " " in text:
        raise ValueError
    return text.removeprefix("docker.io/")


def problems(components: Sequence[Component], *renderings: Rendering) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        gather(components, *renderings)
    assert caught.value.code == "CTO-1310"
    return caught.value.details.splitlines()


def test_an_image_of_pods_is_needed_where_it_was_rendered() -> None:
    found = gather(
        [listing("web", a_1="", b_1="")],
        rendering("web", "a:1", profile="standard"),
        rendering("web", "docker.io/a:1", "b:1", profile="production"),
        rendering("web", "a:1", profile="minimal"),
    )
    assert found == {
        "a:1": (Need("web", "pod", PROFILES),),
        "b:1": (Need("web", "pod", ("production",)),),
    }


def test_what_hides_is_needed_wherever_its_component_is() -> None:
    found = gather(
        [listing("op", a_1="", b_1="argument")],
        rendering("op", "a:1", profile="production"),
        rendering("op", profile="standard"),
    )
    assert found["b:1"] == (Need("op", "argument", ("standard", "production")),)


def test_what_hides_and_is_in_a_pod_too_is_said_to_be_in_a_pod() -> None:
    found = gather(
        [listing("op", a_1="argument")],
        rendering("op", "a:1", profile="production"),
        rendering("op", profile="minimal"),
    )
    assert found == {"a:1": (Need("op", "pod", ("minimal", "production")),)}


def test_several_components_may_need_one_image() -> None:
    found = gather(
        [listing("web", a_1=""), listing("api", a_1="")],
        rendering("web", "a:1"),
        rendering("api", "a:1"),
    )
    needs = (Need("api", "pod", ("minimal",)), Need("web", "pod", ("minimal",)))
    assert found == {"a:1": needs}


def test_an_image_may_be_listed_for_several_uses() -> None:
    images = [{"ref": "a:1", "why": "cache"}, {"ref": "a:1", "why": "cache, replicated"}]
    found = gather([component("web", images=images)], rendering("web", "a:1"))
    assert found == {"a:1": (Need("web", "pod", ("minimal",)),)}


def test_a_component_that_no_profile_has_needs_nothing() -> None:
    assert gather([listing("extra", a_1="argument")]) == {}


def test_an_image_that_is_not_listed_is_an_error_with_its_places() -> None:
    found = problems([listing("web", a_1="")], rendering("web", "a:1", "x:9"))
    assert found == [
        f"web: x:9 {UNLISTED} (Deployment it in ns, container c1; minimal, Kubernetes v1.31.0)"
    ]


def test_many_places_are_counted() -> None:
    (line,) = problems([listing("web")], rendering("web", *["x:9"] * 5))
    assert line.endswith("container c2; minimal, Kubernetes v1.31.0; 2 more)")


def test_another_components_list_does_not_count() -> None:
    found = problems(
        [listing("web"), listing("api", a_1="")], rendering("web", "a:1"), rendering("api", "a:1")
    )
    assert len(found) == 1
    assert found[0].startswith("web: a:1 is in a pod")


def test_a_listed_image_that_nothing_has_is_an_error() -> None:
    found = problems([listing("web", a_1="", b_1="", c_1="argument")], rendering("web", "a:1"))
    assert found == [f"web: b:1 {UNUSED}"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    parts = [component("web", images=[{"ref": "not one", "why": "it"}]), listing("api", a_1="")]
    with pytest.raises(ConfigError, match="charts and catalog disagree about 3 images") as caught:
        gather(parts, rendering("web", "neither this"))
    assert caught.value.details.splitlines() == [
        "web: 'not one', under images, is no reference of an image",
        "web: 'neither this' is no reference of an image (Deployment it in ns, container c0)",
        f"api: a:1 {UNUSED}",
    ]


def test_the_images_of_a_profile() -> None:
    needs = {
        "a:1": (Need("web", "pod", PROFILES),),
        "b:1": (Need("web", "pod", ("standard",)), Need("op", "pod", ("production",))),
    }
    assert of_profile(needs, "minimal") == ("a:1",)
    assert of_profile(needs, "production") == ("a:1", "b:1")
