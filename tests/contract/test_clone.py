"""templates/agents/clone.sh, by the shell and git of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from cto import assets
from fakes.repositories import commit, git, make_origin

SCRIPT = assets.root() / "templates" / "agents" / "clone.sh"


class Workspace:
    def __init__(self, folder: Path) -> None:
        self.origin = make_origin(folder / "origin")
        self.repository = folder / "workspace" / "repository"
        self.repository.parent.mkdir()

    def clone(self, **changes: str) -> subprocess.CompletedProcess[str]:
        env: Mapping[str, str] = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "REPOSITORY": str(self.repository),
            "REPOSITORY_URL": self.origin.as_uri(),
            "BRANCH": "agents/rex/task-1",
            "BASE_BRANCH": "",
            "CONTINUE_SESSION": "false",
            **changes,
        }
        return subprocess.run(
            ["/bin/sh", str(SCRIPT)], env=env, capture_output=True, text=True, check=False
        )

    def read(self, name: str) -> str:
        path = self.repository / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_the_branch_begins_at_the_repositorys_own(workspace: Workspace) -> None:
    done = workspace.clone()
    assert done.returncode == 0, done.stderr
    assert git(workspace.repository, "branch", "--show-current") == "agents/rex/task-1"
    assert workspace.read("a") == "one"


def test_another_base_is_taken_and_one_that_is_missing_is_named(workspace: Workspace) -> None:
    git(workspace.origin, "branch", "stable")
    commit(workspace.origin, "a", "two")
    assert workspace.clone(BASE_BRANCH="stable").returncode == 0
    assert workspace.read("a") == "one"
    missing = workspace.clone(BASE_BRANCH="nowhere", BRANCH="other")
    assert missing.returncode != 0
    assert "nowhere" in missing.stderr


def test_what_was_pushed_is_gone_on_with(workspace: Workspace) -> None:
    workspace.clone()
    commit(workspace.repository, "b", "mine")
    git(workspace.repository, "push", "--quiet", "origin", "HEAD")
    commit(workspace.origin, "a", "two")
    assert workspace.clone(CONTEXT_VERSION="2").returncode == 0
    assert (workspace.read("a"), workspace.read("b")) == ("one", "mine")


def test_what_was_not_committed_goes_unless_the_session_goes_on(workspace: Workspace) -> None:
    workspace.clone()
    (workspace.repository / "draft").write_text("half")
    assert workspace.clone(CONTINUE_SESSION="true").returncode == 0
    assert workspace.read("draft") == "half"
    # Another task in the same workspace has nothing to go on with.
    assert workspace.clone(CONTINUE_SESSION="true", BRANCH="agents/rex/task-2").returncode == 0
    assert workspace.read("draft") == ""
    (workspace.repository / "draft").write_text("half")
    assert workspace.clone().returncode == 0
    assert workspace.read("draft") == ""


@pytest.mark.parametrize("left", ["nothing", "half a clone", "a foreign folder"])
def test_a_killed_one_is_mended(workspace: Workspace, left: str) -> None:
    if left == "half a clone":
        (workspace.repository.parent / "repository.new" / ".git").mkdir(parents=True)
    elif left == "a foreign folder":
        workspace.repository.mkdir()
        (workspace.repository / "file").touch()
    done = workspace.clone()
    assert done.returncode == 0, done.stderr
    assert workspace.read("a") == "one"


@pytest.mark.parametrize(
    "lock",
    [
        "index.lock",
        "config.lock",
        "refs/remotes/origin/trunk.lock",
        "refs/heads/agents/rex/task-1.lock",
    ],
)
def test_locks_of_who_was_killed_are_in_nobodys_way(workspace: Workspace, lock: str) -> None:
    workspace.clone()
    commit(workspace.origin, "a", "two")
    (workspace.repository / ".git" / lock).touch()
    done = workspace.clone()
    assert done.returncode == 0, done.stderr
    assert workspace.read("a") == "two"


def test_a_tag_that_was_moved_is_taken_as_it_is_now(workspace: Workspace) -> None:
    git(workspace.origin, "tag", "v1")
    workspace.clone()
    commit(workspace.origin, "a", "two")
    git(workspace.origin, "tag", "--force", "v1")
    done = workspace.clone()
    assert done.returncode == 0, done.stderr
    assert workspace.read("a") == "two"
    tags = [git(where, "rev-parse", "v1") for where in (workspace.repository, workspace.origin)]
    assert tags[0] == tags[1]


def test_a_rebase_that_was_left_is_over(workspace: Workspace) -> None:
    workspace.clone()
    commit(workspace.repository, "a", "mine")
    git(workspace.repository, "checkout", "--quiet", "-B", "other", "HEAD~1")
    commit(workspace.repository, "a", "theirs")
    with pytest.raises(subprocess.CalledProcessError):
        git(workspace.repository, "rebase", "agents/rex/task-1")
    assert workspace.clone().returncode == 0
    assert "rebas" not in git(workspace.repository, "status")


def test_what_another_agent_left_to_git_is_not_run(workspace: Workspace, tmp_path: Path) -> None:
    """It may have other rights: whatever runs here has the next one's token."""
    workspace.clone()
    trap, met = tmp_path / "trap", tmp_path / "met"
    trap.write_text(f"#!/bin/sh\necho $0 >> {met}\n")
    trap.chmod(0o755)
    git(workspace.repository, "config", "core.fsmonitor", str(trap))
    git(workspace.repository, "config", "filter.x.smudge", str(trap))
    git(workspace.repository, "config", "core.hooksPath", str(tmp_path))
    git(workspace.repository, "config", f"url.{tmp_path}/elsewhere.insteadOf", "file://")
    for name in ("post-checkout", "reference-transaction", "pre-push"):
        hook = workspace.repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_bytes(trap.read_bytes())
        hook.chmod(0o755)
    attributes = workspace.repository / ".git" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* filter=x\n")
    met.unlink(missing_ok=True)
    commit(workspace.origin, "a", "two")
    done = workspace.clone(BRANCH="other")
    assert done.returncode == 0, done.stderr
    assert workspace.read("a") == "two"
    commit(workspace.repository, "b", "mine")
    git(workspace.repository, "push", "--quiet", "origin", "HEAD")
    assert not met.exists(), met.read_text()


def test_a_repository_that_is_a_link_is_cloned_again(workspace: Workspace, tmp_path: Path) -> None:
    workspace.clone()
    (workspace.repository / ".git").rename(tmp_path / "elsewhere")
    (workspace.repository / ".git").symlink_to(tmp_path / "elsewhere")
    assert workspace.clone().returncode == 0
    assert not (workspace.repository / ".git").is_symlink()


def test_another_repository_in_the_same_workspace_is_fetched(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.clone()
    (tmp_path / "second").mkdir()
    second = Workspace(tmp_path / "second")
    commit(second.origin, "a", "other")
    done = workspace.clone(REPOSITORY_URL=second.origin.as_uri(), BRANCH="agents/rex/task-9")
    assert done.returncode == 0, done.stderr
    assert workspace.read("a") == "other"


def test_a_repository_that_is_not_there_is_named(workspace: Workspace) -> None:
    done = workspace.clone(REPOSITORY_URL="file:///nowhere/at-all")
    assert done.returncode != 0
    assert "/nowhere/at-all" in done.stderr
