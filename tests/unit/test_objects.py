"""Objects: what they are called, and YAML in and out."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cto import objects
from cto.objects import ObjectRef, ref_of
from fakes.components import config_map

WORDS = st.text("abcxyz-./", max_size=6)


@given(st.builds(ObjectRef, WORDS, WORDS, WORDS, WORDS))
def test_an_identity_survives_json(ref: ObjectRef) -> None:
    assert ObjectRef.from_json(ref.to_json()) == ref


@pytest.mark.parametrize(("version", "group"), [("v1", ""), ("apps/v1", "apps")])
def test_the_group_is_what_precedes_the_version(version: str, group: str) -> None:
    assert ObjectRef(version, "Kind", "", "name").group == group


def test_people_read_kind_name_and_namespace() -> None:
    assert str(ObjectRef("v1", "Secret", "web", "admin")) == "Secret admin in web"
    assert str(ObjectRef("v1", "Namespace", "", "web")) == "Namespace web"


def test_what_is_in_a_secret_is_text_also_where_it_is_none() -> None:
    data = {"key": "cGxhbnRlZA==", "blob": "//4="}
    assert objects.secret_data({"data": data}) == {"key": "planted", "blob": "\ufffd\ufffd"}
    assert [objects.secret_data(one) for one in (None, {}, {"data": None})] == [{}, {}, {}]


def test_the_callers_namespace_counts_only_where_none_is_named() -> None:
    manifest = config_map("glue", "web")
    assert ref_of(manifest, default_namespace="other").namespace == "web"
    del manifest["metadata"]["namespace"]
    assert ref_of(manifest, default_namespace="other").namespace == "other"


@pytest.mark.parametrize("metadata", [{}, {"labels": None, "annotations": None}])
def test_no_labels_and_no_annotations_are_empty_ones(metadata: dict[str, Any]) -> None:
    assert objects.labels_of({"metadata": metadata}) == {}
    assert objects.annotations_of({"metadata": metadata}) == {}
    assert objects.labels_of({}) == {}


def test_a_stream_loses_its_empty_documents_and_lists_are_unpacked() -> None:
    text = """
--- # nothing
---
kind: ConfigMap
---
kind: ConfigMapList
items: [{kind: ConfigMap, n: 1}, {kind: ConfigMap, n: 2}]
---
kind: WordList
words: [a]
"""
    assert list(objects.load_documents(text)) == [
        {"kind": "ConfigMap"},
        {"kind": "ConfigMap", "n": 1},
        {"kind": "ConfigMap", "n": 2},
        {"kind": "WordList", "words": ["a"]},
    ]


def test_what_is_no_yaml_says_where() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        list(objects.load_documents("a: 1\nb: [2\n"))
    assert "line 3" in str(caught.value)


def test_written_documents_are_read_again_in_their_order() -> None:
    manifests = [config_map("b", "web"), config_map("a", "web", "ü: [")]
    text = objects.dump_documents(manifests)
    assert list(objects.load_documents(text)) == manifests
    assert text.index("apiVersion") < text.index("kind") < text.index("metadata")
    assert "ü" in text


def test_one_document_is_read_without_building_python_objects() -> None:
    assert objects.load_yaml("a: [1, x]") == {"a": [1, "x"]}
    with pytest.raises(yaml.YAMLError):
        objects.load_yaml("!!python/object/apply:os.getcwd []")
