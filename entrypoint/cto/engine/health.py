"""The five health checks of the platform."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

from cto.catalog import Probe
from cto.engine import agents, controlplane
from cto.engine.agentsettings import Settings
from cto.engine.answering import ProbeAnswer, Program, ask_all, kwok_fix, look_at_nodes
from cto.engine.cache import Group, grouped
from cto.engine.causes import causes_of
from cto.engine.evidence import ClaimLookup, Evidence
from cto.engine.listcache import ListCache
from cto.engine.look import HealthContext, Look, inventory
from cto.engine.readiness import status_of
from cto.errors import KINDS, ApiError, ConfigError, CtoError
from cto.objects import Manifest, ObjectRef
from cto.plan.observed import ReleaseState, State
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus, Topic

_DEGRADED = "CTO-1900"
# Not `cto install`: without the files that it had, it would put defaults in their place.
_REPAIR = "Run `cto upgrade`: it repairs what was changed or deleted, with what was configured."
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}


def run_checks(context: HealthContext) -> tuple[Check, ...]:
    """Run all checks at once; none changes anything."""
    began = context.clock.monotonic()
    try:
        version = context.cluster.server_version()
    except ApiError as error:
        first = _refused(_KUBERNETES, error)
        reason = "the API server could not be asked"
        first = _begun(first, began, context.clock)
        return first, *(check.skipped(reason) for check in _OTHERS)
    view = context.view or ListCache(context.cluster, context.lacking)
    with ThreadPoolExecutor(len(_OTHERS) + 4, thread_name_prefix="check") as pool:
        look = Look(
            **{**_fields(context), "view": view},
            version=version,
            nodes=pool.submit(look_at_nodes, context.cluster, view),
            asked=pool.submit(ask_all, context.cluster, context.programs()),
            silent_programs=pool.submit(controlplane.silent, context.cluster),
        )
        kubernetes = pool.submit(_timed, look, _KUBERNETES)
        others = pool.map(lambda check: _timed(look, check), _OTHERS)
        return _begun(kubernetes.result(), began, context.clock), *others


def _fields(context: HealthContext) -> dict[str, Any]:
    return {item.name: getattr(context, item.name) for item in fields(context)}


@dataclass(frozen=True)
class _Definition(Topic):
    run: Callable[[Look, Topic], Check]


def _timed(look: Look, definition: _Definition) -> Check:
    began = look.clock.monotonic()
    try:
        check = definition.run(look, definition)
    except (ApiError, ConfigError) as error:
        check = _refused(definition, error)
    return _begun(check, began, look.clock)


def _begun(check: Check, began: float, clock: Clock) -> Check:
    """Return the check with what it took from then to now."""
    return replace(check, seconds=clock.monotonic() - began)


def _refused(topic: Topic, error: CtoError) -> Check:
    return _failed(topic, error.message, code=error.code, fix=error.hint)


def _failed(
    topic: Topic,
    message: str,
    *,
    code: str = _DEGRADED,
    fix: str = "",
    items: tuple[str, ...] = (),
) -> Check:
    fix = fix or (_REPAIR if code == _DEGRADED else KINDS[code].fix)
    return topic.failed(message, fix=fix, code=code, items=items)


def _kubernetes(look: Look, topic: Topic) -> Check:
    nodes = look.nodes.result()
    kind = "simulated nodes" if look.simulated else "nodes"
    counts = f"{look.version} answers, {nodes.answering} of {len(nodes.names)} {kind} ready"
    fakes = () if look.simulated else nodes.simulated
    told = f"{', '.join(fakes)} simulated" if fakes else ""
    message = "; ".join(filter(None, (counts, told, nodes.unknown)))
    # A detail that cannot be had is no reason to say that the cluster is broken.
    asleep = {} if look.silent_programs.exception() else look.silent_programs.result()
    items = (
        *(f"{name} does no work: it was last heard of at {at}" for name, at in asleep.items()),
        *nodes.unready,
        *(f"{name}: {_last_heard(at)}" for name, at in nodes.silent.items()),
    )
    if nodes.answering == 0:
        fix = nodes.fix or "Without a ready node no pod runs: add one."
        return _failed(topic, message, fix=fix, items=items)
    passed = topic.passed(message)
    if items or nodes.unknown:
        fix = KINDS["CTO-1713"].fix if asleep else nodes.fix
        return replace(passed, status=CheckStatus.WARNING, fix=fix, items=items)
    return passed


def _last_heard(at: str) -> str:
    return f"it says Ready, and was last heard of at {at}"


@dataclass(frozen=True)
class _Problem:
    text: str
    code: str = _DEGRADED
    fix: str = ""


def _components(look: Look, topic: Topic) -> Check:
    releases = look.releases
    if not releases and not (look.state and look.state.unfinished):
        return _failed(topic, "the platform is not installed", code="CTO-1901")
    view = look.view
    view.fetch(_groups(look.refs()))
    problems = {release.component: list(_problems(look, view, release)) for release in releases}
    for component, text in _unfinished_run(look.state).items():
        problems.setdefault(component, []).append(_Problem(text, fix=_go_on(look)))
    bad = {component: found for component, found in problems.items() if found}
    message = f"{len(problems) - len(bad)} of {len(problems)} components ready"
    if not bad:
        return _with_answers(look, topic.passed(message))
    names = ", ".join(look.title(component) for component in bad)
    worst = next((p for found in bad.values() for p in found if p.code != _DEGRADED), None)
    code = worst.code if worst else _DEGRADED
    return _failed(
        topic,
        f"{message}; not ready: {names}",
        code=code,
        fix="" if worst else next((p.fix for found in bad.values() for p in found), ""),
        items=tuple(
            f"{look.title(component)}: {problem.text}"
            for component, found in bad.items()
            for problem in found
        ),
    )


def _with_answers(look: Look, check: Check) -> Check:
    """Say how many programs were asked whether they answer, and why not all."""
    asked = look.asked.result()
    unasked = [one for one in asked.values() if one.unasked]
    if look.simulated:
        return replace(check, message=f"{check.message}; simulated: no program could answer")
    if not unasked:
        count = f", {len(asked)} of {len(asked)} programs answer" if asked else ""
        return replace(check, message=check.message + count)
    return replace(
        check,
        status=CheckStatus.WARNING,
        message=f"{check.message}; {len(asked) - len(unasked)} of {len(asked)} programs answer, "
        f"the others could not be asked: {unasked[0].unasked}",
        fix="Allow `get` of services/proxy to whoever asks.",
    )


def _groups(refs: Iterable[ObjectRef]) -> Sequence[Group]:
    # The longest answers first: they are decoded while the short ones are on their way.
    return sorted(grouped(refs), key=lambda group: group[1] in {"Service", "Secret"})


def _unfinished_run(state: State | None) -> Mapping[str, str]:
    """Return what a run that was killed, or failed, had still to do, by component."""
    if state is None or not state.unfinished:
        return {}
    done = {name: release.digest for name, release in state.releases.items() if release.digest}
    rest = {
        name: "a change of it was not finished" if name in state.releases else "not installed"
        for name, digest in state.unfinished.items()
        if done.get(name) != digest
    }
    # What follows releases, or the wait for them, is known of none.
    rest = rest or dict.fromkeys(state.unfinished, "its last steps may be missing")
    profile = f" with profile {state.profile}" if state.profile else ""
    return {name: f"{text}: the last run{profile} did not end" for name, text in rest.items()}


def _go_on(look: Look) -> str:
    wait = f"{look.at_work}: wait for it. If it does not live, run" if look.at_work else "Run"
    return f"{wait} the same command again, or `cto upgrade`: it goes on, with what was configured."


def _unfinished(release: ReleaseState, status: str | None) -> Iterator[_Problem]:
    """Tell of a release that Helm did not finish: its objects may be those of before, and ready."""
    name = f"release {release.release}"
    if status == "":
        yield _Problem(f"Helm has no record of {name}", fix=_REPAIR)
    elif status == "failed":
        yield _Problem(f"the last change of {name} failed", fix=_REPAIR)
    elif status not in (None, "deployed"):
        text = f"{name} is {status}: a run is at work on it, or was killed in the middle"
        yield _Problem(text, fix=_REPAIR)


def _problems(look: Look, view: ListCache, release: ReleaseState) -> Iterator[_Problem]:
    yield from _unfinished(release, look.records.get(release.component))
    lookup = ClaimLookup(view)
    evidences: dict[str, Evidence] = {}
    answer = look.asked.result().get(release.component)
    silent = {} if answer and answer.answers else look.silent_nodes()
    found: list[_Problem] = []
    for ref in inventory(release):
        manifest = view.objects(ref.api_version, ref.kind, ref.namespace).get(ref.name)
        if manifest is None:
            # Jobs may be deleted by their time to live when they have done their work.
            if ref.kind != "Job":
                found.append(_Problem(f"{ref} is missing"))
            continue
        readiness = status_of(manifest, lookup)
        if readiness.ready and not silent:
            continue
        evidence = evidences.setdefault(
            ref.namespace, Evidence(view, ref.namespace, look.clock.now)
        )
        if readiness.ready:
            found += _stranded(evidence, ref, silent, look.simulated_nodes())
        else:
            found.append(_unready(evidence, manifest, readiness.message))
    yield from found
    if answer and answer.problem and not found:
        fix = f"Look at `kubectl -n {release.namespace} get pods,endpointslices`."
        yield _Problem(answer.problem, fix=fix)


def _unready(evidence: Evidence, manifest: Manifest, message: str) -> _Problem:
    causes = causes_of(evidence, manifest)
    text = f"{manifest['kind']} {manifest['metadata']['name']} {message}"
    return _Problem(f"{text}: {causes[0].message}", causes[0].code) if causes else _Problem(text)


def _stranded(
    evidence: Evidence, ref: ObjectRef, silent: Mapping[str, str], simulated: Collection[str]
) -> Iterator[_Problem]:
    """Yield a workload all of whose pods are on nodes that nobody hears of.

    Their status is what the kubelet wrote last.
    """
    pods = evidence.pods.get((ref.kind, ref.name), ()) if ref.kind in _WORKLOADS else ()
    nodes = {str(pod.get("spec", {}).get("nodeName", "")) for pod in pods}
    if nodes and nodes <= silent.keys():
        name = min(nodes)
        text = f"{ref.kind} {ref.name} is said to be ready by node {name}"
        fix = kwok_fix(name) if name in simulated else f"Look at the machine of node {name}."
        yield _Problem(f"{text}, last heard of at {silent[name]}", fix=fix)


def _github(look: Look, topic: Topic) -> Check:
    runner = agents.runner_of(look.components, look.state)
    if runner is None:
        return topic.skipped("the Multi-Agent Controller is not installed")
    try:
        without = agents.without_app(look.cluster, runner)
    except ApiError as error:
        # Not everybody who may look at the platform may look at Secrets, if only at their names.
        return topic.skipped(error.message)
    lacking = [name for name, lacks in without.items() if lacks]
    if len(lacking) == len(without):
        return topic.skipped("no agent has the key of a GitHub App: `cto github setup`")
    message = f"{len(without) - len(lacking)} of {len(without)} agents have the key of a GitHub App"
    text = f"{message}, not {', '.join(lacking)}" if lacking else message
    if look.github is None:
        return topic.passed(f"{text}; GitHub was not asked")
    return look.github(topic, text)


def _webhooks(look: Look, topic: Topic) -> Check:
    if look.simulated:
        return topic.skipped("simulated: only a running receiver could answer")
    told = (one.health.webhooks for one in look.components)
    labels = {one.kind: one.label for one in told if one}
    sources = [ref for ref in look.refs() if ref.kind in labels]
    if not sources:
        return topic.skipped("no receiver for webhooks is installed")
    # A pod on a node of kwok's is ready at once, and hears nothing.
    fakes = look.simulated_nodes()
    found = {
        source: _receives(look.cluster, source, labels[source.kind], fakes) for source in sources
    }
    deaf = {source: asked.problem for source, asked in found.items() if asked.problem}
    unasked = [asked.unasked for asked in found.values() if asked.unasked]
    message = f"{len(sources) - len(deaf) - len(unasked)} of {len(sources)} receivers listen"
    if deaf:
        first = next(iter(deaf))
        fix = f"Look at `kubectl -n {first.namespace} describe {first.kind.lower()},pods`."
        items = tuple(f"{source}: {problem}" for source, problem in deaf.items())
        return _failed(topic, message, fix=fix, items=items)
    if unasked:
        return topic.skipped(f"{message}, the others could not be asked: {unasked[0]}")
    return look.delivery(topic, message) if look.delivery else topic.passed(message)


def _receives(
    cluster: Cluster, source: ObjectRef, label: str, fakes: Collection[str]
) -> ProbeAnswer:
    named = f"{label}={source.name}"
    pods = cluster.list("v1", "Pod", namespace=source.namespace, labels=named)
    if not any(
        status_of(pod).ready and pod.get("spec", {}).get("nodeName") not in fakes for pod in pods
    ):
        return ProbeAnswer("no pod of it is ready")
    services = cluster.list("v1", "Service", namespace=source.namespace)
    doors = [one for one in services if _selector(one).get(label) == source.name]
    ports = {one["metadata"]["name"]: (one["spec"].get("ports") or ()) for one in doors}
    # Any answer will do: what it says of a path and a method is a matter of its configuration.
    programs = {
        name: Program(source.namespace, Probe(service=name, port=entry[0]["port"], path="/"), 499)
        for name, entry in ports.items()
        if entry
    }
    asked = ask_all(cluster, programs)
    return next((one for one in asked.values() if not one.answers), ProbeAnswer())


def _selector(service: Manifest) -> Mapping[str, str]:
    return service.get("spec", {}).get("selector") or {}


def _agents(look: Look, topic: Topic) -> Check:
    runner = agents.runner_of(look.components, look.state)
    if runner is None:
        return topic.skipped("the Multi-Agent Controller is not installed")
    if refused := agents.refused(look.cluster, runner):
        message = f"{len(refused)} of {agents.NEEDED} permissions for a run are missing"
        return _failed(topic, message, items=tuple(refused))
    look.cluster.create(agents.code_run(runner.namespace), dry_run=True)
    message = "permissions are there, and a CodeRun would be accepted"
    if problem := look.asked.result().get(runner.component, ProbeAnswer()).problem:
        fix = f"Look at `kubectl -n {runner.namespace} get pods`: nobody acts on a CodeRun."
        return _failed(topic, f"{message}, but not acted on", fix=fix, items=(problem,))
    settings = agents.settings_of(look.cluster, runner)
    if missing := tuple(agents.missing(look.cluster, runner, settings, look.lacking)):
        return _failed(topic, f"{message}, but could not run", items=missing)
    return _with_room(look, settings or Settings(), topic.passed(message))


def _with_room(look: Look, settings: Settings, check: Check) -> Check:
    """Say whether a run would find a node, or wait for one."""
    room = agents.room(look.cluster, settings, look.view.nodes())
    if room.unseen:
        text = f"{check.message}; whether a node has room for it is not known: {room.unseen}"
        return replace(check, message=text)
    if not room.without:
        return check
    if room.grower:
        text = f"{check.message}, and {room.grower} would add a node for it"
        return replace(check, message=text, items=room.without)
    return replace(
        check,
        status=CheckStatus.WARNING,
        message=f"{check.message}, and would wait for room",
        fix="Add a node, or lower `agents.NAME.resources` in the configuration.",
        items=room.without,
    )


_KUBERNETES = _Definition("kubernetes", "Kubernetes", _kubernetes)
_OTHERS = (
    _Definition("components", "Core components", _components),
    _Definition("github", "GitHub", _github),
    _Definition("webhooks", "Webhook delivery", _webhooks),
    _Definition("agents", "Agent readiness", _agents),
)
