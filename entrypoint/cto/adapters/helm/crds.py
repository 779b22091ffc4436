"""The custom resource definitions of a chart, which the installer applies itself."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cto import digests
from cto.catalog import Crds
from cto.errors import ToolError
from cto.goyaml import YAMLError
from cto.objects import Manifest, load_documents
from cto.ports import Chart, Releases, ReleaseSpec
from cto.storage import replacing

_KIND = "CustomResourceDefinition"
_FORMAT = 1


def chart_crds(
    release: ReleaseSpec, crds: Crds, releases: Releases, cache: Path, kube_version: str
) -> Sequence[Manifest]:
    """Return the definitions, by name.

    Rendering a chart with its definitions takes seconds, so they are kept as JSON. They depend on
    the chart, on the values that switch them on, and on where the release will be; the release's
    other values are left out, so that the plan can tell by a digest whether they changed.

    Raises:
        ToolError: CTO-1502, the chart has none, or cannot be read; what `Releases.template` raises.
    """
    key = [_FORMAT, release.chart.digest, crds.source, crds.on, release.name, release.namespace]
    file = cache / f"{release.chart.name}-{digests.of_data(key)}.json"
    found = _remembered(file)
    if found is None:
        if crds.source == "crds":
            found = list(_in_archive(release))
        else:
            found = _rendered(release, crds, releases, kube_version)
        if not found:
            text = f"{_about(release)} has no definitions"
            raise ToolError(
                "CTO-1502",
                text,
                details=f"looked in its {crds.source}",
                hint="Take the chart as its publisher packed it, of the version that is pinned.",
            )
        found.sort(key=lambda manifest: str(manifest["metadata"]["name"]))
        _remember(file, found)
    return found


def _rendered(
    release: ReleaseSpec, crds: Crds, releases: Releases, kube_version: str
) -> list[Manifest]:
    spec = ReleaseSpec(
        name=release.name,
        namespace=release.namespace,
        chart=release.chart,
        values=crds.on,
        component=release.component,
    )
    manifests = releases.template(spec, kube_version=kube_version)
    return [manifest for manifest in manifests if manifest.get("kind") == _KIND]


def _about(release: ReleaseSpec) -> str:
    chart = f"chart {release.chart.name} {release.chart.version}"
    return f"{release.component}: {chart}" if release.component else chart


def _in_archive(release: ReleaseSpec) -> Iterator[Manifest]:
    path = release.chart.path
    try:
        for text in _in_folder(release.chart) if path.is_dir() else _in_tar(release.chart):
            yield from (one for one in load_documents(text) if one.get("kind") == _KIND)
    except (
        OSError,
        EOFError,
        tarfile.TarError,
        UnicodeDecodeError,
        YAMLError,
        AttributeError,
    ) as error:
        text = f"{_about(release)}: {path} cannot be read"
        hint = "Take the archive anew from its publisher: the same file fails the same way."
        raise ToolError("CTO-1502", text, details=str(error), hint=hint) from error


def _in_tar(chart: Chart) -> Iterator[str]:
    with tarfile.open(chart.path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if _is_crd_file(member.name) else None
            if file:
                yield file.read().decode()


def _in_folder(chart: Chart) -> Iterator[str]:
    for file in sorted(chart.path.rglob("*")):
        if file.is_file() and _is_crd_file(f"{chart.name}/{file.relative_to(chart.path)}"):
            yield file.read_text(encoding="utf-8")


def _is_crd_file(name: str) -> bool:
    """Tell whether Helm would look for definitions in it: crds/ of the chart or of a subchart."""
    parts = name.split("/")
    while len(parts) > 3 and parts[1] == "charts":
        parts = parts[2:]
    inside = len(parts) > 2 and parts[1] == "crds"
    return inside and name.endswith((".yaml", ".yml", ".json"))


def _remembered(file: Path) -> list[Manifest] | None:
    """Return what the file holds; None if it is not there or is damaged."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(data, list) and bool(data)
    whole = whole and all(isinstance(item, dict) and item.get("kind") == _KIND for item in data)
    return data if whole else None


def _remember(file: Path, found: Sequence[Manifest]) -> None:
    """Keep what was found. Where that cannot be, the next run takes some seconds more."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, str(os.getpid())) as new:
            new.write(json.dumps(found).encode())
