"""What the engine relies on in every provider: the fake one, and all that make clusters.

kind runs over a fake Docker here, and on a real one in tests/e2e/test_kind_provider.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.ports import NodeOptions, Provider, ProviderState
from fakes.kind import KindBench
from fakes.provider import FakeProvider
from integration import kwok_driver

OPTIONS = NodeOptions(nodes=1, profile="minimal", cpu=4, memory_gib=8)


@pytest.fixture(
    params=[
        pytest.param("fake"),
        pytest.param("kind"),
        pytest.param("kwok", marks=pytest.mark.lab),
    ]
)
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provider]:
    """Return a provider whose cluster does not exist."""
    if request.param == "fake":
        yield FakeProvider(ready=False)
    elif request.param == "kind":
        yield KindBench(tmp_path).provider()
    else:
        tools: Path = request.getfixturevalue("lab_tools")
        home = tmp_path / "home" / ".kube" / "config"
        made = kwok_driver.provider(tools, tmp_path / "state" / "contract", home, "contract")
        yield made
        made.destroy()


def test_looking_makes_nothing(provider: Provider) -> None:
    checks = provider.validate()
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert provider.kube_version().startswith("v1.")
    assert provider.state() is ProviderState.ABSENT
    assert provider.kept_nodes() == 0
    assert provider.destroy() is False


def test_a_cluster_is_made_once_and_removed_once(provider: Provider) -> None:
    told: list[str] = []
    access = provider.provision(OPTIONS, told.append)
    assert told
    assert provider.state() is ProviderState.READY
    assert provider.kept_nodes() == (0 if provider.resizes else OPTIONS.nodes)
    assert provider.access() == access
    assert provider.reach().context == access.context
    assert provider.provision(OPTIONS, told.append) == access
    assert provider.state() is ProviderState.READY
    assert provider.destroy() is True
    assert provider.state() is ProviderState.ABSENT
    assert provider.destroy() is False


def test_it_can_be_made_again_after_a_removal(provider: Provider) -> None:
    provider.provision(OPTIONS, lambda _: None)
    provider.destroy()
    provider.provision(OPTIONS, lambda _: None)
    assert provider.state() is ProviderState.READY
