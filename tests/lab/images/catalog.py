"""Which images there are to stand in for, and what is asked of each where it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.tools import build

ROOT = Path(__file__).resolve().parents[3]
NODE = "kindest/node"


@dataclass(frozen=True)
class Debian:
    """Where the real program is, and how upstream's image calls it."""

    package: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    """Files and folders of Debian's packages that an image has, with the libraries of programs."""

    suite: str
    packages: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """Which program of `modules.py` is the real one, and how upstream's image calls it.

    Attributes:
        at: Where the image has it, if it is not what is called first; empty: nowhere, the image is
            for pods that the program makes.
        beside: Other programs that are in the image, by where.
        links: What else is in the image, by name: where it points to.
        scripts: What else is in the image, by name: its text.
        user: Whom the image names.
        tree: What else of Debian is in the image.
    """

    program: str
    argv: tuple[str, ...]
    at: str | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    tree: Tree | None = None

    @property
    def place(self) -> str:
        return self.argv[0] if self.at is None else self.at


@dataclass(frozen=True)
class Role:
    """What a container of the image must do: listen, and be called by names that pods use.

    `ports`: what the containers of the upstream charts are asked on; `tls` after a slash.
    `debian`, `module`: where the real program is to be had; in an image that has it nothing is
    played. The one of a module is for who asks for it, and comes first then.
    """

    ports: str = ""
    names: tuple[str, ...] = field(default=("/bin/sh", "/bin/cp"))
    debian: Debian | None = None
    module: Module | None = None


_PLUGIN = "/plugins/velero-plugin-for-aws"
_SHELL = {"/bin/sh": "/usr/bin/dash"}
_PG = "/usr/lib/postgresql/18"
# Of programs that ask who they are, the users are in the image.
_USERS = {"/etc/passwd": "postgres:x:26:26::/var/lib/postgresql:/bin/sh\n"}

# One program: the name that it is called by says which part it plays.
_ARGOCD = "/usr/local/bin/argocd"
_PARTS = (
    *("application-controller", "applicationset-controller", "commit-server", "notifications"),
    *("cmp-server", "dex", "k8s-auth", "repo-server", "server"),
)
# What it calls to see signatures; a wrong one is told by the text, not by the exit code.
_TOLERANT = '#!/bin/sh\n%s "$@" 2>&1 || [ $? -eq 1 ]\n'
_GITOPS = Tree(
    "trixie",
    ("coreutils", "dash", "git", "gpg", "gpg-agent", "openssh-client", "tini"),
    (
        *(f"/usr/bin/{name}" for name in ("cp", "dash", "git", "gpg", "gpg-agent", "ssh", "tini")),
        *("/usr/lib/git-core", "/usr/share/git-core"),
    ),
)

# By repository; what is not here runs until it is told to end.
ROLES = {
    # One program in five pods: server, repositories, applications, sets, notifications.
    "argoproj/argocd": Role(
        "7000 8080 8081 8082 8083 8084 9001",
        module=Module(
            "argo-cd",
            ("/usr/bin/tini", "--"),
            at=_ARGOCD,
            links={
                **dict.fromkeys((f"{_ARGOCD}-{part}" for part in _PARTS), _ARGOCD),
                **_SHELL,
                "/bin/cp": "/usr/bin/cp",
                "/etc/ssh/ssh_known_hosts": "/app/config/ssh/ssh_known_hosts",
            },
            scripts={
                "/etc/passwd": "argocd:x:999:999::/home/argocd:/bin/sh\n",
                "/usr/local/bin/gpg-wrapper.sh": _TOLERANT % "gpg",
                "/usr/local/bin/git-verify-wrapper.sh": _TOLERANT % "git verify-commit",
            },
            user="999",
            tree=_GITOPS,
        ),
    ),
    "argoproj/argocli": Role("2746", module=Module("argo", ("/bin/argo",))),
    # The operator's probes and metrics; the pods of an event source.
    "argoproj/argo-events": Role(
        "7777 8081 12000", module=Module("argo-events", ("/bin/argo-events",))
    ),
    # Runs beside the steps of workflows, which a stand-in for the controller makes none of.
    "argoproj/argoexec": Role(module=Module("argoexec", ("/bin/argoexec",))),
    "argoproj/workflow-controller": Role(
        "6060 9090",
        names=("/bin/workflow-controller",),
        module=Module("workflow-controller", ("/bin/workflow-controller",)),
    ),
    "cloudnative-pg/cloudnative-pg": Role(
        "8080 9443/tls",
        names=("/manager",),
        module=Module(
            "cloudnative-pg",
            ("/manager",),
            # The name that it looks for itself by, to copy itself into the pods of databases.
            links={f"/operator/manager_{build.machine()}": "/manager"},
        ),
    ),
    "cloudnative-pg/postgresql": Role(
        module=Module(
            "cloudnative-pg",
            (f"{_PG}/bin/postgres",),
            at="",
            links=_SHELL,
            scripts=_USERS,
            user="26",
            tree=Tree(
                "forky",
                ("dash", "postgresql-18"),
                ("/usr/bin/dash", _PG, "/usr/share/postgresql/18", "/usr/share/zoneinfo"),
            ),
        )
    ),
    "cloudflare/cloudflared": Role("2000", names=("/usr/local/bin/cloudflared",)),
    "docker/library/haproxy": Role("6379 8404"),
    "docker/library/redis": Role(
        "6379 26379",
        debian=Debian("redis-server", ("/usr/bin/redis-server", "--protected-mode", "no")),
    ),
    "dexidp/dex": Role("5556 5558"),
    "grafana/grafana": Role("3000 9094"),
    "library/nats": Role("4222 6222 8222", module=Module("nats-server", ("/nats-server",))),
    "library/traefik": Role("8000 8080 8443", module=Module("traefik", ("/traefik",))),
    "natsio/prometheus-nats-exporter": Role("7777"),
    "ngrok/ngrok": Role("4040", names=("/bin/ngrok",)),
    "opstree/redis": Role("6379"),
    "opstree/redis-exporter": Role("9121"),
    "opstree/redis-operator": Role("8080 8081"),
    "opstree/redis-sentinel": Role("26379"),
    "velero/velero": Role("8085", module=Module("velero", ("/velero",))),
    "velero/velero-plugin-for-aws": Role(
        module=Module(
            "velero-plugin-for-aws",
            ("/bin/cp-plugin", _PLUGIN, "/target/velero-plugin-for-aws"),
            at=_PLUGIN,
            beside={"/bin/cp-plugin": "cp-plugin"},
        )
    ),
    "versity/versitygw": Role(
        "7070",
        names=("/usr/local/bin/versitygw",),
        module=Module("versitygw", ("/usr/local/bin/versitygw",)),
    ),
    "victoriametrics/vlagent": Role("9429", module=Module("vlagent", ("/vlagent-prod",))),
    "victoriametrics/victoria-logs": Role(
        "9428", module=Module("victoria-logs", ("/victoria-logs-prod",))
    ),
    "victoriametrics/victoria-metrics": Role(
        "8428",
        debian=Debian("victoria-metrics", ("/usr/bin/victoria-metrics",)),
        module=Module("victoria-metrics", ("/victoria-metrics-prod",)),
    ),
}


@dataclass(frozen=True)
class Program:
    """A real program for an image: what it is, and its files by their names in there."""

    repository: str
    what: str
    argv: tuple[str, ...]
    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True, order=True)
class Reference:
    """An image's name in its parts."""

    host: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        host, _, rest = text.partition("/")
        repository, _, tag = rest.partition(":")
        return cls(host, repository, tag)

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}:{self.tag}"

    @property
    def role(self) -> Role:
        return ROLES.get(self.repository, Role())


def references() -> list[Reference]:
    """List every image of the lock but kind's node."""
    return [one for one in _locked() if one.repository != NODE]


def nodes(kubernetes: str) -> list[Reference]:
    """List the names that kind's node image is asked for by."""
    text = (ROOT / "bundle" / "platform.yaml").read_text()
    named = [Reference.parse(name) for name in re.findall(rf"\S+/{NODE}:[\w.-]+", text)]
    locked = [one for one in _locked() if one.repository == NODE]
    return sorted({*named, *locked, Reference("docker.io", NODE, f"v{kubernetes}")})


def _locked() -> list[Reference]:
    # By hand: there may be no YAML library yet. `cto bundle lock` writes the file, line by line.
    text = (ROOT / "bundle" / "lock.yaml").read_text()
    return [Reference.parse(name) for name in re.findall(r"^- image: (\S+)$", text, re.MULTILINE)]
