"""What starts agents: our Sensor, held against what GitHub sends."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cto.catalog import Catalog
from cto.objects import Manifest
from cto.plan.labels import TRACE
from cto.render import Renderer
from fakes import sensor
from fakes.deliveries import (
    GUID,
    LINK,
    SHA,
    commented,
    event,
    labelled,
    opened,
    ping,
    pushed,
    ran,
    reviewed,
)

AGENTS = {name: {"enabled": True} for name in ("rex", "cleo", "tess")}


@pytest.fixture
def rendered(catalog: Catalog, renderer: Callable[..., Renderer]) -> Callable[..., list[Manifest]]:
    """Return what is rendered for the flow, for a profile and sections of the configuration."""

    def make(profile: str = "minimal", **sections: Any) -> list[Manifest]:
        made = renderer(profile, **{"agents": AGENTS, **sections})
        events, controller = catalog["argo-events"], catalog["controller"]
        found = made.manifests(events, ["flow.yaml.j2"])
        return [*found, *made.manifests(controller, ["flow.yaml.j2"])]

    return make


@pytest.fixture
def run(rendered: Callable[..., list[Manifest]]) -> Callable[..., list[Manifest]]:
    """Return what an event starts."""

    def fire(name: str, payload: Any, entry: str = "org", **sections: Any) -> list[Manifest]:
        github = {"organization": "acme", "repository": "shop", **sections.pop("github", {})}
        (found,) = [
            manifest
            for manifest in rendered(github=github, **sections)
            if manifest["kind"] == "Sensor"
        ]
        return sensor.fired(found, event(name, payload), entry)

    return fire


def test_a_label_starts_the_agent_that_it_names(run: Callable[..., list[Manifest]]) -> None:
    (made,) = run("issues", labelled("agent:tess"))
    assert made == {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": {
            "name": "label-2712345678-7-261130121314",
            "namespace": "cto",
            "labels": {"agents.platform/started-by": "label"},
        },
        "spec": {
            "githubApp": "cto-agent-tess",
            "repositoryUrl": f"{LINK}.git",
            "taskId": 12,
            "prompt": "Do what this issue asks for.\n\n"
            f"{LINK}/issues/12\n\nThe log-in page says nothing\n\nIt says nothing.",
        },
    }


def test_a_comment_starts_the_agent_that_it_addresses(run: Callable[..., list[Manifest]]) -> None:
    (made,) = run("issue_comment", commented("/rex\r\nPlease.", pull=True, body=None))
    assert made["metadata"]["name"] == "comment-99"
    assert made["spec"]["githubApp"] == "cto-agent-rex"
    told = f"{LINK}/pull/12\n\nThe log-in page says nothing\n\n\n\nmona says:\n\n/rex\r\nPlease."
    assert made["spec"]["prompt"].endswith(f"work on its branch.\n\n{told}")


def test_a_pull_request_of_rex_starts_cleo(run: Callable[..., list[Manifest]]) -> None:
    (made,) = run("pull_request", opened())
    assert made["metadata"]["labels"] == {"agents.platform/started-by": "review"}
    spec = made["spec"]
    assert (spec["githubApp"], spec["sourceBranch"]) == ("cto-agent-cleo", "agents/rex/task-12")
    assert f"{LINK}/pull/13\n\nThe log-in page says what is wrong\n\n" in spec["prompt"]


def test_an_approval_of_cleo_starts_tess_who_labels(run: Callable[..., list[Manifest]]) -> None:
    (made,) = run("pull_request_review", reviewed())
    spec = made["spec"]
    assert (spec["githubApp"], spec["sourceBranch"]) == ("cto-agent-tess", "agents/rex/task-12")
    assert 'the label "ready"' in spec["prompt"]


def test_failed_ci_starts_the_agent_whose_branch_it_is(run: Callable[..., list[Manifest]]) -> None:
    (made,) = run("workflow_run", ran("timed_out", branch="agents/tess/task-12"))
    assert made["metadata"]["name"] == f"mend-1296269123-{SHA}"
    assert made["spec"] == {
        "githubApp": "cto-agent-tess",
        "repositoryUrl": f"{LINK}.git",
        "sourceBranch": "agents/tess/task-12",
        "rounds": 3,
        "prompt": "CI failed on your branch. Find out why, and mend it there.\n\n"
        f"{LINK}/commit/{SHA}/checks",
    }


def test_workflows_of_one_commit_are_one_round(run: Callable[..., list[Manifest]]) -> None:
    made = [run("workflow_run", ran(workflow=name)) for name in ("tests", "lint")]
    assert made[0] == made[1]
    assert made[0] != run("workflow_run", ran(sha=SHA[::-1]))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("issues", labelled("agent:blaze")),  # switched off
        ("issues", labelled("agent:rex2")),
        ("issues", labelled("not-agent:rex")),
        ("issues", labelled(sender="cto-agent-cleo[bot]")),
        ("issues", labelled(slug="other/shop")),
        ("issues", labelled(slug="acme/shop2")),
        ("issues", labelled(slug="acme/another")),
        ("issues", {**labelled(), "action": "unlabeled"}),
        ("issues_other", labelled()),
        ("issue_comment", commented(association="NONE")),
        ("issue_comment", commented(association="CONTRIBUTOR")),
        ("issue_comment", commented(association="FIRST_TIME_CONTRIBUTOR")),
        ("issue_comment", commented(sender="cto-agent-rex[bot]")),
        ("issue_comment", commented(sender="dependabot[bot]", association="COLLABORATOR")),
        ("issue_comment", commented("As I said:\n/rex do it")),
        ("issue_comment", commented(" /rex do it")),
        ("issue_comment", commented("/rexette do it")),
        ("issue_comment", commented("/blaze do it")),
        ("issue_comment", commented("")),
        ("issue_comment", commented(action="edited")),
        ("issue_comment", commented(action="deleted")),
        ("pull_request", opened("mona")),
        ("pull_request", opened("cto-agent-tess[bot]")),
        ("pull_request", opened("x-cto-agent-rex[bot]")),
        ("pull_request", opened("cto-agent-rex")),
        ("pull_request", opened(head="mallory/shop")),
        ("pull_request", opened(action="reopened")),
        ("pull_request", opened(action="synchronize")),
        ("pull_request_target", opened()),
        ("pull_request_review", reviewed(by="mona")),
        ("pull_request_review", reviewed(by="cto-agent-tess[bot]")),
        ("pull_request_review", reviewed("changes_requested")),
        ("pull_request_review", reviewed("commented")),
        ("pull_request_review", reviewed(head="mallory/shop")),
        ("workflow_run", ran("success")),
        ("workflow_run", ran("cancelled")),
        ("workflow_run", ran(None, action="in_progress")),
        ("workflow_run", ran(branch="main")),
        ("workflow_run", ran(branch="my/agents/rex/x")),
        ("workflow_run", ran(branch="agents/mallory/x")),
        ("workflow_run", ran(head="mallory/shop")),
        ("ping", ping()),
        ("push", pushed()),
    ],
)
def test_nothing_else_starts_anybody(
    run: Callable[..., list[Manifest]], name: str, payload: Any
) -> None:
    """And no filter looks at what such an event lacks: the program would log the whole event."""
    assert run(name, payload) == []


@pytest.mark.parametrize(
    ("slug", "github", "starts"),
    [
        ("acme/shop", {"repository": None}, True),
        ("acme/blog", {"repository": None}, True),
        ("other/shop", {"repository": None}, False),
        ("acme-2/shop", {"repository": None}, False),
        ("Acme/Shop", {}, True),
        ("acme/my.shop", {"repository": "my.shop"}, True),
        ("acme/my-shop", {"repository": "my.shop"}, False),
    ],
)
def test_repositories_are_those_of_the_configuration(
    run: Callable[..., list[Manifest]], slug: str, github: Any, *, starts: bool
) -> None:
    assert bool(run("issues", labelled(slug=slug), github=github)) == starts


@pytest.mark.parametrize(
    "text",
    [
        "{{ .Input.body }}",
        '{{ env "PATH" }}{% x %}${HOME}$(id)`id`',
        'a"b\\c\n---\nkind: Secret',
        "../../etc/passwd",
    ],
)
def test_what_people_write_is_text(run: Callable[..., list[Manifest]], text: str) -> None:
    (made,) = run("issues", labelled(body=text))
    assert made["spec"].pop("prompt").endswith(f"\n\n{text}")
    assert text not in str(made)


def test_only_prompts_get_what_people_write(rendered: Callable[..., list[Manifest]]) -> None:
    """Names of branches apart, which git checks, and which reach the agent as a variable."""
    for found in rendered():
        for trigger in found["spec"]["triggers"] if found["kind"] == "Sensor" else ():
            assert "parameters" not in trigger  # they would change the trigger itself
            for parameter in trigger["template"]["k8s"]["parameters"]:
                source = str(parameter["src"])
                free = any(word in source for word in (".title", ".issue.body", "request.body"))
                assert not free or parameter["dest"] == "spec.prompt"


def test_what_cannot_be_made_leaves_a_trace_without_its_text(
    rendered: Callable[..., list[Manifest]],
) -> None:
    (found,) = [m for m in rendered() if m["kind"] == "Sensor"]
    for trigger in found["spec"]["triggers"]:
        if (step := trigger["template"]["name"]) == "probe":
            continue
        assert trigger["atLeastOnce"] is trigger["dlqTrigger"]["atLeastOnce"] is True
        assert trigger["retryStrategy"] == {"steps": 5, "duration": "2s", "factor": 2}
        trace = sensor.made(
            trigger["dlqTrigger"]["template"], event("issues", labelled()), f"on-{step}"
        )
        assert trace == {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"dead-letter-{step}-{GUID}",
                "namespace": "argo-events",
                "labels": {"agents.platform/dead-letter": step, TRACE: "true"},
            },
        }


# --- a webhook of each App ------------------------------------------------------------------------

APPS = ("app-cleo", "app-rex", "app-tess")
HAPPENED = [
    ("issues", labelled("agent:rex"), "app-rex"),
    ("issues", labelled("agent:tess"), "app-tess"),
    ("issue_comment", commented("/cleo Look."), "app-cleo"),
    ("pull_request", opened(), "app-cleo"),
    ("pull_request_review", reviewed(), "app-tess"),
    ("workflow_run", ran(), "app-rex"),
]


@pytest.mark.parametrize(("name", "payload", "entry"), HAPPENED)
def test_what_every_app_hears_starts_one_run(
    run: Callable[..., list[Manifest]], name: str, payload: Any, entry: str
) -> None:
    """That of the agent that is to start counts, and makes what the webhook of all would make."""
    (made,) = run(name, payload, entry)
    assert {one: run(name, payload, one) for one in APPS if one != entry} == {
        one: [] for one in APPS if one != entry
    }
    assert run(name, payload) == [made]


@pytest.mark.parametrize("owner", ["organization", "repository"])
@pytest.mark.parametrize(("name", "payload", "entry"), HAPPENED)
def test_with_one_webhook_for_all_apps_start_nobody(
    run: Callable[..., list[Manifest]], name: str, payload: Any, entry: str, owner: str
) -> None:
    github = {"webhooks": owner}
    assert run(name, payload, entry, github=github) == []
    assert len(run(name, payload, github=github)) == 1


def test_what_happens_twice_makes_two_runs(run: Callable[..., list[Manifest]]) -> None:
    again = labelled()
    again["issue"]["updated_at"] = "2026-11-30T12:13:15Z"
    other = labelled("agent:tess")
    other["label"]["id"] = 8
    names = {
        made["metadata"]["name"]
        for payload in (labelled(), again, other)
        for made in run("issues", payload)
    }
    assert len(names) == 3
    for name in names:
        assert len(name) <= 63
        assert re.fullmatch("[a-z0-9-]+", name)


@pytest.mark.parametrize("owner", ["apps", "organization"])
def test_a_probe_makes_a_config_map_that_is_named_by_its_nonce(
    run: Callable[..., list[Manifest]], owner: str
) -> None:
    nonce, github = "0123456789abcdef" * 2, {"webhooks": owner}
    entry = {"apps": "app-cleo", "organization": "org"}[owner]
    (made,) = run("cto-probe", {"nonce": nonce}, entry, github=github)
    assert made == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"cto-probe-{nonce}",
            "namespace": "argo-events",
            "labels": {"cto.dev/probe": "true", TRACE: "true"},
        },
    }
    for name, payload in (("cto-probe-2", {"nonce": nonce}), ("cto-probe", {"nonce": "../x"})):
        assert run(name, payload, entry, github=github) == []


def test_each_agent_has_an_entry_with_a_secret_of_its_own(
    catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    given = {"agents": AGENTS, "github": {"organization": "acme"}}
    made = renderer("minimal", **given).manifests(catalog["argo-events"], ["github.yaml.j2"])
    (source,) = [m for m in made if m["kind"] == "EventSource"]
    entries = source["spec"]["github"]
    assert entries.keys() == {"org", *APPS}
    assert len({entry["webhook"]["endpoint"] for entry in entries.values()}) == 4
    assert {entry["webhook"]["port"] for entry in entries.values()} == {"12000"}
    assert entries["app-rex"]["webhook"]["endpoint"] == "/github/webhook/rex"
    assert entries["app-rex"]["webhookSecret"] == {"name": "github-app-webhooks", "key": "rex"}
    assert entries["org"]["webhookSecret"] == {"name": "github-webhook-secret", "key": "secret"}


# --- what is configured ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sections",
    [
        {"github": {}},
        {"agents": {}},
        {"components": ["argo-events"]},
        {"github": {"organization": "acme", "flow": {"steps": {}}}},
        {
            "agents": {"blaze": {"enabled": True}},
            "github": {
                "organization": "acme",
                "flow": {
                    "steps": {"a": {"event": "opened", "by": "rex", "start": "cleo", "prompt": "?"}}
                },
            },
        },
    ],
)
def test_without_anybody_to_start_there_is_no_sensor(
    rendered: Callable[..., list[Manifest]], sections: Any
) -> None:
    """Argo Events refuses one without triggers."""
    assert [m for m in rendered(**sections) if m["kind"] in {"Sensor", "ServiceAccount"}] == []


def test_steps_of_agents_that_are_switched_off_are_left_out(
    rendered: Callable[..., list[Manifest]],
) -> None:
    (found,) = [m for m in rendered(agents={"rex": {"enabled": True}}) if m["kind"] == "Sensor"]
    names = [trigger["template"]["name"] for trigger in found["spec"]["triggers"]]
    assert names == ["comment", "label", "mend", "probe"]


def test_the_flow_can_be_configured(run: Callable[..., list[Manifest]]) -> None:
    step = {"event": "opened", "by": "tess", "start": "rex", "prompt": "Look at these tests."}
    github = {"flow": {"people": ["OWNER"], "rounds": 1, "steps": {"look": step}}}
    # Its App has the name that it was given at GitHub.
    (made,) = run("pull_request", opened("the-tester[bot]"), github=github)
    assert run("pull_request", opened("cto-agent-tess[bot]"), github=github) == []
    assert made["spec"]["githubApp"] == "cto-agent-rex"
    assert made["spec"]["prompt"].startswith("Look at these tests.\n\n")
    assert run("issues", labelled(), github=github) == []


def test_no_people_no_comments(run: Callable[..., list[Manifest]]) -> None:
    github: dict[str, Any] = {"flow": {"people": []}}
    assert run("issue_comment", commented(association="OWNER"), github=github) == []
    assert run("issues", labelled(), github=github)


def test_apps_are_named_after_the_platform(run: Callable[..., list[Manifest]]) -> None:
    platform = {"name": "acme"}
    (made,) = run("pull_request", opened("acme-agent-rex[bot]"), platform=platform)
    assert made["spec"]["githubApp"] == "acme-agent-cleo"
    assert run("pull_request", opened(), platform=platform) == []


@pytest.mark.parametrize("profile", ["minimal", "standard", "production"])
def test_the_sensor_may_make_runs_and_traces_and_nothing_else(
    rendered: Callable[..., list[Manifest]], profile: str
) -> None:
    made = rendered(profile)
    roles = {m["metadata"]["namespace"]: m["rules"] for m in made if m["kind"] == "Role"}
    assert roles == {
        "argo-events": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
        "cto": [
            {
                "apiGroups": ["agents.platform"],
                "resources": ["coderuns"],
                "verbs": ["get", "create", "patch"],
            }
        ],
    }
    account = {"kind": "ServiceAccount", "name": "flow", "namespace": "argo-events"}
    bindings = [m for m in made if m["kind"] == "RoleBinding"]
    assert [m["subjects"] for m in bindings] == [[account], [account]]
    (found,) = [m for m in made if m["kind"] == "Sensor"]
    pod = found["spec"]["template"]
    assert pod["serviceAccountName"] == "flow"
    assert pod["securityContext"]["runAsNonRoot"]
    assert ("metadata" in pod) == (profile != "minimal")
