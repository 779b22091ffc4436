"""Which images the platform needs, out of what its charts render and what its catalog lists.

Neither source is enough: a program may pull what no pod spec names, and a list grows stale. Each
is held against the other, and where they disagree somebody has to look. What belongs to the
platform as a whole, and to no component, is in bundle/platform.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cto.catalog import Component
from cto.errors import ConfigError
from cto.objects import POD_GROUPS, POD_SPECS, Manifest, load_yaml, ref_of

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
POD = "pod"
_PLACES = 3
Normalise = Callable[[str], str]
"""Returns a reference with registry, path and tag. Raises ValueError if it is none."""
CLUSTER = "cluster"
NODE = "node"


@dataclass(frozen=True, order=True)
class PodImage:
    """An image as a manifest names it, and where it does."""

    name: str
    place: str


def pod_images(manifest: Manifest) -> Iterator[PodImage]:
    """Yield the images of containers and of image volumes; none for kinds that make no pods.

    A hook's pods count like any other. What a program does with a custom resource is not known
    here: the catalog lists such images.
    """
    ref = ref_of(manifest)
    if ref.group not in POD_GROUPS:
        return
    spec = _pod_spec(manifest)
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            if container.get("image"):
                yield PodImage(container["image"], f"{ref}, container {container.get('name')}")
    # https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
    for volume in spec.get("volumes") or ():
        name = (volume.get("image") or {}).get("reference")
        if name:
            yield PodImage(name, f"{ref}, volume {volume.get('name')}")


def _pod_spec(manifest: Manifest) -> Mapping[str, Any]:
    found: Any = manifest
    path = POD_SPECS.get(manifest["kind"], ())
    for key in path:
        found = found.get(key) or {}
    return found if path else {}


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The objects of one component, for one profile and one version of Kubernetes."""

    component: str
    profile: str
    kube_version: str
    manifests: tuple[Manifest, ...]


@dataclass(frozen=True, order=True)
class Need:
    """Why an image is needed.

    Attributes:
        component: Who needs it.
        where: `pod`, or the place that the catalog names, for what hides.
        profiles: In their usual order.
    """

    component: str
    where: str
    profiles: tuple[str, ...]


def collect(
    components: Sequence[Component],
    renderings: Iterable[Rendering],
    profiles: Sequence[str],
    normalise: Normalise,
) -> dict[str, tuple[Need, ...]]:
    """Return what needs each image but ours, by reference; both sorted.

    Raises:
        ConfigError: CTO-1310. Pods have an image that the catalog does not list, or the catalog
            lists one that no pod has, and not where it hides. Names every one of them.
    """
    seen: dict[str, _Seen] = {component.name: _Seen() for component in components}
    for rendering in renderings:
        seen[rendering.component].add(rendering, normalise)
    ledgers = [_Ledger(one, seen[one.name], profiles, normalise) for one in components]
    problems = [line for ledger in ledgers for line in ledger.problems()]
    if problems:
        raise _disagree(problems)
    found: dict[str, list[Need]] = {}
    for ledger in ledgers:
        for reference, need in ledger.needs():
            found.setdefault(reference, []).append(need)
    return {reference: tuple(sorted(found[reference])) for reference in sorted(found)}


@dataclass
class _Seen:
    """What was rendered of one component."""

    profiles: set[str] = field(default_factory=set)
    pods: dict[str, set[str]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, rendering: Rendering, normalise: Normalise) -> None:
        self.profiles.add(rendering.profile)
        for manifest in rendering.manifests:
            for image in pod_images(manifest):
                self._add(image, rendering, normalise)

    def _add(self, image: PodImage, rendering: Rendering, normalise: Normalise) -> None:
        try:
            reference = normalise(image.name)
        except ValueError:
            self.broken[image.name] = image.place
            return
        self.pods.setdefault(reference, set()).add(rendering.profile)
        place = f"{image.place}; {rendering.profile}, Kubernetes {rendering.kube_version}"
        self.places.setdefault(reference, []).append(place)


class _Ledger:
    """Holds what a component lists against what was seen of it."""

    def __init__(
        self, component: Component, seen: _Seen, profiles: Sequence[str], normalise: Normalise
    ) -> None:
        self._name = component.name
        self._seen = seen
        self._profiles = profiles
        self._broken: list[str] = []
        # Reference -> where it hides, "" if it does not.
        self._listed: dict[str, str] = {}
        self._ours: set[str] = set()
        for image in component.images:
            try:
                reference = normalise(image.reference)
            except ValueError:
                self._broken.append(image.reference)
                continue
            self._listed[reference] = self._listed.get(reference) or image.hides_in
            if image.ours:
                self._ours.add(reference)

    def problems(self) -> Iterator[str]:
        for text in self._broken:
            yield f"{self._name}: {text!r}, under images, is no reference of an image"
        for text, place in self._seen.broken.items():
            yield f"{self._name}: {text!r} is no reference of an image ({place})"
        for reference in sorted(self._seen.pods.keys() - self._listed.keys()):
            places = self._seen.places[reference]
            more = f"; {len(places) - _PLACES} more" if len(places) > _PLACES else ""
            yield (
                f"{self._name}: {reference} is in a pod, and not under images "
                f"({'; '.join(places[:_PLACES])}{more})"
            )
        for reference, hides_in in sorted(self._listed.items()):
            if reference not in self._seen.pods and not hides_in:
                yield (
                    f"{self._name}: {reference} is under images, and neither in a pod of any "
                    "profile nor does hides_in tell where it is"
                )

    def needs(self) -> Iterator[tuple[str, Need]]:
        for reference, hides_in in self._listed.items():
            if reference in self._ours:
                continue
            # What hides may be pulled wherever its component is.
            names = self._seen.profiles if hides_in else self._seen.pods[reference]
            profiles = tuple(name for name in self._profiles if name in names)
            if profiles:
                where = POD if reference in self._seen.pods else hides_in
                yield reference, Need(self._name, where, profiles)


def _disagree(problems: Sequence[str]) -> ConfigError:
    count = f"{len(problems)} images" if len(problems) > 1 else "an image"
    text = f"charts and catalog disagree about {count}"
    hint = (
        "Correct `images` in bundle/components/NAME/component.yaml: list what pods have, take out "
        "what nothing pulls, and say with hides_in where the others are."
    )
    return ConfigError("CTO-1310", text, details="\n".join(problems), hint=hint)


def of_profile(needs: Mapping[str, Sequence[Need]], profile: str) -> tuple[str, ...]:
    """Return the images that a profile needs."""
    return tuple(
        reference
        for reference, found in needs.items()
        if any(profile in need.profiles for need in found)
    )


@dataclass(frozen=True, kw_only=True)
class NodeImage:
    """What nodes of a cluster in Docker are made of.

    Attributes:
        image: As upstream names it, with its tag: `docker.io/kindest/node:v1.34.11`.
        digest: The one that kind was released with.
    """

    image: str
    digest: str

    @property
    def pinned(self) -> str:
        return f"{self.image}@{self.digest}"

    @property
    def kube_version(self) -> str:
        """The version of Kubernetes, which is the tag: `v1.34.11`."""
        return self.image.rpartition(":")[2]


def node_image(bundle: Path) -> NodeImage:
    """Return what the file of a bundle folder says."""
    data = load_yaml((bundle / "platform.yaml").read_text(encoding="utf-8"))[NODE]
    return NodeImage(image=data["image"], digest=data["digest"])


def node_need(
    node: NodeImage, profiles: Sequence[str], normalise: Normalise
) -> dict[str, tuple[Need, ...]]:
    """Return who needs the image: every profile may be installed on a cluster that is made."""
    return {normalise(node.image): (Need(CLUSTER, NODE, tuple(profiles)),)}
