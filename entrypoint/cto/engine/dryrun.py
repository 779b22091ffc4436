"""Asks the API server, before anything is changed, what it will say to the plan's changes.

A field that cannot be changed would be found in the middle of a run otherwise, by Helm. The dry run
of every object of a release that changes costs some milliseconds each; a first installation and an
unchanged one have none.
https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cto.engine import definitions, immutable, managers
from cto.engine.definitions import CrdSource
from cto.engine.differences import change_of
from cto.engine.immutable import narrowed
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of, ref_of
from cto.plan.changes import Action, FieldChange, ObjectChange, TakenBack
from cto.plan.observed import Observed
from cto.plan.steps import ApplyManifests, ApplyRelease, Plan, Step
from cto.ports import Cluster, Releases
from cto.result import Check, Topic

_DRY_RUN = Topic("dry-run", "Dry run of what changes")
_DRY_RUN_DOUBTS = Topic("dry-run-doubts", "Dry run of what changes")

REPLACE = "--replace"
_HELM = "helm"
_CTO = "cto"
_RENDERED_AT_ONCE = 4
_PARALLEL = 8
_CHANGES = frozenset({Action.CREATE, Action.UPDATE, Action.REPAIR})
# A reservation that a killed request left: the run waits for its end, see engine.nodeports.
_PORT_TAKEN = "provided port is already allocated"
# What a run mends first, see engine.immutable.
_ROLLING = "spec.strategy.rollingUpdate"
_INVALID = 422
_SHOWN = 10
_UNKNOWN = 404

_Targets = frozenset[tuple[str, str]]
"""kind and name of what autoscalers scale"""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """One object to be tried, and for which step."""

    step: ApplyRelease | ApplyManifests
    manager: str
    manifest: Manifest
    ref: ObjectRef


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What the API server says to one object.

    Attributes:
        fields: What it refuses to change, with the reason.
        doubt: Why that may not be known.
    """

    trial: _Trial
    fields: tuple[tuple[str, str], ...] = ()
    doubt: str = ""
    taken: tuple[TakenBack, ...] = ()
    change: ObjectChange | None = None

    @property
    def is_replaceable(self) -> bool:
        """Whether all that is refused can be deleted and made again without losing data."""
        of_release = isinstance(self.trial.step, ApplyRelease)
        return bool(self.fields) and of_release and immutable.is_made_again(self.trial.ref)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """Tries a plan's changes out.

    Attributes:
        may_replace: Whether what cannot become what it is to be may be deleted and made again.
    """

    cluster: Cluster
    releases: Releases
    crds_of: CrdSource
    may_replace: bool = False

    def tried(self, plan: Plan, observed: Observed) -> Plan:
        """Return the plan with what it would take back, and with what speaks against it.

        Raises:
            ToolError: A chart cannot be rendered.
        """
        trials = self._trials(plan, observed)
        namespaces = sorted({trial.ref.namespace for trial in trials if trial.ref.namespace})
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="dry-run") as pool:
            told = zip(namespaces, pool.map(self._autoscalers, namespaces), strict=True)
            scaled = dict(told)
            answers = list(pool.map(lambda trial: self._try(trial, scaled), trials))
        answers = [self._with_consent(answer) for answer in answers]
        lost = definitions.lost_versions(self.cluster, plan, self.crds_of)
        checks = (*definitions.checks(plan, lost), *_checks(plan, answers))
        return replace(
            plan,
            steps=tuple(_with_answers(step, answers, observed) for step in plan.steps),
            checks=(*plan.checks, *checks),
        )

    def _with_consent(self, answer: _Answer) -> _Answer:
        if not (self.may_replace and answer.is_replaceable):
            return answer
        refused = tuple(FieldChange(name) for name, _ in answer.fields)
        change = ObjectChange(
            ref=answer.trial.ref, action=Action.REPAIR, restarts=True, fields=refused
        )
        return replace(answer, fields=(), change=change)

    def _trials(self, plan: Plan, observed: Observed) -> list[_Trial]:
        releases = [
            step
            for step in plan.steps
            if isinstance(step, ApplyRelease) and _may_meet_others(step, observed)
        ]
        with ThreadPoolExecutor(_RENDERED_AT_ONCE, thread_name_prefix="render") as pool:
            rendered = list(
                pool.map(
                    lambda step: self.releases.template(
                        step.release, kube_version=observed.kube_version
                    ),
                    releases,
                )
            )
        owned = [
            step
            for step in plan.steps
            if isinstance(step, ApplyManifests) and step.action in {Action.UPDATE, Action.REPAIR}
        ]
        if not (releases or owned):
            return []
        scopes = self._scopes(plan)
        return [
            *(
                trial
                for step, manifests in zip(releases, rendered, strict=True)
                for trial in _of_release(step, manifests, scopes)
            ),
            *(
                _Trial(step=step, manager=_CTO, manifest=manifest, ref=ref_of(manifest))
                for step in owned
                for manifest in step.manifests
                if (manifest["apiVersion"], manifest["kind"]) in scopes
            ),
        ]

    def _scopes(self, plan: Plan) -> Mapping[tuple[str, str], bool]:
        """Return the kinds that can be tried now, and whether they are in namespaces.

        Not those whose definition changes before: the new fields are not known yet.
        """
        changing = {
            crd["spec"]["group"]
            for step in definitions.changing(plan)
            for crd in self.crds_of(step)
        }
        return {
            (kind.api_version, kind.kind): kind.namespaced
            for kind in self.cluster.kinds()
            if kind.api_version.rpartition("/")[0] not in changing
        }

    def _autoscalers(self, namespace: str) -> _Targets:
        try:
            found = self.cluster.list(
                "autoscaling/v2", "HorizontalPodAutoscaler", namespace=namespace
            )
        except ApiError:
            # Who may not list them gets a line too many.
            return frozenset()
        return managers.scaled_by_autoscalers(found)

    def _try(self, trial: _Trial, scaled: Mapping[str, _Targets]) -> _Answer:
        live: Manifest | None = None
        try:
            live = self.cluster.get(trial.ref, managed_fields=True)
            after = self.cluster.apply(trial.manifest, dry_run=True, manager=trial.manager)
        except ApiError as error:
            return _refused(trial, error, live or {})
        change = change_of(trial.ref, live, after)
        if live is None:
            return _Answer(trial=trial, change=change)
        targets = scaled.get(trial.ref.namespace, frozenset())
        taken = managers.taken_back(trial.ref, live, after, targets)
        return _Answer(trial=trial, taken=taken, change=change)


def _may_meet_others(step: ApplyRelease, observed: Observed) -> bool:
    """Whether objects of the release may be there: else there is nothing that cannot be changed."""
    if step.action is Action.CREATE:
        return step.release.namespace in observed.namespaces
    return step.action in _CHANGES


def _of_release(
    step: ApplyRelease, manifests: Iterable[Manifest], scopes: Mapping[tuple[str, str], bool]
) -> Iterator[_Trial]:
    spec = step.release
    for manifest in manifests:
        namespaced = scopes.get((manifest["apiVersion"], manifest["kind"]))
        if namespaced is None or "helm.sh/hook" in annotations_of(manifest):
            continue
        marked = as_helm_would(manifest, spec.name, spec.namespace, namespaced=namespaced)
        yield _Trial(step=step, manager=_HELM, manifest=marked, ref=ref_of(marked))


def as_helm_would(
    manifest: Manifest, release: str, namespace: str, *, namespaced: bool
) -> Manifest:
    """Return a rendered object as Helm applies it: in its place, with the marks of its release."""
    metadata = {
        **manifest["metadata"],
        "labels": {**labels_of(manifest), "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            **annotations_of(manifest),
            "meta.helm.sh/release-name": release,
            "meta.helm.sh/release-namespace": namespace,
        },
    }
    if namespaced:
        metadata.setdefault("namespace", namespace)
    else:
        metadata.pop("namespace", None)
    return {**manifest, "metadata": metadata}


def _is_mended_before(trial: _Trial, error: ApiError) -> bool:
    return bool(error.causes) and all(
        (trial.ref.kind == "Deployment" and name.startswith(_ROLLING)) or _PORT_TAKEN in text
        for name, text in error.causes
    )


def _refused(trial: _Trial, error: ApiError, live: Manifest) -> _Answer:
    if _is_mended_before(trial, error) or error.status == _UNKNOWN or error.reason == "Conflict":
        return _Answer(trial=trial)
    if error.status == _INVALID:
        causes = error.causes or (("", error.message),)
        fields = ((narrowed(name, text, trial.manifest, live), text) for name, text in causes)
        return _Answer(trial=trial, fields=tuple(fields))
    return _Answer(trial=trial, doubt=error.message)


def _with_answers(step: Step, answers: Sequence[_Answer], observed: Observed) -> Step:
    """Return the step with what it takes back, and what it changes about which object."""
    if not isinstance(step, ApplyRelease | ApplyManifests):
        return step
    mine = [answer for answer in answers if answer.trial.step.id == step.id]
    taken = tuple(one for answer in mine for one in answer.taken)
    changes = [answer.change for answer in mine if answer.change]
    if isinstance(step, ApplyRelease) and mine:
        changes += _dropped(step, {answer.trial.ref for answer in mine}, observed)
    return replace(step, takes_back=taken, objects=tuple(changes)) if taken or changes else step


def _dropped(
    step: ApplyRelease, wanted: AbstractSet[ObjectRef], observed: Observed
) -> Iterator[ObjectChange]:
    """Yield what the release has now and is not to have any more: Helm deletes it."""
    known = observed.state.releases.get(step.component) if observed.state else None
    names = {_name(ref) for ref in wanted}
    for ref in known.objects if known else ():
        if _name(ref) not in names and ref in observed.present:
            yield ObjectChange(ref=ref, action=Action.DELETE)


def _name(ref: ObjectRef) -> tuple[str, str, str, str]:
    """Return what an object is called whatever version of its kind it is asked for in."""
    return ref.group, ref.kind, ref.namespace, ref.name


def _checks(plan: Plan, answers: Sequence[_Answer]) -> Iterator[Check]:
    refused = [answer for answer in answers if answer.fields]
    if refused:
        yield _DRY_RUN.failed(
            _many(len(refused), "would be refused by the API server"),
            fix="\n".join(_fix(refused, plan.context)),
            code="CTO-1471",
            items=tuple(line for answer in refused for line in _refusal_lines(answer, plan)),
        )
    doubts = [answer for answer in answers if answer.doubt]
    if doubts:
        yield _DRY_RUN_DOUBTS.warning(
            _many(len(doubts), "could not be tried, or were denied"),
            fix="What denies a dry run will most likely deny the change itself.",
            items=_cut([f"{_owner(one.trial, plan)}: {one.doubt}" for one in doubts]),
        )


def _cut(items: Sequence[str]) -> tuple[str, ...]:
    """Return the first of many lines, and how many there are more."""
    more = len(items) - _SHOWN
    return (*items[:_SHOWN], *([f"and {more} more"] if more > 0 else []))


def _many(count: int, what: str) -> str:
    return f"{count} object{'' if count == 1 else 's'} {what}"


def _refusal_lines(answer: _Answer, plan: Plan) -> Iterator[str]:
    for name, text in answer.fields:
        told = f"{name}: {text}" if name and text else name or text
        yield f"{_owner(answer.trial, plan)}: {answer.trial.ref}: {told}"


def _owner(trial: _Trial, plan: Plan) -> str:
    titles = {component.name: component.title for component in plan.components}
    title = titles.get(trial.step.component, trial.step.component)
    if isinstance(trial.step, ApplyRelease):
        chart = trial.step.release.chart
        return f"{title} (chart {chart.name} {chart.version})"
    return title


def _fix(refused: Sequence[_Answer], context: str) -> Iterator[str]:
    yield (
        "Undo what changes the field (components.NAME.values, or the chart's version), or look at "
        "the object and delete it: the same command makes it anew."
    )
    if all(answer.is_replaceable for answer in refused):
        yield f"Or let cto do that, one after the other: {REPLACE}"
    for answer in refused:
        fields = tuple(name for name, _ in answer.fields)
        yield from immutable.lines(answer.trial.ref, context, fields=fields)
