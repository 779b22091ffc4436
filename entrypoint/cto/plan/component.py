"""The steps of one component: definitions, secrets, release, its own objects, readiness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cto.catalog import CERTIFICATE
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.plan import change, labels, pulling
from cto.plan.changes import Action, Downgrade
from cto.plan.desired import (
    DesiredComponent,
    DesiredState,
    crds_digest,
    phase_of,
    release_digest,
    release_labels,
)
from cto.plan.network import AUTHORITY, RENEWED
from cto.plan.observed import Observed, ReleaseRecord, ReleaseState
from cto.plan.steps import (
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    Certify,
    DeleteObjects,
    GenerateSecret,
    ProbeService,
    Step,
    SupplySecret,
    WaitReady,
)
from cto.ports import ReleaseSpec


class ComponentSteps:
    """Builds the steps of one component."""

    def __init__(
        self, item: DesiredComponent, observed: Observed, installed: set[str], wanted: DesiredState
    ) -> None:
        self._item = item
        self._component = item.component
        self._observed = observed
        self._wanted = wanted
        copied = (secret.of for secret in self._component.supplied)
        before = dict.fromkeys((*self._component.depends_on, *copied))
        self._depends_on = [name for name in before if name in installed]
        self._state: ReleaseState | None = (
            observed.state.releases.get(self._component.name) if observed.state else None
        )
        self._phase = phase_of(self._component)
        self._own = frozenset(ref_of(manifest) for manifest in (*item.before, *item.after))

    def steps(self) -> list[Step]:
        namespaces = tuple(
            f"namespace:{name}" for name in namespaces_of(self._item, self._observed)
        )
        generated = [*self._generated(namespaces), *self._certified(namespaces)]
        steps: list[Step] = [*generated, *self._supplied((*namespaces, *(s.id for s in generated)))]
        base = (*namespaces, *(step.id for step in steps))
        if self._wanted.login:
            base += (pulling.step_id(self._component.namespace),)
        steps += self._crds()
        if self._component.crds:
            base += (f"crds:{self._component.name}",)
        base += tuple(f"release:{name}" for name in self._depends_on)
        before = self._manifests("before", self._item.before, base)
        steps += before
        release = self._release((*base, *(step.id for step in before)))
        steps += [release, *self._ready(release.id)]
        return steps

    def _ready(self, release: str) -> list[Step]:
        """Return the wait for the release, and what may only follow it."""
        name = self._component.name
        objects = self._state.objects if self._state and self._is_current() else ()
        ready = WaitReady(
            **self._common(f"ready:{name}", Action.WAIT, "every object, by its status"),
            title=f"{self._component.title} is ready",
            after=(release,),
            timeout_s=self._wanted.step_timeout_s,
            namespace=self._component.namespace,
            objects=objects,
            waves=self._component.ready.waves,
        )
        waits = (ready.id, *(f"ready:{other}" for other in self._depends_on))
        after = self._manifests("after", self._item.after, waits)
        steps: list[Step] = [ready, *after]
        if after:
            steps.append(
                WaitReady(
                    **self._common(f"settled:{name}", Action.WAIT, "every object, by its status"),
                    title=f"The own objects of {self._component.title} are ready",
                    after=(after[0].id,),
                    timeout_s=self._wanted.step_timeout_s,
                    namespace=self._component.namespace,
                    objects=tuple(ref_of(manifest) for manifest in self._item.after),
                )
            )
        if self._component.ready.probe:
            steps.append(self._probe(steps[-1].id))
        return steps

    def _common(self, step_id: str, action: Action, reason: str) -> dict[str, Any]:
        return {
            "id": step_id,
            "phase": self._phase,
            "action": action,
            "reason": reason,
            "component": self._component.name,
        }

    def _generated(self, namespaces: tuple[str, ...]) -> list[Step]:
        steps: list[Step] = []
        for namespace, secret in self._component.generated(self._own):
            told = "made once, never changed"
            action, reason = self._secret_action(namespace, secret.name, told)
            if secret.entries and action is Action.KEEP:
                action, reason = Action.CHECK, "what is new gets a key when it runs"
            steps.append(
                GenerateSecret(
                    **self._common(f"secret:{namespace}/{secret.name}", action, reason),
                    title=f"Generate secret {secret.name}",
                    after=namespaces,
                    namespace=namespace,
                    secret=secret.of(self._item.agents),
                )
            )
        return steps

    def _certified(self, namespaces: tuple[str, ...]) -> list[Step]:
        if not self._item.certified:
            return []
        ref = ObjectRef("v1", "Secret", self._component.namespace, CERTIFICATE.name)
        there = ref in self._observed.present
        action, reason = (Action.CHECK, RENEWED) if there else (Action.CREATE, "not there")
        return [
            Certify(
                **self._common(f"certificate:{ref.namespace}", action, reason),
                title=f"Certify {self._item.certified}",
                after=(*namespaces, "authority"),
                secret=ref,
                host=self._item.certified,
                by=AUTHORITY,
            )
        ]

    def _secret_action(self, namespace: str, name: str, reason: str) -> tuple[Action, str]:
        ref = ObjectRef("v1", "Secret", namespace, name)
        if ref in self._observed.present:
            return Action.KEEP, reason
        return Action.CREATE, "not there"

    def _supplied(self, after: tuple[str, ...]) -> list[Step]:
        """Return what writes the user's values: over generated ones of the same Secret."""
        steps: list[Step] = []
        for name, (kind, keys) in self._item.supplied.items():
            told = "values are compared when it runs"
            action, reason = self._secret_action(self._component.namespace, name, told)
            marks, plain = self._item.marked.get(name, ({}, {}))
            steps.append(
                SupplySecret(
                    **self._common(
                        f"supply:{self._component.namespace}/{name}",
                        Action.CHECK if action is Action.KEEP else action,
                        reason,
                    ),
                    title=f"Write secret {name}",
                    after=(*after, *self._sources(keys)),
                    namespace=self._component.namespace,
                    name=name,
                    type=kind,
                    keys=keys,
                    labels=marks,
                    plain=plain,
                )
            )
        return [*steps, *self._revoked(after)]

    def _revoked(self, after: tuple[str, ...]) -> list[Step]:
        """Return what deletes the Secrets of entries that are in the configuration no more."""
        gone = tuple(
            ref
            for ref, found in sorted(self._observed.present.items())
            if labels.is_of_entry(found, self._component.name)
            and ref.name not in self._item.supplied
        )
        if not gone:
            return []
        common = self._common(
            f"revoke:{self._component.name}", Action.DELETE, "no longer in the configuration"
        )
        title = f"Delete log-ins of {self._component.title}"
        return [DeleteObjects(**common, title=title, after=after, objects=gone)]

    def _sources(self, keys: Mapping[str, str]) -> Iterator[str]:
        """Yield the steps that generate what other components provide for a Secret of this one."""
        sections = {path.partition(".")[0] for path in keys.values()}
        for item in self._wanted.components:
            if sections & item.component.provides.keys():
                for namespace, secret in item.component.generated(()):
                    yield f"secret:{namespace}/{secret.name}"
        for path in keys.values():
            if path.startswith(labels.GENERATED):
                yield path.rpartition("/")[0]

    def _crds(self) -> list[Step]:
        component, crds = self._component, self._component.crds
        if crds is None:
            return []
        digest = crds_digest(self._item.chart, crds)
        action, reason = _crds_action(component.name, digest, self._observed)
        back = self._crds_downgrade() if action is Action.UPDATE else None
        if back and self._is_back():
            # After a rollback. Newer definitions serve what older programs write, and lose nothing.
            action, reason = Action.KEEP, f"newer ones, of {back.old}, are there and stay"
            back = None
        return [
            ApplyCrds(
                **self._common(
                    f"crds:{component.name}", action, change.with_downgrade(reason, back)
                ),
                title=f"Apply the CRDs of {component.title}",
                after=("cluster",) if self._wanted.creates_cluster else (),
                timeout_s=120,
                release=self._spec(digest),
                crds=crds,
                digest=digest,
                downgrade=back,
            )
        ]

    def _crds_downgrade(self) -> Downgrade | None:
        """Return the step back from the chart that the definitions came from.

        Those that an older cto applied do not say which: it is that of the release then.
        """
        name = self._component.name
        mine = [item for item in self._observed.crds.values() if item.get(labels.COMPONENT) == name]
        told = [item for item in mine if labels.CHART in item]
        record = self._record()
        return change.downgrade(
            self._item.chart,
            told if told or record is None else (record.labels, record.deployed_labels),
        )

    def _spec(self, digest: str) -> ReleaseSpec:
        return ReleaseSpec(
            name=self._component.release,
            namespace=self._component.namespace,
            chart=self._item.chart,
            values=self._item.values,
            relocation=self._item.relocation,
            component=self._component.name,
            labels={**self._labels(), labels.DIGEST: digest},
        )

    def _labels(self) -> dict[str, str]:
        return release_labels(self._item, self._observed.kube_version)

    def _digest(self) -> str:
        return release_digest(self._item, self._observed.kube_version)

    def _record(self) -> ReleaseRecord | None:
        return self._observed.records.get(f"{self._component.namespace}/{self._component.release}")

    def _is_current(self) -> bool:
        """Whether the state's inventory is that of the wanted release."""
        return self._state is not None and self._state.digest == self._digest()

    def _release(self, after: tuple[str, ...]) -> ApplyRelease:
        component, chart = self._component, self._item.chart
        digest = self._digest()
        action, reason = self._release_action(digest)
        record = self._record()
        back = None
        if record and action is not Action.KEEP:
            back = change.downgrade(chart, (record.labels, record.deployed_labels))
        reason = change.with_downgrade(reason, back)
        verb = {Action.CREATE: "Install", Action.KEEP: "Keep"}.get(action, "Upgrade")
        return ApplyRelease(
            **self._common(f"release:{component.name}", action, reason),
            title=f"{'Downgrade' if back else verb} {component.title} {chart.version}",
            after=after,
            timeout_s=self._wanted.step_timeout_s,
            release=self._spec(digest),
            downgrade=back,
            installed=_versions(record),
        )

    def _is_back(self) -> bool:
        """Whether the release that is there is that of the wanted chart, or of an older one."""
        record = self._record()
        if record is None or not record.deployed:
            return False
        return change.downgrade(self._item.chart, (record.labels,)) is None

    def _release_action(self, digest: str) -> tuple[Action, str]:
        record = self._record()
        if record is None:
            return Action.CREATE, "not installed"
        if record.status.startswith(("pending-", "uninstalling")):
            return Action.REPAIR, f"an earlier run left it {record.status}"
        if not record.deployed:
            return Action.UPDATE, f"the last attempt is {record.status}"
        if record.labels.get(labels.DIGEST) != digest:
            return Action.UPDATE, change.reason(record.labels, self._labels())
        return self._objects_action()

    def _objects_action(self) -> tuple[Action, str]:
        if not self._is_current():
            return Action.REPAIR, "its objects are not known"
        missing = self._missing()
        if missing:
            return Action.REPAIR, change.missing(missing)
        return Action.KEEP, "unchanged"

    def _missing(self) -> list[ObjectRef]:
        objects = self._state.objects if self._state else ()
        return [ref for ref in objects if ref not in self._observed.present]

    def _manifests(
        self, moment: str, manifests: tuple[Manifest, ...], after: tuple[str, ...]
    ) -> list[Step]:
        marked = tuple(labels.marked(m, self._component.name, moment) for m in manifests)
        prune = self._prunable(moment, marked)
        if not marked and not prune:
            return []
        action, reason = self._manifests_action(marked, prune)
        return [
            ApplyManifests(
                **self._common(f"{moment}:{self._component.name}", action, reason),
                title=f"Apply the own objects of {self._component.title}",
                after=after,
                manifests=marked,
                prune=prune,
            )
        ]

    def _prunable(self, moment: str, wanted: tuple[Manifest, ...]) -> tuple[ObjectRef, ...]:
        """Return what the last run's inventory has and this one has not. Never by label search."""
        if self._state is None:
            return ()
        refs = {*map(ref_of, wanted), *self._own}
        known = self._observed.present
        gone = [
            ref
            for ref in self._state.glue
            if ref not in refs and ref in known and ref.kind not in self._component.data
        ]
        return tuple(ref for ref in gone if known[ref].get(labels.MOMENT, moment) == moment)

    def _manifests_action(
        self, manifests: tuple[Manifest, ...], prune: tuple[ObjectRef, ...]
    ) -> tuple[Action, str]:
        if prune:
            return Action.UPDATE, f"{len(prune)} no longer wanted"
        found = [self._observed.present.get(ref_of(manifest)) for manifest in manifests]
        if all(item is None for item in found):
            return Action.CREATE, "not there"
        digests_found = [(item or {}).get(labels.DIGEST) for item in found]
        if digests_found != [labels_of(manifest)[labels.DIGEST] for manifest in manifests]:
            return Action.UPDATE, "changed or missing"
        if not {ref_of(manifest) for manifest in manifests} <= self._glue():
            # A run died before it wrote them down: later runs could not prune them.
            return Action.UPDATE, "not in the inventory"
        return Action.KEEP, "unchanged"

    def _glue(self) -> set[ObjectRef]:
        return set(self._state.glue) if self._state else set()

    def _probe(self, after: str) -> Step:
        probe = self._component.ready.probe
        assert probe is not None  # noqa: S101 - the caller asked; for the type checker
        simulated = self._observed.simulated
        return ProbeService(
            **self._common(
                f"probe:{self._component.name}",
                Action.SKIP if simulated else Action.CHECK,
                "simulated: no program runs" if simulated else f"GET {probe.path}",
            ),
            title=f"{self._component.title} answers",
            after=(after,),
            timeout_s=120,
            namespace=self._component.namespace,
            probe=probe,
        )


def _versions(record: ReleaseRecord | None) -> tuple[str, str]:
    """Return chart and app of what is there: the one that was deployed, if the newest failed."""
    found = (record.labels if record.deployed else record.deployed_labels) if record else {}
    return found.get(labels.CHART, ""), found.get(labels.APP_VERSION, "")


def namespaces_of(item: DesiredComponent, observed: Observed) -> tuple[str, ...]:
    """Return the namespaces of a component that are ours: its own, and where its objects go.

    One that somebody else made is left as it is.
    """
    own = item.component.namespace
    found = observed.namespaces
    others = {ref_of(manifest).namespace for manifest in (*item.before, *item.after)} - {"", own}
    return own, *sorted(n for n in others if n not in found or labels.is_ours(found[n]))


def _crds_action(component: str, digest: str, observed: Observed) -> tuple[Action, str]:
    mine = [item for item in observed.crds.values() if item.get(labels.COMPONENT) == component]
    if not mine:
        return Action.CREATE, "not there"
    current = [item for item in mine if item.get(labels.DIGEST) == digest]
    if current and str(len(current)) == current[0].get(labels.CRD_COUNT):
        return Action.KEEP, "unchanged"
    return Action.UPDATE, "changed or missing"
