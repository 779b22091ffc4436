"""What is in the agents' image: its runner, and the CLI without a model, as their pod starts them.

Git, the shell, curl and jq are this machine's; GitHub's API is a stand-in on the loopback address.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from fakes import certificates
from fakes.agents import SOURCE, TOKEN, AgentPod, missing
from fakes.github import forge as forges
from fakes.repositories import commit, git
from fakes.webserver import Script, WebServer, answer, hang_up

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PULLS = "/repos/acme/shop/pulls"
URL = "https://github.com/acme/shop/pull/7"
OPENED = answer(201, {"html_url": URL})
# Whatever a shell, git, JSON or Kubernetes could take for something else.
HOSTILE = """$(touch /tmp/planted) `touch /tmp/planted` ; touch planted # "quotes" 'and' \\n
--message=x -- $(HOME) ${HOME} %s {{ 7 * 7 }} & | > < * ? ~ !! é漢🙂
"""

MakePod = Callable[..., AgentPod]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as made:
        made.on("GET", PULLS, answer(200, []))
        made.on("POST", PULLS, OPENED)
        yield made


@pytest.fixture
def make(tmp_path: Path, server: WebServer) -> MakePod:
    def made(cli: str = "echo", **spec: Any) -> AgentPod:
        return AgentPod(tmp_path / "pod", cli=cli, api_url=server.url, **spec)

    return made


def commits(pod: AgentPod) -> list[str]:
    return git(pod.origin, "log", "--format=%s", f"trunk..{pod.branch}").splitlines()


# --- the CLI without a model ----------------------------------------------------------------------


def test_echo_commits_pushes_and_opens_a_pull_request(make: MakePod, server: WebServer) -> None:
    pod = make(prompt="Let the page say what was wrong.")
    done = pod.attempt()
    assert done.returncode == 0, done.stderr
    assert git(pod.origin, "show", f"{pod.branch}:agents/agents-rex-shop.md") == pod.prompt.strip()
    assert commits(pod) == ["Echo: Task"]
    result = pod.result(done)
    assert (result.succeeded, result.pull_request_url) == (True, URL)
    assert result.summary == "wrote agents/agents-rex-shop.md"
    looked, asked = server.seen
    assert looked.query == {"head": f"acme:{pod.branch}", "state": "open"}
    assert json.loads(asked.body) == {
        "title": "Echo: Task",
        "head": pod.branch,
        "base": "trunk",
        "body": "wrote agents/agents-rex-shop.md",
    }
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_second_attempt_finds_what_the_first_one_did(make: MakePod, server: WebServer) -> None:
    server.on("GET", PULLS, answer(200, []), answer(200, [{"html_url": URL}]))
    pod = make()
    first, second = pod.attempt(), pod.attempt(2)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert len(commits(pod)) == 1
    assert pod.result(second).pull_request_url == URL
    assert [seen.method for seen in server.seen] == ["GET", "POST", "GET"]


def test_another_round_on_its_branch_has_the_same_pull_request(
    make: MakePod, server: WebServer
) -> None:
    server.on("GET", PULLS, answer(200, [{"html_url": URL}]))
    pod = make(sourceBranch="agents/rex/shop", prompt="Once more.")
    git(pod.origin, "checkout", "--quiet", "-b", pod.branch)
    commit(pod.origin, "b", "first round")
    git(pod.origin, "checkout", "--quiet", "trunk")
    done = pod.attempt()
    assert commits(pod) == ["Echo: Task", "b: first round"]
    assert pod.result(done).pull_request_url == URL
    assert [seen.method for seen in server.seen] == ["GET"]


def test_one_whose_pull_request_was_not_opened_opens_it(make: MakePod, server: WebServer) -> None:
    server.on("POST", PULLS, *[answer(500, {"message": "oops"})] * 3, OPENED)
    pod = make()
    first = pod.attempt()
    assert first.returncode == 1
    assert pod.result(first).summary == (
        "GitHub opened no pull request for 'agents/rex/shop': 500 oops"
    )
    assert not pod.result(first).final
    second = pod.attempt(2)
    assert pod.result(second).pull_request_url == URL
    assert len(commits(pod)) == 1


def test_a_repository_elsewhere_gets_no_pull_request(make: MakePod, server: WebServer) -> None:
    pod = make(repositoryUrl="https://git.example.com/acme/shop")
    done = pod.attempt()
    assert done.returncode == 0, done.stderr
    assert len(commits(pod)) == 1
    assert pod.result(done).pull_request_url == ""
    assert not server.seen


def test_a_pull_request_goes_to_where_the_work_began(make: MakePod, server: WebServer) -> None:
    pod = make(sourceBranch="stable", workingDirectory="src")
    git(pod.origin, "checkout", "--quiet", "-b", "stable")
    commit(pod.origin, "src/a", "source")
    assert pod.attempt().returncode == 0
    assert json.loads(server.seen[-1].body)["base"] == "stable"
    assert git(pod.origin, "show", f"{pod.branch}:src/agents/agents-rex-shop.md")


def test_a_prompt_is_text(make: MakePod, server: WebServer) -> None:
    pod = make(prompt=HOSTILE, taskId=7)
    done = pod.attempt()
    assert done.returncode == 0, done.stderr
    written = git(pod.origin, "show", "agents/rex/task-7:agents/agents-rex-task-7.md")
    assert HOSTILE.strip() in written
    assert written == pod.prompt.strip()
    left = git(pod.repository, "status", "--porcelain", "--ignored")
    assert not left
    assert not Path("/tmp/planted").exists()


def test_its_subject_may_hold_anything(make: MakePod, server: WebServer) -> None:
    pod = make()
    env = pod.environment()
    prompt = Path(env["PROMPT_FILE"]).with_name("other.md")
    prompt.write_text(f"\n  ## {HOSTILE}" + "漢" * 100)
    assert pod.attempt(PROMPT_FILE=str(prompt)).returncode == 0
    title = json.loads(server.seen[-1].body)["title"]
    assert title == 'Echo: $(touch /tmp/planted) `touch /tmp/planted` ; touch planted # "qu'


# --- what the runner does for every CLI -----------------------------------------------------------


def test_an_unknown_cli_is_named_and_is_not_tried_again(make: MakePod) -> None:
    pod = make("cursor")
    done = pod.attempt()
    result = pod.result(done)
    text = "AGENT_CLI is 'cursor'; this image has: claude, codex, echo, gemini, opencode"
    assert (result.succeeded, result.final, result.summary) == (False, True, text)
    assert text in done.stderr


@pytest.mark.parametrize("name", ["", "../clis/echo", "echo/../echo", ".", "e*"])
def test_a_cli_is_a_name_and_no_path(make: MakePod, name: str) -> None:
    pod = make()
    done = pod.attempt(AGENT_CLI=name)
    assert pod.result(done).summary.startswith(f"AGENT_CLI is '{name}'; this image has: ")


@pytest.mark.parametrize("key", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_gemini_has_its_key_by_the_name_that_it_reads(make: MakePod, key: str) -> None:
    """The controller names a key after its provider, google."""
    pod = make("gemini")
    program = pod.clis / "gemini" / "node_modules" / ".bin" / "gemini"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\ncat > /dev/null\necho "key: ${GEMINI_API_KEY:-}"\n')
    program.chmod(0o755)
    keys: dict[str, Any] = {key: "planted"}
    assert pod.result(pod.attempt(**keys)).summary == "key: planted"


def test_a_folder_that_is_not_there_is_named(make: MakePod) -> None:
    pod = make(workingDirectory="nowhere")
    done = pod.attempt()
    text = "WORKING_DIRECTORY: the repository has no folder 'nowhere'"
    assert (pod.result(done).summary, pod.result(done).final) == (text, True)


def test_a_cli_gets_the_prompt_its_folder_and_the_token(make: MakePod, tmp_path: Path) -> None:
    pod = make("probe", cliConfig={"model": "some/model"})
    pod.add_cli(
        "probe",
        f"cat > {tmp_path}/stdin\n"
        'printf "%s\\n" "$PWD" "$GH_TOKEN" "$GITHUB_TOKEN" "$AGENT_MODEL" "$#"',
    )
    done = pod.attempt()
    assert (tmp_path / "stdin").read_text() == pod.prompt
    assert done.stdout.splitlines() == [str(pod.repository), TOKEN, TOKEN, "some/model", "0"]


def test_the_last_line_is_the_summary(make: MakePod, server: WebServer) -> None:
    pod = make("talker")
    pod.add_cli(
        "talker",
        "echo working; printf '\\033[1mAll \"done\"\\033[0m \\\\o/\\n\\n  \\n'; echo x >&2",
    )
    done = pod.attempt()
    assert pod.told() == {"outcome": "succeeded", "summary": 'All "done" \\o/'}
    assert "working" in done.stdout
    assert "x\n" in done.stdout
    # Nothing was committed.
    assert not server.seen


def test_one_without_a_word_succeeded(make: MakePod) -> None:
    pod = make("silent")
    pod.add_cli("silent", ":")
    pod.attempt()
    assert pod.told() == {"outcome": "succeeded", "summary": "silent ended without a word"}


def test_a_failure_keeps_its_exit_code_and_what_was_done(make: MakePod, server: WebServer) -> None:
    pod = make("broken")
    pod.add_cli("broken", "touch b; git add b; git commit -qm Half; echo no model >&2; exit 3")
    done = pod.attempt()
    assert done.returncode == 3
    assert pod.told() == {"outcome": "failed", "summary": "no model"}
    assert not pod.result(done).final
    assert commits(pod) == ["Half"]
    assert not server.seen


def test_a_failure_without_a_word_is_named(make: MakePod) -> None:
    pod = make("broken")
    pod.add_cli("broken", "exit 3")
    pod.attempt()
    assert pod.told() == {"outcome": "failed", "summary": "broken ended with exit code 3"}


def test_a_result_of_its_own_stays(make: MakePod, server: WebServer) -> None:
    pod = make("own")
    told = {"outcome": "succeeded", "summary": "Mine.", "pullRequestUrl": "https://github.com/x/1"}
    pod.add_cli(
        "own", f"git commit -q --allow-empty -m x; echo '{json.dumps(told)}' > $RESULT_FILE"
    )
    assert pod.attempt().returncode == 0
    assert pod.told() == told
    assert not server.seen
    assert commits(pod) == ["x"]


@pytest.mark.parametrize("summary", ["Mine.", "long " * 800])
def test_a_result_without_its_pull_request_is_completed(make: MakePod, summary: str) -> None:
    pod = make("own")
    told = json.dumps({"outcome": "succeeded", "summary": summary.strip(), "more": 1})
    pod.add_cli("own", f"git commit -q --allow-empty -m x; echo '{told}' > $RESULT_FILE")
    assert pod.attempt().returncode == 0
    assert pod.told()["pullRequestUrl"] == URL
    assert summary.startswith(pod.told()["summary"])
    assert pod.result_file.stat().st_size <= 4096


@pytest.mark.parametrize("told", ['{"outcome": "failed", "summary": "no"}', "no json", "[1]"])
def test_what_failed_or_cannot_be_read_opens_none(
    make: MakePod, server: WebServer, told: str
) -> None:
    pod = make("own")
    pod.add_cli("own", f"git commit -q --allow-empty -m x; echo '{told}' > $RESULT_FILE")
    assert pod.attempt().returncode == 0
    assert pod.result_file.read_text().strip() == told
    assert not server.seen
    assert commits(pod) == ["x"]


@pytest.mark.parametrize("text", ["x", '"', "\\\\", "漢", "🙂", "\\001", "\\377"])
def test_a_result_is_never_too_long(make: MakePod, text: str) -> None:
    pod = make("long")
    pod.add_cli("long", f"i=0; while [ $i -lt 5000 ]; do printf 'a{text}'; i=$((i+1)); done")
    assert pod.attempt().returncode == 0
    assert pod.told()["outcome"] == "succeeded"
    assert 800 <= pod.result_file.stat().st_size <= 4096


def test_a_token_is_told_nowhere(make: MakePod) -> None:
    pod = make("leaky")
    pod.add_cli("leaky", 'echo "pushed with $GH_TOKEN"')
    pod.attempt()
    assert pod.told()["summary"] == "pushed with ***"


def test_a_push_that_is_refused_is_tried_again(make: MakePod) -> None:
    pod = make()
    hook = pod.origin / ".git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no branches today' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = pod.attempt()
    result = pod.result(done)
    assert (done.returncode, result.final) == (1, False)
    assert result.summary.startswith("BRANCH: 'agents/rex/shop' could not be pushed: ")
    assert "no branches today" in result.summary
    hook.unlink()
    assert pod.result(pod.attempt(2)).pull_request_url == URL


@pytest.mark.parametrize(
    ("scripts", "text"),
    [
        ([answer(403, {"message": "Resource not accessible"})], "403 Resource not accessible"),
        ([answer(422, {"errors": [{"message": "No commits"}]})], "422 No commits"),
        ([answer(200, b"<html>Log in</html>")], "200"),
        ([answer(503, b"<html>")], "503"),
        ([hang_up], "could not be asked: curl: (52) Empty reply from server"),
    ],
)
def test_what_github_says_instead_is_told(
    make: MakePod, server: WebServer, scripts: list[Script], text: str
) -> None:
    server.on("POST", PULLS, *scripts)
    pod = make()
    done = pod.attempt()
    result = pod.result(done)
    assert (done.returncode, result.final) == (1, False)
    assert text in result.summary
    assert TOKEN not in done.stdout + done.stderr + result.summary


def test_a_pod_that_is_taken_away_ends_its_cli_and_pushes_nothing(
    make: MakePod, tmp_path: Path
) -> None:
    pod = make("endless")
    script = f"git commit -q --allow-empty -m x; echo $$ > {tmp_path}/pid; exec sleep 300"
    pod.add_cli("endless", script)
    env = pod.environment()
    pod.clone(env)
    with subprocess.Popen([pod.folder / "image" / "cto-agent"], env=env) as running:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not git(pod.origin, "branch", "--list", pod.branch)


# --- what the image is made of --------------------------------------------------------------------


def test_every_cli_can_be_started() -> None:
    folders = sorted((SOURCE / "clis").iterdir())
    assert [f.name for f in folders] == ["claude", "codex", "echo", "gemini", "opencode"]
    for folder in folders:
        assert os.access(folder / "run", os.X_OK)


@pytest.mark.parametrize("lock", sorted(SOURCE.glob("clis/*/package-lock.json")), ids=str)
def test_locks_name_sums_and_no_registry(lock: Path) -> None:
    read = json.loads(lock.read_text())
    assert "resolved" not in lock.read_text()
    packages = {name: row for name, row in read["packages"].items() if name}
    assert packages
    assert all(row["integrity"].startswith("sha512-") for row in packages.values())


def test_it_has_the_base_of_the_product() -> None:
    base = "ARG BASE="
    dockerfiles = (SOURCE / "Dockerfile", SOURCE.parents[2] / "Dockerfile")
    bases = [[x for x in d.read_text().splitlines() if x.startswith(base)] for d in dockerfiles]
    assert bases[0] == bases[1]
    assert "@sha256:" in bases[0][0]


# --- a GitHub of one's own ------------------------------------------------------------------------


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Path]:
    """Run a GitHub of one's own, whose certificate is of an authority that nobody knows."""
    folder = tmp_path / "forge"
    folder.mkdir()
    # Beside it is a module called as one of Python's own.
    argv: list[str | Path] = [
        sys.executable,
        "-P",
        forges.__file__,
        folder,
        "0",
        certificates.both(tmp_path),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while not (folder / "port").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "the stand-in does not listen"
            time.sleep(0.05)
        yield folder
    finally:
        process.kill()
        process.wait()


def at_forge(tmp_path: Path, forge: Path, trusted: str) -> AgentPod:
    host = f"localhost:{(forge / 'port').read_text()}"
    api = f"https://{host}{forges.API}"
    url = f"https://{host}/{forges.SLUG}"
    names = {"host": host, "api_url": api, "trusted": trusted, "repositoryUrl": url}
    pod = AgentPod(tmp_path / "pod", cli="echo", **names)
    signed = jwt.encode({"iss": forges.APP}, "x" * 32)
    minted = requests.post(
        f"{api}/app/installations/1/access_tokens",
        headers={"Authorization": f"Bearer {signed}"},
        verify=str(certificates.authority(tmp_path)),
        timeout=10,
    )
    pod.token = minted.json()["token"]
    return pod


def test_a_github_of_ones_own_is_trusted_by_its_authority(tmp_path: Path, forge: Path) -> None:
    """By git, which clones and pushes, and by curl, which opens the pull request."""
    pod = at_forge(tmp_path, forge, certificates.AUTHORITY)
    env = pod.environment()
    env["REPOSITORY_URL"] = pod.run.spec["repositoryUrl"]
    pod.clone(env)
    done = pod.start(pod.program, env)
    assert done.returncode == 0, done.stderr
    (pull,) = map(json.loads, (forge / "pulls.json").read_text().splitlines())
    assert (pull["head"], pull["base"]) == (pod.branch, "main")
    assert pod.told()["pullRequestUrl"] == pull["html_url"]
    assert git(forge / f"{forges.SLUG}.git", "log", "--format=%s", f"main..{pod.branch}")


def test_one_of_an_unknown_authority_is_not(tmp_path: Path, forge: Path) -> None:
    pod = at_forge(tmp_path, forge, "")
    env = {**pod.environment(), "REPOSITORY_URL": pod.run.spec["repositoryUrl"]}
    done = pod.start(["/bin/sh", pod.here("/task/input/clone.sh")], env)
    assert done.returncode != 0
    assert "certificate" in done.stderr
