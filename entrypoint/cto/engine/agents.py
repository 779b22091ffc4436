"""What an agent's run needs: permissions, an account, an image, and a node with room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cto import goyaml
from cto.catalog import AgentRunner, Component
from cto.engine.agentsettings import Settings, parsed
from cto.engine.cache import Lacking
from cto.engine.capacity import PLAIN, Amount, grower_of, left_on, size_of
from cto.engine.nodes import Images, is_ready, name_of, real, takers
from cto.engine.tasks import AGENT, APP_KEYS
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.plan.observed import State
from cto.ports import Cluster

GROUP = "agents.platform"
# Each is asked for its pods; where nodes are many, that one of these has no room says little.
_LOOKED_AT = 20


@dataclass(frozen=True)
class InstalledRunner:
    """The component whose program runs agents, as it is installed."""

    component: str
    namespace: str
    names: AgentRunner

    @property
    def account(self) -> ObjectRef:
        """The agents' ServiceAccount."""
        return ObjectRef("v1", "ServiceAccount", self.namespace, self.names.account)

    @property
    def settings(self) -> ObjectRef:
        return ObjectRef("v1", "ConfigMap", self.namespace, self.names.settings)

    @property
    def program(self) -> ObjectRef:
        return ObjectRef("apps/v1", "Deployment", self.namespace, self.names.program)


def runner_of(components: Iterable[Component], state: State | None) -> InstalledRunner | None:
    """Return what runs agents; None if it is not installed."""
    releases = state.releases if state else {}
    return next(
        (
            InstalledRunner(one.name, releases[one.name].namespace, one.health.agents)
            for one in components
            if one.health.agents and one.name in releases
        ),
        None,
    )


# The controller turns a CodeRun into a Job with its configuration; the agent follows its run.
_NEEDED_BY_PROGRAM = (
    ("watch", GROUP, "coderuns"),
    ("patch", GROUP, "coderuns/status"),
    ("create", "batch", "jobs"),
    ("create", "", "configmaps"),
    ("get", "", "secrets"),
)
_NEEDED_BY_AGENTS = (("get", GROUP, "coderuns"), ("watch", GROUP, "coderuns"))
NEEDED = len(_NEEDED_BY_AGENTS) + len(_NEEDED_BY_PROGRAM)
"""How many permissions a run needs."""


def refused(cluster: Cluster, runner: InstalledRunner) -> Sequence[str]:
    """Return the permissions for a run that are missing."""
    needed = [
        *((runner.names.account, *right) for right in _NEEDED_BY_AGENTS),
        *((runner.names.program, *right) for right in _NEEDED_BY_PROGRAM),
    ]
    with ThreadPoolExecutor(NEEDED, thread_name_prefix="review") as pool:
        answers = pool.map(lambda one: _allowed(cluster, runner.namespace, one), needed)
        return [
            f"ServiceAccount {account}: {verb} {resource}{f' ({group})' if group else ''}"
            for (account, verb, group, resource), answer in zip(needed, answers, strict=True)
            if not answer
        ]


def _allowed(cluster: Cluster, namespace: str, needed: tuple[str, str, str, str]) -> bool:
    account, verb, group, kind = needed
    resource, _, subresource = kind.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:{account}",
            "groups": [
                "system:authenticated",
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
            ],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
            },
        },
    }
    answer = cluster.create(review)
    return bool(answer.get("status", {}).get("allowed"))


def code_run(namespace: str) -> Manifest:
    """Return a CodeRun for a dry run."""
    return {
        "apiVersion": f"{GROUP}/v1",
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


def without_app(cluster: Cluster, runner: InstalledRunner) -> Mapping[str, bool]:
    """Return agent -> whether there is no Secret with the key of its GitHub App."""
    listed = cluster.list_metadata("v1", "Secret", namespace=runner.namespace)
    names = {item["metadata"]["name"] for item in listed}
    agents = (settings_of(cluster, runner) or Settings()).agents
    apps = {name: agent.github_app or name for name, agent in agents.items()}
    return {name: f"{APP_KEYS}{app.lower()}" not in names for name, app in apps.items()}


def missing(
    cluster: Cluster, runner: InstalledRunner, settings: Settings | None, lacking: Lacking
) -> Iterator[str]:
    """Yield what a run would wait for, for ever: its account, or its agent's image."""
    if cluster.get(runner.account) is None:
        yield f"{runner.account} is missing"
    if settings is None:
        yield f"ConfigMap {runner.names.settings} is missing: the controller knows no agents"
        return
    for name, agent in settings.agents.items():
        image = settings.image_of(agent, agent.cli)
        if why := lacking(image) if image else f"no image for CLI {agent.cli!r}":
            yield f"agent {name}: {why}"


@dataclass(frozen=True)
class Room:
    """Whether the pod of a run would find a node now.

    Attributes:
        without: A line for each agent for whose run no node has room.
        grower: Who adds nodes on demand; '' for nobody.
        unseen: Why nobody can tell; '' if it was seen.
    """

    without: tuple[str, ...] = ()
    grower: str = ""
    unseen: str = ""


def room(cluster: Cluster, settings: Settings, nodes: Sequence[Manifest]) -> Room:
    """See whether each agent's pod fits on a node. Pods of agents do not count: their runs end."""
    taking = _taking(nodes)
    if not taking:
        return Room(unseen="no node takes pods")
    free: dict[str, Amount] = {}
    without = []
    try:
        for name, agent in settings.agents.items():
            asked = Amount.read(agent.pod_resources.get("requests") or {})
            if not _fits(cluster, asked, taking[:_LOOKED_AT], free):
                without.append(f"agent {name}: no node has {asked} left for a run")
    except ApiError as error:
        return Room(unseen=error.message)
    if without and len(taking) > _LOOKED_AT:
        return Room(unseen=f"{_LOOKED_AT} of {len(taking)} nodes were looked at, and are full")
    return Room(tuple(without), grower_of(cluster, nodes) if without else "")


def _taking(nodes: Sequence[Manifest]) -> Sequence[Manifest]:
    """Return the nodes that take an agent's pod, the largest first."""
    able = [node for node in takers(real(nodes), PLAIN, Images())[0] if is_ready(node)]
    return sorted(able, key=lambda node: size_of(node).memory, reverse=True)


def _fits(
    cluster: Cluster, asked: Amount, nodes: Sequence[Manifest], free: dict[str, Amount]
) -> bool:
    for node in nodes:
        name = name_of(node)
        if size_of(node).covers(asked):
            if name not in free:
                free[name] = left_on(cluster, node, ignored=AGENT)
            if free[name].covers(asked):
                return True
    return False


def settings_of(cluster: Cluster, runner: InstalledRunner) -> Settings | None:
    """Return what the program is told; None if nothing is.

    Raises:
        ConfigError: CTO-1300, it has a value that will not do.
    """
    found = cluster.get(runner.settings)
    text = ((found or {}).get("data") or {}).get("config.yaml")
    return None if text is None else parsed(goyaml.load(text) or {}, str(runner.settings))
