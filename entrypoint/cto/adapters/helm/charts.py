"""Charts as archives: from a folder that the user named, a bundle, or by their digest."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cto import digests
from cto.catalog import Component
from cto.errors import ConfigError, IntegrityError, ToolError
from cto.goyaml import YAMLError
from cto.objects import load_yaml
from cto.ports import Chart
from cto.storage import replacing
from cto.versions import key

# The largest block that deflate can hold without compressing it.
_BLOCK = 65_535


class ChartDownloader(Protocol):
    def fetch(self, url: str, *, algorithm: str, digest: str, code: str) -> Path:
        """Return the file behind a URL, verified."""
        ...


class ChartResolver:
    """Finds the chart of a component.

    Args:
        downloader: Brings verified files.
        folder: What `--charts` names. Its charts come first and are used as they are.
        cache: Where packed charts are kept.
        stock: Gets name, version and sha256, and returns the chart if a bundle of images has it.
        instead: Says what to do about a component's chart that cannot be had; '' for the usual.
    """

    def __init__(
        self,
        downloader: ChartDownloader,
        folder: Path | None,
        cache: Path,
        *,
        stock: Callable[[str, str, str], Chart | None] = lambda *_: None,
        instead: Callable[[Component], str] = lambda _: "",
    ) -> None:
        self._downloader = downloader
        self._folder = folder
        self._cache = cache
        self._stock = stock
        self._instead = instead

    def resolve(self, component: Component) -> Chart:
        """Return the chart, with the version of the program in it.

        Raises:
            ToolError: CTO-1502, it cannot be had. No other chart is taken in its place.
            IntegrityError: CTO-1800 (wrong digest), CTO-1801 (none is pinned).
        """
        chart = self._found(component)
        told = app_version(chart.path)
        return replace(chart, app_version=told) if told else chart

    def _found(self, component: Component) -> Chart:
        source = component.chart
        if given := self._given(source.name, source.version):
            return given
        if source.path:
            return self._packed(source.name, component.chart_folder)
        if stocked := self._stock(source.name, source.version, source.sha256):
            return stocked
        try:
            path = self._downloader.fetch(
                source.url, algorithm="sha256", digest=source.sha256, code="CTO-1502"
            )
        except ToolError as error:
            text = f"chart {source.name} {source.version} cannot be had"
            details = "\n".join(filter(None, (self._looked(), error.details)))
            # What stands in the way, a proxy, comes before all ways around it.
            told = error.hint if error.hint != error.kind.fix else ""
            hint = told or self._instead(component)
            raise ToolError("CTO-1502", text, details=details, hint=hint) from error
        except IntegrityError as error:
            text = f"chart {source.name} {source.version}: {error.message}"
            raise IntegrityError(error.code, text, details=error.details) from error
        return Chart(name=source.name, version=source.version, path=path, digest=source.sha256)

    def _looked(self) -> str:
        return f"{self._folder}: not there" if self._folder else ""

    def _given(self, name: str, version: str) -> Chart | None:
        if self._folder is None:
            return None
        if (self._folder / name / "Chart.yaml").is_file():
            return self._packed(name, self._folder / name)
        exact = self._folder / f"{name}-{version}.tgz"
        found = exact if exact.is_file() else self._newest(name)
        if found is None:
            return None
        digest = digests.of_file(found)
        return Chart(name=name, version=_version(name, found), path=found, digest=digest)

    def _newest(self, name: str) -> Path | None:
        folder = self._folder or Path()
        # A digit must follow: `grafana-operator-1.0.0.tgz` is not a chart called grafana.
        archives = folder.glob(f"{name}-[0-9]*.tgz")
        return max(archives, key=lambda file: _rank(_version(name, file)), default=None)

    def _packed(self, name: str, folder: Path) -> Chart:
        file = folder / "Chart.yaml"
        try:
            version = str(load_yaml(file.read_text(encoding="utf-8"))["version"])
        except (OSError, YAMLError, TypeError, KeyError) as error:
            text = f"{file} is not the description of a chart"
            raise ConfigError("CTO-1310", text, details=str(error)) from error
        path, digest = pack(folder, name, self._cache)
        return Chart(name=name, version=version, path=path, digest=digest)


def _version(name: str, archive: Path) -> str:
    return archive.name.removeprefix(f"{name}-").removesuffix(".tgz")


def _rank(version: str) -> tuple[bool, object]:
    """Order versions; what is none comes before all that are."""
    order = key(version)
    return (order is not None, order or version)


def app_version(archive: Path) -> str:
    """Return the version of the program in a chart; '' if it says none, or cannot be read."""
    try:
        if archive.is_dir():
            return _app_version((archive / "Chart.yaml").read_text(encoding="utf-8"))
        with tarfile.open(archive, "r:*") as files:
            for member in files:
                if member.name.count("/") == 1 and member.name.endswith("/Chart.yaml"):
                    file = files.extractfile(member)
                    return _app_version(file.read().decode()) if file else ""
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError, YAMLError):
        # Helm reads the archive as well, and says what is wrong with it.
        return ""
    return ""


def _app_version(text: str) -> str:
    told = load_yaml(text)
    return str(told.get("appVersion") or "") if isinstance(told, dict) else ""


def pack(folder: Path, name: str, cache: Path) -> tuple[Path, str]:
    """Return the archive of a chart and its sha256.

    Files whose names start with a dot are left out. Where the archive cannot be kept, the folder
    itself takes its place: Helm reads both, and who only wants a plan needs nothing to write to.
    """
    data = _stored_gzip(_tar(folder, name))
    digest = hashlib.sha256(data).hexdigest()
    target = cache / f"{name}-{digest}.tgz"
    try:
        _keep(data, target)
    except OSError:
        return folder, digest
    return target, digest


def _keep(data: bytes, target: Path) -> None:
    if target.is_file() and target.stat().st_size == len(data):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, str(os.getpid())) as new:
        new.write(data)


def _tar(folder: Path, name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(_files(folder)):
            content = file.read_bytes()
            entry = tarfile.TarInfo(f"{name}/{file.relative_to(folder).as_posix()}")
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and not hidden:
            yield file


def _stored_gzip(data: bytes) -> bytes:
    """Return a gzip file of uncompressed blocks.

    What a compressor writes depends on the version of zlib, and with it the chart's digest would;
    Helm reads nothing but gzip.
    """
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    last = len(blocks) - 1
    body = b"".join(
        struct.pack("<BHH", index == last, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    )
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
