"""What is away, on an API server that has to do with it: named while a command waits, and forgiven.

The scheduler; an APIService without its Service; a conversion webhook. The installation that they
are tried on is made once, by the run that waits for the scheduler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.objects import ObjectRef

from .conftest import NODES, SMALL, Lab
from .runs import Run

INSTALL = ("install", "--provider", "existing", "--config", str(SMALL))
API_SERVICE = """\
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.custom.metrics.k8s.io}
spec:
  group: custom.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: custom-metrics-apiserver, namespace: monitoring}
"""
# Of the version that is served, none is stored: whoever reads one needs the conversion.
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  conversion: CONVERSION
  versions:
    - {name: v1, served: OLD, storage: OLD, schema: &any {openAPIV3Schema: {type: object}}}
    - {name: v2, served: NEW, storage: NEW, schema: *any}
"""
GADGETS = ObjectRef(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "gadgets.example.com"
)
GADGET = "{apiVersion: example.com/v1, kind: Gadget, metadata: {name: one, namespace: cto}}"
WEBHOOK = """\
{strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {service:
    {name: gone, namespace: gadgets}}}}"""


def definition(conversion: str, stored: str) -> str:
    text = DEFINITION.replace("CONVERSION", conversion)
    old, new = ("true", "false") if stored == "v1" else ("false", "true")
    return text.replace("OLD", old).replace("NEW", new)


def process_of(lab: Lab, program: str) -> int:
    """Return the id of a program of the lab's own cluster."""
    work = lab.folder / "state" / "kwok" / "cto" / "clusters" / "cto"
    return int((work / "pids" / f"{program}.pid").read_text())


@pytest.fixture(scope="module")
def unscheduled(vacant: Lab) -> Run:
    """An installation whose pods nobody schedules, until the scheduler is started again."""
    os.kill(process_of(vacant, "kube-scheduler"), signal.SIGKILL)
    waiting = Run(vacant.popen(*INSTALL))
    # The Lease is over after 15 s.
    waiting.told("no scheduler has looked at it: kube-scheduler was last heard of at 20")
    waiting.status = vacant.run("status", code=9).stdout
    # The provider starts again what has ended.
    wiring = Wiring(CommandSettings(ClusterOptions(tools=vacant.tools), env=vacant.env))
    wiring.provider("kwok").provision(NODES, lambda _: None)
    waiting.ended()
    return waiting


@pytest.fixture
def installed(unscheduled: Run, lab: Lab) -> Iterator[Lab]:
    assert unscheduled.process.returncode == 0
    lab.data(*INSTALL)
    yield lab
    lab.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=API_SERVICE)
    if lab.cluster().get(GADGETS):
        # Without the webhook everything that it held can go, and the next test can begin.
        lab.kubectl("apply", "-f", "-", stdin=definition("{strategy: None}", "v2"))
        lab.kubectl("delete", "crd", GADGETS.name)
        gone = ("--for=delete", "namespace/cto-system", "--timeout=120s")
        lab.kubectl("wait", *gone)


def test_a_scheduler_that_is_away_is_named_and_the_run_goes_on_when_it_is_back(
    unscheduled: Run,
) -> None:
    begun = unscheduled.told("Install Multi-Agent Controller", "✓")
    told = unscheduled.told("pod controller-", "no scheduler has looked at it")
    assert unscheduled.is_within(begun, told), unscheduled.text
    assert "kube-scheduler does no work: it was last heard of at 20" in unscheduled.status
    assert unscheduled.process.returncode == 0, unscheduled.text


def run(lab: Lab, *arguments: str) -> Run:
    return Run(lab.popen(*arguments))


def test_an_api_service_without_its_service_is_named_and_what_is_held_goes_with_it(
    installed: Lab,
) -> None:
    cause = (
        "APIService v1beta1.custom.metrics.k8s.io is not available: "
        'service/custom-metrics-apiserver in "monitoring" is not present'
    )
    installed.kubectl("apply", "-f", "-", stdin=API_SERVICE)
    removal = run(installed, "uninstall", "--yes")
    begun = removal.told("Uninstall Multi-Agent Controller", "✓")
    told = removal.told("Delete namespace cto if it is empty", cause)
    assert removal.is_within(begun, told), removal.text
    assert removal.interrupted() == 130

    again = run(installed, *INSTALL)
    begun = again.told("Leave argocd as it is")
    told = again.told("Create namespace cto: the old one is being deleted", cause)
    assert again.is_within(begun, told), again.text

    # What the fix says, while the command waits.
    installed.kubectl("delete", "apiservice", "v1beta1.custom.metrics.k8s.io")
    assert again.ended() == 0, again.text


def test_objects_that_only_a_dead_webhook_could_convert_end_no_removal(installed: Lab) -> None:
    """Kubernetes itself says nothing for half a minute."""
    installed.kubectl("apply", "-f", "-", stdin=definition("{strategy: None}", "v1"))
    installed.kubectl("wait", "--for=condition=Established", "crd/gadgets.example.com")
    installed.kubectl("apply", "-f", "-", stdin=GADGET)
    installed.kubectl("apply", "-f", "-", stdin=definition(WEBHOOK, "v2"))

    removal = run(installed, "uninstall", "--yes")
    removal.told("Delete namespace cto if it is empty", "gadgets.example.com cannot be listed")
    begun = removal.told("Delete the installer's state", "✓")
    told = removal.told(
        "Delete namespace cto-system",
        "CustomResourceDefinition gadgets.example.com cannot be converted: its Service gone in "
        "gadgets is not there",
    )
    assert removal.is_within(begun, told), removal.text
    assert removal.interrupted() == 130
    assert "everything is removed; namespace cto-system is being deleted" in removal.text
    assert installed.cluster().get(ObjectRef("v1", "Namespace", "", "cto"))

    again = run(installed, *INSTALL)
    again.told("Waiting until namespace cto-system is deleted", "gadgets.example.com")
    assert again.interrupted() == 130
