"""What every Runner does. The fake is told what the real programs do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.process import ProcessRunner
from cto.errors import Cancelled, CtoError, ToolError, WaitError
from cto.ports import Runner
from cto.redaction import Secrets
from fakes.runner import FakeRunner, Reply

SOON_S = 10.0


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


TALK = sh("echo out; echo one >&2; echo two >&2")
FAIL = sh("echo 0 errors; i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; exit 3")
FAIL_ON_STDOUT = sh("echo reason; exit 4")
SLEEP = sh("sleep 60 & sleep 60")


def scripted() -> FakeRunner:
    lines = "".join(f"line {number}\n" for number in range(30))
    return (
        FakeRunner()
        .on(*TALK, reply=Reply(stdout="out\n", stderr="one\ntwo\n"))
        .on(*FAIL, reply=Reply(stdout="0 errors\n", stderr=lines, returncode=3))
        .on(*FAIL_ON_STDOUT, reply=Reply(stdout="reason\n", returncode=4))
        .on(*SLEEP, reply=Reply(hangs=True))
    )


def real(log: Callable[[str], None] = lambda _: None) -> ProcessRunner:
    return ProcessRunner(log=log, clock=SystemClock())


@pytest.fixture(params=["fake", "real"])
def runner(request: pytest.FixtureRequest) -> Runner:
    return scripted() if request.param == "fake" else real()


JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"
PEM_LINES = ["-----BEGIN PRIVATE KEY-----", *["MIIBVQIBADANBgkqhkiG9w0B"] * 30]
PEM_LINES.append("-----END PRIVATE KEY-----")


def test_what_a_program_says_comes_without_secrets(tmp_path: Path) -> None:
    """Known ones and shapes; in lines, in the log, and in what its failure tells."""
    said: list[str] = []
    lines: list[str] = []
    text = "\n".join(["before", *PEM_LINES, f"token is {JWT}", "it is s3cr3t-t0ken", "after"])
    (tmp_path / "text").write_text(text)
    secrets = Secrets(["s3cr3t-t0ken"])
    runner = ProcessRunner(log=said.append, clock=SystemClock(), redact=secrets.redacted)
    argv = sh(f"cat {tmp_path}/text >&2; exit 1 # {JWT}")

    with pytest.raises(ToolError) as error:
        runner.run(argv, timeout_s=SOON_S, on_line=lines.append)

    assert error.value.details.splitlines() == [
        "before",
        "***",
        "token is ***",
        "it is ***",
        "after",
    ]
    assert lines == ["before", *["***"] * len(PEM_LINES), "token is ***", "it is ***", "after"]
    for secret in (JWT, "s3cr3t-t0ken", "MIIBVQ"):
        assert secret not in "\n".join([*said, *lines, str(error.value), error.value.details])


def test_output_comes_back_and_lines_as_they_come(runner: Runner) -> None:
    lines: list[str] = []
    done = runner.run(TALK, timeout_s=SOON_S, on_line=lines.append)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "one\ntwo\n")
    assert done.argv == TALK
    assert lines == ["one", "two"]


def test_the_return_code_decides_and_the_last_lines_tell(runner: Runner) -> None:
    with pytest.raises(ToolError) as caught:
        runner.run(FAIL, timeout_s=SOON_S)
    assert caught.value.code == "CTO-1500"
    assert "sh" in caught.value.message
    assert "3" in caught.value.message
    lines = caught.value.details.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (20, "line 10", "line 29")


def test_without_stderr_stdout_tells(runner: Runner) -> None:
    with pytest.raises(ToolError) as caught:
        runner.run(FAIL_ON_STDOUT, timeout_s=SOON_S)
    assert caught.value.details == "reason"


def test_a_return_code_may_be_wanted(runner: Runner) -> None:
    assert runner.run(FAIL, timeout_s=SOON_S, check=False).returncode == 3


def test_a_program_that_is_not_there_is_named(runner: Runner) -> None:
    with pytest.raises(ToolError) as caught:
        runner.run(["/nowhere/helm", "version"], timeout_s=SOON_S)
    assert caught.value.code == "CTO-1501"
    assert "/nowhere/helm" in caught.value.message


@pytest.mark.parametrize("how", ["cancel", "interrupt", "stop"])
def test_a_running_program_can_be_ended(runner: Runner, how: str) -> None:
    cancel, ended = Flag(), Flag()

    def run() -> None:
        with pytest.raises(Cancelled):
            runner.run(SLEEP, timeout_s=60, cancel=cancel)
        ended.set()

    Thread(target=run, daemon=True).start()
    assert not ended.wait(0.2)
    match how:
        case "cancel":
            cancel.set()
        case "interrupt":
            runner.interrupt()
        case _:
            runner.stop()
    assert ended.wait(SOON_S)


def test_after_an_interruption_others_start(runner: Runner) -> None:
    runner.interrupt()
    assert runner.run(TALK, timeout_s=SOON_S).stdout == "out\n"


def test_after_stop_nothing_starts(runner: Runner) -> None:
    runner.stop()
    with pytest.raises(Cancelled):
        runner.run(TALK, timeout_s=SOON_S)


def test_what_is_cancelled_before_does_not_start(runner: Runner) -> None:
    cancel = Flag()
    cancel.set()
    with pytest.raises(Cancelled):
        runner.run(TALK, timeout_s=SOON_S, cancel=cancel)
    assert runner.run(TALK, timeout_s=SOON_S, cancel=Flag()).stdout == "out\n"


def test_the_fake_times_out_by_its_script() -> None:
    runner = FakeRunner().on("helm", reply=Reply(seconds=5))
    assert runner.run(["/tools/helm"], timeout_s=6).seconds == 5
    with pytest.raises(WaitError) as caught:
        runner.run(["/tools/helm"], timeout_s=4)
    assert caught.value.code == "CTO-1700"


# what only real programs show


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    end = time.monotonic() + SOON_S
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def test_a_timeout_ends_the_whole_group_even_one_that_will_not(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM; (trap '' TERM; exec sleep 60) & echo $! > {file}; echo last >&2; wait"
    start = time.monotonic()
    with pytest.raises(WaitError) as caught:
        real().run(sh(script), timeout_s=0.4)
    assert time.monotonic() - start < SOON_S
    assert (caught.value.code, caught.value.details) == ("CTO-1700", "last")
    assert gone(int(file.read_text()))


def test_a_program_may_clean_up_when_it_is_asked_to_end(tmp_path: Path) -> None:
    file = tmp_path / "cleaned"
    script = f"trap 'echo yes > {file}; exit 0' TERM; sleep 60 & wait"
    with pytest.raises(WaitError):
        real().run(sh(script), timeout_s=0.4)
    assert file.read_text() == "yes\n"


@pytest.mark.parametrize("how", ["stop", "interrupt"])
def test_a_program_that_must_go_at_once_gets_no_time_to_write(tmp_path: Path, how: str) -> None:
    file, begun = tmp_path / "cleaned", tmp_path / "begun"
    script = f"trap 'echo yes > {file}; exit 0' TERM; echo > {begun}; sleep 60 & wait"
    runner, ended = real(), Flag()

    def run() -> None:
        with pytest.raises(Cancelled):
            runner.run(sh(script), timeout_s=60)
        ended.set()

    Thread(target=run, daemon=True).start()
    end = time.monotonic() + SOON_S
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.02)
    if how == "stop":
        runner.stop(at_once=True)
    else:
        runner.interrupt()
    assert ended.wait(SOON_S)
    assert not file.exists()


def test_much_output_on_both_sides_and_much_input_do_not_block() -> None:
    script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; wc -c"
    done = real().run(sh(script), timeout_s=60, stdin="x" * 2_000_000)
    assert done.stdout.rstrip().endswith("2000000")
    assert len(done.stderr) == 3_000_000


def test_input_that_nobody_reads_is_no_error() -> None:
    assert real().run(["true"], timeout_s=SOON_S, stdin="x" * 2_000_000).returncode == 0
    assert real().run(["cat"], timeout_s=SOON_S, stdin="").stdout == ""
    assert real().run(["cat"], timeout_s=SOON_S).stdout == ""


def test_a_background_process_does_not_hold_its_starter(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    start = time.monotonic()
    done = real().run(sh(f"sleep 60 & echo $! > {file}; echo done"), timeout_s=SOON_S)
    assert done.stdout == "done\n"
    assert time.monotonic() - start < 5
    pid = int(file.read_text())
    assert alive(pid)
    os.kill(pid, 9)


def test_a_program_that_closes_its_streams_is_waited_for() -> None:
    start = time.monotonic()
    done = real().run(sh("exec >&- 2>&-; sleep 0.5; exit 0"), timeout_s=SOON_S)
    assert done.returncode == 0
    assert time.monotonic() - start > 0.4


def test_lines_are_whole_whatever_the_pieces() -> None:
    lines: list[str] = []
    script = "printf 'gr\\303' >&2; sleep 0.3; printf '\\274n\\r\\n50%%\\r100%%\\n\\nend' >&2"
    done = real().run(sh(script), timeout_s=SOON_S, on_line=lines.append)
    assert lines == ["grün", "50%", "100%", "end"]
    assert done.stderr == "grün\r\n50%\r100%\n\nend"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert (
        real().run(sh("printf 'a\\377b'"), timeout_s=SOON_S).stdout == "a\N{REPLACEMENT CHARACTER}b"
    )


def test_a_listener_that_fails_ends_the_program(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def listen(line: str) -> None:
        raise ZeroDivisionError(line)

    script = f"echo $$ > {file}; echo one >&2; echo two >&2; exec sleep 60"
    with pytest.raises(ZeroDivisionError):
        real().run(sh(script), timeout_s=SOON_S, on_line=listen)
    assert gone(int(file.read_text()))


def test_the_environment_is_ours_in_a_fixed_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("CTO_REGISTRY__PASSWORD", "hunter2")
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("REMOVED", "1")
    env = {"REMOVED": None, "ADDED": "2"}
    lines = real().run(["env"], timeout_s=SOON_S, env=env).stdout.splitlines()
    assert {"LC_ALL=C.UTF-8", "KEPT=1", "ADDED=2"} <= set(lines)
    assert not any(line.startswith(("LANGUAGE=", "REMOVED=", "CTO_")) for line in lines)


def test_the_working_directory_is_as_asked(tmp_path: Path) -> None:
    assert real().run(["pwd"], timeout_s=SOON_S, cwd=tmp_path).stdout.strip() == str(tmp_path)
    with pytest.raises(ToolError) as caught:
        real().run(["pwd"], timeout_s=SOON_S, cwd=tmp_path / "nowhere")
    assert caught.value.code == "CTO-1500"


def test_a_signal_is_named() -> None:
    with pytest.raises(ToolError) as caught:
        real().run(sh("kill -SEGV $$"), timeout_s=SOON_S)
    assert "SIGSEGV" in caught.value.message


def test_command_lines_are_logged_as_a_shell_would_read_them() -> None:
    said: list[str] = []
    real(said.append).run(["echo", "two words", "$HOME"], timeout_s=SOON_S, stdin="not told")
    assert said[0] == "+ echo 'two words' '$HOME'"
    assert said[1].startswith("= echo: 0 after ")
    assert "not told" not in "".join(said)


@pytest.mark.parametrize(
    ("argv", "env", "place"),
    [
        (["echo", "x=hunter2"], {}, "argument 1 of echo"),
        (["echo"], {"TOKEN": "hunter2"}, "the variable TOKEN of echo"),
    ],
)
def test_secrets_are_never_visible_to_others(
    argv: list[str], env: dict[str, str], place: str
) -> None:
    said: list[str] = []
    runner = ProcessRunner(log=said.append, clock=SystemClock(), guard=lambda s: "hunter2" in s)
    with pytest.raises(CtoError) as caught:
        runner.run(argv, timeout_s=SOON_S, env=env)
    assert caught.value.message.startswith(place)
    assert "hunter2" not in caught.value.message + "".join(said)


def test_secrets_in_output_are_left_out_of_lines_and_errors() -> None:
    lines: list[str] = []
    runner = ProcessRunner(log=print, clock=SystemClock(), guard=lambda s: "hunter2" in s)
    script = "echo fine >&2; cat >&2; exit 1"
    with pytest.raises(ToolError) as caught:
        runner.run(sh(script), timeout_s=SOON_S, stdin="is hunter2 ok", on_line=lines.append)
    assert lines[0] == "fine"
    assert "hunter2" not in caught.value.details + "".join(lines)


def test_children_inherit_the_descriptors_that_they_shall_keep(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as kept, (tmp_path / "other").open("w") as other:
        os.set_inheritable(other.fileno(), True)  # noqa: FBT003 - takes no keyword
        runner = ProcessRunner(log=print, clock=SystemClock(), keep_fds=lambda: [kept.fileno()])
        open_files = runner.run(["ls", "-l", "/proc/self/fd"], timeout_s=SOON_S).stdout
    assert str(tmp_path / "lock") in open_files
    assert str(tmp_path / "other") not in open_files


def test_a_child_dies_with_its_installer(tmp_path: Path) -> None:
    """The kernel ends it, even if the installer was killed."""
    file = tmp_path / "pid"
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from cto.adapters.clock import SystemClock
from cto.adapters.process import ProcessRunner
runner = ProcessRunner(log=print, clock=SystemClock())
runner.run(["/bin/sh", "-c", "echo $$ > {file}; exec sleep 60"], timeout_s=60)
"""
    runner = real()
    cancel = Flag()
    thread = Thread(target=_run_until, args=(runner, [sys.executable, "-c", program], cancel))
    thread.start()
    end = time.monotonic() + SOON_S
    while not (file.exists() and file.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.02)
    child = int(file.read_text())
    parent = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    assert alive(child)
    os.kill(parent, 9)
    assert gone(child)
    cancel.set()
    thread.join(SOON_S)


def _run_until(runner: Runner, argv: list[str], cancel: Flag) -> None:
    # The end of the parent and the flag may be seen at the same moment.
    with suppress(Cancelled):
        runner.run(argv, timeout_s=60, check=False, cancel=cancel)


def test_without_setpriv_programs_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert real().run(["/bin/echo", "hi"], timeout_s=SOON_S).stdout == "hi\n"


def test_a_setpriv_that_does_not_know_the_option_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setpriv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert real().run(["echo", "hi"], timeout_s=SOON_S).stdout == "hi\n"
