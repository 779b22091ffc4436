"""What kubectl reads of other people's kubeconfigs, before and after our entries came and went."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cto.adapters.kubernetes.kubeconfig import Entry, SharedFile, fields
from fakes.clock import FakeClock
from fakes.kubeconfigs import READABLE, UNREADABLE, UNUSABLE, USABLE
from fakes.machine import FakeMachine

pytestmark = pytest.mark.lab

ENTRY = Entry("kind-cto", {"server": "https://127.0.0.1:1"}, {"token": "a token"})
NAME = ENTRY.name
# Texts that readers of YAML take for something else, and so have to be quoted.
ODD = (
    *("99012345678", "1.5", "1e3", "n", "y", "Yes", "on", "OFF", "null", "~", "", "=", "<<"),
    *("1_000", "0o17", "0x1F", "0b1", "017", "089", "1:30", "190:20:30", ".inf", ".nan", "+1"),
    *("2001-12-14", "2001-12-14 21:59:43", "- a", "a: b", "#", "'", '"', "!x", "&a", "*a", "@"),
    *("{", "[", "a b ", " a", "é", "\U0001f600", "a\nb", "\t", "...", "---", "?", "|", ">", "%"),
)

TYPES = "tools/clientcmd/api/v1/types.go"

Kubectl = Callable[[Path], dict[str, Any]]


@pytest.fixture
def kubectl(lab_tools: Path) -> Kubectl:
    def view(file: Path) -> dict[str, Any]:
        argv = [str(lab_tools / "kubectl"), "--kubeconfig", str(file)]
        argv += ["config", "view", "--raw", "--output", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{file.read_text()}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    return view


def foreign(document: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key != "current-context"}
    for section in ("clusters", "users", "contexts"):
        kept[section] = [item for item in kept[section] or () if item["name"] != NAME]
    return kept


_characters = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
_texts = st.one_of(st.sampled_from(ODD), st.text(_characters, max_size=12))


@st.composite
def kubeconfigs(draw: st.DrawFn) -> dict[str, Any]:
    names = [name for name in draw(st.lists(_texts, max_size=4, unique=True)) if name != NAME]
    document: dict[str, Any] = {
        "clusters": [{"name": n, "cluster": {"server": draw(_texts)}} for n in names],
        "users": [
            {"name": n, "user": {"token": draw(_texts), "as-groups": draw(st.lists(_texts))}}
            for n in names
        ],
        "contexts": [
            {"name": n, "context": {"namespace": draw(_texts), "user": n, "cluster": draw(_texts)}}
            for n in names
        ],
        "current-context": draw(st.sampled_from(["", *names])),
    }
    kept = draw(st.lists(st.sampled_from(sorted(document)), unique=True))
    return {key: document[key] for key in kept}


def _quoted(document: Any) -> str:
    return yaml.safe_dump(document, default_style='"', sort_keys=False, allow_unicode=False)


WRITERS: dict[str, Callable[[Any], str]] = {
    "json": lambda document: json.dumps(document, ensure_ascii=False),
    "block": _quoted,
    "indented": lambda document: textwrap.indent(_quoted(document), "  "),
    "crlf": lambda document: _quoted(document).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("style", WRITERS)
@settings(
    max_examples=8,
    deadline=None,
    # A failure is looked at by its own example: to shorten it takes minutes of processes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(document=kubeconfigs())
def test_kubectl_reads_the_same_of_others_and_all_of_ours(
    kubectl: Kubectl, tmp_path: Path, style: str, document: dict[str, Any]
) -> None:
    file = tmp_path / "config"
    file.write_bytes(WRITERS[style](document).encode())
    shared = SharedFile(file, FakeClock(), FakeMachine(tmp_path / "root").host)
    before = kubectl(file)

    shared.merge(ENTRY, make_current=True)
    there = kubectl(file)
    shared.remove(NAME)

    assert foreign(there) == foreign(before)
    assert there["current-context"] == NAME
    ours = [item["user"] for item in there["users"] if item["name"] == NAME]
    assert ours == [{"token": "a token"}]
    assert foreign(kubectl(file)) == foreign(before)


def test_an_account_that_looks_like_a_number_stays_a_text(kubectl: Kubectl, tmp_path: Path) -> None:
    """See https://github.com/kubernetes/kubernetes/issues/82296."""
    file = tmp_path / "config"
    text = 'clusters: [{name: "089012345679", cluster: {server: "https://a"}}]\n'
    text += 'contexts: [{name: "n", context: {cluster: "089012345679", user: "12e4567"}}]\n'
    file.write_text(text)
    SharedFile(file, FakeClock(), FakeMachine(tmp_path / "root").host).merge(ENTRY)
    assert {item["name"] for item in kubectl(file)["clusters"]} == {"089012345679", NAME}
    for line in text.splitlines():
        assert line.removesuffix("]") in file.read_text()


# What Go's reader takes for a number or a truth value, and others for a date, a time or nothing.
OWN_NAMES = ("089012345678", "n", "12e4567", "y", "0o17", "1:30", "2001-12-14", "~", "=", "a: b")


def own_entry(name: str, server: str) -> Entry:
    """Return an entry that has its name wherever an entry has a text."""
    account = {"name": "AWS_PROFILE", "value": name}
    program = {"command": name, "args": [name], "env": [account], "interactiveMode": "Never"}
    api_version = "client.authentication.k8s.io/v1"
    user = {"exec": {**program, "apiVersion": api_version, "provideClusterInfo": False}}
    return Entry(name, {"server": server, "tls-server-name": name}, user)


@pytest.mark.parametrize("style", ["nothing", *WRITERS])
def test_entries_of_ours_may_have_any_name(kubectl: Kubectl, tmp_path: Path, style: str) -> None:
    """Their contexts, clusters and users, and all in them, beside somebody's of such names."""
    theirs = {
        "contexts": [{"name": f"{n} x", "context": {"cluster": n, "user": n}} for n in OWN_NAMES],
        "users": [{"name": f"{n} x", "user": {"token": n, "as-groups": [n]}} for n in OWN_NAMES],
        "current-context": f"{OWN_NAMES[0]} x",
    }
    file = tmp_path / "config"
    if style != "nothing":
        file.write_bytes(WRITERS[style](theirs).encode())
    before = kubectl(file) if file.exists() else {}
    shared = SharedFile(file, FakeClock(), FakeMachine(tmp_path / "root").host)

    # The second one replaces the first.
    for server in ("https://127.0.0.1:1", "https://127.0.0.1:2"):
        entries = [own_entry(name, server) for name in OWN_NAMES]
        assert [shared.merge(entry) for entry in entries] == [True] * len(entries)
        there = kubectl(file)
        for entry in entries:
            name = entry.name
            cluster = named(there, "clusters", name)["cluster"]
            assert (cluster["server"], cluster["tls-server-name"]) == (server, name)
            assert named(there, "users", name)["user"] == entry.user
            inside = named(there, "contexts", name)["context"]
            assert (inside["cluster"], inside["user"]) == (name, name)
    for name in OWN_NAMES:
        shared.remove(name, delete_empty=not before)
    assert (kubectl(file) if file.exists() else {}) == before


def named(document: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    (found,) = (item for item in document[section] if item["name"] == name)
    return dict(found)


def is_refused(lab_tools: Path, file: Path, *command: str) -> str:
    """Return what kubectl says against a file; '' if it has nothing against it."""
    argv = [str(lab_tools / "kubectl"), "--kubeconfig", str(file), "--context", "x", *command]
    argv += ["--request-timeout", "1s"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=DEVNULL)
    # There are no such servers and programs: who got that far has nothing against the file.
    # Where packets to it get lost, the time is over first, and which timer of Go says so is luck.
    timers = ("Client.Timeout exceeded", "context deadline exceeded")
    words = ("dial tcp", "was refused", "executable", *timers)
    far = any(text in done.stderr for text in words)
    return "" if far or not done.returncode else done.stderr


@pytest.mark.parametrize("case", UNREADABLE)
def test_kubectl_cannot_read_what_we_refuse_to_read(
    lab_tools: Path, tmp_path: Path, case: str
) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(UNREADABLE[case][0]))
    assert "error loading config file" in is_refused(lab_tools, file, "config", "view")


# What client-go takes, and we refuse all the same: without verification nobody knows the server,
# and what of two log-ins in one user counts is told nowhere but in its source.
# Without a server kubectl asks localhost:8080.
# It dials a port without a host on this machine, and finds out only then that a port is none.
# A server without a scheme is asked without encryption, and what is behind a ? goes away.
OURS = {
    *("no verification", "a password beside a program", "no server"),
    *("a server without a scheme", "a server's path alone"),
    *("a server's port alone", "a port that is none"),
    *("a log-in in a server", "a query in a server", "a fragment in a server"),
}


@pytest.mark.parametrize("case", [case for case in UNUSABLE if case not in OURS])
def test_kubectl_does_not_use_what_we_refuse_to_use(
    lab_tools: Path, tmp_path: Path, case: str
) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(UNUSABLE[case][0]))
    assert is_refused(lab_tools, file, "get", "--raw", "/version")


@pytest.mark.parametrize("case", READABLE)
def test_kubectl_reads_what_we_read(lab_tools: Path, tmp_path: Path, case: str) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(READABLE[case]))
    assert not is_refused(lab_tools, file, "config", "view")


@pytest.mark.parametrize("case", USABLE)
def test_kubectl_uses_what_we_use(lab_tools: Path, tmp_path: Path, case: str) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(USABLE[case]))
    assert not is_refused(lab_tools, file, "get", "--raw", "/version")


STRUCTS = {
    "Config": fields.CONFIG,
    "Preferences": fields.PREFERENCES,
    "Cluster": fields.CLUSTER,
    "AuthInfo": fields.USER,
    "Context": fields.CONTEXT,
    "AuthProviderConfig": fields.AUTH_PROVIDER,
    "ExecConfig": fields.EXEC,
}


def test_the_tables_have_every_field_of_client_go(lab_tools: Path) -> None:
    """Of the versions in kubectl and helm: a new field must not be passed over in silence."""
    found = sorted(lab_tools.resolve().parent.glob(f"go/mod/k8s.io/client-go@*/{TYPES}"))
    if not found:
        pytest.skip("client-go's source is not there: the lab's tools came from elsewhere")
    for file in found:
        source = file.read_text()
        for name, table in STRUCTS.items():
            body = re.search(rf"^type {name} struct {{(.*?)^}}", source, re.MULTILINE | re.DOTALL)
            assert body, name
            tags = set(re.findall(r'`json:"([^",]+)', body.group(1)))
            assert tags - {"-"} == set(table), f"{name} in {file}"
