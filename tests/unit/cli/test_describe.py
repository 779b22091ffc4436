"""Reports, checks and ways to log in, as people read them; what a run with failures ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cto.cli.describe import checks_text, counted, plan_mermaid, summary, time_text
from cto.cli.reaching import access_lines
from cto.cli.verbs.opening import raise_errors
from cto.engine.report import Report, StepRun
from cto.errors import ApiError, CtoError, ToolError
from cto.events import Outcome, Phase
from cto.plan.changes import Action
from cto.plan.steps import Note, Plan
from cto.ports import Reach
from cto.result import Check, CheckStatus
from fakes.components import component


def run(name: str, start: float, end: float, *after: str, error: CtoError | None = None) -> StepRun:
    return StepRun(
        id=name,
        title=name.title(),
        outcome=Outcome.FAILED if error else Outcome.DONE,
        started_s=start,
        ended_s=end,
        after=after,
        message=error.message if error else "",
        error=error,
    )


def plan(*actions: Action, title: str = "a") -> Plan:
    steps = tuple(
        Note(id=f"s{number}", phase=Phase.CORE, title=title, action=action)
        for number, action in enumerate(actions)
    )
    return Plan(command="install", context="c", provider="p", profile="", steps=steps)


def check(status: CheckStatus, **fields: Any) -> Check:
    return Check(
        **{"name": "x", "title": "Title", "status": status, "message": "message", **fields}
    )


class TestTimes:
    def test_the_slowest_steps_and_the_chain_that_the_end_waited_for(self) -> None:
        runs = (
            run("instant", 0, 0.05),
            run("crds", 0, 2),
            run("release", 2, 5.5, "crds", "instant"),
            run("ready", 5.5, 60.25, "release"),
        )
        assert time_text(Report(runs=runs, seconds=60.3)) == (
            "Where 60.3 s went:\n"
            "  Ready      54.8 s\n"
            "  Release     3.5 s\n"
            "  Crds        2.0 s\n"
            "Critical path: Crds 2.0 s -> Release 3.5 s -> Ready 54.8 s"
        )

    def test_only_the_slowest_five_are_shown(self) -> None:
        runs = tuple(run(f"s{number}", 0, 1 + number) for number in range(8))
        lines = time_text(Report(runs=runs, seconds=8)).splitlines()
        assert [line.split()[0] for line in lines[1:-1]] == ["S7", "S6", "S5", "S4", "S3"]

    def test_where_nothing_took_time_there_is_a_number_alone(self) -> None:
        assert time_text(Report(runs=(run("a", 0, 0.01),), seconds=1.26)) == "1.3 s."


class TestChecks:
    def test_items_and_fixes_are_shown_where_something_is_wrong(self) -> None:
        checks = [
            check(CheckStatus.PASSED, items=("not shown",), fix="not shown"),
            check(CheckStatus.FAILED, title="Long title", items=("one", "two"), fix="Mend it."),
            check(CheckStatus.WARNING, seconds=1.234),
        ]
        assert checks_text(checks) == (
            "  ok      Title       message (0.00 s)\n"
            "  FAILED  Long title  message (0.00 s)\n"
            "          one\n"
            "          two\n"
            "          fix: Mend it.\n"
            "  warning Title       message (1.23 s)"
        )

    def test_no_checks_are_no_text(self) -> None:
        assert checks_text(()) == ""


class TestPlan:
    def test_a_summary_counts_each_kind_of_change(self) -> None:
        made = plan(Action.CREATE, Action.CREATE, Action.REPAIR, Action.KEEP, Action.WAIT)
        assert summary(made) == "3 changes: 2 to create, 1 to repair; 1 unchanged."
        assert summary(plan(Action.DELETE)) == "1 change: 1 to delete; 0 unchanged."
        assert summary(plan(Action.KEEP)) == "Nothing to change."

    def test_quotes_in_titles_do_not_end_mermaids(self) -> None:
        assert "[\"a 'b' (keep)\"]" in plan_mermaid(plan(Action.KEEP, title='a "b"'))

    @pytest.mark.parametrize(("number", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps")])
    def test_one_is_not_many(self, number: int, text: str) -> None:
        assert counted(number, "step") == text


class TestAccess:
    def lines(self, **access: Any) -> list[str]:
        item = component("web", access={"service": "ui", "port": 3000, **access})
        return access_lines([component("api"), item], Reach(context="here"))

    def test_a_port_that_needs_privileges_is_forwarded_from_a_higher_one(self) -> None:
        assert self.lines(port=443)[:2] == [
            "Web: http://localhost:8443 after",
            "  kubectl --context here -n web-ns port-forward svc/ui 8443:443",
        ]
        assert self.lines()[0] == "Web: http://localhost:3000 after"

    def test_every_port_is_of_one_service(self) -> None:
        """Also where the cluster publishes that port for another component."""
        ui = component("web", access={"service": "ui", "port": 80, "node_port": 30080})
        others = [component(name, access={"service": name, "port": 80}) for name in ("api", "logs")]
        lines = access_lines([others[0], ui, others[1]], Reach(context="c", ports={30080: 8080}))
        assert [line for line in lines if "http" in line] == [
            "Api: http://localhost:8081 after",
            "Web: http://localhost:8080",
            "Logs: http://localhost:8082 after",
        ]
        assert [line.split()[-1] for line in lines if "port-forward" in line] == [
            "8081:80",
            "8082:80",
        ]

    @pytest.mark.parametrize(
        ("port", "url"), [(8080, "http://localhost:8080/ui"), (80, "http://localhost/ui")]
    )
    def test_what_the_cluster_publishes_needs_no_forwarding(self, port: int, url: str) -> None:
        item = component(
            "web", access={"service": "ui", "port": 80, "node_port": 30080, "path": "/ui"}
        )
        reach = Reach(context="here", ports={30080: port})
        assert access_lines([item], reach) == [f"Web: {url}"]

    def test_a_published_port_where_nothing_answers_is_taken_all_the_same(self) -> None:
        """A container of kind has it, so that kubectl could not listen there."""
        item = component("web", access={"service": "ui", "port": 80, "node_port": 30080})
        reach = Reach(context="c", ports={30080: 8080}, node_ports=False)
        assert access_lines([item], reach) == [
            "Web: http://localhost:8081 after",
            "  kubectl --context c -n web-ns port-forward svc/ui 8081:80",
        ]

    def test_a_password_is_shown_as_the_command_that_reads_it(self) -> None:
        assert self.lines(user="admin", secret="web/admin.password")[2:] == [
            "  log in as admin; the password:",
            (
                "  kubectl --context here -n web-ns get secret web "
                "-o jsonpath='{.data.admin\\.password}' | base64 -d"
            ),
        ]

    def test_a_token_is_shown_as_its_command(self) -> None:
        assert self.lines(command="kubectl create token x")[2:] == [
            "  log in with a token: kubectl --context here create token x"
        ]

    def test_every_line_goes_to_the_cluster_when_it_is_pasted(self) -> None:
        command = 'echo "$(kubectl create token x)"'
        item = component("web", access={"service": "ui", "port": 80, "command": command})
        reach = Reach(context="it's", kubeconfig=Path("/a b/config"))
        kubectl = """kubectl --kubeconfig '/a b/config' --context 'it'"'"'s'"""
        assert access_lines([item], reach)[1:] == [
            f"  {kubectl} -n web-ns port-forward svc/ui 8080:80",
            f'  log in with a token: echo "$({kubectl} create token x)"',
        ]

    def test_without_a_name_of_its_own_it_has_no_address_under_the_domain(self) -> None:
        item = component("web", access={"service": "ui", "port": 80})
        assert "port-forward" in access_lines([item], Reach(context="c", domain="example.com"))[1]

    def test_who_needs_no_log_in_is_told_none(self) -> None:
        assert len(self.lines()) == 2


class TestOutcome:
    def test_a_run_without_failures_raises_nothing(self) -> None:
        raise_errors(Report(runs=(run("a", 0, 1),), seconds=1))

    def test_the_first_failure_ends_the_command_and_names_the_others(self) -> None:
        first, second = ToolError("CTO-1500", "broke", details="raw"), ApiError("CTO-1601", "gone")
        runs = (run("a", 0, 1, error=first), run("b", 0, 2, error=second))
        with pytest.raises(ToolError) as caught:
            raise_errors(Report(runs=runs, seconds=2, not_run=("c",)))
        assert (caught.value.code, caught.value.message) == (first.code, first.message)
        assert caught.value.details.splitlines() == [
            "raw",
            "also failed: B: gone",
            "not begun because of that: 1 step",
            "What worked stays as it is. Once that is mended, the same command goes on from here.",
        ]

    def test_a_failure_alone_says_how_to_go_on(self) -> None:
        error = ToolError("CTO-1500", "broke")
        with pytest.raises(ToolError) as caught:
            raise_errors(Report(runs=(run("a", 0, 1, error=error),), seconds=1))
        assert caught.value.details.startswith("What worked stays as it is.")
