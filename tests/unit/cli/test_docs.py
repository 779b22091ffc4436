"""What the guide names exists, and what exists is named."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from cto.cli.progress import MARKS, RUNNING, WARNING
from cto.cli.root import COMMANDS
from cto.config.environment import OWN_VARIABLES, VARIABLES
from cto.errors import KINDS, Exit
from cto.events import Phase

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_error_codes_are_in_the_table(page: Path) -> None:
    codes = set(re.findall(r"CTO-\d{4}", page.read_text(encoding="utf-8")))
    assert codes - KINDS.keys() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_are_in_the_makefile(page: Path) -> None:
    files = [ROOT / "Makefile", *ROOT.glob("*.mk")]
    makefile = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    targets = re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)
    assert set(named) - set(targets) == set()


def test_the_readme_has_every_command() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2]
    assert re.findall(r"^\| `cto ([a-z-]+)", table, re.MULTILINE) == list(COMMANDS)


def test_the_readme_has_every_exit_code() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert codes == sorted({*Exit, *(kind.exit_code for kind in KINDS.values())})


def test_the_readme_has_the_phases_in_their_order() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").lower().replace("\n", " ")
    assert ", ".join(phase.value for phase in Phase) in text


def test_the_guide_has_every_mark() -> None:
    table = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    marks = set(re.findall(r"^\| `(.)` \|", table, re.MULTILINE))
    assert marks == {*MARKS.values(), RUNNING, WARNING, "·"}


def test_the_guide_has_the_table_of_variables() -> None:
    text = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    rows = [variable.row for variable in VARIABLES if variable.meaning]
    assert "\n".join(rows) in text


def test_every_variable_that_is_read_anywhere_is_in_the_list() -> None:
    """There were two lists, and one lacked CTO_NODE_IMAGE."""
    read: set[str] = set()
    for package in ("entrypoint", "airgap"):
        for file in (ROOT / package).rglob("*.py"):
            read |= set(re.findall(r"""["'](CTO_[A-Z_]*[A-Z])["']""", file.read_text("utf-8")))
    for file in (ROOT / "Dockerfile", *(ROOT / "templates").rglob("*.yaml")):
        read |= set(re.findall(r"\b(CTO_[A-Z_]*[A-Z])\b", file.read_text("utf-8")))
    assert read - {"CTO_CONTEXT"} == OWN_VARIABLES


PROGRAMS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("*.mk"), *ROOT.glob("*file")])


def test_programs_in_texts_import_what_there_is() -> None:
    """Those in strings, in make's and in the image's files: no type checker reads them."""
    found = {
        (file.name, module, name)
        for file in PROGRAMS
        for module, names in re.findall(
            r"from (cto(?:_airgap|_controller)?[\w.]*) import ([\w, ]+)", file.read_text("utf-8")
        )
        for name in re.split(r", *", names.partition(" as ")[0].strip(", "))
    }
    assert [one for one in sorted(found) if not _is_there(*one[1:])] == []


def _is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or (
        is_package and importlib.util.find_spec(f"{module}.{name}") is not None
    )
