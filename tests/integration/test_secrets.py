"""The canary hunt: secrets that are planted or generated are in their Kubernetes Secrets only."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cto.bundle.lock import read_lock
from cto.bundle.rendering import own_images
from cto.catalog import load
from cto.objects import ObjectRef

from .canaries import Hunt, command_lines, forms, is_meant, shims
from .conftest import ROOT, Lab

# Every one has what JSON, YAML, URLs and shells write in another way.
IN_FILE = {
    "webhook secret": 'cny-hook/"7Qz"+&%?é=1',
    "literal key": "cny-openai/9dK+&x%41'y'=",
    "key of the store": 'cny-store/3Gh"+&%3f=',
}
IN_ENV = {
    "mail password": "cny-mail/ 4tB$HOME+&%7e=",
    "key of the environment": "cny-anthropic/2Lw\\n+&%0a=",
    # A chart's own ${…}: nobody puts the variable in its place.
    "value of a component": "cny-value/6Jr+&%2f=",
}
ON_STDIN = {"registry password": "cny-registry/8Vp+&%3d;="}
MISPLACED = {"misplaced password": "cny-misplaced/5Xs+&%2b="}
GENERATED = {
    "password of the cache": ObjectRef("v1", "Secret", "argocd", "argocd-redis"),
    "password of Grafana": ObjectRef("v1", "Secret", "monitoring", "grafana-admin"),
}
LOCK = ROOT / "bundle" / "lock.yaml"
VARIABLES = {
    "LAB_MAIL": IN_ENV["mail password"],
    "LAB_KEY": IN_ENV["key of the environment"],
    "LAB_VALUE": IN_ENV["value of a component"],
}


@dataclass
class Expedition:
    """Runs the commands, and keeps all that can be seen of them."""

    lab: Lab
    folder: Path
    hunt: Hunt = field(default_factory=Hunt)
    meant: Hunt = field(default_factory=Hunt)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    lines: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def env(self) -> dict[str, str]:
        own = {"CTO_TOOLS": str(self.folder / "tools"), "TMPDIR": str(self.folder / "tmp")}
        return {**self.lab.env, **VARIABLES, **own}

    def write(self) -> None:
        """Write what users write: JSON is YAML, and quotes everything."""
        shims(self.lab.tools, self.folder / "tools", self.records)
        (self.folder / "tmp").mkdir()
        config = {
            "features": {"monitoring": True, "mail_notifications": True},
            "github": {"webhook_secret": IN_FILE["webhook secret"]},
            "object_store": {
                "bucket": "cto",
                "access_key": "somebody",
                "secret_key": IN_FILE["key of the store"],
            },
            "providers": {"openai": IN_FILE["literal key"], "anthropic": "${LAB_KEY}"},
            "smtp": {
                "host": "smtp.example.com",
                "username": "cto",
                "password": "${LAB_MAIL}",
                "sender": "cto@example.com",
                "recipients": ["team@example.com"],
            },
            "components": {
                "argo-events": {"values": {"controller": {"podAnnotations": {"a": "${LAB_VALUE}"}}}}
            },
        }
        (self.folder / "cto.yaml").write_text(json.dumps(config))
        # As a push writes it: nothing here asks whether the registry has the images.
        digest = f"sha256:{'a' * 64}"
        images = [item.image for item in read_lock(LOCK).images]
        images += own_images(load(ROOT / "bundle").components)
        mapping = {name: f"{name}@{digest}" for name in images}
        (self.folder / "mapping.json").write_text(json.dumps(mapping))
        wrong = {"smtp": {"password": [MISPLACED["misplaced password"]]}, "nodes": 1}
        (self.folder / "wrong.yaml").write_text(json.dumps(wrong))

    def stdin(self) -> str:
        registry = {"type": "generic", "url": "registry.example.com", "username": "puller"}
        password = {"password": ON_STDIN["registry password"]}
        unasked = {"mapping": str(self.folder / "mapping.json"), "check": False}
        return json.dumps({"registry": {**registry, **password, **unasked}})

    def run(self, *arguments: str, code: int = 0, config: bool = True) -> str:
        """Run a command to its end; return what it wrote to stdout."""
        files = ("--config", str(self.folder / "cto.yaml"), "--config", "-") if config else ()
        argv = self.lab.argv(*arguments, *files)
        with (
            subprocess.Popen(
                argv,
                env=self.env,
                cwd=self.lab.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
            command_lines(process.pid) as lines,
        ):
            out, err = process.communicate(self.stdin() if config else "", timeout=300)
        name = " ".join(arguments)
        assert process.returncode == code, f"cto {name}\n{out}\n{err}"
        self.outputs += [(f"stdout of {name}", out), (f"stderr of {name}", err)]
        self.lines += [(name, line) for line in lines.values()]
        return out


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("config", "validate"),
    ("config", "show"),
    ("config", "show", "--origin", "--output", "json"),
    ("plan", "install", "--provider", "kwok", "--debug"),
    ("plan", "install", "--provider", "kwok", "--output", "json"),
    ("install", "--provider", "kwok", "--debug"),
    ("install", "--provider", "kwok", "--output", "json", "--debug"),
    ("plan", "install", "--provider", "kwok", "--output", "mermaid"),
)
AFTER: tuple[tuple[str, ...], ...] = (
    ("status", "--debug"),
    ("status", "--output", "json"),
    ("plan", "uninstall"),
    ("plan", "uninstall", "--output", "json"),
)
REMOVAL = ("uninstall", "--yes", "--delete-data", "--debug")


@pytest.fixture(scope="module")
def expedition(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Expedition:
    """Everything that can be done with a configuration, and all traces of it, searched."""
    lab.forget()
    made = Expedition(lab, tmp_path_factory.mktemp("secrets"))
    made.write()
    made.hunt.secrets.update(**IN_FILE, **IN_ENV, **ON_STDIN, **MISPLACED)
    made.run(
        "config", "validate", "--config", str(made.folder / "wrong.yaml"), code=3, config=False
    )
    for command in COMMANDS:
        made.run(*command)
    for command in AFTER:
        made.run(*command, config=False)
    search_cluster(made)
    made.run(*REMOVAL, config=False)
    search_traces(made)
    return made


def search_cluster(expedition: Expedition) -> None:
    """Learn what was generated; then look at every object that there is."""
    hunt, cluster = expedition.hunt, expedition.lab.cluster()
    for name, ref in GENERATED.items():
        data = (cluster.get(ref) or {})["data"]
        key = "auth" if "auth" in data else "admin-password"
        hunt.secrets[name] = base64.b64decode(data[key]).decode()
    for kind in cluster.kinds():
        if {"list", "get"} <= kind.verbs:
            for manifest in cluster.list(kind.api_version, kind.kind):
                hunt.search_object(manifest, meant=is_meant(manifest))
                if is_meant(manifest):
                    expedition.meant.secrets = hunt.secrets
                    expedition.meant.search_object(manifest, meant=False)
    for manifest in cluster.list("v1", "ConfigMap", namespace="cto-system"):
        hunt.search_object(manifest, meant=False)
    cluster.close()


def search_traces(expedition: Expedition) -> None:
    hunt, folder = expedition.hunt, expedition.lab.folder
    for name, text in expedition.outputs:
        hunt.search("output", name, text)
    for name, line in expedition.lines:
        hunt.search("command line", name, line)
    for record in sorted(expedition.records.iterdir()):
        if record.suffix not in {".environ", ".stdin"}:
            hunt.search("argv", record.name, record.read_bytes())
    clusters = folder / "state" / "kwok" / "cto" / "clusters"
    # etcd is where Kubernetes keeps its Secrets.
    databases = frozenset(clusters.glob("*/etcd"))
    assert databases
    hunt.search_folder("file", folder, but=frozenset({*databases, folder / "charts"}))
    hunt.search_folder("file", expedition.folder / "tmp", but=frozenset())
    search_inputs(expedition)


def search_inputs(expedition: Expedition) -> None:
    """What helm inherits or reads may have what the user gave to just that, and nothing else."""
    hunt = expedition.hunt
    inherited = {name: hunt.secrets.pop(name) for name in IN_ENV if name in hunt.secrets}
    for record in expedition.records.glob("*.environ"):
        hunt.search("environment", record.name, record.read_bytes())
    hunt.secrets.update(inherited)
    for record in expedition.records.glob("*.stdin"):
        hunt.search("values", record.name, record.read_bytes())


def test_no_secret_is_anywhere_but_in_its_kubernetes_secret(expedition: Expedition) -> None:
    assert expedition.hunt.found == []


def test_everything_was_searched(expedition: Expedition) -> None:
    """A hunt that finds nothing must have been everywhere."""
    hunt = expedition.hunt
    count = len(IN_FILE) + len(IN_ENV) + len(ON_STDIN) + len(MISPLACED) + len(GENERATED)
    assert len(hunt.secrets) == count
    places = hunt.places
    assert places["object"] > 200
    assert places["Helm record"] == 8
    assert places["output"] == 2 * (len(COMMANDS) + len(AFTER) + 2)
    assert places["argv"] >= 14
    assert places["command line"] >= places["argv"] / 2
    assert places["values"] >= 7
    assert places["environment"] == places["argv"]
    assert places["file"] > 10


def test_the_secrets_are_where_they_are_meant_to_be(expedition: Expedition) -> None:
    """The same search finds them there, so it would find them elsewhere."""
    assert set(expedition.meant.found) == {
        "key of the environment in object Secret cto/cto-secrets",
        "key of the store in object Secret argo/object-store",
        "literal key in object Secret cto/cto-secrets",
        "mail password in object Secret argo-events/smtp",
        "mail password in object Secret argocd/argocd-notifications-secret",
        "mail password in object Secret monitoring/grafana-smtp",
        "password of Grafana in object Secret monitoring/grafana-admin",
        "password of the cache in object Secret argocd/argocd-redis",
        "webhook secret in object Secret argo-events/github-webhook-secret",
        *(
            f"registry password in object Secret {namespace}/cto-registry"
            for namespace in sorted(
                {
                    one.namespace
                    for one in load(ROOT / "bundle").components
                    if one.required or one.feature == "monitoring"
                }
            )
        ),
    }


def test_sources_are_shown_in_the_place_of_secrets(expedition: Expedition) -> None:
    texts = dict(expedition.outputs)
    shown = texts["stdout of config show --origin --output json"]
    assert "LAB_MAIL" in shown
    assert "cto.yaml:" in shown


@pytest.mark.parametrize("around", [b"", b"a", b"ab"])
def test_the_hunt_finds_every_form(around: bytes) -> None:
    """Whatever stands before and after it."""
    secret = IN_FILE["webhook secret"]
    inside = around + secret.encode() + b"xyz"
    for text in (
        inside,
        base64.b64encode(inside),
        base64.urlsafe_b64encode(inside),
        json.dumps(secret).encode(),
        inside.hex().encode(),
    ):
        hunt = Hunt({"it": secret})
        hunt.search("text", "here", text)
        assert hunt.found == ["it in text here"]
    assert all(len(form) >= len(secret) for form in forms(secret))


def test_the_hunt_looks_into_helm_records() -> None:
    release = base64.b64encode(base64.b64encode(gzip.compress(b'{"config": {"a": "cny-x"}}')))
    record = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": "sh.helm.release.v1.a.v1", "namespace": "a"},
        "data": {"release": release.decode()},
    }
    hunt = Hunt({"it": "cny-x"})
    hunt.search_object(record, meant=False)
    assert hunt.found == ["it in Helm record Secret a/sh.helm.release.v1.a.v1"]
