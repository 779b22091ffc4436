"""Makes nodes enforce NetworkPolicies, by kube-router beside the lab's own pod network.

That network enforces none, and only tests of policies need one that does: the program comes into
the nodes of a cluster that is there, and ends with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lab.images import debian, modules
from lab.tools import apt

from .engine import Engine
from .events import waited

NAME = "kube-router"
_ADMIN = "/etc/kubernetes/admin.conf"
# Beside it: iptables is there, and ipset is Debian's, of the release that nodes are made of.
_IPSET, _LIBRARY = "ipset", "libipset13"
# It ends where the API server does not answer at first. Each sync also follows every event.
_RUN = f"""
while :; do
    {NAME} --kubeconfig={_ADMIN} --run-firewall=true --run-router=false \\
        --run-service-proxy=false --run-loadbalancer=false --iptables-sync-period=30s
    sleep 1
done >/var/log/{NAME}.log 2>&1
"""
_READY_S = 600


def enforce(engine: Engine, nodes: Sequence[str], work: Path) -> None:
    """Wait until nodes are there, and start it on each."""
    files = _files(work)
    first = nodes[0]
    ask = ("exec", first, "kubectl", f"--kubeconfig={_ADMIN}", "get", "nodes", *nodes)

    def are_there() -> bool:
        return engine.run(*ask, code=None).returncode == 0

    waited(f"{', '.join(nodes)} are not there", _READY_S, are_there)
    engine.run("cp", f"{first}:{_ADMIN}", str(work / "admin.conf"))
    files[_ADMIN] = work / "admin.conf"
    for node in nodes:
        for name, file in files.items():
            engine.run("cp", str(file), f"{node}:{name}")
        engine.run("exec", "--detach", node, "sh", "-c", _RUN)
    for node in nodes:
        try:
            waited(
                f"{NAME} does not start on {node}",
                _READY_S,
                partial(_has_rules, engine, node),
            )
        except AssertionError as error:
            log = engine.run("exec", node, "tail", "-n", "30", f"/var/log/{NAME}.log", code=None)
            raise AssertionError(log.stdout) from error


def _has_rules(engine: Engine, node: str) -> bool:
    rules = ("exec", node, "iptables", "-w", "-S", "KUBE-ROUTER-FORWARD")
    return "KUBE-POD-FW" in engine.run(*rules, code=None).stdout


def _files(work: Path) -> dict[str, Path]:
    """Return what is copied, by its name on the node."""
    tree = apt.unpack((_IPSET, _LIBRARY), debian.SUITE, work / "debian")
    (program,) = tree.glob("**/sbin/ipset")
    (library,) = tree.glob("**/libipset.so.13")
    return {
        f"/usr/local/bin/{NAME}": modules.folder() / NAME,
        "/usr/sbin/ipset": program,
        f"/{library.relative_to(tree)}": library.resolve(),
    }
