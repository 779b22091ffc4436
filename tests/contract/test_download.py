"""Files by digest, over real connections."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from cto.adapters.download import Downloader
from cto.errors import IntegrityError, PreflightError, ToolError
from cto.events import Transfer
from fakes.clock import FakeClock
from fakes.disk import no_room_after
from fakes.webserver import Line, Script, WebServer, answer, hang_up

DATA = os.urandom(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
SHA512 = hashlib.sha512(DATA).hexdigest()
PATH = "/charts/thing-1.0.tgz"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        server.on("GET", PATH, answer(200, DATA))
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(downloader: Downloader, url: str, digest: str = SHA256) -> Path:
    return downloader.fetch(url, algorithm="sha256", digest=digest)


def half(line: Line) -> None:
    """Promise everything, send half, hang up."""
    line.head(200, {"Content-Length": str(len(DATA))})
    line.raw(DATA[: len(DATA) // 2])
    line.hang_up()


def rest(line: Line) -> None:
    """Send what was asked for."""
    start = int(line.seen.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    answer(206, DATA[start:], Content_Range=span)(line)


def test_a_file_is_fetched_once_and_said_to_be(server: WebServer, cache: Path) -> None:
    said: list[Transfer] = []
    downloader = Downloader(cache, progress=said.append)
    path = fetch(downloader, server.url + PATH)
    assert path.read_bytes() == DATA
    assert path.name == "thing-1.0.tgz"
    assert fetch(Downloader(cache), server.url + PATH) == path
    assert len(server.seen) == 1
    begun = Transfer(name=path.name, source=server.url + PATH, done=0, total=len(DATA))
    assert said == [begun, replace(begun, done=len(DATA), over=True)]


def test_a_long_download_tells_how_far_it_is(server: WebServer, cache: Path) -> None:
    class Slow(FakeClock):
        def monotonic(self) -> float:
            self.advance(1.0)
            return super().monotonic()

    said: list[Transfer] = []
    fetch(Downloader(cache, clock=Slow(), progress=said.append), server.url + PATH)
    assert [one.done for one in said] == [*range(0, len(DATA), 1 << 16), len(DATA)]
    assert [one.over for one in said] == [*([False] * 5), True]


def test_what_was_there_already_counts(server: WebServer, cache: Path, clock: FakeClock) -> None:
    server.on("GET", PATH, half, rest)
    said: list[Transfer] = []
    fetch(Downloader(cache, clock=clock, progress=said.append), server.url + PATH)
    first, broken, again, whole = said
    assert (first.done, first.total) == (0, len(DATA))
    assert broken.over
    assert (again.done, again.total) == (broken.done, len(DATA))
    assert (whole.done, whole.over) == (len(DATA), True)


def test_sha512_will_do(server: WebServer, cache: Path) -> None:
    path = Downloader(cache).fetch(server.url + PATH, algorithm="sha512", digest=SHA512)
    assert path.read_bytes() == DATA


def test_a_wrong_digest_leaves_no_file(server: WebServer, cache: Path) -> None:
    server.on("GET", PATH, answer(200, b"something else"))
    with pytest.raises(IntegrityError) as caught:
        fetch(Downloader(cache), server.url + PATH)
    assert (caught.value.code, caught.value.exit_code) == ("CTO-1800", 8)
    assert SHA256 in caught.value.details
    assert server.url in caught.value.details
    assert [file.name for file in cache.rglob("*thing*") if file.is_file()] == []


def test_what_has_no_digest_is_not_fetched(server: WebServer, cache: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        fetch(Downloader(cache), server.url + PATH, "unresolved")
    assert caught.value.code == "CTO-1801"
    assert server.seen == []


def test_a_cached_file_that_changed_is_looked_at_again(server: WebServer, cache: Path) -> None:
    path = fetch(Downloader(cache), server.url + PATH)
    os.utime(path, ns=(1, 1))
    assert fetch(Downloader(cache), server.url + PATH).read_bytes() == DATA
    assert len(server.seen) == 1
    path.write_bytes(b"damaged")
    assert fetch(Downloader(cache), server.url + PATH).read_bytes() == DATA
    assert len(server.seen) == 2


def test_the_mirror_comes_first(server: WebServer, cache: Path) -> None:
    server.on("GET", f"/mirror/charts.example.com{PATH}", answer(200, DATA))
    downloader = Downloader(cache, mirror=f"{server.url}/mirror/")
    assert fetch(downloader, f"https://charts.example.com{PATH}").read_bytes() == DATA


def test_then_the_address_itself(server: WebServer, cache: Path) -> None:
    downloader = Downloader(cache, mirror=f"{server.url}/mirror")
    assert fetch(downloader, server.url + PATH).read_bytes() == DATA


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_mirror_may_be_a_folder(tmp_path: Path, cache: Path, scheme: str) -> None:
    file = tmp_path / "mirror" / "charts.example.com" / "charts" / "thing-1.0.tgz"
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    downloader = Downloader(cache, mirror=f"{scheme}{tmp_path / 'mirror'}")
    assert fetch(downloader, f"https://charts.example.com{PATH}").read_bytes() == DATA
    file.write_bytes(b"replaced")
    with pytest.raises(IntegrityError):
        downloader.fetch(f"https://charts.example.com{PATH}", algorithm="sha512", digest=SHA512)


def test_what_was_tried_is_told_without_passwords(
    server: WebServer, cache: Path, tmp_path: Path
) -> None:
    server.on("GET", PATH, answer(403))
    address = server.url.replace("://", "://me:hunter2@")
    with pytest.raises(ToolError) as caught:
        fetch(Downloader(cache, mirror=str(tmp_path / "mirror")), address + PATH)
    assert caught.value.code == "CTO-1501"
    folder, url = caught.value.details.splitlines()
    assert folder.endswith("No such file or directory")
    assert url == f"{server.url}{PATH}: HTTP status 403"
    assert "hunter2" not in f"{caught.value.message}{caught.value.details}"
    with pytest.raises(ToolError) as caught:
        Downloader(cache).fetch(
            server.url + PATH, algorithm="sha256", digest=SHA256, code="CTO-1502"
        )
    assert caught.value.code == "CTO-1502"


def test_a_host_that_is_not_there_is_told(cache: Path, clock: FakeClock) -> None:
    with WebServer() as gone:
        url = gone.url.replace("://", "://me:hunter2@")
    with pytest.raises(ToolError) as caught:
        fetch(Downloader(cache, clock=clock), f"{url}/x")
    assert "refused" in caught.value.details
    assert "hunter2" not in caught.value.details
    assert clock.waits == [1.0, 3.0]


@pytest.mark.parametrize("trouble", [answer(503), hang_up])
def test_trouble_that_may_heal_is_waited_for(
    server: WebServer, cache: Path, clock: FakeClock, trouble: Script
) -> None:
    server.on("GET", PATH, trouble, trouble, answer(200, DATA))
    assert fetch(Downloader(cache, clock=clock), server.url + PATH).read_bytes() == DATA
    assert clock.waits == [1.0, 3.0]


def test_a_download_that_broke_off_is_resumed(
    server: WebServer, cache: Path, clock: FakeClock
) -> None:
    server.on("GET", PATH, half, rest)
    assert fetch(Downloader(cache, clock=clock), server.url + PATH).read_bytes() == DATA
    start = int(server.seen[1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(DATA) // 2


def test_a_later_run_resumes_too(server: WebServer, cache: Path, clock: FakeClock) -> None:
    server.on("GET", PATH, half, answer(503))
    with pytest.raises(ToolError):
        fetch(Downloader(cache, clock=clock), server.url + PATH)
    server.on("GET", PATH, rest)
    assert fetch(Downloader(cache, clock=clock), server.url + PATH).read_bytes() == DATA


def test_a_server_without_ranges_starts_again(
    server: WebServer, cache: Path, clock: FakeClock
) -> None:
    server.on("GET", PATH, half, answer(200, DATA))
    assert fetch(Downloader(cache, clock=clock), server.url + PATH).read_bytes() == DATA


@pytest.mark.parametrize("size", [10, len(DATA) + 10])
def test_a_wrong_beginning_of_an_earlier_run_is_given_up(
    server: WebServer, cache: Path, size: int
) -> None:
    part = cache / f"sha256-{SHA256}" / ".thing-1.0.tgz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * size)
    first = answer(416) if size > len(DATA) else rest
    server.on("GET", PATH, first, answer(200, DATA))
    assert fetch(Downloader(cache), server.url + PATH).read_bytes() == DATA


def test_a_last_attempt_that_completes_the_wrong_file_says_so(
    server: WebServer, cache: Path, clock: FakeClock
) -> None:
    def wrong(line: Line) -> None:
        answer(206, b"something else", Content_Range="bytes 1-14/15")(line)

    server.on("GET", PATH, half, half, wrong)
    with pytest.raises(IntegrityError) as caught:
        fetch(Downloader(cache, clock=clock), server.url + PATH)
    assert (caught.value.code, caught.value.exit_code) == ("CTO-1800", 8)
    assert len(server.seen) == 3
    assert [file.name for file in cache.rglob("*thing*") if file.is_file()] == []
    server.on("GET", PATH, answer(200, DATA))
    assert fetch(Downloader(cache, clock=clock), server.url + PATH).read_bytes() == DATA


def test_servers_that_call_an_archive_encoded_do_not_change_it(
    server: WebServer, cache: Path
) -> None:
    data = gzip.compress(DATA)
    server.on("GET", PATH, answer(200, data, Content_Encoding="gzip"))
    path = fetch(Downloader(cache), server.url + PATH, hashlib.sha256(data).hexdigest())
    assert path.read_bytes() == data


def test_a_server_may_keep_the_size_to_itself(server: WebServer, cache: Path) -> None:
    def chunked(line: Line) -> None:
        line.head(200, {"Transfer-Encoding": "chunked"})
        line.chunk(DATA)
        line.chunk(b"")

    said: list[Transfer] = []
    server.on("GET", PATH, chunked)
    assert fetch(Downloader(cache, progress=said.append), server.url + PATH).read_bytes() == DATA
    assert [one.total for one in said] == [0, 0]


def test_an_address_that_is_none_is_not_tried_again(cache: Path, clock: FakeClock) -> None:
    with pytest.raises(ToolError) as caught:
        fetch(Downloader(cache, clock=clock), "https:///x")
    assert caught.value.code == "CTO-1501"


def test_proxies_of_the_environment_are_used(
    server: WebServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    seen: list[str] = []

    def proxied(line: Line) -> None:
        seen.append(line.seen.headers["Host"])
        answer(200, DATA)(line)

    server.on("GET", PATH, proxied)
    assert fetch(Downloader(cache), f"http://charts.example.com{PATH}").read_bytes() == DATA
    assert seen == ["charts.example.com"]


def test_two_at_once_fetch_once(server: WebServer, cache: Path) -> None:
    paths: list[Path] = []

    def run() -> None:
        paths.append(fetch(Downloader(cache), server.url + PATH))

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert len(server.seen) == 1


def test_offline_only_the_cache_and_the_mirror_are_asked(
    server: WebServer, cache: Path, tmp_path: Path
) -> None:
    downloader = Downloader(cache, mirror=str(tmp_path / "mirror"), offline=lambda: True)
    with pytest.raises(ToolError) as caught:
        fetch(downloader, server.url + PATH)
    assert caught.value.code == "CTO-1501"
    asked, not_asked = caught.value.details.splitlines()
    assert asked.startswith(str(tmp_path / "mirror"))
    assert not_asked == f"{server.url}{PATH}: not asked, because this run is air-gapped"
    assert server.seen == []
    host = server.url.removeprefix("http://")
    kept = tmp_path / "mirror" / host / PATH.removeprefix("/")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(DATA)
    assert fetch(downloader, server.url + PATH).read_bytes() == DATA
    assert server.seen == []


def walled(tmp_path: Path) -> Path:
    """Return a folder that nobody can make, root included."""
    (tmp_path / "wall").touch()
    return tmp_path / "wall" / "cache"


def test_where_the_cache_cannot_be_written_it_is_named(server: WebServer, tmp_path: Path) -> None:
    with pytest.raises(PreflightError) as caught:
        fetch(Downloader(walled(tmp_path)), server.url + PATH)
    assert caught.value.message == f"{walled(tmp_path)} cannot be written: Not a directory"
    assert "CTO_CACHE_DIR" in caught.value.hint
    assert server.seen == []


def test_a_spare_folder_takes_what_the_cache_cannot(server: WebServer, tmp_path: Path) -> None:
    downloader = Downloader(walled(tmp_path), spare=lambda: tmp_path / "spare")
    path = fetch(downloader, server.url + PATH)
    assert path.is_relative_to(tmp_path / "spare")
    assert path.read_bytes() == DATA
    assert fetch(downloader, server.url + PATH) == path
    assert len(server.seen) == 1


def test_what_fails_in_the_spare_folder_tells_of_the_address_alone(tmp_path: Path) -> None:
    downloader = Downloader(walled(tmp_path), spare=lambda: tmp_path / "spare", clock=FakeClock())
    with pytest.raises(ToolError) as caught:
        fetch(downloader, "http://127.0.0.1:1/x")
    assert "refused" in caught.value.details
    assert "wall" not in caught.value.details


def test_a_full_disk_is_named_with_the_cache(server: WebServer, cache: Path) -> None:
    with no_room_after(1000), pytest.raises(PreflightError) as caught:
        fetch(Downloader(cache), server.url + PATH)
    assert caught.value.message == f"{cache} cannot be written: File too large"


def test_a_cache_of_somebody_else_is_read_without_being_written(
    server: WebServer, cache: Path, tmp_path: Path
) -> None:
    """Filled by hand, or by root, and nothing in it says that it was verified."""
    path = fetch(Downloader(cache), server.url + PATH)
    (path.parent / f".{path.name}.verified").unlink()
    (path.parent / ".lock").unlink()
    (path.parent / ".lock").mkdir()
    downloader = Downloader(cache, spare=lambda: tmp_path / "spare")
    assert fetch(downloader, server.url + PATH) == path
    assert not (tmp_path / "spare").exists()
