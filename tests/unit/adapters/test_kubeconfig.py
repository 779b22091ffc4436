"""Kubeconfigs: choosing a context, and our own entries in and out of shared files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cto.adapters.kubernetes.kubeconfig import Entry, SharedFile, choose_access, paths, read
from cto.adapters.kubernetes.kubeconfig.shared import _unwritable
from cto.errors import PreflightError, UsageError
from cto.ports import Access
from fakes.clock import FakeClock
from fakes.disk import no_room_after
from fakes.machine import FakeMachine

ENTRY = Entry("kwok-cto", {"server": "https://127.0.0.1:1"}, {"client-key-data": "c2VjcmV0"})

Stuck = Callable[[], AbstractContextManager[None]]


def document(*names: str, current: str = "") -> dict[str, Any]:
    """Return a kubeconfig as other programs write it, with a key that nobody knows."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {"colors": True},
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}", "x": 1}} for n in names],
        "users": [{"name": n, "user": {"token": "t"}} for n in names],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in names],
        "current-context": current,
    }


def write(file: Path, *names: str, current: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document(*names, current=current)))
    return file


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".kube" / "config"


@pytest.fixture
def shared(file: Path, machine: FakeMachine) -> SharedFile:
    return SharedFile(file, FakeClock(), machine.host)


class TestChoosing:
    def test_the_only_context_is_taken(self, file: Path) -> None:
        assert choose_access([write(file, "one")]) == Access(file, "one")

    def test_a_named_context_is_taken_from_the_file_that_has_it(self, tmp_path: Path) -> None:
        files = [write(tmp_path / "a", "one"), tmp_path / "none", write(tmp_path / "b", "two")]

        assert choose_access(files, "two") == Access(tmp_path / "b", "two")

    def test_several_contexts_give_a_pasteable_line_each(self, file: Path) -> None:
        write(file, "one", "it's two", current="one")

        with pytest.raises(UsageError) as error:
            choose_access([file])

        assert error.value.code == "CTO-1201"
        assert error.value.details.splitlines() == [
            "--context one",
            """--context 'it'"'"'s two'""",
        ]
        assert error.value.message.endswith("none was named (kubectl uses 'one')")

    def test_no_context_at_all(self, file: Path) -> None:
        with pytest.raises(UsageError) as error:
            choose_access([file])

        assert error.value.code == "CTO-1202"
        assert error.value.message == f"There is no kubeconfig; {file} does not exist"

    def test_a_file_that_is_missing_beside_one_without_contexts_is_named(self, file: Path) -> None:
        missing = file.with_name("missing")
        with pytest.raises(UsageError) as error:
            choose_access([write(file), missing])

        assert error.value.message == f"No context in {file}; {missing} does not exist"

    def test_an_unknown_context_lists_those_that_are_there(self, file: Path) -> None:
        with pytest.raises(UsageError) as error:
            choose_access([write(file, "one", "two")], "three")

        listed = "The contexts there are:\n  one\n  two"
        assert (error.value.code, error.value.details) == ("CTO-1203", listed)
        assert error.value.hint == error.value.kind.fix

    def test_a_context_that_was_misspelt_is_guessed(self, file: Path) -> None:
        with pytest.raises(UsageError) as error:
            choose_access([write(file, "it's prod", "two")], "its prod")

        assert error.value.hint == """Did you mean --context 'it'"'"'s prod'?"""

    @pytest.mark.parametrize(
        ("encoding", "named"),
        [
            ("utf-16", "UTF-16"),
            ("utf-16-be", "UTF-16"),
            ("utf-16-le", "UTF-16"),
            ("utf-32", "UTF-32"),
        ],
    )
    def test_what_powershell_writes_is_refused_by_its_name(
        self, file: Path, encoding: str, named: str
    ) -> None:
        file.write_bytes(write(file, "one").read_text().encode(encoding))
        with pytest.raises(PreflightError) as error:
            choose_access([file])

        assert error.value.code == "CTO-1403"
        assert error.value.message.startswith(f"{file}: it is {named} text, and kubectl")
        assert "Set-Content -Encoding utf8" in error.value.hint
        assert f"iconv -f {named} -t UTF-8 {file} > FILE" in error.value.hint

    def test_a_context_whose_user_is_in_another_file_is_refused_with_the_line_that_helps(
        self, file: Path
    ) -> None:
        data = document("one")
        data["users"] = []
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(data))

        with pytest.raises(PreflightError, match="names user 'one'") as error:
            choose_access([file])

        assert "--flatten --minify --raw --context one" in error.value.hint

    @pytest.mark.parametrize("text", ["- a list", "just text"])
    def test_what_is_no_kubeconfig_is_refused(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True)
        file.write_text(text)

        with pytest.raises(PreflightError, match="not a mapping") as error:
            choose_access([file])

        assert error.value.code == "CTO-1403"

    def test_broken_yaml_names_the_line_and_never_shows_it(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.write_text("users:\n- token: [hunter2\n")

        with pytest.raises(PreflightError, match="not YAML at line 3") as error:
            read(file)

        assert "hunter2" not in f"{error.value} {error.value.details} {error.value.__cause__}"

    def test_a_folder_is_no_kubeconfig(self, tmp_path: Path) -> None:
        with pytest.raises(PreflightError, match="directory"):
            read(tmp_path)

    def test_entries_without_a_name_are_passed_over(self, file: Path) -> None:
        data = document("one")
        data["contexts"] += [{"context": {}}]
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(data))

        assert choose_access([file]).context == "one"


def test_the_files_are_those_that_kubectl_reads(tmp_path: Path) -> None:
    assert paths({}, tmp_path) == (tmp_path / ".kube/config",)
    assert paths({"KUBECONFIG": "/a::/b"}, tmp_path) == (Path("/a"), Path("/b"))
    assert paths({"KUBECONFIG": ""}, tmp_path) == (tmp_path / ".kube/config",)


@pytest.mark.parametrize("value", [":", "::"])
def test_a_variable_that_names_no_file_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError) as error:
        paths({"KUBECONFIG": value}, tmp_path)
    assert error.value.code == "CTO-1202"
    assert error.value.message.startswith(f"KUBECONFIG={value} names no file")


def test_an_entry_keeps_its_credentials_to_itself() -> None:
    assert "c2VjcmV0" not in repr(ENTRY)


class TestMerging:
    def test_a_new_file_is_private_and_complete(self, shared: SharedFile, file: Path) -> None:
        assert shared.merge(ENTRY)

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        data = yaml.safe_load(file.read_text())
        assert (data["kind"], data["current-context"]) == ("Config", "kwok-cto")
        assert list(file.parent.iterdir()) == [file]

    def test_everything_else_stays_as_it_is(self, shared: SharedFile, file: Path) -> None:
        write(file, "mine", current="mine").chmod(0o640)
        before = yaml.safe_load(file.read_text())

        shared.merge(ENTRY)

        after = yaml.safe_load(file.read_text())
        assert after["preferences"] == before["preferences"]
        for section in ("clusters", "users", "contexts"):
            assert after[section][0] == before[section][0]
            assert after[section][1]["name"] == "kwok-cto"
        assert after["current-context"] == "mine"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640

    def test_the_current_context_changes_only_if_asked_for(
        self, shared: SharedFile, file: Path
    ) -> None:
        write(file, "mine", current="mine")

        shared.merge(ENTRY, make_current=True)

        assert yaml.safe_load(file.read_text())["current-context"] == "kwok-cto"

    def test_an_entry_of_ours_is_replaced(self, shared: SharedFile, file: Path) -> None:
        shared.merge(ENTRY)

        shared.merge(Entry("kwok-cto", {"server": "https://127.0.0.1:2"}, {}))

        clusters = yaml.safe_load(file.read_text())["clusters"]
        assert [c["cluster"]["server"] for c in clusters] == ["https://127.0.0.1:2"]

    def test_nothing_is_written_if_the_entry_is_there(self, shared: SharedFile, file: Path) -> None:
        shared.merge(ENTRY)
        before = file.stat()

        assert shared.merge(ENTRY)

        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    @pytest.mark.parametrize("extensions", [None, "odd", [{"name": "minikube.sigs.k8s.io"}]])
    def test_an_entry_of_somebody_else_is_neither_replaced_nor_removed(
        self, shared: SharedFile, file: Path, extensions: object
    ) -> None:
        data = document("kwok-cto")
        data["contexts"][0]["context"]["extensions"] = extensions
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(data))
        before = file.read_bytes()

        assert not shared.merge(ENTRY)
        assert not shared.remove("kwok-cto")

        assert file.read_bytes() == before

    def test_a_link_stays_a_link(self, shared: SharedFile, file: Path, tmp_path: Path) -> None:
        real = write(tmp_path / "dotfiles" / "kube", "mine")
        file.parent.mkdir(parents=True)
        file.symlink_to(real)

        shared.merge(ENTRY)

        assert file.is_symlink()
        assert len(yaml.safe_load(real.read_text())["contexts"]) == 2

    def test_a_file_that_cannot_be_renamed_over_is_written_in_place(
        self, shared: SharedFile, file: Path
    ) -> None:
        """As with a file that is a mount of its own; here the temporary name is taken."""
        write(file, "mine", "a-long-name-that-makes-the-file-longer-than-it-will-be")
        inode = file.stat().st_ino
        (file.parent / f".config.{os.getpid()}.tmp").mkdir()

        shared.merge(ENTRY)

        assert file.stat().st_ino == inode
        assert len(yaml.safe_load(file.read_text())["contexts"]) == 3

    def test_a_new_file_that_cannot_be_written_is_an_error(
        self, shared: SharedFile, file: Path
    ) -> None:
        (file.parent / f".config.{os.getpid()}.tmp").mkdir(parents=True)

        with pytest.raises(PreflightError, match="cannot be written"):
            shared.merge(ENTRY)

        assert not file.with_name("config.lock").exists()

    def test_a_folder_that_cannot_be_made_is_an_error(
        self, tmp_path: Path, machine: FakeMachine
    ) -> None:
        (tmp_path / "file").touch()
        shared = SharedFile(tmp_path / "file" / "config", FakeClock(), machine.host)

        with pytest.raises(PreflightError, match="cannot be written") as error:
            shared.merge(ENTRY)

        assert error.value.code == "CTO-1403"

    @pytest.mark.parametrize(
        ("number", "fix"),
        [
            (errno.EROFS, "mount /home/me/.kube without `:ro`"),
            (errno.ENOSPC, "df -h /home/me/.kube"),
            (errno.EDQUOT, "df -h /home/me/.kube"),
            (errno.EACCES, "ls -la /home/me/.kube"),
        ],
    )
    def test_the_fix_fits_the_reason(self, number: int, fix: str) -> None:
        error = _unwritable(Path("/home/me/.kube/config"), OSError(number, os.strerror(number)))
        assert os.strerror(number) in error.message
        assert fix in error.hint


class TestRemoving:
    def test_only_our_entry_goes(self, shared: SharedFile, file: Path) -> None:
        write(file, "mine", current="mine")
        before = yaml.safe_load(file.read_text())
        shared.merge(ENTRY)

        assert shared.remove("kwok-cto")

        assert yaml.safe_load(file.read_text()) == before
        assert not shared.remove("kwok-cto")

    def test_a_current_context_that_goes_leaves_none(self, shared: SharedFile, file: Path) -> None:
        write(file, "mine")
        shared.merge(ENTRY)

        shared.remove("kwok-cto")

        assert yaml.safe_load(file.read_text())["current-context"] == ""

    def test_a_file_with_nothing_else_in_it_goes_if_asked_for(
        self, shared: SharedFile, file: Path
    ) -> None:
        shared.merge(ENTRY)

        assert shared.remove("kwok-cto", delete_empty=True)

        assert not file.exists()

    def test_a_file_that_is_not_there_has_nothing_of_ours(
        self, shared: SharedFile, file: Path
    ) -> None:
        assert not shared.remove("kwok-cto")
        assert not file.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
class TestOwner:
    """Root in a container writes into somebody's home."""

    def owner(self, file: Path) -> tuple[int, int]:
        status = file.stat()
        return status.st_uid, status.st_gid

    def test_a_new_file_belongs_to_whom_its_folder_does(
        self, shared: SharedFile, file: Path
    ) -> None:
        file.parent.mkdir(parents=True)
        os.chown(file.parent, 1234, 2345)
        shared.merge(ENTRY)
        assert self.owner(file) == (1234, 2345)

    def test_or_to_whom_was_named(self, file: Path, machine: FakeMachine) -> None:
        SharedFile(file, FakeClock(), machine.host, owner=(1234, 2345)).merge(ENTRY)
        assert self.owner(file) == (1234, 2345)

    def test_one_that_is_there_stays_with_its_owner(self, file: Path, machine: FakeMachine) -> None:
        os.chown(write(file, "one"), 1234, 2345)
        file.chmod(0o640)
        SharedFile(file, FakeClock(), machine.host, owner=(1, 1)).merge(ENTRY)
        assert self.owner(file) == (1234, 2345)
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


class TestMadeFile:
    def test_a_file_that_came_with_our_entry_goes_with_it(
        self, shared: SharedFile, file: Path
    ) -> None:
        shared.merge(ENTRY)
        shared.merge(Entry(ENTRY.name, {"server": "https://127.0.0.1:2"}, ENTRY.user))
        assert shared.remove(ENTRY.name)
        assert not file.exists()

    def test_one_that_others_have_written_to_since_stays(
        self, shared: SharedFile, file: Path
    ) -> None:
        shared.merge(ENTRY)
        kept = document("one")
        made = yaml.safe_load(file.read_text())
        for section in ("clusters", "users", "contexts"):
            made[section] += kept[section]
        file.write_text(yaml.safe_dump(made))
        shared.remove(ENTRY.name)
        assert [c["name"] for c in yaml.safe_load(file.read_text())["contexts"]] == ["one"]

    def test_an_empty_one_that_was_there_before_stays(self, shared: SharedFile, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.touch()
        shared.merge(ENTRY)
        shared.remove(ENTRY.name)
        assert file.exists()

    def test_a_mark_of_another_shape_is_ours_all_the_same(
        self, shared: SharedFile, file: Path
    ) -> None:
        shared.merge(ENTRY)
        made = yaml.safe_load(file.read_text())
        made["contexts"][0]["context"]["extensions"] = [{"name": "x"}, {"name": "cto.dev"}]
        file.write_text(yaml.safe_dump(made))
        assert shared.remove(ENTRY.name)
        assert file.exists()


@pytest.mark.parametrize("merged", [True, False], ids=["merging", "removing"])
def test_a_key_that_a_killed_run_left_beside_the_file_goes(
    shared: SharedFile, file: Path, *, merged: bool
) -> None:
    """Though there is nothing to change: the entry may have been the last one's to write."""
    if merged:
        shared.merge(ENTRY)
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / ".config.4711.tmp").write_text("client-key-data: c2VjcmV0")

    assert shared.merge(ENTRY) if merged else not shared.remove(ENTRY.name)

    assert list(file.parent.iterdir()) == ([file] if merged else [])


class TestWithoutTheLock:
    """Somebody keeps it, or nothing can be written there. The rest is in test_kubelock.py."""

    @pytest.fixture(params=["locked", "full"])
    def stuck(self, request: pytest.FixtureRequest, file: Path) -> Stuck:
        """Return what keeps the file as it is for a while.

        Not until the fixture's end: pytest itself writes files when a test is over.
        """

        @contextmanager
        def stick() -> Iterator[None]:
            if request.param == "full":
                with no_room_after(0):
                    yield
            else:
                file.with_name("config.lock").touch()
                yield

        return stick

    def test_an_entry_cannot_come_and_nothing_is_lost(
        self, shared: SharedFile, file: Path, stuck: Stuck
    ) -> None:
        before = write(file, "mine").read_text()
        with stuck():
            with pytest.raises(PreflightError) as error:
                shared.merge(ENTRY)
            assert error.value.code in ("CTO-1403", "CTO-1404")
            assert file.read_text() == before

    def test_an_entry_that_is_there_needs_none(
        self, shared: SharedFile, file: Path, stuck: Stuck
    ) -> None:
        write(file, "mine", current="mine")
        shared.merge(ENTRY)
        with stuck():
            assert shared.merge(ENTRY)
            with pytest.raises(PreflightError):
                shared.merge(ENTRY, make_current=True)
            with pytest.raises(PreflightError):
                shared.merge(Entry(ENTRY.name, {"server": "https://127.0.0.1:2"}, ENTRY.user))

    def test_an_entry_of_ours_cannot_go(self, shared: SharedFile, file: Path, stuck: Stuck) -> None:
        shared.merge(ENTRY)
        with stuck(), pytest.raises(PreflightError):
            shared.remove(ENTRY.name)

    @pytest.mark.parametrize("names", [(), ("mine",), ("kwok-cto",)], ids=str)
    def test_where_there_is_none_of_ours_nothing_has_to_go(
        self, shared: SharedFile, file: Path, stuck: Stuck, names: tuple[str, ...]
    ) -> None:
        """The removal of a cluster does not fail because of a file that it has nothing in."""
        before = write(file, *names).read_text()
        with stuck():
            assert not shared.remove(ENTRY.name)
            assert file.read_text() == before

    def test_what_is_no_kubeconfig_may_have_one_of_ours(
        self, shared: SharedFile, file: Path, stuck: Stuck
    ) -> None:
        write(file).write_text("{")
        with stuck(), pytest.raises(PreflightError, match="not YAML"):
            shared.remove(ENTRY.name)
