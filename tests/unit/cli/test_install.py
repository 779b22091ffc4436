"""`cto install`: what it shows, what it leaves, and how each kind of failure ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.adapters.download import Downloader
from cto.cli.output import SIMULATED
from cto.engine.lock import ClusterLock
from cto.errors import ApiError, ToolError
from cto.objects import Manifest, ObjectRef, ref_of
from fakes.components import definition
from fakes.desk import Desk, node
from fakes.handclock import HandClock
from fakes.provider import FakeProvider
from fakes.workloads import manifest, waiting

RELEASE = ObjectRef("apps/v1", "Deployment", "web", "web")
LOG = """\
  0:00    · programs come from DESK/tools, as they are
  0:00  [1/8] prerequisites
  0:00    ✓ Reach context test
  0:00  [2/8] configuration
  0:00    · profile minimal, features: none, about 5 minutes
  0:00    ✓ Get charts and programs
  0:00  [3/8] cluster
  0:00    ✓ Check the cluster
  0:00  [4/8] core
"""
LOG_END = """\
  0:00    ✓ Install Web 1.0.0
  0:00    ✓ Web is ready
  0:00  [5/8] github
  0:00    - Set up the agents' GitHub Apps: skipped, at the end, or by `cto github setup`
  0:00  [6/8] optional
  0:00  [7/8] validation
  0:00    ✓ Check the platform's health
  0:00  [8/8] access
"""
HEALTH = """\
Health:
  ok      Kubernetes        v1.34.4 answers, 1 of 1 nodes ready (0.00 s)
  ok      Core components   1 of 1 components ready (0.00 s)
  skipped GitHub            the Multi-Agent Controller is not installed (0.00 s)
  skipped Webhook delivery  no receiver for webhooks is installed (0.00 s)
  skipped Agent readiness   the Multi-Agent Controller is not installed (0.00 s)
"""
LOOK = """\
Look around:
  cto status --kubeconfig DESK/kubeconfig --context test
  kubectl --kubeconfig DESK/kubeconfig --context test get pods -A
  helm --kubeconfig DESK/kubeconfig --kube-context test list -A
"""
ACCESS = """\
Web: http://localhost:8080 after
  kubectl --kubeconfig DESK/kubeconfig --context test -n web port-forward svc/web 8080:80
  log in as admin; the password:
  kubectl --kubeconfig DESK/kubeconfig --context test -n web get secret web-admin \
-o jsonpath='{.data.password}' | base64 -d
"""


def passed(name: str, title: str, message: str, status: str = "passed") -> dict[str, Any]:
    nothing = {"fix": "", "code": "", "seconds": 0.0, "items": []}
    return {"name": name, "title": title, "status": status, "message": message, **nothing}


CHECKS = [
    passed("kubernetes", "Kubernetes", "v1.34.4 answers, 1 of 1 nodes ready"),
    passed("components", "Core components", "1 of 1 components ready"),
    passed(
        "github",
        "GitHub",
        "the Multi-Agent Controller is not installed",
        "skipped",
    ),
    passed("webhooks", "Webhook delivery", "no receiver for webhooks is installed", "skipped"),
    passed("agents", "Agent readiness", "the Multi-Agent Controller is not installed", "skipped"),
]


def ran(name: str, outcome: str = "done", message: str = "") -> dict[str, Any]:
    times = {"started_seconds": 0.0, "seconds": 0.0}
    return {"id": name, "outcome": outcome, "message": message, **times}


def test_people_see_phases_health_times_and_how_to_log_in(desk: Desk) -> None:
    result = desk.cto("install")
    assert result.exit_code == 0
    assert desk.placeless(result.stdout) == (
        f"1 component on test: 4 changes.\n\n{HEALTH}\n0.0 s.\n\n{ACCESS}{LOOK}"
    )
    log = desk.placeless(result.stderr)
    assert log.startswith(LOG)
    assert log.endswith(LOG_END)
    assert set(log.removeprefix(LOG).removesuffix(LOG_END).splitlines()) == {
        "  0:00    ✓ Create namespace web",
        "  0:00    ✓ Generate secret web-admin",
        "  0:00    ✓ Apply the CRDs of Web",
    }


def test_an_address_at_which_nobody_listens_yet_is_not_shown(desk: Desk) -> None:
    text = (desk.root / "bundle/components/web/component.yaml").read_text()
    desk.component(text.replace("access: {", "access: {when: github.organization, "))
    assert "port-forward" not in desk.cto("install").stdout
    desk.env["CTO_GITHUB__ORGANIZATION"] = "acme"
    assert "port-forward" in desk.cto("install").stdout


def test_with_an_ingress_the_address_is_the_name_under_the_domain(desk: Desk) -> None:
    text = (desk.root / "bundle/components/web/component.yaml").read_text()
    desk.component(text.replace("access: {", "access: {subdomain: web, path: /ui, "))
    desk.env |= {"CTO_PLATFORM__INGRESS_TYPE": "ingress", "CTO_PLATFORM__DOMAIN": "a.example.com"}
    told = desk.cto("install").stdout
    assert "Web: https://web.a.example.com/ui\n  log in as admin" in told
    assert "port-forward" not in told
    (access,) = desk.document("install")["data"]["access"]
    assert access["url"] == "https://web.a.example.com/ui"


def test_programs_get_one_document(desk: Desk) -> None:
    document = desk.document("install")
    steps = document["data"]["report"].pop("steps")
    assert document["data"]["report"].pop("critical_path")
    preflight = [(check["name"], check["status"]) for check in document["data"].pop("preflight")]
    assert preflight[0] == ("version", "passed")
    assert {status for _, status in preflight} == {"passed", "skipped"}
    assert document == {
        "schema": 1,
        "command": "install",
        "ok": True,
        "exit_code": 0,
        "simulated": False,
        "error": None,
        "data": {
            "context": "test",
            "kubeconfig": "DESK/kubeconfig",
            "provider": "existing",
            "profile": "minimal",
            "components": ["web"],
            "changes": ["namespace:web", "secret:web/web-admin", "crds:web", "release:web"],
            "warnings": [],
            "report": {"seconds": 0.0, "not_run": []},
            "checks": CHECKS,
            "access": [
                {
                    "component": "web",
                    "namespace": "web",
                    "url": "",
                    "service": "web",
                    "port": 80,
                    "node_port": None,
                    "host_port": None,
                    "subdomain": "",
                    "path": "",
                    "user": "admin",
                    "secret": "web-admin/password",
                    "command": "",
                }
            ],
        },
    }
    assert sorted(steps, key=lambda step: step["id"]) == [
        ran("crds:web"),
        ran("fetch"),
        ran("github", "skipped", "at the end, or by `cto github setup`"),
        ran("namespace:web"),
        ran("ready:web"),
        ran("release:web"),
        ran("secret:web/web-admin"),
    ]


def test_a_policy_that_refuses_only_the_probe_does_not_block_a_healthy_platform(
    desk: Desk,
) -> None:
    desk.document("install")
    refused = ApiError("CTO-1605", "admission denied: label team is required", status=403)
    desk.cluster.fail_next("create", refused, kind="Pod")

    assert desk.document("install")["data"]["changes"] == []


def test_the_second_run_says_that_nothing_had_to_be_changed(desk: Desk) -> None:
    desk.cto("install")
    result = desk.cto("install")
    assert result.stdout.startswith("1 component on test: nothing had to be changed.\n")
    assert "= Keep Web 1.0.0: unchanged" in result.stderr
    assert desk.document("install")["data"]["changes"] == []


def test_quiet_leaves_the_result(desk: Desk) -> None:
    result = desk.cto("install", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("1 component on test")


def test_a_configuration_that_lies_here_and_is_not_named_is_told_in_a_line(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = "./cto.yaml is not read: add `-c cto.yaml` to have it count"
    assert told not in desk.cto("install").stderr
    (tmp_path / "cto.yaml").write_text("version: nonsense\n")
    for command in (("install",), ("plan", "install")):
        assert desk.cto(*command).stderr.splitlines().count(told) == 1
    (tmp_path / "cto.yaml").write_text("profile: minimal\n")
    assert told not in desk.cto("install", "-c", "cto.yaml").stderr


def test_charts_of_ones_own_are_announced_as_such(desk: Desk, tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    result = desk.cto("install", "--charts", str(charts))
    assert result.exit_code == 0
    assert f"charts come from {charts}, not from their published archives" in result.stderr


def test_no_lock_file_and_no_connection_is_left(desk: Desk) -> None:
    desk.cto("install")
    assert not (desk.folder / "state").exists()


class BriskClock(HandClock):
    """Waits a hundredth of what it is asked to, and calls something at long waits."""

    def __init__(self, at_wait: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._at_wait = at_wait

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if timeout_s > 1:
            self._at_wait()
        return super().wait(flag, timeout_s / 100)


class TestFailures:
    def test_a_wrong_configuration_is_told_before_a_cluster_is_looked_for(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        file = tmp_path / "cto.yaml"
        file.write_text("platfrom: {}\n")
        desk.contexts()
        document = desk.document("install", "-c", str(file), code=3)
        assert document["error"]["code"] == "CTO-1300"
        assert document["data"] == {}

    def test_several_contexts_need_a_choice(self, desk: Desk) -> None:
        desk.contexts("one", "two")
        document = desk.document("install", code=2)
        assert document["error"]["code"] == "CTO-1201"
        assert "--context one" in document["error"]["message"] + document["error"]["details"]
        assert desk.document("install", "--context", "two")["data"]["context"] == "two"

    def test_a_missing_permission_is_a_preflight_check_that_names_it(self, desk: Desk) -> None:
        desk.cluster.denied.add(("*", "*", "*"))
        document = desk.document("install", code=4)
        assert document["error"]["code"] == "CTO-1400"
        assert "namespaces" in document["error"]["details"]
        assert desk.cluster.peek(RELEASE) is None

    @pytest.mark.parametrize("verb", [("install",), ("plan", "install")])
    def test_who_names_no_profile_gives_a_platform_no_other_one(
        self, desk: Desk, verb: tuple[str, ...]
    ) -> None:
        desk.document("install", "--profile", "standard")
        error = desk.document(*verb, code=4)["error"]["details"]
        assert "the platform has profile standard, and no profile is named" in error
        assert "`--profile standard` keeps it, `--profile minimal` changes it" in error
        desk.document(*verb, "--profile", "minimal")

    def test_something_foreign_is_not_taken_over(self, desk: Desk) -> None:
        desk.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
        document = desk.document("install", code=4)
        assert document["error"]["code"] == "CTO-1401"
        assert "web" in document["error"]["details"]

    def test_a_folder_that_cannot_be_written_to_is_told_first(self, desk: Desk) -> None:
        (desk.folder / "cache").write_text("a file")
        document = desk.document("install", code=4)
        assert "DESK/cache" in document["error"]["details"]
        assert desk.cluster.calls == [("server_version", "", "", "")]

    def test_helm_failing_is_a_failed_program_and_what_worked_is_in_the_document(
        self, desk: Desk
    ) -> None:
        desk.releases.fail("web", "Error: UPGRADE FAILED: no luck")
        document = desk.document("install", code=5)
        assert document["error"]["code"] == "CTO-1500"
        assert "no luck" in document["error"]["details"]
        assert "not begun because of that: 2 steps" in document["error"]["details"]
        report = document["data"]["report"]
        assert report["not_run"] == ["ready:web", "github"]
        assert document["data"]["checks"] == []
        desk.document("install")

    def test_all_failures_are_named(self, desk: Desk) -> None:
        for name in ("web", "api"):
            desk.component(definition(name))
            desk.releases.fail(name)
        result = desk.cto("install")
        assert result.exit_code == 5
        assert "also failed: Install" in result.stderr

    def test_a_log_in_that_expired_is_the_apis_refusal(self, desk: Desk) -> None:
        desk.cluster.logged_in = False
        assert desk.document("install", code=6)["error"]["code"] == "CTO-1602"

    @pytest.mark.parametrize("options", [[], ["--yes"]])
    @pytest.mark.parametrize("verb", ["install", "plan install"])
    def test_a_server_that_does_not_answer_is_a_failed_preflight_and_asked_once(
        self, desk: Desk, verb: str, options: list[str]
    ) -> None:
        """Each question in vain takes half a minute."""
        desk.attended = True
        silent = ApiError("CTO-1601", "no answer from 192.0.2.1", details="timed out", hint="Go!")
        desk.cluster.fail_next("server_version", silent, times=9)
        result = desk.cto(*verb.split(), *options)
        assert result.exit_code == 4
        assert desk.cluster.calls == [("server_version", "", "", "")]
        told = "API server: no answer from 192.0.2.1\n      timed out\n      fix: Go!\n"
        assert f"    {told}" in result.stderr
        seen = "✗ Reach context test: a preflight check failed\n" in result.stderr
        assert seen == (verb == "install")

    def test_nodes_of_somebody_elses_that_are_simulated_are_told_once_they_answer(
        self, desk: Desk
    ) -> None:
        desk.cluster.add(node("one", simulated=True))
        lines = desk.cto("install").stderr.splitlines()
        assert lines[1:4] == [
            "  0:00  [1/8] prerequisites",
            SIMULATED,
            "  0:00    ✓ Reach context test",
        ]
        assert lines[-1] == SIMULATED

    def test_what_can_not_become_ready_is_a_timeout_with_its_cause(self, desk: Desk) -> None:
        status = {
            "phase": "Pending",
            "containerStatuses": [waiting("InvalidImageName", "couldn't parse X")],
        }

        def hopeless(made: Manifest) -> None:
            if made["kind"] == "Pod":
                made["status"] = status

        desk.cluster.controllers[:] = [hopeless]
        desk.releases.render["web"] = lambda _: [
            manifest("Pod", "web", metadata={"namespace": "web"}, spec={"containers": []})
        ]
        document = desk.document("install", code=7)
        assert document["error"]["code"] == "CTO-1701"
        assert "couldn't parse X" in document["error"]["message"] + document["error"]["details"]

    def test_an_installation_that_is_not_healthy_is_degraded(self, desk: Desk) -> None:
        desk.clock = BriskClock()
        sick = node("one")
        sick["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        desk.cluster.add(sick)
        document = desk.document("install", code=9)
        assert (document["ok"], document["error"]) == (False, None)
        assert document["data"]["checks"][0]["status"] == "failed"
        assert "FAILED" in desk.cto("install").stdout

    def test_what_is_only_sick_for_a_moment_is_looked_at_again(self, desk: Desk) -> None:
        """Right after a removal, garbage collection may still take a pod of the new workload."""
        desk.cluster.add(sick := node("one"))
        well = sick["status"]
        desk.cto("install")
        ref = ref_of(sick)
        desk.cluster.set_status(ref, {"conditions": [{"type": "Ready", "status": "False"}]})
        pauses: list[int] = []

        def get_well() -> None:
            pauses.append(1)
            desk.cluster.set_status(ref, well)

        desk.clock = BriskClock(get_well)
        assert desk.cto("install").exit_code == 0
        assert pauses == [1]

    def test_another_run_at_work_is_named_and_left_alone(self, desk: Desk) -> None:
        other = ClusterLock(desk.cluster, desk.clock, desk.machine.host)
        other.acquire()
        document = desk.document("install", code=10)
        other.release()
        assert document["error"]["code"] == "CTO-2000"
        assert "ps -o pid" in document["error"]["fix"]
        assert desk.cluster.peek(RELEASE) is None

    def test_a_ctrl_c_says_what_is_left_and_how_to_go_on(self, desk: Desk) -> None:
        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        desk.releases.during_upgrade = interrupt
        result = desk.cto("install")
        assert result.exit_code == 130
        assert "in the middle of: Install Web 1.0.0" in result.stderr
        assert "Run the same command again" in result.stderr
        desk.releases.during_upgrade = lambda _: None
        assert desk.cto("install").exit_code == 0

    @pytest.mark.parametrize(
        ("attended", "told"), [(False, "getting charts and programs"), (True, "making the plan")]
    )
    def test_a_ctrl_c_during_downloads_says_that_nothing_was_changed(
        self, desk: Desk, *, attended: bool, told: str
    ) -> None:
        place = {"url": "https://example.com/api.tgz", "sha256": f"{1:064}"}
        desk.component(definition("api", chart={"name": "api", "version": "1.0.0", **place}))
        desk.downloader = Interrupted(desk.folder)
        desk.attended = attended
        result = desk.cto("install")
        assert result.exit_code == 130
        kept = "nothing was changed, and what was fetched is kept"
        assert f"  in the middle of: {told}; {kept}\n  Fix: Run the same command" in result.stderr

    @pytest.mark.parametrize("attended", [False, True])
    def test_a_ctrl_c_while_the_cluster_is_reached_says_that_nothing_was_changed(
        self, desk: Desk, *, attended: bool
    ) -> None:
        desk.attended = attended
        stop: Any = KeyboardInterrupt()
        desk.cluster.fail_next("server_version", stop)
        result = desk.cto("install")
        assert result.exit_code == 130
        assert "  in the middle of: the prerequisites; nothing was changed\n" in result.stderr


class Interrupted(Downloader):
    """Somebody presses Ctrl-C as soon as it begins."""

    def fetch(self, url: str, *, algorithm: str, digest: str, code: str = "CTO-1501") -> Path:
        raise KeyboardInterrupt


class TestConfirmation:
    def test_somebody_who_is_there_sees_the_plan_and_is_asked(self, desk: Desk) -> None:
        desk.attended = True
        result = desk.cto("install", answer="y\n")
        assert result.exit_code == 0
        assert "Plan: install on context test (existing, profile minimal)" in result.stderr
        assert "Carry this out on test? [y/N]" in result.stderr
        assert desk.cluster.peek(RELEASE)

    def test_no_changes_nothing(self, desk: Desk) -> None:
        desk.attended = True
        result = desk.cto("install", answer="n\n")
        assert result.exit_code == 130
        assert "The answer was no: nothing was changed." in result.stderr
        assert desk.cluster.peek(RELEASE) is None

    @pytest.mark.parametrize("options", [["--yes"], ["--non-interactive"], ["-o", "json"]])
    def test_nobody_is_asked_who_said_so_before(self, desk: Desk, options: list[str]) -> None:
        desk.attended = True
        result = desk.cto("install", *options)
        assert result.exit_code == 0
        assert "Carry this out" not in result.stderr

    def test_where_nothing_would_change_nothing_is_asked(self, desk: Desk) -> None:
        desk.cto("install")
        desk.attended = True
        assert "Carry this out" not in desk.cto("install").stderr


class TestOwnCluster:
    @pytest.fixture
    def kwok(self, desk: Desk) -> FakeProvider:
        made = FakeProvider(
            name="kwok", simulated=True, ready=False, kubeconfig=desk.folder / "kubeconfig"
        )
        desk.kwok = made
        desk.cluster.add(node("one", simulated=True))
        return made

    def install(self, desk: Desk, *options: str) -> Any:
        return desk.cto("install", "--provider", "kwok", *options, existing=False)

    def test_it_is_made_as_big_as_the_profile_says_and_nobody_is_asked(
        self, desk: Desk, kwok: FakeProvider
    ) -> None:
        desk.attended = True
        result = self.install(desk)
        assert result.exit_code == 0
        assert [(one.profile, one.cpu, one.memory_gib) for one in kwok.provisioned] == [
            ("minimal", 4, 8)
        ]
        assert "✓ Make the kwok cluster" in result.stderr

    def test_every_screen_and_document_says_that_it_is_simulated(
        self, desk: Desk, kwok: FakeProvider
    ) -> None:
        result = self.install(desk)
        lines = desk.placeless(result.stdout).splitlines()
        assert (lines[0], lines[-1]) == (SIMULATED, SIMULATED)
        assert "There is nothing to log in to: no program runs on simulated nodes." in lines
        assert "localhost" not in result.stdout
        assert result.stderr.startswith(SIMULATED)
        document = desk.document("install", "--provider", "kwok", existing=False)
        assert document["simulated"] is True
        assert document["data"]["access"] == []

    @pytest.mark.parametrize("options", [(), ("--quiet",)], ids=str)
    def test_how_to_get_a_kubeconfig_is_said_at_once_and_at_the_end(
        self, desk: Desk, kwok: FakeProvider, options: tuple[str, ...]
    ) -> None:
        told = ("config.lock has been there for 90 s", "to get a kubeconfig: docker exec X > Y")
        kwok.to_get = told
        result = self.install(desk, *options)
        assert [text in result.stderr for text in (f"! {told[0]}", f"! {told[1]}")] == [True, True]
        assert f"\nwarning: {told[0]}\nwarning: {told[1]}\n" in result.stdout
        data = desk.document("install", "--provider", "kwok", *options, existing=False)["data"]
        assert data["warnings"] == list(told)
        assert data["kubeconfig"] == ""

    def test_a_cluster_that_cannot_be_made_is_a_failed_program(
        self, desk: Desk, kwok: FakeProvider
    ) -> None:
        kwok.fails = ToolError("CTO-1504", "no etcd")
        document = desk.document("install", "--provider", "kwok", existing=False, code=5)
        assert document["error"]["code"] == "CTO-1504"
        assert document["simulated"] is True
        assert self.install(desk).exit_code == 0

    def test_a_ctrl_c_while_it_is_made_says_so(self, desk: Desk, kwok: FakeProvider) -> None:
        kwok.fails = KeyboardInterrupt()  # type: ignore[assignment] # raised as it is
        result = self.install(desk)
        assert result.exit_code == 130
        assert "making the cluster" in result.stderr
