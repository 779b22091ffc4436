"""What is open, and who may what, in the rendered whole of every profile.

Charts are the lab's stand-ins, whose pods have upstream's labels, ports, roles and tokens in these
respects. What a network does is said by a small evaluator.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from cto.catalog import ANYWHERE, Catalog, Component, Opening
from cto.goyaml import dump_json
from cto.objects import Manifest, load_documents
from cto.plan.network import policies
from cto.render import Renderer
from lab.charts import pack
from lab.images.catalog import Reference
from lab.security import markdown

from .conftest import ACCESS

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PROFILES = ("minimal", "standard", "production")


@dataclass(frozen=True)
class Pod:
    """Something with an address: a pod, or an address outside."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


OUTSIDE = {
    "api-server": Pod(address="172.18.0.2"),
    "node": Pod(address="172.18.0.3"),
    "github": Pod(address="140.82.121.3"),
    "mail": Pod(address="10.20.0.25"),
    "private": Pod(address="10.1.2.3"),
    "metadata": Pod(address="169.254.169.254"),
    "model": Pod(address="10.1.9.3"),
    "browser": Pod(address="192.168.1.7"),
    "issuer": Pod(address="203.0.113.8"),
    "stranger": Pod("default", {"app": "stranger"}),
    "database": Pod("shop", {"cnpg.io/cluster": "shop"}),
    "names": Pod("kube-system", {"k8s-app": "kube-dns"}),
}

STORE = {"endpoint": "http://store.example.com:9000", "bucket": "cto"}
# What the platform cannot do without. Sources, target, ports.
NEEDED = """
argo-events/controller argo-events/sensor argo-workflows/controller > api-server 443 6443
argo-workflows/server argocd/controller argocd/server argocd/application-sets > api-server 443 6443
argocd/notifications backup-operator/server controller/controller > api-server 443 6443
postgresql-operator/operator redis-operator/operator victoria-metrics/server > api-server 443 6443
argo-workflows/steps > api-server 443 6443
argo-events/source argo-events/sensor > argo-events/bus 4222
argo-events/bus > argo-events/bus 6222
browser stranger node > argo-events/source 12000
browser stranger node > argo-workflows/server 2746
browser stranger node > argocd/server 8080
browser stranger node > grafana/grafana 3000
node > controller/controller 8080
victoria-logs-collector/collector > victoria-logs/server 9428
victoria-logs-collector/collector > api-server 443 6443
browser stranger > traefik/traefik 8000 8443
browser stranger traefik/traefik > dex/dex 5556
browser traefik/traefik > dex/acme 8089
dex/dex > github model 443
victoria-metrics/server > dex/dex 5558
grafana/grafana > issuer 443 8443
traefik/traefik > argo-events/source 12000
traefik/traefik > argo-workflows/server 2746
traefik/traefik > argocd/server 8080
traefik/traefik > grafana/grafana 3000
traefik/traefik > argo-events/acme argo-workflows/acme argocd/acme grafana/acme 8089
traefik/traefik > api-server 443 6443
victoria-metrics/server > traefik/traefik 8080
browser > argo-events/acme argo-workflows/acme argocd/acme grafana/acme 8089
node > postgresql-operator/operator 9443
argocd/controller argocd/server argocd/repo > argocd/redis 6379
argocd/controller argocd/server argocd/repo > argocd/redis-haproxy 6379
argocd/redis-ha argocd/redis-haproxy > argocd/redis-ha 6379 26379
argocd/controller argocd/server argocd/application-sets argocd/notifications > argocd/repo 8081
argocd/repo > github 22 443
argocd/repo > private 443
argocd/application-sets controller/controller > github 443
argo-events/sensor argocd/notifications grafana/grafana > mail 587
argo-events/mail-test argocd/mail-test grafana/mail-test > mail 587
grafana/grafana > victoria-metrics/server 8428
postgresql-operator/operator > database 5432 8000
redis-operator/operator > database 6379 26379
argo-workflows/steps > argo-workflows/steps 8080
argo-workflows/steps > github 443
argo-workflows/server backup-operator/server > private 9000
argo-workflows/server argo-workflows/steps backup-operator/server > object-store/store 7070
ngrok/agent cloudflare/cloudflared > argo-events/source 12000
ngrok/agent > github 443
cloudflare/cloudflared > github 7844
github-forward/forwarder > api-server github 443
github-forward/forwarder > api-server 6443
victoria-metrics/server > cloudflare/cloudflared 2000
controller/agents > github 22 443
controller/agents > model 443 11434
victoria-metrics/server > node 10250
victoria-metrics/server > stranger 9187
victoria-metrics/server > argo-events/controller argo-events/bus argo-events/source 7777
victoria-metrics/server > argo-events/sensor 7777
victoria-metrics/server > argo-workflows/controller 9090
victoria-metrics/server > argocd/controller 8082
victoria-metrics/server > argocd/server 8083
victoria-metrics/server > argocd/repo 8084
victoria-metrics/server > argocd/application-sets 8080
victoria-metrics/server > argocd/notifications 9001
victoria-metrics/server > argocd/redis-haproxy 9101
victoria-metrics/server > backup-operator/server 8085
victoria-metrics/server > controller/controller postgresql-operator/operator 8080
victoria-metrics/server > redis-operator/operator 8080
victoria-metrics/server > grafana/grafana 3000
victoria-metrics/server > victoria-logs/server 9428
victoria-metrics/server > victoria-logs-collector/collector 9429
"""

# What must not be, beside whatever is said of agents below.
REFUSED = """
stranger node browser > argocd/redis argocd/redis-ha argocd/redis-haproxy 6379
stranger > argocd/repo 8081
stranger > traefik/traefik 8080
stranger node browser > dex/dex 5558
dex/dex > private api-server 443 6443
traefik/traefik > argocd/redis 6379
stranger > argo-events/bus 4222 6222 7777 8222
stranger > argocd/controller 8082
stranger node browser controller/agents > object-store/store 7070
object-store/store > api-server github 443
stranger browser > ngrok/agent 4040
stranger browser > cloudflare/cloudflared 2000
stranger browser > github-forward/forwarder 8080
ngrok/agent cloudflare/cloudflared > api-server private 443 6443
ngrok/agent cloudflare/cloudflared > argo-events/bus 4222
stranger > argo-workflows/steps controller/agents 8080
stranger node browser argo-workflows/steps > victoria-metrics/server 8428
stranger node browser argo-workflows/steps > victoria-logs/server 9428
stranger > postgresql-operator/operator redis-operator/operator 8080
argo-workflows/steps > argo-events/bus 4222
argo-workflows/steps > argocd/redis 6379
argocd/notifications argocd/application-sets > argocd/redis 6379
argo-events/bus argo-events/source argocd/redis argocd/redis-ha > api-server 443 6443
grafana/grafana victoria-logs/server > api-server 443 6443
argo-events/bus argo-events/source argocd/redis argocd/redis-ha grafana/grafana > github 443
victoria-logs/server > github 443
argocd/repo > api-server 6443
controller/agents > api-server 443 6443
controller/agents > private metadata 80 443
controller/agents > github 80 6443
controller/agents > stranger database 443
"""

Line: TypeAlias = tuple[str, str, int]


def lines(table: str) -> Iterator[Line]:
    for row in table.strip().splitlines():
        sources, targets = (half.split() for half in row.split(" > "))
        for port in (word for word in targets if word.isdigit()):
            for target in (word for word in targets if not word.isdigit()):
                yield from ((source, target, int(port)) for source in sources)


@dataclass(frozen=True)
class Platform:
    """A profile, rendered."""

    components: Sequence[Component]
    renderer: Renderer
    objects: Mapping[str, Sequence[Manifest]]

    def policies(self, changed: Component | None = None) -> Sequence[Manifest]:
        there = [changed if changed and changed.name == c.name else c for c in self.components]
        networks = self.renderer._context["config"]["platform"]["agent_networks"]
        return [i for c in there for i in policies(c, there, (), self.renderer, networks)]

    def pods(self) -> Iterator[tuple[str, str, Pod, str]]:
        """Yield component, workload, a pod of it, and the account that it has."""
        for component in self.components:
            for item in self.objects[component.name]:
                labels, account = made(item)
                if labels:
                    where = item["metadata"].get("namespace", component.namespace)
                    name = f"{item['kind']} {item['metadata']['name']}"
                    yield component.name, name, Pod(where, labels), account
        steps = {"workflows.argoproj.io/workflow": "w", "workflows.argoproj.io/completed": "false"}
        yield "argo-workflows", "step", Pod("argo", steps), ""
        agent = {
            "app.kubernetes.io/managed-by": "cto-controller",
            "app.kubernetes.io/component": "agent",
            "agents.platform/agent": "rex",
        }
        yield "controller", "agent", Pod("cto", agent), ""
        for component in self.components:
            # Of cert-manager, and of `cto notify test`.
            for group in {"acme", "mail-test"} & component.network.keys():
                passing = Pod(component.namespace, component.network[group].pods)
                yield component.name, f"{group}, made at need", passing, ""

    def places(self) -> dict[str, Pod]:
        """Return a pod of each group that has any, by COMPONENT/GROUP, and what is outside."""
        found = {
            f"{component}/{self.groups(component, pod)[0]}": pod
            for component, _, pod, _ in self.pods()
        }
        outside = dict(OUTSIDE)
        features = self.renderer._context["features"]
        if not features["mail_notifications"]:
            del outside["mail"]
        if "dex/dex" not in found:
            del outside["issuer"]
        if features["object_store"]:
            # Where the store of the other profiles is.
            del outside["private"]
        return {**found, **outside}

    def groups(self, component: str, pod: Pod) -> list[str]:
        (one,) = [item for item in self.components if item.name == component]
        return [name for name, group in one.network.items() if has(pod, group.pods)]

    def refused(self, table: str, closed: Sequence[Manifest]) -> list[Line]:
        places = self.places()
        known = (line for line in lines(table) if {*line[:2]} <= places.keys())
        return [
            line for line in known if not passes(closed, places[line[0]], places[line[1]], line[2])
        ]


def has(pod: Pod, labels: Mapping[str, str]) -> bool:
    return all(
        pod.labels.get(key) in ({value} if value != "*" else set(pod.labels.values()))
        for key, value in labels.items()
    )


def made(item: Manifest) -> tuple[Mapping[str, str], str]:
    """Return the labels of an object's pods and their account; nothing if it has none.

    Argo Events' as pkg/reconciler of 1.9.11 labels them.
    """
    spec, name = item.get("spec", {}), item["metadata"]["name"]
    match item["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job" if spec.get("replicas", 1):
            pod = spec["template"]["spec"]
            account = pod.get("serviceAccountName", "default")
            mounts = pod.get("automountServiceAccountToken")
            return spec["template"]["metadata"]["labels"], "" if mounts is False else account
        case "EventBus":
            bus = {"controller": "eventbus-controller", "eventbus-name": name, "owner-name": name}
            return bus, spec["jetstream"].get("serviceAccountName", "default")
        case "EventSource":
            labels = {"controller": "eventsource-controller", "eventsource-name": name}
            return labels, spec["template"].get("serviceAccountName", "default")
        case "Sensor":
            labels = {"controller": "sensor-controller", "sensor-name": name}
            return labels, spec["template"].get("serviceAccountName", "default")
        case _:
            return {}, ""


def passes(
    closed: Sequence[Manifest], source: Pod, target: Pod, port: int, protocol: str = "TCP"
) -> bool:
    """Tell whether a connection is made where policies are enforced."""
    ways = ((source, "egress", "to", target), (target, "ingress", "from", source))
    for pod, side, key, peer in ways:
        mine = [
            item["spec"]
            for item in closed
            if item["metadata"]["namespace"] == pod.namespace
            and selects(item["spec"]["podSelector"], pod.labels)
        ]
        rules = [rule for spec in mine for rule in spec.get(side, ())]
        if mine and not any(fits(rule, key, peer, port, protocol) for rule in rules):
            return False
    return True


def fits(rule: Mapping[str, Any], key: str, peer: Pod, port: int, protocol: str) -> bool:
    ports = rule.get("ports", [{"protocol": protocol, "port": port}])
    peers = rule.get(key, [{}])
    return {"protocol": protocol, "port": port} in ports and any(is_it(one, peer) for one in peers)


def is_it(one: Mapping[str, Any], peer: Pod) -> bool:
    if not one:
        return True
    if block := one.get("ipBlock"):
        # Some networks take an address of a pod for one of a block, some do not.
        address, network = ip_address(peer.address or "10.244.0.9"), ip_network(block["cidr"])
        return address in network and not any(
            address in ip_network(part) for part in block.get("except", ())
        )
    name = {"kubernetes.io/metadata.name": peer.namespace}
    return (
        bool(peer.namespace)
        and selects(one["namespaceSelector"], name)
        and selects(one["podSelector"], peer.labels)
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert all(item["operator"] == "Exists" for item in selector.get("matchExpressions", ()))
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        item["key"] in labels for item in selector.get("matchExpressions", ())
    )


@pytest.fixture(scope="session")
def platforms(
    catalog: Catalog,
    renderer: Callable[..., Renderer],
    lab_tools: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Platform]:
    out = tmp_path_factory.mktemp("charts")
    pack.pack(out, {})

    def rendered(component: Component, made: Renderer) -> Sequence[Manifest]:
        chart = component.chart
        where = (
            ROOT / "bundle" / chart.path
            if chart.path
            else out / f"{chart.name}-{chart.version}.tgz"
        )
        argv: list[str | Path] = [lab_tools / "helm", "template", component.release, where]
        argv += ["--namespace", component.namespace, "--kube-version=1.34.4", "--values=-"]
        done = subprocess.run(
            argv,
            input=dump_json(made.values(component)),
            env={"HOME": str(out)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        own = made.manifests(component, (*component.manifests.before, *component.manifests.after))
        return [*load_documents(done.stdout), *own]

    stores: dict[str, dict[str, Any]] = {name: {"object_store": STORE} for name in PROFILES}
    stores["own-store"] = {
        "features": {"backup": True, "object_store": True},
        "object_store": {},
        "tunneling": {"forward": True, "url": "https://hooks.example.com"},
    }
    named = {
        "agent_networks": ["10.1.9.0/24"],
        "ingress_type": "ingress",
        "domain": "cto.example.com",
    }
    by_github = {"production": {**named, "access": ACCESS}}
    found = {}
    for name, store in stores.items():
        profile = name if name in PROFILES else "minimal"
        made = renderer(profile, platform=by_github.get(name, named), **store)
        there = [c for c in catalog.components if c.name in made._context["components"]]
        found[name] = Platform(there, made, {c.name: rendered(c, made) for c in there})
    return found


@pytest.fixture(params=(*PROFILES, "own-store"))
def platform(request: pytest.FixtureRequest, platforms: Mapping[str, Platform]) -> Platform:
    return platforms[request.param]


def test_every_pod_is_known_by_its_labels(platform: Platform) -> None:
    """And is one of a single group, else it had the openings of another one."""
    for component, name, pod, _ in platform.pods():
        assert len(platform.groups(component, pod)) == 1, (component, name)


def test_what_nobody_knows_is_closed(platform: Platform) -> None:
    """Also to its neighbours and to name servers, in every namespace of a component."""
    closed = platform.policies()
    for component in platform.components:
        other = Pod(component.namespace, {"app": "other"})
        for place in platform.places().values():
            assert not passes(closed, other, place, 443)
            assert not passes(closed, place, other, 443)
    others = [
        m for objects in platform.objects.values() for m in objects if m["kind"] == "NetworkPolicy"
    ]
    assert others == []


def test_what_the_platform_needs_is_open(platform: Platform) -> None:
    closed = platform.policies()
    assert platform.refused(NEEDED, closed) == []
    names = OUTSIDE["names"]
    for _, name, pod, _ in platform.pods():
        assert passes(closed, pod, names, 53, "UDP"), name


def test_what_must_not_be_is_refused(platform: Platform) -> None:
    closed = platform.policies()
    known = [line for line in lines(REFUSED) if {*line[:2]} <= platform.places().keys()]
    places = platform.places()
    # The ingress, by which dex is reached, may be anywhere.
    signed = ("grafana/grafana", 443) if "issuer" in places else ()
    known = [line for line in known if (line[0], line[2]) != signed]
    assert [line for line in platform.refused(REFUSED, closed) if line in known] == known
    for name, place in places.items():
        for port in (22, 443, 3000, 4222, 6379, 8080, 8428, 9428):
            if place.namespace:
                assert not passes(closed, places["controller/agents"], place, port), name
            assert not passes(closed, place, places["controller/agents"], port), name


def test_every_line_is_about_something(platforms: Mapping[str, Platform]) -> None:
    places = {name for platform in platforms.values() for name in platform.places()}
    for line in (*lines(NEEDED), *lines(REFUSED)):
        assert {*line[:2]} <= places, line


def test_no_opening_is_open_for_nothing(platforms: Mapping[str, Platform]) -> None:
    """Without any peer or port of any of them, something that is needed is refused."""
    everything = {c.name: c for platform in platforms.values() for c in platform.components}
    for component in everything.values():
        for what, without in narrowed(component):
            assert any(
                platform.refused(NEEDED, platform.policies(without))
                for platform in platforms.values()
            ), f"{component.name}: {what}"


def narrowed(component: Component) -> Iterator[tuple[str, Component]]:
    """Yield the component with one peer or port less, in every way."""
    for name, group in component.network.items():
        for side in ("in_", "out"):
            openings = getattr(group, side)
            for number, opening in enumerate(openings):
                for what, rest in less(opening):
                    left = (*openings[:number], *rest, *openings[number + 1 :])
                    changed = {**component.network, name: group.model_copy(update={side: left})}
                    yield f"{name} {side} {what}", component.model_copy(update={"network": changed})


def less(opening: Opening) -> Iterator[tuple[str, tuple[Opening, ...]]]:
    for key, values in (("ports", opening.ports), ("peers", opening.peers)):
        for value in values:
            rest = tuple(one for one in values if one != value)
            yield f"{key} {value}", (opening.model_copy(update={key: rest}),) if rest else ()


def findings(platform: Platform) -> Iterator[tuple[str, str, str]]:
    """Yield component, rule and object of whatever is looser than the rules are."""
    for component in platform.components:
        if component.namespace_labels["pod-security.kubernetes.io/enforce"] != "restricted":
            yield component.name, "pod-security", f"Namespace {component.namespace}"
        for item in platform.objects[component.name]:
            name = f"{item['kind']} {item['metadata']['name']}"
            for rule in item.get("rules") or () if item["kind"].endswith("Role") else ():
                keys = ("apiGroups", "resources", "verbs")
                if any("*" in part for key in keys for part in rule.get(key, ())):
                    yield component.name, "wildcard", name
            if item.get("roleRef", {}).get("name") == "cluster-admin":
                yield component.name, "cluster-admin", name
    for component_name, name, pod, account in platform.pods():
        (component,) = [c for c in platform.components if c.name == component_name]
        (group,) = platform.groups(component_name, pod)
        reaches = {peer for one in component.network[group].out for peer in one.peers}
        if not reaches & {"api"} and account and token_of(platform, component, account):
            free = any(
                ANYWHERE in one.peers and not one.ports for one in component.network[group].out
            )
            if not free:
                yield component_name, "token", name


def token_of(platform: Platform, component: Component, account: str) -> bool:
    accounts = [
        item
        for item in platform.objects[component.name]
        if (item["kind"], item["metadata"]["name"]) == ("ServiceAccount", account)
    ]
    return not accounts or accounts[0].get("automountServiceAccountToken", True)


def test_what_is_looser_than_the_rules_is_listed(
    catalog: Catalog, platforms: Mapping[str, Platform]
) -> None:
    found = {one for platform in platforms.values() for one in findings(platform)}
    listed = {(c.name, one.rule, one.of) for c in catalog.components for one in c.exemptions}
    assert found == listed


def containers_of(item: Manifest) -> Iterator[Mapping[str, Any]]:
    if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        pod = item["spec"]["template"]["spec"]
        yield from (*(pod.get("initContainers") or ()), *pod["containers"])


def test_stand_ins_have_the_names_that_pods_call(platform: Platform) -> None:
    """What a chart of the lab calls, an image of the lab has to have."""
    called = {
        (Reference.parse(container["image"]), container["command"][0])
        for objects in platform.objects.values()
        for item in objects
        for container in containers_of(item)
        if container.get("command") and not container["image"].startswith("cto.internal/")
    }
    assert called
    for image, name in called:
        names = {known for path in image.role.names for known in (path, path.rpartition("/")[2])}
        assert name in names, f"{image} has no {name} (tests/lab/images/catalog.py)"


def test_no_password_comes_with_a_chart(platform: Platform) -> None:
    """Those that are there are made at random, or are the user's."""
    for component, objects in platform.objects.items():
        for item in objects:
            if item["kind"] == "Secret":
                # Dex' configuration names variables where secrets are.
                held = {**item.get("data", {}), **item.get("stringData", {})}
                assert held.keys() <= ({"config.yaml"} if component == "dex" else set()), component


def test_the_page_is_current(catalog: Catalog) -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "security.md").read_text(encoding="utf-8") == markdown(catalog)
