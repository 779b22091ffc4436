"""The labels by which the installer knows its own."""

from __future__ import annotations

from cto import digests
from cto.objects import labels_of
from cto.plan import labels
from fakes.components import config_map


def test_marks_are_added_and_the_manifest_that_was_given_stays_as_it_was() -> None:
    manifest = config_map("glue", "web")
    manifest["metadata"]["labels"] = {"theirs": "stays"}
    marked = labels.marked(manifest, "web", "before")
    assert labels_of(marked) == {
        "theirs": "stays",
        labels.MANAGED_BY: labels.OWNER,
        labels.COMPONENT: "web",
        labels.MOMENT: "before",
        labels.DIGEST: digests.for_label(digests.of_data(manifest)),
    }
    assert labels_of(manifest) == {"theirs": "stays"}


def test_the_digest_follows_the_content_and_fits_a_label() -> None:
    one, same, other = (
        labels_of(labels.marked(config_map("glue", "web", data), "web", "before"))[labels.DIGEST]
        for data in ("x", "x", "y")
    )
    assert one == same != other
    assert len(one) <= 63


def test_an_object_without_metadata_labels_gets_some() -> None:
    assert labels_of(labels.labelled({"metadata": {"labels": None}}, {"a": "b"})) == {"a": "b"}
    assert labels_of(labels.labelled({}, {"a": "b"})) == {"a": "b"}
