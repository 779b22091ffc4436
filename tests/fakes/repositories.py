"""Repositories on this machine, by its own git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    # A repository may belong to the user of a container.
    settings = ("user.name=test", "user.email=test@example.com", "safe.directory=*")
    told = [word for setting in settings for word in ("-c", setting)]
    argv = ["git", *told, "-C", str(folder), *arguments]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=env).stdout.strip()


def commit(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", f"{name}: {text}")


def make_origin(folder: Path) -> Path:
    """Make a repository with a commit on `trunk`; every branch but that may be pushed to."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "trunk")
    commit(folder, "a", "one")
    return folder
