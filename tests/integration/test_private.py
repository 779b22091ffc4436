"""A registry of the user's own: nothing is left of upstream's hosts, and nobody sees the password.

The registry is CNCF Distribution with TLS and tokens, filled by `cto bundle push`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cto.bundle.collect import pod_images
from cto.bundle.lock import Lock, read_lock, write_lock
from cto.bundle.rendering import own_images, render_targets
from cto.cli.relocating import Source, moved
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.config.model import Config
from cto.engine.preflight import supported
from cto.objects import Manifest, ObjectRef
from cto.plan.desired import Destination, desired_state
from cto.plan.observed import Observed
from cto.plan.selection import select
from cto.ports import ReleaseSpec
from cto_airgap.oci import digest_of
from cto_airgap.reference import parse_reference
from lab.registry import running
from lab.registry.running import Registries

from .bundle_registry import PLATFORMS, distribution
from .canaries import Hunt, is_meant, shims
from .conftest import Lab
from .test_bundle import COMMITTED, Desk

LOCK = read_lock(COMMITTED)
MIRROR = "registry.example.com/cto/"
UPSTREAM = sorted({parse_reference(item.image).host for item in LOCK.images} | {"cto.internal"})
# Whatever is pulled without naming a host comes from Docker's.
SHORT = sorted(
    name.partition(":")[0]
    for item in LOCK.images
    for name in parse_reference(item.image).spellings
    if len(name) < len(item.image)
)
# What is one word before a slash may be a namespace.
WORDS, PATHS = (
    [n for n in [*UPSTREAM, *SHORT] if is_word is n.isalpha()] for is_word in (True, False)
)
NAMES = re.compile(
    rf"(?<![\w./-])(?:(?:{'|'.join(map(re.escape, PATHS))})(?=[:/]\w)"
    rf"|(?:{'|'.join(map(re.escape, WORDS))})(?=:\w))"
)
SECRET = "cto-registry"


# what is rendered


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string, keys too, with where it is."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield path, str(key)
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from leaves(value, f"{path}[{number}]")
    elif isinstance(tree, str):
        yield path, tree


def left_over(manifest: Manifest) -> Iterator[str]:
    """Yield what is still pulled from upstream, or named as if it were."""
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    for image in pod_images(manifest):
        if not (image.name.startswith(MIRROR) and "@sha256:" in image.name):
            yield f"{where}: {image}"
    for path, text in leaves(manifest):
        for found in NAMES.finditer(text):
            yield f"{where}{path}: {text[found.start() :][:80]}"


def rendered(lab: Lab) -> Iterator[tuple[str, Manifest]]:
    """Yield everything that any profile applies, with its component. No object comes twice."""
    wiring = Wiring(
        CommandSettings(ClusterOptions(charts=lab.charts, tools=lab.tools), env=lab.env)
    )
    catalog, helm, seen = wiring.catalog, wiring.templates(), set()
    images = [*(item.image for item in LOCK.images), *own_images(catalog.components)]
    known = {name: digest_of(name.encode()) for name in images}
    login = {"url": "registry.example.com", "username": "robot", "password": "hunter2"}
    newest = supported(wiring.settings.bundle).ends[1]
    names = [item.name for item in catalog.components]
    for target in render_targets(wiring.settings.profiles, names):
        # With a store, the cluster's or another: no other one has the image of Velero's plugin.
        store = {} if target.config.features.object_store else {"bucket": "cto"}
        more = {"registry": {"type": "generic", **login}, "object_store": store}
        given = Config.model_validate(more)
        config = target.config.model_copy(update={name: getattr(given, name) for name in more})
        selection = select(catalog, config)
        made = desired_state(
            config,
            selection,
            {item.name: wiring.charts.resolve(item) for item in selection.managed},
            Observed(exists=False, kube_version=newest, nodes=3, simulated=False),
            Destination(
                provider="existing",
                base=target.profile,
                relocations=moved(
                    config, selection.managed, target.profile, LOCK, Source("here", known, "")
                ).by_component,
            ),
        )
        for item in made.components:
            name = item.component.name
            yield from ((name, manifest) for manifest in (*item.before, *item.after))
            key = (name, json.dumps(item.values, sort_keys=True))
            if key not in seen:
                seen.add(key)
                spec = ReleaseSpec(
                    name=item.component.release,
                    namespace=item.component.namespace,
                    chart=item.chart,
                    values=item.values,
                    relocation=item.relocation,
                )
                for manifest in helm.template(spec, kube_version=newest):
                    yield name, manifest


NODES = {item.image for item in LOCK.images if "node" in {need.where for need in item.needed_by}}


def test_nothing_of_any_profile_names_upstream(lab: Lab) -> None:
    everything = [*rendered(lab)]
    assert [line for _, manifest in everything for line in left_over(manifest)] == []
    # Every image of the lock that manifests have at all has its new name somewhere; of those that
    # have none, Docker pulls the nodes' image.
    texts = json.dumps([manifest for _, manifest in everything])
    new = {item: f"{MIRROR}{item.image.rpartition(':')[0]}" for item in LOCK.images}
    hidden = {item for item, name in new.items() if name not in texts}
    assert {need.where for image in hidden for need in image.needed_by} == {
        "custom resources",
        "node",
    }
    # Programs that make pods under accounts of other namespaces are told what to pull with.
    assert f'"PULL_SECRET_NAME": "{SECRET}"' in texts
    assert f"imagePullSecrets:\\n    - {SECRET}" in texts


def test_the_search_finds_what_is_left() -> None:
    """A search that finds nothing must be able to."""
    for text in ("--image=quay.io/argoproj/argoexec:v1", "nats:2.10.10", "a natsio/x docker.io/x"):
        manifest = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}
        assert [*left_over({**manifest, "data": {"a": text}})]


# what is installed


@dataclass
class Private:
    """A registry with the images of a bundle under two folders, and installations from it."""

    lab: Lab
    folder: Path
    host: str
    ca_file: Path
    mapping: Path
    hunt: Hunt = field(default_factory=Hunt)
    outputs: list[tuple[str, str]] = field(default_factory=list)

    def install(self, *words: str, code: int = 0, **registry: Any) -> dict[str, Any]:
        """Install with a registry; what is not named is as it was pushed."""
        section = {
            "type": "generic",
            "url": self.host,
            "namespace": "one",
            "username": "robot",
            "password": running.PASSWORD,
            "mapping": str(self.mapping),
            "ca_file": str(self.ca_file),
            **registry,
        }
        file = self.folder / "cto.yaml"
        file.write_text(json.dumps({"registry": section}))
        self.hunt.secrets[section["password"]] = section["password"]
        env = {"CTO_TOOLS": str(self.folder / "tools")}
        words = ("--provider", "kwok", "--config", str(file), "--debug", *words)
        found = self.lab.data("install", *words, env=env, code=code)
        done = self.lab.runs[-1]
        self.outputs += [("stdout", done.stdout), ("stderr", done.stderr)]
        return found

    def objects(self) -> list[Manifest]:
        cluster = self.lab.cluster()
        kinds = [kind for kind in cluster.kinds() if {"list", "get"} <= kind.verbs]
        found = [item for kind in kinds for item in cluster.list(kind.api_version, kind.kind)]
        cluster.close()
        return found


@pytest.fixture(scope="module")
def private(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    folder = tmp_path_factory.mktemp("private")
    lab.forget()
    shims(lab.tools, folder / "tools", folder / "records")
    with distribution(folder / "upstream") as upstream, Registries(folder / "registry") as strict:
        found = {i.image: upstream.put_image(*name_of(i.image)) for i in LOCK.images}
        fields = {"platforms": PLATFORMS, "size": 1}
        images = [i.model_copy(update={"digest": found[i.image], **fields}) for i in LOCK.images]
        desk = Desk(folder, upstream, folder / "cache", lab.tools, lab.charts)
        write_lock(desk.lock, Lock(images=tuple(images)))
        bundle = desk.build()
        host = strict.start(tls=True, auth="token")
        login = {"auths": {host: {"username": "robot", "password": running.PASSWORD}}}
        (folder / "config.json").write_text(json.dumps(login))
        ca_file, mapping = strict.trust / "ca.pem", folder / "mapping.json"
        env = {"CTO_CA_FILE": str(ca_file), "DOCKER_CONFIG": str(folder)}
        for prefix in ("one", "two"):
            words = ("push", bundle, f"{host}/{prefix}", "-o", "json")
            mapping.write_text(desk.run(*words, env=env).stdout)
        yield Private(lab, folder, host, ca_file, mapping)


def name_of(image: str) -> tuple[str, str]:
    return parse_reference(image).repository, parse_reference(image).tag


def images_in(objects: list[Manifest]) -> set[str]:
    # Those of earlier versions of a Deployment stay, for rollbacks.
    current = [item for item in objects if item["kind"] != "ReplicaSet"]
    return {image.name for item in current for image in pod_images(item)}


def is_system(manifest: Manifest) -> bool:
    return str(manifest["metadata"].get("namespace", "")).startswith("kube-")


def login_of(objects: list[Manifest], namespace: str) -> Manifest:
    for item in objects:
        place = (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
        if place == ("Secret", namespace, SECRET):
            return item
    return {}


def test_from_the_first_installation_to_the_last(private: Private) -> None:
    """One cluster sees it all: each step stands on the one before."""
    first = private.install()
    assert first["changes"]
    objects = [item for item in private.objects() if not is_system(item)]
    check_images(private, objects, "one")
    check_logins(objects)

    assert private.install()["changes"] == []

    before = login_of(objects, "cto")
    rotated = private.install(password="rotated-1f9c2b", check=False)
    assert rotated["changes"] == []
    assert login_of(private.objects(), "cto")["data"] != before["data"]

    moved_to = private.install(namespace="two")
    releases = {step for step in moved_to["changes"] if step.startswith("release:")}
    assert releases == {f"release:{name}" for name in first["components"]}
    objects = [item for item in private.objects() if not is_system(item)]
    check_images(private, objects, "two")

    missing = private.install(namespace="three", code=4)
    assert missing["error"]["code"] == "CTO-1440"
    pushed = json.loads(private.mapping.read_text())["data"]["mapping"]
    needed = {
        item.image
        for item in LOCK.images
        if {need.component for need in item.needed_by} & {*first["components"]}
    }
    lacking = [f"{private.host}/three/{name}@" for name in pushed if name in needed - NODES]
    assert lacking
    assert [name for name in lacking if name not in missing["error"]["details"]] == []
    refused = private.install(password="wrong-8d1e77", code=4)
    assert refused["error"]["code"] == "CTO-1441"

    hunt_everywhere(private, objects)

    private.lab.run("uninstall", "--yes", "--provider", "kwok", "--delete-data")
    assert [i for i in private.objects() if i["metadata"]["name"] == SECRET] == []


def check_images(private: Private, objects: list[Manifest], prefix: str) -> None:
    found = images_in(objects)
    assert len(found) == 6
    assert [name for name in found if not name.startswith(f"{private.host}/{prefix}/")] == []
    mapping = json.loads(private.mapping.read_text())["data"]["mapping"].values()
    digests_there = {name.partition("@")[2] for name in mapping}
    assert {name.partition("@")[2] for name in found} <= digests_there


def check_logins(objects: list[Manifest]) -> None:
    pods = [item for item in objects if item["kind"] == "Pod"]
    assert pods
    for pod in pods:
        assert {"name": SECRET} in pod["spec"]["imagePullSecrets"]
        assert login_of(objects, pod["metadata"]["namespace"])
    used = {pod["metadata"]["namespace"] for pod in pods}
    accounts = [i for i in objects if i["kind"] == "ServiceAccount"]
    accounts = [i for i in accounts if i["metadata"]["namespace"] in used]
    assert len(accounts) > 2 * len(used)
    for account in accounts:
        assert {"name": SECRET} in account["imagePullSecrets"], account["metadata"]


def hunt_everywhere(private: Private, objects: list[Manifest]) -> None:
    hunt = private.hunt
    for item in objects:
        hunt.search_object(item, meant=is_meant(item))
    for name, text in private.outputs:
        hunt.search("output", name, text)
    hunt.search_folder("helm", private.folder / "records", but=frozenset())
    clusters = private.lab.folder / "state" / "kwok" / "cto" / "clusters"
    databases = frozenset(clusters.glob("*/etcd"))
    assert databases
    hunt.search_folder("file", private.lab.folder, but=databases)
    assert hunt.found == []
    assert hunt.places["Helm record"] >= 4
    assert hunt.places["helm"] > 10
    assert len(hunt.secrets) == 3
    ref = ObjectRef("v1", "Secret", "cto", SECRET)
    seen = Hunt(dict(hunt.secrets))
    seen.search_object(login_of(objects, ref.namespace), meant=False)
    assert seen.found == [f"{running.PASSWORD} in object Secret cto/{SECRET}"]
