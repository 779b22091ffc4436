"""The programs that we call: where each one is, verified by its pinned digest."""

from __future__ import annotations

import os
import platform
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from cto import storage
from cto.errors import ConfigError, IntegrityError, ToolError
from cto.objects import load_yaml

UNRESOLVED = "unresolved"
_ALGORITHMS = ("sha256", "sha512")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class ToolDownloader(Protocol):
    def fetch(self, url: str, *, algorithm: str, digest: str) -> Path:
        """Return the file behind a URL, verified: from a cache, a mirror, or the URL itself.

        Raises:
            IntegrityError: CTO-1800, its digest is wrong, and it was removed.
            ToolError: CTO-1501, it cannot be had.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Download:
    """Where a tool comes from. `member` is its path inside an archive, '' if it is the file."""

    url: str
    member: str
    algorithm: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class ToolInfo:
    """For `cto version`. `path` is None as long as the tool was not needed."""

    name: str
    version: str
    path: Path | None
    given: bool
    """It is from the folder that the user named: its version is what the user says it is."""


class Tools:
    """Finds tools: the folder that the user named, then the cache, a mirror, the download site.

    Args:
        bundle: The folder with tools.yaml.
        folder: What `--tools` names; its programs are used as they are.
        downloader: Brings verified files.
        cache: Where executables are kept, by the digest of what they came in.
        spare: Returns where they are kept instead if the cache cannot be written; None: nowhere.
        system: e.g. `linux/amd64`.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        folder: Path | None,
        downloader: ToolDownloader,
        cache: Path,
        system: str = "",
        spare: Callable[[], Path] | None = None,
    ) -> None:
        self._bundle = bundle
        self._file = bundle / "tools.yaml"
        self.folder = folder
        self._downloader = downloader
        self._cache = cache
        self._spare = spare
        self._system = system or _this_system()

    def on(self, system: str) -> Tools:
        """Return the same for machines of another kind, e.g. `linux/arm64`."""
        return Tools(
            self._bundle,
            folder=self.folder,
            downloader=self._downloader,
            cache=self._cache,
            system=system,
            spare=self._spare,
        )

    def path(self, name: str) -> Path:
        """Return an executable.

        Raises:
            ToolError: CTO-1501, it cannot be had.
            IntegrityError: CTO-1800 (wrong digest; the file is gone), CTO-1801 (none is pinned).
            PreflightError: CTO-1485, there is no folder for it.
        """
        if given := self._given(name):
            return given
        download = self._download(name)
        refusal: OSError | None = None
        for cache in self._caches():
            program = self._program(name, download, cache)
            if not os.access(program, os.X_OK):
                try:
                    self._install(download, program)
                except OSError as error:
                    refusal = refusal or error
            if os.access(program, os.X_OK):
                return program
        if refusal:
            raise storage.unwritable(self._cache, refusal) from refusal
        raise _not_executable(self._program(name, download, self._cache), self._cache)

    def _caches(self) -> Iterator[Path]:
        yield self._cache
        if self._spare:
            yield self._spare()

    def source(self, name: str) -> str:
        """Return where the tool would be taken from, without taking it; raises as `path` does."""
        if given := self._given(name):
            return f"as given: {given}"
        download = self._download(name)
        program = self._program(name, download, self._cache)
        return str(program) if os.access(program, os.F_OK) else f"to be downloaded: {download.url}"

    def is_given(self, name: str) -> bool:
        """Whether the tool is from the user's folder."""
        return self._given(name) is not None

    def version(self, name: str) -> str:
        """Return the pinned version, without a `v`."""
        return str(self._tool(name)["version"])

    @property
    def of_image(self) -> tuple[str, ...]:
        """The names of those that the image of cto holds."""
        return tuple(self._data["image"])

    def versions(self) -> tuple[ToolInfo, ...]:
        return tuple(self._info(name) for name in sorted(self._tools))

    def _info(self, name: str) -> ToolInfo:
        given = self._given(name)
        path = given
        if path is None:
            with suppress(IntegrityError, ToolError):
                program = self._program(name, self._download(name), self._cache)
                path = program if os.access(program, os.F_OK) else None
        version = self.version(name)
        return ToolInfo(name=name, version=version, path=path, given=given is not None)

    def _given(self, name: str) -> Path | None:
        if self.folder is None:
            return None
        program = (self.folder / name).absolute()
        if not program.is_file():
            return None
        if not os.access(program, os.X_OK):
            raise _not_executable(program, self.folder)
        return program

    @cached_property
    def _data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = load_yaml(self._file.read_text(encoding="utf-8"))
        return data

    @property
    def _tools(self) -> Mapping[str, Any]:
        tools: Mapping[str, Any] = self._data["tools"]
        return tools

    def _tool(self, name: str) -> Mapping[str, Any]:
        try:
            tool: Mapping[str, Any] = self._tools[name]
        except KeyError:
            raise ToolError("CTO-1501", f"{self._file} has no tool {name!r}") from None
        return tool

    def _download(self, name: str) -> Download:
        tool = self._tool(name)
        data = tool["platforms"].get(self._system)
        if data is None:
            raise ToolError("CTO-1501", f"{name} {tool['version']} is not there for {self._system}")
        algorithm = next((word for word in _ALGORITHMS if word in data), "")
        digest = str(data.get(algorithm, UNRESOLVED))
        if digest == UNRESOLVED:
            text = f"{name} {tool['version']} for {self._system} has no pinned checksum"
            raise IntegrityError("CTO-1801", text)
        if (data["format"] == "tar.gz") != bool(data.get("member")):
            text = f"{self._file}: {name}: `member` belongs to format tar.gz, and only to that"
            raise ConfigError("CTO-1310", text)
        member = str(data.get("member", ""))
        return Download(url=data["url"], member=member, algorithm=algorithm, digest=digest)

    def _program(self, name: str, download: Download, cache: Path) -> Path:
        return cache / f"{download.algorithm}-{download.digest}" / name

    def _install(self, download: Download, program: Path) -> None:
        source = self._downloader.fetch(
            download.url, algorithm=download.algorithm, digest=download.digest
        )
        program.parent.mkdir(parents=True, exist_ok=True)
        temporary = program.with_name(f".{program.name}.{os.getpid()}.tmp")
        try:
            with storage.named(temporary):
                _unpack(source, download.member, temporary)
            temporary.chmod(0o755)
            temporary.replace(program)
        finally:
            temporary.unlink(missing_ok=True)


def _unpack(source: Path, member: str, target: Path) -> None:
    """Write one program, never anything to a path that an archive names."""
    if not member:
        with source.open("rb") as content, target.open("wb") as program:
            _copy(content, program)
        return
    try:
        with tarfile.open(source, "r:gz") as archive:
            inside = archive.extractfile(member)
            if inside is None:
                raise _not_inside(source, member)
            with inside, target.open("wb") as program:
                _copy(inside, program)
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise _not_inside(source, member) from error


def _copy(source: Any, target: Any) -> None:
    while chunk := source.read(1 << 20):
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())


def _not_executable(program: Path, folder: Path) -> ToolError:
    """Say why a program that is there cannot be run: its mode, or how its folder is mounted."""
    hint = f"chmod +x {program}"
    if program.stat().st_mode & 0o111:
        hint = (
            f"{folder} is mounted with noexec (findmnt -T {folder}), or the program is another "
            "user's alone: name a folder that programs may be run from (CTO_CACHE_DIR=DIR), or one "
            "that has the programs (--tools DIR)."
        )
    return ToolError("CTO-1501", f"{program} may not be executed", hint=hint)


def _not_inside(source: Path, member: str) -> IntegrityError:
    return IntegrityError(
        "CTO-1800",
        f"{source.name} has no program {member!r}, though its digest is right",
        hint="bundle/tools.yaml names a wrong member: report this.",
    )


def _this_system() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}/{_MACHINES.get(machine, machine)}"
