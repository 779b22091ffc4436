"""How long each cause may last before waiting for its end makes no sense. Data only."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Kubelet tries again after 10, 20, 40... and at last every 300 seconds. What a user has mended
# shows only at the next try, so a pod that failed for long gets that time.
# https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
# Controllers that may not create pods try again likewise, after as long as it has failed already.
BACK_OFF_S = 330.0


@dataclass(frozen=True)
class WaitLimit:
    """One row of the table.

    Attributes:
        name: Stable; a cause that changes its words but not its row goes on counting.
        code: Of the error once patience is over.
        patience_s: How long the cause may last; infinite means until the step's timeout.
        reason: Why that long.
        backs_off: Whether the next try may be minutes away (see BACK_OFF_S).
    """

    name: str
    code: str
    patience_s: float
    reason: str
    backs_off: bool = False

    def patience_for(self, age_s: float) -> float:
        """Return the patience with an object that has existed for so long."""
        if not self.backs_off:
            return self.patience_s
        # The next try is about as far away as the first one is past.
        return max(self.patience_s, min(BACK_OFF_S, self.patience_s + age_s))


# The order is the order of telling: what is told first explains what comes after.
ROWS = (
    WaitLimit(
        "control-plane",
        "CTO-1713",
        180,
        "control planes that are restarted or upgraded are back within a minute or two",
    ),
    WaitLimit(
        "job-failed", "CTO-1704", 5, "a Job that failed stays failed; Helm gets time to say so"
    ),
    WaitLimit("image-name", "CTO-1701", 0, "a name that cannot be read will not get better"),
    WaitLimit(
        "image-bundle", "CTO-1712", 5, "what a bundle has does not change, and nobody else is asked"
    ),
    WaitLimit(
        "image-missing",
        "CTO-1701",
        20,
        "the registry says that there is no such image; a mirror being filled gets a moment",
        backs_off=True,
    ),
    WaitLimit(
        "image-never", "CTO-1701", 20, "the image is not on the node, and must not be pulled"
    ),
    WaitLimit(
        "image-denied",
        "CTO-1701",
        45,
        "the registry wants other credentials; their Secret may be on its way",
        backs_off=True,
    ),
    WaitLimit(
        "config-missing",
        "CTO-1710",
        60,
        "another step, a hook or an operator may be about to make the Secret or ConfigMap",
        backs_off=True,
    ),
    WaitLimit(
        "start",
        "CTO-1702",
        30,
        "the program is not in the image or not for this machine; mounts may still come",
        backs_off=True,
    ),
    WaitLimit(
        "memory", "CTO-1702", 90, "each run needs the same memory; some need more only at first"
    ),
    WaitLimit(
        "crash",
        "CTO-1702",
        120,
        "programs that look for a neighbour crash a few times until it is there",
        backs_off=True,
    ),
    WaitLimit("quota", "CTO-1707", 45, "pods of another version may be ending", backs_off=True),
    WaitLimit(
        "admission",
        "CTO-1708",
        45,
        "policies are data: they do not change by waiting",
        backs_off=True,
    ),
    WaitLimit("claim-class", "CTO-1705", 30, "a StorageClass does not appear by itself"),
    WaitLimit("claim-provider", "CTO-1705", 120, "provisioners try again, and may be starting"),
    WaitLimit("definition", "CTO-1706", 10, "names in conflict stay so until the other goes away"),
    WaitLimit("unschedulable", "CTO-1703", 60, "room appears only if other pods end"),
    WaitLimit(
        "image-network",
        "CTO-1701",
        300,
        "networks and registries come back; kubelet pauses up to five minutes",
    ),
    WaitLimit(
        "image", "CTO-1701", 120, "the registry's answer says neither yes nor no", backs_off=True
    ),
    WaitLimit("webhook", "CTO-1708", 180, "the webhook's own pods may be starting", backs_off=True),
    WaitLimit(
        "nodes", "CTO-1703", 180, "nodes that just started are not ready for a minute or two"
    ),
    WaitLimit("scale-up", "CTO-1703", 900, "an autoscaler is making a node"),
    WaitLimit("unattended", "CTO-1713", math.inf, "whoever looks late is busy, as far as is known"),
    WaitLimit("attempt", "CTO-1704", math.inf, "the Job has more attempts"),
    WaitLimit("mount", "CTO-1705", math.inf, "volumes are attached and detached in minutes"),
    WaitLimit(
        "create", "CTO-1700", math.inf, "controllers try again to make what they could not make"
    ),
    WaitLimit("sandbox", "CTO-1700", math.inf, "pod networks start with their node"),
    WaitLimit("probe", "CTO-1711", math.inf, "programs answer when they have started"),
    WaitLimit("claim", "CTO-1705", math.inf, "nothing is wrong yet"),
    WaitLimit(
        "namespace-kinds",
        "CTO-1780",
        30,
        "somebody else's API or webhook that is away seldom comes back by itself",
    ),
    WaitLimit("finalizer", "CTO-1709", 120, "a controller that runs acts within seconds"),
    WaitLimit(
        "failed", "CTO-1700", 60, "the kind's own controller gave up; it may take heart again"
    ),
)

_BY_NAME = {row.name: (rank, row) for rank, row in enumerate(ROWS)}


def row(name: str) -> WaitLimit:
    return _BY_NAME[name][1]


def rank(name: str) -> int:
    """Return the place in the order of telling."""
    return _BY_NAME[name][0]
