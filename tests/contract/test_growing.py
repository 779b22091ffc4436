"""What CONTRIBUTING says of growing is true: one line and one module, in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cto
from cto import assets, providers

_PACKAGE = Path(cto.__file__).parent
_PROVIDER = """
from cto.ports import ProviderState


class K3s:
    name, simulated, creates, resizes = "k3s", False, True, False

    def __init__(self, parts):
        self._folder = parts.state

    def state(self):
        return ProviderState.PARTIAL

    def destroy(self):
        return True

    def leftovers(self):
        return [f"nothing in {self._folder}"]


build = K3s
"""
_VERB = """
import click

from cto.cli.options import output_options
from cto.result import Result


@click.command()
@output_options()
def hello() -> Result:
    return Result(command="hello", data={}, text="hello")
"""
_LINES = {
    "providers.py": (
        "PROVIDERS = (",
        'ProviderKind(name="k3s", does="makes a small one", cluster="k3s on this machine"),',
    ),
    "cli/root.py": ("COMMANDS = {", '"hello": "Say hello.",'),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages, with a provider and a verb more; its data is ours."""
    root = tmp_path_factory.mktemp("tree")
    copy = root / "entrypoint" / "cto"
    shutil.copytree(_PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "_assets"))
    for name in ("bundle", "profiles", "templates"):
        (root / name).symlink_to(assets.root() / name)
    (copy / "adapters" / "k3s.py").write_text(_PROVIDER)
    (copy / "cli" / "hello.py").write_text(_VERB)
    for name, (place, line) in _LINES.items():
        file = copy / name
        text = file.read_text(encoding="utf-8")
        assert text.count(place) == 1
        file.write_text(text.replace(place, f"{place}\n    {line}"), encoding="utf-8")
    return root


def run(tree: Path, *arguments: str) -> str:
    """Run the copy of the command, in a home of its own."""
    paths = [str(tree / "entrypoint"), *(path for path in sys.path if path)]
    env = {"PYTHONPATH": ":".join(paths), "HOME": str(tree / "home"), "PATH": "", "COLUMNS": "200"}
    argv = [sys.executable, "-m", *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("install", "--help"), "kind|existing|kwok"),
        (("config", "schema"), '"kwok"'),
        (("explain", "CTO-1206"), "`--provider kwok`"),
    ],
)
def test_a_provider_is_told_everywhere(tree: Path, arguments: tuple[str, ...], told: str) -> None:
    """The command line, the schema and error texts name it where they name the others."""
    text = run(tree, "cto", *arguments)
    assert told in text
    assert told.replace("kind|existing|kwok", "k3s|kind").replace("kwok", "k3s") in text


def test_a_provider_is_removed_like_any_other(tree: Path) -> None:
    text = run(tree, "cto", "uninstall", "--cluster", "--yes", "--provider", "k3s")
    assert text.startswith("The cluster is gone")
    assert f"nothing in {tree}/home/.local/state/cto/k3s/cto" in text


def test_a_verb_is_a_module_and_a_line(tree: Path) -> None:
    assert "Say hello." in run(tree, "cto", "--help")
    assert run(tree, "cto", "hello") == "hello\n"


def test_the_docs_have_the_table_of_providers() -> None:
    page = assets.root() / "docs" / "providers.md"
    assert page.read_text(encoding="utf-8") == providers.markdown()
    assert all(f"| `{name}` | " in providers.markdown() for name in providers.NAMES)
