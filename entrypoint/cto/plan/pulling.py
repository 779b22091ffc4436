"""The steps that let nodes log in where images come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cto.objects import ObjectRef
from cto.plan import labels
from cto.plan.changes import Action
from cto.plan.observed import Observed
from cto.plan.steps import EnsureNamespace, RemovePullSecret, Step, SupplyPullSecret, WaitReady

SECRET = "cto-registry"  # noqa: S105 - a name


@dataclass(frozen=True, kw_only=True)
class PullLogin:
    """Who nodes are at a registry.

    Attributes:
        host: As references name it.
        secret_path: Of the password, in the configuration.
    """

    host: str
    username: str
    secret_path: str


def step_id(namespace: str) -> str:
    return f"pull-secret:{namespace}"


def supplies(login: PullLogin | None, before: Iterable[Step], observed: Observed) -> list[Step]:
    """Return a step for each namespace that the steps before ensure."""
    namespaces = [step for step in before if isinstance(step, EnsureNamespace)]
    return [_supply(login, step, observed) for step in namespaces] if login else []


def _supply(login: PullLogin, after: EnsureNamespace, observed: Observed) -> Step:
    namespace = str(after.manifest["metadata"]["name"])
    there = is_there(namespace, observed)
    return SupplyPullSecret(
        id=step_id(namespace),
        phase=after.phase,
        title=f"Write secret {SECRET}",
        action=Action.CHECK if there else Action.CREATE,
        reason="values are compared when it runs" if there else "not there",
        after=(after.id,),
        component=after.component,
        namespace=namespace,
        name=SECRET,
        host=login.host,
        username=login.username,
        secret_path=login.secret_path,
    )


def removals(login: PullLogin | None, before: Sequence[Step], observed: Observed) -> Iterator[Step]:
    """Yield what takes the Secrets away, once nothing pulls with them any more."""
    waits = [step for step in before if isinstance(step, WaitReady)]
    for step in before:
        if login or not isinstance(step, EnsureNamespace):
            continue
        namespace = str(step.manifest["metadata"]["name"])
        after = (step.id, *(wait.id for wait in waits if wait.namespace == namespace))
        if is_there(namespace, observed):
            yield removal(namespace, step, after, "images need no log-in any more")


def removal(namespace: str, like: Step, after: tuple[str, ...], reason: str) -> Step:
    """Return the step that takes the Secret of a namespace away."""
    return RemovePullSecret(
        id=step_id(namespace),
        phase=like.phase,
        title=f"Delete secret {SECRET}",
        action=Action.DELETE,
        reason=reason,
        after=after,
        component=like.component,
        namespace=namespace,
        name=SECRET,
    )


def is_there(namespace: str, observed: Observed) -> bool:
    """Tell whether a namespace has a pull secret of ours."""
    return labels.is_ours(observed.present.get(ObjectRef("v1", "Secret", namespace, SECRET)))
