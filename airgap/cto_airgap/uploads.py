"""Writes to a registry: blobs, mounted where another repository has them, and manifests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin

from cto.backoff import TRANSIENT
from cto_airgap.auth import Scopes, scope
from cto_airgap.oci import Descriptor, Document
from cto_airgap.reference import Endpoint, Endpoints, Reference
from cto_airgap.registry import ATTEMPTS, name_of, refused, send, strange, unreachable
from cto_airgap.session import Session
from cto_airgap.web import FilePiece, HttpAnswer, HttpRequest, TransportError

# Below it one request does; a break costs no more than what it would take to ask how far it came.
_SMALL = 1 << 20
_BYTES = {"Content-Type": "application/octet-stream"}
# The session is gone, or not where we think it is.
_LOST = frozenset({404, 416})


class Sent(StrEnum):
    """How a blob came to where it should be."""

    MOUNTED = "mounted"
    UPLOADED = "uploaded"


@dataclass(frozen=True)
class _Upload:
    """One blob on its way."""

    endpoint: Endpoint
    scopes: Scopes
    what: str
    wanted: Descriptor
    path: Path


class Uploader:
    """Writes to the host that a reference names. May be used by several threads."""

    def __init__(self, session: Session, endpoints: Endpoints) -> None:
        self._session = session
        self._endpoints = endpoints

    def blob(
        self, reference: Reference, wanted: Descriptor, path: Path, *, source: str = ""
    ) -> Sent:
        """Bring a blob to a repository.

        Args:
            reference: Names host and repository.
            wanted: The blob.
            path: Its file.
            source: Another repository of the host, which has it.

        Raises:
            ToolError: CTO-1510 to 1514.
            Cancelled: The run is stopping.
        """
        upload = self._upload_of(reference, wanted, path, source)

        def bring() -> Sent:
            location = self._begin(upload, source)
            if not location:
                return Sent.MOUNTED
            self._send(upload, location)
            return Sent.UPLOADED

        try:
            return self._session.repeated(bring, ATTEMPTS)
        except TransportError as error:
            raise unreachable(upload.endpoint, error) from None

    def manifest(self, reference: Reference, found: Document) -> None:
        """Write an index or manifest under the tag of a reference, or its digest if it has none.

        Raises:
            ToolError: CTO-1510 to 1514.
        """
        endpoint = self._endpoints.to_write(reference)
        name = reference.tag or found.digest
        request = HttpRequest(
            method="PUT",
            url=endpoint.url(reference.repository, f"manifests/{name}"),
            headers={"Content-Type": found.media_type},
            body=found.data,
        )
        what = f"{reference.name}:{name}"
        answer = send(self._session, endpoint, request, _push(endpoint, reference))
        if answer.status != 201:
            raise refused(self._session, endpoint, what, answer)
        answer.close()
        stored = answer.headers.get("docker-content-digest", found.digest)
        if stored != found.digest:
            raise strange(endpoint, what, f"it stored {stored} instead of {found.digest}")

    def _upload_of(
        self, reference: Reference, wanted: Descriptor, path: Path, source: str
    ) -> _Upload:
        endpoint = self._endpoints.to_write(reference)
        scopes = _push(endpoint, reference)
        if source:
            scopes = (*scopes, scope(source, "pull"))
        what = f"{name_of(wanted)} of {reference.name}"
        return _Upload(endpoint, scopes, what, wanted, path)

    def _begin(self, upload: _Upload, source: str) -> str:
        """Open an upload; return its address, or nothing if the blob is there already."""
        repository = upload.scopes[0].split(":")[1]
        url = f"{upload.endpoint.origin}/v2/{repository}/blobs/uploads/"
        if source:
            url += "?" + urlencode({"mount": upload.wanted.digest, "from": source})
        request = HttpRequest(method="POST", url=url)
        answer = send(self._session, upload.endpoint, request, upload.scopes)
        if answer.status == 201 and source:
            answer.close()
            return ""
        if answer.status != 202:
            raise refused(self._session, upload.endpoint, upload.what, answer)
        answer.close()
        return _next(upload.endpoint, url, answer)

    def _send(self, upload: _Upload, location: str) -> None:
        size = upload.wanted.size
        if size <= _SMALL:
            self._put(upload, location, FilePiece(upload.path, 0, size))
            return
        self._put(upload, self._patch(upload, location), b"")

    def _put(self, upload: _Upload, location: str, body: FilePiece | bytes) -> None:
        joint = "&" if "?" in location else "?"
        url = f"{location}{joint}digest={quote(upload.wanted.digest, safe=':')}"
        request = HttpRequest(method="PUT", url=url, headers=_BYTES, body=body)
        answer = self._session.once(upload.endpoint, request, upload.scopes)
        self._expect(upload, answer, 201)

    def _patch(self, upload: _Upload, location: str) -> str:
        """Send the bytes, from where they broke off if the registry says so; return the address."""
        start, size = 0, upload.wanted.size
        while True:
            headers = dict(_BYTES)
            if start:
                headers["Content-Range"] = f"{start}-{size - 1}"
            body = FilePiece(upload.path, start, size - start)
            request = HttpRequest(method="PATCH", url=location, headers=headers, body=body)
            try:
                answer = self._session.once(upload.endpoint, request, upload.scopes)
            except TransportError as error:
                begun, (start, location) = start, self._how_far(upload, location)
                # Distribution before 3.0 loses an upload that broke, and there is no progress:
                # https://github.com/distribution/distribution/pull/3755
                if start == size:
                    return location
                if not error.again or start <= begun:
                    raise
                continue
            self._expect(upload, answer, 202)
            return _next(upload.endpoint, location, answer)

    def _how_far(self, upload: _Upload, location: str) -> tuple[int, str]:
        """Return how many bytes a registry has of an upload, and where to go on."""
        request = HttpRequest(method="GET", url=location)
        answer = self._session.send(upload.endpoint, request, upload.scopes)
        answer.close()
        first, _, last = answer.headers.get("range", "").removeprefix("bytes=").partition("-")
        if answer.status != 204 or first != "0" or not last.isdigit():
            return 0, location
        return int(last) + 1, _next(upload.endpoint, location, answer)

    def _expect(self, upload: _Upload, answer: HttpAnswer, status: int) -> None:
        if answer.status == status:
            answer.close()
        elif answer.status in _LOST | TRANSIENT:
            answer.close()
            text = f"HTTP status {answer.status} in the middle of an upload"
            raise TransportError(text, again=True)
        else:
            raise refused(self._session, upload.endpoint, upload.what, answer)


def _push(endpoint: Endpoint, reference: Reference) -> Scopes:
    return (scope(endpoint.repository(reference.repository), "pull,push"),)


def _next(endpoint: Endpoint, url: str, answer: HttpAnswer) -> str:
    """Return where an upload goes on."""
    location = answer.headers.get("location", "")
    if not location:
        raise strange(endpoint, "an upload", "the answer has no Location")
    found = urljoin(url, location)
    # A registry behind a proxy that ends TLS may not know that it is there.
    if endpoint.origin.startswith("https://") and found.startswith("http://"):
        return f"https://{found.removeprefix('http://')}"
    return found
