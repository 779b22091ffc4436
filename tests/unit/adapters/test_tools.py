"""Tools: the user's folder, then the cache, then a download; verified, unpacked, renamed."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from cto import assets
from cto.adapters.tools import Tools
from cto.errors import ConfigError, IntegrityError, PreflightError, ToolError
from fakes.disk import no_room_after

RAW = b"#!/bin/sh\n"


class FakeDownloader:
    """Has files by their URL, and checks digests as the real one does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.fetched: list[str] = []

    def add(self, url: str, content: bytes) -> str:
        file = self.folder / f"{len(self.files)}.download"
        file.write_bytes(content)
        self.files[url] = file
        return hashlib.sha256(content).hexdigest()

    def fetch(self, url: str, *, algorithm: str, digest: str) -> Path:
        self.fetched.append(url)
        if url not in self.files:
            raise ToolError("CTO-1501", f"{url} cannot be had")
        file = self.files[url]
        if hashlib.new(algorithm, file.read_bytes()).hexdigest() != digest:
            file.unlink()
            raise IntegrityError("CTO-1800", f"{url} has the wrong digest")
        return file


class Place:
    def __init__(self, tmp: Path) -> None:
        self.bundle = tmp / "bundle"
        self.cache = tmp / "cache"
        self.spare: Path | None = None
        self.downloader = FakeDownloader(tmp)
        self.data: dict[str, Any] = {}
        self.bundle.mkdir()

    def pin(self, name: str, **platform: str) -> None:
        self.data[name] = {"version": "1.2.3", "platforms": {"linux/amd64": platform}}

    def tools(self, folder: Path | None = None, system: str = "linux/amd64") -> Tools:
        (self.bundle / "tools.yaml").write_text(
            yaml.safe_dump({"image": [*self.data], "tools": self.data})
        )
        return Tools(
            self.bundle,
            folder=folder,
            downloader=self.downloader,
            cache=self.cache,
            system=system,
            spare=None if self.spare is None else partial(Path, self.spare),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_raw_download_becomes_an_executable_in_the_cache(place: Place) -> None:
    digest = place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)

    path = place.tools().path("tool")

    assert path == place.cache / f"sha256-{digest}" / "tool"
    assert path.read_bytes() == RAW
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert [file.name for file in path.parent.iterdir()] == ["tool"]


def test_a_tool_in_the_cache_is_not_fetched_again(place: Place) -> None:
    digest = place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)
    place.tools().path("tool")

    place.tools().path("tool")

    assert place.downloader.fetched == ["https://x/tool"]


def test_only_the_named_member_leaves_an_archive(place: Place, tmp_path: Path) -> None:
    content = archive(**{"../evil": b"no", "linux-amd64/tool": b"yes"})
    digest = place.downloader.add("https://x/t.tgz", content)
    member = "linux-amd64/tool"
    place.pin("tool", url="https://x/t.tgz", format="tar.gz", member=member, sha256=digest)

    path = place.tools().path("tool")

    assert path.read_bytes() == b"yes"
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("member", ["missing", "folder"])
def test_an_archive_without_the_program_is_refused(place: Place, member: str) -> None:
    digest = place.downloader.add("https://x/t.tgz", archive(tool=b"x"))
    place.pin("tool", url="https://x/t.tgz", format="tar.gz", member=member, sha256=digest)

    with pytest.raises(IntegrityError, match=f"has no program '{member}'"):
        place.tools().path("tool")

    assert not [file for file in place.cache.rglob("*") if file.is_file()]


def test_what_is_no_archive_is_refused(place: Place) -> None:
    digest = place.downloader.add("https://x/t.tgz", b"no archive")
    place.pin("tool", url="https://x/t.tgz", format="tar.gz", member="tool", sha256=digest)

    with pytest.raises(IntegrityError):
        place.tools().path("tool")


def test_a_wrong_digest_is_exit_8_and_nothing_is_kept(place: Place) -> None:
    place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256="0" * 64)

    with pytest.raises(IntegrityError) as error:
        place.tools().path("tool")

    assert (error.value.code, error.value.exit_code) == ("CTO-1800", 8)
    assert not place.cache.exists()


@pytest.mark.parametrize("sums", [{"sha512": "unresolved"}, {}])
def test_what_nobody_pinned_is_never_fetched(place: Place, sums: dict[str, str]) -> None:
    place.pin("tool", url="https://x/tool", format="raw", **sums)

    with pytest.raises(IntegrityError) as error:
        place.tools().path("tool")

    assert error.value.code == "CTO-1801"
    assert place.downloader.fetched == []


def test_a_sha512_is_as_good(place: Place) -> None:
    place.downloader.add("https://x/tool", RAW)
    digest = hashlib.sha512(RAW).hexdigest()
    place.pin("tool", url="https://x/tool", format="raw", sha512=digest)

    assert place.tools().path("tool").parent.name == f"sha512-{digest}"


def test_the_given_folder_comes_first_and_is_used_as_it_is(place: Place, tmp_path: Path) -> None:
    place.pin("tool", url="https://x/tool", format="raw", sha256="0" * 64)
    given = tmp_path / "given"
    given.mkdir()
    (given / "tool").touch(mode=0o755)
    tools = place.tools(given)

    assert tools.path("tool") == given / "tool"
    assert tools.source("tool") == f"as given: {given / 'tool'}"
    assert tools.is_given("tool")
    assert place.downloader.fetched == []


def test_a_tool_that_the_folder_lacks_is_fetched(place: Place, tmp_path: Path) -> None:
    digest = place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)
    tools = place.tools(tmp_path)

    assert tools.source("tool") == "to be downloaded: https://x/tool"
    path = tools.path("tool")
    assert not tools.is_given("tool")
    assert tools.source("tool") == str(path)


def test_a_given_file_must_be_executable(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o644)

    with pytest.raises(ToolError, match="may not be executed"):
        place.tools(tmp_path).path("tool")


def test_where_the_cache_cannot_be_written_a_spare_folder_takes_the_program(
    place: Place, tmp_path: Path
) -> None:
    digest = place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)
    place.cache.touch()
    with pytest.raises(PreflightError) as caught:
        place.tools().path("tool")
    assert caught.value.message == f"{place.cache} cannot be written: Not a directory"
    assert "CTO_CACHE_DIR" in caught.value.hint

    place.spare = tmp_path / "spare"
    path = place.tools().path("tool")
    assert path.is_relative_to(tmp_path / "spare")
    assert place.tools().path("tool") == path


def test_a_full_disk_under_the_programs_is_named(place: Place) -> None:
    digest = place.downloader.add("https://x/tool", RAW * 1000)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)
    with no_room_after(1000), pytest.raises(PreflightError) as caught:
        place.tools().path("tool")
    assert caught.value.message == f"{place.cache} cannot be written: File too large"
    assert [path for path in place.cache.rglob("*") if path.is_file()] == []


def test_an_unknown_tool_and_an_unknown_platform_are_named(place: Place) -> None:
    place.pin("tool", url="https://x/tool", format="raw", sha256="0" * 64)

    with pytest.raises(ToolError, match="no tool 'other'"):
        place.tools().path("other")
    with pytest.raises(ToolError, match="not there for plan9/mips"):
        place.tools(system="plan9/mips").path("tool")


def test_a_member_belongs_to_an_archive(place: Place) -> None:
    place.pin("tool", url="https://x/tool", format="raw", member="m", sha256="0" * 64)

    with pytest.raises(ConfigError, match="`member` belongs to"):
        place.tools().path("tool")


def test_versions_tell_what_is_pinned_and_where_it_is(place: Place, tmp_path: Path) -> None:
    digest = place.downloader.add("https://x/b", RAW)
    place.pin("b", url="https://x/b", format="raw", sha256=digest)
    place.pin("a", url="https://x/a", format="raw", sha256="unresolved")
    (tmp_path / "given").mkdir()
    place.pin("c", url="https://x/c", format="raw", sha256="0" * 64)
    (tmp_path / "given" / "c").touch(mode=0o755)
    tools = place.tools(tmp_path / "given")
    assert [info.path for info in tools.versions()][1] is None
    path = tools.path("b")

    a, b, c = tools.versions()

    assert (a.name, a.version, a.path, a.given) == ("a", "1.2.3", None, False)
    assert (b.path, b.given) == (path, False)
    assert (c.path, c.given) == (tmp_path / "given" / "c", True)


@pytest.mark.parametrize("system", ["linux/amd64", "linux/arm64"])
def test_every_tool_of_the_bundle_says_where_it_comes_from(system: str, tmp_path: Path) -> None:
    bundle = assets.root() / "bundle"
    downloader = FakeDownloader(tmp_path)
    tools = Tools(bundle, folder=None, downloader=downloader, cache=tmp_path, system=system)

    for info in tools.versions():
        assert tools.source(info.name).startswith("to be downloaded: https://")


def test_the_platform_is_this_machine_s(place: Place) -> None:
    place.pin("tool", url="https://x/tool", format="raw", sha256="0" * 64)

    with pytest.raises(ToolError, match=r"for \w+/\w+$|cannot be had$"):
        place.tools(system="").path("tool")


def test_what_the_image_holds_is_named(place: Place) -> None:
    place.pin("tool", url="https://x/tool", format="raw", sha256="0" * 64)
    assert place.tools().of_image == ("tool",)
    held = Tools(
        assets.root() / "bundle", folder=None, downloader=place.downloader, cache=place.cache
    ).of_image
    assert held == ("kubectl", "helm", "kind", "docker", "crane", "registry")


def test_tools_of_another_machine_are_asked_for_by_name(place: Place) -> None:
    digest = place.downloader.add("https://x/tool", RAW)
    place.pin("tool", url="https://x/tool", format="raw", sha256=digest)
    other = place.tools(system="plan9/mips")
    with pytest.raises(ToolError, match="plan9/mips"):
        other.path("tool")
    assert other.on("linux/amd64").path("tool").read_bytes() == RAW
