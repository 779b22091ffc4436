"""A kind cluster keeps the nodes that it was made with; what follows from that is told before."""

from __future__ import annotations

from typing import Any

import pytest

from cto.config.model import Config
from cto.errors import ConfigError
from cto.plan.limits import nodes_warnings, simulated_warnings
from cto.plan.observed import Observed


def config(nodes: int, *, ha: bool = False) -> Config:
    return Config.model_validate(
        {"cluster": {"nodes": nodes}, "features": {"high_availability": ha}}
    )


def observed(**settings: Any) -> Observed:
    return Observed(kube_version="v1.34.0", **settings)


NONE = observed(exists=False)


def test_as_many_as_wanted_are_no_news() -> None:
    assert nodes_warnings(config(3, ha=True), observed(nodes=3), resizes=False) == ()
    assert nodes_warnings(config(3, ha=True), NONE, resizes=False) == ()
    assert nodes_warnings(config(3), observed(nodes=1), resizes=True) == ()


@pytest.mark.parametrize(("has", "text"), [(1, "its 1 node "), (5, "its 5 nodes ")])
def test_a_cluster_keeps_its_nodes(has: int, text: str) -> None:
    (warning,) = nodes_warnings(config(3), observed(nodes=has), resizes=False)
    assert text in warning
    assert "cto uninstall --provider kind --cluster, then cto install --nodes 3" in warning


def test_replicas_share_nodes_where_there_are_too_few() -> None:
    (warning,) = nodes_warnings(config(3, ha=True), observed(nodes=2), resizes=False)
    assert warning.endswith("replicas share nodes")


def test_high_availability_on_one_node_is_refused_with_the_way_to_three() -> None:
    with pytest.raises(ConfigError) as caught:
        nodes_warnings(config(3, ha=True), observed(nodes=1), resizes=False)
    assert caught.value.code == "CTO-1320"
    assert "cto uninstall --provider kind --cluster" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        nodes_warnings(config(1, ha=True), NONE, resizes=False)
    assert "--nodes 3" in caught.value.hint


def test_simulated_nodes_may_be_as_few_as_they_like() -> None:
    one = observed(nodes=1, simulated=True)
    assert nodes_warnings(config(1, ha=True), one, resizes=True) == ()


def test_simulated_nodes_are_a_warning_only_among_real_ones() -> None:
    assert simulated_warnings(observed(nodes=3)) == ()
    alone = observed(nodes=1, simulated=True, simulated_nodes=("fake",))
    assert simulated_warnings(alone) == ()

    (one,) = simulated_warnings(observed(nodes=3, simulated_nodes=("fake",)))
    assert one.startswith("1 node of 3 is simulated by kwok (fake): ")
    (two,) = simulated_warnings(observed(nodes=3, simulated_nodes=("a", "b")))
    assert two.startswith("2 nodes of 3 are simulated by kwok (a, b): ")
