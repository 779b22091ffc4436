"""What each kind of step does. Every one may be run again: it looks first, and mends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event as Flag

from cto.engine import immutable, secretsteps
from cto.engine.definitions import CrdSource
from cto.engine.gone import GoneWait, pods_of
from cto.engine.listcache import ObservationCache
from cto.engine.namespaces import why_kept
from cto.engine.nodeports import ReservedPorts, refused_ports
from cto.engine.observe import inventory
from cto.engine.planned import HOOK
from cto.engine.queries import heals
from cto.engine.repair import Repair
from cto.engine.secretsteps import SecretValues
from cto.engine.state import StateStore
from cto.engine.verdict import Wait
from cto.engine.waiting import ReadyWait
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, Cancelled, CtoError, ToolError, WaitError
from cto.objects import Manifest, ObjectRef, annotations_of, is_being_deleted, ref_of
from cto.plan import labels
from cto.plan.changes import Action
from cto.plan.observed import ReleaseState
from cto.plan.steps import (
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    Certify,
    DeleteNamespace,
    DeleteObjects,
    DeleteState,
    EnsureNamespace,
    GenerateSecret,
    Note,
    ProbeService,
    RemovePullSecret,
    RepairObjects,
    RollbackRelease,
    Step,
    SupplyPullSecret,
    SupplySecret,
    UninstallRelease,
    WaitReady,
)
from cto.ports import Clock, Cluster, Releases

_LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Carries single steps out. Methods block; waiting is left to the engine's loop."""

    cluster: Cluster
    releases: Releases
    store: StateStore
    clock: Clock
    live: WatchCache
    secret_values: SecretValues
    crds_of: CrdSource
    ports: ReservedPorts
    observation: ObservationCache

    def run(self, step: Step, cancel: Flag) -> Wait | str:
        """Do what the step says.

        Returns:
            What still has to come true, or a line about what was done ('' if the title says it).

        Raises:
            CtoError: Naming the component, whatever failed.
        """
        try:
            return self._run(step, cancel)
        except (ApiError, ToolError) as error:
            if not step.component or step.component in error.message:
                raise
            raise _about(step.component, error) from error

    def _run(  # noqa: C901, PLR0911, PLR0912 - one branch per kind of step
        self, step: Step, cancel: Flag
    ) -> Wait | str:
        match step:
            case EnsureNamespace():
                self._ensure_namespace(step, cancel)
            case (
                GenerateSecret()
                | SupplySecret()
                | Certify()
                | SupplyPullSecret()
                | RemovePullSecret()
            ):
                return secretsteps.run(self.cluster, step, self.secret_values)
            case ApplyCrds():
                return self._apply_crds(step)
            case ApplyManifests():
                return self._apply_manifests(step)
            case ApplyRelease():
                return self._apply_release(step, cancel)
            case RollbackRelease():
                return self._roll_back(step, cancel)
            case RepairObjects():
                for manifest in step.manifests:
                    self.cluster.apply(manifest, manager=step.manager)
            case WaitReady():
                return self._wait_ready(step)
            case ProbeService():
                return self._probe(step, cancel)
            case DeleteObjects():
                return self._delete(step.objects)
            case UninstallRelease():
                return self._uninstall(step)
            case DeleteNamespace():
                return self._delete_namespace(step)
            case DeleteState():
                self._forget(step)
            case Note():
                return step.reason
            case _:
                text = f"no way to run {step}"
                raise TypeError(text)
        return ""

    def _view(self) -> tuple[WatchCache, Cluster, Clock]:
        return self.live, self.cluster, self.clock

    def _ensure_namespace(self, step: EnsureNamespace, cancel: Flag) -> None:
        """Apply the namespace, after the end of one that is still being deleted."""
        ref = ref_of(step.manifest)
        end = self.clock.monotonic() + step.timeout_s
        while (there := self.cluster.get(ref)) and is_being_deleted(there):
            if self.clock.monotonic() >= end:
                message = f"{ref} is being deleted, and does not go"
                raise WaitError("CTO-1709", message, details=f"kubectl describe ns {ref.name}")
            if self.clock.wait(cancel, _LOOK_S):
                raise Cancelled
        self.cluster.apply(step.manifest)

    def _apply_crds(self, step: ApplyCrds) -> Wait:
        manifests = self.crds_of(step)
        ours = {
            labels.MANAGED_BY: labels.OWNER,
            labels.COMPONENT: step.component,
            labels.DIGEST: step.digest,
            labels.CRD_COUNT: str(len(manifests)),
            labels.CHART: step.release.labels[labels.CHART],
        }
        for manifest in manifests:
            self.cluster.apply(labels.labelled(manifest, ours))
        return ReadyWait([ref_of(manifest) for manifest in manifests], *self._view())

    def _apply_manifests(self, step: ApplyManifests) -> str:
        for manifest in step.manifests:
            self.cluster.apply(manifest)
        # Known before anything is pruned: a kill in between must not lose track of them.
        self._record_glue(step.component, {ref_of(m) for m in step.manifests}, set())
        for ref in step.prune:
            self.cluster.delete(ref)
        self._record_glue(step.component, set(), set(step.prune))
        return f"pruned {len(step.prune)}" if step.prune else ""

    def _record_glue(self, component: str, added: set[ObjectRef], gone: set[ObjectRef]) -> None:
        known = self.store.release(component) or _nothing(component)
        glue = tuple(sorted((set(known.glue) | added) - gone))
        if glue != known.glue:
            self.store.record(replace(known, glue=glue))

    def _apply_release(self, step: ApplyRelease, cancel: Flag) -> str:
        spec = step.release
        repair = Repair(self.cluster, self.releases, step.timeout_s)
        done = repair.run(spec.name, spec.namespace)
        if step.action is Action.UPDATE:
            version = self.cluster.server_version()
            rendered = self.releases.template(spec, kube_version=version)
            immutable.prepare(self.cluster, rendered, spec.namespace)
        known = self.store.release(step.component) or _nothing(step.component)
        if known.digest == spec.labels[labels.DIGEST]:
            # What a run that dies now leaves must not pass for what the state knows to be good.
            self.store.record(replace(known, digest=""))
        self._delete_replaced(step.replaced, cancel, self.clock.monotonic() + step.timeout_s)
        made = self._upgrade(step, cancel)
        objects = [item for item in made if HOOK not in annotations_of(item)]
        hooks = [item for item in made if HOOK in annotations_of(item)]
        self.store.record(
            replace(
                known,
                hooks=self._left(known, hooks, spec.namespace),
                release=spec.name,
                namespace=spec.namespace,
                digest=spec.labels[labels.DIGEST],
                chart=spec.labels[labels.CHART],
                objects=inventory(self.cluster, objects, spec.namespace),
            )
        )
        return done

    def _delete_replaced(self, refs: Sequence[ObjectRef], cancel: Flag, end_s: float) -> None:
        """Delete what cannot become what it is to be; Helm makes it again."""
        for ref in refs:
            self.cluster.delete(ref)
        for ref in refs:
            while self.cluster.get(ref) is not None:
                if self.clock.monotonic() >= end_s:
                    message = f"{ref} is being deleted, and does not go"
                    raise WaitError("CTO-1709", message)
                if self.clock.wait(cancel, _LOOK_S):
                    raise Cancelled

    def _roll_back(self, step: RollbackRelease, cancel: Flag) -> str:
        done = Repair(self.cluster, self.releases, step.timeout_s).run(step.release, step.namespace)
        wanted = self.releases.manifest(step.release, step.namespace, revision=step.revision)
        immutable.prepare(self.cluster, wanted, step.namespace)
        # What could not become what it is can not become what it was, either.
        replaced = tuple(immutable.to_be_made_again(self.cluster, wanted, step.namespace))
        self._delete_replaced(replaced, cancel, self.clock.monotonic() + step.timeout_s)
        # Until it is back, nobody may take what is there for what the state knows.
        self.store.record(replace(step.known, digest=""))
        self.releases.rollback(
            step.release, step.namespace, step.revision, timeout_s=step.timeout_s
        )
        self.store.record(step.known)
        return done

    def _left(
        self, known: ReleaseState, hooks: Sequence[Manifest], namespace: str
    ) -> tuple[ObjectRef, ...]:
        """Return what hooks left: of this revision, and of those before it."""
        return tuple(sorted({*known.hooks, *inventory(self.cluster, hooks, namespace)}))

    def _upgrade(self, step: ApplyRelease, cancel: Flag) -> Sequence[Manifest]:
        """Call Helm; again if all that was in the way were ports that an earlier run left."""
        spec = step.release
        while True:
            try:
                return self.releases.upgrade(spec, timeout_s=step.timeout_s, cancel=cancel)
            except ToolError as error:
                if not refused_ports(error):
                    raise
                self.ports.wait(spec.name, spec.namespace, error, cancel)

    def _wait_ready(self, step: WaitReady) -> Wait | str:
        known = self.store.release(step.component)
        objects = step.objects or (known.objects if known else ())
        if self.observation.shows_ready(objects):
            return ""
        # It will be another sight when they are.
        self.observation.drop()
        return ReadyWait(objects, *self._view())

    def _probe(self, step: ProbeService, cancel: Flag) -> str:
        probe = step.probe
        end = self.clock.monotonic() + step.timeout_s
        while self.clock.monotonic() < end:
            try:
                status = self.cluster.probe(
                    step.namespace, probe.service, probe.port, probe.path, probe.scheme
                )
            except ApiError as error:
                # A program that is slow to begin lets the server wait until it gives up.
                if not heals(error):
                    raise
            else:
                if 200 <= status < 400:
                    return f"{status} from {probe.path}"
            if self.clock.wait(cancel, _LOOK_S):
                raise Cancelled
        message = f"{step.title}: no good answer from {probe.service}:{probe.port}{probe.path}"
        raise WaitError("CTO-1700", message)

    def _delete(self, refs: Sequence[ObjectRef]) -> Wait:
        pods = pods_of(self.cluster, refs)
        for ref in refs:
            self.cluster.delete(ref)
        return GoneWait((*refs, *pods), *self._view())

    def _uninstall(self, step: UninstallRelease) -> Wait:
        objects = self.releases.manifest(step.release, step.namespace)
        hooks = self.releases.hooks(step.release, step.namespace)
        policy = "helm.sh/resource-policy"
        going = [item for item in objects if annotations_of(item).get(policy) != "keep"]
        refs = inventory(self.cluster, going, step.namespace)
        pods = pods_of(self.cluster, refs)
        # Helm leaves what its hooks made: https://github.com/helm/helm/issues/5156
        # A run that dies now leaves it to the next one, which finds no release to ask.
        known = self.store.release(step.component) or _nothing(step.component)
        leftovers = self._left(known, hooks, step.namespace)
        if leftovers != known.hooks:
            self.store.record(replace(known, hooks=leftovers))
        self.releases.uninstall(step.release, step.namespace, timeout_s=step.timeout_s, wait=False)
        for ref in leftovers:
            self.cluster.delete(ref)
        return GoneWait((*refs, *leftovers, *pods), *self._view())

    def _delete_namespace(self, step: DeleteNamespace) -> Wait | str:
        kept = why_kept(self.cluster, step.namespace)
        return kept or self._delete([ObjectRef("v1", "Namespace", "", step.namespace)])

    def _forget(self, step: DeleteState) -> None:
        if step.everything:
            self.store.delete()
            return
        for component in step.components:
            self.store.forget(component)


def _about(component: str, error: ApiError | ToolError) -> CtoError:
    message = f"{component}: {error.message}"
    if isinstance(error, ToolError):
        return ToolError(error.code, message, details=error.details, hint=error.hint)
    return ApiError(
        error.code,
        message,
        status=error.status,
        reason=error.reason,
        details=error.details,
        hint=error.hint,
        causes=error.causes,
    )


def _nothing(component: str) -> ReleaseState:
    return ReleaseState(component=component, release="", namespace="", digest="", chart="")
