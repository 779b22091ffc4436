"""What registries ask for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cto_airgap.auth import Challenge, parse_challenges


def test_parameters_may_be_quoted_or_not() -> None:
    text = (
        'Bearer realm="https://a/t?x=1,2",service=s , scope="repository:a/b:pull,push",error="\\"e"'
    )
    assert parse_challenges(text) == (
        Challenge(
            "bearer",
            {
                "realm": "https://a/t?x=1,2",
                "service": "s",
                "scope": "repository:a/b:pull,push",
                "error": '"e',
            },
        ),
    )


def test_there_may_be_several() -> None:
    assert parse_challenges('Negotiate, Basic realm="a", bearer realm="b"') == (
        Challenge("negotiate"),
        Challenge("basic", {"realm": "a"}),
        Challenge("bearer", {"realm": "b"}),
    )


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    assert all(found.scheme == found.scheme.lower() for found in parse_challenges(text))
