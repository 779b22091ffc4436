"""What dashboards show and alerts ask for, and who tells it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import prometheus_client
import pytest

from cto.catalog import Catalog
from cto.engine.agentsettings import Settings
from cto.objects import dump_yaml
from cto.ports import Access
from cto.render import Renderer
from cto_controller.serving import Metrics
from fakes.programs import program
from fakes.webserver import free_port

_SERIES = Path(__file__).with_name("series.txt")
_SERIES_OF = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)[=!]~?"')


def told() -> dict[str, set[str]]:
    """Return the metrics that programs tell, with their labels."""
    found: dict[str, set[str]] = {}
    for name, labels, _ in _SERIES_OF.findall(_SERIES.read_text()):
        found.setdefault(name, set()).update(_LABEL.findall(labels))
    return found


def grafana(catalog: Catalog, renderer: Callable[..., Renderer]) -> tuple[dict[str, Any], Any]:
    """Return the dashboards and the alerts as Grafana gets them."""
    component, made = catalog["grafana"], renderer("production")
    (config,) = made.manifests(component, component.manifests.before)
    return (
        {name: json.loads(text) for name, text in config["data"].items()},
        made.values(component)["alerting"]["rules.yaml"]["groups"][0]["rules"],
    )


@pytest.fixture(scope="module")
def queries(catalog: Catalog, renderer: Callable[..., Renderer]) -> Mapping[str, str]:
    """Return every query, by the title of its panel or alert."""
    dashboards, rules = grafana(catalog, renderer)
    panels = [panel for board in dashboards.values() for panel in board["panels"]]
    return {
        **{panel["title"]: panel["targets"][0]["expr"] for panel in panels},
        **{rule["title"]: rule["data"][0]["model"]["expr"] for rule in rules},
    }


def parts(query: str) -> tuple[set[str], set[str]]:
    """Return the metrics of a query, and the labels that it names."""
    grouped = re.findall(r"by \(([^)]*)\)", query)
    labels = {word.strip() for words in grouped for word in words.split(",")}
    labels |= {name for inner in re.findall(r"\{(.*?)\}", query) for name in _LABEL.findall(inner)}
    bare = re.sub(r"by \([^)]*\)|\{.*?\}|\[\w+\]", "", query)
    return set(re.findall(r"\b[a-z]\w*_\w+\b(?!\()|\bup\b", bare)), labels


def test_only_what_programs_tell_is_asked_for(queries: Mapping[str, str]) -> None:
    known = told()
    assert len(queries) > 50
    for title, query in queries.items():
        metrics, labels = parts(query)
        assert metrics, title
        assert metrics <= known.keys(), title
        assert labels <= set().union(*(known[name] for name in metrics)), title


def test_nothing_that_programs_tell_is_listed_in_vain(queries: Mapping[str, str]) -> None:
    assert set().union(*(parts(query)[0] for query in queries.values())) == told().keys()


def test_the_controller_tells_what_is_asked_of_it() -> None:
    metrics = Metrics()
    metrics.show([], Settings.model_validate({"agents": {"rex": {"githubApp": "rex"}}}))
    metrics._seconds.labels("rex").observe(1)
    text = prometheus_client.generate_latest(metrics.registry).decode()
    mine = {name: labels for name, labels in told().items() if name.startswith("cto_")}
    for name, labels in mine.items():
        own = labels - {"job", "namespace", "pod"}
        assert any(
            set(_LABEL.findall(line)) == own for line in text.splitlines() if line.startswith(name)
        ), name


def test_the_api_server_tells_what_is_asked_of_it(lab_tools: Path, lab_access: Access) -> None:
    argv = [str(lab_tools / "kubectl"), "--kubeconfig", str(lab_access.kubeconfig)]
    raw = subprocess.run([*argv, "get", "--raw", "/metrics"], check=True, capture_output=True)
    text = raw.stdout.decode()
    for name in (one for one in told() if one.startswith("apiserver_")):
        lines = re.findall(rf"^{name}\{{.*$", text, re.MULTILINE)
        assert lines, name
        assert told()[name] - {"job"} <= set(_LABEL.findall(lines[0])), name


def test_dashboards_and_alerts_have_names_of_their_own(
    catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    """And alerts are no templates: the chart would read them as its own."""
    dashboards, rules = grafana(catalog, renderer)
    assert {*dashboards} == {
        f"{name}.json" for name in ("platform", "agents", "workflows", "gitops", "storage")
    }
    for named in ([board["uid"] for board in dashboards.values()], [r["uid"] for r in rules]):
        assert len(set(named)) == len(named)
        assert all(re.fullmatch(r"[a-z-]{1,40}", one) for one in named)
    assert "{{" not in dump_yaml(renderer("production").values(catalog["grafana"])["alerting"])


def test_without_metrics_there_is_nothing_to_show(
    catalog: Catalog, renderer: Callable[..., Renderer]
) -> None:
    component, made = catalog["grafana"], renderer("standard", components=["grafana"])
    assert made.manifests(component, component.manifests.before) == ()
    assert {"alerting", "dashboardsConfigMaps"}.isdisjoint(made.values(component))


@pytest.mark.parametrize("unverified", [False, True])
def test_only_kubelets_are_ever_asked_without_a_check_of_their_certificates(
    catalog: Catalog, renderer: Callable[..., Renderer], *, unverified: bool
) -> None:
    made = renderer("standard", cluster={"unverified_kubelets": unverified})
    scrape = made.values(catalog["victoria-metrics"])["server"]["scrape"]["config"]
    jobs = {job["job_name"]: job.get("tls_config", {}) for job in scrape["scrape_configs"]}
    skipping = {name for name, tls in jobs.items() if tls.get("insecure_skip_verify")}
    assert skipping == ({"kubelet", "cadvisor"} if unverified else set())
    assert all("ca_file" in jobs[name] for name in {"kubelet", "cadvisor"} - skipping)


# On the real program.


def get(port: int, path: str, **query: object) -> bytes:
    with urlopen(f"http://127.0.0.1:{port}{path}?{urlencode(query)}") as answer:
        body: bytes = answer.read()
        return body


def answers(port: int) -> bool:
    try:
        return bool(get(port, "/health"))
    except URLError:
        return False


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], int]]:
    """Return what starts a program of VictoriaMetrics; it returns its port."""
    lives = []

    def run(name: str) -> int:
        file, port = program(name), free_port()
        folder = tmp_path_factory.mktemp(name)
        argv = [str(file), f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}"]
        lives.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 30
        while not answers(port):
            assert time.monotonic() < end, f"{name} does not answer"
            time.sleep(0.1)
        return port

    yield run
    for life in lives:
        life.terminate()
        life.wait(20)


@pytest.fixture(scope="module")
def filled(start: Callable[[str], int]) -> int:
    """Start VictoriaMetrics with the series of seven hours, which all grow; return its port."""
    port, now = start("victoria-metrics"), int(time.time())
    lines = [
        f"{name}{{{labels}}} {float(value) + age} {(now - 60 * (420 - age)) * 1000}"
        for name, labels, value in _SERIES_OF.findall(_SERIES.read_text())
        for age in range(421)
    ]
    with urlopen(f"http://127.0.0.1:{port}/api/v1/import/prometheus", "\n".join(lines).encode()):
        get(port, "/internal/force_flush")
    return port


@pytest.mark.slow
def test_every_panel_and_every_alert_gets_data(filled: int, queries: Mapping[str, str]) -> None:
    for title, query in queries.items():
        answer = json.loads(get(filled, "/api/v1/query", query=query, nocache=1))
        result = answer["data"]["result"]
        assert result, title
        assert all(one["value"][1] not in {"NaN", "+Inf"} for one in result), title
        for words in re.findall(r"^\w+ by \(([^)]*)\)", query):
            names = {word.strip() for word in words.split(",")}
            assert set().union(*(one["metric"] for one in result)) == names, title


@pytest.mark.slow
@pytest.mark.parametrize("name", ["victoria-metrics", "victoria-logs"])
def test_the_databases_tell_what_is_asked_of_them(start: Callable[[str], int], name: str) -> None:
    prefix = {"victoria-metrics": "vm_", "victoria-logs": "vl_"}[name]
    text = get(start(name), "/metrics").decode()
    # A counter is there once something was counted: lines are by the collector.
    wanted = {one for one in told() if one.startswith(prefix)} - {"vl_rows_ingested_total"}
    assert wanted
    assert all(re.search(rf"^{one}\{{", text, re.MULTILINE) for one in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("unverified", [False, True])
def test_what_is_to_be_scraped_is_understood(
    catalog: Catalog, renderer: Callable[..., Renderer], tmp_path: Path, *, unverified: bool
) -> None:
    made = renderer("standard", cluster={"unverified_kubelets": unverified})
    server = made.values(catalog["victoria-metrics"])["server"]
    (tmp_path / "scrape.yml").write_text(dump_yaml(server["scrape"]["config"]))
    argv = [f"-promscrape.config={tmp_path}/scrape.yml", "-promscrape.config.strictParse"]
    file = str(program("victoria-metrics"))
    done = subprocess.run([file, *argv, "-dryRun"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
