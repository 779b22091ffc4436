"""What helm is called with, and what is made of its answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.adapters import postrender
from cto.adapters.helm.releases import WORDS, HelmReleases
from cto.errors import Cancelled, CtoError, ToolError
from cto.ports import Access, Chart, ReleaseSpec
from cto.relocation import Relocation
from fakes.runner import Call, FakeRunner, Reply

CLUSTER = ["--kubeconfig", "/kube/config", "--kube-context", "here"]
SERVER_SIDE = ["--server-side=true", "--force-conflicts", "--wait=hookOnly"]
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
apiVersion: batch/v1
kind: Job
metadata: {name: b, annotations: {helm.sh/hook: pre-install}}
"""


def spec(**changes: Any) -> ReleaseSpec:
    chart = Chart(name="c", version="1", path=Path("/charts/c-1.tgz"), digest="d")
    settings: dict[str, Any] = {
        "name": "rel",
        "namespace": "ns",
        "chart": chart,
        "values": {"password": "hunter2", "text": "grün 😀"},
        "labels": {"cto.dev/digest": "abc", "a": "b"},
    }
    return ReleaseSpec(**{**settings, **changes})


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def helm(runner: FakeRunner, tmp_path: Path) -> HelmReleases:
    access = Access(Path("/kube/config"), "here")
    return HelmReleases(runner, lambda: Path("/tools/helm"), access, home=tmp_path)


def only_call(runner: FakeRunner) -> Call:
    (call,) = runner.calls
    return call


def test_upgrade(runner: FakeRunner, helm: HelmReleases) -> None:
    hooks = [{"name": "x", "manifest": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}"}]
    told = {"manifest": MANIFEST.partition("---")[0], "hooks": hooks, "config": {}}
    runner.on("helm", "upgrade", stdout=json.dumps(told))
    found = helm.upgrade(spec(), timeout_s=90.5)
    assert [item["kind"] for item in found] == ["ConfigMap", "Secret"]
    call = only_call(runner)
    assert list(call.argv) == [
        *("/tools/helm", "upgrade", "rel", "/charts/c-1.tgz", "--namespace", "ns"),
        *("--values", "-", *CLUSTER, "--install", *SERVER_SIDE, "--timeout", "90s"),
        *("--labels", "a=b,cto.dev/digest=abc", "--skip-crds", "--output", "json"),
    ]
    assert call.timeout_s > 90.5


def test_a_relocation_goes_through_a_post_renderer(
    runner: FakeRunner, helm: HelmReleases, tmp_path: Path
) -> None:
    moved = spec(relocation=Relocation(images={"a": "b"}))
    runner.on("helm", "upgrade", stdout=json.dumps({"manifest": ""}))
    runner.on("helm", "template", stdout="")
    helm.upgrade(moved, timeout_s=1)
    helm.template(moved, kube_version="v1.34.4")
    for call in runner.calls:
        assert "--values - --post-renderer cto-images" in " ".join(call.argv)
        assert call.env["HELM_PLUGINS"] != str(tmp_path / "plugins")
        assert '"a": "b"' in str(call.env["CTO_RELOCATION"])


def test_crds_in_the_chart_and_labels_are_optional(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "upgrade", stdout=json.dumps({"manifest": ""}))
    assert helm.upgrade(spec(skip_crds=False, labels={}), timeout_s=0.1) == ()
    argv = only_call(runner).argv
    assert "--skip-crds" not in argv
    assert "--labels" not in argv
    assert argv[argv.index("--timeout") + 1] == "1s"


def test_values_go_through_the_input_and_never_through_arguments(
    runner: FakeRunner, helm: HelmReleases
) -> None:
    runner.on("helm", stdout='{"manifest": ""}')
    helm.upgrade(spec(), timeout_s=1)
    call = only_call(runner)
    assert "hunter2" not in " ".join(call.argv)
    assert json.loads(call.stdin or "") == spec().values
    assert "😀" in (call.stdin or "")


def test_an_answer_that_is_no_release_is_not_shown(runner: FakeRunner, helm: HelmReleases) -> None:
    for answer in ('"hunter2"', "hunter2", '{"config": "hunter2"}', "1"):
        runner.on("helm", "upgrade", stdout=answer)
    for _ in range(4):
        with pytest.raises(ToolError) as caught:
            helm.upgrade(spec(), timeout_s=1)
        assert caught.value.code == "CTO-1500"
        assert "hunter2" not in f"{caught.value.message}{caught.value.details}"


def test_its_words_are_all_that_it_is_called_with_beside_what_it_is_about(
    runner: FakeRunner, tmp_path: Path
) -> None:
    helm = HelmReleases(runner, lambda: Path("helm"), Access(Path("k"), "c"), home=tmp_path)
    runner.on("helm", stdout='{"manifest": "", "status": "deployed"}')
    bare = spec(relocation=Relocation(), labels={})
    for crds in (True, False):
        helm.template(bare, kube_version="v1", api_versions=("v1",), crds=crds)
    helm.upgrade(bare, timeout_s=1)
    for look in (helm.manifest, helm.hooks, helm.status):
        look("rel", "ns")
    helm.rollback("rel", "ns", 1, timeout_s=1)
    for wait in (True, False):
        helm.uninstall("rel", "ns", timeout_s=1, wait=wait)
    ours = postrender.environment(Relocation())
    known = (*WORDS, *ours.values(), str(tmp_path), str(bare.chart.path), postrender.NAME)
    said = [text for call in runner.calls for text in (*call.argv, *call.env.values()) if text]
    words = {word for text in said for word in re.findall(r"[A-Za-z]{6,}", text)}
    assert [word for word in words if not any(word in text for text in known)] == []


def test_an_upgrade_can_be_cancelled(runner: FakeRunner, helm: HelmReleases) -> None:
    cancel = Flag()
    runner.on("helm", "upgrade", reply=Reply(effect=lambda _: cancel.set()))
    with pytest.raises(Cancelled):
        helm.upgrade(spec(), timeout_s=1, cancel=cancel)


def test_template(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "template", stdout=MANIFEST)
    found = helm.template(spec(), kube_version="v1.34.4", api_versions=["a/v1", "b/v1"])
    assert [item["kind"] for item in found] == ["ConfigMap", "Job"]
    assert list(only_call(runner).argv) == [
        *("/tools/helm", "template", "rel", "/charts/c-1.tgz", "--namespace", "ns"),
        *("--values", "-", "--kube-version", "v1.34.4"),
        *("--api-versions", "a/v1", "--api-versions", "b/v1", "--skip-crds", "--skip-tests"),
    ]


def test_template_with_crds(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "template", stdout="")
    assert helm.template(spec(), kube_version="v1.34.4", crds=True) == ()
    assert "--include-crds" in only_call(runner).argv
    assert "--skip-crds" not in only_call(runner).argv


@pytest.mark.parametrize("what", ["manifest", "hooks"])
def test_what_a_release_consists_of(runner: FakeRunner, helm: HelmReleases, what: str) -> None:
    runner.on("helm", "get", what, stdout=MANIFEST)
    found = getattr(helm, what)("rel", "ns")
    assert ["Job" in {item["kind"] for item in found}] == [what == "hooks"]
    argv = ["/tools/helm", "get", what, "rel", "--namespace", "ns", *CLUSTER]
    assert list(only_call(runner).argv) == argv


def test_a_release_that_is_not_there_has_nothing(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "get", reply=Reply(returncode=1, stderr="Error: release: not found\n"))
    assert helm.manifest("rel", "ns") == ()
    assert helm.hooks("rel", "ns") == ()


def test_any_other_failure_is_one(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "get", reply=Reply(returncode=1, stderr="Error: no API\n"))
    with pytest.raises(CtoError) as caught:
        helm.manifest("rel", "ns")
    assert caught.value.details == "Error: no API"


def test_rollback(runner: FakeRunner, helm: HelmReleases) -> None:
    runner.on("helm", "rollback")
    helm.rollback("rel", "ns", 3, timeout_s=60)
    assert list(only_call(runner).argv) == [
        *("/tools/helm", "rollback", "rel", "3", "--namespace", "ns", *CLUSTER),
        *(*SERVER_SIDE, "--timeout", "60s"),
    ]


@pytest.mark.parametrize(("wait", "word"), [(True, "watcher"), (False, "hookOnly")])
def test_uninstall(runner: FakeRunner, helm: HelmReleases, *, wait: bool, word: str) -> None:
    runner.on("helm", "uninstall")
    helm.uninstall("rel", "ns", timeout_s=60, wait=wait)
    assert list(only_call(runner).argv) == [
        *("/tools/helm", "uninstall", "rel", "--namespace", "ns", *CLUSTER),
        *("--ignore-not-found", f"--wait={word}", "--timeout", "60s"),
    ]


def test_nothing_of_the_users_helm_is_used(
    runner: FakeRunner, helm: HelmReleases, tmp_path: Path
) -> None:
    runner.on("helm", "get", stdout="")
    helm.manifest("rel", "ns")
    env = only_call(runner).env
    for name in ("HELM_KUBECONTEXT", "HELM_KUBETOKEN", "HELM_NAMESPACE", "HELM_DRIVER"):
        assert env[name] is None
    for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS"):
        assert str(env[name]).startswith(str(tmp_path))


@pytest.mark.parametrize("verb", ["template", "upgrade"])
def test_a_failure_names_component_and_chart_first(
    runner: FakeRunner, helm: HelmReleases, verb: str
) -> None:
    words = "Error: execution error at (c/templates/x.yaml:1:6): need x"
    runner.on("/tools/helm", verb, reply=Reply(stderr=words, returncode=1))
    calls: dict[str, Callable[[ReleaseSpec], object]] = {
        "template": lambda wanted: helm.template(wanted, kube_version="v1.34.4"),
        "upgrade": lambda wanted: helm.upgrade(wanted, timeout_s=5),
    }
    with pytest.raises(ToolError) as caught:
        calls[verb](spec(component="grafana"))
    assert caught.value.code == "CTO-1570"
    assert caught.value.message == "grafana (chart c 1): c/templates/x.yaml:1:6: need x"
    assert caught.value.details == f"helm ended with code 1\n{words}"
    assert "components.grafana.values" in caught.value.hint


def test_the_chart_of_a_release_is_what_helm_says(runner: FakeRunner, helm: HelmReleases) -> None:
    told = '{"chart": "web", "version": "2.0.0", "appVersion": "3.1", "status": "deployed"}'
    runner.on("/tools/helm", "get", "metadata", stdout=told)
    assert helm.chart("rel", "ns") == ("web", "2.0.0", "3.1")


def test_a_helm_that_does_not_tell_the_chart_is_named(
    runner: FakeRunner, helm: HelmReleases
) -> None:
    runner.on("/tools/helm", "get", "metadata", stdout='{"status": "deployed"}')
    with pytest.raises(ToolError, match="rel did not answer with chart, version, appVersion"):
        helm.chart("rel", "ns")
