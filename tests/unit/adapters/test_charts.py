"""Where a component's chart comes from, and where its definitions do."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.helm.charts import ChartResolver
from cto.adapters.helm.crds import chart_crds
from cto.catalog import Category, ChartSource, Component, Crds
from cto.errors import ConfigError, IntegrityError, ToolError
from cto.objects import Manifest, dump_yaml
from cto.ports import Chart, ReleaseSpec
from fakes.cluster import FakeCluster
from fakes.releases import FakeReleases

SHA = "5" * 64
URL = "https://charts.example.com/grafana-12.11.1.tgz"


class FakeDownloader:
    def __init__(self, file: Path, error: Exception | None = None) -> None:
        self.file = file
        self.error = error
        self.asked: list[tuple[str, str, str, str]] = []

    def fetch(self, url: str, *, algorithm: str, digest: str, code: str) -> Path:
        self.asked.append((url, algorithm, digest, code))
        if self.error:
            raise self.error
        return self.file


def component(**chart: Any) -> Component:
    source = {"name": "grafana", "version": "12.11.1", "url": URL, "sha256": SHA, **chart}
    return Component(
        name="grafana",
        title="Grafana",
        category=Category.MONITORING,
        namespace="grafana",
        release="grafana",
        chart=ChartSource(**source),
        homepage="https://example.com",
        licence="AGPL-3.0",
        folder=Path("/nowhere"),
    )


class Lab:
    def __init__(self, tmp: Path) -> None:
        self.bundle = tmp / "bundle"
        self.folder = tmp / "charts"
        self.folder.mkdir()
        self.downloader = FakeDownloader(tmp / "downloaded.tgz")
        self.cache = tmp / "cache"

    def resolve(self, wanted: Component, *, given: bool = True) -> Chart:
        folder = self.folder if given else None
        return ChartResolver(self.downloader, folder, self.cache).resolve(wanted)

    def ours(self) -> Component:
        path = "charts/controller"
        made = component(name="controller", version="0.1.0", url="", path=path, sha256="unresolved")
        return made.model_copy(update={"folder": self.bundle / "components" / "controller"})

    def put(self, *names: str) -> None:
        for name in names:
            (self.folder / name).write_text(name)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def write_chart(folder: Path, version: str = "0.1.0") -> None:
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"name: any\nversion: {version}\n")


def test_without_a_folder_the_pinned_archive_is_fetched(lab: Lab) -> None:
    chart = lab.resolve(component(), given=False)
    assert (chart.version, chart.path, chart.digest) == ("12.11.1", lab.downloader.file, SHA)
    assert lab.downloader.asked == [(URL, "sha256", SHA, "CTO-1502")]


def test_the_folders_archive_of_that_version_comes_first(lab: Lab) -> None:
    lab.put("grafana-12.11.1.tgz", "grafana-13.0.0.tgz")
    chart = lab.resolve(component())
    assert chart.path.name == "grafana-12.11.1.tgz"
    assert chart.digest == hashlib.sha256(b"grafana-12.11.1.tgz").hexdigest()
    assert lab.downloader.asked == []


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (["grafana-9.0.0.tgz", "grafana-10.0.0.tgz"], "10.0.0"),
        (["grafana-10.0.0-rc.1.tgz", "grafana-10.0.0.tgz"], "10.0.0"),
        (["grafana-10.0.0-rc.1.tgz", "grafana-operator-99.0.0.tgz"], "10.0.0-rc.1"),
    ],
)
def test_else_its_newest_one(lab: Lab, names: list[str], version: str) -> None:
    lab.put(*names)
    assert lab.resolve(component()).version == version


def test_a_chart_in_the_folder_may_be_a_folder(lab: Lab) -> None:
    write_chart(lab.folder / "grafana", "1.2.3")
    chart = lab.resolve(component())
    assert chart.version == "1.2.3"
    assert chart.digest == hashlib.sha256(chart.path.read_bytes()).hexdigest()


def test_what_the_folder_lacks_is_fetched(lab: Lab) -> None:
    assert lab.resolve(component()).path == lab.downloader.file


def test_what_stands_in_the_way_comes_before_the_ways_around(lab: Lab) -> None:
    told = "the proxy http://proxy:3128 of HTTPS_PROXY wants a log-in (407)"
    lab.downloader.error = ToolError("CTO-1502", "no", details=told, hint=told)
    resolver = ChartResolver(lab.downloader, None, lab.cache, instead=lambda _: "another image")
    with pytest.raises(ToolError) as caught:
        resolver.resolve(component())
    assert caught.value.hint == told
    lab.downloader.error = ToolError("CTO-1502", "no")
    with pytest.raises(ToolError) as caught:
        resolver.resolve(component())
    assert caught.value.hint == "another image"


def test_what_cannot_be_had_is_an_error_that_tells_where_was_looked(lab: Lab) -> None:
    lab.downloader.error = ToolError("CTO-1502", "no", details=f"{URL}: HTTP status 404")
    with pytest.raises(ToolError) as caught:
        lab.resolve(component())
    assert (caught.value.code, caught.value.exit_code) == ("CTO-1502", 5)
    assert caught.value.message == "chart grafana 12.11.1 cannot be had"
    assert caught.value.details == f"{lab.folder}: not there\n{URL}: HTTP status 404"
    with pytest.raises(ToolError) as caught:
        lab.resolve(component(), given=False)
    assert caught.value.details == f"{URL}: HTTP status 404"


def test_a_wrong_digest_names_the_chart(lab: Lab) -> None:
    lab.downloader.error = IntegrityError("CTO-1800", "wrong sha256", details="d")
    with pytest.raises(IntegrityError) as caught:
        lab.resolve(component())
    assert caught.value.message == "chart grafana 12.11.1: wrong sha256"
    assert (caught.value.code, caught.value.details) == ("CTO-1800", "d")


def test_our_own_chart_is_packed_from_the_bundle(lab: Lab) -> None:
    write_chart(lab.bundle / "charts" / "controller")
    chart = lab.resolve(lab.ours())
    assert (chart.name, chart.version) == ("controller", "0.1.0")
    assert chart.path.parent == lab.cache
    assert lab.downloader.asked == []


def test_our_own_chart_can_be_replaced_by_name_only(lab: Lab) -> None:
    write_chart(lab.bundle / "charts" / "controller")
    lab.put("controller-7.0.0.tgz")
    assert lab.resolve(lab.ours()).version == "7.0.0"


@pytest.mark.parametrize("text", [None, "a: [", "[]", "name: x"])
def test_a_folder_that_is_no_chart_is_named(lab: Lab, text: str | None) -> None:
    folder = lab.bundle / "charts" / "controller"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "Chart.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        lab.resolve(lab.ours())
    assert caught.value.code == "CTO-1310"
    assert str(folder / "Chart.yaml") in caught.value.message


# definitions


def crd(name: str) -> Manifest:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
    }


ARCHIVED = {
    "c/Chart.yaml": "name: c",
    "c/crds/b.yaml": dump_yaml(crd("b")) + "---\n" + dump_yaml(crd("a")),
    "c/crds/nested/c.yml": dump_yaml(crd("c")),
    "c/crds/README.md": "kind: CustomResourceDefinition",
    "c/crds/other.yaml": "kind: ConfigMap",
    "c/charts/sub/crds/d.yaml": dump_yaml(crd("d")),
    "c/templates/e.yaml": dump_yaml(crd("e")),
    "c/files/crds/f.yaml": dump_yaml(crd("f")),
}


def archive(file: Path, members: dict[str, str]) -> Chart:
    with tarfile.open(file, "w:gz") as tar:
        for name, text in members.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return Chart(name="c", version="1", path=file, digest="d1")


Find = Callable[..., list[str]]


@pytest.fixture
def releases() -> FakeReleases:
    return FakeReleases(FakeCluster())


@pytest.fixture
def find(tmp_path: Path, releases: FakeReleases) -> Find:
    def names(chart: Chart, crds: Crds, namespace: str = "ns") -> list[str]:
        values = {"replicas": 2}
        spec = ReleaseSpec(name="rel", namespace=namespace, chart=chart, values=values)
        found = chart_crds(spec, crds, releases, tmp_path / "crds", "v1.34.4")
        return [item["metadata"]["name"] for item in found]

    return names


def test_definitions_in_the_archive_are_those_helm_would_install(
    tmp_path: Path, find: Find, releases: FakeReleases
) -> None:
    chart = archive(tmp_path / "c.tgz", ARCHIVED)
    assert find(chart, Crds(source="crds")) == ["a", "b", "c", "d"]
    assert releases.calls == []


def test_definitions_of_a_chart_that_is_a_folder_are_the_same(
    tmp_path: Path, find: Find, releases: FakeReleases
) -> None:
    for name, text in ARCHIVED.items():
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    chart = Chart(name="c", version="1", path=tmp_path / "folder" / "c", digest="d1")
    assert find(chart, Crds(source="crds")) == ["a", "b", "c", "d"]
    assert releases.calls == []


def test_definitions_that_cannot_be_kept_are_found_all_the_same(tmp_path: Path, find: Find) -> None:
    (tmp_path / "crds").touch()
    assert find(archive(tmp_path / "c.tgz", ARCHIVED), Crds(source="crds")) == ["a", "b", "c", "d"]


def test_definitions_in_templates_are_rendered_with_the_values_that_switch_them_on(
    tmp_path: Path, find: Find, releases: FakeReleases
) -> None:
    rendered: list[ReleaseSpec] = []

    def render(spec: ReleaseSpec) -> list[Manifest]:
        rendered.append(spec)
        return [crd("z"), {"kind": "ConfigMap"}, crd("y")]

    releases.render["c"] = render
    chart = Chart(name="c", version="1", path=tmp_path, digest="d1")
    assert find(chart, Crds(source="templates", on={"crds": True})) == ["y", "z"]
    assert rendered[0].values == {"crds": True}
    assert (rendered[0].name, rendered[0].namespace) == ("rel", "ns")


def test_they_are_remembered_as_long_as_nothing_changes(
    tmp_path: Path, find: Find, releases: FakeReleases
) -> None:
    releases.render["c"] = lambda _: [crd("a")]
    chart = Chart(name="c", version="1", path=tmp_path, digest="d1")
    on = Crds(source="templates", on={"x": 1})
    for _ in range(2):
        assert find(chart, on) == ["a"]
    assert len(releases.calls) == 1
    find(Chart(name="c", version="1", path=tmp_path, digest="d2"), on)
    find(chart, Crds(source="templates", on={"x": 2}))
    find(chart, on, "other")
    assert len(releases.calls) == 4


@pytest.mark.parametrize("damage", ["", "[", "[]", "{}", '[{"kind": "Pod"}]', "[1]"])
def test_a_damaged_memory_is_made_again(
    tmp_path: Path, find: Find, releases: FakeReleases, damage: str
) -> None:
    releases.render["c"] = lambda _: [crd("a")]
    chart = Chart(name="c", version="1", path=tmp_path, digest="d1")
    find(chart, Crds(source="templates"))
    (file,) = (tmp_path / "crds").iterdir()
    whole = file.read_text()
    file.write_text(damage)
    assert find(chart, Crds(source="templates")) == ["a"]
    assert file.read_text() == whole


def test_a_chart_without_definitions_is_an_error(tmp_path: Path, find: Find) -> None:
    chart = archive(tmp_path / "c.tgz", {"c/Chart.yaml": "name: c"})
    with pytest.raises(ToolError) as caught:
        find(chart, Crds(source="crds"))
    assert caught.value.code == "CTO-1502"


@pytest.mark.parametrize("data", [b"", b"no gzip", None])
def test_an_archive_that_cannot_be_read_is_named(
    tmp_path: Path, find: Find, data: bytes | None
) -> None:
    file = tmp_path / "c.tgz"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ToolError) as caught:
        find(Chart(name="c", version="1", path=file, digest="d"), Crds(source="crds"))
    assert caught.value.code == "CTO-1502"
    assert str(file) in caught.value.message


def test_a_bundle_is_asked_after_the_folder_and_before_the_publisher(lab: Lab) -> None:
    asked: list[tuple[str, str, str]] = []

    def stock(name: str, version: str, sha256: str) -> Chart:
        asked.append((name, version, sha256))
        return stocked

    stocked = Chart(name="grafana", version="12.11.1", path=Path("blob"), digest=SHA)
    resolver = ChartResolver(lab.downloader, lab.folder, lab.cache, stock=stock)
    assert resolver.resolve(component()) is stocked
    assert asked == [("grafana", "12.11.1", SHA)]
    lab.put("grafana-12.11.1.tgz")
    assert resolver.resolve(component()).path == lab.folder / "grafana-12.11.1.tgz"
    assert len(asked) == 1
    assert lab.downloader.asked == []


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("name: c\nappVersion: v1.2.3\n", "v1.2.3"),
        ("name: c\nappVersion: 2.10\n", "2.1"),
        ("name: c\n", ""),
        ("- no chart\n", ""),
        ("{", ""),
    ],
)
def test_a_chart_says_the_version_of_its_program(lab: Lab, text: str, version: str) -> None:
    files = {"c/charts/sub/Chart.yaml": "appVersion: 9\n", "c/Chart.yaml": text}
    archive(lab.folder / "grafana-12.11.1.tgz", files)
    assert lab.resolve(component()).app_version == version


def test_a_chart_that_cannot_be_read_says_none(lab: Lab) -> None:
    lab.put("grafana-12.11.1.tgz")
    assert lab.resolve(component()).app_version == ""
