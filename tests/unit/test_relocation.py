"""Texts of manifests that get other images: every known name, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.objects import load_documents
from cto.relocation import Relocation
from unit.bundle.parts import workload

SHA = "@sha256:" + "a" * 64
NATS = f"r.example.com/cto/docker.io/library/nats:2.1{SHA}"
SERVER = f"r.example.com/cto/quay.io/x/server:v1{SHA}"
MOVED = Relocation(
    images={
        "nats:2.1": NATS,
        "docker.io/library/nats:2.1": NATS,
        "quay.io/x/server:v1": SERVER,
        "quay.io/x/server:v1.2": f"r.example.com/other{SHA}",
    },
    pull_secret="puller",
)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("quay.io/x/server:v1", SERVER),
        ("docker.io/library/nats:2.1", NATS),
        ("nats:2.1", NATS),
        (f"nats:2.1@sha256:{'b' * 64}", NATS),
        ("--image=quay.io/x/server:v1", f"--image={SERVER}"),
        ('{"image":"nats:2.1","other":"nats:2.1"}', f'{{"image":"{NATS}","other":"{NATS}"}}'),
        ("It runs nats:2.1, quay.io/x/server:v1.", f"It runs {NATS}, {SERVER}."),
        ("a: nats:2.1\nb: nats:2.1: no\n", f"a: {NATS}\nb: {NATS}: no\n"),
        ("quay.io/x/server:v1.2", f"r.example.com/other{SHA}"),
    ],
)
def test_a_name_is_found_in_every_text(text: str, new: str) -> None:
    assert MOVED.renamed(text) == new
    assert MOVED.renamed(new) == new


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nats",
        "nats:2.10",
        "nats:2.1-alpine",
        "nats:2.1.4",
        "me/nats:2.1",
        "mirror.example.com/docker.io/library/nats:2.1",
        "quay.io/x/server:v1/path",
        "my-nats:2.1",
        "quay.io/x/server",
        "nats:2.1@sha512",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert MOVED.renamed(text) == text


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (
            "x:\n  repository: quay.io/x/server\n  tag: v1\n",
            f"x:\n  repository: {SERVER.partition(':')[0]}\n  tag: v1{SHA}\n",
        ),
        (
            '{"repository":"quay.io/x/server","tag":"v1"}',
            f'{{"repository":"{SERVER.partition(":")[0]}","tag":"v1{SHA}"}}',
        ),
        ("repository: quay.io/x/server\ntag: v9\n", "repository: quay.io/x/server\ntag: v9\n"),
        ("repository: quay.io/x/server\nother: v1\n", "repository: quay.io/x/server\nother: v1\n"),
    ],
)
def test_a_repository_and_its_tag_may_stand_apart(text: str, new: str) -> None:
    assert MOVED.renamed(text) == new
    assert MOVED.renamed(new) == new


def test_what_go_and_python_read_in_another_way_is_left_as_it_is_written() -> None:
    """`1e3` and `1:30` are numbers to the one and texts to the other, quoted or not."""
    text = """\
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: it
data:
  a: "1e3"
  b: 1e3
  c: 1:30
  d: 0o17
  e: 'on'
  f: |
    image: nats:2.1
  g: 2020-01-01
  h: grün
  i:
"""
    assert MOVED.rewritten(text) == text.replace("nats:2.1", NATS)


def test_separators_are_on_lines_of_their_own() -> None:
    """Helm refuses `--- {}`, which is what libyaml makes of JSON."""
    text = '{"a": "nats:2.1"}\n---\n{"b": 1}\n---\nc: 1\n'
    assert MOVED.rewritten(text) == f'---\n{{"a": "{NATS}"}}\n---\n{{"b": 1}}\n---\nc: 1\n'


def test_names_are_found_at_any_depth_and_in_every_document() -> None:
    text = "a: [{b: nats:2.1}, &x nats:2.1, *x]\n---\n- nats:2.1\n---\n"
    first, second = Relocation(images=MOVED.images).rewritten(text).split("---\n")[1:3]
    assert first.count(NATS) == 2
    assert second == f"- {NATS}\n"


@pytest.mark.parametrize("kind", ["Pod", "PodTemplate", "CronJob", "Job", "Deployment"])
def test_pods_get_the_pull_secret(kind: str) -> None:
    (made,) = MOVED.manifests([workload(kind, "nats:2.1", "mine:1")])
    wanted = workload(kind, NATS, "mine:1", imagePullSecrets=[{"name": "puller"}])
    assert made == wanted
    assert MOVED.manifests([made]) == (made,)


@pytest.mark.parametrize("there", [None, [], [{"name": "mine"}], [{"name": "puller"}]])
def test_other_pull_secrets_stay(there: list[dict[str, str]] | None) -> None:
    (made,) = MOVED.manifests([workload("Deployment", "x", imagePullSecrets=there)])
    names = [item["name"] for item in made["spec"]["template"]["spec"]["imagePullSecrets"]]
    assert names == [*dict.fromkeys([*(item["name"] for item in there or ()), "puller"])]


def test_accounts_get_it_for_pods_that_operators_make() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "op"}}
    (made,) = MOVED.manifests([account])
    assert made == {**account, "imagePullSecrets": [{"name": "puller"}]}


def test_lists_are_looked_into() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ServiceAccount\n"
    assert [item["imagePullSecrets"] for item in load_documents(MOVED.rewritten(text))] == [
        [{"name": "puller"}]
    ]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: argoproj.io/v1alpha1\nkind: Deployment\nspec: {template: {spec: {a: b}}}\n",
        "apiVersion: v1\nkind: ConfigMap\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n",
        "- kind: Pod\n",
        "text\n",
    ],
)
def test_what_makes_no_pods_gets_none(text: str) -> None:
    assert "puller" not in MOVED.rewritten(text)


def test_without_a_secret_only_names_change() -> None:
    (made,) = Relocation(images=MOVED.images).manifests([workload("Deployment", "nats:2.1")])
    assert made == workload("Deployment", NATS)
    bare = Relocation()
    assert bare.manifests([made]) == (made,)


def test_it_survives_json() -> None:
    assert Relocation.from_json(MOVED.to_json()) == MOVED


@given(st.text())
def test_any_text_may_be_looked_at(text: str) -> None:
    assert MOVED.renamed(MOVED.renamed(text)) == MOVED.renamed(text)
