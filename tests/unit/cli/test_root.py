"""The boundary: what commands return or raise becomes output and an exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner
from click.testing import Result as Invoked

from cto.cli.options import output_options
from cto.cli.output import SIMULATED, Terminal
from cto.cli.root import COMMANDS, Root, cli
from cto.errors import Cancelled, ConfigError, LockedError, ToolError
from cto.result import Result

Invoke = Callable[..., Invoked]


def raising(error: BaseException) -> Callable[[], Result]:
    def function() -> NoReturn:
        raise error

    return function


def done() -> Result:
    return Result(command="try", data={"answer": 42}, text="The answer is 42.")


class TestResult:
    def test_text_is_all_there_is_on_stdout(self, invoke: Invoke) -> None:
        result = invoke(done)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "The answer is 42.\n", "")

    def test_json_is_one_document(self, invoke: Invoke) -> None:
        result = invoke(done, "-o", "json")
        assert result.exit_code == 0
        assert result.stderr == ""
        assert json.loads(result.stdout) == {
            "schema": 1,
            "command": "try",
            "ok": True,
            "exit_code": 0,
            "simulated": False,
            "data": {"answer": 42},
            "error": None,
        }

    def test_a_result_may_have_an_exit_code_of_its_own(self, invoke: Invoke) -> None:
        result = invoke(lambda: Result(command="try", exit_code=9), "-o", "json")
        assert result.exit_code == 9
        document = json.loads(result.stdout)
        assert (document["ok"], document["exit_code"], document["error"]) == (False, 9, None)

    def test_without_text_nothing_is_written(self, invoke: Invoke) -> None:
        assert invoke(lambda: Result(command="try")).output == ""

    def test_simulated_frames_the_text(self, invoke: Invoke) -> None:
        result = invoke(lambda: Result(command="try", text="All well.", simulated=True))
        assert result.stdout == f"{SIMULATED}\nAll well.\n{SIMULATED}\n"

    def test_simulated_is_in_the_document(self, invoke: Invoke) -> None:
        result = invoke(lambda: Result(command="try", simulated=True), "-o", "json")
        assert json.loads(result.stdout)["simulated"] is True


class TestError:
    def test_people_get_message_details_and_fix(self, invoke: Invoke) -> None:
        error = ToolError("CTO-1500", "helm ended with 1", details="line 1\nline 2", hint="Do\nit.")
        result = invoke(raising(error))
        assert result.exit_code == 5
        assert result.stdout == ""
        assert result.stderr == (
            "✗ CTO-1500 A program failed (exit code 5)\n"
            "  helm ended with 1\n"
            "    line 1\n"
            "    line 2\n"
            "  Fix: Do\n"
            "       it.\n"
            "  More: cto explain CTO-1500\n"
        )

    def test_programs_get_a_document(self, invoke: Invoke) -> None:
        result = invoke(raising(LockedError("CTO-2000", "held by x", details="since 3")), "-ojson")
        assert result.exit_code == 10
        assert json.loads(result.stdout) == {
            "schema": 1,
            "command": "try",
            "ok": False,
            "exit_code": 10,
            "simulated": False,
            "data": {},
            "error": {
                "code": "CTO-2000",
                "title": "Another run is at work on this cluster",
                "message": "held by x",
                "details": "since 3",
                "fix": "Wait for it. The message says how to see that it is alive.",
            },
        }

    def test_what_was_known_before_is_in_the_document(self, invoke: Invoke) -> None:
        @click.pass_obj
        def function(terminal: Terminal) -> NoReturn:
            terminal.simulated = True
            terminal.data = {"steps": 3}
            raise ConfigError("CTO-1300", "no")

        result = invoke(function, "--output=json")
        document = json.loads(result.stdout)
        assert (document["simulated"], document["data"]) == (True, {"steps": 3})
        assert result.stderr.startswith(SIMULATED)
        assert result.stderr.endswith(f"{SIMULATED}\n")

    @pytest.mark.parametrize("debug", [[], ["--debug"]])
    def test_a_wrong_command_line_is_no_reason_for_a_traceback(
        self, invoke: Invoke, debug: list[str]
    ) -> None:
        result = invoke(lambda: Result(command="try"), *debug, "-o", "yaml")
        assert result.exit_code == 2
        assert result.stderr.startswith("✗ CTO-1200 ")

    def test_escape_codes_of_tools_do_not_reach_the_terminal(self, invoke: Invoke) -> None:
        result = invoke(raising(ToolError("CTO-1500", "a\x1b[31mred\x1b[0m\x07")))
        assert "  ared\n" in result.stderr


class TestUnexpected:
    def test_is_a_bug_that_tells_where_but_no_text_that_could_be_secret(
        self, invoke: Invoke
    ) -> None:
        result = invoke(raising(ValueError("hunter2")), "-o", "json")
        assert result.exit_code == 1
        assert "hunter2" not in result.output
        error = json.loads(result.stdout)["error"]
        assert (error["code"], error["details"]) == ("CTO-1100", "")
        assert error["message"].startswith("Unexpected ValueError in cto/cli/root.py:")
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize("how", [{"args": ("--debug",)}, {"env": {"CTO_DEBUG": "1"}}])
    def test_debug_shows_the_traceback_without_the_text(
        self, invoke: Invoke, how: dict[str, tuple[str, ...] | dict[str, str]]
    ) -> None:
        args, env = how.get("args", ()), how.get("env", {})
        result = invoke(raising(ValueError("hunter2")), *args, env=env)
        assert "Traceback (most recent call last)" in result.stderr
        assert "ValueError (text withheld)" in result.stderr
        assert "hunter2" not in result.output

    def test_a_broken_pipe_inside_a_command_is_no_silent_end(self, invoke: Invoke) -> None:
        result = invoke(raising(BrokenPipeError(32, "Broken pipe")))
        assert result.exit_code == 1
        assert "Unexpected BrokenPipeError" in result.stderr


class TestInterrupt:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled(), click.Abort()])
    def test_exits_with_130(self, invoke: Invoke, error: BaseException) -> None:
        result = invoke(raising(error), "-o", "json")
        assert result.exit_code == 130
        assert json.loads(result.stdout)["error"] == {
            "code": "INTERRUPTED",
            "title": "Interrupted",
            "message": "The command was asked to stop.",
            "details": "",
            "fix": "Run the same command again.",
        }

    def test_tells_what_the_command_has_to_say(self, invoke: Invoke) -> None:
        result = invoke(raising(KeyboardInterrupt("3 of 9 components are ready.")))
        assert result.stderr == (
            "✗ INTERRUPTED Interrupted (exit code 130)\n"
            "  3 of 9 components are ready.\n"
            "  Fix: Run the same command again: it goes on from where this run stopped.\n"
        )

    def test_a_run_that_was_stopped_by_an_error_failed_by_the_error(self, invoke: Invoke) -> None:
        def function() -> NoReturn:
            raise Cancelled from ToolError("CTO-1501", "no helm")

        assert invoke(function).exit_code == 5

    def test_sigterm_is_a_ctrl_c(self, invoke: Invoke) -> None:
        def function() -> Result:
            os.kill(os.getpid(), signal.SIGTERM)
            return Result(command="try")

        assert invoke(function).exit_code == 130

    def test_a_closed_terminal_ends_nothing(self, invoke: Invoke) -> None:
        def function() -> Result:
            os.kill(os.getpid(), signal.SIGHUP)
            return Result(command="try", text="still here")

        assert invoke(function).stdout == "still here\n"

    def test_handlers_are_given_back(self, invoke: Invoke) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
        invoke(done)
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)] == before

    def test_a_thread_leaves_signals_alone(self, group: Root) -> None:
        group.add_command(click.command("try")(output_options()(done)))
        codes: list[int] = []

        def run() -> None:
            codes.append(group.main(["try", "-q"], "cto", standalone_mode=False))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert codes == [0]


class TestUsage:
    @pytest.mark.parametrize(
        ("args", "command", "message"),
        [
            (["nope", "-o", "json"], "", "No such command 'nope'."),
            (["dep", "-o", "json"], "", "No such command 'dep'. Did you mean deep?"),
            (["deep", "nope", "-o", "json"], "deep", "No such command 'nope'."),
        ],
    )
    def test_is_a_document_too(
        self, group: Root, args: list[str], command: str, message: str
    ) -> None:
        result = CliRunner().invoke(group, args, prog_name="cto")
        assert result.exit_code == 2
        document = json.loads(result.stdout)
        assert document["command"] == command
        assert document["error"] == {
            "code": "CTO-1200",
            "title": "Wrong use of the command line",
            "message": message,
            "details": "",
            "fix": f"See `{' '.join(['cto', *([command] if command else [])])} --help`.",
        }

    def test_of_a_command_names_its_help(self, invoke: Invoke) -> None:
        result = invoke(done, "-o", "very")
        assert result.exit_code == 2
        assert result.stderr == (
            "✗ CTO-1200 Wrong use of the command line (exit code 2)\n"
            "  Invalid value for '-o' / '--output': 'very' is not one of 'human', 'json'.\n"
            "  Fix: See `cto try --help`.\n"
            "  More: cto explain CTO-1200\n"
        )

    def test_of_an_option_names_the_command(self, invoke: Invoke) -> None:
        result = invoke(done, "--quiet=very", "-o", "json")
        assert result.exit_code == 2
        document = json.loads(result.stdout)
        assert document["command"] == "try"
        assert "--quiet" in document["error"]["message"]
        assert document["error"]["fix"].startswith("See `cto ")

    def test_raised_by_hand_needs_no_context(self, invoke: Invoke) -> None:
        result = invoke(raising(click.ClickException("no such file")))
        assert result.exit_code == 2
        assert "no such file" in result.stderr

    @pytest.mark.parametrize(
        ("args", "is_json"),
        [
            (["--x", "--output=json"], True),
            (["--x", "-qo", "json"], True),
            (["--x", "-o", "json", "-o", "human"], False),
            (["--x", "--", "-o", "json"], False),
            (["--x", "-c", "json"], False),
        ],
    )
    def test_finds_the_format_on_a_wrong_command_line(
        self, group: Root, args: list[str], *, is_json: bool
    ) -> None:
        result = CliRunner().invoke(group, args, prog_name="cto")
        assert result.stdout.startswith("{") is is_json

    def test_no_command_shows_help(self, group: Root) -> None:
        result = CliRunner().invoke(group, [], prog_name="cto")
        assert result.exit_code == 2
        assert result.stderr.startswith("Usage: cto [OPTIONS] COMMAND [ARGS]...")


class TestHelp:
    def test_lists_commands_in_the_order_of_their_use(self) -> None:
        result = CliRunner().invoke(cli, ["--help"], prog_name="cto")
        assert result.exit_code == 0
        listing = result.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
        # Long sentences go on below themselves.
        assert re.findall(r"^  (\S+)", listing, re.MULTILINE) == list(COMMANDS)

    def test_lists_commands_that_were_added_by_hand(self, group: Root) -> None:
        result = CliRunner().invoke(group, ["--help"], prog_name="cto")
        assert result.stdout.endswith("Commands:\n  deep  Holds more.\n")

    def test_of_a_command_is_no_error(self, invoke: Invoke) -> None:
        result = invoke(done, "--help")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("Usage: cto try [OPTIONS]")

    def test_version_is_short(self) -> None:
        result = CliRunner().invoke(cli, ["--version"], prog_name="cto")
        assert result.stdout.startswith("cto, version ")
