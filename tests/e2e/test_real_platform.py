"""A standard platform of upstream's own programs: from a bare cluster to the same bare cluster."""

from __future__ import annotations

import pytest

from cto.objects import dump_yaml
from lab.images import modules

from .agents import assert_agents_work
from .events import waited
from .forge import Forge
from .gitops import assert_applications_work, assert_printed_log_in_works
from .installer import CLUSTER, KUBE, Installer
from .inventory import objects
from .probes import assert_healthy
from .real import assert_a_database_works, assert_a_workflow_runs, needs

PROGRAMS = [tool.name for tool in modules.PROGRAMS]
pytestmark = [pytest.mark.docker, pytest.mark.slow, needs(*PROGRAMS)]

# As the command line makes one, and nothing on it; two nodes have room for standard on two cores.
BARE = """
import os, pathlib, sys
sys.path.insert(0, "/opt/cto/site")
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.ports import NodeOptions
options = NodeOptions(nodes=2, profile="standard", cpu=1, memory_gib=1)
places = {name: pathlib.Path(os.environ[f"CTO_{name.upper()}"]) for name in ("bundle", "tools")}
wiring = Wiring(CommandSettings(ClusterOptions(**places)))
wiring.configure()
wiring.provider("kind").provision(options, print)
"""
CONFIG = {
    "databases": {"postgresql": [{"name": "shop", "namespace": "shop", "size": "1Gi"}]},
    "agents": {"rex": {"resources": {"cpu": "100m", "memory": "256Mi"}}},
}
# The API server goes on to delete what namespaces and definitions had, after both are gone.
GONE_S = 120


def test_a_cluster_is_afterwards_what_it_was_before(installer: Installer, tell: list[str]) -> None:
    installer.run("-I", "-c", BARE, flags=["--entrypoint=python3"])
    installer.kubectl("wait", "pods", "-A", "--all", "--for=condition=Ready", "--timeout=180s")
    # A kubelet makes it some time after its node is ready.
    lease = ("-n", "kube-node-lease", "--for=create", "--timeout=60s")
    installer.kubectl("wait", f"lease/{CLUSTER}-worker", *lease)
    before = objects(installer)
    assert f"Node <none> {CLUSTER}-worker" in before

    forge = Forge()
    (installer.kube / "standard.yaml").write_text(dump_yaml({**CONFIG, **forge.for_argo_cd}))
    installed = installer.install("standard", "--config", f"{KUBE}/standard.yaml")
    assert_healthy(installed, installer.engine)
    tell.append(assert_a_workflow_runs(installer))
    tell.append(assert_a_database_works(installer, "shop", "shop"))
    assert_printed_log_in_works(installer)
    forge.start(installer, agents=False)
    tell.append(assert_applications_work(installer, forge))
    # Last: it takes the servers of git away.
    tell.append(assert_agents_work(installer))

    installer.uninstall("--delete-data", "--delete-crds")

    def left() -> dict[str, set[str]]:
        now = objects(installer)
        changes = {"made": now - before, "lost": before - now}
        return {what: found for what, found in changes.items() if found}

    took = waited(f"other objects: {left()}", GONE_S, lambda: not left())
    tell.append(f"{len(before)} objects before and after, {took:.0f} s after the command ended")
