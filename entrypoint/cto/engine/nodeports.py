"""Waits for node ports that are reserved though no Service has them.

The API server reserves a Service's fixed node port before it writes the Service. If the request
ends in between, because its client was killed, the reservation stays until the API server's own
repair has missed a Service for it several times: it looks every 3 minutes, and frees the port at
the fourth look (kubernetes, pkg/registry/core/service/portallocator/controller/repair.go).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event as Flag

from cto.engine.verdict import Verdict, Wait
from cto.errors import ApiError, Cancelled, ToolError
from cto.objects import Manifest
from cto.ports import Clock, Cluster

LONGEST_S = 15 * 60.0
_LOOK_S = 5.0
_REFUSAL = re.compile(r"nodePort: Invalid value: (\d+): provided port is already allocated")


def refused_ports(error: ToolError) -> tuple[int, ...]:
    """Return the node ports that the API server refused to give to the release."""
    return tuple(sorted({int(port) for port in _REFUSAL.findall(error.details)}))


@dataclass
class ReservedPorts:
    """Waits until ports are free again.

    Attributes:
        told: Name of the release -> what it waits for. Written by the step, read by the engine.
    """

    cluster: Cluster
    clock: Clock
    told: dict[str, str] = field(default_factory=dict)

    def wait(self, release: str, namespace: str, error: ToolError, cancel: Flag) -> None:
        """Return when the ports that the error names can be had.

        Raises:
            ToolError: CTO-1505 if a Service has one of them; the error itself if they stay
                reserved for longer than Kubernetes takes to free them.
            Cancelled: The flag was set.
        """
        ports = refused_ports(error)
        end = self.clock.monotonic() + LONGEST_S
        try:
            while taken := [port for port in ports if not self._is_free(port, namespace)]:
                self._refuse_holders(taken, release)
                if self.clock.monotonic() >= end:
                    raise error
                self.told[release] = _text(taken)
                if self.clock.wait(cancel, _LOOK_S):
                    raise Cancelled
        finally:
            self.told.pop(release, None)

    def _is_free(self, port: int, namespace: str) -> bool:
        """Ask by a dry run: only the allocator itself knows its reservations."""
        try:
            self.cluster.create(_service(port, namespace), dry_run=True)
        except ApiError as error:
            if not error.is_invalid:
                raise
            return False
        return True

    def _refuse_holders(self, ports: Sequence[int], release: str) -> None:
        held = {
            entry["nodePort"]: f"{service['metadata']['namespace']}/{service['metadata']['name']}"
            for service in self.cluster.list("v1", "Service")
            for entry in service["spec"].get("ports") or ()
            if entry.get("nodePort") in ports
        }
        if held:
            shown = ", ".join(f"{port} by Service {name}" for port, name in sorted(held.items()))
            raise ToolError("CTO-1505", f"Node ports that {release} needs are taken: {shown}")


@dataclass(frozen=True)
class PortsWatch:
    """Tells that a release waits for ports; otherwise, what its hooks wait for."""

    ports: ReservedPorts
    release: str
    hooks: Wait

    def evaluate(self) -> Verdict:
        """Return a verdict that grants time while ports are waited for."""
        told = self.ports.told.get(self.release)
        if told:
            return Verdict(done=False, message=told, patient=True)
        return self.hooks.evaluate()


def _text(ports: Sequence[int]) -> str:
    shown = ", ".join(map(str, ports))
    return (
        f"node port {shown} is still reserved for a request that was killed: Kubernetes frees it "
        "by itself, within 12 minutes"
    )


def _service(port: int, namespace: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cto-port-check", "namespace": namespace},
        "spec": {"type": "NodePort", "ports": [{"port": port, "nodePort": port}]},
    }
