"""Who owns a kubeconfig that is written from a container. The rest is in test_kind.py."""

from __future__ import annotations

import pytest

from cto.adapters.kind.access import owner_of
from cto.errors import PreflightError


@pytest.mark.parametrize(
    ("text", "owner"),
    [("", None), ("1000", (1000, 1000)), ("1000:985", (1000, 985)), ("1000:", (1000, 1000))],
)
def test_the_user_is_named_by_numbers(text: str, owner: tuple[int, int] | None) -> None:
    assert owner_of({"CTO_HOST_UID": text}) == owner


@pytest.mark.parametrize("text", ["me", "1000:me", ":1", "-1"])
def test_anything_else_is_refused_with_the_line_that_helps(text: str) -> None:
    with pytest.raises(PreflightError) as caught:
        owner_of({"CTO_HOST_UID": text})
    assert "id -u" in caught.value.hint
