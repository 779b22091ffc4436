"""The five health checks of the platform."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from cto.engine.causes import causes_of
from cto.engine.evidence import ClaimLookup, Evidence
from cto.engine.live import Lacking, nothing_lacks
from cto.engine.lookups import Group, grouped
from cto.engine.permissions import Right
from cto.engine.readiness import conditions_of, status_of
from cto.engine.snapshot import Snapshot
from cto.errors import KINDS, ApiError
from cto.objects import Manifest, ObjectRef, is_simulated
from cto.plan.observed import ReleaseState, State
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus

_DEGRADED = "CTO-1900"
_REPAIR = "Run `cto install` again: it repairs what was changed or deleted."
_AGENTS = "agents.platform"


# What bundle/components/controller installs, and the ServiceAccounts that its chart makes.
CONTROLLER = "controller"
_CONTROLLERS_ACCOUNT = "controller"
_AGENTS_ACCOUNT = "cto-agent"


@dataclass(frozen=True, kw_only=True)
class HealthContext:
    """What the checks look at.

    Attributes:
        state: What is installed; None if nothing is.
        titles: For people, by component.
        simulated: What only a running program could answer is skipped.
        lacking: Says which images the bundle lacks.
        view: What was just seen, if anything was.
    """

    cluster: Cluster
    clock: Clock
    state: State | None
    titles: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    lacking: Lacking = nothing_lacks
    view: Snapshot | None = None

    @property
    def releases(self) -> Sequence[ReleaseState]:
        return tuple(self.state.releases.values()) if self.state else ()

    def refs(self) -> Iterator[ObjectRef]:
        for release in self.releases:
            yield from _inventory(release)


def run_checks(context: HealthContext) -> tuple[Check, ...]:
    """Run all checks, at once where that pays; none changes anything."""
    first = _timed(context, _KUBERNETES)
    if first.status is CheckStatus.FAILED:
        reason = "the API server could not be asked"
        return first, *(_skipped(check, reason) for check in _OTHERS)
    with ThreadPoolExecutor(len(_OTHERS), thread_name_prefix="check") as pool:
        others = pool.map(lambda check: _timed(context, check), _OTHERS)
        return first, *others


@dataclass(frozen=True)
class _Definition:
    name: str
    title: str
    run: Callable[[HealthContext, _Definition], Check]


def _timed(context: HealthContext, definition: _Definition) -> Check:
    began = context.clock.monotonic()
    try:
        check = definition.run(context, definition)
    except ApiError as error:
        check = _failed(definition, error.message, code=error.code, fix=error.hint)
    return replace(check, seconds=context.clock.monotonic() - began)


def _passed(definition: _Definition, message: str) -> Check:
    return Check(
        name=definition.name,
        title=definition.title,
        status=CheckStatus.PASSED,
        message=message,
    )


def _skipped(definition: _Definition, message: str) -> Check:
    return replace(_passed(definition, message), status=CheckStatus.SKIPPED)


def _failed(
    definition: _Definition,
    message: str,
    *,
    code: str = _DEGRADED,
    fix: str = "",
    items: tuple[str, ...] = (),
) -> Check:
    return Check(
        name=definition.name,
        title=definition.title,
        status=CheckStatus.FAILED,
        message=message,
        fix=fix or (_REPAIR if code == _DEGRADED else KINDS[code].fix),
        code=code,
        items=items,
    )


def _kubernetes(context: HealthContext, definition: _Definition) -> Check:
    version = context.cluster.server_version()
    nodes = context.cluster.list("v1", "Node")
    unready = [
        node["metadata"]["name"]
        for node in nodes
        if conditions_of(node).get("Ready", {}).get("status") != "True"
    ]
    kind = "simulated nodes" if context.simulated else "nodes"
    message = f"{version} answers, {len(nodes) - len(unready)} of {len(nodes)} {kind} ready"
    fakes = [node["metadata"]["name"] for node in nodes if is_simulated(node)]
    if fakes and not context.simulated:
        message += f"; {', '.join(fakes)} simulated"
    if len(unready) == len(nodes):
        fix = "Look at `kubectl describe nodes`: without a ready node no pod runs."
        return _failed(definition, message, fix=fix, items=tuple(unready))
    if unready:
        return replace(
            _passed(definition, message),
            status=CheckStatus.WARNING,
            fix=f"Look at `kubectl describe node {unready[0]}`.",
            items=tuple(unready),
        )
    return _passed(definition, message)


@dataclass(frozen=True)
class _Problem:
    text: str
    code: str = _DEGRADED


def _components(context: HealthContext, definition: _Definition) -> Check:
    releases = context.releases
    if not releases:
        return _failed(definition, "the platform is not installed", code="CTO-1901")
    view = context.view or Snapshot(context.cluster, context.lacking)
    view.fetch(_groups(context.refs()))
    problems = {release.component: list(_problems(context, view, release)) for release in releases}
    bad = {component: found for component, found in problems.items() if found}
    message = f"{len(problems) - len(bad)} of {len(problems)} components ready"
    if not bad:
        return _passed(definition, message)
    names = ", ".join(context.titles.get(component, component) for component in bad)
    worst = next((p for found in bad.values() for p in found if p.code != _DEGRADED), None)
    return _failed(
        definition,
        f"{message}; not ready: {names}",
        code=worst.code if worst else _DEGRADED,
        items=tuple(
            f"{context.titles.get(component, component)}: {problem.text}"
            for component, found in bad.items()
            for problem in found
        ),
    )


def _inventory(release: ReleaseState) -> tuple[ObjectRef, ...]:
    return (*release.objects, *release.glue)


def _groups(refs: Iterable[ObjectRef]) -> Sequence[Group]:
    # The longest answers first: they are decoded while the short ones are on their way.
    return sorted(grouped(refs), key=lambda group: group[1] in {"Service", "Secret"})


def _problems(context: HealthContext, view: Snapshot, release: ReleaseState) -> Iterator[_Problem]:
    lookup = ClaimLookup(view)
    evidences: dict[str, Evidence] = {}
    for ref in _inventory(release):
        manifest = view.objects(ref.api_version, ref.kind, ref.namespace).get(ref.name)
        if manifest is None:
            # Jobs may be deleted by their time to live when they have done their work.
            if ref.kind != "Job":
                yield _Problem(f"{ref} is missing")
            continue
        readiness = status_of(manifest, lookup)
        if readiness.ready:
            continue
        evidence = evidences.setdefault(
            ref.namespace, Evidence(view, ref.namespace, context.clock.now)
        )
        causes = causes_of(evidence, manifest)
        text = f"{ref.kind} {ref.name} {readiness.message}"
        if causes:
            yield _Problem(f"{text}: {causes[0].message}", causes[0].code)
        else:
            yield _Problem(text)


def _github(_context: HealthContext, definition: _Definition) -> Check:
    return _skipped(definition, "not part of this version: agents cannot reach GitHub yet")


def _webhooks(context: HealthContext, definition: _Definition) -> Check:
    if context.simulated:
        return _skipped(definition, "simulated: only a running receiver could answer")
    sources = [ref for ref in context.refs() if ref.kind == "EventSource"]
    if not sources:
        return _skipped(definition, "no receiver for webhooks is installed")
    # A pod on a node of kwok's is ready at once, and hears nothing.
    nodes = context.cluster.list_metadata("v1", "Node")
    fakes = {node["metadata"]["name"] for node in nodes if is_simulated(node)}
    deaf = [source for source in sources if not _listens(context.cluster, source, fakes)]
    message = f"{len(sources) - len(deaf)} of {len(sources)} receivers listen"
    if not deaf:
        return _passed(definition, message)
    fix = f"Look at `kubectl -n {deaf[0].namespace} describe eventsource,pods`."
    return _failed(definition, message, fix=fix, items=tuple(map(str, deaf)))


def _listens(cluster: Cluster, source: ObjectRef, fakes: Collection[str]) -> bool:
    # https://argoproj.github.io/argo-events/eventsources/services/ names the label.
    label = f"eventsource-name={source.name}"
    pods = cluster.list("v1", "Pod", namespace=source.namespace, labels=label)
    return any(
        status_of(pod).ready and pod.get("spec", {}).get("nodeName") not in fakes for pod in pods
    )


# Of whoever asks for the health: a dry run.
OF_THE_CONTROLLER = (Right("create", _AGENTS, "coderuns"),)


@dataclass(frozen=True)
class _Permission:
    """Something that a ServiceAccount must be allowed to do for an agent's run."""

    account: str
    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        group = f" ({self.group})" if self.group else ""
        return f"ServiceAccount {self.account}: {self.verb} {self.resource}{group}"


# The controller turns a CodeRun into a Job with its configuration; the agent follows its run.
_NEEDED = (
    _Permission(_AGENTS_ACCOUNT, "get", _AGENTS, "coderuns"),
    _Permission(_AGENTS_ACCOUNT, "watch", _AGENTS, "coderuns"),
    _Permission(_CONTROLLERS_ACCOUNT, "watch", _AGENTS, "coderuns"),
    _Permission(_CONTROLLERS_ACCOUNT, "patch", _AGENTS, "coderuns/status"),
    _Permission(_CONTROLLERS_ACCOUNT, "create", "batch", "jobs"),
    _Permission(_CONTROLLERS_ACCOUNT, "create", "", "configmaps"),
    _Permission(_CONTROLLERS_ACCOUNT, "get", "", "secrets"),
)


def _agents(context: HealthContext, definition: _Definition) -> Check:
    release = next((r for r in context.releases if r.component == CONTROLLER), None)
    if release is None:
        return _skipped(definition, "the Multi-Agent Controller is not installed")
    with ThreadPoolExecutor(len(_NEEDED), thread_name_prefix="review") as pool:
        answers = pool.map(lambda wanted: _allowed(context, release.namespace, wanted), _NEEDED)
        refused = [wanted for wanted, answer in zip(_NEEDED, answers, strict=True) if not answer]
    if refused:
        message = f"{len(refused)} of {len(_NEEDED)} permissions for a run are missing"
        return _failed(definition, message, items=tuple(map(str, refused)))
    context.cluster.create(_code_run(release.namespace), dry_run=True)
    return _passed(definition, "permissions are there, and a CodeRun would be accepted")


def _allowed(context: HealthContext, namespace: str, wanted: _Permission) -> bool:
    resource, _, subresource = wanted.resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:{wanted.account}",
            "groups": [
                "system:authenticated",
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
            ],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": wanted.verb,
                "group": wanted.group,
                "resource": resource,
                "subresource": subresource,
            },
        },
    }
    answer = context.cluster.create(review)
    return bool(answer.get("status", {}).get("allowed"))


def _code_run(namespace: str) -> Manifest:
    return {
        "apiVersion": f"{_AGENTS}/v1",
        "kind": "CodeRun",
        "metadata": {"name": "cto-health-check", "namespace": namespace},
        "spec": {
            "taskId": 1,
            "service": "health-check",
            "repositoryUrl": "https://github.com/example/example",
            "docsRepositoryUrl": "https://github.com/example/example",
            "workingDirectory": ".",
            "model": "none",
            "githubApp": "none",
        },
    }


_KUBERNETES = _Definition("kubernetes", "Kubernetes", _kubernetes)
_OTHERS = (
    _Definition("components", "Core components", _components),
    _Definition("github", "GitHub", _github),
    _Definition("webhooks", "Webhook delivery", _webhooks),
    _Definition("agents", "Agent readiness", _agents),
)
