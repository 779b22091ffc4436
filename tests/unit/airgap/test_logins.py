"""What Docker and podman wrote down, and what their helpers keep."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cto.errors import ConfigError, ToolError
from cto_airgap.logins import (
    GivenLogins,
    Helpers,
    RegistryLogin,
    StoredLogins,
    parse_logins,
    read_logins,
)
from fakes.runner import FakeRunner, Reply

SECRET = "hunter2"
HUB = "https://index.docker.io/v1/"


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


class Desk:
    """A file, helpers on PATH, and what they answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.json"
        self.runner = FakeRunner()
        self.found: StoredLogins | None = None

    def write(self, name: str = "config.json", **body: Any) -> Path:
        (self.folder / name).write_text(json.dumps(body))
        return self.folder / name

    def helper(self, name: str, *, reply: Reply | None = None, **answer: str) -> None:
        program = self.folder / f"docker-credential-{name}"
        program.write_text("")
        program.chmod(0o755)
        self.runner.on(program.name, reply=reply or Reply(stdout=json.dumps(answer)))

    def find(self, host: str, repository: str = "team/app", *more: Path) -> RegistryLogin | None:
        helpers = Helpers(self.runner, {"PATH": str(self.folder)})
        self.found = StoredLogins([read_logins(file) for file in (self.file, *more)], helpers)
        return self.found.find(host, repository)

    def fails(self, host: str) -> ToolError:
        with pytest.raises(ToolError) as caught:
            self.find(host)
        error = caught.value
        assert error.code == "CTO-1560"
        assert SECRET not in f"{error!r} {error.message} {error.details} {error.hint}"
        assert error.__cause__ is None
        return error

    def asked(self) -> list[tuple[tuple[str, ...], str | None]]:
        return [(call.argv, call.stdin) for call in self.runner.calls]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestFile:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            (auth("me:se:cret"), RegistryLogin("me", "se:cret")),
            (auth("me:cret\x00"), RegistryLogin("me", "cret")),
            ({"username": "me", "password": "p"}, RegistryLogin("me", "p")),
            ({**auth("me:p"), "username": "old", "password": "old"}, RegistryLogin("me", "p")),
            ({"identitytoken": "t"}, RegistryLogin("", "", "t")),
            ({**auth("0-0-0:"), "identitytoken": "t"}, RegistryLogin("0-0-0", "", "t")),
            ({"registrytoken": "t"}, RegistryLogin("", "", "", "t")),
            ({}, None),
            ({"email": "me@example.com"}, None),
        ],
    )
    def test_every_kind_of_log_in_is_read(
        self, desk: Desk, entry: Mapping[str, str], expected: RegistryLogin | None
    ) -> None:
        desk.write(auths={"r.io": entry})
        found = desk.find("r.io")
        assert found == expected
        assert "cret" not in repr(found)

    @pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io", "registry-1.docker.io"])
    def test_docker_hub_has_several_names(self, desk: Desk, key: str) -> None:
        desk.write(auths={key: auth("me:p")})
        assert desk.find("docker.io", "library/nginx") == RegistryLogin("me", "p")

    @pytest.mark.parametrize(
        "key",
        [
            *("r.io:5000", "https://r.io:5000", "https://r.io:5000/v2/", "http://r.io:5000/v1/"),
            *("r.io:5000/v2/", "r.io:5000/", "https://r.io:5000/any/thing", "R.io:5000"),
        ],
    )
    def test_a_host_is_written_in_many_ways(self, desk: Desk, key: str) -> None:
        desk.write(auths={key: auth("me:p")})
        assert desk.find("r.io:5000") == RegistryLogin("me", "p")
        assert desk.find("r.io") is None
        assert desk.find("other.io") is None

    @pytest.mark.parametrize("turned", [False, True])
    def test_of_several_entries_for_a_host_one_with_a_log_in_counts(
        self, desk: Desk, *, turned: bool
    ) -> None:
        entries = [("r.io", {}), ("https://r.io/v2/", auth("me:p")), ("https://r.io", {})]
        desk.write(auths=dict(reversed(entries) if turned else entries))
        assert desk.find("r.io") == RegistryLogin("me", "p")

    @pytest.mark.parametrize("turned", [False, True])
    def test_and_the_one_that_docker_would_write_before_others(
        self, desk: Desk, *, turned: bool
    ) -> None:
        entries = [("r.io", auth("new:p")), ("https://r.io/v1/", auth("old:p"))]
        entries += [(HUB, auth("hub:p")), ("docker.io", auth("other:p"))]
        desk.write(auths=dict(reversed(entries) if turned else entries))
        assert desk.find("r.io") == RegistryLogin("new", "p")
        assert desk.find("docker.io") == RegistryLogin("hub", "p")

    def test_docker_desktop_s_own_tokens_are_no_log_ins(self, desk: Desk) -> None:
        desk.write(auths={f"{HUB}refresh-token": auth("me:r"), f"{HUB}access-token": auth("me:a")})
        assert desk.find("docker.io") is None

    @pytest.mark.parametrize(
        ("repository", "user"),
        [
            ("team/app", "app"),
            ("team/app/deep", "app"),
            ("team/apple", "team"),
            ("team", "team"),
            ("teams/app", "host"),
            ("other", "host"),
        ],
    )
    def test_a_folder_of_a_registry_may_have_its_own(
        self, desk: Desk, repository: str, user: str
    ) -> None:
        entries = {"r.io": "host", "r.io/team": "team", "r.io/team/app": "app"}
        desk.write(auths={key: auth(f"{name}:p") for key, name in entries.items()})
        assert desk.find("r.io", repository) == RegistryLogin(user, "p")

    def test_what_is_not_in_one_file_may_be_in_the_next(self, desk: Desk) -> None:
        desk.write(auths={"r.io": auth("me:p"), "q.io": {}})
        podman = desk.write("auth.json", auths={"r.io": auth("you:p"), "q.io": auth("you:p")})
        missing = desk.folder / "nowhere" / "auth.json"
        assert desk.find("r.io", "x", missing, podman) == RegistryLogin("me", "p")
        assert desk.find("q.io", "x", missing, podman) == RegistryLogin("you", "p")

    def test_there_may_be_no_log_ins(self, desk: Desk) -> None:
        assert desk.find("r.io") is None
        desk.write()
        assert desk.find("r.io") is None
        desk.write(auths=None, credHelpers=None, credsStore=None)
        assert desk.find("r.io") is None

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{",
            '{"auths": {"x": {"auth": "%%hunter2"}}}',
            '{"auths": {"x": {"auth": 7}}}',
            '{"auths": {"x": "hunter2"}}',
            '{"auths": ["hunter2"]}',
            '{"auths": {"[hunter2": {}}}',
            '{"credHelpers": "hunter2"}',
        ],
    )
    def test_log_ins_that_cannot_be_read_are_not_shown(self, desk: Desk, text: str) -> None:
        desk.file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_logins(desk.file)
        assert str(desk.file) in caught.value.message
        assert SECRET not in f"{caught.value.message}{caught.value.details}"

    def test_a_variable_may_stand_for_a_file(self, desk: Desk) -> None:
        text = json.dumps({"auths": {"r.io": auth("me:p")}})
        known = StoredLogins([parse_logins(text, "DOCKER_AUTH_CONFIG")], Helpers(desk.runner, {}))
        assert known.find("r.io", "a") == RegistryLogin("me", "p")
        with pytest.raises(ConfigError, match="DOCKER_AUTH_CONFIG cannot be read"):
            parse_logins(text[:-1], "DOCKER_AUTH_CONFIG")

    def test_what_is_given_comes_before_what_is_stored(self, desk: Desk) -> None:
        desk.write(auths={"r.io": auth("me:p"), "q.io": auth("me:p")})
        desk.find("r.io")
        known = GivenLogins({"r.io": RegistryLogin("robot", "x")}, desk.found)
        assert known.find("r.io", "a") == RegistryLogin("robot", "x")
        assert known.find("q.io", "a") == RegistryLogin("me", "p")


class TestHelpers:
    def test_the_store_has_every_host(self, desk: Desk) -> None:
        desk.write(credsStore="desktop", auths={"r.io": {}})
        desk.helper("desktop", Username="me", Secret=SECRET)
        assert desk.find("r.io") == RegistryLogin("me", SECRET)
        assert desk.asked() == [(("docker-credential-desktop", "get"), "r.io")]

    def test_docker_hub_is_asked_for_by_its_old_name(self, desk: Desk) -> None:
        desk.write(credsStore="pass")
        desk.helper("pass", Username="me", Secret=SECRET)
        assert desk.find("docker.io") == RegistryLogin("me", SECRET)
        assert desk.asked()[0][1] == HUB

    @pytest.mark.parametrize("key", ["r.io", "https://r.io", "r.io/team"])
    def test_a_host_s_own_helper_comes_before_the_store(self, desk: Desk, key: str) -> None:
        desk.write(credsStore="desktop", credHelpers={key: "ecr-login"})
        desk.helper("ecr-login", Username="AWS", Secret=SECRET)
        desk.helper("desktop", Username="me", Secret="other")
        assert desk.find("r.io") == RegistryLogin("AWS", SECRET)
        assert desk.find("q.io") == RegistryLogin("me", "other")

    def test_a_token_is_told_by_its_user(self, desk: Desk) -> None:
        desk.write(credsStore="acr")
        desk.helper("acr", Username="<token>", Secret=SECRET)
        assert desk.find("r.io") == RegistryLogin("", "", SECRET)

    def test_it_is_asked_once_for_each_host(self, desk: Desk) -> None:
        desk.write(credsStore="desktop")
        desk.helper("desktop", Username="me", Secret=SECRET)
        desk.find("r.io")
        assert desk.found is not None
        desk.found.find("r.io", "other")
        desk.found.find("q.io", "other")
        assert [stdin for _, stdin in desk.asked()] == ["r.io", "q.io"]

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(stdout="credentials not found in native keychain\n", returncode=1),
            Reply(stdout='{"ServerURL": "r.io", "Username": "", "Secret": ""}'),
        ],
    )
    def test_one_that_knows_no_log_in_is_no_error(self, desk: Desk, reply: Reply) -> None:
        desk.write(credsStore="desktop", auths={"r.io": {}})
        desk.helper("desktop", reply=reply)
        assert desk.find("r.io") is None

    @pytest.mark.parametrize("name", ["desktop", "../../evil"])
    def test_one_that_is_not_here_is_named(self, desk: Desk, name: str) -> None:
        """As in our container: the file is mounted, the helper is not."""
        desk.write(credsStore=name, auths={"r.io": {}})
        error = desk.fails("r.io")
        assert error.message == (
            f"the log-in for r.io is with docker-credential-{name}, which is not on PATH here "
            f"({desk.file})"
        )
        for way in ("registry.username", "DOCKER_CONFIG=DIR docker login r.io"):
            assert way in error.hint
        assert desk.asked() == []

    def test_so_is_one_of_a_single_host(self, desk: Desk) -> None:
        host = "1.dkr.ecr.eu-west-1.amazonaws.com"
        desk.write(credHelpers={host: "ecr-login"})
        assert "docker-credential-ecr-login" in desk.fails(host).message

    @pytest.mark.parametrize(
        ("reply", "why", "details"),
        [
            (
                Reply(stdout="pass not initialized\nmore", returncode=1),
                "which ends with 1",
                "pass not initialized",
            ),
            (Reply(stderr="locked", returncode=2), "which ends with 2", "locked"),
            (Reply(stdout=json.dumps({"Secret": SECRET}), returncode=1), "which ends with 1", ""),
            (Reply(stdout=SECRET), "which answers something else", ""),
            (Reply(stdout="[" * 100_000), "which answers something else", ""),
            (Reply(stdout=json.dumps([SECRET])), "which answers something else", ""),
            (Reply(stdout=json.dumps({"Secret": SECRET})), "which answers something else", ""),
            (
                Reply(seconds=60),
                "which fails",
                "docker-credential-desktop did not end within 30 s",
            ),
        ],
    )
    def test_one_that_fails_is_told_without_what_it_keeps(
        self, desk: Desk, reply: Reply, why: str, details: str
    ) -> None:
        desk.write(credsStore="desktop", auths={"r.io": {}})
        desk.helper("desktop", reply=reply)
        error = desk.fails("r.io")
        assert why in error.message
        assert error.details == details

    @pytest.mark.parametrize("there", [True, False])
    def test_where_nobody_logged_in_one_that_fails_is_no_error(
        self, desk: Desk, *, there: bool
    ) -> None:
        """Most images are public, and the file is there for the sake of other hosts."""
        desk.write(credsStore="desktop", auths={"r.io": {}})
        if there:
            desk.helper("desktop", reply=Reply(stdout="locked", returncode=1))
        assert desk.find("docker.io") is None

    def test_a_log_in_beside_it_will_do(self, desk: Desk) -> None:
        desk.write(credsStore="desktop", auths={"r.io": auth("me:p")})
        assert desk.find("r.io") == RegistryLogin("me", "p")
