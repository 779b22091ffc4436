"""What no cluster could keep is refused, with component and size."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cto.errors import ConfigError
from cto.plan.limits import packed, refuse_oversized, unpacked


def noise(size: int) -> str:
    """Return a text that cannot be packed."""
    return random.Random(1).randbytes(size // 2).hex()  # noqa: S311 - no secret


@pytest.mark.parametrize("text", ["", "ä", "x" * 2_000_000])
def test_what_is_packed_is_unpacked(text: str) -> None:
    assert unpacked(packed(text)) == text
    assert packed(text) == packed(text)


@pytest.mark.parametrize("data", [b"x", packed("text")[:-4], packed("text")[:10] + b"x" * 20])
def test_what_is_damaged_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="not packed by gzip"):
        unpacked(data)


@pytest.mark.parametrize("text", ["a dashboard " * 100_000, noise(400_000), noise(1_200_000)])
def test_what_helm_can_keep_passes(text: str) -> None:
    """1.2 MB that repeat themselves are a few KB."""
    values = {"dashboard": text}
    refuse_oversized({"grafana": values}, {"components": {"grafana": {"values": values}}})


def test_values_that_no_release_could_hold_are_refused_with_component_and_size() -> None:
    values = {"dashboard": noise(2_000_000)}
    with pytest.raises(ConfigError) as caught:
        refuse_oversized({"argocd": {}, "grafana": values}, {})
    assert (caught.value.code, caught.value.exit_code) == ("CTO-1355", 3)
    assert caught.value.message == (
        "the values of grafana are too large: 1.4 MiB packed, and Helm's record of a release may "
        "have 1 MiB"
    )


def test_a_configuration_that_the_state_could_not_hold_names_its_largest_component() -> None:
    parts: dict[str, dict[str, Any]] = {
        "grafana": {"values": {"a": noise(1_200_000)}},
        "argocd": {"values": {"a": noise(1_300_000)}},
    }
    values = {name: part["values"] for name, part in parts.items()}
    with pytest.raises(ConfigError, match="the installer's state") as caught:
        refuse_oversized(values, {"components": parts})
    assert caught.value.code == "CTO-1355"
    assert caught.value.message == (
        "the configuration is too large: 1.4 MiB packed, and the installer's state may have 1 MiB; "
        "the most is in components.argocd, 0.7 MiB"
    )
