"""The platform on upstream's own programs: what stand-ins take, they may not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cto.objects import dump_yaml, load_yaml
from fakes.deliveries import labelled
from fakes.sensor import subscriptions
from lab.images import modules

from .agents import AGENT
from .conftest import sweep
from .engine import Engine
from .events import READY_S, Events, all_ready, get, pods, waited
from .forge import CLONE_URL, Forge
from .gitops import (
    assert_applications_work,
    assert_printed_log_in_works,
    assert_runs_have_health,
    assert_the_platform_is_no_destination,
)
from .image import Image
from .installer import CLUSTER, KUBE, Installer
from .real import assert_a_workflow_runs, needs, succeeded

pytestmark = [pytest.mark.docker, pytest.mark.slow, needs("argo-events", "nats-server")]

BURST = 200
# JetStream gives again what was not acknowledged; the Sensor's pod has to come back before.
BURST_S = 420

ARTIFACTS = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: artifacts, namespace: argo}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - [{name: write, template: write}]
        - - name: read
            template: read
            arguments:
              artifacts: [{name: said, from: "{{steps.write.outputs.artifacts.said}}"}]
    - name: write
      container: {image: IMAGE, command: [sh, -c], args: ["echo hello > /tmp/said"]}
      outputs: {artifacts: [{name: said, path: /tmp/said}]}
    - name: read
      inputs: {artifacts: [{name: said, path: /tmp/said}]}
      container: {image: IMAGE, command: [grep, hello, /tmp/said]}
"""

PLAY = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: play, namespace: argo}
spec:
  workflowTemplateRef: {name: play}
  arguments:
    parameters:
      - {name: repository, value: REPOSITORY}
      - {name: prompt, value: "Say 'hello' to everybody."}
"""
PLAY_S = 300


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="module")
def platform(
    engine: Engine, image: Image, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Events]:
    """Install the platform once, with an organization, and a Sensor that hears its deliveries."""
    installer = Installer(engine, image.reference, tmp_path_factory.mktemp("kube"))
    # With the real store, steps keep their logs in it; what cannot be kept is an error of the step.
    features = {"object_store": "versitygw" in {tool.name for tool in modules.chosen()}}
    config = {**load_yaml(forge.config()), "features": features}
    (installer.kube / "events.yaml").write_text(dump_yaml(config))
    try:
        installed = installer.install("minimal", "--config", f"{KUBE}/events.yaml")
        events = Events.of(installer, installed)
        for thing in ("eventbus/default", "eventsource/github"):
            waited(
                f"{thing} is not ready", READY_S, partial(all_ready, partial(one, installer, thing))
            )
        events.listen()
        forge.start(installer)
        yield events
    finally:
        sweep(engine)


def one(installer: Installer, thing: str) -> list[dict[str, object]]:
    return [get(installer, thing)]


@pytest.mark.parametrize("controller", ["eventbus-controller", "eventsource-controller"])
def test_pods_of_controllers_start_and_take_images_that_are_there(
    platform: Events, controller: str
) -> None:
    of = partial(pods, platform.installer, controller)
    waited(f"not all pods of {controller} are ready", READY_S, partial(all_ready, of))
    for pod in of():
        policies = {one["imagePullPolicy"] for one in pod["spec"]["containers"]}
        assert policies == {"IfNotPresent"}, pod["metadata"]["name"]


def test_the_stream_of_the_bus_ends_before_its_volume_does(platform: Events) -> None:
    installer = platform.installer
    (bus,) = pods(installer, "eventbus-controller")
    monitor = f"http://{bus['status']['podIP']}:8222/jsz?streams=true&config=true"
    curl = ("exec", f"{CLUSTER}-control-plane", "curl", "--silent", "--fail", monitor)
    (account,) = json.loads(installer.engine.out(*curl))["account_details"]
    limits = {one["name"]: one["config"]["max_bytes"] for one in account["stream_detail"]}
    assert limits["default"] == 10**9


def test_only_a_signed_delivery_becomes_an_object(platform: Events, tell: list[str]) -> None:
    unsigned, signed = str(uuid4()), str(uuid4())
    assert platform.deliver([unsigned], signed=False) == [400]
    assert platform.deliver([signed]) == [200]
    took = waited("no object of a delivery", READY_S, lambda: signed in platform.written())
    tell.append(f"signed delivery to object {took:.1f} s")
    assert unsigned not in platform.written()


def test_a_labelled_issue_ends_in_one_pull_request(
    platform: Events, forge: Forge, tell: list[str]
) -> None:
    """However often GitHub sends it: through bus, Sensor, controller, Job and git."""
    installer, delivery, text = platform.installer, str(uuid4()), "{{ .Input }} $(id) \u00e4"
    before = len(forge.pulls(installer))
    sensor = get(installer, "sensor/flow")
    platform.heard("flow", subscriptions(sensor))
    begun = time.time()
    for _ in range(2):
        issue = labelled(body=text)
        issue["repository"]["clone_url"] = CLONE_URL
        assert platform.deliver([delivery], event="issues", payload=issue) == [200]

    made = waited("no run of a delivery", READY_S, lambda: runs(installer, "label"))
    (run,) = runs(installer, "label")
    assert run["metadata"]["name"] == "label-2712345678-7-261130121314"
    assert run["spec"]["githubApp"] == "cto-agent-rex"
    assert run["spec"]["prompt"].endswith(f"\n\n{text}")

    waited("the run does not end", READY_S, lambda: ended(runs(installer, "label")))
    (run,) = runs(installer, "label")
    status = run["status"]
    assert status["phase"] == "Succeeded", status
    (pull,) = forge.pulls(installer)[before:]
    assert status["pullRequestUrl"] == pull["html_url"]
    assert (pull["base"], pull["head"]) == ("main", "agents/rex/task-12")
    hops = {
        "made": run["metadata"]["creationTimestamp"],
        "begun": status["startedAt"],
        "ended": status["finishedAt"],
    }
    after = ", ".join(f"{word} {moment(at) - begun:.0f} s" for word, at in hops.items())
    opened = pull["at"] - begun
    tell.append(
        f"labelled issue: seen after {made:.1f} s; run {after}; pull request {opened:.1f} s"
    )


def test_of_a_burst_none_is_lost_when_bus_and_sensor_are_killed(
    platform: Events, tell: list[str]
) -> None:
    burst = {str(uuid4()) for _ in range(BURST)}
    begun = time.monotonic()
    assert set(platform.deliver(burst)) == {200}
    sent = time.monotonic() - begun
    for controller in ("eventbus-controller", "sensor-controller"):
        words = ("-n", "argo-events", "-l", f"controller={controller}", "--grace-period=0")
        platform.installer.kubectl("delete", "pods", *words, "--force")
        time.sleep(2)
    took = waited("deliveries are lost", BURST_S, lambda: burst <= platform.written())
    tell.append(f"{BURST} deliveries in {sent:.1f} s, bus and Sensor killed: {took:.0f} s to all")


@needs("workflow-controller", "argoexec", "argo")
def test_a_workflow_runs_under_our_defaults(platform: Events, tell: list[str]) -> None:
    tell.append(assert_a_workflow_runs(platform.installer))


@needs("workflow-controller", "argoexec", "argo", "versitygw")
def test_artifacts_and_logs_go_through_the_store_in_the_cluster(
    platform: Events, tell: list[str]
) -> None:
    ended, took = succeeded(platform.installer, ARTIFACTS.replace("IMAGE", AGENT))
    kept = {
        node["displayName"]: {one["name"] for one in node["outputs"]["artifacts"]}
        for node in ended["nodes"].values()
        if node["type"] == "Pod"
    }
    assert kept == {"write": {"said", "main-logs"}, "read": {"main-logs"}}
    tell.append(f"a workflow with artifacts {took:.0f} s")


@needs("workflow-controller", "argoexec", "argo")
def test_agents_play_their_parts_as_steps_of_a_workflow(
    platform: Events, forge: Forge, tell: list[str]
) -> None:
    installer = platform.installer
    before = len(forge.pulls(installer))
    played, took = succeeded(installer, PLAY.replace("REPOSITORY", CLONE_URL), PLAY_S)
    assert [ended([run]) for run in runs(installer, "workflow")] == [True] * 3
    # Its entry's outputs; those of the workflow itself are the ones with a global name.
    parameters = played["nodes"]["play"]["outputs"]["parameters"]
    outputs = {row["name"]: row["value"] for row in parameters}
    opened = forge.pulls(installer)[before:]
    assert outputs["pullRequestUrl"] == opened[0]["html_url"]
    tell.append(f"a play of three agents {took:.0f} s")


@needs("argo-cd")
def test_applications_of_the_organization_go_where_their_project_lets_them(
    platform: Events, forge: Forge, tell: list[str]
) -> None:
    installer = platform.installer
    assert_printed_log_in_works(installer)
    tell.append(assert_applications_work(installer, forge))
    for project in ("applications", "runs"):
        assert_the_platform_is_no_destination(installer, project)
    tell.append(assert_runs_have_health(installer, forge))


def runs(installer: Installer, started_by: str) -> list[dict[str, Any]]:
    label = f"agents.platform/started-by={started_by}"
    found = installer.kubectl("get", "coderuns", "-n", "cto", "-l", label, "-o", "json")
    items: list[dict[str, Any]] = json.loads(found)["items"]
    return items


def ended(found: list[dict[str, Any]]) -> bool:
    return all(run.get("status", {}).get("phase") in ("Succeeded", "Failed") for run in found)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
