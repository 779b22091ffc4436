"""The proxies that docker puts into containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cto.adapters.docker.config import HelperRunner, as_docker_reads, folder_of, proxies
from fakes.runner import FakeRunner, Reply

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


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "[" * 5000, "{}", '{"proxies": {"default": 3}}']
)
def test_a_file_that_docker_cannot_read_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert proxies(tmp_path, SOCKET) == {}


def test_the_folder_is_where_docker_looks() -> None:
    assert folder_of({"HOME": "/home/me"}) == Path("/home/me/.docker")
    assert folder_of({"HOME": "/home/me", "DOCKER_CONFIG": "/etc/d"}) == Path("/etc/d")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        ("null", {}),
        ('{"auths": null, "credHelpers": null, "credsStore": null}', {}),
        ('{"auths": {"a.io": null, "b.io": {}}}', {"auths": {"a.io": {}, "b.io": {}}}),
        (
            '{"auths": {"a.io": {"auth": null, "identitytoken": "t"}}}',
            {"auths": {"a.io": {"identitytoken": "t"}}},
        ),
        (
            '{"credHelpers": {"a.io": null}, "credsStore": "s"}',
            {"credHelpers": {"a.io": ""}, "credsStore": "s"},
        ),
    ],
)
def test_null_says_nothing_as_in_go(text: str, read: object) -> None:
    assert json.loads(as_docker_reads(text)) == read


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_what_is_no_configuration_stays_so(text: str) -> None:
    assert as_docker_reads(text) == text


def test_what_is_nested_too_deep_is_none() -> None:
    assert as_docker_reads('{"a":' * 5000 + "1" + "}" * 5000) == ""


@pytest.mark.parametrize(
    ("answer", "told", "found"),
    [
        ('{"Username": "me", "Secret": "hunter2"}', {"Username": "me", "Secret": "hunter2"}, 1),
        ('{"Username": null, "Secret": null}', {"Username": "", "Secret": ""}, 1),
        ("[" * 5000, None, 0),
        ("[]", None, 0),
    ],
)
def test_what_a_helper_answers_is_secret_and_null_is_nothing(
    answer: str, told: object, found: int
) -> None:
    secrets: list[str] = []
    runner = FakeRunner().on("docker-credential-x", "get", stdout=answer)
    helper = HelperRunner(runner, print, secrets.extend)
    done = helper.run(("docker-credential-x", "get"), timeout_s=1, stdin="a.io", check=False)
    assert (json.loads(done.stdout) if done.stdout else None) == told
    assert len(secrets) == found
    if found and isinstance(told, dict):
        assert secrets == [told["Secret"]]


def test_what_a_helper_says_when_it_fails_stays_its_word() -> None:
    said = Reply(stdout="credentials not found in native keychain", returncode=1)
    runner = FakeRunner().on("docker-credential-x", "get", reply=said)
    helper = HelperRunner(runner, print, print)
    done = helper.run(("docker-credential-x", "get"), timeout_s=1, stdin="a.io", check=False)
    assert done.stdout == said.stdout
