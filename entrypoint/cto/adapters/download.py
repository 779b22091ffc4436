"""Files by digest: from a cache, a mirror, or where they are published."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from cto import digests
from cto.adapters.clock import SystemClock
from cto.errors import IntegrityError, ToolError
from cto.ports import Clock

UNRESOLVED = "unresolved"
_TIMEOUTS_S = (10.0, 60.0)
_PAUSES_S = (1.0, 3.0)
# What a broken connection leaves of the last piece is lost.
_CHUNK = 1 << 16
_TRANSIENT = (408, 429, 500, 502, 503, 504)


class _UnreachableError(Exception):
    """A source does not have the file, or broke off; `again` tells whether to try it once more."""

    def __init__(self, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.again = again


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    url: str
    algorithm: str
    digest: str
    code: str

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.url).path).rpartition("/")[2] or "file"


class Downloader:
    """Brings files whose digest is known, and remembers them.

    Args:
        cache: Where files are kept, in a folder per digest.
        mirror: An address or a folder that has the files as HOST/PATH; tried before the URL.
        clock: Waits between attempts.
        progress: Gets a line when a download starts.
        offline: Tells whether only the cache and the mirror may be asked.
    """

    def __init__(
        self,
        cache: Path,
        *,
        mirror: str = "",
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
        offline: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cache = cache
        self._mirror = mirror.rstrip("/")
        self._clock = clock or SystemClock()
        self._progress = progress
        self._offline = offline

    def fetch(self, url: str, *, algorithm: str, digest: str, code: str = "CTO-1501") -> Path:
        """Return the file behind a URL, verified: from the cache, the mirror, or the URL itself.

        Args:
            url: Where it is published.
            algorithm: `sha256` or `sha512`.
            digest: In hex.
            code: Of the error if it cannot be had.

        Raises:
            IntegrityError: CTO-1800, the digest is wrong, and the file is gone; CTO-1801, no
                digest is pinned.
            ToolError: With `code`, it cannot be had; the details tell what was tried.
        """
        if digest == UNRESOLVED:
            text = f"no checksum is pinned for {url}"
            raise IntegrityError("CTO-1801", text)
        wanted = _Wanted(url=url, algorithm=algorithm, digest=digest, code=code)
        folder = self._cache / f"{algorithm}-{digest}"
        target = folder / wanted.name
        if _is_known(target):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not (_is_known(target) or _is_right(target, wanted)):
                self._bring(wanted, target)
            _remember(target)
        return target

    def _bring(self, wanted: _Wanted, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        tried: list[str] = []
        for source in self._sources(wanted.url):
            try:
                self._take(source, wanted, part)
            except _UnreachableError as error:
                tried.append(f"{_shown(source)}: {error}")
            else:
                part.replace(target)
                return
        if self._offline():
            tried.append(f"{_shown(wanted.url)}: not asked, because this run is air-gapped")
        text = f"{wanted.name} cannot be had"
        raise ToolError(wanted.code, text, details="\n".join(tried))

    def _sources(self, url: str) -> Iterator[str]:
        if self._mirror:
            parts = urlsplit(_shown(url))
            yield f"{self._mirror}/{parts.netloc}{parts.path}"
        if not self._offline():
            yield url

    def _take(self, source: str, wanted: _Wanted, part: Path) -> None:
        """Fill the part file from one source, as far as it is not filled yet, and verify it."""
        for pause in (*_PAUSES_S, None):
            resumed = part.exists() and part.stat().st_size > 0
            try:
                found = self._fill(source, wanted, part)
            except _UnreachableError as error:
                if pause is None or not error.again:
                    raise
                self._clock.wait(Flag(), pause)
                continue
            if found == wanted.digest:
                return
            part.unlink()
            # What an earlier run had left may have been wrong: once more, from the beginning.
            if pause is None or not resumed:
                raise _wrong(wanted, found, _shown(source))

    def _fill(self, source: str, wanted: _Wanted, part: Path) -> str:
        """Go on with the part file; return the digest of all of it."""
        with part.open("ab") as file:
            if _is_address(source):
                self._download(source, file)
            else:
                _copy(Path(source.removeprefix("file://")), file)
        return digests.of_file(part, wanted.algorithm)

    def _download(self, url: str, file: BinaryIO) -> None:
        import requests  # noqa: PLC0415 - slow

        # Not compressed on the way: the digest is of the file as it is published.
        headers = {"Accept-Encoding": "identity"}
        if have := file.tell():
            headers["Range"] = f"bytes={have}-"
        try:
            with requests.get(url, stream=True, timeout=_TIMEOUTS_S, headers=headers) as response:
                if response.status_code == 416:
                    # All was there already, or more than all: the digest will tell.
                    return
                _check(response.status_code)
                if response.status_code != 206:
                    file.truncate(0)
                self._progress(f"downloading {_shown(url)}{_size(response.headers)}")
                # Some servers call a .tgz "encoded", and requests would unpack it.
                response.raw.headers.pop("Content-Encoding", None)
                file.writelines(response.iter_content(_CHUNK))
        except requests.RequestException as error:
            raise _UnreachableError(_reason(error), again=_may_heal(error)) from None


def _check(status: int) -> None:
    if status >= 300:
        text = f"HTTP status {status}"
        raise _UnreachableError(text, again=status in _TRANSIENT)


def _may_heal(error: Exception) -> bool:
    """Tell whether the same address may work in a moment: a connection that broke, a timeout."""
    import requests  # noqa: PLC0415 - slow

    broke = (requests.exceptions.ChunkedEncodingError, requests.Timeout)
    return isinstance(error, broke) or type(error) is requests.ConnectionError


def _reason(error: Exception) -> str:
    """Return the innermost cause: what is around it repeats the address, password included."""
    chain: list[BaseException] = [error]
    while (inner := _inner(chain[-1])) and inner not in chain:
        chain.append(inner)
    return f"{type(error).__name__}: {chain[-1]}"[:200]


def _inner(error: BaseException) -> BaseException | None:
    """Return what led to an error, wherever urllib3 and requests put it."""
    places = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    return next((item for item in places if isinstance(item, BaseException)), None)


def _size(headers: Any) -> str:
    length = headers.get("Content-Length", "")
    return f" ({int(length) / 1e6:.1f} MB)" if length.isdigit() else ""


def _is_address(source: str) -> bool:
    return urlsplit(source).scheme in ("http", "https")


def _copy(source: Path, file: BinaryIO) -> None:
    file.truncate(0)
    try:
        with source.open("rb") as content:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
    except OSError as error:
        raise _UnreachableError(error.strerror or str(error), again=False) from None


def _shown(source: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _wrong(wanted: _Wanted, found: str, source: str) -> IntegrityError:
    text = f"{wanted.name} has the wrong {wanted.algorithm}"
    details = f"expected {wanted.digest}\nfound    {found}\nfrom     {source}"
    return IntegrityError("CTO-1800", text, details=details)


def _is_right(target: Path, wanted: _Wanted) -> bool:
    """Hash a file that is there; take it away if it is damaged."""
    if not target.is_file():
        return False
    if digests.of_file(target, wanted.algorithm) == wanted.digest:
        return True
    target.unlink()
    return False


def _stamp(target: Path) -> tuple[Path, str]:
    stat = target.stat()
    file = target.with_name(f".{target.name}.verified")
    return file, json.dumps({"size": stat.st_size, "mtime_ns": stat.st_mtime_ns})


def _is_known(target: Path) -> bool:
    """Tell whether the file is as it was when it was hashed."""
    try:
        file, stamp = _stamp(target)
        return file.read_text(encoding="utf-8") == stamp
    except OSError:
        return False


def _remember(target: Path) -> None:
    file, stamp = _stamp(target)
    file.write_text(stamp, encoding="utf-8")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other threads and installers from bringing the same file at the same time."""
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
