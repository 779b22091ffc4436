"""As whom the API server is asked, on the wire: in every request, however the log-in is made."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.kubernetes.connection import Connection, Request
from cto.adapters.kubernetes.login import LoginPrograms
from cto.adapters.process import ProcessRunner
from cto.errors import ApiError, PreflightError
from cto.objects import dump_yaml
from cto.ports import Access
from fakes.certificates import authority, server_side
from fakes.webserver import Line, WebServer, answer

VERSION = "client.authentication.k8s.io/v1"
IMPERSONATION = {
    "as": "jäne",
    "as-uid": "42",
    "as-groups": ["developers", "089012345678", "a b"],
    "as-user-extra": {"example.com/acme%project": ["one", "two"], "scopes": ["view"]},
}
NAMES = {
    ("Impersonate-User", "jäne"),
    ("Impersonate-Uid", "42"),
    *(("Impersonate-Group", group) for group in IMPERSONATION["as-groups"]),
    ("Impersonate-Extra-example.com%2Facme%25project", "one"),
    ("Impersonate-Extra-example.com%2Facme%25project", "two"),
    ("Impersonate-Extra-scopes", "view"),
}


class Server:
    """A server that keeps every header, also those that come several times."""

    def __init__(self, server: WebServer) -> None:
        self.url = server.url
        self.headers: list[list[tuple[str, str]]] = []
        for method in ("GET", "POST", "PATCH", "DELETE"):
            server.on(method, "/version", self._answer)

    def _answer(self, line: Line) -> None:
        self.headers.append(line._handler.headers.items())
        line.head(200, {"Content-Length": "2"})
        line.raw(b"{}")

    def identities(self) -> list[set[tuple[str, str]]]:
        """Return what each request said about who asks; Go's servers read UTF-8."""
        return [
            {
                (name, value.encode("latin-1").decode())
                for name, value in headers
                if name.startswith(("Impersonate", "Authorization"))
            }
            for headers in self.headers
        ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with WebServer(tls=server_side(tmp_path)) as server:
        yield Server(server)


def access(folder: Path, server: str, user: dict[str, Any], **cluster: Any) -> Access:
    trusted = {"certificate-authority": str(authority(folder))}
    given = {"server": server, **(cluster or trusted)}
    document = {
        "clusters": [{"name": "c", "cluster": given}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    file = folder / "config"
    file.write_text(dump_yaml(document))
    return Access(file, "x")


def plugin(folder: Path, **status: Any) -> dict[str, Any]:
    status = status or {"token": "of the plugin"}
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    file.chmod(0o755)
    # Relative to the kubeconfig, not to where we are.
    return {"apiVersion": VERSION, "command": "./plugin", "interactiveMode": "Never"}


def connect(server: Server, folder: Path, user: dict[str, Any]) -> Connection:
    return Connection(access(folder, server.url, user))


def ask(connection: Connection, method: str = "GET") -> None:
    connection.send(Request(method=method, path="/version", what="ask", headers={"Accept": "a"}))


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("way", ["token", "exec"])
def test_a_name_to_act_as_is_in_every_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, *, proxied: bool
) -> None:
    """A variable for a proxy makes the other kind of session, and is not for this address."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    login = {"exec": plugin(tmp_path)} if way == "exec" else {"token": "mine"}
    token = "of the plugin" if way == "exec" else "mine"
    connection = connect(server, tmp_path, {**login, **IMPERSONATION})

    for method in ("GET", "POST", "PATCH", "DELETE"):
        ask(connection, method)
    connection.stream(Request(method="GET", path="/version", what="watch")).close()

    expected = {*NAMES, ("Authorization", f"Bearer {token}")}
    assert server.identities() == [expected] * 5
    connection.close()


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({}, None),
        ({"token": "mine", "exec": {"apiVersion": VERSION, "command": "/no"}}, "Bearer mine"),
        ({"token": "mine", "auth-provider": {"config": {"id-token": "theirs"}}}, "Bearer mine"),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": "mine"}}}, "Bearer mine"),
        ({"username": "me", "password": "pässword"}, "Basic bWU6cMOkc3N3b3Jk"),
        ({"username": "me"}, "Basic bWU6"),
        ({"password": "alone"}, None),
    ],
)
def test_what_goes_before_what_is_as_in_client_go(
    server: Server, tmp_path: Path, user: dict[str, Any], header: str | None
) -> None:
    ask(connect(server, tmp_path, user))
    assert server.identities() == [{("Authorization", header)} if header else set()]


def test_the_file_with_a_token_goes_before_a_token_and_is_read_again(
    server: Server, tmp_path: Path
) -> None:
    """Kubernetes replaces the token of a pod now and then; the last good one stays."""
    file = tmp_path / "token"
    connection = connect(server, tmp_path, {"token": "mine", "tokenFile": "token"})
    ask(connection)
    for text in ("first\n", " second \n", ""):
        file.write_text(text)
        ask(connection)
    file.unlink()
    ask(connection)
    tokens = [value for identity in server.identities() for _, value in identity]
    assert tokens == [f"Bearer {token}" for token in ("mine", "first", *["second"] * 3)]


def test_a_file_with_a_token_that_is_not_there_is_named_with_its_user(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ApiError, match="the token of the kubeconfig's user 'u'") as error:
        ask(connect(server, tmp_path, {"tokenFile": "missing"}))
    assert error.value.code == "CTO-1602"
    assert str(tmp_path / "missing") in error.value.details
    assert server.headers == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "token is empty"),
        (b" \n\n", "token is empty"),
        (b"\xff\xfe\x00", "can't decode"),
        (b"hunter2\nhunter2", "it has a line end"),
        (b"hunter2\r\nX-Evil: hunter2", "it has a line end"),
    ],
)
def test_a_file_without_a_usable_token_makes_nobody_else_of_us(
    server: Server, tmp_path: Path, content: bytes, why: str
) -> None:
    """Without a token the server would take us for somebody else; helm refuses such files."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ApiError, match="the token of the kubeconfig's user 'u'") as error:
        ask(connect(server, tmp_path, {"tokenFile": "token"}))
    assert error.value.code == "CTO-1602"
    assert why in error.value.details
    assert "hunter2" not in f"{error.value.message}{error.value.details}{error.value.hint}"
    assert server.headers == []


def test_a_token_is_sent_as_go_sends_it(server: Server, tmp_path: Path) -> None:
    ask(connect(server, tmp_path, {"token": "töken €"}))
    assert server.identities() == [{("Authorization", "Bearer töken €")}]


@pytest.mark.parametrize(
    "status", [{"token": ""}, {"token": " "}, {"token": None}, {"clientKeyData": "hunter2"}]
)
def test_a_plugin_that_gives_nothing_makes_nobody_else_of_us(
    server: Server, tmp_path: Path, status: dict[str, Any]
) -> None:
    with pytest.raises(ApiError, match="credentials of the kubeconfig's user 'u'") as error:
        ask(connect(server, tmp_path, {"exec": plugin(tmp_path, **status)}))
    assert error.value.code == "CTO-1602"
    assert "hunter2" not in f"{error.value.message}{error.value.details}"
    assert server.headers == []


def test_a_plugin_s_token_with_a_line_end_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="the token of the kubeconfig's user 'u'") as error:
        ask(connect(server, tmp_path, {"exec": plugin(tmp_path, token="hunter2\nX: y")}))
    assert (error.value.code, server.headers) == ("CTO-1602", [])
    assert "hunter2" not in f"{error.value.message}{error.value.details}"


GARBAGE = base64.b64encode(b"hunter2").decode()
PAIR = {"clientCertificateData": "hunter2", "clientKeyData": "hunter2"}


@pytest.mark.parametrize(
    ("cluster", "user", "why"),
    [
        ({"certificate-authority-data": GARBAGE}, {"token": "t"}, "certificate-authority"),
        ({}, {"client-certificate-data": GARBAGE, "client-key-data": GARBAGE}, "client-key"),
        ({}, {"client-certificate": "/dev/null", "client-key": "/etc/passwd"}, "/dev/null"),
        ({}, {"exec": PAIR}, "client-key"),
    ],
)
@pytest.mark.parametrize("proxied", [False, True])
def test_certificates_that_are_none_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cluster: dict[str, Any],
    user: dict[str, Any],
    why: str,
    *,
    proxied: bool,
) -> None:
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    user = {"exec": plugin(tmp_path, **PAIR)} if "exec" in user else user
    with pytest.raises(PreflightError) as error:
        ask(Connection(access(tmp_path, "https://127.0.0.1:1", user, **cluster)))
    assert error.value.code == "CTO-1403"
    assert why in error.value.details
    assert str(tmp_path / "config") in error.value.hint
    assert "hunter2" not in f"{error.value.message}{error.value.details}"


@pytest.mark.parametrize("way", ["token", "password", "exec", "proxied"])
def test_without_tls_neither_token_nor_password_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As client-go; who wonders why is told. No plugin is asked for what nobody gets."""
    if way == "proxied":
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    users: dict[str, Any] = {
        "token": {"token": "secret"},
        "password": {"username": "me", "password": "secret"},
        "exec": {"exec": {**plugin(tmp_path), "command": "/not/there"}},
        "proxied": {"token": "secret"},
    }
    with WebServer() as plain:
        server = Server(plain)
        connection = connect(server, tmp_path, {**users[way], **IMPERSONATION})
        ask(connection)
        assert server.identities() == [NAMES]
        plain.on("GET", "/version", answer(401, {"message": "Unauthorized"}))
        with pytest.raises(ApiError) as caught:
            ask(connection)
    assert "does not begin with https://" in caught.value.hint


# log-in programs that are slow, hang, or answer something else

SOON_S = 0.3


def programs(**settings: Any) -> LoginPrograms:
    return LoginPrograms(ProcessRunner(log=print, clock=SystemClock()), **settings)


def script(folder: Path, text: str, **entry: Any) -> dict[str, Any]:
    (folder / "plugin").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "plugin").chmod(0o755)
    command = {"apiVersion": VERSION, "command": "./plugin", "interactiveMode": "Never"}
    return {"exec": {**command, **entry}}


def test_a_plugin_that_hangs_is_told_then_given_up_by_name(tmp_path: Path) -> None:
    """Whoever waits learns what for, and its children end with it."""
    user = script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600")
    told: list[str] = []
    asked = Connection(
        access(tmp_path, "https://127.0.0.1:1", user),
        programs=programs(notice=told.append, timeout_s=2, slow_s=SOON_S),
    )
    with pytest.raises(ApiError, match="credentials of the kubeconfig's user 'u'") as error:
        ask(asked)
    assert error.value.details == "its log-in program plugin: plugin did not end within 2 s"
    assert told == [
        "waiting for plugin, the log-in program of the kubeconfig's user 'u', for 2 s at most"
    ]
    assert not lives(int((tmp_path / "pid").read_text()))


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_plugin_dies_with_us(tmp_path: Path) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv here")
    user = script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    given = access(tmp_path, "https://127.0.0.1:1", user)
    code = (
        "from pathlib import Path; "
        "from cto.adapters.kubernetes.connection import Connection, Request; "
        "from cto.ports import Access; "
        f"Connection(Access(Path({str(given.kubeconfig)!r}), 'x')).send("
        "Request(method='GET', path='/version', what='ask'))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as child:
        pid = tmp_path / "pid"
        until(lambda: pid.exists() and pid.read_text().strip() != "")
        child.kill()
    until(lambda: not lives(int(pid.read_text())))


def until(come_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not come_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_a_plugin_answers_is_known_to_be_secret_and_what_it_says_is_told(
    server: Server, tmp_path: Path
) -> None:
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": "hunter22"}}
    user = script(tmp_path, f"echo 'see a browser' >&2; echo '{json.dumps(answer)}'")
    found: list[str] = []
    told: list[str] = []
    given = access(tmp_path, server.url, user)
    ask(Connection(given, programs=programs(notice=told.append, found=found.extend)))
    assert found == ["hunter22"]
    assert told == ["plugin: see a browser"]


def test_a_credential_that_is_over_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    status = {"token": "mine", "expirationTimestamp": "2020-01-02T03:04:05Z"}
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
    user = script(tmp_path, f"echo asked >> {tmp_path}/asked; echo '{json.dumps(answer)}'")
    connection = connect(server, tmp_path, user)
    ask(connection)
    ask(connection)
    assert len((tmp_path / "asked").read_text().split()) == 3
    status["expirationTimestamp"] = "2999-01-02T03:04:05Z"
    user = script(tmp_path, f"echo asked > {tmp_path}/asked; echo '{json.dumps(answer)}'")
    connection = connect(server, tmp_path, user)
    ask(connection)
    ask(connection)
    assert (tmp_path / "asked").read_text().split() == ["asked"]


@pytest.mark.parametrize(
    "answer",
    [
        "hunter22",
        "[]",
        '{"kind": "ExecCredential"}',
        f'{{"apiVersion": "{VERSION}", "kind": "ExecCredential", "status": "hunter22"}}',
        f'{{"apiVersion": "{VERSION}", "kind": "ExecCredential", "status": {{"token": 22222222}}}}',
        "[" * 5000 + "]" * 5000,
    ],
    ids=["text", "list", "part", "status", "token", "deep"],
)
def test_an_answer_that_is_no_credential_is_told_without_its_text(
    tmp_path: Path, answer: str
) -> None:
    (tmp_path / "answer").write_text(answer)
    user = script(tmp_path, f"cat {tmp_path}/answer")
    with pytest.raises(ApiError, match="credentials of the kubeconfig's user 'u'") as error:
        ask(Connection(access(tmp_path, "https://127.0.0.1:1", user)))
    expected = "its log-in program plugin: it does not answer with an ExecCredential of "
    assert error.value.details == expected + VERSION


def test_a_plugin_that_fails_is_told_by_its_stderr_alone(tmp_path: Path) -> None:
    user = script(tmp_path, "echo hunter22; echo 'log in first' >&2; exit 3")
    with pytest.raises(ApiError) as error:
        ask(Connection(access(tmp_path, "https://127.0.0.1:1", user)))
    assert error.value.details == ("its log-in program plugin: it ended with 3\nlog in first")
    user = script(tmp_path, "echo hunter22; exit 3")
    with pytest.raises(ApiError) as error:
        ask(Connection(access(tmp_path, "https://127.0.0.1:1", user)))
    assert error.value.details == "its log-in program plugin: it ended with 3"


def test_a_plugin_that_is_not_there_comes_with_the_hint_of_the_kubeconfig(tmp_path: Path) -> None:
    entry = {"apiVersion": VERSION, "command": "no-such-plugin", "installHint": "Get it."}
    with pytest.raises(ApiError) as error:
        ask(Connection(access(tmp_path, "https://127.0.0.1:1", {"exec": entry})))
    assert "no-such-plugin" in error.value.details
    assert error.value.hint == "Get it."


def test_a_plugin_is_told_of_the_cluster_if_it_is_to_know(server: Server, tmp_path: Path) -> None:
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": "mine"}}
    user = script(
        tmp_path,
        f"echo \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/told; echo '{json.dumps(answer)}'",
        provideClusterInfo=True,
    )
    ask(connect(server, tmp_path, user))
    told = json.loads((tmp_path / "told").read_text())
    assert (told["apiVersion"], told["kind"]) == (VERSION, "ExecCredential")
    assert told["spec"]["interactive"] is False
    cluster = told["spec"]["cluster"]
    assert cluster["server"] == server.url
    trusted = base64.b64decode(cluster["certificate-authority-data"])
    assert trusted == authority(tmp_path).read_bytes()
