"""The images that pods of a manifest would pull."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cto.objects import POD_GROUPS, POD_SPECS, Manifest, ref_of

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


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
