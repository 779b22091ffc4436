"""Graphs of names for property tests."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def graphs(draw: st.DrawFn, most: int = 8) -> dict[str, tuple[str, ...]]:
    """Return names, each with some of those before it: a graph without a circle.

    One number per name tells which: sets of names take much longer to draw.
    """
    result: dict[str, tuple[str, ...]] = {}
    for index in range(draw(st.integers(1, most))):
        bits = draw(st.integers(0, (1 << index) - 1))
        before = tuple(name for bit, name in enumerate(result) if bits >> bit & 1)
        result[f"n{index}"] = before
    return result
