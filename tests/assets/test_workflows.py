"""Runs of agents as steps of workflows: what the templates make, and who may."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cto.catalog import Catalog
from cto.objects import Manifest, load_yaml
from cto.render import Renderer

_EXPRESSION = re.compile(r"\{\{=toJson\(inputs\.parameters\.(\w+)\)\}\}")


@pytest.fixture
def templates(catalog: Catalog, renderer: Callable[..., Renderer]) -> Mapping[str, Manifest]:
    made = renderer("minimal").manifests(catalog["argo-workflows"], ["agents.yaml.j2"])
    return {manifest["metadata"]["name"]: manifest for manifest in made}


def names(parameters: Any) -> list[str]:
    return [parameter["name"] for parameter in parameters]


def only(manifest: Manifest) -> Any:
    (template,) = manifest["spec"]["templates"]
    assert manifest["spec"]["entrypoint"] == template["name"]
    return template


@pytest.mark.parametrize("prompt", ["Do it.", 'a"b\\\n---\nkind: Secret', "{{workflow.name}}"])
def test_a_step_makes_a_run_whatever_its_prompt_says(
    templates: Mapping[str, Manifest], prompt: str
) -> None:
    given = {
        "agent": "rex",
        "repository": "https://github.com/acme/shop",
        "prompt": prompt,
        "branch": "",
    }
    text = only(templates["agent-run"])["resource"]["manifest"]
    text = _EXPRESSION.sub(lambda match: json.dumps(given[match.group(1)]), text)
    assert load_yaml(text.replace("{{pod.name}}", "agent-run-x7-run-12")) == {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": {
            "name": "agent-run-x7-run-12",
            "namespace": "cto",
            "labels": {"agents.platform/started-by": "workflow"},
        },
        "spec": {
            "githubApp": "rex",
            "repositoryUrl": "https://github.com/acme/shop",
            "sourceBranch": "",
            "prompt": prompt,
        },
    }


def test_a_step_follows_its_run(templates: Mapping[str, Manifest]) -> None:
    template = only(templates["agent-run"])
    resource = template["resource"]
    conditions = (resource["successCondition"], resource["failureCondition"])
    assert conditions == ("status.phase == Succeeded", "status.phase == Failed")
    assert names(template["outputs"]["parameters"]) == ["pullRequestUrl", "summary", "branch"]


def test_the_steps_of_a_play_are_given_what_they_need(templates: Mapping[str, Manifest]) -> None:
    play, run = only(templates["play"]), only(templates["agent-run"])
    asked = {p["name"] for p in run["inputs"]["parameters"]}
    needed = {p["name"] for p in run["inputs"]["parameters"] if "value" not in p}
    steps = {step["name"]: step for (step,) in play["steps"]}
    assert list(steps) == ["develop", "review", "test"]
    for step in steps.values():
        assert step["templateRef"] == {"name": "agent-run", "template": "run"}
        given = set(names(step["arguments"]["parameters"]))
        assert needed <= given <= asked
    told = json.dumps(play)
    known = {f"inputs.parameters.{name}" for name in names(play["inputs"]["parameters"])}
    known |= {
        f"steps.{step}.outputs.parameters.{name}"
        for step in steps
        for name in names(run["outputs"]["parameters"])
    }
    assert set(re.findall(r"\{\{(.*?)\}\}", told)) <= known


def test_without_the_controller_there_are_no_templates(
    catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    made = renderer("minimal", components=["argo-workflows"])
    assert not made.manifests(catalog["argo-workflows"], ["agents.yaml.j2"])


def test_who_runs_steps_may_make_runs(catalog: Catalog, renderer: Callable[..., Renderer]) -> None:
    made = renderer("minimal")
    workflows, controller = catalog["argo-workflows"], catalog["controller"]
    defaults = controller.folder.parents[1] / controller.chart.path / "values.yaml"
    submitter = load_yaml(defaults.read_text(encoding="utf-8"))["submitter"]
    assert made.values(controller)["submitter"] == {"enabled": True}
    assert submitter["name"] == made.values(workflows)["workflow"]["serviceAccount"]["name"]
    assert submitter["namespace"] == workflows.namespace


def test_steps_are_remembered_in_the_namespace_of_workflows_only(
    catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    made = renderer("minimal").manifests(catalog["argo-workflows"], ["rbac.yaml.j2"])
    (role,) = [m for m in made if m["kind"] == "Role"]
    verbs = ["create", "update", "delete"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    assert role["metadata"]["namespace"] == "argo"
