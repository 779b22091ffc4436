"""The steps that a plan is made of. Frozen data: deciding is done, nothing has happened yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from cto.catalog import Component, Crds, GeneratedSecret, Probe
from cto.events import Phase
from cto.objects import Manifest, ObjectRef
from cto.plan.changes import CHANGING, Action, Downgrade, ObjectChange, TakenBack
from cto.plan.observed import ReleaseState
from cto.ports import ReleaseSpec
from cto.result import Check


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do.

    Attributes:
        id: Unique and stable: `release:grafana`.
        title: For people, in the infinitive: `Install Grafana 12.11.1`.
        reason: Why: `not installed`, `web-1.0.0 -> web-2.0.0, values changed`.
        after: Ids of the steps that must be over.
        timeout_s: How long it may take.
        component: Name of the component it belongs to, if any.
    """

    id: str
    phase: Phase
    title: str
    action: Action
    reason: str = ""
    after: tuple[str, ...] = ()
    timeout_s: float = 60
    component: str = ""

    def touches(self) -> tuple[str, ...]:
        """Return what it creates, changes or deletes, for people."""
        return ()

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "phase": self.phase.value,
            "component": self.component,
            "title": self.title,
            "action": self.action.value,
            "reason": self.reason,
            "after": list(self.after),
            "timeout_seconds": self.timeout_s,
            "touches": list(self.touches()),
        }


@dataclass(frozen=True, kw_only=True)
class EnsureNamespace(Step):
    manifest: Manifest

    def touches(self) -> tuple[str, ...]:
        return (f"Namespace {self.manifest['metadata']['name']}",)


@dataclass(frozen=True, kw_only=True)
class GenerateSecret(Step):
    """Creates the Secret if it is not there; never changes one."""

    namespace: str
    secret: GeneratedSecret

    def touches(self) -> tuple[str, ...]:
        return (f"Secret {self.secret.name} in {self.namespace}",)


@dataclass(frozen=True, kw_only=True)
class SupplySecret(Step):
    """Writes secret values of the configuration. The values are not in the plan.

    Attributes:
        keys: Key of the Secret -> path of the configuration. The engine asks for the values.
        labels: Those of an entry's: it then holds nothing else.
        plain: What is no secret in it.
    """

    namespace: str
    name: str
    type: str
    keys: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    plain: Mapping[str, str] = field(default_factory=dict)

    def touches(self) -> tuple[str, ...]:
        return (f"Secret {self.name} in {self.namespace}",)


@dataclass(frozen=True, kw_only=True)
class Certify(Step):
    """Makes a certificate, again before its end. Its key is not in the plan.

    Attributes:
        host: What it is for; of an authority, the domain below which it may sign.
        by: Secret of the authority that signs; None for an authority.
    """

    secret: ObjectRef
    host: str
    by: ObjectRef | None = None

    def touches(self) -> tuple[str, ...]:
        return (str(self.secret),)


@dataclass(frozen=True, kw_only=True)
class SupplyPullSecret(Step):
    """Writes the Secret that a namespace's pods pull with. Its password is not in the plan.

    Attributes:
        host: The registry, as references name it.
        secret_path: Of the password, in the configuration. The engine asks for the value.
    """

    namespace: str
    name: str
    host: str
    username: str
    secret_path: str

    def touches(self) -> tuple[str, ...]:
        return (
            f"Secret {self.name} in {self.namespace}",
            f"ServiceAccount default in {self.namespace}",
        )


@dataclass(frozen=True, kw_only=True)
class RemovePullSecret(Step):
    """Deletes the Secret, and the default account's reference to it."""

    namespace: str
    name: str

    def touches(self) -> tuple[str, ...]:
        return (
            f"delete Secret {self.name} in {self.namespace}",
            f"ServiceAccount default in {self.namespace}",
        )


@dataclass(frozen=True, kw_only=True)
class ApplyCrds(Step):
    """Applies the chart's CRDs server-side; over when all are established."""

    release: ReleaseSpec
    crds: Crds
    digest: str
    downgrade: Downgrade | None = None

    def touches(self) -> tuple[str, ...]:
        return (f"CRDs of {self.release.chart.name} {self.release.chart.version}",)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), **_downgrade(self.downgrade)}


@dataclass(frozen=True, kw_only=True)
class ApplyManifests(Step):
    """Applies the component's own objects and deletes those of the last run that are gone."""

    manifests: tuple[Manifest, ...]
    prune: tuple[ObjectRef, ...] = ()
    takes_back: tuple[TakenBack, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    """What changes; known once the API server was asked."""

    def touches(self) -> tuple[str, ...]:
        return (
            *(f"{m['kind']} {m['metadata']['name']}" for m in self.manifests),
            *(f"delete {ref}" for ref in self.prune),
            *map(str, self.takes_back),
        )

    def to_json(self) -> dict[str, Any]:
        more = {**_takes_back(self.takes_back), **_objects(self.objects)}
        return {**super().to_json(), **more}


def _objects(changes: tuple[ObjectChange, ...]) -> dict[str, Any]:
    return {"objects": [change.to_json() for change in changes]} if changes else {}


def _takes_back(fields: tuple[TakenBack, ...]) -> dict[str, Any]:
    return {"takes_back": [field.to_json() for field in fields]} if fields else {}


def _downgrade(back: Downgrade | None) -> dict[str, Any]:
    return {"downgrade": {"from": back.old, "to": back.new, "why": back.why}} if back else {}


@dataclass(frozen=True, kw_only=True)
class ApplyRelease(Step):
    """Installs or upgrades a release; over when its hooks are done, not when it is ready."""

    release: ReleaseSpec
    downgrade: Downgrade | None = None
    takes_back: tuple[TakenBack, ...] = ()
    installed: tuple[str, str] = ("", "")
    """`NAME-VERSION` of the chart that is there, and its app's version; '' for none."""
    objects: tuple[ObjectChange, ...] = ()
    """What changes; known once the API server was asked."""

    @property
    def replaced(self) -> tuple[ObjectRef, ...]:
        """What is deleted before, because it cannot become what it is to be."""
        return tuple(one.ref for one in self.objects if one.action is Action.REPAIR)

    def touches(self) -> tuple[str, ...]:
        release = f"Helm release {self.release.name} in {self.release.namespace}"
        return (release, *map(str, self.takes_back))

    def to_json(self) -> dict[str, Any]:
        more = {**_downgrade(self.downgrade), **_takes_back(self.takes_back)}
        chart, app = self.installed
        spec = self.release.chart
        versions = {
            "from": {"chart": chart, "app": app},
            "to": {"chart": f"{spec.name}-{spec.version}", "app": spec.app_version},
        }
        if not chart:
            versions = {}
        return {**super().to_json(), **versions, **more, **_objects(self.objects)}


@dataclass(frozen=True, kw_only=True)
class RollbackRelease(Step):
    """Brings a release back to a revision that was deployed, and the state with it.

    Attributes:
        known: What the state knew of the component then.
    """

    release: str
    namespace: str
    revision: int
    known: ReleaseState

    def touches(self) -> tuple[str, ...]:
        return (f"Helm release {self.release} in {self.namespace}, to revision {self.revision}",)


@dataclass(frozen=True, kw_only=True)
class RepairObjects(Step):
    """Applies objects again as they were installed.

    Attributes:
        manager: Whose fields they are: `helm` or `cto`.
        objects: What changes by that.
    """

    manager: str
    manifests: tuple[Manifest, ...]
    objects: tuple[ObjectChange, ...]

    def touches(self) -> tuple[str, ...]:
        return tuple(str(one.ref) for one in self.objects)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), **_objects(self.objects)}


@dataclass(frozen=True, kw_only=True)
class WaitReady(Step):
    """Waits until every object of the component is ready.

    Attributes:
        objects: Empty if not known yet.
        waves: How many of its pods start one after the other.
    """

    namespace: str
    objects: tuple[ObjectRef, ...] = ()
    waves: int = 1


@dataclass(frozen=True, kw_only=True)
class ProbeService(Step):
    namespace: str
    probe: Probe


@dataclass(frozen=True, kw_only=True)
class DeleteObjects(Step):
    """Deletes objects and waits until they are gone."""

    objects: tuple[ObjectRef, ...]

    def touches(self) -> tuple[str, ...]:
        return tuple(f"delete {ref}" for ref in self.objects)


@dataclass(frozen=True, kw_only=True)
class UninstallRelease(Step):
    release: str
    namespace: str

    def touches(self) -> tuple[str, ...]:
        return (f"delete Helm release {self.release} in {self.namespace}",)


@dataclass(frozen=True, kw_only=True)
class DeleteNamespace(Step):
    """Deletes a namespace of ours if nothing is in it that somebody may miss."""

    namespace: str

    def touches(self) -> tuple[str, ...]:
        return (f"delete Namespace {self.namespace}",)


@dataclass(frozen=True, kw_only=True)
class DeleteState(Step):
    """Forgets components at the very end; the whole state if `everything` is gone."""

    components: tuple[str, ...] = ()
    everything: bool = True


@dataclass(frozen=True, kw_only=True)
class Note(Step):
    """Does nothing: shows what is skipped or kept, and why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A graph of steps and what to know before it is carried out."""

    command: str
    context: str
    provider: str
    profile: str
    simulated: bool = False
    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    """What was found about its steps; one that failed is a reason not to begin."""
    components: tuple[Component, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        ids = [step.id for step in self.steps]
        if len(set(ids)) != len(ids):
            text = f"two steps have one id: {sorted(i for i in ids if ids.count(i) > 1)}"
            raise ValueError(text)
        unknown = {dep for step in self.steps for dep in step.after} - set(ids)
        if unknown:
            text = f"steps wait for unknown ones: {sorted(unknown)}"
            raise ValueError(text)
        try:
            TopologicalSorter(self.graph()).prepare()
        except CycleError as error:
            text = f"steps wait for each other: {error.args[1]}"
            raise ValueError(text) from error

    def graph(self) -> dict[str, tuple[str, ...]]:
        return {step.id: step.after for step in self.steps}

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action in CHANGING)

    @property
    def forgets(self) -> bool:
        """Whether the installer's whole memory goes at the end."""
        return any(isinstance(step, DeleteState) and step.everything for step in self.steps)
