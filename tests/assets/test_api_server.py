"""Every component in every profile: rendered with Helm, and accepted by a real API server.

Charts are the lab's stand-ins, but for our own. Nothing is made but namespaces and CRDs: all else
is a dry run, in which the server validates, refuses unknown fields, and asks Pod Security.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.helm.charts import ChartResolver
from cto.adapters.helm.crds import chart_crds
from cto.adapters.helm.releases import HelmReleases
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.process import ProcessRunner
from cto.catalog import Catalog, Component, load
from cto.errors import ToolError
from cto.objects import Manifest, ObjectRef, annotations_of, dump_documents, load_yaml, ref_of
from cto.plan.network import policies
from cto.ports import Access, Chart, ReleaseSpec
from cto.render import Renderer

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PROFILES = ("minimal", "standard", "production")
COMPONENTS = tuple(component.name for component in load(ROOT / "bundle").components)

each = pytest.mark.parametrize(
    ("name", "profile"), [(name, profile) for name in COMPONENTS for profile in PROFILES]
)


class NoDownloads:
    def fetch(self, url: str, *, algorithm: str, digest: str, code: str) -> Path:
        text = f"{url} would be downloaded ({algorithm} {digest}, {code})"
        raise AssertionError(text)


@dataclass(frozen=True)
class Server:
    """An API server with the namespaces and definitions of all components."""

    access: Access
    kubectl: Path
    helm: HelmReleases
    charts: Mapping[str, Chart]
    version: str
    home: Path

    def release(self, component: Component, renderer: Renderer) -> Sequence[Manifest]:
        """Return what Helm would send, hooks included."""
        spec = spec_of(component, self.charts[component.name], renderer.values(component))
        return self.helm.template(spec, kube_version=self.version)

    def dry_run(self, verb: Sequence[str], manifests: Sequence[Manifest]) -> Sequence[str]:
        """Return the names of what the server accepts.

        Raises:
            AssertionError: It refuses something, or a field is unknown to it.
        """
        done = subprocess.run(
            [
                self.kubectl,
                *verb,
                "--dry-run=server",
                "--validate=strict",
                "--output=name",
                "--filename=-",
                f"--kubeconfig={self.access.kubeconfig}",
                f"--context={self.access.context}",
            ],
            input=dump_documents(manifests),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"HOME": str(self.home)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


def spec_of(component: Component, chart: Chart, values: Mapping[str, Any]) -> ReleaseSpec:
    return ReleaseSpec(
        name=component.release, namespace=component.namespace, chart=chart, values=dict(values)
    )


@pytest.fixture(scope="session")
def server(
    catalog: Catalog,
    lab_tools: Path,
    lab_access: Access,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    pack = [sys.executable, str(ROOT / "tests/lab/charts/pack.py"), "--out", str(home / "charts")]
    subprocess.run(pack, check=True, capture_output=True)
    resolver = ChartResolver(NoDownloads(), home / "charts", home / "packed")
    runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
    cluster = KubeCluster(lab_access, clock=SystemClock())
    made = Server(
        access=lab_access,
        kubectl=lab_tools / "kubectl",
        helm=HelmReleases(runner, lambda: lab_tools / "helm", lab_access, home=home / "helm"),
        charts={component.name: resolver.resolve(component) for component in catalog.components},
        version=cluster.server_version(),
        home=home,
    )
    for component in catalog.components:
        prepare(cluster, made, component)
    settle(cluster, catalog)
    yield made
    cluster.close()


def prepare(cluster: KubeCluster, server: Server, component: Component) -> None:
    labels = {"name": component.namespace, "labels": dict(component.namespace_labels)}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": labels})
    if component.crds is None:
        return
    spec = spec_of(component, server.charts[component.name], {})
    for crd in chart_crds(spec, component.crds, server.helm, server.home, server.version):
        cluster.apply(crd)


def settle(cluster: KubeCluster, catalog: Catalog) -> None:
    """Wait until pods may be made and custom resources are served."""
    accounts = [
        ObjectRef("v1", "ServiceAccount", component.namespace, "default")
        for component in catalog.components
    ]
    end = time.monotonic() + 60
    while not (all(map(cluster.get, accounts)) and _established(cluster)):
        assert time.monotonic() < end
        time.sleep(0.2)


def _established(cluster: KubeCluster) -> bool:
    found = cluster.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    return all(
        {"type": "Established", "status": "True"}.items() <= condition.items()
        for item in found
        for condition in item.get("status", {}).get("conditions", [{}])
        if condition.get("type", "Established") == "Established"
    )


@each
def test_the_release_is_accepted(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    rendered = server.release(catalog[name], renderer(profile))
    assert rendered
    accepted = server.dry_run(("apply", "--server-side", "--force-conflicts"), rendered)
    assert len(accepted) == len(rendered)


@each
def test_the_own_objects_are_accepted(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    component, made = catalog[name], renderer(profile)
    names = (*component.manifests.before, *component.manifests.after)
    own = [
        *policies(component, catalog.components, (), made),
        *made.manifests(component, names),
    ]
    assert len(server.dry_run(("apply", "--server-side"), own)) == len(own)


@each
def test_the_pods_fit_the_security_level_of_their_namespace(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    """Deployments are accepted whatever their pods are: only pods are refused."""
    component = catalog[name]
    assert "pod-security.kubernetes.io/enforce" in component.namespace_labels
    pods = [
        pod_of(item, component.namespace) for item in server.release(component, renderer(profile))
    ]
    made = [pod for pod in pods if pod]
    assert made
    assert len(server.dry_run(("create",), made)) == len(made)


@each
def test_what_health_checks_look_at_is_made(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    health, made = catalog[name].health, renderer(profile)
    names = (*catalog[name].manifests.before, *catalog[name].manifests.after)
    objects = [*server.release(catalog[name], made), *made.manifests(catalog[name], names)]
    found = {(item["kind"], item["metadata"]["name"]) for item in objects}
    if agents := health.agents:
        assert {
            ("Deployment", agents.program),
            ("ServiceAccount", agents.program),
            ("ServiceAccount", agents.account),
            ("ConfigMap", agents.settings),
        } <= found
    if webhooks := health.webhooks:
        assert webhooks.kind in {kind for kind, _ in found}


@each
def test_no_release_waits_for_a_hook(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    """The installer does their work itself; see docs/adr/0003."""
    rendered = server.release(catalog[name], renderer(profile))
    hooks = [str(ref_of(m)) for m in rendered if "helm.sh/hook" in annotations_of(m)]
    assert hooks == []
    assert not catalog[name].upgrade.hooks


@each
def test_a_component_that_claims_volumes_says_so(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    """The preflight asks for a default StorageClass then, and not otherwise."""
    component, made = catalog[name], renderer(profile)
    own = made.manifests(component, (*component.manifests.before, *component.manifests.after))
    claiming = [
        item["kind"]
        for item in (*server.release(component, made), *own)
        if item["kind"] == "PersistentVolumeClaim"
        or item.get("spec", {}).get("volumeClaimTemplates")
        # What Argo Events makes of it is a StatefulSet.
        or item.get("spec", {}).get("jetstream", {}).get("persistence")
        or item["kind"] in {"Cluster", "RedisReplication"}
    ]
    assert component.volumes or {*claiming} <= {*component.data}
    assert claiming or not component.volumes


@each
def test_pods_ask_for_what_the_preflight_adds_up(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    component, made = catalog[name], renderer(profile)
    own = made.manifests(component, (*component.manifests.before, *component.manifests.after))
    nodes = 3 if profile == "production" else 1
    rendered = [
        request
        for item in (*server.release(component, made), *own)
        for request in asked_by(item, nodes)
    ]
    expected = [
        (one.pods, one.requests.cpu, one.requests.memory)
        for one in made.asked(component).values()
        if one.pods
    ]
    assert _added(rendered) == _added(expected)


def _added(asked: Iterable[tuple[int, str, str]]) -> Mapping[tuple[str, str], int]:
    """Return how many containers ask for the same."""
    added: Counter[tuple[str, str]] = Counter()
    for pods, cpu, memory in asked:
        added[cpu, memory] += pods
    return added


# Of HAProxy before the cache. Upstream's chart has the annotation by itself, the stand-in has none.
_ANNOTATED_BY_THE_CHART = {9101}


@each
def test_every_program_is_scraped_where_it_tells(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], name: str, profile: str
) -> None:
    """Where `network` opens a port for metrics, each pod or a Service before it names that port."""
    features = {"monitoring": True, "mail_notifications": profile == "production"}
    component, made = catalog[name], renderer(profile, features=features, databases={})
    own = made.manifests(component, (*component.manifests.before, *component.manifests.after))
    objects = [*server.release(component, made), *own]
    annotated = [item for item in objects if port_of(item)]
    seen: list[Manifest] = []
    for item in objects:
        if not (labels := pod_labels_of(item)):
            continue
        told = {
            int(port)
            for group in component.network.values()
            if _covers(group.pods, labels)
            for opening in group.in_
            if "metrics" in opening.why
            for port in opening.ports
        }
        bearers = [one for one in annotated if one is item or _selects(one, labels)]
        assert {port_of(one) for one in bearers} == told - _ANNOTATED_BY_THE_CHART, ref_of(item)
        # Argo Events adds those of its pods by itself.
        assert "containers" not in _template_of(item).get("spec", {}) or told <= ports_of(item)
        seen += bearers
    assert all(one in seen for one in annotated)


def pod_labels_of(manifest: Manifest) -> Mapping[str, str]:
    """Return what labels an object's pods have; {} if it makes none that go on."""
    if manifest["kind"] in {"EventBus", "EventSource", "Sensor"}:
        return {"controller": f"{manifest['kind'].lower()}-controller"}
    if manifest["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}:
        found: Mapping[str, str] = _template_of(manifest)["metadata"]["labels"]
        return found
    return {}


def _template_of(manifest: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest["spec"].get("template") or {}
    return found


def ports_of(manifest: Manifest) -> set[int]:
    containers = _template_of(manifest)["spec"]["containers"]
    return {port["containerPort"] for one in containers for port in one.get("ports", ())}


def _selects(manifest: Manifest, labels: Mapping[str, str]) -> bool:
    return manifest["kind"] == "Service" and _covers(manifest["spec"]["selector"], labels)


def _covers(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(key in labels and value in ("*", labels[key]) for key, value in wanted.items())


def port_of(manifest: Manifest) -> int:
    """Return the port on which an object says that it, or its pods, are to be scraped."""
    spec = manifest.get("spec", {})
    bearer = {"Service": manifest, "EventBus": spec.get("jetstream")}.get(
        manifest["kind"], spec.get("template")
    )
    annotations = ((bearer or {}).get("metadata") or {}).get("annotations") or {}
    return int(annotations["prometheus.io/port"]) if "prometheus.io/scrape" in annotations else 0


def asked_by(manifest: Manifest, nodes: int) -> Iterator[tuple[int, str, str]]:
    """Yield, for each container of a workload: pods, CPU, memory.

    Of custom resources, those that Argo Events and the operators of databases make pods of. Init
    containers are over when the others begin, and ask for less.
    """
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Deployment" | "StatefulSet":
            pods, containers = spec["replicas"], spec["template"]["spec"]["containers"]
        case "DaemonSet":
            pods, containers = nodes, spec["template"]["spec"]["containers"]
        case "EventBus":
            bus = spec["jetstream"]
            names = ("containerTemplate", "reloaderContainerTemplate", "metricsContainerTemplate")
            pods, containers = bus["replicas"], [bus[name] for name in names]
        case "EventSource" | "Sensor":
            pods, containers = spec.get("replicas", 1), [spec["template"]["container"]]
        case "Cluster":
            pods, containers = spec["instances"], [spec]
        case "RedisReplication":
            more = [spec["redisExporter"]] if "redisExporter" in spec else []
            pods, containers = spec["clusterSize"], [spec["kubernetesConfig"], *more]
        case _:
            return
    for container in containers if pods else ():
        requests = container["resources"]["requests"]
        yield pods, requests["cpu"], requests["memory"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_controller_of_argo_events_would_start(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], profile: str
) -> None:
    """It ends at its start unless both kinds of bus have a version (ValidateConfig of 1.9.11)."""
    rendered = server.release(catalog["argo-events"], renderer(profile))
    texts = [
        item["data"]["controller-config.yaml"]
        for item in rendered
        if "controller-config.yaml" in item.get("data", {})
    ]
    (text,) = texts
    for kind in ("nats", "jetstream"):
        versions = load_yaml(text)["eventBus"][kind]["versions"]
        assert versions
        assert all(isinstance(field, str) for item in versions for field in item.values())


def test_a_controller_without_a_version_of_stan_would_not(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    """The stand-in refuses what the program refuses."""
    component = catalog["argo-events"]
    values = renderer("minimal").values(component, {"configs": {"nats": {"versions": []}}})
    spec = spec_of(component, server.charts["argo-events"], values)
    with pytest.raises(ToolError) as error:
        server.helm.template(spec, kube_version=server.version)
    assert "configs.nats.versions is empty" in error.value.details


# The fields of config.Config of argo-workflows 4.0.7 that values of ours lead to. What is below a
# container's or a workflow's are Kubernetes' own and Argo's.
_CONTAINER = dict.fromkeys(("imagePullPolicy", "resources", "env", "args", "securityContext"))
_WORKFLOWS = {
    "nodeEvents": {"enabled": None},
    "workflowEvents": {"enabled": None},
    "mainContainer": _CONTAINER,
    "executor": _CONTAINER,
    "metricsConfig": dict.fromkeys(("enabled", "path", "port", "ignoreErrors", "secure")),
    "workflowDefaults": None,
    "artifactRepository": None,
    "persistence": None,
    "sso": None,
}
# GlobalConfig of argo-events 1.9.11, and what jetstream/base/jetstream.go reads of a stream.
_VERSION_OF_STAN = dict.fromkeys(("version", "natsStreamingImage", "metricsExporterImage"))
_VERSION = dict.fromkeys(
    ("version", "natsImage", "configReloaderImage", "metricsExporterImage", "startCommand")
)
_STREAM = ("maxMsgs", "maxAge", "maxBytes", "replicas", "duplicates", "retention", "discard")
_EVENTS = {
    "eventBus": {
        "nats": {"versions": _VERSION_OF_STAN},
        "jetstream": {
            "versions": _VERSION,
            "settings": dict.fromkeys(("max_memory_store", "max_file_store")),
            "streamConfig": dict.fromkeys(_STREAM),
        },
    }
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(("argo-events", "controller-config.yaml", _EVENTS), id="argo-events"),
        pytest.param(("argo-workflows", "config", _WORKFLOWS), id="argo-workflows"),
    ],
)
def test_the_file_of_a_controller_has_only_what_it_reads(
    server: Server,
    catalog: Catalog,
    renderer: Callable[..., Renderer],
    file: tuple[str, str, Mapping[str, Any]],
    profile: str,
) -> None:
    """What it does not know, it drops in silence."""
    name, key, known = file
    rendered = server.release(catalog[name], renderer(profile))
    (text,) = [item["data"][key] for item in rendered if key in item.get("data", {})]
    assert list(unknown(load_yaml(text), known)) == []


def unknown(tree: Any, known: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of keys that are not known; below None is anything."""
    # Argo Events has files within its file.
    tree = load_yaml(tree) if isinstance(tree, str) else tree
    for each in tree if isinstance(tree, list) else [tree]:
        for key, value in each.items():
            if key not in known:
                yield f"{path}{key}"
            elif known[key] is not None:
                yield from unknown(value, known[key], f"{path}{key}.")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_bus_ends_before_its_volume_does(
    server: Server, catalog: Catalog, renderer: Callable[..., Renderer], profile: str
) -> None:
    """Argo Events takes a number of bytes, and `1GB`, the chart's own, for no limit at all."""
    component, made = catalog["argo-events"], renderer(profile)
    (text,) = [
        item["data"]["controller-config.yaml"]
        for item in server.release(component, made)
        if "controller-config.yaml" in item.get("data", {})
    ]
    stream = load_yaml(load_yaml(text)["eventBus"]["jetstream"]["streamConfig"])
    assert isinstance(stream["maxBytes"], int | float)
    (bus,) = [
        item
        for item in made.manifests(component, component.manifests.after)
        if item["kind"] == "EventBus"
    ]
    assert bus["spec"]["jetstream"]["persistence"]["volumeSize"] == "2Gi"
    assert stream["maxBytes"] < 2 * 1024**3


def pod_of(manifest: Manifest, namespace: str) -> Manifest | None:
    """Return the pod that a workload would make, under an account that is there."""
    template = manifest.get("spec", {}).get("template")
    if manifest["kind"] not in {"Deployment", "StatefulSet", "DaemonSet", "Job"} or not template:
        return None
    claims = manifest["spec"].get("volumeClaimTemplates") or ()
    volumes = [{"name": item["metadata"]["name"], "emptyDir": {}} for item in claims]
    spec = {**template["spec"], "serviceAccountName": "default"}
    spec["volumes"] = [*(spec.get("volumes") or ()), *volumes]
    spec.setdefault("restartPolicy", "Always")
    place = ref_of(manifest).namespace or namespace
    metadata = {**template["metadata"], "name": manifest["metadata"]["name"], "namespace": place}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
