"""What waits ask for instead of watching it: one list request per kind and namespace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from cto.engine.asker import Answer, Question
from cto.engine.live import heals, unreachable
from cto.objects import ObjectRef
from cto.ports import Cluster

Group: TypeAlias = tuple[str, str, str]
"""apiVersion, kind, namespace"""


def grouped(refs: Iterable[ObjectRef]) -> dict[Group, set[str]]:
    """Return the names by what one list request covers."""
    groups: defaultdict[Group, set[str]] = defaultdict(set)
    for ref in refs:
        groups[(ref.api_version, ref.kind, ref.namespace)].add(ref.name)
    return dict(groups)


def checked(answer: Answer | None) -> Answer | None:
    """Return an answer that is there, or that could not be had because nobody answered.

    Raises:
        ApiError: The API server refused.
    """
    error = answer.error if answer else None
    if error is not None and not heals(error):
        raise error
    return answer


def names_of(cluster: Cluster, group: Group) -> Question:
    """Return what asks for the names of what there is."""
    items = items_of(cluster, group, full=False)
    return lambda: frozenset(item["metadata"]["name"] for item in items())


def items_of(cluster: Cluster, group: Group, *, full: bool) -> Question:
    """Return what asks for all objects of a group, or (not `full`) for their metadata."""
    api_version, kind, namespace = group
    ask = cluster.list if full else cluster.list_metadata
    return lambda: ask(api_version, kind, namespace=namespace)


def served_by(cluster: Cluster) -> Question:
    """Return what asks for the names of the definitions whose kinds the API server serves."""
    return lambda: frozenset(
        f"{kind.plural}.{kind.api_version.rpartition('/')[0]}" for kind in cluster.kinds(fresh=True)
    )


def silence(answers: Iterable[Answer | None], now: float) -> str:
    """Say that some answers could not be had; '' if all could."""
    silent = [answer.at for answer in answers if answer and answer.error]
    return unreachable(now - min(silent)) if silent else ""
