"""Kubeconfigs that kubectl and helm refuse, or read in another way, are refused before anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cto.adapters.kubernetes.kubeconfig import choose_access
from cto.adapters.kubernetes.kubeconfig.fields import CLUSTER, CONFIG, USER, local
from cto.errors import PreflightError
from cto.objects import dump_yaml
from cto.ports import Access
from fakes.kubeconfigs import READABLE, SECRET, UNREADABLE, UNUSABLE, USABLE, document


def refusal(folder: Path, data: dict[str, Any]) -> PreflightError:
    file = folder / "config"
    file.write_text(dump_yaml(data))
    with pytest.raises(PreflightError) as error:
        choose_access([file])
    assert error.value.code == "CTO-1403"
    assert error.value.message.startswith(str(file))
    assert SECRET not in f"{error.value.message}{error.value.details}{error.value.hint}"
    return error.value


@pytest.mark.parametrize(("data", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_go_cannot_read_is_told_by_its_place(
    tmp_path: Path, data: dict[str, Any], why: str
) -> None:
    error = refusal(tmp_path, data)
    assert "kubectl and helm cannot read this file" in error.message
    assert why in error.message


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    data = document(users=[{"name": "u", "user": {"token": 1, "username": 2}}], kind="Secret")
    error = refusal(tmp_path, data)
    assert error.details.splitlines() == [
        "users[u].user.token is a number, and must be a text",
        "users[u].user.username is a number, and must be a text",
    ]


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_what_go_reads_is_no_problem(tmp_path: Path, data: dict[str, Any]) -> None:
    file = tmp_path / "config"
    file.write_text(dump_yaml(data))
    assert choose_access([file]) == Access(file, "x")


@pytest.mark.parametrize(("data", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_client_go_refuses_is_refused_by_its_name(
    tmp_path: Path, data: dict[str, Any], why: str
) -> None:
    error = refusal(tmp_path, data)
    assert "context 'x'" in error.message
    assert why in error.message


@pytest.mark.parametrize("data", USABLE.values(), ids=USABLE)
def test_what_client_go_takes_is_taken(tmp_path: Path, data: dict[str, Any]) -> None:
    file = tmp_path / "config"
    file.write_text(dump_yaml(data))
    assert choose_access([file]) == Access(file, "x")


@pytest.mark.parametrize("section", ["clusters", "users"])
def test_an_entry_that_is_another_one_to_kubectl_is_refused(tmp_path: Path, section: str) -> None:
    """Of several files the first that has a name counts, and we give programs one file."""
    first, second = tmp_path / "first", tmp_path / "second"
    own = document()
    other = {"clusters": {"server": "https://other"}, "users": {"token": "other"}}[section]
    name, inner = own[section][0]["name"], section.removesuffix("s")
    first.write_text(dump_yaml({section: [{"name": name, inner: other}]}))
    second.write_text(dump_yaml(own))

    with pytest.raises(PreflightError, match=f"kubectl takes the one of {first}") as error:
        choose_access([first, second], "x")

    assert error.value.code == "CTO-1403"
    assert "--flatten" in error.value.hint
    first.write_text(dump_yaml({section: own[section]}))
    assert choose_access([first, second], "x") == Access(second, "x")


def test_the_same_words_in_another_folder_name_another_file(tmp_path: Path) -> None:
    own = document(users=[{"name": "u", "user": {"tokenFile": "token"}}])
    files = [tmp_path / "a" / "config", tmp_path / "b" / "config"]
    for file, data in zip(files, ({"users": own["users"]}, own), strict=True):
        file.parent.mkdir()
        file.write_text(dump_yaml(data))
    with pytest.raises(PreflightError, match="kubectl takes the one of"):
        choose_access(files)


def test_paths_are_relative_to_the_kubeconfig() -> None:
    """Also a plugin's, if it is a path: else it is looked for in PATH."""
    assert local({"certificate-authority": "ca.crt", "server": "a"}, CLUSTER, Path("/k")) == {
        "certificate-authority": "/k/ca.crt",
        "server": "a",
    }
    paths = {"tokenFile": "t", "client-key": "/abs", "exec": {"command": "../bin/aws"}}
    assert local(paths, USER, Path("/k")) == {
        "tokenFile": "/k/t",
        "client-key": "/abs",
        "exec": {"command": "/k/../bin/aws"},
    }
    assert local({"exec": {"command": "aws"}}, USER, Path("/k")) == {"exec": {"command": "aws"}}


def test_no_table_is_empty() -> None:
    assert {"clusters", "users", "contexts"} <= set(CONFIG)
