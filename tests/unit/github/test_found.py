"""What is known of an agent's App."""

from __future__ import annotations

import pytest

from cto.github.found import AppKey


@pytest.mark.parametrize(
    ("values", "issuer"),
    [
        ({"client-id": "Iv23 \n", "app-id": "7", "private-key": "planted"}, "Iv23"),
        ({"client-id": "", "app-id": "7", "private-key": "planted"}, "7"),
        ({"private-key": "planted"}, None),
        ({"app-id": " ", "private-key": "planted"}, None),
        ({"app-id": "7", "private-key": ""}, None),
    ],
)
def test_a_key_is_whose_it_is_and_what_proves_it(
    values: dict[str, str], issuer: str | None
) -> None:
    found = AppKey.of(values)
    assert (found.issuer if found else None) == issuer
    assert found is None or found.pem == "planted"
    assert "planted" not in repr(found)
