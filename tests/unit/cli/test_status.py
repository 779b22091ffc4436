"""`cto status`: what is installed, whether it is healthy, and what changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

import pytest

from cto import __version__
from cto.cli.output import SIMULATED
from cto.cli.verbs.status import WATCH_S
from cto.engine.lock import ClusterLock
from cto.engine.state import STATE
from cto.errors import ApiError
from cto.objects import ObjectRef, load_yaml
from fakes.desk import API, Desk, node
from fakes.handclock import HandClock
from fakes.releases import Killed

RELEASE = ObjectRef("apps/v1", "Deployment", "web", "web")
HEALTHY = f"""\
test: Kubernetes v1.34.4, profile minimal, installed by cto {__version__}

component  namespace  chart      release   revision  objects
web        web        web-1.0.0  deployed  1         2

Health:
  ok      Kubernetes        v1.34.4 answers, 1 of 1 nodes ready (0.00 s)
  ok      Core components   1 of 1 components ready (0.00 s)
  skipped GitHub            the Multi-Agent Controller is not installed (0.00 s)
  skipped Webhook delivery  no receiver for webhooks is installed (0.00 s)
  skipped Agent readiness   the Multi-Agent Controller is not installed (0.00 s)
"""
ACCESS = """
Access:
  Web: http://localhost:8080 after
    kubectl --kubeconfig DESK/kubeconfig --context test -n web port-forward svc/web 8080:80
"""
SICK = """\
  FAILED  Core components   0 of 1 components ready; not ready: Web (0.00 s)
          Web: Deployment web in web is missing
          fix: Run `cto upgrade`: it repairs what was changed or deleted, with what was configured.
"""


class Script(HandClock):
    """A clock that does something whenever `status --watch` waits for news."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        super().__init__()
        self.actions = list(actions)

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if timeout_s == WATCH_S:
            self.actions.pop(0)()
            return False
        return super().wait(flag, timeout_s)


def interrupt() -> None:
    raise KeyboardInterrupt


def nothing() -> None:
    pass


def test_a_healthy_platform(desk: Desk) -> None:
    desk.cto("install")
    result = desk.cto("status")
    assert (result.exit_code, result.stderr) == (0, "")
    assert desk.placeless(result.stdout) == HEALTHY + ACCESS


def test_something_that_is_missing_is_named_with_its_fix(desk: Desk) -> None:
    desk.cto("install")
    desk.cluster.remove(RELEASE)
    result = desk.cto("status")
    assert result.exit_code == 9
    assert SICK in result.stdout


def test_a_release_that_somebody_uninstalled_is_missing(desk: Desk) -> None:
    desk.cto("install")
    desk.releases.uninstall("web", "web", timeout_s=1, wait=True)
    (row,) = desk.document("status", code=9)["data"]["components"]
    assert (row["release"], row["chart"], row["revision"]) == ("missing", "", 0)


MORE = """\
  FAILED  Core components   1 of 2 components ready; not ready: Api (0.00 s)
          Api: not installed: the last run with profile minimal did not end
          fix: Run the same command again, or `cto upgrade`: it goes on, with what was \
configured.
"""


def test_a_change_that_was_killed_half_way_is_not_healthy_until_it_is_finished(desk: Desk) -> None:
    desk.cto("install")
    desk.component(API)
    desk.releases.during_upgrade = killed
    with pytest.raises(Killed):
        desk.cto("install")
    desk.releases.during_upgrade = lambda _: None
    result = desk.cto("status")
    assert (result.exit_code, MORE in result.stdout) == (9, True), result.stdout
    assert desk.document("status", code=9)["data"]["unfinished"] == ["api"]
    desk.cto("install", "--profile", "minimal")
    assert desk.document("status")["data"]["unfinished"] == []


def killed(_: object) -> None:
    raise Killed


@pytest.mark.parametrize(
    "told", ["a change of it was not finished", "its last steps may be missing"]
)
def test_what_a_killed_change_of_a_release_left_is_named(desk: Desk, told: str) -> None:
    desk.cto("install")
    state = json.loads((desk.cluster.peek(STATE) or {})["data"]["state.json"])
    digest = state["releases"]["web"]["digest"]
    state["unfinished"] = {"web": digest if "last steps" in told else "another"}
    desk.cluster.add(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": STATE.name, "namespace": STATE.namespace},
            "data": {"state.json": json.dumps(state)},
        }
    )
    (check,) = (c for c in desk.document("status", code=9)["data"]["checks"] if c["code"])
    assert check["items"] == [f"Web: {told}: the last run with profile minimal did not end"]


def test_a_run_that_failed_is_not_finished_either_and_a_removal_forgets_it(desk: Desk) -> None:
    desk.cto("install")
    desk.component(API)
    desk.releases.fail("api")
    assert desk.cto("install").exit_code == 5
    assert desk.document("status", code=9)["data"]["unfinished"] == ["api"]
    desk.cto("uninstall", "--yes", "--component", "api")
    assert desk.document("status")["data"]["unfinished"] == []


def test_another_run_at_work_is_told_in_a_line(desk: Desk) -> None:
    desk.cto("install")
    other = ClusterLock(desk.cluster, desk.clock, desk.machine.host)
    other.acquire()
    lease = desk.cluster.peek(
        ObjectRef("coordination.k8s.io/v1", "Lease", "cto-system", "cto-lock")
    )
    times = (lease or {})["spec"]
    told = (
        f"Process {desk.machine.host.pid} on {desk.machine.host.name} holds the lock of this "
        f"cluster since {times['acquireTime']}, and renewed it at {times['renewTime']}"
    )
    assert f"Another run works on it: {told}" in desk.cto("status").stdout.splitlines()
    assert desk.document("status")["data"]["at_work"] == told
    for command in ("install", "uninstall"):
        assert f"warning: another run works on it: {told}" in desk.cto("plan", command).stdout
    other.release()
    assert desk.document("status")["data"]["at_work"] == ""


def test_where_nothing_is_installed_the_code_says_so(desk: Desk) -> None:
    document = desk.document("status", code=9)
    assert document["error"]["code"] == "CTO-1901"
    assert document["error"]["message"] == "the platform is not installed on test"


def test_programs_get_components_and_checks(desk: Desk) -> None:
    desk.cto("install")
    document = desk.document("status")
    checks = document["data"].pop("checks")
    (access,) = document["data"].pop("access")
    assert (access["component"], access["url"], access["port"]) == ("web", "", 80)
    assert document == {
        "schema": 1,
        "command": "status",
        "ok": True,
        "exit_code": 0,
        "simulated": False,
        "error": None,
        "data": {
            "context": "test",
            "kubernetes": "v1.34.4",
            "provider": "existing",
            "profile": "minimal",
            "writer": __version__,
            "unfinished": [],
            "at_work": "",
            "components": [
                {
                    "component": "web",
                    "title": "Web",
                    "namespace": "web",
                    "chart": "web-1.0.0",
                    "release": "deployed",
                    "revision": 1,
                    "objects": 2,
                }
            ],
        },
    }
    assert [(check["name"], check["status"]) for check in checks] == [
        ("kubernetes", "passed"),
        ("components", "passed"),
        ("github", "skipped"),
        ("webhooks", "skipped"),
        ("agents", "skipped"),
    ]


def test_a_server_that_does_not_answer_is_asked_once(desk: Desk) -> None:
    """Each question in vain takes half a minute."""
    silent = ApiError("CTO-1601", "no answer from 192.0.2.1")
    for verb in ("uid", "server_version", "list_metadata"):
        desk.cluster.fail_next(verb, silent, times=9)
    for command in (("status",), ("uninstall", "--yes"), ("plan", "uninstall")):
        desk.cluster.calls.clear()
        assert desk.document(*command, code=6)["error"]["code"] == "CTO-1601"
        assert desk.cluster.calls == [("uid", "", "", "")]


def test_it_needs_no_configuration_and_changes_nothing(desk: Desk) -> None:
    desk.cto("install")
    desk.env["CTO_PROFILE"] = "no such profile"
    desk.cluster.calls.clear()
    assert desk.cto("status").exit_code == 0
    assert {call[0] for call in desk.cluster.calls} & {"apply", "update", "delete"} == set()
    assert not (desk.folder / "state").exists()


def test_simulated_nodes_are_told_around_everything(desk: Desk) -> None:
    desk.cluster.add(node("one", simulated=True))
    desk.cto("install")
    lines = desk.cto("status").stdout.splitlines()
    assert (lines[0], lines[-1]) == (SIMULATED, SIMULATED)


def test_watching_shows_what_changed_and_nothing_twice(desk: Desk) -> None:
    desk.cto("install")
    desk.clock = Script(nothing, lambda: desk.cluster.remove(RELEASE), nothing, interrupt)
    result = desk.cto("status", "--watch")
    assert result.exit_code == 130
    assert result.stdout.startswith(HEALTHY)
    assert result.stdout.count("Health:") == 2
    assert result.stdout.count(SICK) == 1


def test_the_end_of_a_watch_is_no_interrupted_run(desk: Desk) -> None:
    desk.cto("install")
    desk.clock = Script(interrupt)
    assert desk.cto("status", "--watch").stderr == (
        "✗ INTERRUPTED Interrupted (exit code 130)\n"
        "  It is no longer watched; nothing was changed by that.\n"
    )


def test_watching_programs_get_a_document_for_every_change(desk: Desk) -> None:
    desk.cto("install")
    desk.clock = Script(lambda: desk.cluster.remove(RELEASE), interrupt)
    result = desk.cto("status", "--watch", "-o", "json")
    assert result.exit_code == 130
    first, rest = json.JSONDecoder().raw_decode(result.stdout)
    second = json.loads(result.stdout[rest:])
    assert [(one["exit_code"], one["ok"]) for one in (first, second)] == [(0, True), (9, False)]


def test_a_platform_that_goes_while_it_is_watched_ends_the_watch(
    desk: Desk, tmp_path: Path
) -> None:
    desk.cto("install")
    state = ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")

    def forget() -> None:
        desk.releases.uninstall("web", "web", timeout_s=1, wait=True)
        desk.cluster.remove(state)

    desk.clock = Script(forget)
    result = desk.cto("status", "--watch")
    assert result.exit_code == 9
    assert "the platform is not installed on test" in result.stderr


def test_the_configuration_comes_back_from_the_cluster_alone(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "cto.yaml"
    file.write_text(
        "platform: {name: acme}\nproviders: {a: canary-7f3a, b: {secret: llm, key: b}}\n"
        "components: {web: {values: {replicas: 2, text: '${job}', n: 'y'}}}\n"
    )
    desk.cto("install", "-c", str(file))
    file.unlink()
    result = desk.cto("status", "--show-config")
    assert result.exit_code == 0
    assert "canary" not in result.stdout
    shown = load_yaml(result.stdout)
    again = desk.document("status", "--show-config")["data"]["config"]
    assert again.pop("providers").keys() == {"a", "b"}
    assert {**shown, "providers": None} == {**again, "providers": None}
    assert shown["platform"]["name"] == "acme"
    assert shown["providers"] == {"a": {"from": f"{file}:2"}, "b": {"secret": "llm", "key": "b"}}
    assert shown["components"]["web"]["values"] == {"replicas": 2, "text": "${job}", "n": "y"}
    # A later look without a file keeps it.
    desk.cto("status")
    assert desk.cto("status", "--show-config").stdout == result.stdout


def test_where_nothing_is_installed_there_is_no_configuration(desk: Desk) -> None:
    document = desk.document("status", "--show-config", code=9)
    assert document["error"]["code"] == "CTO-1901"


def test_a_configuration_of_another_version_is_told(desk: Desk) -> None:
    desk.cto("install")
    state = desk.cluster.peek(STATE) or {}
    data = json.loads(state["data"]["state.json"])
    data["config"]["new_field"] = 1
    desk.cluster.add({**state, "data": {"state.json": json.dumps(data)}})
    document = desk.document("status", "--show-config", code=9)
    assert "kept a configuration that this version cannot read" in document["error"]["message"]
