"""What a plan is made of, and what is told of it: charts, secret values, estimates."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cto.catalog import Component
from cto.config.fields import SecretReference
from cto.config.model import Config
from cto.errors import PreflightError, ToolError
from cto.objects import ObjectRef
from cto.plan import labels
from cto.plan.build import install
from cto.plan.desired import Destination, desired_state
from cto.plan.observed import Observed, State
from cto.plan.selection import Selection
from cto.plan.steps import ApplyManifests, ApplyRelease, Plan
from cto.ports import Chart, Cluster, Provider

ChartSource = Callable[[Component], Chart]


def to_be_done(plan: Plan) -> dict[str, str]:
    """Return the components that a plan changes, with the digest that their release gets."""
    changed = {step.component: "" for step in plan.changes if step.component}
    releases = {
        step.component: step.release.labels.get(labels.DIGEST, "")
        for step in plan.changes
        if isinstance(step, ApplyRelease)
    }
    return {**changed, **releases}


def secret_values(config: Config, cluster: Cluster, path: str) -> Mapping[str, str]:
    """Return the values of a secret field; references are read from the cluster.

    Raises:
        PreflightError: CTO-1400, what is referred to is not there.
    """
    values: dict[str, str] = {}
    if path.startswith(labels.GENERATED):
        namespace, secret, key = path.removeprefix(labels.GENERATED).split("/")
        references = {"": SecretReference(secret=secret, key=key, namespace=namespace)}
    else:
        values |= config.secret_values(path)
        references = {**config.secret_reference(path)}
    for name, reference in references.items():
        ref = ObjectRef("v1", "Secret", reference.namespace, reference.secret)
        data = (cluster.get(ref) or {}).get("data") or {}
        if reference.key not in data:
            message = f"{path}: {ref} has no key {reference.key!r}"
            raise PreflightError("CTO-1400", message, hint="Create it, then repeat the command.")
        values[name] = base64.b64decode(data[reference.key]).decode()
    return values


def taken_back(plan: Plan) -> Iterator[str]:
    """Yield what is written over: nobody should learn that only afterwards."""
    for step in plan.steps:
        if isinstance(step, ApplyManifests | ApplyRelease):
            yield from map(str, step.takes_back)


def plan_new_cluster(
    selection: Selection,
    config: Config,
    charts: ChartSource,
    provider: Provider,
    destination: Destination,
) -> Plan:
    """Return what `install` would do where the cluster is still to be made."""
    observed = Observed(
        exists=False,
        kube_version=provider.kube_version(),
        nodes=config.cluster.nodes,
        simulated=provider.simulated,
    )
    selection = selection.on(config, observed)
    desired = desired_state(
        config,
        selection,
        charts_of(selection, charts),
        observed,
        destination,
    )
    return install(desired, observed)


def charts_of(selection: Selection, charts: ChartSource) -> dict[str, Chart]:
    """Return the chart of every component.

    Raises:
        ToolError: CTO-1502, naming all charts that cannot be had.
    """
    found: dict[str, Chart] = {}
    missing: list[ToolError] = []
    for component in selection.managed:
        try:
            found[component.name] = charts(component)
        except ToolError as error:
            missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        details = "\n".join(f"{error.message}\n{error.details}".rstrip() for error in missing)
        hint = "\n".join(dict.fromkeys(error.hint for error in missing))
        text = f"{len(missing)} charts cannot be had"
        raise ToolError("CTO-1502", text, details=details, hint=hint)
    return found


def estimates(state: State | None) -> dict[str, float]:
    """Return how long steps took in the last run; steps that had nothing to do tell nothing."""
    steps: Mapping[str, Any] = state.steps if state else {}
    return {
        name: float(run["seconds"])
        for name, run in steps.items()
        if isinstance(run, dict)
        and run.get("outcome") == "done"
        and isinstance(run.get("seconds"), int | float)
    }
