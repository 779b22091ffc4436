"""What starts agents, on a real API server: our Sensor's runs, made with the rights that it has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from cto.objects import Manifest
from fakes import sensor
from fakes.deliveries import GUID, commented, event, labelled, opened, ping, pushed, ran, reviewed
from fakes.programs import program

from .bus import Bus, waited
from .conftest import CONTEXT, Lab

CONFIG = """\
github: {organization: acme, repository: shop}
agents: {rex: {enabled: true}, cleo: {enabled: true}, tess: {enabled: true}}
"""
ACCOUNT = "system:serviceaccount:argo-events:flow"
EVENTS: Sequence[tuple[str, Any]] = (
    ("issues", labelled(body="{{ .Input }} \u2028 \x1b[31m \"'\\ ---\nkind: Secret")),
    ("issue_comment", commented()),
    ("pull_request", opened()),
    ("pull_request_review", reviewed()),
    ("workflow_run", ran()),
)


def asked_as(
    lab: Lab, *arguments: str, stdin: str = "", account: str = ACCOUNT
) -> subprocess.CompletedProcess[str]:
    """Ask the API server for something, as an account: that of the Sensor's pod."""
    cluster = ["--kubeconfig", lab.env["KUBECONFIG"], "--context", CONTEXT, "--as", account]
    argv = [str(lab.tools / "kubectl"), *arguments, *cluster]
    return subprocess.run(argv, capture_output=True, text=True, input=stdin, check=False)


@pytest.fixture(scope="module")
def installed(vacant: Lab) -> Lab:
    file = vacant.folder / "flow.yaml"
    file.write_text(CONFIG)
    vacant.install("minimal", "--config", str(file))
    return vacant


def started(lab: Lab, name: str, payload: Any, delivery: str) -> Manifest:
    """Return the run that the installed Sensor would make of a delivery."""
    found = json.loads(lab.kubectl("get", "sensor", "flow", "-n", "argo-events", "-o", "json"))
    (run,) = sensor.fired(found, event(name, payload, delivery))
    return run


def test_every_step_makes_a_run_that_the_schema_takes(installed: Lab) -> None:
    for name, payload in EVENTS:
        run = started(installed, name, payload, f"{GUID[:-2]}{len(name):02d}")
        made = asked_as(installed, "create", "-f", "-", "-o", "json", stdin=json.dumps(run))
        assert made.returncode == 0, made.stderr
        assert run["spec"].items() <= json.loads(made.stdout)["spec"].items()


def test_a_delivery_that_comes_again_makes_nothing_new(installed: Lab) -> None:
    """Argo Events looks whether it is there; what it then writes changes nothing."""
    run = started(installed, "issues", numbered(4711), GUID)
    name, text = f"coderun/{run['metadata']['name']}", json.dumps(run)
    assert asked_as(installed, "get", name, "-n", "cto").returncode == 1
    assert asked_as(installed, "create", "-f", "-", stdin=text).returncode == 0
    again = asked_as(installed, "create", "-f", "-", stdin=text)
    assert "AlreadyExists" in again.stderr
    before = installed.kubectl("get", name, "-n", "cto", "-o", "json")
    patched = asked_as(installed, "patch", name, "-n", "cto", "--type", "merge", "-p", text)
    assert (patched.returncode, "no change" in patched.stdout) == (0, True), patched.stderr
    assert installed.kubectl("get", name, "-n", "cto", "-o", "json") == before


def test_what_could_not_be_made_leaves_a_trace(installed: Lab) -> None:
    found = json.loads(
        installed.kubectl("get", "sensor", "flow", "-n", "argo-events", "-o", "json")
    )
    (trigger,) = [t for t in found["spec"]["triggers"] if t["template"]["name"] == "label"]
    told = event("issues", labelled())
    trace = sensor.made(trigger["dlqTrigger"]["template"], told, "on-label")
    made = asked_as(installed, "create", "-f", "-", stdin=json.dumps(trace))
    assert made.returncode == 0, made.stderr
    listed = installed.kubectl(
        "get", "configmaps", "-n", "argo-events", "-l", "agents.platform/dead-letter", "-o", "name"
    )
    assert listed.split() == [f"configmap/dead-letter-label-{GUID}"]


@pytest.mark.parametrize(
    ("verb", "what", "namespace"),
    [
        ("list", "coderuns.agents.platform", "cto"),
        ("watch", "coderuns.agents.platform", "cto"),
        ("delete", "coderuns.agents.platform", "cto"),
        ("patch", "coderuns.agents.platform --subresource=status", "cto"),
        ("create", "docsruns.agents.platform", "cto"),
        ("create", "configmaps", "cto"),
        ("get", "secrets", "cto"),
        ("list", "secrets", "cto"),
        ("create", "pods", "cto"),
        ("get", "pods", "cto"),
        ("create", "jobs.batch", "cto"),
        ("create", "coderuns.agents.platform", "default"),
        ("get", "configmaps", "argo-events"),
        ("delete", "configmaps", "argo-events"),
        ("get", "secrets", "argo-events"),
        ("create", "sensors.argoproj.io", "argo-events"),
    ],
)
def test_the_sensor_may_do_nothing_else(
    installed: Lab, verb: str, what: str, namespace: str
) -> None:
    asked = asked_as(installed, "auth", "can-i", verb, *what.split(), "-n", namespace)
    assert asked.stdout.strip() == "no", asked.stderr


@pytest.mark.parametrize("verb", ["get", "create", "patch"])
def test_the_sensor_may_make_runs(installed: Lab, verb: str) -> None:
    asked = asked_as(installed, "auth", "can-i", verb, "coderuns.agents.platform", "-n", "cto")
    assert asked.stdout.strip() == "yes", asked.stderr


@pytest.mark.parametrize(
    ("account", "what", "answer"),
    [
        ("argo-workflow", "create coderuns.agents.platform -n cto", "yes"),
        ("argo-workflow", "get coderuns.agents.platform -n cto", "yes"),
        ("argo-workflow", "get secrets -n cto", "no"),
        ("argo-workflows-workflow-controller", "create configmaps -n argo", "yes"),
        ("argo-workflows-workflow-controller", "update configmaps -n argo", "yes"),
        ("argo-workflows-workflow-controller", "create configmaps -n cto", "no"),
    ],
)
def test_workflows_can_make_runs_and_remember_steps(
    installed: Lab, account: str, what: str, answer: str
) -> None:
    who = f"system:serviceaccount:argo:{account}"
    asked = asked_as(installed, "auth", "can-i", *what.split(), account=who)
    assert asked.stdout.strip() == answer, asked.stderr


def test_the_templates_of_workflows_are_there(installed: Lab) -> None:
    found = installed.kubectl("get", "workflowtemplates", "-n", "argo", "-o", "name")
    names = {line.rpartition("/")[2] for line in found.split()}
    assert names == {"agent-run", "play"}


# --- the real Sensor ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bus(installed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    made = Bus(installed, tmp_path_factory.mktemp("bus"))
    program("argo-events")
    try:
        made.start()
        yield made
    finally:
        made.stop()


DONE, FAILED = "Successfully processed", "Failed to execute"


def runs(lab: Lab) -> dict[str, Manifest]:
    found = json.loads(lab.kubectl("get", "coderuns", "-n", "cto", "-o", "json"))["items"]
    return {run["metadata"]["name"]: run for run in found}


def numbered(issue: int, **told: Any) -> dict[str, Any]:
    """Return what GitHub sends when an issue of this id is labelled."""
    sent = labelled(**told)
    sent["issue"]["id"] = issue
    return sent


def run_of(sent: dict[str, Any]) -> str:
    return f"label-{sent['issue']['id']}-7-261130121314"


@pytest.mark.slow
def test_what_every_webhook_tells_makes_one_run(installed: Lab, bus: Bus) -> None:
    """Of the organization's and of each App's: the real Sensor, and deliveries of their own."""
    told, last = numbered(7), numbered(8)
    before, heard = runs(installed).keys(), bus.said(DONE)
    for entry in ("app-cleo", "app-tess", "app-rex", "org"):
        bus.publish(event("issues", told, str(uuid4())), entry)
    bus.publish(event("issues", last, str(uuid4())), "app-rex")
    waited("not all came", lambda: {run_of(told), run_of(last)} <= runs(installed).keys())
    waited("not all are over", lambda: bus.said(DONE) >= heard + 3)
    assert runs(installed).keys() - before == {run_of(told), run_of(last)}
    found = runs(installed)[run_of(told)]
    assert found["metadata"]["generation"] == 1
    assert found["spec"]["prompt"].count("The log-in page says nothing") == 1


@pytest.mark.slow
def test_the_real_sensor_answers_a_probe(installed: Lab, bus: Bus) -> None:
    nonce = uuid4().hex
    bus.publish(event("cto-probe", {"nonce": nonce}), "app-cleo")
    words = ("get", "configmaps", "-n", "argo-events", "-l", "cto.dev/probe", "-o", "name")
    name = f"configmap/cto-probe-{nonce}"
    waited("the probe made nothing", lambda: name in installed.kubectl(*words).split())


@pytest.mark.slow
def test_the_real_sensor_makes_the_same_runs(installed: Lab, bus: Bus) -> None:
    """Each delivery comes twice, as after a Sensor that died before it said that it was done."""
    wanted, failed, done = {}, bus.said(FAILED), bus.said(DONE)
    for name, payload in EVENTS:
        delivery = str(uuid4())
        run = started(installed, name, payload, delivery)
        wanted[run["metadata"]["name"]] = run
        for _ in range(2):
            bus.publish(event(name, payload, delivery))
    waited("a run is missing", lambda: wanted.keys() <= runs(installed).keys())
    waited("not all came", lambda: bus.said(DONE) >= done + 2 * len(EVENTS))
    found = runs(installed)
    for name, run in wanted.items():
        assert run["spec"].items() <= found[name]["spec"].items()
        labels = found[name]["metadata"]["labels"]
        assert run["metadata"]["labels"].items() <= labels.items()
        assert found[name]["metadata"]["generation"] == 1
    assert bus.said(FAILED) == failed


@pytest.mark.slow
def test_the_real_sensor_starts_nobody_for_others(installed: Lab, bus: Bus) -> None:
    """And its log has nothing of what was said."""
    before, seen = runs(installed).keys(), bus.said("not interested")
    secret = "nobody-may-read-this"
    for name, payload in (
        ("issue_comment", commented(f"/rex {secret}", association="NONE")),
        ("issue_comment", commented(f"/rex {secret}", sender="cto-agent-cleo[bot]")),
        ("issues", labelled("bug", body=secret)),
        ("push", pushed()),
        ("ping", ping()),
    ):
        bus.publish(event(name, payload, str(uuid4())))
    last = numbered(1, body=secret)
    bus.publish(event("issues", last, str(uuid4())))
    name = run_of(last)
    waited("the last one is missing", lambda: name in runs(installed))
    waited("not all were seen", lambda: bus.said("not interested") >= seen + 5 * 5)
    assert runs(installed).keys() - before == {name}
    assert not bus.said(secret)


@pytest.mark.slow
def test_the_real_sensor_leaves_a_trace_of_what_is_refused(installed: Lab, bus: Bus) -> None:
    """A branch that is too long for the schema stands for an API server that takes nothing."""
    delivery = str(uuid4())
    refused = opened(branch=f"agents/rex/{'x' * 300}")
    refused["pull_request"]["id"] = 13
    bus.publish(event("pull_request", refused, delivery))
    words = ("get", "configmaps", "-n", "argo-events", "-o", "name")
    name = f"configmap/dead-letter-review-{delivery}"
    waited("there is no trace", lambda: name in installed.kubectl(*words).split(), 120)
    assert "review-13" not in runs(installed)


@pytest.mark.slow
def test_a_sensor_that_is_killed_loses_and_doubles_nothing(installed: Lab, bus: Bus) -> None:
    issues = [numbered(number) for number in range(100, 160)]
    wanted = {run_of(issue) for issue in issues}
    for issue in issues:
        bus.publish(event("issues", issue, str(uuid4())))
    waited("nothing comes", lambda: wanted & runs(installed).keys())
    bus.lives[-1].kill()
    there = len(wanted & runs(installed).keys())
    bus.start_sensor()
    waited("some are lost", lambda: wanted <= runs(installed).keys(), 180)
    assert there < len(wanted), "it was killed too late"
    found = runs(installed)
    assert {found[name]["metadata"]["generation"] for name in wanted} == {1}
