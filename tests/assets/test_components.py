"""What is true of each component in each profile, before any chart is involved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from cto.catalog import Catalog, Component, load
from cto.config.sections import Features
from cto.objects import Manifest, dump_documents, dump_yaml
from cto.render import VALUES, Renderer

from .conftest import ingress_namespaces

_BUNDLE = Path(__file__).parents[2] / "bundle"
PROFILES = ("minimal", "standard", "production")
COMPONENTS = tuple(component.name for component in load(_BUNDLE).components)
_EVERY = [(name, profile) for name in COMPONENTS for profile in PROFILES]
Make: TypeAlias = Callable[..., Renderer]

each = pytest.mark.parametrize(("name", "profile"), _EVERY)


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value that is no collection, with the keys that lead to it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from leaves(value, (*path, str(number)))
    else:
        yield path, tree


def mappings(tree: Any, key: str) -> Iterator[Any]:
    """Yield every value of a key, at any depth."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from mappings(value, key)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from mappings(value, key)


def glue(renderer: Renderer, component: Component) -> tuple[Manifest, ...]:
    names = (*component.manifests.before, *component.manifests.after)
    return renderer.manifests(component, names)


def everything(renderer: Renderer, component: Component) -> dict[str, Any]:
    return {"values": renderer.values(component), "glue": glue(renderer, component)}


@each
def test_rendering_twice_gives_the_same_bytes(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    texts = {
        dump_yaml(made.values(catalog[name])) + dump_documents(glue(made, catalog[name]))
        for made in (renderer(profile), renderer(profile))
    }
    assert len(texts) == 1


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_name_stays_text_whatever_yaml_reads_in_it(
    catalog: Catalog, renderer: Make, name: str
) -> None:
    """A database called 2024 would have a number for its name, and the API server refuses it."""

    def shape(word: str) -> Counter[str]:
        database = [{"name": word, "namespace": word}]
        sections = {
            "platform": {"name": word},
            "databases": {"postgresql": database, "redis": database},
            "agents": {word: {"enabled": True}, "rex": {"enabled": True}},
            "github": {
                "organization": "acme",
                "flow": {"steps": {word: {"event": "labelled", "prompt": "Do it."}}},
            },
            "smtp": {
                "host": "mail.example.com",
                "sender": f"{word}@example.com",
                "recipients": ["team@example.com"],
            },
        }
        made = everything(renderer("production", **sections), catalog[name])
        # Keys, too: one that needs quotes has them.
        assert not re.search(r"^ *2024:", dump_yaml(made["values"]), re.MULTILINE)
        return Counter(type(value).__name__ for _, value in leaves(made))

    assert shape("2024") == shape("abcd")


@each
def test_no_secret_is_rendered(
    catalog: Catalog, renderer: Make, name: str, profile: str, planted: str
) -> None:
    """Neither those of the configuration, nor anything under a name that calls it one."""
    made = everything(renderer(profile), catalog[name])
    assert planted not in dump_yaml(made["values"]) + dump_documents(made["glue"])
    for manifest in made["glue"]:
        # Those that Kubernetes writes tokens into are made empty.
        assert manifest["kind"] != "Secret" or "data" not in manifest, manifest
        assert "stringData" not in manifest
    for path, value in leaves(made):
        if re.search(r"(password|token|apikey|private-?key)$", path[-1], re.IGNORECASE):
            assert not isinstance(value, str), path


@each
def test_no_key_is_given_twice(catalog: Catalog, renderer: Make, name: str, profile: str) -> None:
    """YAML takes the last of two equal keys, and says nothing."""
    component, made = catalog[name], renderer(profile)
    for file in (VALUES, *component.manifests.before, *component.manifests.after):
        text = made._render(component.folder / file, made._names(component))
        for node in yaml.compose_all(text):
            assert not list(_twice(node)), file


def _twice(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from {key for key in keys if keys.count(key) > 1}
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _twice(part)


@each
def test_containers_ask_for_cpu_and_memory(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    """Charts ask for nothing by themselves, and a scheduler that is told nothing overbooks."""
    made = everything(renderer(profile), catalog[name])
    asked = [item["requests"] for item in mappings(made, "resources") if "requests" in item]
    assert asked
    # The claim of a database has `resources` as well.
    assert all(item.keys() in ({"cpu", "memory"}, {"storage"}) for item in asked)


@each
def test_images_are_never_pulled_always(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    """Images that were brought to the nodes would be asked for again, where nobody answers."""
    made = everything(renderer(profile), catalog[name])
    policies = [
        value for path, value in leaves(made) if path[-1] in {"pullPolicy", "imagePullPolicy"}
    ]
    assert set(policies) <= {"IfNotPresent"}


@each
def test_images_that_are_named_are_listed(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    listed = {image.reference for image in catalog[name].images}
    assert listed
    assert images(everything(renderer(profile), catalog[name])) <= listed


def images(tree: Any) -> set[str]:
    """Return what looks like an image: NAME:TAG, where a tag is more than a port."""
    text = re.compile(r"(?!.*://)[a-z0-9][a-z0-9._/-]*:(?!\d+$)[A-Za-z0-9][\w.-]*")
    # Roles of Argo CD look like that, too.
    named = [str(value) for path, value in leaves(tree) if path[-1] != "policy.default"]
    found = {name for name in named if text.fullmatch(name)}
    return found | set(_pairs(tree))


def _pairs(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if tree.keys() >= {"repository", "tag"}:
            yield f"{tree['repository']}:{tree['tag']}"
        for value in tree.values():
            yield from _pairs(value)


@each
def test_objects_are_in_the_namespace_of_their_component(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    component = catalog[name]
    for manifest in glue(renderer(profile), component):
        # The databases of the configuration are in this one.
        other = {"default"} if component.category == "database" else set()
        # It reads Ingress objects where they are.
        other |= {*ingress_namespaces(catalog)} if component.ingress_class else set()
        assert manifest["metadata"]["namespace"] in {component.namespace, *other}


@each
def test_of_a_node_only_logs_are_seen_and_never_written(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    """A pod that may write to its node's files owns the node."""
    values = everything(renderer(profile), catalog[name])["values"]
    paths = {item["path"] for item in mappings(values, "hostPath")}
    assert paths <= {"/var/log/containers", "/var/log/pods"}
    mounts = values["defaultVolumeMounts"] if paths else []
    assert {item["mountPath"] for item in mounts} == paths
    assert all(item["readOnly"] for item in mounts)


@pytest.mark.parametrize("name", COMPONENTS)
def test_volumes_are_the_same_in_every_profile(catalog: Catalog, renderer: Make, name: str) -> None:
    """What a StatefulSet says of volumes is immutable: another profile would be refused."""
    sizes = [
        {
            path: value
            for path, value in leaves(everything(renderer(profile, databases={}), catalog[name]))
            if path[-1] in {"size", "volumeSize", "storageClassName"}
            or path[-2:] == ("persistence", "enabled")
        }
        for profile in PROFILES
    ]
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize("kind", ["nodeport", "ingress", "none"])
def test_user_interfaces_are_reached_as_configured(
    catalog: Catalog, renderer: Make, kind: str
) -> None:
    made = renderer("standard", platform={"ingress_type": kind, "domain": "agents.example.com"})
    for component in catalog.components:
        access = component.access
        if access is None or access.node_port is None:
            continue
        seen = [value for _, value in leaves(everything(made, component))]
        assert (access.node_port in seen) == (kind == "nodeport"), component.name


@pytest.mark.parametrize(
    ("web", "ports", "urls"),
    [
        ("nodeport", {}, ("http://localhost:8080", "http://localhost:3000")),
        (
            "nodeport",
            {30080: 8080, 30300: 3000, 31443: 8443},
            ("http://localhost:8080", "http://localhost:3000"),
        ),
        ("nodeport", {30080: 8082, 30300: 80}, ("http://localhost:8082", "http://localhost")),
        ("ingress", {}, ("https://argocd.example.com", "https://grafana.example.com")),
        (
            "ingress",
            {30080: 8082, 31443: 8443},
            ("https://argocd.example.com:8443", "https://grafana.example.com:8443"),
        ),
    ],
)
def test_a_program_knows_the_address_at_which_browsers_find_it(
    catalog: Catalog, renderer: Make, web: str, ports: dict[int, int], urls: tuple[str, str]
) -> None:
    """With another one its redirects lead to somebody else's program."""
    argocd, grafana = urls
    platform = {"ingress_type": web, "domain": "example.com"}
    made = renderer("standard", ports=ports, platform=platform)
    values = made.values(catalog["argocd"])
    assert values["configs"]["cm"]["url"] == argocd
    assert values["notifications"].get("argocdUrl", argocd) == argocd
    assert values["global"]["domain"] == argocd.partition("//")[2].removesuffix(":8443")
    assert made.values(catalog["grafana"])["grafana.ini"]["server"]["root_url"] == grafana


@pytest.mark.parametrize(
    ("nodes", "replicated"), [(1, False), (2, False), (3, True)], ids=["1", "2", "3"]
)
def test_a_replicated_cache_needs_three_nodes(
    catalog: Catalog, renderer: Make, nodes: int, *, replicated: bool
) -> None:
    values = renderer("production", nodes=nodes).values(catalog["argocd"])
    assert values["redis-ha"]["enabled"] == replicated
    assert values["redis"]["enabled"] != replicated


@pytest.mark.parametrize("host", ["github.com", "github.example.com"])
def test_applications_come_from_the_server_that_agents_work_with(
    catalog: Catalog, renderer: Make, host: str
) -> None:
    controller = {} if host == "github.com" else {"values": {"github": {"host": host}}}
    projects = glue(renderer("minimal", overrides={"controller": controller}), catalog["argocd"])
    wanted = [f"https://{host}/acme/*", f"git@{host}:acme/*"]
    assert [one["spec"]["sourceRepos"] for one in projects] == [wanted, wanted]


def test_mail_without_a_log_in_refers_to_no_password(catalog: Catalog, renderer: Make) -> None:
    smtp = {"host": "relay.example.com", "sender": "a@example.com", "recipients": ["b@example.com"]}
    made = renderer("production", smtp=smtp)
    text = "".join(dump_yaml(everything(made, component)) for component in catalog.components)
    assert "relay.example.com" in text
    assert "grafana-smtp" not in text
    assert "email-password" not in text
    assert "smtpPassword" not in text


def test_mail_is_off_unless_it_is_switched_on(catalog: Catalog, renderer: Make) -> None:
    made = renderer("standard")
    text = "".join(dump_yaml(everything(made, component)) for component in catalog.components)
    assert "smtp.example.com" not in text


@pytest.mark.parametrize(
    ("github", "source"),
    [
        ({}, None),
        ({"organization": "acme"}, {"organizations": ["acme"]}),
        (
            {"organization": "acme", "repository": "shop"},
            {"repositories": [{"owner": "acme", "names": ["shop"]}]},
        ),
    ],
)
def test_webhooks_come_from_whom_they_are_told(
    catalog: Catalog, renderer: Make, github: dict[str, str], source: dict[str, Any] | None
) -> None:
    """Without an organization there is no source, but the Service has its address already."""
    made = glue(renderer("production", github=github), catalog["argo-events"])
    kinds = {manifest["kind"]: manifest for manifest in made}
    assert {"EventBus", "Service"} <= kinds.keys()
    assert ("EventSource" in kinds) == ("Sensor" in kinds) == (source is not None)
    if source:
        entry = kinds["EventSource"]["spec"]["github"]["org"]
        assert source.items() <= entry.items()
        assert entry["webhookSecret"] == {"name": "github-webhook-secret", "key": "secret"}


@pytest.mark.parametrize(("profile", "members"), [("minimal", 1), ("production", 3)])
def test_a_stream_has_no_more_copies_than_the_bus_has_members(
    catalog: Catalog, renderer: Make, profile: str, members: int
) -> None:
    made = everything(renderer(profile), catalog["argo-events"])
    bus = next(manifest for manifest in made["glue"] if manifest["kind"] == "EventBus")
    assert bus["spec"]["jetstream"]["replicas"] == members
    assert made["values"]["configs"]["jetstream"]["streamConfig"]["replicas"] == members


@pytest.mark.parametrize("profile", PROFILES)
def test_the_controller_of_buses_knows_the_version_of_ours(
    catalog: Catalog, renderer: Make, profile: str
) -> None:
    """Any other is "unsupported", and there is no bus (pkg/reconciler/config.go)."""
    made = everything(renderer(profile), catalog["argo-events"])
    bus = next(manifest for manifest in made["glue"] if manifest["kind"] == "EventBus")
    known = made["values"]["configs"]["jetstream"]["versions"]
    assert bus["spec"]["jetstream"]["version"] in [item["version"] for item in known]
    assert all(isinstance(item["version"], str) for item in known)


def test_a_bus_that_was_there_before_is_still_known(catalog: Catalog, renderer: Make) -> None:
    """A user's own, and ours between the release and its manifests."""
    values = renderer("minimal").values(catalog["argo-events"])
    images = {
        item["version"]: item["natsImage"] for item in values["configs"]["jetstream"]["versions"]
    }
    assert images["2.10.10"] == images["latest"] == "nats:2.10.29"


def test_no_bus_of_the_deprecated_kind_is_offered(catalog: Catalog, renderer: Make) -> None:
    """The program wants one version of it to be listed; ours is none that a bus asks for."""
    listed = renderer("minimal").values(catalog["argo-events"])["configs"]["nats"]["versions"]
    assert [item["version"] for item in listed] == ["none"]


def test_pods_of_sources_and_sensors_are_not_pulled_always(
    catalog: Catalog, renderer: Make
) -> None:
    """What their own template says of it is not looked at; the controller's environment is."""
    values = renderer("production").values(catalog["argo-events"])
    assert {"name": "IMAGE_PULL_POLICY", "value": "IfNotPresent"} in values["controller"]["env"]


@each
def test_filters_match_a_text_as_a_whole(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    """Argo Events looks for a string filter's value anywhere, and a list reads as JSON."""
    for sensor in glue(renderer(profile), catalog[name]):
        for data in mappings(sensor, "data") if sensor["kind"] == "Sensor" else ():
            for entry in data:
                assert entry["type"] == "string"
                assert not entry["path"].startswith("headers.")
                assert all(value[0] == "^" and value[-1] == "$" for value in entry["value"])
                assert all(re.compile(value) for value in entry["value"])


def test_mails_tell_of_failed_runs_and_of_nothing_else(catalog: Catalog, renderer: Make) -> None:
    sensor = next(
        m for m in glue(renderer("production"), catalog["argo-events"]) if m["kind"] == "Sensor"
    )
    filters = {item["path"]: item["value"] for item in next(mappings(sensor, "data"))}

    def passes(event: str, action: str, conclusion: str) -> bool:
        seen = {
            "body.X-GitHub-Event": event,
            "body.action": action,
            "body.workflow_run.conclusion": conclusion,
        }
        return seen.keys() == filters.keys() and all(
            any(re.search(value, seen[path]) for value in values)
            for path, values in filters.items()
        )

    assert passes("workflow_run", "completed", "failure")
    assert passes("workflow_run", "completed", "timed_out")
    assert not passes("workflow_run_attempt", "completed", "failure")
    assert not passes("workflow_run", "not_completed", "failure")
    assert not passes("workflow_run", "completed", "startup_failure")


@pytest.mark.parametrize("profile", PROFILES)
def test_big_deliveries_are_taken_and_fit_the_bus(
    catalog: Catalog, renderer: Make, profile: str
) -> None:
    """All three end at 1 MB by default, and GitHub's big pushes do not."""
    made = renderer(profile)
    kinds = {item["kind"]: item for item in glue(made, catalog["argo-events"])}
    body = kinds["EventSource"]["spec"]["github"]["org"]["webhook"]["maxPayloadSize"]
    assert kinds["EventBus"]["spec"]["jetstream"]["maxPayload"] == "8MB"
    # In base64, with room for what else an event says.
    assert 5 * 2**20 < body < 8 * 2**20 * 3 / 4 - 2**17
    access = catalog["argo-events"].access
    assert access is not None
    assert access.annotations == {"nginx.ingress.kubernetes.io/proxy-body-size": "6m"}


def test_texts_of_the_configuration_stay_texts(catalog: Catalog, renderer: Make) -> None:
    """A name of digits would be a number, which the program refuses."""
    smtp = {"host": "1234", "sender": "a@example.com", "recipients": ["b@example.com"]}
    made = renderer("production", smtp=smtp)
    sensor = next(m for m in glue(made, catalog["argo-events"]) if m["kind"] == "Sensor")
    assert next(mappings(sensor, "email"))["host"] == "1234"
    notifiers = made.values(catalog["argocd"])["notifications"]["notifiers"]
    assert yaml.safe_load(notifiers["service.email"])["host"] == "1234"


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_tells_what_it_was_held_against(catalog: Catalog, name: str) -> None:
    """A chart takes any value; what the program refuses is seen in its source, or when it runs."""
    component = catalog[name]
    assert component.checked
    text = " ".join(one.against for one in component.checked)
    assert component.chart.path or f"{component.chart.name} {component.chart.version}" in text


def test_only_agents_that_are_switched_on_are_known_to_the_controller(
    catalog: Catalog, renderer: Make
) -> None:
    values = renderer("minimal").values(catalog["controller"])
    assert {name: agent["githubApp"] for name, agent in values["agents"].items()} == {
        "rex": "cto-agent-rex"
    }
    assert values["secrets"]["providers"] == {"anthropic": "ANTHROPIC_API_KEY"}
    bare = renderer("minimal", agents={}, providers={}).values(catalog["controller"])
    assert bare["agents"] == {}
    assert bare["secrets"]["providers"] == {}


@pytest.mark.parametrize("snapshots", [False, True])
def test_volumes_are_kept_by_snapshots_where_they_are_wanted(
    catalog: Catalog, renderer: Make, *, snapshots: bool
) -> None:
    made = renderer("production", backups={"snapshots": snapshots})
    values = made.values(catalog["backup-operator"])
    assert values["configuration"].get("features") == ("EnableCSI" if snapshots else None)
    template = values["schedules"]["platform"]["template"]
    assert template["snapshotVolumes"] is snapshots
    assert {"cto", "cto-system", "default"} <= {*template["includedNamespaces"]}


def test_grafana_knows_metrics_only_where_they_are(catalog: Catalog, renderer: Make) -> None:
    """`components.victoria-metrics.mode` may have taken them away."""
    for names, count in ((["grafana", "victoria-metrics"], 1), (["grafana"], 0)):
        values = renderer("standard", components=names).values(catalog["grafana"])
        assert len(values["datasources"]["datasources.yaml"]["datasources"]) == count


def test_a_component_is_asked_for_by_a_switch_that_there_is(catalog: Catalog) -> None:
    """Every switch adds one, but for those that change what others are like."""
    features = {component.feature for component in catalog.components} - {None}
    assert features == {*Features.model_fields} - {"mail_notifications", "high_availability"}
    assert all(
        component.required == (not (component.feature or component.ingress_class or component.when))
        for component in catalog.components
    )


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_chart_is_pinned(catalog: Catalog, name: str) -> None:
    chart = catalog[name].chart
    if chart.path:
        assert (_BUNDLE / chart.path / "Chart.yaml").is_file()
    else:
        assert chart.url.endswith(f"/{chart.name}-{chart.version}.tgz")
        assert re.fullmatch(r"[0-9a-f]{64}", chart.sha256)


@pytest.mark.parametrize("name", COMPONENTS)
def test_requests_grow_with_the_profile(catalog: Catalog, name: str) -> None:
    assert catalog[name].resources
    for container in catalog[name].resources.values():
        assert container.requests.keys() == {*PROFILES}
        for small, big in pairwise(container.requests[profile] for profile in PROFILES):
            assert quantity(small.cpu) <= quantity(big.cpu)
            assert quantity(small.memory) <= quantity(big.memory)


@each
def test_what_containers_ask_for_is_written_once(
    catalog: Catalog, renderer: Make, name: str, profile: str
) -> None:
    """In component.yaml, which the preflight adds up: templates hold no quantity of their own.

    But for init containers, which ask for less than what comes after them, and for what runs beside
    the steps of workflows.
    """
    component = catalog[name]
    given = {
        (requests.cpu, requests.memory)
        for container in component.resources.values()
        for requests in container.requests.values()
    }
    made = everything(renderer(profile), component)
    for asked in mappings(made, "requests"):
        if "storage" in asked:
            continue
        least = quantity(asked["cpu"]) <= 0.01 and quantity(asked["memory"]) <= 64 * 2**20
        assert (asked["cpu"], asked["memory"]) in given or least


@pytest.mark.parametrize(
    ("profile", "cpus", "memory"),
    [("minimal", 4, "8Gi"), ("standard", 8, "16Gi"), ("production", 16, "32Gi")],
)
def test_half_of_the_machine_is_left_for_the_work(
    catalog: Catalog, renderer: Make, profile: str, cpus: int, memory: str
) -> None:
    """All components together, even those that the profile leaves out."""
    made = renderer(profile)
    asked = [one for item in catalog.components for one in made.asked(item).values()]
    assert sum(one.pods * quantity(one.requests.cpu) for one in asked) <= cpus / 2
    assert sum(one.pods * quantity(one.requests.memory) for one in asked) <= quantity(memory) / 2


def quantity(text: str) -> float:
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1)


def test_ports_are_nobody_elses(catalog: Catalog) -> None:
    accesses = [component.access for component in catalog.components if component.access]
    node = [access.node_port for access in accesses if access.node_port]
    host = [access.host_port for access in accesses if access.host_port]
    assert len(set(node)) == len(node)
    assert all(30000 <= port <= 32767 for port in node)
    assert sorted(host) == [80, 2746, 3000, 8080]


def test_components_that_share_a_namespace_agree_about_it(catalog: Catalog) -> None:
    levels: dict[str, dict[str, str]] = {}
    for component in catalog.components:
        labels = dict(component.namespace_labels)
        assert levels.setdefault(component.namespace, labels) == labels
        level = labels["pod-security.kubernetes.io/enforce"]
        # The collector of logs reads files of the nodes, and is alone in its namespace.
        assert level in {"baseline", "restricted"} or component.namespace == "logging"


@pytest.mark.parametrize("name", COMPONENTS)
def test_secrets_of_access_are_made_by_somebody(catalog: Catalog, name: str) -> None:
    access = catalog[name].access
    if access is None or not access.secret:
        return
    secret, _, key = access.secret.partition("/")
    made = {(one.name, k) for one in catalog[name].generated_secrets for k in one.keys}
    # Argo CD's server makes its own at its first start.
    assert (secret, key) in made | {("argocd-initial-admin-secret", "password")}
