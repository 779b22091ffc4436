"""The table of errors and the source agree, and every code leads to the exit code it promises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cto
import cto_airgap
from cto import errors
from cto.cli.failure import failure_of
from cto.errors import KINDS, ApiError, Cancelled, CtoError, ErrorKind, ToolError

PACKAGES = [Path(package.__path__[0]) for package in (cto, cto_airgap)]
CODE = re.compile(r"CTO-\d{4}")
DOCUMENTED = {
    1: CtoError,
    2: errors.UsageError,
    3: errors.ConfigError,
    4: errors.PreflightError,
    5: errors.ToolError,
    6: errors.ApiError,
    7: errors.WaitError,
    8: errors.IntegrityError,
    9: errors.DegradedError,
    10: errors.LockedError,
}
CLASSES = {kind.__name__: kind for kind in DOCUMENTED.values()}


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    found = [(root, file) for root in PACKAGES for file in sorted(root.rglob("*.py"))]
    trees = (ast.parse(file.read_text(encoding="utf-8")) for _, file in found)
    names = (str(file.relative_to(root)) for root, file in found)
    return tuple(zip(names, trees, strict=True))


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def raised() -> Iterator[tuple[str, str, str]]:
    """Yield file, class and code of every error that the source makes with a literal code."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called, first = node.func, node.args[0]
            if isinstance(called, ast.Name) and called.id in CLASSES:
                codes = [text for text in texts(first) if CODE.fullmatch(text)]
                yield from ((name, called.id, code) for code in codes)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_class_of_a_code_exits_with_what_the_code_says(kind: ErrorKind) -> None:
    error = DOCUMENTED[kind.exit_code](kind.code, "it broke")
    failure = failure_of(error)
    assert (failure.code, failure.exit_code) == (kind.code, kind.exit_code)
    assert (failure.title, failure.fix, failure.message) == (kind.title, kind.fix, "it broke")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_row_tells_what_went_wrong_why_and_what_to_do(kind: ErrorKind) -> None:
    assert kind.title == kind.title.strip() != ""
    assert not kind.title.endswith(".")
    assert kind.cause.endswith(".")
    assert kind.fix.endswith((".", "`"))


@pytest.mark.parametrize("number", DOCUMENTED)
def test_every_documented_exit_code_has_a_class_and_a_row(number: int) -> None:
    assert DOCUMENTED[number].exit_code == number
    assert number in {kind.exit_code for kind in KINDS.values()}


def test_every_class_of_errors_is_documented() -> None:
    found = {CtoError, *CtoError.__subclasses__()}
    assert {kind for kind in found if kind.__module__ == errors.__name__} == {*DOCUMENTED.values()}


def test_every_code_of_the_source_is_in_the_table() -> None:
    named = {code for _, tree in modules() for text in texts(tree) for code in CODE.findall(text)}
    assert named - KINDS.keys() == set()


def test_every_code_of_the_table_is_used_somewhere_else_in_the_source() -> None:
    used = {text for name, tree in modules() if name != "errors.py" for text in texts(tree)}
    assert KINDS.keys() - used == set()


def test_no_error_is_made_with_a_code_of_another_class() -> None:
    found = list(raised())
    assert len(found) > 50, "the search finds nothing any more"
    wrong = [item for item in found if KINDS[item[2]].exit_code != CLASSES[item[1]].exit_code]
    assert wrong == []


def test_a_code_of_another_class_is_a_bug_that_shows_at_once() -> None:
    with pytest.raises(ValueError, match="CTO-1600 does not belong to ToolError"):
        ToolError("CTO-1600", "it broke")


def test_an_unknown_code_is_a_bug_that_shows_at_once() -> None:
    with pytest.raises(KeyError):
        ToolError("CTO-1599", "it broke")


def test_an_error_may_carry_a_fix_of_its_own_and_what_the_api_said() -> None:
    error = ApiError("CTO-1602", "no", status=403, reason="Forbidden", details="raw", hint="Ask.")
    assert (error.hint, error.details, str(error)) == ("Ask.", "raw", "no")
    assert (error.status, error.reason, error.exit_code) == (403, "Forbidden", 6)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled()])
def test_a_run_that_was_stopped_exits_with_130(error: BaseException) -> None:
    assert failure_of(error).exit_code == int(errors.Exit.INTERRUPTED) == 130


def test_anything_else_is_a_bug() -> None:
    assert failure_of(RuntimeError("?")).exit_code == 1


def test_the_rows_are_in_the_order_of_their_codes() -> None:
    numbers = [int(code.removeprefix("CTO-")) for code in KINDS]
    assert numbers == sorted(set(numbers))


def test_other_words_make_another_error_of_the_same_kind() -> None:
    first = errors.ApiError("CTO-1601", "no answer", status=503, details="d", hint="h")
    second = first.told(details="more")
    assert (first.details, second.details, second.hint) == ("d", "more", "h")
    assert (type(second), second.code, second.status) == (errors.ApiError, "CTO-1601", 503)
    assert str(second) == "no answer"
    assert second.told(hint="x").hint == "x"


def test_what_an_error_means_is_asked_by_name() -> None:
    """A code is for people and programs outside: what the flow depends on has a word of its own."""
    compared = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if name != "errors.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(part, ast.Attribute) and part.attr == "code" for part in ast.walk(node))
        and any(CODE.fullmatch(text) for text in texts(node))
    ]
    assert compared == []
