"""What Docker wrote down."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from cto.errors import ConfigError
from cto_airgap import logins
from cto_airgap.logins import Login


def test_docker_s_log_ins_are_read(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    auth = base64.b64encode(b"me:se:cret").decode()
    auths = {
        "https://index.docker.io/v1/": {"auth": auth},
        "quay.io": {"username": "you", "password": "p"},
        "helper.example.com": {},
        "https://r.io:5000": {"auth": auth},
    }
    file.write_text(json.dumps({"auths": auths}))
    found = logins.read(file)
    assert found == {
        "docker.io": Login("me", "se:cret"),
        "quay.io": Login("you", "p"),
        "r.io:5000": Login("me", "se:cret"),
    }
    assert "cret" not in repr(found)


def test_there_may_be_no_log_ins(tmp_path: Path) -> None:
    assert logins.read(tmp_path / "config.json") == {}
    (tmp_path / "config.json").write_text("{}")
    assert logins.read(tmp_path / "config.json") == {}


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": {"x": {"auth": "%%hunter2"}}}'])
def test_log_ins_that_cannot_be_read_are_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        logins.read(tmp_path / "config.json")
    assert "hunter2" not in f"{caught.value.message}{caught.value.details}"
