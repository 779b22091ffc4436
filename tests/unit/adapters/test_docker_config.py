"""The proxies that docker puts into containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cto.adapters.docker_config import folder_of, proxies

SOCKET = "unix:///var/run/docker.sock"
DEFAULT = {"httpsProxy": "http://proxy:3128", "noProxy": "a.io"}
HERE = {"httpProxy": "http://here:3128", "ftpProxy": "ftp://here"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"default": DEFAULT}, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "a.io"}),
        ({"default": DEFAULT, SOCKET: HERE}, {"HTTP_PROXY": "http://here:3128"}),
        ({"default": DEFAULT, "tcp://other:2376": HERE}, {**DEFAULT}),
        ({"default": DEFAULT, SOCKET: {}}, {}),
        ({SOCKET: HERE}, {"HTTP_PROXY": "http://here:3128"}),
        ({"default": {"httpProxy": ""}}, {}),
        ({}, {}),
        (None, {}),
        ([], {}),
    ],
)
def test_the_daemon_s_own_entry_comes_before_the_default(
    tmp_path: Path, found: object, expected: dict[str, str]
) -> None:
    names = {"httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY"}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": found}))
    assert proxies(tmp_path, SOCKET) == {names.get(k, k): v for k, v in expected.items()}


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"proxies": {"default": 3}}'])
def test_a_file_that_docker_cannot_read_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert proxies(tmp_path, SOCKET) == {}


def test_the_folder_is_where_docker_looks() -> None:
    assert folder_of({"HOME": "/home/me"}) == Path("/home/me/.docker")
    assert folder_of({"HOME": "/home/me", "DOCKER_CONFIG": "/etc/d"}) == Path("/etc/d")
