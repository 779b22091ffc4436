"""Everything that an installation may leave on a machine, to be compared before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from .engine import Engine
from .installer import Installer

# Records that come and go by themselves, whatever is installed.
_PASSING = {
    "certificatesigningrequests.certificates.k8s.io",
    "componentstatuses",
    "events",
    "events.events.k8s.io",
}


def objects(installer: Installer) -> set[str]:
    """Return kind, namespace and name of everything that the cluster has."""
    kinds = set(installer.kubectl("api-resources", "--verbs=list", "-o", "name").split())
    columns = "custom-columns=:kind,:metadata.namespace,:metadata.name"
    words = ("get", ",".join(sorted(kinds - _PASSING)), "--all-namespaces", "--no-headers")
    listed = installer.kubectl(*words, "-o", columns)
    return {" ".join(line.split()) for line in listed.splitlines()}


@dataclass(frozen=True)
class File:
    """A file as its owner sees it."""

    uid: int
    gid: int
    mode: str

    @classmethod
    def at(cls, path: Path) -> File:
        status = path.lstat()
        return cls(status.st_uid, status.st_gid, oct(status.st_mode))


@dataclass(frozen=True)
class Inventory:
    """What there is: in Docker, in a mounted folder, and in the kubeconfig in it."""

    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    images: frozenset[str]
    files: Mapping[str, File]
    kubeconfig: frozenset[str]

    @classmethod
    def of(cls, engine: Engine, folder: Path) -> Inventory:
        """Look at everything; `folder` is what is mounted as ~/.kube."""
        return cls(
            containers=frozenset(engine.containers()),
            networks=frozenset(engine.networks()),
            volumes=frozenset(engine.out("volume", "ls", "--quiet").split()),
            images=frozenset(
                engine.out("image", "ls", "--all", "--digests", "--format", _IMAGE).splitlines()
            ),
            files={
                str(path.relative_to(folder)): File.at(path) for path in sorted(folder.rglob("*"))
            },
            kubeconfig=frozenset(entries(folder / "config")),
        )

    def gained(self, before: Inventory) -> dict[str, object]:
        """Return what is new or changed since, by kind; {} if nothing is."""
        found: dict[str, object] = {}
        for one in fields(self):
            now, then = getattr(self, one.name), getattr(before, one.name)
            if isinstance(now, frozenset):
                change: object = {*now - then}
            else:
                change = {path: file for path, file in now.items() if then.get(path) != file}
            if change:
                found[one.name] = change
        return found


_IMAGE = "{{.Repository}}:{{.Tag}}@{{.Digest}} {{.ID}}"


def entries(kubeconfig: Path) -> list[str]:
    """List clusters, users and contexts of a kubeconfig, and which one is current."""
    if not kubeconfig.exists():
        return []
    document = yaml.safe_load(kubeconfig.read_text()) or {}
    names = [
        f"{kind}/{one['name']}"
        for kind in ("clusters", "users", "contexts")
        for one in document.get(kind) or ()
    ]
    return [*names, f"current/{document.get('current-context') or ''}"]
