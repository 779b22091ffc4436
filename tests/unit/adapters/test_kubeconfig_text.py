"""Other people's kubeconfigs keep every byte that is not ours, however they are written."""

from __future__ import annotations

import json
import os
import stat
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cto.adapters.kubernetes.kubeconfig import Entry, SharedFile, read
from cto.adapters.kubernetes.kubeconfig.text import put, take
from cto.errors import PreflightError
from fakes.clock import FakeClock
from fakes.machine import FakeMachine

ENTRY = Entry("kind-cto", {"server": "https://127.0.0.1:1"}, {"client-key-data": "c2VjcmV0"})
OTHER = Entry("kind-cto", {"server": "https://127.0.0.1:2"}, {"client-key-data": "c2VjcmV0"})
NAME = ENTRY.name

# What YAML 1.1, 1.2, PyYAML and Go read as different things.
ODD = ("089012345678", "12e4567", "n", "y", "1_000", "0o17", "0x1F", "=", "<<", "1:30", "~", ".inf")

BLOCK = """\
# the work account
apiVersion: v1
kind: Config
preferences: {}
clusters:
# do not touch
- cluster:
    server: https://one   # 10.0.0.1
  name: "089012345678"
users:
    - name:  'n'
      user: {token: "12e4567"}
contexts:
- context:
    cluster: "089012345678"
    namespace: "y"
    user: 'n'
  name: one
# the end of contexts
current-context: one
# the end
"""
INDENTED = textwrap.indent(BLOCK, "  ")
JSON_FILE = json.dumps(yaml.safe_load(BLOCK), indent=4) + "\n"
FLOW = """\
{apiVersion: v1, kind: Config,
 clusters: [{name: one, cluster: {server: 'https://one'}},   # first
            {name: two, cluster: {server: 'https://two'}}, # second
 ],
 users: [{name: one, user: {token: "12e4567"}}], contexts: [
 {name: one, context: {cluster: one, user: one}}], "current-context": one}
"""
EMPTY = """\
apiVersion: v1
clusters: []  # none
contexts: null
current-context: ""
kind: Config
preferences: {}
users:
"""
ANCHORS = """\
clusters:
- name: one
  cluster: &c
    server: https://one
- {name: two, cluster: *c}
contexts: [{name: one, context: {cluster: one, user: "n"}}]
users: [{name: "n", user: {token: &t "1_000"}}]
extensions: [{name: x, extension: {kept: *t}}]
current-context: one
"""
LITERAL = """\
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters:
- name: one
  cluster:
    server: https://one
    certificate-authority-data: |
      YWJj

users:
- name: one
  user:
    token: >-
      a
      b

# behind
"""
DOCUMENTS = BLOCK + "---\nsecond: [document\n"
FILES = {
    "block": BLOCK,
    "indented": INDENTED,
    "json": JSON_FILE,
    "flow": FLOW,
    "empty": EMPTY,
    "anchors": ANCHORS,
    "literal": LITERAL,
    "two documents": DOCUMENTS,
    "two whole documents": f"---\n{BLOCK}...\n---\n{BLOCK}",
    "crlf": BLOCK.replace("\n", "\r\n"),
    "tabs in json": JSON_FILE.replace("    ", "\t"),
    "bom": "\ufeff" + BLOCK,
    "only a comment": "# mine\n",
    "only dashes": "---\n",
    "null": "null\n",
    "an empty mapping": "{}\n",
    "a mapping of one line": "{apiVersion: v1}",
    "kind only": "kind: Config\n",
}
for _name in tuple(FILES):
    FILES[f"{_name}, no last newline"] = FILES[_name].rstrip("\r\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / ".kube"
    folder.mkdir()
    return folder / "config"


@pytest.fixture
def shared(file: Path, tmp_path: Path) -> SharedFile:
    return SharedFile(file, FakeClock(), FakeMachine(tmp_path / "root").host)


def foreign(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is not ours, in the shape that kubectl gives it."""
    kept = {key: value for key, value in document.items() if key not in ("kind", "apiVersion")}
    for section in ("clusters", "users", "contexts"):
        items = document.get(section) or []
        kept[section] = [item for item in items if item["name"] != NAME]
    kept["current-context"] = document.get("current-context") or ""
    return kept


def is_within(old: bytes, new: bytes) -> bool:
    """Whether all the old bytes are in the new ones, in their order."""
    rest = iter(new)
    return all(byte in rest for byte in old)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
class TestEveryStyle:
    def test_foreign_entries_stay_as_they_are(
        self, shared: SharedFile, file: Path, text: str
    ) -> None:
        file.write_bytes(text.encode())
        before = read(file)

        assert shared.merge(ENTRY)

        after = read(file)
        had_current = foreign(before)["current-context"]
        expected = {**foreign(before), "current-context": had_current or NAME}
        assert foreign(after) == expected
        for section, item in ENTRY.sections().items():
            assert after[section][-1] == item

    def test_bytes_are_only_added(self, shared: SharedFile, file: Path, text: str) -> None:
        file.write_bytes(text.encode())
        shared.merge(ENTRY)
        for nothing in ("[]", "null", '""'):
            text = text.replace(f": {nothing}", ":")
        if text.strip() != "null":
            assert is_within(text.encode(), file.read_bytes())

    def test_what_was_put_in_comes_out_again(
        self, shared: SharedFile, file: Path, text: str
    ) -> None:
        file.write_bytes(text.encode())
        before = foreign(read(file))
        shared.merge(ENTRY)

        assert shared.remove(NAME)

        assert foreign(read(file)) == before
        if all(before[section] for section in ("clusters", "users", "contexts")):
            assert file.read_bytes() == text.encode()

    def test_a_new_address_takes_the_place_of_the_old_one(
        self, shared: SharedFile, file: Path, text: str
    ) -> None:
        file.write_bytes(text.encode())
        shared.merge(OTHER)
        expected = file.read_bytes().replace(b"127.0.0.1:2", b"127.0.0.1:1")

        shared.merge(ENTRY)

        assert file.read_bytes() == expected

    def test_the_current_context_alone_changes(
        self, shared: SharedFile, file: Path, text: str
    ) -> None:
        file.write_bytes(text.encode())
        shared.merge(ENTRY)
        before = foreign(read(file))
        shared.merge(ENTRY, make_current=True)
        assert foreign(read(file)) == {**before, "current-context": NAME}

    def test_the_copy_is_what_was(self, shared: SharedFile, file: Path, text: str) -> None:
        file.write_bytes(text.encode())
        file.chmod(0o640)

        shared.merge(ENTRY)
        shared.merge(OTHER)
        shared.remove(NAME)
        shared.merge(ENTRY)

        copy = file.with_name("config.before-cto")
        assert copy.read_bytes() == text.encode()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o640
        assert copy.stat().st_uid == file.stat().st_uid == os.geteuid()

    def test_the_copy_goes_when_the_file_is_again_what_it_was(
        self, shared: SharedFile, file: Path, text: str
    ) -> None:
        file.write_bytes(text.encode())
        shared.merge(ENTRY)
        shared.remove(NAME)

        copy = file.with_name("config.before-cto")
        assert copy.exists() == (file.read_bytes() != text.encode())


def test_between_others_only_our_entry_is_replaced_and_removed() -> None:
    """Somebody may have added entries behind ours."""
    texts = put(BLOCK, ENTRY.sections(), None)
    later = {"clusters": {"name": "z"}, "users": {"name": "z"}, "contexts": {"name": "z"}}
    behind = put(texts, later, None)
    assert put(behind, ENTRY.sections(), None) == behind
    assert take(behind, NAME, None) == put(BLOCK, later, None)


@pytest.mark.parametrize(
    "first", ["[{name: kind-cto}, {name: b}]", "[{name: kind-cto} , # c\n {name: b}]"]
)
def test_the_first_of_a_list_in_one_line_goes_with_its_comma(first: str) -> None:
    after = take(f"clusters: {first}\n", NAME, None)
    assert yaml.safe_load(after) == {"clusters": [{"name": "b"}]}
    assert ("# c" in after) == ("# c" in first)


def test_a_comment_before_the_last_of_a_list_stays() -> None:
    after = take("clusters: [{name: a}, # c\n {name: kind-cto}]\n", NAME, None)
    assert yaml.safe_load(after) == {"clusters": [{"name": "a"}]}
    assert "# c" in after


def test_comments_around_our_entry_are_not_ours() -> None:
    text = put(BLOCK, ENTRY.sections(), None)
    text = text.replace("users:\n", "# before users\nusers:\n# after users\n")
    assert take(text, NAME, None) == BLOCK.replace(
        "users:\n", "# before users\nusers:\n# after users\n"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("clusters: []\nclusters: []\n", "clusters is written twice"),
        ("x: &x [{name: a}]\nclusters: *x\n", "no list, or a reference"),
        ("clusters: !!seq []\nusers: {}\n", "no list"),
        ("clusters: !!seq\n- name: a\n", "unusual way"),
        ("<<: {clusters: [{name: a}]}\n", "no longer be what it is"),
        ("current-context: &c one\nextensions: [{name: a, extension: *c}]\n", "be what it is"),
        ("current-context: [one]\n", "current-context is no text"),
        ("? clusters\n: - name: a\n", "in the middle of a line"),
    ],
)
def test_what_cannot_be_done_without_a_risk_is_refused_and_nothing_is_written(
    shared: SharedFile, file: Path, text: str, why: str
) -> None:
    file.write_text(text)
    with pytest.raises(PreflightError, match=why) as error:
        shared.merge(ENTRY, make_current=True)
    assert error.value.code == "CTO-1403"
    assert str(file) in error.value.message
    assert "NEW" in error.value.hint
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_another_file_may_have_the_current_context(tmp_path: Path, file: Path) -> None:
    """Of several files the first that names one counts, and ours would be before it."""
    beside = tmp_path / "second"
    beside.write_text(BLOCK)
    broken = tmp_path / "third"
    broken.write_text("{")
    host = FakeMachine(tmp_path / "root").host
    SharedFile(file, FakeClock(), host, beside=[broken, beside]).merge(ENTRY)
    assert read(file)["current-context"] == ""


def test_another_file_may_have_the_name(tmp_path: Path, file: Path) -> None:
    beside = tmp_path / "second"
    beside.write_text("contexts: [{name: kind-cto, context: {cluster: a, user: b}}]\n")
    host = FakeMachine(tmp_path / "root").host
    assert not SharedFile(file, FakeClock(), host, beside=[beside]).merge(ENTRY)
    assert not file.exists()


def test_no_copy_is_made_of_what_we_made(shared: SharedFile, file: Path) -> None:
    shared.merge(ENTRY)
    shared.merge(OTHER)
    assert list(file.parent.iterdir()) == [file]


# any kubeconfig

_words = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=9),
)
_servers = st.builds("https://{}".format, st.integers(0, 9))


@st.composite
def kubeconfigs(draw: st.DrawFn) -> dict[str, Any]:
    """Return what a kubeconfig may say; every text is one that some reader takes for another."""
    names = draw(st.lists(_words.filter(lambda name: name != NAME), max_size=4, unique=True))
    drawn = {
        "clusters": [{"name": n, "cluster": {"server": draw(_servers)}} for n in names],
        "users": [{"name": n, "user": {"token": draw(_words)}} for n in names],
        "contexts": [
            {"context": {"cluster": n, "user": n, "namespace": draw(_words)}, "name": n}
            for n in names
        ],
        "current-context": draw(st.sampled_from(["", *names])),
        "apiVersion": "v1",
        "kind": "Config",
    }
    kept = draw(st.permutations(list(drawn)))[draw(st.integers(0, 3)) :]
    return {key: drawn[key] for key in kept}


def _quoted(document: Any) -> str:
    return yaml.safe_dump(document, default_style="'", sort_keys=False)


WRITERS: dict[str, Callable[[Any], str]] = {
    "flow": json.dumps,
    "json": lambda document: json.dumps(document, indent=2),
    "block": _quoted,
    "indented": lambda document: textwrap.indent(_quoted(document), "   "),
    "crlf": lambda document: _quoted(document).replace("\n", "\r\n"),
    "commented": lambda document: "".join(
        f"{line}  # {index}\n# {index}\n"
        for index, line in enumerate(_quoted(document).splitlines())
    ),
}


@pytest.mark.parametrize("style", WRITERS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(document=kubeconfigs(), ends=st.booleans())
def test_any_kubeconfig_in_any_style_keeps_what_it_says(
    style: str, document: dict[str, Any], *, ends: bool
) -> None:
    text = WRITERS[style](document)
    text = text if ends else text.rstrip()
    there = put(text, ENTRY.sections(), None)
    gone = take(there, NAME, None)
    assert foreign(yaml.safe_load(there)) == foreign(document)
    assert foreign(yaml.safe_load(gone)) == foreign(document)
    if all(document.get(section) for section in ENTRY.sections()):
        assert gone == text
        assert is_within(text.encode(), there.encode())
