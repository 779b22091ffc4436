"""A client of registries: reads from mirrors first, then from the host that a reference names.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md is what they speak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cto import goyaml
from cto.errors import IntegrityError, ToolError
from cto_airgap.auth import Scopes, scope
from cto_airgap.layout import Part, WrongBytesError
from cto_airgap.oci import (
    INDEXES,
    LARGEST_DOCUMENT,
    MANIFESTS,
    Descriptor,
    Document,
    algorithm_of,
    digest_of,
    read_document,
)
from cto_airgap.reference import Endpoint, Endpoints, Reference
from cto_airgap.session import Session
from cto_airgap.web import HttpAnswer, HttpRequest, TransportError

_LONGEST_WORDS = 300
_CODES = {401: "CTO-1511", 403: "CTO-1511", 404: "CTO-1513", 429: "CTO-1512"}
_TEXTS = {
    "CTO-1511": "{host} refuses access to {what}",
    "CTO-1512": "{host} limits requests",
    "CTO-1513": "{host} does not have {what}",
    "CTO-1514": "{host} refused a request for {what}",
}

ACCEPT = ", ".join(sorted(INDEXES | MANIFESTS))
# How often something is begun again that is more than one request.
ATTEMPTS = 5
_SMALL = 1 << 16
# A connection that broke after at least this much does not count as a failed attempt.
_PROGRESS = 1 << 16
_LARGEST_CONFIG = 8 << 20

T = TypeVar("T")


def send(session: Session, endpoint: Endpoint, request: HttpRequest, scopes: Scopes) -> HttpAnswer:
    """Return a registry's answer, whatever its status.

    Raises:
        ToolError: CTO-1510, there was none.
    """
    try:
        return session.send(endpoint, request, scopes)
    except TransportError as error:
        raise unreachable(endpoint, error) from None


def refused(session: Session, endpoint: Endpoint, what: str, answer: HttpAnswer) -> ToolError:
    """Return the error that an answer means whose body was not read; closes it."""
    try:
        body = session.body(answer, _SMALL)
    except TransportError:
        body = b""
    return refusal(endpoint, what, answer.status, body, answer.headers)


def refusal(
    endpoint: Endpoint, what: str, status: int, body: bytes, headers: Mapping[str, str]
) -> ToolError:
    """Return the error that an answer means.

    Args:
        endpoint: Who answered.
        what: What was asked for.
        status: Of the answer.
        body: Of the answer.
        headers: Of the answer; they may say when to ask again.
    """
    code = _CODES.get(status, "CTO-1514")
    said = _said(body)
    details = f"HTTP status {status}{f': {said}' if said else ''}"
    if later := headers.get("retry-after", ""):
        details += f" (Retry-After: {later[:40]})"
    return ToolError(code, _TEXTS[code].format(host=endpoint.host, what=what), details=details)


def unreachable(endpoint: Endpoint, error: TransportError) -> ToolError:
    text = f"{endpoint.host} cannot be reached"
    details = f"{endpoint.origin}: {error}"
    return ToolError("CTO-1510", text, details=details, hint=error.hint)


def wrong(endpoint: Endpoint, what: str, details: str) -> IntegrityError:
    text = f"{endpoint.host} sends something else than {what}"
    return IntegrityError("CTO-1800", text, details=details)


def strange(endpoint: Endpoint, what: str, why: str) -> ToolError:
    """Return the error for an answer that no registry gives."""
    text = f"{endpoint.host} answered with something that is not {what}"
    return ToolError("CTO-1514", text, details=why)


def all_of(errors: Sequence[ToolError]) -> ToolError:
    """Return one error for all addresses that were tried; it is that of the last one."""
    last = errors[-1]
    if len(errors) == 1:
        return last
    lines = [f"{error.message}: {error.details}" for error in errors]
    return last.told(details="\n".join(lines))


def name_of(wanted: Descriptor) -> str:
    return f"{wanted.digest[:19]}..."


def _said(body: bytes) -> str:
    """Return a registry's own words."""
    # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    try:
        found: Any = goyaml.load_json(body)["errors"]
        lines = [f"{item.get('code', '')} {item.get('message', '')}".strip() for item in found]
    except (ValueError, KeyError, TypeError, AttributeError):
        lines = body.decode(errors="replace").split("\n")
    text = "; ".join(line.strip() for line in lines if line.strip())
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST_WORDS]


class RegistryClient:
    """Reads from registries, and asks what they have. May be used by several threads."""

    def __init__(self, session: Session, endpoints: Endpoints) -> None:
        self._session = session
        self._endpoints = endpoints
        # Origin -> the silence that was its answer.
        self._silent: dict[str, ToolError] = {}

    def manifest(self, reference: Reference) -> Document:
        """Return the index or manifest behind a reference; by digest, if it has one.

        Whoever did not answer is not asked for another one: each silence takes its time.

        Raises:
            ToolError: CTO-1510 to 1514, neither a mirror nor the host gives it.
            IntegrityError: CTO-1800, the digest is another one.
        """
        return self._anywhere(reference, lambda endpoint: self._answered(endpoint, reference))

    def config(self, reference: Reference, wanted: Descriptor) -> bytes:
        """Return a small blob, an image's configuration.

        Raises:
            ToolError: CTO-1510 to 1514, neither a mirror nor the host gives it.
            IntegrityError: CTO-1800, the digest is another one.
        """
        return self._anywhere(reference, lambda endpoint: self._config(endpoint, reference, wanted))

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None:
        """Complete a blob, from where an earlier attempt left it.

        Raises:
            ToolError: CTO-1510 to 1514, neither a mirror nor the host gives it.
            IntegrityError: CTO-1800, the digest is another one.
            Cancelled: The run is stopping.
        """
        self._anywhere(reference, lambda endpoint: self._fetch(endpoint, reference, wanted, part))

    def digest(self, reference: Reference) -> str:
        """Return what the host itself has under a tag or digest, empty if nothing.

        Raises:
            ToolError: CTO-1510 to 1514, it does not say.
        """
        endpoint = self._endpoints.to_write(reference)
        url = endpoint.url(reference.repository, f"manifests/{reference.wanted}")
        status, headers, body = self._whole(
            endpoint,
            HttpRequest(method="HEAD", url=url, headers={"Accept": ACCEPT}),
            self._pull(endpoint, reference),
        )
        if status == 404:
            return ""
        if status != 200:
            raise refusal(endpoint, str(reference), status, body, headers)
        return headers.get("docker-content-digest", "")

    def has_blob(self, reference: Reference, wanted: Descriptor) -> bool:
        """Tell whether a repository has a blob, on the host itself.

        Raises:
            ToolError: CTO-1510 to 1514, it does not say.
        """
        endpoint = self._endpoints.to_write(reference)
        url = endpoint.url(reference.repository, f"blobs/{wanted.digest}")
        scopes = self._pull(endpoint, reference)
        status, headers, body = self._whole(endpoint, HttpRequest(method="HEAD", url=url), scopes)
        if status not in (200, 404):
            raise refusal(endpoint, reference.name, status, body, headers)
        return status == 200

    # one endpoint

    def _answered(self, endpoint: Endpoint, reference: Reference) -> Document:
        if silence := self._silent.get(endpoint.origin):
            raise silence.told()
        try:
            return self._manifest(endpoint, reference)
        except ToolError as error:
            if error.registry_is_silent:
                self._silent[endpoint.origin] = error
            raise

    def _manifest(self, endpoint: Endpoint, reference: Reference) -> Document:
        url = endpoint.url(reference.repository, f"manifests/{reference.wanted}")
        request = HttpRequest(method="GET", url=url, headers={"Accept": ACCEPT})
        scopes = self._pull(endpoint, reference)
        status, headers, body = self._whole(endpoint, request, scopes, LARGEST_DOCUMENT)
        if status != 200:
            raise refusal(endpoint, str(reference), status, body, headers)
        wanted = reference.digest
        if wanted and digest_of(body, algorithm_of(wanted)) != wanted:
            found = digest_of(body, algorithm_of(wanted))
            details = f"expected {wanted}\nfound    {found} ({len(body)} bytes)"
            raise wrong(endpoint, str(reference), details)
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        try:
            return read_document(body, media_type, algorithm_of(wanted) if wanted else "sha256")
        except ValueError as error:
            raise strange(endpoint, f"the manifest of {reference}", str(error)) from error

    def _config(self, endpoint: Endpoint, reference: Reference, wanted: Descriptor) -> bytes:
        what = f"{name_of(wanted)} of {reference}"
        request = HttpRequest(method="GET", url=_blob_url(endpoint, reference, wanted))
        scopes = self._pull(endpoint, reference)
        status, headers, body = self._whole(endpoint, request, scopes, _LARGEST_CONFIG)
        if status != 200:
            raise refusal(endpoint, what, status, body, headers)
        if digest_of(body, algorithm_of(wanted.digest)) != wanted.digest:
            raise wrong(endpoint, what, f"expected {wanted.digest}")
        return body

    def _fetch(
        self, endpoint: Endpoint, reference: Reference, wanted: Descriptor, part: Part
    ) -> None:
        what = f"{name_of(wanted)} of {reference}"
        resumed = part.resumed
        try:
            self._stream(endpoint, reference, wanted, part)
            part.finish()
        except WrongBytesError as error:
            # What an earlier run had left may have been wrong: once more, from the beginning.
            if not resumed:
                raise wrong(endpoint, what, str(error)) from None
            self._fetch(endpoint, reference, wanted, part)

    def _stream(
        self, endpoint: Endpoint, reference: Reference, wanted: Descriptor, part: Part
    ) -> None:
        failures = 0
        while part.size < wanted.size:
            before = part.size
            try:
                self._stream_once(endpoint, reference, wanted, part)
            except TransportError as error:
                failures = 0 if part.size - before >= _PROGRESS else failures + 1
                if failures == ATTEMPTS or not error.again:
                    raise unreachable(endpoint, error) from None
                self._session.pause(failures)

    def _stream_once(
        self, endpoint: Endpoint, reference: Reference, wanted: Descriptor, part: Part
    ) -> None:
        headers = {"Range": f"bytes={part.size}-"} if part.size else {}
        request = HttpRequest(
            method="GET", url=_blob_url(endpoint, reference, wanted), headers=headers
        )
        answer = send(self._session, endpoint, request, self._pull(endpoint, reference))
        if answer.status not in (200, 206, 416):
            raise refused(self._session, endpoint, f"{name_of(wanted)} of {reference}", answer)
        if not _goes_on(answer, part):
            part.restart()
        if answer.status == 416 or (answer.status == 206 and not _goes_on(answer, part)):
            answer.close()
            text = "it sent another part than the one that was asked for"
            raise TransportError(text, again=True)
        for piece in self._session.pieces(answer):
            part.write(piece)
        if part.size < wanted.size:
            text = f"it sent {part.size} bytes of {wanted.size}"
            raise TransportError(text, again=True)

    # all endpoints

    def _anywhere(self, reference: Reference, ask: Callable[[Endpoint], T]) -> T:
        failed: list[ToolError] = []
        for endpoint in self._endpoints.to_read(reference):
            try:
                return ask(endpoint)
            except ToolError as error:
                failed.append(error)
        raise all_of(failed)

    def _whole(
        self, endpoint: Endpoint, request: HttpRequest, scopes: Scopes, largest: int = _SMALL
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return an answer with its body, asked for again if that breaks off."""

        def ask() -> tuple[int, Mapping[str, str], bytes]:
            answer = send(self._session, endpoint, request, scopes)
            return answer.status, answer.headers, self._session.body(answer, largest)

        try:
            return self._session.repeated(ask, ATTEMPTS)
        except TransportError as error:
            raise unreachable(endpoint, error) from None

    @staticmethod
    def _pull(endpoint: Endpoint, reference: Reference) -> Scopes:
        return (scope(endpoint.repository(reference.repository), "pull"),)


def _blob_url(endpoint: Endpoint, reference: Reference, wanted: Descriptor) -> str:
    return endpoint.url(reference.repository, f"blobs/{wanted.digest}")


def _goes_on(answer: HttpAnswer, part: Part) -> bool:
    """Tell whether an answer begins where the part ends."""
    if answer.status == 206:
        return answer.headers.get("content-range", "").startswith(f"bytes {part.size}-")
    return part.size == 0 and answer.status == 200
