"""Numbers and tables for people."""

from __future__ import annotations

import pytest

from cto.cli.bundletext import amount, table


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (2_500_000_000, "2.5 GB"),
        (2_500_000_000_000, "2500.0 GB"),
    ],
)
def test_bytes_are_told_in_the_units_of_disks(size: int, text: str) -> None:
    assert amount(size) == text


def test_columns_are_below_each_other() -> None:
    assert table([("a", "bbb", "c"), ("aa", "b", "")]) == ["a   bbb  c", "aa  b"]
