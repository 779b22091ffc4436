"""bundle/platform.yaml: what belongs to the platform as a whole, and to no component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cto.bundle.collect import Need, Normalise
from cto.objects import load_yaml

CLUSTER = "cluster"
NODE = "node"


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
