"""Files by digest: from a cache, a mirror, or where they are published."""

from __future__ import annotations

import fcntl
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import isinf
from pathlib import Path
from threading import Event as Flag
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from cto import digests, storage
from cto.adapters.clock import SystemClock
from cto.backoff import TRANSIENT, Backoff
from cto.errors import IntegrityError, ToolError
from cto.events import Transfer
from cto.network import trust
from cto.ports import Clock

UNRESOLVED = "unresolved"
_BACKOFF = Backoff(1.0, 3.0, attempts=3, factor=3.0)
# What a broken connection leaves of the last piece is lost.
_CHUNK = 1 << 16
_TELL_EVERY_S = 0.5


_ELSEWHERE = "\nOr do without it: a mirror (CTO_MIRROR), `--charts DIR`, `--tools DIR`."


class _UnreachableError(Exception):
    """A source does not have the file, or broke off.

    Attributes:
        again: Whether to try it once more.
        hint: What to do about it; the error's own fix when empty.
    """

    def __init__(self, text: str, *, again: bool, hint: str = "") -> None:
        super().__init__(text)
        self.again = again
        self.hint = hint


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
        spare: Returns where they are kept instead if the cache cannot be written; None: nowhere.
        mirror: An address or a folder that has the files as HOST/PATH; tried before the URL.
        clock: Waits between attempts.
        progress: Told when a download begins, ends, and twice a second between.
        offline: Tells whether only the cache and the mirror may be asked.
        environ: Says which proxies and certificates there are.
        ca_file: Certificates to trust besides.
        log: Gets a line about each request.
    """

    def __init__(
        self,
        cache: Path,
        *,
        mirror: str = "",
        clock: Clock | None = None,
        progress: Callable[[Transfer], None] = lambda _: None,
        offline: Callable[[], bool] = lambda: False,
        environ: Mapping[str, str] = os.environ,
        ca_file: Path | None = None,
        log: Callable[[str], None] = lambda _: None,
        spare: Callable[[], Path] | None = None,
    ) -> None:
        self._cache = cache
        self._spare = spare
        self._mirror = mirror.rstrip("/")
        self._clock = clock or SystemClock()
        self._progress = progress
        self._offline = offline
        self._environ = environ
        self._ca_file = ca_file
        self._log = log

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
            ConfigError: CTO-1360, the proxy or the certificates of the environment are none.
            PreflightError: CTO-1485, nothing can be written.
        """
        if digest == UNRESOLVED:
            text = f"no checksum is pinned for {url}"
            raise IntegrityError("CTO-1801", text)
        wanted = _Wanted(url=url, algorithm=algorithm, digest=digest, code=code)
        place = Path(f"{algorithm}-{digest}") / wanted.name
        try:
            return self._kept(wanted, self._cache / place)
        except OSError as error:
            if self._spare is None:
                raise storage.unwritable(self._cache, error) from error
        # A cache that somebody else filled may be read all the same.
        if _has_right_bytes(self._cache / place, wanted):
            return self._cache / place
        return self._kept(wanted, self._spare() / place)

    def _kept(self, wanted: _Wanted, target: Path) -> Path:
        """Return a file of the cache, brought if need be.

        Raises:
            OSError: The cache cannot be written.
        """
        if _is_known(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with storage.named(target), _alone(target.parent):
            if not (_is_known(target) or _is_right(target, wanted)):
                self._bring(wanted, target)
            _remember(target)
        return target

    def _bring(self, wanted: _Wanted, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        tried: list[str] = []
        hint = ""
        for source in self._sources(wanted.url):
            try:
                self._take(source, wanted, part)
            except _UnreachableError as error:
                tried.append(f"{_shown(source)}: {error}")
                hint = hint or error.hint
            else:
                part.replace(target)
                return
        if self._offline():
            tried.append(f"{_shown(wanted.url)}: not asked, because this run is air-gapped")
        text = f"{wanted.name} cannot be had"
        raise ToolError(wanted.code, text, details="\n".join(tried), hint=hint)

    def _sources(self, url: str) -> Iterator[str]:
        if self._mirror:
            parts = urlsplit(_shown(url))
            yield f"{self._mirror}/{parts.netloc}{parts.path}"
        if not self._offline():
            yield url

    def _take(self, source: str, wanted: _Wanted, part: Path) -> None:
        """Fill the part file from one source, as far as it is not filled yet, and verify it."""
        for pause in _BACKOFF.pauses_s():
            resumed = part.exists() and part.stat().st_size > 0
            try:
                found = self._fill(source, wanted, part)
            except _UnreachableError as error:
                if isinf(pause) or not error.again:
                    raise
                self._clock.wait(Flag(), pause)
                continue
            if found == wanted.digest:
                return
            part.unlink()
            # What an earlier run had left may have been wrong: once more, from the beginning.
            if isinf(pause) or not resumed:
                raise _wrong(wanted, found, _shown(source))

    def _fill(self, source: str, wanted: _Wanted, part: Path) -> str:
        """Go on with the part file; return the digest of all of it."""
        with part.open("ab") as file:
            if _is_address(source):
                self._download(source, wanted, file)
            else:
                _copy(Path(source.removeprefix("file://")), file)
        return digests.of_file(part, wanted.algorithm)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return trust.context(self._environ, ca_file=self._ca_file)

    def _download(self, url: str, wanted: _Wanted, file: BinaryIO) -> None:
        import requests  # noqa: PLC0415 - slow

        from cto.network import web  # noqa: PLC0415 - as above

        # Not compressed on the way: the digest is of the file as it is published.
        headers = {"Accept-Encoding": "identity"}
        if have := file.tell():
            headers["Range"] = f"bytes={have}-"
        try:
            with (
                web.session(self._environ, verified=self._trust, log=self._log) as session,
                session.get(url, stream=True, timeout=web.TIMEOUTS_S, headers=headers) as response,
            ):
                if response.status_code == 416:
                    # All was there already, or more than all: the digest will tell.
                    return
                _check(response.status_code)
                if response.status_code != 206:
                    file.truncate(0)
                    have = 0
                # Some servers call a .tgz "encoded", and requests would unpack it.
                response.raw.headers.pop("Content-Encoding", None)
                begun = Transfer(
                    name=wanted.name,
                    source=_shown(url),
                    done=have,
                    total=_total(response.headers, have),
                )
                file.writelines(self._told(begun, response.iter_content(_CHUNK)))
        except requests.RequestException as error:
            hint = f"{error}{_ELSEWHERE}" if isinstance(error, web.ProxyRefusedError) else ""
            again = web.may_heal(error)
            raise _UnreachableError(web.reason(error), again=again, hint=hint) from None

    def _told(self, begun: Transfer, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass pieces on, and tell how far the transfer is."""
        now, due = begun, 0.0
        try:
            for piece in pieces:
                if self._clock.monotonic() >= due:
                    self._progress(now)
                    due = self._clock.monotonic() + _TELL_EVERY_S
                yield piece
                now = replace(now, done=now.done + len(piece))
        finally:
            self._progress(replace(now, over=True))


def _check(status: int) -> None:
    if status >= 300:
        text = f"HTTP status {status}"
        raise _UnreachableError(text, again=status in TRANSIENT)


def _total(headers: Any, have: int) -> int:
    length = headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else 0


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
    """Return an address without log-in and query: both may hold secrets."""
    parts = urlsplit(source)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return (bare._replace(query="", fragment="") if _is_address(source) else bare).geturl()


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


def _has_right_bytes(target: Path, wanted: _Wanted) -> bool:
    try:
        return digests.of_file(target, wanted.algorithm) == wanted.digest
    except OSError:
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
