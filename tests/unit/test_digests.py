"""Digests follow content, not the order of keys nor the size of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto import digests

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.dictionaries(st.text(max_size=2), JSON, max_size=3))
def test_the_order_of_keys_does_not_count(data: dict[str, Any]) -> None:
    assert digests.of_data(data) == digests.of_data(dict(reversed(data.items())))


def test_a_digest_of_data_is_a_sha256_of_compact_json() -> None:
    expected = hashlib.sha256('{"a":["ü",1],"b":null}'.encode()).hexdigest()
    assert digests.of_data({"b": None, "a": ["ü", 1]}) == expected


def test_another_value_is_another_digest() -> None:
    assert digests.of_data({"a": 1}) != digests.of_data({"a": "1"})


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_file_has_the_digest_of_all_its_bytes(tmp_path: Path, size: int, algorithm: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    assert digests.of_file(file, algorithm) == hashlib.new(algorithm, b"x" * size).hexdigest()


def test_a_labels_part_of_a_digest_fits_a_label() -> None:
    assert digests.for_label("0123456789" * 6 + "0123") == "0123456789" * 4
