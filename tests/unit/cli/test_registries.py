"""Which addresses are asked for the images of a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto.cli.registries import RegistryOptions, login_files
from cto.errors import UsageError


def test_a_hosts_own_mirrors_come_before_those_of_every_host() -> None:
    options = RegistryOptions(mirrors=("*=all.example", "quay.io=q.example/q", "quay.io=r.example"))
    assert options.mirrors_of(["quay.io", "docker.io"]) == {
        "docker.io": ["all.example"],
        "quay.io": ["q.example/q", "r.example", "all.example"],
    }


def test_without_mirrors_there_are_none() -> None:
    assert RegistryOptions().mirrors_of(["docker.io"]) == {}


@pytest.mark.parametrize("text", ["docker.io", "=address", "docker.io="])
def test_a_mirror_is_a_host_and_an_address(text: str) -> None:
    with pytest.raises(UsageError, match="not HOST=ADDRESS") as caught:
        RegistryOptions(mirrors=(text,)).mirrors_of([])
    assert caught.value.code == "CTO-1200"


@pytest.mark.parametrize(
    ("env", "files"),
    [
        ({"HOME": "/home/me"}, ["/home/me/.docker/config.json"]),
        ({"HOME": "/home/me", "DOCKER_CONFIG": "/d"}, ["/d/config.json"]),
        ({}, ["/.docker/config.json"]),
        (
            {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1"},
            ["/h/.docker/config.json", "/run/user/1/containers/auth.json"],
        ),
        (
            {"HOME": "/h", "XDG_RUNTIME_DIR": "/r", "REGISTRY_AUTH_FILE": "/a.json"},
            ["/a.json", "/h/.docker/config.json"],
        ),
    ],
)
def test_log_ins_are_where_docker_and_podman_keep_them(
    env: dict[str, str], files: list[str]
) -> None:
    assert login_files(env) == tuple(map(Path, files))
