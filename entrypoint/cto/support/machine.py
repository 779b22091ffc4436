"""What is gathered of the machine that the command runs on, and of its Docker."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cto.adapters.docker import DockerHost, Engine
from cto.adapters.host import Host
from cto.adapters.kind import registries_of
from cto.errors import CtoError
from cto.storage import nearest, trial, why
from cto.support import facts
from cto.support.gathering import told


def host(
    machine: Host, folders: Mapping[str, Path], versions: Callable[[], Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Yield the machine, and the versions of what runs on it.

    Args:
        machine: Where we run.
        folders: What each is for -> where it is, or is to be.
        versions: Returns those of cto and its tools.
    """
    total, available = machine.memory
    yield (
        facts.HOST,
        {
            "name": machine.name,
            "system": machine.system,
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "cpus": os.cpu_count() or 0,
            "memory_bytes": total,
            "memory_available_bytes": available,
            "in_container": machine.in_container,
            "user": os.geteuid(),
            "folders": [_folder(what, path) for what, path in folders.items()],
        },
    )
    yield facts.VERSIONS, versions()


def _folder(what: str, path: Path) -> dict[str, Any]:
    status = os.statvfs(nearest(path))
    refused = trial(path)
    return {
        "what": what,
        "path": str(path),
        "total_bytes": status.f_blocks * status.f_frsize,
        "free_bytes": status.f_bavail * status.f_frsize,
        # Some file systems count none.
        "free_inodes": status.f_favail if status.f_files else None,
        "refused": why(refused) if refused else "",
    }


def docker(engine: Engine | None, machine: Host) -> Iterator[tuple[str, Any]]:
    """Yield what Docker says of itself, and the platform's containers in it.

    Args:
        engine: Docker; None where there is no sign of one.
        machine: Where we run.
    """
    found: dict[str, Any] = {"there": engine is not None, "answers": False}
    if engine is None:
        yield facts.DOCKER, found
        return
    try:
        yield facts.DOCKER, {**found, "answers": True, **_docker(engine, machine)}
    except CtoError as error:
        yield facts.DOCKER, {**found, "error": told(error)}


def _docker(engine: Engine, machine: Host) -> dict[str, Any]:
    daemon = engine.daemon()
    served, gone, unasked = registries_of(engine)
    return {
        "product": daemon.product,
        "version": daemon.version,
        "system": daemon.system,
        "architecture": daemon.architecture,
        "storage_driver": daemon.storage_driver,
        "cgroup_version": daemon.cgroup_version,
        "rootless": daemon.rootless,
        "root": daemon.root,
        "cpus": daemon.cpus,
        "memory_bytes": daemon.memory,
        "free_bytes": DockerHost(engine, machine).free_disk(),
        "warnings": list(daemon.warnings),
        "registries": served,
        "gone": gone,
        "unasked": unasked,
    }


def tool_versions(version: str, tools: Mapping[str, str]) -> Mapping[str, Any]:
    return {"cto": version, "python": platform.python_version(), "tools": dict(tools)}
