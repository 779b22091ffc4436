"""What is gathered, until the time is over; how it is made fit to be sent; how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.errors import ApiError, UsageError
from cto.redaction import HIDDEN, Secrets
from cto.support import archive, facts
from cto.support.assembling import assembled
from cto.support.facts import Facts, text_of
from cto.support.gathering import Gathering

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def one(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    yield name, data


def test_what_hangs_is_left_out_with_what_it_had_by_then() -> None:
    never = Flag()

    def hangs() -> Iterator[tuple[str, Any]]:
        yield "first.json", 1
        never.wait(30)
        yield "second.json", 2

    gathering = Gathering(SystemClock(), 0.2)
    gathering.begin("slow", hangs)
    gathering.begin("quick", lambda: one("quick.json", 3))
    gathering.wait()
    found = gathering.facts()
    never.set()
    assert dict(found.files) == {"first.json": 1, "quick.json": 3}
    assert dict(found.missing) == {"slow": "it was not there after 0.2 s"}


def test_what_fails_is_left_out_with_its_reason() -> None:
    def fails(error: Exception) -> Iterator[tuple[str, Any]]:
        raise error
        yield  # pragma: no cover - this makes it a generator

    gathering = Gathering(SystemClock(), 5)
    gathering.begin("told", lambda: fails(ApiError("CTO-1602", "not allowed")))
    gathering.begin("bug", lambda: fails(KeyError("planted")))
    gathering.wait()
    assert dict(gathering.facts().missing) == {
        "told": "CTO-1602: not allowed",
        "bug": "an internal error: KeyError",
    }


def test_json_stays_json_whatever_is_taken_out() -> None:
    data = {
        "password": 1234567890,
        "token": "abcdefgh1",
        'quo"te': ['say "sesame-12345"', None, True, 1.5],
        "sesame-12345": {"auth": ["x", "abcdefgh2"]},
    }
    text = text_of("x.json", data, Secrets(["sesame-12345"]).redacted)
    assert json.loads(text) == {
        "password": HIDDEN,
        "token": HIDDEN,
        'quo"te': [f'say "{HIDDEN}"', None, True, 1.5],
        HIDDEN: {"auth": ["x", HIDDEN]},
    }


def test_what_is_too_large_is_left_out_and_named() -> None:
    files = {
        facts.ABOUT: {"context": "x"},
        "logs/a/b/c.log": "x" * 5000,
        "logs/a/b/d.log": "y" * 100,
    }
    made = assembled(Facts(files), lambda text: text, most_bytes=4000)
    assert "logs/a/b/c.log" not in made.texts
    assert "logs/a/b/d.log" in made.texts
    assert "logs/a/b/c.log: it has 5000 bytes" in made.texts[facts.MISSING]
    assert sum(len(text.encode()) for text in made.texts.values()) <= 4000


def test_what_was_not_searched_for_secrets_is_left_out() -> None:
    files = {facts.ABOUT: {"context": "x"}, facts.NODES: {"nodes": []}}
    made = assembled(Facts(files), lambda text: text, is_over=lambda: True)
    assert facts.ABOUT in made.texts
    assert facts.NODES not in made.texts
    assert facts.NODES in made.missing


def test_a_token_in_a_message_that_is_cut_is_gone_whole(tmp_path: Path) -> None:
    token = "ghp_" + "aB3" * 12
    event: dict[str, Any] = {
        "kind": "Pod",
        "namespace": "a",
        "name": "b",
        "type": "Warning",
        "reason": "R",
    }
    event |= {"first": f"{NOW:%FT%TZ}", "last": f"{NOW:%FT%TZ}", "count": 1}
    event["message"] = "x" * 225 + " " + token
    made = assembled(
        Facts({facts.ABOUT: {}, facts.EVENTS: {"events": [event]}}), Secrets().redacted
    )
    path = tmp_path / "x.tar.gz"
    archive.write(path, made.texts, NOW)
    assert "ghp_" not in "".join(archive.read(path).values())


def test_what_somebody_sends_is_read_within_limits(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    archive.write(path, {facts.ABOUT: "{}", "big": "x" * 1000}, NOW)
    assert set(archive.read(path)) == {facts.ABOUT, "big"}
    with pytest.raises(UsageError, match="holds more"):
        archive.read(path, most_bytes=500)


def test_names_of_files_are_plain() -> None:
    path = archive.path_of("arn:aws:eks/x y", NOW, None)
    assert path.name == "cto-support-arn-aws-eks-x-y-20300102T030405Z.tar.gz"
