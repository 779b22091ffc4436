"""`cto plan`: what would be done and why, in three formats, without a change."""

from __future__ import annotations

from typing import Any

from cto.cli.output import SIMULATED
from fakes.desk import Desk, node
from fakes.provider import FakeProvider

INSTALL = """\
Plan: install on context test (existing, profile minimal)

core:
  + Create namespace web (not there)
      Namespace web
  + Generate secret web-admin (not there)
      Secret web-admin in web
  + Apply the CRDs of Web (not there)
      CRDs of web 1.0.0
  + Install Web 1.0.0 (not installed)
      Helm release web in web
  . Web is ready (every object, by its status)
github:
    Set up the agents' GitHub Apps (at the end, or by `cto github setup`)

4 changes: 4 to create; 0 unchanged.
"""
UNINSTALL = """\
Plan: uninstall on context test (existing, profile minimal)

core:
  - Uninstall Web (installed by us)
      delete Helm release web in web
  = Keep the data of Web (Secret web-admin in web; --delete-data deletes them)
  = Keep CRDs of Web (webs.example.com; --delete-crds deletes those that have no instances)
access:
  - Delete namespace web if it is empty (made by us)
      delete Namespace web
  - Delete the installer's state (nothing is left to know)

3 changes: 3 to delete; 2 unchanged.
"""
UNINSTALL_ALL = """\
Plan: uninstall on context test (existing, profile minimal)

core:
  - Uninstall Web (installed by us)
      delete Helm release web in web
  - Delete the data of Web (1 object)
      delete Secret web-admin in web
  - Delete the CRDs of Web (1 object)
      delete CustomResourceDefinition webs.example.com
access:
  - Delete namespace web if it is empty (made by us)
      delete Namespace web
  - Delete the installer's state (nothing is left to know)

5 changes: 5 to delete; 0 unchanged.
"""
MERMAID = """\
flowchart TD
  s0["Create namespace web (create)"]
  s1["Generate secret web-admin (create)"]
  s2["Apply the CRDs of Web (create)"]
  s3["Install Web 1.0.0 (create)"]
  s4["Web is ready (wait)"]
  s5["Set up the agents' GitHub Apps (skip)"]
  s0 --> s1
  s0 --> s3
  s1 --> s3
  s2 --> s3
  s3 --> s4
  s0 --> s5
  s1 --> s5
  s2 --> s5
  s3 --> s5
  s4 --> s5
"""


def writes(desk: Desk) -> set[tuple[str, str]]:
    """Return what was asked for beside looks: questions about rights, and dry runs, among it."""
    verbs = {"apply", "create", "update", "delete"}
    return {(call[0], call[1]) for call in desk.cluster.calls if call[0] in verbs}


class TestInstall:
    def test_people_see_each_step_its_reason_and_what_it_touches(self, desk: Desk) -> None:
        result = desk.cto("plan", "install")
        assert (result.exit_code, result.stdout, result.stderr) == (0, INSTALL, "")

    def test_a_plan_writes_nothing(self, desk: Desk) -> None:
        desk.cto("plan", "install")
        desk.cto("install")
        desk.cluster.calls.clear()
        desk.releases.calls.clear()
        before = desk.cluster.everything()
        desk.cto("plan", "install")
        desk.cto("plan", "uninstall")
        assert desk.cluster.everything() == before
        assert writes(desk) == {("create", "SelfSubjectAccessReview")}
        assert desk.releases.calls == []

    def test_where_everything_is_there_nothing_is_to_change(self, desk: Desk) -> None:
        desk.cto("install")
        assert desk.cto("plan", "install").stdout.endswith("\nNothing to change.\n")

    def test_mermaid_shows_the_graph(self, desk: Desk) -> None:
        assert desk.cto("plan", "install", "-o", "mermaid").stdout == MERMAID

    def test_a_downgrade_is_shown_and_refused_unless_it_is_asked_for(self, desk: Desk) -> None:
        chart = desk.root / "bundle" / "charts" / "web" / "Chart.yaml"
        text = chart.read_text()
        chart.write_text(text.replace("1.0.0", "2.0.0"))
        assert desk.cto("install").exit_code == 0
        chart.write_text(text)

        refused = desk.cto("plan", "install")
        assert refused.exit_code == 4
        assert "~ Downgrade Web 1.0.0 (downgrade: web-2.0.0 -> web-1.0.0" in refused.stdout
        assert "CTO-1470" in refused.stderr
        assert "Web: release web-2.0.0 -> web-1.0.0 (an older chart)" in refused.stderr
        assert "--allow-downgrade" in refused.stderr
        document = desk.document("plan", "install", code=4)
        assert document["error"]["code"] == "CTO-1470"
        assert "CTO-1470" in [check["code"] for check in document["data"]["preflight"]]
        assert desk.document("install", code=4)["error"]["code"] == "CTO-1470"

        asked = desk.cto("plan", "install", "--allow-downgrade")
        assert asked.exit_code == 0
        assert "Downgrades: asked for" in asked.stderr
        assert desk.cto("install", "--allow-downgrade").exit_code == 0

    def test_programs_get_every_step(self, desk: Desk) -> None:
        document = desk.document("plan", "install")
        steps = document["data"].pop("steps")
        preflight = document["data"].pop("preflight")
        assert {check["status"] for check in preflight} <= {"passed", "skipped"}
        assert document == {
            "schema": 1,
            "command": "plan install",
            "ok": True,
            "exit_code": 0,
            "simulated": False,
            "error": None,
            "data": {
                "context": "test",
                "provider": "existing",
                "profile": "minimal",
                "changes": 4,
                "warnings": [],
            },
        }
        assert [step["id"] for step in steps] == [
            "namespace:web",
            "secret:web/web-admin",
            "crds:web",
            "release:web",
            "ready:web",
            "github",
        ]
        assert steps[3] == {
            "id": "release:web",
            "phase": "core",
            "component": "web",
            "title": "Install Web 1.0.0",
            "action": "create",
            "reason": "not installed",
            "after": ["namespace:web", "secret:web/web-admin", "crds:web"],
            "timeout_seconds": 600.0,
            "touches": ["Helm release web in web"],
        }

    def test_a_kubeconfig_that_cannot_be_used_from_here_is_a_failed_preflight(
        self, desk: Desk
    ) -> None:
        text = desk.kubeconfig.read_text()
        desk.kubeconfig.write_text(text.replace("token: planted-token", "tokenFile: lost"))
        document = desk.document("plan", "install", code=4)
        assert document["error"]["code"] == "CTO-1403"
        assert "DESK/lost" in document["error"]["details"]
        assert "planted" not in str(document)

    def test_warnings_come_last(self, desk: Desk) -> None:
        desk.env["CTO_INGRESS__CLASS_NAME"] = "traefik"
        last = desk.cto("plan", "install").stdout.splitlines()[-1]
        assert last.startswith("warning: ingress has no effect")


class TestNewCluster:
    def plan(self, desk: Desk, *options: str, **settings: Any) -> Any:
        return desk.cto("plan", "install", "--provider", "kwok", *options, existing=False)

    def test_a_cluster_that_is_not_there_is_part_of_the_plan(self, desk: Desk) -> None:
        """The true provider is asked: it looks at files and processes, and finds none."""
        result = self.plan(desk)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert (lines[0], lines[-1]) == (SIMULATED, SIMULATED)
        assert lines[1] == "Plan: install on a new cluster (kwok, profile minimal)"
        assert lines[3:5] == ["cluster:", "  + Make the kwok cluster (there is none)"]
        assert "  + Install Web 1.0.0 (not installed)" in lines
        assert desk.cluster.calls == []

    def test_a_cluster_that_is_there_is_looked_at(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", simulated=True)
        desk.cluster.add(node("one", simulated=True))
        result = self.plan(desk)
        assert "Plan: install on context kwok (kwok, profile minimal)" in result.stdout
        assert "= Make the kwok cluster (kwok is there)" in result.stdout


class TestUninstall:
    def test_what_goes_and_what_stays(self, desk: Desk) -> None:
        desk.cto("install")
        result = desk.cto("plan", "uninstall")
        assert (result.exit_code, result.stdout, result.stderr) == (0, UNINSTALL, "")

    def test_the_options_of_a_removal_are_those_of_uninstall(self, desk: Desk) -> None:
        desk.cto("install")
        assert desk.cto("plan", "uninstall", "--delete-data", "--delete-crds").stdout == (
            UNINSTALL_ALL
        )

    def test_programs_are_told_the_command(self, desk: Desk) -> None:
        desk.cto("install")
        document = desk.document("plan", "uninstall", "--component", "web")
        assert document["command"] == "plan uninstall"
        assert [step["id"] for step in document["data"]["steps"]] == [
            "uninstall:web",
            "data:web",
            "keep-crds:web",
            "namespace:web",
            "state",
        ]

    def test_it_needs_no_configuration(self, desk: Desk) -> None:
        desk.cto("install")
        desk.env["CTO_PROFILE"] = "no such profile"
        assert desk.cto("plan", "uninstall").exit_code == 0
        assert desk.cto("plan", "install").exit_code == 3
