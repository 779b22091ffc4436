"""The controller, on a fake API server: what it makes of runs, and what it leaves."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from cto import assets
from cto.catalog import load
from cto.engine.tasks import RunPhase
from cto.errors import ApiError
from cto.objects import ObjectRef
from fakes.runs import NAMESPACE, TEMPLATES, Runs

PULL = "https://github.com/acme/shop/pull/7"
DONE = {"outcome": "succeeded", "summary": "All done.", "pullRequestUrl": PULL}


@pytest.fixture
def runs() -> Runs:
    return Runs()


def ready(status: Any) -> dict[str, str]:
    return {row["type"]: row["status"] for row in status["conditions"]}


def test_a_run_becomes_a_job_and_its_result_its_status(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    assert runs.status("shop")["phase"] == RunPhase.RUNNING
    (job,) = runs.jobs("shop")
    runs.end(job, said=DONE)
    runs.pass_()
    status = runs.status("shop")
    assert (status["phase"], status["message"]) == ("Succeeded", "All done.")
    assert (status["pullRequestUrl"], status["attempts"]) == (PULL, 1)
    assert (status["jobName"], status["workCompleted"]) == (job["metadata"]["name"], True)
    assert status["startedAt"] <= status["finishedAt"]
    assert ready(status) == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}


def test_nothing_is_written_where_nothing_changed(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    before = len(runs.cluster.calls)
    runs.pass_()
    verbs = {call[0] for call in runs.cluster.calls[before:]}
    assert verbs <= {"list", "list_metadata"}


def test_an_issue_and_a_comment_as_long_as_they_may_be_fit_in(runs: Runs) -> None:
    """GitHub takes 65,536 characters, and these are of three bytes each."""
    prompt = "\u6587" * 2 * 65_536
    runs.add("shop", prompt=prompt)
    runs.pass_()
    name = runs.jobs("shop")[0]["metadata"]["name"]
    held = runs.cluster.peek(ObjectRef("v1", "ConfigMap", NAMESPACE, name))
    assert held is not None
    assert sum(len(text.encode()) for text in held["data"].values()) < 1024 * 1024
    assert json.loads(held["data"]["task.json"])["spec"]["prompt"] == prompt


def test_a_docs_run_is_run_as_well(runs: Runs) -> None:
    runs.add("book", kind="DocsRun", sourceBranch="main")
    runs.pass_()
    (job,) = runs.cluster.list("batch/v1", "Job", namespace=NAMESPACE)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("DocsRun", "book")


# --- attempts -------------------------------------------------------------------------------------


def test_a_failed_attempt_is_followed_by_another_with_the_next_model(runs: Runs) -> None:
    runs.add("shop", cliConfig={"cliType": "echo", "model": "one", "modelRotation": ["two"]})
    runs.pass_(2)
    runs.end(runs.jobs("shop")[0], code=1, said="the model is gone")
    runs.pass_(2)
    first, second = runs.jobs("shop")
    assert model_of(first) == "one"
    assert model_of(second) == "two"
    assert runs.status("shop")["phase"] == "Running"
    runs.end(second, code=1, said="the other one, too")
    runs.pass_()
    status = runs.status("shop")
    assert (status["phase"], status["attempts"]) == ("Failed", 2)
    assert status["message"] == "the other one, too"
    assert ready(status) == {"Ready": "False", "Reconciling": "False", "Stalled": "True"}


def model_of(job: Any) -> str:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {row["name"]: row.get("value") for row in container["env"]}["AGENT_MODEL"] or ""


def test_an_agent_that_says_that_it_failed_is_believed(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], said={"outcome": "failed", "summary": "The task is unclear."})
    runs.pass_()
    status = runs.status("shop")
    assert (status["phase"], status["message"]) == ("Failed", "The task is unclear.")
    assert len(runs.jobs()) == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", "it left no result"),
        ("[1, 2]", "[1, 2]"),
        ('{"summary": "cut o', '{"summary": "cut o'),
        # Python gives up on it, and that must not end the controller.
        ("[" * 4096, None),
        (json.dumps({"summary": "x" * 9000}), None),
        (json.dumps({"summary": "two\nlines \x1b[31m"}), "two lines"),
        (json.dumps({"summary": "ghp_" + "a" * 36}), "***"),
        (json.dumps({"summary": "ok", "pullRequestUrl": "javascript:alert(1)"}), "ok"),
    ],
)
def test_what_agents_leave_is_taken_as_it_is(runs: Runs, said: str, message: str | None) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], said=said)
    runs.pass_()
    status = runs.status("shop")
    assert status["phase"] == "Succeeded"
    assert message in (None, status["message"])
    assert len(status["message"]) < 300
    assert "pullRequestUrl" not in status


def test_a_clone_that_failed_tells_why(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], code=128, said="fatal: repository not found", container="clone")
    runs.pass_(2)
    text = "attempt 2 of 2 is running; attempt 1 failed: fatal: repository not found"
    assert runs.status("shop")["message"] == text


def test_a_deadline_is_told(runs: Runs) -> None:
    runs = Runs({"job": {"attempts": 1}})
    runs.add("shop")
    runs.pass_(2)
    runs.finish(runs.jobs()[0], "Failed", "Job was active longer than specified deadline")
    runs.pass_()
    assert runs.status("shop")["message"] == "Job was active longer than specified deadline"


def test_a_job_that_somebody_removed_is_an_attempt_less(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.cluster.remove(ref_of_job(runs))
    runs.pass_(2)
    (job,) = runs.jobs("shop")
    assert job["metadata"]["labels"]["agents.platform/attempt"] == "2"
    runs.cluster.remove(ref_of_job(runs))
    runs.pass_()
    status = runs.status("shop")
    assert (status["phase"], status["message"]) == ("Failed", "its Job was removed")


def test_a_run_that_comes_from_a_backup_does_not_begin_again(runs: Runs) -> None:
    """Neither before nor after its old status is there; what was there before a restore goes on."""
    before = {"phase": "Running", "attempts": 1, "conditions": []}
    condition = {"type": "Ready", "status": "False", "reason": "Running", "message": "runs"}
    old = {**condition, "lastTransitionTime": "2029-12-01T00:00:00Z"}
    for name in ("bare", "begun", "living"):
        live = runs.add(name, suspend=name == "living").manifest
        if name == "living":
            runs.pass_()
            live = runs.get(name).manifest
        labels = {"velero.io/restore-name": "manual-1"}
        runs.cluster.add({**live, "metadata": {**live["metadata"], "labels": labels}})
    runs.cluster.set_status(runs.get("begun").ref, {**before, "conditions": [old]})
    runs.cluster.time += timedelta(minutes=1)
    runs.pass_(2)
    phases = [runs.status(name)["phase"] for name in ("bare", "begun", "living")]
    assert (phases, runs.jobs()) == (["Failed", "Failed", "Pending"], [])
    assert "it comes from a backup" in runs.status("begun")["message"]
    runs.change("living", suspend=False)
    runs.pass_()
    assert len(runs.jobs("living")) == 1


def test_a_run_that_is_just_being_restored_is_not_judged_before_its_status_is_there(
    runs: Runs,
) -> None:
    """Velero writes it a moment after the run: one that had succeeded was told to have failed."""
    for name in ("done", "bare"):
        live = runs.add(name).manifest
        born: dict[str, Any] = {"creationTimestamp": f"{runs.cluster.now():%Y-%m-%dT%H:%M:%SZ}"}
        born["labels"] = {"velero.io/restore-name": "manual-1"}
        runs.cluster.add({**live, "metadata": {**live["metadata"], **born}})
    runs.pass_()
    assert not runs.status("done")
    runs.cluster.set_status(runs.get("done").ref, {"phase": "Succeeded", "attempts": 1})
    runs.cluster.time += timedelta(seconds=30)
    runs.pass_()
    assert [runs.status(name)["phase"] for name in ("done", "bare")] == ["Succeeded", "Failed"]
    assert runs.jobs() == []


def test_of_what_a_run_makes_only_its_workspace_is_in_backups(runs: Runs) -> None:
    """A restore leaves owners out: a token and a task would come back, and stay for ever."""
    runs.add("shop")
    runs.pass_()
    kept = {
        ref.kind
        for ref, item in runs.cluster.everything().items()
        if item["metadata"].get("labels", {}).get("velero.io/exclude-from-backup") != "true"
    }
    assert runs.names("Secret")
    assert {"ConfigMap", "Job", "Secret"}.isdisjoint(kept)
    assert "PersistentVolumeClaim" in kept


def ref_of_job(runs: Runs) -> ObjectRef:
    (job,) = runs.jobs()
    return ObjectRef("batch/v1", "Job", NAMESPACE, job["metadata"]["name"])


# --- the queue ------------------------------------------------------------------------------------


def test_the_oldest_begin_first_as_many_as_may() -> None:
    runs = Runs({"queue": {"maxConcurrent": 2}})
    for number in range(4):
        runs.add(f"r{number}", githubApp="acme-rex" if number % 2 else "acme-tess")
    runs.pass_(2)
    assert [bool(runs.jobs(f"r{n}")) for n in range(4)] == [True, True, False, False]
    assert "2 runs go on" in runs.status("r2")["message"]
    runs.end(runs.jobs("r0")[0], said=DONE)
    runs.pass_(2)
    assert [bool(runs.jobs(f"r{n}")) for n in range(4)] == [True, True, True, False]


def test_an_agent_has_as_many_runs_as_it_may_and_holds_nobody_up(runs: Runs) -> None:
    runs.add("one")
    runs.add("two")
    runs.add("three", githubApp="acme-tess")
    runs.pass_(2)
    assert [bool(runs.jobs(name)) for name in ("one", "two", "three")] == [True, False, True]
    assert "agent rex has 1 runs" in runs.status("two")["message"]


def test_an_agent_is_one_by_whichever_of_its_names_it_is_called(runs: Runs) -> None:
    runs.add("one", githubApp="acme-rex")
    runs.add("two", githubApp="rex")
    runs.pass_(2)
    assert [bool(runs.jobs(name)) for name in ("one", "two")] == [True, False]
    assert "agent rex has 1 runs" in runs.status("two")["message"]


def test_runs_of_one_service_share_its_workspace_one_after_the_other(runs: Runs) -> None:
    runs.add("one", service="shop")
    runs.add("two", service="shop", githubApp="acme-tess")
    runs.pass_(2)
    assert not runs.jobs("two")
    assert "run one works in the same workspace" in runs.status("two")["message"]
    assert runs.names("PersistentVolumeClaim") == ["workspace-shop"]
    claim = runs.cluster.peek(ObjectRef("v1", "PersistentVolumeClaim", NAMESPACE, "workspace-shop"))
    assert claim is not None
    # What an uninstallation goes by: it is the data of the release of that name.
    release = load(assets.root() / "bundle")["controller"].release
    assert claim["metadata"]["labels"]["app.kubernetes.io/instance"] == release


@pytest.mark.parametrize("how", ["deleted", "over"])
def test_nobody_works_where_a_pod_still_ends(runs: Runs, how: str) -> None:
    """It has half a minute to do so, in which two would work in one folder."""
    runs.add("one", service="shop")
    runs.pass_(2)
    (job,) = runs.jobs()
    runs.pod(job, {"phase": "Running"})
    if how == "deleted":
        runs.cluster.remove(runs.get("one").ref)
        runs.cluster.remove(ref_of_job(runs))
        runs.add("two", service="shop")
    else:
        runs.finish(job, "Failed", "Job was active longer than specified deadline")
    waits = "two" if how == "deleted" else "one"
    runs.pass_(2)
    assert "-pod works in the same workspace" in runs.status(waits)["message"]
    runs.pod(job, {"phase": "Failed"})
    runs.pass_(2)
    assert runs.status(waits)["phase"] == "Running"


def test_nobody_begins_while_a_pod_waits_for_room(runs: Runs) -> None:
    runs.add("one")
    runs.pass_(2)
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    text = "0/1 nodes are available: 1 Insufficient memory."
    runs.pod(runs.jobs()[0], {"phase": "Pending", "conditions": [{**why, "message": text}]})
    runs.add("two", githubApp="acme-tess")
    runs.pass_()
    assert "Insufficient memory" in runs.status("one")["message"]
    assert "no node has room" in runs.status("two")["message"]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", 11),
        ("pod has unbound immediate PersistentVolumeClaims", 0),
    ],
)
def test_a_pod_that_no_node_will_ever_take_holds_up_nobody(
    runs: Runs, text: str, minutes: int
) -> None:
    runs.add("one")
    runs.pass_(2)
    why = {"type": "PodScheduled", "status": "False", "message": text}
    since = f"{runs.cluster.now() - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
    row = {**why, "lastTransitionTime": since}
    runs.pod(runs.jobs()[0], {"phase": "Pending", "conditions": [row]})
    runs.add("two", githubApp="acme-tess")
    runs.pass_(2)
    assert len(runs.jobs()) == 2


def test_a_suspended_run_waits_and_a_running_one_stops(runs: Runs) -> None:
    runs.add("one", suspend=True)
    runs.pass_(2)
    assert not runs.jobs()
    assert runs.status("one")["conditions"][0]["reason"] == "Suspended"
    runs.change("one", suspend=False)
    runs.pass_(2)
    runs.change("one", suspend=True)
    runs.pass_(2)
    assert runs.jobs()[0]["spec"]["suspend"] is True
    runs.change("one", suspend=False)
    runs.pass_(2)
    assert runs.jobs()[0]["spec"]["suspend"] is False


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"githubApp": "acme-nobody"}, "no agent has the GitHub App 'acme-nobody'"),
        ({"enableDocker": True}, "privileged"),
        (
            {
                "envFromSecrets": [
                    {"name": "K", "secretName": "github-app-rex", "secretKey": "private-key"}
                ]
            },
            "has the key of a GitHub App",
        ),
    ],
)
def test_what_cannot_begin_says_why_and_does_when_it_can(
    runs: Runs, spec: dict[str, Any], text: str
) -> None:
    runs.add("one", **spec)
    runs.pass_()
    status = runs.status("one")
    assert text in status["message"]
    assert (status["phase"], ready(status)["Stalled"]) == ("Pending", "True")
    runs.change("one", githubApp="acme-rex", enableDocker=False, envFromSecrets=[])
    runs.pass_(2)
    assert runs.status("one")["phase"] == "Running"


def test_a_run_that_is_mended_before_it_begins_has_its_new_task(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = runs.cluster.create

    def refuse(manifest: Any, **options: Any) -> Any:
        if manifest["kind"] == "Job":
            raise ApiError("CTO-1605", "spec.template.spec.containers[0].env[0].name: a=b")
        return create(manifest, **options)

    monkeypatch.setattr(runs.cluster, "create", refuse)
    runs.add("shop", prompt="Drop the table.", env={"a=b": "c"})
    runs.pass_()
    assert "env[0].name" in runs.status("shop")["message"]
    monkeypatch.undo()
    runs.change("shop", prompt="Keep the table.", env={})
    runs.clock.advance(10)
    runs.pass_()
    name = runs.jobs("shop")[0]["metadata"]["name"]
    held = runs.cluster.peek(ObjectRef("v1", "ConfigMap", NAMESPACE, name))
    assert held is not None
    assert "Keep the table." in held["data"]["prompt.md"]


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"repositoryUrl": "https://[x/acme/shop"}, {}),
        ({"repositoryUrl": "https://git.example.com\uff0f@x/acme"}, {}),
        ({}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
        ({}, {"phase": "Succeeded", "finishedAt": "2030-01-01T00:00:00"}),
    ],
)
def test_nothing_that_a_run_holds_ends_the_controller(
    runs: Runs, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    """Others write runs as well, and all others would wait for ever."""
    ref = runs.add("bad", **spec).ref
    runs.cluster.set_status(ref, status)
    runs.add("good", githubApp="acme-tess")
    runs.pass_(2)
    assert runs.status("good")["phase"] == "Running"
    if spec:
        assert "repositoryUrl is no address" in runs.status("bad")["message"]


def test_a_host_is_the_same_in_any_case(runs: Runs) -> None:
    runs.add("shop", repositoryUrl="https://GitHub.com/acme/shop")
    runs.pass_()
    assert [attempt.slug for attempt in runs.github.minted] == ["acme/shop"]


# --- rounds ---------------------------------------------------------------------------------------

SHOP = "https://github.com/acme/shop.git"


def work_off(runs: Runs, name: str) -> None:
    runs.pass_(2)
    for job in runs.jobs(name):
        runs.end(job, said={"outcome": "failed", "summary": "Still red."})
    runs.pass_()


def test_only_so_many_rounds_are_made_on_a_branch(runs: Runs) -> None:
    """Then somebody has to look: a fourth one fails, and is no round either."""
    same = {"repositoryUrl": SHOP, "sourceBranch": "agents/rex/task-7"}
    runs.add("asked-for", **same)
    runs.add("other-branch", repositoryUrl=SHOP, sourceBranch="agents/rex/task-8", rounds=3)
    runs.add("other-repository", sourceBranch="agents/rex/task-7", rounds=3)
    for name in ("asked-for", "other-branch", "other-repository"):
        work_off(runs, name)
    for name in ("one", "two", "three", "four", "five"):
        runs.add(name, **same, rounds=3)
        work_off(runs, name)
    assert {runs.status(name)["message"] for name in ("one", "two", "three")} == {"Still red."}
    over = "3 rounds on agents/rex/task-7 did not help, more are not begun (spec.rounds)"
    for name in ("four", "five"):
        status = runs.status(name)
        assert (status["phase"], status["message"], status["attempts"]) == ("Failed", over, 0)
        assert ready(status)["Stalled"] == "True"
        assert not runs.jobs(name)


def test_rounds_that_wait_count(runs: Runs) -> None:
    """Of five at once the first three are made; here all are as old, and the name decides."""
    for name in "edcba":
        runs.add(name, repositoryUrl=SHOP, sourceBranch="agents/rex/task-7", rounds=3)
    runs.pass_(2)
    phases = [runs.status(name)["phase"] for name in "abcde"]
    assert phases == ["Running", "Pending", "Pending", "Failed", "Failed"]


@pytest.mark.parametrize(
    ("source", "branch"),
    [
        ("agents/rex/task-7", "agents/rex/task-7"),
        ("agents/tess/task-7", "agents/rex/again"),
        ("main", "agents/rex/again"),
    ],
)
def test_work_goes_on_where_the_agent_began_it(runs: Runs, source: str, branch: str) -> None:
    """And nowhere else: what an agent pushes is on branches of its own."""
    runs.add("again", sourceBranch=source)
    runs.pass_()
    (container,) = runs.jobs("again")[0]["spec"]["template"]["spec"]["containers"]
    environment = {row["name"]: row.get("value") for row in container["env"]}
    assert (environment["BRANCH"], environment["BASE_BRANCH"]) == (branch, source)


# --- tokens ---------------------------------------------------------------------------------------


def secret(runs: Runs) -> Any:
    names = runs.names("Secret")
    assert len(names) == 1
    return runs.cluster.peek(ObjectRef("v1", "Secret", NAMESPACE, names[0]))


def test_a_token_is_for_the_run_and_goes_with_its_end(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    assert secret(runs)["stringData"]["token"] == "planted-token-1"
    assert secret(runs)["metadata"]["ownerReferences"][0]["name"] == "shop"
    runs.end(runs.jobs()[0], said=DONE)
    runs.pass_(2)
    assert runs.names("Secret") == []


def test_a_token_is_renewed_before_its_hour_is_over(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.cluster.time += timedelta(minutes=44)
    runs.pass_()
    assert len(runs.github.minted) == 1
    runs.cluster.time += timedelta(minutes=2)
    runs.pass_()
    assert secret(runs)["stringData"]["token"] == "planted-token-2"


def test_without_a_token_a_run_waits_and_tries_again(runs: Runs) -> None:
    runs.github.refusal = "Secret github-app-acme-rex is not there"
    runs.add("shop")
    runs.pass_(3)
    status = runs.status("shop")
    assert (status["phase"], status["message"]) == ("Pending", runs.github.refusal)
    assert runs.jobs() == []
    runs.github.refusal = ""
    runs.pass_()
    assert runs.jobs() == []
    runs.clock.advance(10)
    runs.pass_(2)
    assert runs.status("shop")["phase"] == "Running"


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        ({}, {"repositoryUrl": "https://github.com/acme/shop"}),
        ({"queue": {"maxConcurrent": 1}}, {}),
        ({}, {"githubApp": "acme-rex"}),
    ],
    ids=["workspace", "all", "agent"],
)
def test_what_gets_no_token_holds_nobody_up(settings: dict[str, Any], spec: dict[str, Any]) -> None:
    """Neither in its workspace, nor in the queue of all or of its agent."""
    runs = Runs(settings)
    runs.github.refusal = "Secret github-app-acme-rex is not there"
    runs.add("shop", repositoryUrl="https://github.com/acme/shop")
    runs.pass_()
    runs.github.refusal = ""
    runs.add("then", **{"githubApp": "acme-tess", **spec})
    runs.pass_(2)
    assert (runs.status("shop")["phase"], runs.status("then")["phase"]) == ("Pending", "Running")
    runs.clock.advance(10)
    runs.pass_(2)
    assert runs.status("shop")["conditions"][0]["reason"] == "Queued"
    runs.end(runs.jobs("then")[0], said=DONE)
    runs.pass_(3)
    assert runs.status("shop")["phase"] == "Running"


def test_repositories_elsewhere_need_no_token(runs: Runs) -> None:
    runs.add("shop", repositoryUrl="https://git.example.com/acme/shop")
    runs.pass_()
    assert runs.names("Secret") == []
    volumes = runs.jobs()[0]["spec"]["template"]["spec"]["volumes"]
    assert "token" not in {volume["name"] for volume in volumes}


def test_tokens_are_nowhere_but_in_their_secret(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], code=1, said="failed with planted-token-1 ghs_" + "a" * 36)
    runs.pass_(2)
    everything = {r: m for r, m in runs.cluster.everything().items() if r.kind != "Secret"}
    kept = json.dumps([m for r, m in everything.items() if r.kind != "Pod"], default=str)
    assert "ghs_" not in kept
    assert "planted-token" not in json.dumps(runs.jobs())
    assert "ghs_" not in capsys.readouterr().err


# --- cleaning up ----------------------------------------------------------------------------------


def test_jobs_go_some_time_after_the_end_and_runs_by_age(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], said=DONE)
    runs.pass_(2)
    assert runs.jobs()
    runs.cluster.time += timedelta(minutes=6)
    runs.pass_()
    assert runs.jobs() == []
    assert runs.status("shop")["phase"] == "Succeeded"
    runs.cluster.time += timedelta(days=31)
    runs.pass_()
    assert runs.cluster.list("agents.platform/v1", "CodeRun", namespace=NAMESPACE) == ()


def test_only_so_many_ended_runs_are_kept_the_newest() -> None:
    runs = Runs({"cleanup": {"keepRuns": 1}})
    for name in ("one", "two"):
        runs.add(name)
        runs.pass_(2)
        runs.end(runs.jobs(name)[0], said=DONE)
        runs.cluster.time += timedelta(seconds=5)
        runs.pass_(2)
    left = runs.cluster.list("agents.platform/v1", "CodeRun", namespace=NAMESPACE)
    assert [run["metadata"]["name"] for run in left] == ["two"]


# --- when something breaks ------------------------------------------------------------------------

WRITES = ("create", "apply", "apply status", "delete")


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Lets the controller die at one of its writes, before it is sent or after it was done."""

    def __init__(self, runs: Runs, writes: int) -> None:
        self.left = writes
        self._enter = runs.cluster._enter
        runs.cluster._enter = self  # type: ignore[method-assign]

    def __call__(self, verb: str, kind: str = "", namespace: str = "", name: str = "") -> None:
        if verb in WRITES:
            self.left -= 1
            if self.left == 0:
                raise Killed
        self._enter(verb, kind, namespace, name)


def work(runs: Runs) -> None:
    """Go on until all is done, while agents do their work."""
    for _ in range(6):
        runs.pass_()
        for job in runs.jobs():
            if not job.get("status", {}).get("conditions"):
                runs.end(job, said=DONE)


@pytest.mark.parametrize("writes", range(1, 15))
def test_killed_at_any_request_the_next_one_loses_and_doubles_nothing(writes: int) -> None:
    runs = Runs()
    runs.add("shop")
    runs.add("bank", githubApp="acme-tess")
    mortal = Mortal(runs, writes)
    with pytest.raises(Killed):
        work(runs)
    mortal.left = -1
    runs.controller = runs.another()
    work(runs)
    for name in ("shop", "bank"):
        assert runs.status(name)["phase"] == "Succeeded"
        assert runs.status(name)["attempts"] == 1
    assert runs.names("Secret") == []
    assert len(runs.jobs()) == 2


def test_a_refusal_of_one_run_is_not_anothers_trouble(runs: Runs) -> None:
    runs.add("one")
    runs.add("two", githubApp="acme-tess")
    refused = ApiError("CTO-1605", "exceeded quota", status=403, reason="Forbidden")
    runs.cluster.fail_next("create", refused, kind="Job")
    runs.pass_(2)
    assert runs.status("one")["message"] == "exceeded quota"
    assert runs.jobs("two")


def test_a_conflict_of_something_else_is_no_sign_that_a_job_is_there(runs: Runs) -> None:
    """A quota that is written by two at once answers 409, too."""
    runs.add("one")
    conflict = ApiError("CTO-1604", "the quota has been modified", status=409, reason="Conflict")
    runs.cluster.fail_next("create", conflict, kind="Job")
    runs.pass_()
    assert runs.status("one")["message"] == "the quota has been modified"


def test_nothing_is_kept_of_runs_that_are_gone(runs: Runs) -> None:
    runs.github.refusal = "no key"
    runs.add("one")
    runs.pass_()
    runs.cluster.remove(runs.get("one").ref)
    runs.pass_()
    assert (runs.controller._failures, runs.controller._told) == ({}, {})


def test_a_silent_api_server_ends_a_pass_and_nothing_else(runs: Runs) -> None:
    runs.add("one")
    silent = ApiError("CTO-1601", "no answer")
    runs.cluster.fail_next("create", silent, kind="Job")
    runs.pass_()
    assert not runs.jobs()
    runs.pass_(2)
    assert runs.status("one")["phase"] == "Running"


def test_a_broken_template_is_told_at_the_run(runs: Runs, tmp_path: Any) -> None:
    for path in TEMPLATES.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "rex.md.j2").write_text("{{ spec.nonsense }}")
    runs.controller = runs.another(tmp_path)
    runs.add("one")
    runs.pass_()
    assert "rex.md.j2" in runs.status("one")["message"]
    assert "nonsense" in runs.status("one")["message"]


def test_events_and_numbers_tell_of_ends_once(runs: Runs) -> None:
    runs.add("shop")
    runs.pass_(2)
    runs.end(runs.jobs()[0], said=DONE)
    stale = runs.get("shop")
    runs.pass_()
    runs.cluster.set_status(stale.ref, stale.status)
    runs.pass_()
    sample = runs.metrics.registry.get_sample_value
    assert sample("cto_runs_succeeded_total", {"agent": "rex"}) == 1
    assert sample("cto_runs_failed_total", {"agent": "rex"}) == 0
    assert sample("cto_run_seconds_count", {"agent": "rex"}) == 1
    reasons = [e["reason"] for e in runs.cluster.list("v1", "Event", namespace=NAMESPACE)]
    assert sorted(reasons) == ["Running", "Succeeded"]
