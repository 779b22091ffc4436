"""Which screen is taken, and what frames it."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cto.cli.live import Live
from cto.cli.output import SIMULATED, Terminal
from cto.cli.plain import Plain
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.errors import ApiError
from cto.events import Transfer
from cto.ports import Access
from cto.result import Result
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Make stderr a terminal."""
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_a_terminal_gets_the_live_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    tty(monkeypatch)
    with Terminal().screen(FakeClock()) as screen:
        assert isinstance(screen, Live)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    stderr = tty(monkeypatch)
    monkeypatch.setenv("TERM", term)
    with Terminal().screen(FakeClock()) as screen:
        screen.notice("hello")
        assert isinstance(screen, Plain)
    assert stderr.getvalue() == "  0:00    · hello\n"


def test_no_terminal_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with Terminal().screen(FakeClock()) as screen:
        screen.notice("hello")
    assert capsys.readouterr() == ("", "  0:00    · hello\n")


def test_a_simulated_run_says_so_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(simulated=True).screen(FakeClock()) as screen:
        screen.notice("hello")
    assert capsys.readouterr().err == f"{SIMULATED}\n  0:00    · hello\n{SIMULATED}\n"


def test_what_turns_out_to_be_simulated_says_so_from_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal()
    with terminal.screen(FakeClock()) as screen:
        screen.notice("hello")
        terminal.simulated = True
        screen.notice("nodes")
    hello, nodes = (f"  0:00    · {text}\n" for text in ("hello", "nodes"))
    assert capsys.readouterr().err == f"{hello}{SIMULATED}\n{nodes}{SIMULATED}\n"


def test_the_screen_is_closed_when_a_run_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with Terminal(simulated=True).screen(FakeClock()) as screen:
            screen.notice("hello")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert capsys.readouterr().err == f"{SIMULATED}\n  0:00    · hello\n{SIMULATED}\n"


def test_a_failure_after_a_screen_says_it_once_between_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal(simulated=True)
    with terminal.screen(FakeClock()) as screen:
        screen.notice("hello")
    terminal.fail(KeyboardInterrupt())
    lines = capsys.readouterr().err.splitlines()
    assert [lines[0], lines[2], lines[-1]] == [SIMULATED] * 3
    assert lines.count(SIMULATED) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_a_result_on_the_same_terminal_does_not_say_it_twice_in_a_row(
    monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    stream = tty(monkeypatch)
    stdout = stream if shared else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(simulated=True)
    with terminal.screen(FakeClock()) as screen:
        screen.notice("hello")
    terminal.show(Result(command="try", text="well", simulated=True))
    assert stream.getvalue().count(SIMULATED) == (3 if shared else 2)
    assert stdout.getvalue().count(SIMULATED) == (3 if shared else 2)


def test_nothing_said_needs_no_frame(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(simulated=True).screen(FakeClock()):
        pass
    assert capsys.readouterr().err == ""


def test_results_may_follow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(format="json")
    terminal.show(Result(command="try", data={"n": 1}))
    terminal.show(Result(command="try", data={"n": 2}))
    assert capsys.readouterr().out.count('"schema": 1') == 2


def test_after_a_document_there_is_no_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(format="json")
    terminal.show(Result(command="try"))
    assert terminal.fail(KeyboardInterrupt()) == 130
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_data_that_is_no_json_leaves_room_for_the_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal(format="json")
    with pytest.raises(TypeError) as caught:
        terminal.show(Result(command="try", data={"set": {1}}))
    assert terminal.fail(caught.value) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "CTO-1100"


def test_a_full_disk_under_stdout_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = tty(monkeypatch)
    monkeypatch.setattr(sys, "stdout", Full())
    terminal = Terminal(format="json")
    with pytest.raises(OSError, match="No space") as caught:
        terminal.show(Result(command="try"))
    assert terminal.fail(caught.value) == 4
    assert "No space left on device" in stderr.getvalue()


def test_an_error_is_told_even_if_stdout_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = tty(monkeypatch)
    monkeypatch.setattr(sys, "stdout", Full())
    assert Terminal(format="json").fail(ApiError("CTO-1601", "no answer")) == 6
    assert "no answer" in stderr.getvalue()


class TestDebug:
    @pytest.mark.parametrize("debug", [False, True])
    def test_what_is_run_is_told_if_asked_for(
        self, capsys: pytest.CaptureFixture[str], *, debug: bool
    ) -> None:
        made = Terminal(debug=debug).wiring(ClusterOptions())
        made.debug("+ helm list")
        assert capsys.readouterr().err == ("+ helm list\n" if debug else "")

    @pytest.mark.parametrize("quiet", [False, True])
    def test_it_is_among_what_the_screen_tells(
        self, capsys: pytest.CaptureFixture[str], *, quiet: bool
    ) -> None:
        terminal = Terminal(debug=True, quiet=quiet)
        made = terminal.wiring(ClusterOptions())
        with terminal.screen(FakeClock()):
            made.debug("+ helm \x1b[31mlist")
        assert capsys.readouterr().err == ("" if quiet else "  0:00    · ") + "+ helm list\n"

    def test_downloads_reach_the_screen(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal, clock = Terminal(), FakeClock()
        made = terminal.wiring(ClusterOptions())
        begun = Transfer(name="x.tgz", source="https://h/x.tgz", done=0, total=3_000_000)
        made.listen(begun)
        with terminal.screen(clock):
            made.listen(begun)
            clock.advance(3)
            made.listen(replace(begun, done=3_000_000, over=True))
        assert "✓ Download x.tgz (3.0 MB) (3.0 s)" in capsys.readouterr().err

    def test_secrets_of_the_configuration_are_left_out(self, tmp_path: Path) -> None:
        said: list[str] = []
        env = {"CTO_GITHUB__WEBHOOK_SECRET": "hunter2hunter2"}
        settings = CommandSettings(ClusterOptions(), env={"HOME": str(tmp_path), **env})
        made = Wiring(settings, debug=said.append)
        secret = made.configure().config.github.webhook_secret
        assert secret is not None
        assert secret.reveal() == "hunter2hunter2"
        made._trace("+ helm --set x=hunter2hunter2")
        assert said == ["+ helm --set x=***"]


JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----"
KNOWN = "s3cr3t-t0ken"
PLANTED = (JWT, "MIIBVQIBADANBgkqhkiG9w0B", KNOWN, "ghs_16C7e42F292c6912E7710c838347Ae178B4a")
QUOTING = f"it says {JWT},\n{KEY}\n[{{a {{ {KNOWN} <nil>}}}}] https://x:{PLANTED[3]}@github.com"


class TestSecrets:
    """Whatever others say, and whichever way it takes out."""

    @pytest.mark.parametrize("kind", ["human", "json"])
    @pytest.mark.parametrize("debug", [False, True])
    @pytest.mark.parametrize(
        "error",
        [
            ApiError("CTO-1600", QUOTING, details=QUOTING, hint=QUOTING),
            OSError(5, QUOTING),
            RuntimeError(QUOTING),
            KeyError(QUOTING),
        ],
        ids=["ours", "system", "bug", "key"],
    )
    def test_a_failure_shows_none(
        self, capsys: pytest.CaptureFixture[str], error: Exception, kind: str, *, debug: bool
    ) -> None:
        terminal = Terminal(format=kind, debug=debug, data={"said": [KNOWN]})
        terminal.secrets.add([KNOWN])
        try:
            raise error
        except type(error) as raised:
            terminal.fail(raised)
        out, err = capsys.readouterr()
        for secret in PLANTED:
            assert secret not in out + err
        if kind == "json":
            assert json.loads(out)["data"] == {"said": ["***"]}

    @pytest.mark.parametrize("attended", [False, True])
    def test_progress_shows_none(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *,
        attended: bool,
    ) -> None:
        stream = tty(monkeypatch) if attended else None
        terminal = Terminal(debug=True)
        terminal.secrets.add([KNOWN])
        with terminal.screen(FakeClock()) as screen:
            for secret in PLANTED:
                screen.notice(f"secret: {secret}", warning=True)
                terminal.trace(f"header: {secret}")
        terminal.trace(QUOTING)
        shown = stream.getvalue() if stream else capsys.readouterr().err
        assert "***" in shown
        for secret in (JWT, KNOWN, PLANTED[3]):
            assert secret not in shown

    def test_results_show_none_that_is_known_and_stay_what_they_are(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Such as a starter of a configuration, which shows how a secret looks."""
        text = "api_key: ${ANTHROPIC_API_KEY}\npassword: change-me-12345"
        for kind in ("human", "json"):
            terminal = Terminal(format=kind)
            terminal.secrets.add([KNOWN])
            data = {"text": text, "known": (KNOWN,)}
            told = f"{text}\n{KNOWN}"
            terminal.show(Result(command="config init", data=data, text=told))
        human, _, document = capsys.readouterr().out.partition("{\n")
        assert human == f"{text}\n***\n"
        assert json.loads("{" + document)["data"] == {"text": text, "known": ["***"]}

    def test_log_ins_of_a_kubeconfig_are_known_when_it_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("from-a-file\n")
        users = [
            {"token": "a-token", "password": "a-password", "tokenFile": "token"},
            {"client-key-data": "YS1rZXktaW4tYmFzZTY0"},
            {"auth-provider": {"config": {"id-token": "an-id-token", "client-id": "visible"}}},
            {"exec": {"env": [{"name": "MY_SECRET", "value": "of-a-plugin"}, {"name": "REGION"}]}},
            {"exec": [], "auth-provider": "odd", "tokenFile": "missing"},
        ]
        named = [{"name": str(index), "user": user} for index, user in enumerate(users)]
        (tmp_path / "config").write_text(json.dumps({"users": named}))
        made = Wiring(CommandSettings(ClusterOptions()), open_cluster=lambda *_: FakeCluster())
        made.connect(Access(tmp_path / "config", "x"))
        for secret in (
            *("a-token", "a-password", "from-a-file", "YS1rZXktaW4tYmFzZTY0"),
            *("an-id-token", "of-a-plugin"),
        ):
            assert made.secrets.redacted(f"said: <{secret}>") == "said: <***>"
        assert made.secrets.redacted("visible") == "visible"
        made.connect(Access(tmp_path / "missing", "x"))
