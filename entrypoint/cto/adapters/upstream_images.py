"""Images from where upstream has them: what a cluster in Docker gets without a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cto.adapters import registries
from cto.adapters.container import Engine


class UpstreamImages:
    """Implements `ports.ImageSupply`. Only the node image is ours to bring.

    Args:
        node_image: Its reference. One that Docker has already is not looked for anywhere.
    """

    def __init__(self, engine: Engine, node_image: str) -> None:
        self._engine = engine
        self._node_image = node_image

    def check(self) -> None:
        """Whether upstream can be reached is seen when Docker and nodes pull."""

    def node_image(self, progress: Callable[[str], None]) -> str:
        if self._engine.image(self._node_image) is None:
            progress(f"Docker pulls {self._node_image}")
            self._engine.pull(self._node_image)
        return self._node_image

    def join(self, cluster: str, network: str, nodes: Sequence[str]) -> None:
        """Nodes ask upstream's registries as they are."""

    def leave(self, cluster: str) -> None:
        # An image of cto with a bundle may have made the cluster.
        registries.sweep(self._engine, gone=cluster)

    def leftovers(self) -> Sequence[str]:
        return registries.leftovers(self._engine)
