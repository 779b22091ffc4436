"""A provider whose cluster is a flag."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cto.errors import ToolError
from cto.ports import Access, Cluster, NodeOptions, ProviderState, Reach
from cto.result import Check


class FakeProvider:
    """Implements `ports.Provider`.

    Attributes:
        checks: What `validate` returns.
        left: What `leftovers` returns.
        fails: Raised by the next `provision`.
        provisioned: The options of each `provision`.
        labelled: The profile of each `label`.
        to_get: What `reach` tells of a kubeconfig that the user has yet to get.
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        simulated: bool = False,
        creates: bool = True,
        ready: bool = True,
        kubeconfig: Path = Path("/nowhere/kubeconfig"),
    ) -> None:
        self.name = name
        self.simulated = simulated
        self.creates = creates
        self.resizes = creates
        self.ports: dict[int, int] = {}
        self.checks: tuple[Check, ...] = ()
        self.left: tuple[str, ...] = ()
        self.fails: Exception | None = None
        self.provisioned: list[NodeOptions] = []
        self.labelled: list[str] = []
        self.to_get: tuple[str, ...] = ()
        self._state = ProviderState.READY if ready else ProviderState.ABSENT
        self._access = Access(kubeconfig, name)

    def validate(self) -> Sequence[Check]:
        return self.checks

    def state(self) -> ProviderState:
        return self._state

    def kept_nodes(self) -> int:
        return 0 if self.resizes or self._state is ProviderState.ABSENT else 1

    def kube_version(self) -> str:
        return "v1.34.4"

    def provision(self, options: NodeOptions, progress: Callable[[str], None]) -> Access:
        self.provisioned.append(options)
        if self.fails:
            error, self.fails = self.fails, None
            self._state = ProviderState.PARTIAL
            raise error
        progress("the API server answers")
        self._state = ProviderState.READY
        return self._access

    def access(self) -> Access:
        if self._state is not ProviderState.READY:
            raise ToolError("CTO-1504", f"the cluster of {self.name} is {self._state}")
        return self._access

    def reach(self) -> Reach:
        access = self.access()
        return Reach(
            context=access.context,
            kubeconfig=access.kubeconfig,
            is_there=not self.to_get,
            notes=self.to_get,
            ports=self.ports,
        )

    def published(self) -> Mapping[int, int]:
        return self.ports

    def label(self, cluster: Cluster, profile: str) -> None:
        self.labelled.append(profile)

    def destroy(self) -> bool:
        existed = self._state is not ProviderState.ABSENT
        self._state = ProviderState.ABSENT
        return existed

    def leftovers(self) -> Sequence[str]:
        return self.left
