"""The order of versions is that of semver.org, and what is none has no place in it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cto.versions import is_older, key

# https://semver.org/#spec-item-11, and what charts have besides.
ORDER = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "v1.0.0",
    "1.0.1",
    "1.2",
    "1.10.0",
    "2",
    "10.0.0-0",
    "10.0.0",
]


@pytest.mark.parametrize(("old", "new"), list(pairwise(ORDER)))
def test_each_is_older_than_the_next(old: str, new: str) -> None:
    assert is_older(old, new) is True
    assert is_older(new, old) is False


@pytest.mark.parametrize("same", ["v1.2.3", "1.2.3+build.7", "1.2.3_build.7"])
def test_a_leading_v_and_build_metadata_have_no_rank(same: str) -> None:
    assert is_older(same, "1.2.3") is False
    assert is_older("1.2.3", same) is False


@pytest.mark.parametrize("text", ["", "latest", "1.2.3.4", "RELEASE.2024-01-01", "1.x", "-1.0.0"])
def test_what_is_no_version_cannot_be_compared(text: str) -> None:
    assert key(text) is None
    assert is_older(text, "1.0.0") is None
    assert is_older("1.0.0", text) is None
