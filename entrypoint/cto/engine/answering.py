"""Whether nodes and programs answer now: what their status says was written some time ago.

After a restart of a node everything still says Ready until somebody looks again, and for good where
nobody does: https://kubernetes.io/docs/concepts/architecture/nodes/#node-status
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from cto.catalog import Probe
from cto.engine.controlplane import is_over, lease_age_s
from cto.engine.listcache import ListCache
from cto.engine.nodes import is_ready, name_of
from cto.errors import ApiError
from cto.objects import is_simulated
from cto.ports import Cluster

NODE_LEASES = "kube-node-lease"
# What kubelets are told to keep their Leases for, and renew four times as often.
_LEASE_S = 40.0
# Together with everything else a status asks, a second.
PATIENCE_S = 0.8
# Who was silent is asked once more: a false alarm costs more than a few seconds, and on a busy
# machine programs that work take longer.
SECOND_PATIENCE_S = 4.0
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """How the nodes stand.

    Attributes:
        names: All of them.
        unready: Those whose status does not say Ready.
        silent: Of the others, whose Lease is over, and when it was renewed.
        unheard: Of the others, who keep no Lease: nobody knows. Of simulated nodes it is kwok's
            controller that keeps one, if it is told to.
        simulated: Those in whose pods nothing runs.
        unseen: Why the Leases could not be looked at; '' if they could.
    """

    names: tuple[str, ...]
    unready: tuple[str, ...] = ()
    silent: Mapping[str, str]
    unheard: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    unseen: str = ""

    @property
    def answering(self) -> int:
        return len(self.names) - len(self.unready) - len(self.silent)

    @property
    def unknown(self) -> str:
        """What nobody can tell about nodes whose status says Ready; '' if there is nothing."""
        unheard = self.unheard
        if self.unseen:
            return f"whether they answer is not known: {self.unseen}"
        if not unheard:
            return ""
        more = f" and {len(unheard) - 1} more" if len(unheard) > 1 else ""
        return f"whether {unheard[0]}{more} answers is not known: it keeps no Lease"

    @property
    def fix(self) -> str:
        """What helps; '' where there is nothing to help."""
        if self.unready:
            return f"Look at `kubectl describe node {self.unready[0]}`: it says why."
        if self.silent:
            name = next(iter(self.silent))
            if name in self.simulated:
                return kwok_fix(name)
            return (
                f"Look at the machine of node {name}: its kubelet does not run or does not reach "
                "the API server. If it does, its clock is late."
            )
        if self.unseen:
            return f"Allow `list` of leases in namespace {NODE_LEASES} to whoever asks."
        return ""


def kwok_fix(name: str) -> str:
    """Return what helps a simulated node that nobody hears of."""
    return (
        f"Node {name} is simulated: kwok, which speaks for it, does not run or does not reach the "
        "API server. Of a cluster that cto made, `cto install --provider kwok` starts it again."
    )


def look_at_nodes(cluster: Cluster, view: ListCache) -> Nodes:
    """Look at the nodes, and ask when each was last heard of by the API server's clock.

    Their Leases are always asked for anew: they are what tells whether the status still holds.
    """
    nodes = view.nodes()
    names = tuple(name_of(node) for node in nodes)
    unready = tuple(name_of(node) for node in nodes if not is_ready(node))
    fakes = tuple(name_of(node) for node in nodes if is_simulated(node))
    found = Nodes(names=names, unready=unready, silent={}, simulated=fakes)
    try:
        leases = cluster.scan("coordination.k8s.io/v1", "Lease", namespace=NODE_LEASES)
        specs = {lease["metadata"]["name"]: lease.get("spec") or {} for lease in leases}
    except ApiError as error:
        return replace(found, unseen=error.message)
    now = cluster.now()
    told, real = {*names} - {*unready}, {*names} - {*fakes}
    ages = {name: lease_age_s(specs.get(name, {}), now) for name in names if name in told}
    return replace(
        found,
        silent={
            name: specs[name]["renewTime"]
            for name in ages
            if is_over(specs.get(name, {}), now, default_s=_LEASE_S)
        },
        unheard=tuple(name for name, age_s in ages.items() if age_s is None and name in real),
    )


class Program(NamedTuple):
    """What to ask. Up to `worst`, every status is an answer as it should be."""

    namespace: str
    probe: Probe
    worst: int = 399


@dataclass(frozen=True)
class ProbeAnswer:
    """What came of asking a program.

    Attributes:
        problem: Why it does not answer as it should; '' if it does, or nobody could ask.
        unasked: Why it could not be asked; '' if it could.
    """

    problem: str = ""
    unasked: str = ""

    @property
    def answers(self) -> bool:
        return not (self.problem or self.unasked)


def ask_all(cluster: Cluster, programs: Mapping[str, Program]) -> dict[str, ProbeAnswer]:
    """Ask all programs at once; return what came of it by name.

    Each has `PATIENCE_S` to answer, and only who does not another `SECOND_PATIENCE_S`.
    """
    if not programs:
        return {}
    with ThreadPoolExecutor(min(len(programs), _AT_ONCE), thread_name_prefix="probe") as pool:
        found = pool.map(lambda program: _asked(cluster, program), programs.values())
        return dict(zip(programs, found, strict=True))


def _asked(cluster: Cluster, program: Program, *, patience_s: float = PATIENCE_S) -> ProbeAnswer:
    namespace, probe, worst = program
    what = f"service {probe.service} in {namespace}"
    try:
        status = cluster.probe(
            namespace, probe.service, probe.port, probe.path, probe.scheme, timeout_s=patience_s
        )
    except ApiError as error:
        if error.is_unauthorized:
            return ProbeAnswer(unasked=error.message)
        if error.is_silence and patience_s < SECOND_PATIENCE_S:
            return _asked(cluster, program, patience_s=SECOND_PATIENCE_S)
        return ProbeAnswer(f"{what} does not answer within {patience_s:g} s")
    if 200 <= status <= worst:
        return ProbeAnswer()
    return ProbeAnswer(f"{what} answers GET {probe.path} with status {status}")
