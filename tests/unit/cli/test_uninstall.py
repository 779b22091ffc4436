"""`cto uninstall`: asks first, takes what it may, and names what stays."""

from __future__ import annotations

import pytest

from cto.cli.output import SIMULATED
from cto.engine.lock import ClusterLock
from cto.errors import ApiError
from cto.objects import ObjectRef, ref_of
from cto.ports import ProviderState
from fakes.components import config_map
from fakes.desk import API, Desk
from fakes.provider import FakeProvider
from fakes.releases import plain_chart

RELEASE = ObjectRef("apps/v1", "Deployment", "web", "web")
SECRET = ObjectRef("v1", "Secret", "web", "web-admin")
CRD = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "webs.example.com")
REMOVED = """\
Removed: Web.

What stays:
  Keep the data of Web: Secret web-admin in web; --delete-data deletes them
  Keep CRDs of Web: webs.example.com; --delete-crds deletes those that have no instances
  Delete namespace web if it is empty: kept: Secret web-admin in web

0.0 s.
"""
HOOK = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "clean-up", "annotations": {"helm.sh/hook": "post-delete"}},
    "spec": {"template": {"spec": {"containers": []}}},
}
REVIEWS = {"SelfSubjectAccessReview", "SelfSubjectRulesReview", "SelfSubjectReview"}


def test_programs_go_and_data_stays_and_is_named(desk: Desk) -> None:
    desk.cto("install")
    result = desk.cto("uninstall", "--yes")
    assert (result.exit_code, result.stdout) == (0, REMOVED)
    assert desk.cluster.peek(RELEASE) is None
    assert desk.cluster.peek(SECRET)
    assert desk.cluster.peek(CRD)


def test_everything_goes_when_asked_for(desk: Desk) -> None:
    before = set(desk.cluster.everything())
    desk.cto("install")
    result = desk.cto("uninstall", "--yes", "--delete-data", "--delete-crds")
    assert (result.exit_code, result.stdout) == (0, "Removed: Web.\n\n0.0 s.\n")
    assert set(desk.cluster.everything()) == before


def test_what_an_earlier_removal_took_is_not_told_again(desk: Desk) -> None:
    desk.cto("install")
    desk.cto("uninstall", "--yes")
    result = desk.cto("uninstall", "--yes", "--component", "web")
    assert result.stdout.startswith("Nothing of cto's is installed.\n\nWhat stays:\n")


def test_where_nothing_is_nothing_is_left_of_the_removal_either(desk: Desk) -> None:
    before = set(desk.cluster.everything())
    result = desk.cto("uninstall", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Nothing of cto's is installed.\n\n0.0 s.\n")
    assert set(desk.cluster.everything()) == before


def test_programs_get_one_document(desk: Desk) -> None:
    desk.cto("install")
    document = desk.document("uninstall", "--yes")
    steps = document["data"]["report"].pop("steps")
    assert document["data"]["report"].pop("critical_path")
    (check,) = document["data"].pop("preflight")
    assert (check["name"], check["status"]) == ("permissions", "passed")
    assert document == {
        "schema": 1,
        "command": "uninstall",
        "ok": True,
        "exit_code": 0,
        "simulated": False,
        "error": None,
        "data": {
            "context": "test",
            "components": ["web"],
            "kept": [
                {
                    "component": "web",
                    "what": "Keep the data of Web",
                    "reason": "Secret web-admin in web; --delete-data deletes them",
                },
                {
                    "component": "web",
                    "what": "Keep CRDs of Web",
                    "reason": f"{CRD.name}; --delete-crds deletes those that have no instances",
                },
            ],
            "warnings": [],
            "report": {"seconds": 0.0, "not_run": []},
        },
    }
    assert {step["id"]: step["outcome"] for step in steps} == {
        "uninstall:web": "done",
        "data:web": "unchanged",
        "keep-crds:web": "unchanged",
        "namespace:web": "done",
        "state": "done",
    }


def test_a_component_alone_leaves_the_others_and_a_warning(desk: Desk) -> None:
    desk.component(API)
    desk.cto("install")
    result = desk.cto("uninstall", "--yes", "--component", "web")
    assert "warning: api stays and needs web, which goes" in result.stdout.splitlines()
    rows = desk.document("status", code=0)["data"]["components"]
    assert [row["component"] for row in rows] == ["api"]


def test_it_needs_no_configuration(desk: Desk) -> None:
    desk.cto("install")
    desk.env["CTO_PROFILE"] = "no such profile"
    assert desk.cto("uninstall", "--yes").exit_code == 0


class TestFailures:
    def test_an_unknown_component_is_a_wrong_use_that_names_the_known_ones(
        self, desk: Desk
    ) -> None:
        document = desk.document("uninstall", "--yes", "--component", "wholly", code=2)
        assert document["error"]["code"] == "CTO-1200"
        assert document["error"]["message"] == "There is no component 'wholly'"
        assert document["error"]["fix"] == "Components are web."

    def test_one_that_was_misspelt_is_guessed(self, desk: Desk) -> None:
        document = desk.document("uninstall", "--yes", "--component", "webb", code=2)
        assert document["error"]["fix"] == "Did you mean web?"

    def test_another_run_at_work_is_named(self, desk: Desk) -> None:
        desk.cto("install")
        other = ClusterLock(desk.cluster, desk.clock, desk.machine.host)
        other.acquire()
        document = desk.document("uninstall", "--yes", code=10)
        other.release()
        assert document["error"]["code"] == "CTO-2000"
        assert desk.cluster.peek(RELEASE)

    def test_what_was_done_before_a_failure_is_in_the_document(self, desk: Desk) -> None:
        desk.cto("install")
        refused = ApiError("CTO-1605", "a policy keeps namespaces", status=403)
        desk.cluster.fail_next("delete", refused, kind="Namespace")
        options = ("--yes", "--delete-data", "--delete-crds")
        document = desk.document("uninstall", *options, code=6)
        assert document["error"]["code"] == "CTO-1605"
        assert document["data"]["components"] == ["web"]
        assert document["data"]["report"]["not_run"] == ["state"]
        assert desk.cluster.peek(RELEASE) is None
        desk.document("uninstall", *options)


def test_a_namespace_with_something_of_somebody_in_it_stays(desk: Desk) -> None:
    desk.cto("install")
    desk.cluster.add(config_map("theirs", "web"))
    result = desk.cto("uninstall", "--yes", "--delete-data")
    line = "  Delete namespace web if it is empty: kept: ConfigMap theirs in web"
    assert line in result.stdout.splitlines()


OWN = ObjectRef("v1", "Namespace", "", "cto-system")


def test_somebodys_namespace_of_the_name_of_the_own_one_stays_with_all_in_it(desk: Desk) -> None:
    desk.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN.name}})
    theirs = ref_of(desk.cluster.add(config_map("theirs", OWN.name)))
    result = desk.cto("uninstall", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Nothing of cto's is installed.\n\n0.0 s.\n")
    assert desk.cluster.peek(OWN)
    assert desk.cluster.peek(theirs)
    error = desk.document("install", code=4)["error"]
    assert error["code"] == "CTO-1401"
    assert "kubectl label namespace cto-system" in error["details"]


def test_the_own_namespace_with_something_of_somebody_in_it_stays_and_is_named(desk: Desk) -> None:
    desk.cto("install")
    desk.cluster.add(config_map("theirs", OWN.name))
    result = desk.cto("uninstall", "--yes", "--delete-data", "--delete-crds")
    line = "  Delete namespace cto-system if it is empty: kept: ConfigMap theirs in cto-system"
    assert line in result.stdout.splitlines()
    assert desk.cluster.peek(OWN)


class TestPermissions:
    """What removal needs is asked for before anything goes, and told at once."""

    @pytest.fixture
    def installed(self, desk: Desk) -> Desk:
        desk.releases.render["web"] = lambda spec: (*plain_chart(spec), HOOK)
        desk.cto("install")
        desk.cluster.denied = {("*", "*", "*")}
        desk.cluster.calls.clear()
        return desk

    @pytest.mark.parametrize("command", [("uninstall", "--yes"), ("plan", "uninstall")])
    def test_all_that_is_missing_is_told_before_anything_goes(
        self, installed: Desk, command: tuple[str, ...]
    ) -> None:
        document = installed.document(*command, "--delete-data", code=4)
        error = document["error"]
        assert error["code"] == "CTO-1400"
        told = error["details"].splitlines()
        for line in (
            "  list nodes",
            "  get, create, update, list, delete configmaps in namespace cto-system",
            "  get, create, update leases.coordination.k8s.io in namespace cto-system",
            "  list, get, update, delete secrets in namespace web",
            "  list, get, delete deployments.apps in namespace web",
            "  list pods in namespace web",
            "  list replicasets.apps in namespace web",
            "  get, list, delete, create, watch jobs.batch in namespace web",
            "  list webs.example.com",
            "  delete namespaces web",
            "  delete namespaces cto-system",
            '      kind: "ClusterRole"',
        ):
            assert line in told
        assert error["fix"].endswith("Nothing was changed.")
        assert document["data"]["preflight"][0]["manifests"]
        written = {call[0] for call in installed.cluster.calls if call[1] not in REVIEWS}
        assert written & {"create", "update", "delete", "apply"} == set()

    def test_who_may_not_even_look_is_told_the_same(self, installed: Desk) -> None:
        """Of what can be read, the state above all, follows what the removal will need."""
        everything = ("uninstall", "--yes", "--delete-data", "--delete-crds")
        seen = installed.document(*everything, code=4)["error"]["details"].splitlines()
        refused = ApiError("CTO-1602", "may not list nodes", status=403)
        installed.cluster.unlisted = {("apps/v1", "Deployment"): refused}
        told = installed.document(*everything, code=4)["error"]["details"].splitlines()
        assert told == seen
        assert "  get, list namespaces" in told
        assert "  list, get, update, delete secrets in namespace web" in told
        assert installed.cluster.peek(RELEASE)

    @pytest.mark.parametrize("way", ["flag", "variable"])
    def test_the_check_can_be_left_out(self, installed: Desk, way: str) -> None:
        options = ["--skip-preflight", "permissions"] if way == "flag" else []
        if way == "variable":
            installed.env["CTO_CLUSTER__SKIP_PREFLIGHT"] = "[permissions]"
        result = installed.cto("uninstall", "--yes", *options)
        assert result.exit_code == 0
        assert "Permissions: left out: --skip-preflight permissions" in result.stderr
        assert installed.cluster.peek(RELEASE) is None

    def test_an_administrator_is_asked_one_question(self, installed: Desk) -> None:
        installed.cluster.denied = set()
        installed.releases.calls.clear()
        document = installed.document("plan", "uninstall")
        assert [(c["name"], c["message"]) for c in document["data"]["preflight"]] == [
            ("permissions", "everything is allowed")
        ]
        assert installed.releases.calls == []


class TestConfirmation:
    @pytest.mark.parametrize("options", [[], ["--non-interactive"], ["--cluster"]])
    def test_without_somebody_who_answers_it_needs_yes(
        self, desk: Desk, options: list[str]
    ) -> None:
        desk.cto("install")
        document = desk.document("uninstall", *options, code=2)
        assert document["error"]["code"] == "CTO-1204"
        assert desk.cluster.peek(RELEASE)

    def test_somebody_who_is_there_but_wants_json_needs_yes(self, desk: Desk) -> None:
        desk.attended = True
        assert desk.document("uninstall", code=2)["error"]["code"] == "CTO-1204"

    def test_somebody_who_is_there_sees_the_plan_and_is_asked(self, desk: Desk) -> None:
        desk.cto("install")
        desk.attended = True
        result = desk.cto("uninstall", answer="y\n")
        assert result.exit_code == 0
        assert "Plan: uninstall on context test" in result.stderr
        assert "Carry this out on test? [y/N]" in result.stderr
        assert desk.cluster.peek(RELEASE) is None

    @pytest.mark.parametrize("answer", ["n\n", "\n"])
    def test_no_changes_nothing(self, desk: Desk, answer: str) -> None:
        desk.cto("install")
        desk.attended = True
        result = desk.cto("uninstall", answer=answer)
        assert result.exit_code == 130
        assert "The answer was no: nothing was changed." in result.stderr
        assert desk.cluster.peek(RELEASE)

    def test_the_end_of_the_input_is_no_answer(self, desk: Desk) -> None:
        desk.cto("install")
        desk.attended = True
        assert desk.cto("uninstall", answer="").exit_code == 130
        assert desk.cluster.peek(RELEASE)


class TestCluster:
    @pytest.mark.parametrize(
        ("option", "value"), [("--component", "web"), ("--context", "test")], ids=str
    )
    def test_what_means_something_else_than_the_cluster_is_a_wrong_use(
        self, desk: Desk, option: str, value: str
    ) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        error = desk.document("uninstall", "--cluster", "--yes", option, value, code=2)["error"]
        assert error["code"] == "CTO-1200"
        assert error["message"] == f"--cluster and {option} contradict each other"
        assert desk.kwok.state() is ProviderState.READY

    def test_somebody_elses_cluster_stays_and_the_way_to_take_the_platform_away_is_told(
        self, desk: Desk
    ) -> None:
        error = desk.document(
            *("uninstall", "--cluster", "--yes", "--provider", "existing"), code=2
        )["error"]
        assert error["message"].endswith("as --cluster would: the provider is existing")
        assert error["fix"].startswith("`cto uninstall` without --cluster takes the platform away")

    def test_data_and_definitions_go_with_the_cluster_anyway(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        desk.document("uninstall", "--cluster", "--yes", "--delete-data", "--delete-crds")
        assert desk.kwok.state() is ProviderState.ABSENT

    def test_the_cluster_that_we_made_goes_with_all_in_it(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        result = desk.cto("uninstall", "--cluster", "--yes")
        assert result.exit_code == 0
        text = "The cluster is gone, with all its files."
        assert result.stdout == f"{SIMULATED}\n{text}\n{SIMULATED}\n"
        assert desk.kwok.state() is ProviderState.ABSENT

    def test_a_cluster_that_an_installer_works_on_stays(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        other = ClusterLock(desk.cluster, desk.clock, desk.machine.host)
        other.acquire()
        error = desk.document("uninstall", "--cluster", "--yes", code=10)["error"]
        assert error["code"] == "CTO-2000"
        assert f"Process {desk.machine.host.pid} on" in error["message"]
        assert desk.kwok.state() is ProviderState.READY
        other.release()
        assert desk.cto("uninstall", "--cluster", "--yes").exit_code == 0
        assert desk.kwok.state() is ProviderState.ABSENT

    def test_a_cluster_whose_api_does_not_answer_goes(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        ClusterLock(desk.cluster, desk.clock, desk.machine.host).acquire()
        desk.cluster.fail_next("get", ApiError("CTO-1601", "no answer"), kind="Lease")
        assert desk.cto("uninstall", "--cluster", "--yes").exit_code == 0
        assert desk.kwok.state() is ProviderState.ABSENT

    def test_a_cluster_that_is_not_there_is_no_error(self, desk: Desk) -> None:
        """The true provider looks for files and processes, and finds none."""
        document = desk.document("uninstall", "--cluster", "--yes", existing=False)
        assert document["data"] == {"cluster": False, "kept": []}
        assert "There is no cluster of cto's." in desk.cto("uninstall", "--cluster", "-y").stdout

    def test_what_stays_is_told_with_its_reason(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        desk.kwok.left = ("container x: somebody may need it",)
        result = desk.cto("uninstall", "--cluster", "--yes")
        assert result.stdout.splitlines()[1:-1] == [
            "The cluster is gone, with all its files.",
            "",
            "What stays:",
            "  container x: somebody may need it",
        ]
        document = desk.document("uninstall", "--cluster", "--yes")
        assert document["data"]["kept"] == ["container x: somebody may need it"]

    def test_somebody_who_is_there_is_asked_by_its_name(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        desk.attended = True
        refused = desk.cto("uninstall", "--cluster", answer="n\n")
        assert refused.exit_code == 130
        assert "Delete the cluster kwok-cto with everything in it? [y/N]" in refused.stderr
        assert desk.kwok.state() is ProviderState.READY
        assert desk.cto("uninstall", "--cluster", answer="y\n").exit_code == 0
        assert desk.kwok.state() is ProviderState.ABSENT

    def test_the_platform_alone_goes_from_a_cluster_that_we_made(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        desk.cto("install", "--provider", "kwok", existing=False)
        result = desk.cto("uninstall", "--yes", "--provider", "kwok", existing=False)
        assert result.exit_code == 0
        assert desk.kwok.state() is ProviderState.READY
        assert desk.cluster.peek(RELEASE) is None
