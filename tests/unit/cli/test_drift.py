"""`cto status --drift` and `--repair`: object by object, and exactly that."""

from __future__ import annotations

from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.objects import ObjectRef
from fakes.components import definition
from fakes.desk import Desk

WEB = ObjectRef("apps/v1", "Deployment", "web", "web")
VALUES = ObjectRef("v1", "ConfigMap", "web", "web-values")
OWN = ObjectRef("v1", "ConfigMap", "own", "own")
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: own}
data: {says: one}
"""


@pytest.fixture
def shop(desk: Desk) -> Desk:
    desk.clock = SystemClock()
    desk.component(
        definition("own", "manifests: {after: [own.yaml.j2]}\n"), {"own.yaml.j2": MANIFEST}
    )
    assert desk.cto("install", "--yes").exit_code == 0
    return desk


def changed(desk: Desk, ref: ObjectRef, **content: Any) -> None:
    live = desk.cluster.everything()[ref]
    desk.cluster.add({**live, **content})


def test_what_is_as_it_was_installed_has_no_drift(shop: Desk) -> None:
    result = shop.cto("status", "--drift")
    assert (result.exit_code, result.stdout) == (0, "test: everything is as it was installed.\n")


def test_drift_is_shown_like_a_diff_and_put_back_by_itself(shop: Desk) -> None:
    spec = shop.cluster.everything()[WEB]["spec"]
    changed(shop, WEB, spec={**spec, "replicas": 5})
    changed(shop, OWN, data={"says": "two"})
    shop.cluster.delete_quietly(VALUES)
    result = shop.cto("status", "--drift")
    assert result.exit_code == 11
    assert result.stdout == (
        "--- ConfigMap web-values in web (installed with web)\n"
        "+++ nothing: it is missing\n"
        "\n"
        "--- Deployment web in web (installed with web)\n"
        "+++ Deployment web in web (now)\n"
        "-spec.replicas: 1\n"
        "+spec.replicas: 5\n"
        "\n"
        "--- ConfigMap own in own (installed with own)\n"
        "+++ ConfigMap own in own (now)\n"
        "-data.says: ...\n"
        "+data.says: ...\n"
        "\n"
    )
    document = shop.document("status", "--drift", code=11)["data"]
    assert [one["missing"] for one in document["drift"]] == [True, False, False]
    assert document["drift"][1]["fields"][0]["installed"] == "1"
    assert shop.document("status", "--repair", code=2)["error"]["code"] == "CTO-1204"
    shop.releases.calls.clear()
    repaired = shop.cto("status", "--repair", "--yes")
    assert repaired.exit_code == 0, repaired.output
    assert "3 objects put back." in repaired.stdout
    assert {verb for verb, _ in shop.releases.calls} == {"manifest"}
    assert shop.cto("status", "--drift").exit_code == 0
    assert shop.cluster.everything()[OWN]["data"] == {"says": "one"}
    run = shop.document("history")["data"]["runs"][0]
    assert (run["command"], run["outcome"], run["changes"]) == (
        "repair",
        "done",
        {"own": "changed", "web": "changed"},
    )


def test_own_objects_of_another_version_are_not_compared(shop: Desk) -> None:
    file = shop.root / "bundle" / "components" / "own" / "own.yaml.j2"
    file.write_text(MANIFEST.replace("one", "three"))
    result = shop.cto("status", "--drift")
    assert result.exit_code == 0
    assert "not compared: ConfigMap own in own: another version of cto applied it" in result.stdout


def test_a_question_comes_before_the_repair(shop: Desk) -> None:
    shop.cluster.delete_quietly(VALUES)
    shop.attended = True
    refused = shop.cto("status", "--repair", answer="n\n")
    assert refused.exit_code == 130
    assert "Put this back on test?" in refused.output
    assert VALUES not in shop.cluster.everything()
