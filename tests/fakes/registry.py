"""Registries in memory. They answer as CNCF Distribution does: the contract tests hold for both."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from cto_airgap.oci import INDEXES, Digest, digest_of
from cto_airgap.web import FilePiece, HttpRequest, TransportError
from fakes.images import Image
from fakes.trouble import Trouble, Troubles

_PIECE = 4096
_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<what>manifests|blobs/uploads|blobs)/(?P<rest>.*)")


class FakeAnswer:
    """Implements `HttpAnswer`."""

    def __init__(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.headers = {key.lower(): value for key, value in (headers or {}).items()}
        self.cut = -1
        self.closed = False
        self._body = body

    def pieces(self) -> Iterator[bytes]:
        end = len(self._body) if self.cut < 0 else min(self.cut, len(self._body))
        for at in range(0, end, _PIECE):
            yield self._body[at : min(at + _PIECE, end)]
        if self.cut >= 0:
            text = "the connection broke"
            raise TransportError(text, again=True)

    def close(self) -> None:
        self.closed = True


@dataclass
class _Repository:
    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int


class FakeRegistry:
    """Implements `Transport` for one host, and is the registry behind it.

    Args:
        origin: Its address.
        auth: `none`, `basic` or `token`.
        ranges: Whether blobs can be asked for in part.
        resumes: Whether it tells how far an upload came.
        storage: Address of another host that it sends readers of blobs to.
    """

    def __init__(
        self,
        origin: str = "https://registry.example.com",
        *,
        auth: str = "none",
        ranges: bool = True,
        resumes: bool = True,
        storage: str = "",
    ) -> None:
        self.origin = origin
        self.seen: list[Seen] = []
        self.troubles = Troubles()
        self.user, self.password = "robot", "hunter2"
        self.seconds = 300
        self.mounts = True
        self.tokens: list[str] = []
        self._auth = auth
        self._ranges = ranges
        self._resumes = resumes
        self._storage = storage
        self._blobs: dict[str, bytes] = {}
        self._repositories: dict[str, _Repository] = {}
        self._uploads: dict[str, bytearray] = {}
        self._lock = RLock()

    # what tests look at, and prepare

    def add(self, repository: str, image: Image, tag: str = "") -> Image:
        found = self._repositories.setdefault(repository, _Repository())
        for digest, data in image.blobs.items():
            self._blobs[digest] = data
            found.blobs.add(digest)
        for digest, entry in image.documents.items():
            found.manifests[digest] = entry
        if tag:
            found.tags[tag] = image.root
        return image

    def untag(self, repository: str, tag: str) -> None:
        """Forget a tag, as its owner may; what it named stays."""
        del self._repositories[repository].tags[tag]

    def damage(self, digest: Digest, data: bytes) -> None:
        """Answer other bytes for a blob or manifest."""
        if digest in self._blobs:
            self._blobs[digest] = data
        for found in self._repositories.values():
            if digest in found.manifests:
                found.manifests[digest] = (found.manifests[digest][0], data)

    def requests(self, method: str, fragment: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and fragment in one.path]

    def manifest(self, repository: str, name: str) -> bytes:
        found = self._repositories[repository]
        return found.manifests[found.tags.get(name, name)][1]

    def blobs(self, repository: str) -> set[str]:
        return self._repositories[repository].blobs

    def expire(self) -> None:
        """Let every token be over, whatever was said when it was given."""
        self.tokens.clear()

    # the transport

    def send(self, request: HttpRequest) -> FakeAnswer:
        with self._lock:
            trouble = self.troubles.for_request(request.method, request.url)
            answer = self._trouble(request, trouble) if trouble else self._answer(request)
            parts = urlsplit(request.url)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            self.seen.append(Seen(request.method, path, dict(request.headers), answer.status))
            return answer

    def _trouble(self, request: HttpRequest, trouble: Trouble) -> FakeAnswer:
        if trouble.status:
            return FakeAnswer(trouble.status, b"", trouble.headers)
        if trouble.cut >= 0 and request.method == "GET":
            answer = self._answer(request)
            answer.cut = trouble.cut
            return answer
        if trouble.cut >= 0 and request.method == "PATCH":
            upload = self._uploads[urlsplit(request.url).path.rpartition("/")[2]]
            upload += _bytes(request.body)[: trouble.cut]
        text = "the connection broke"
        raise TransportError(text, again=True)

    def _answer(self, request: HttpRequest) -> FakeAnswer:
        parts = urlsplit(request.url)
        if parts.path == "/token":
            return self._token(request, parse_qs(parts.query))
        match = _PATH.fullmatch(parts.path)
        if not match:
            return _error(404, "NAME_UNKNOWN", "no such page")
        name, what, rest = match["name"], match["what"], match["rest"]
        query = dict(parse_qsl(parts.query))
        if refused := self._refused(request, name, query):
            return refused
        handler: Any = getattr(self, f"_{what.replace('/', '_')}_{request.method.lower()}")
        answer: FakeAnswer = handler(request, name, rest, query)
        return answer

    # who may

    def _refused(
        self, request: HttpRequest, name: str, query: Mapping[str, str]
    ) -> FakeAnswer | None:
        sent = request.headers.get("Authorization", "")
        actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        if self._auth == "basic" and not self._is_login(sent):
            return _unauthorized('Basic realm="registry"')
        if self._auth != "token":
            return None
        wanted = f"repository:{name}:{actions}"
        if sent.removeprefix("Bearer ") in self.tokens and self._grants(sent, name, query, actions):
            return None
        return _unauthorized(
            f'Bearer realm="{self.origin}/token",service="fake",scope="{wanted}",'
            'error="insufficient_scope"'
        )

    @staticmethod
    def _grants(sent: str, name: str, query: Mapping[str, str], actions: str) -> bool:
        granted: dict[str, set[str]] = {}
        for text in base64.b64decode(sent.removeprefix("Bearer ")).decode().split()[1:]:
            _, repository, allowed = text.split(":")
            granted.setdefault(repository, set()).update(allowed.split(","))
        needed = {name: set(actions.split(","))}
        if "from" in query:
            needed[query["from"]] = {"pull"}
        return all(actions <= granted.get(one, set()) for one, actions in needed.items())

    def _is_login(self, sent: str) -> bool:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return sent == f"Basic {login}"

    def _token(self, request: HttpRequest, query: Mapping[str, list[str]]) -> FakeAnswer:
        if not self._is_login(request.headers.get("Authorization", "")):
            return FakeAnswer(401)
        text = " ".join([str(len(self.seen)), *query.get("scope", [])])
        token = base64.b64encode(text.encode()).decode()
        self.tokens.append(token)
        return FakeAnswer(200, json.dumps({"token": token, "expires_in": self.seconds}).encode())

    # manifests

    def _manifests_get(
        self, request: HttpRequest, name: str, rest: str, _: Mapping[str, str]
    ) -> FakeAnswer:
        found = self._repositories.get(name, _Repository())
        digest = found.tags.get(rest, rest)
        if digest not in found.manifests:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = found.manifests[digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return FakeAnswer(200, b"" if request.method == "HEAD" else data, headers)

    _manifests_head = _manifests_get

    def _manifests_put(
        self, request: HttpRequest, name: str, rest: str, _: Mapping[str, str]
    ) -> FakeAnswer:
        data, media_type = _bytes(request.body), request.headers["Content-Type"]
        found = self._repositories.setdefault(name, _Repository())
        body = json.loads(data)
        if media_type in INDEXES:
            known, needed = {*found.manifests}, body["manifests"]
        else:
            known, needed = found.blobs, [body["config"], *body["layers"]]
        if not {item["digest"] for item in needed} <= known:
            return _error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        digest = digest_of(data)
        found.manifests[digest] = (media_type, data)
        if not rest.startswith("sha256:"):
            found.tags[rest] = digest
        return FakeAnswer(201, b"", {"Docker-Content-Digest": digest})

    # blobs

    def _blobs_head(
        self, _: HttpRequest, name: str, rest: str, __: Mapping[str, str]
    ) -> FakeAnswer:
        known = rest in self._repositories.get(name, _Repository()).blobs
        return FakeAnswer(200 if known else 404)

    def _blobs_get(
        self, request: HttpRequest, name: str, rest: str, _: Mapping[str, str]
    ) -> FakeAnswer:
        if rest not in self._repositories.get(name, _Repository()).blobs:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self._storage:
            return FakeAnswer(307, b"", {"Location": f"{self._storage}/v2/{name}/blobs/{rest}"})
        data = self._blobs[rest]
        asked = request.headers.get("Range", "")
        if not asked or not self._ranges:
            return FakeAnswer(200, data)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            return FakeAnswer(416)
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return FakeAnswer(206, data[start:], {"Content-Range": span})

    # uploads

    def _blobs_uploads_post(
        self, _: HttpRequest, name: str, __: str, query: Mapping[str, str]
    ) -> FakeAnswer:
        found = self._repositories.setdefault(name, _Repository())
        source = self._repositories.get(query.get("from", ""), _Repository())
        if self.mounts and query.get("mount") in source.blobs:
            found.blobs.add(query["mount"])
            return FakeAnswer(201, b"", {"Location": f"/v2/{name}/blobs/{query['mount']}"})
        upload = f"upload-{len(self._uploads)}"
        self._uploads[upload] = bytearray()
        return self._status(202, name, upload)

    def _blobs_uploads_get(
        self, _: HttpRequest, name: str, rest: str, __: Mapping[str, str]
    ) -> FakeAnswer:
        if not self._resumes:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown")
        return self._status(204, name, rest)

    def _blobs_uploads_patch(
        self, request: HttpRequest, name: str, rest: str, _: Mapping[str, str]
    ) -> FakeAnswer:
        upload = self._uploads[rest]
        span = request.headers.get("Content-Range", "")
        if span and not span.startswith(f"{len(upload)}-"):
            return _error(416, "RANGE_INVALID", "invalid content range")
        upload += _bytes(request.body)
        return self._status(202, name, rest)

    def _blobs_uploads_put(
        self, request: HttpRequest, name: str, rest: str, query: Mapping[str, str]
    ) -> FakeAnswer:
        upload = self._uploads.pop(rest, None)
        if upload is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown")
        data = bytes(upload) + _bytes(request.body)
        if digest_of(data) != query["digest"]:
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self._blobs[query["digest"]] = data
        self._repositories[name].blobs.add(query["digest"])
        return FakeAnswer(201)

    def _status(self, status: int, name: str, upload: str) -> FakeAnswer:
        last = max(len(self._uploads[upload]) - 1, 0)
        location = f"/v2/{name}/blobs/uploads/{upload}?_state=x"
        return FakeAnswer(status, b"", {"Location": location, "Range": f"0-{last}"})


class FakeWeb:
    """Implements `Transport` for several registries; who is not among them does not answer."""

    def __init__(self, *registries: FakeRegistry) -> None:
        self._registries = {registry.origin: registry for registry in registries}

    def send(self, request: HttpRequest) -> FakeAnswer:
        parts = urlsplit(request.url)
        found = self._registries.get(f"{parts.scheme}://{parts.netloc}")
        if found is None:
            text = f"no such host: {parts.netloc}"
            raise TransportError(text, again=True)
        return found.send(request)


class Scripted:
    """Implements `Transport`: answers one after the other, the last one again and again."""

    def __init__(self, *answers: FakeAnswer | TransportError) -> None:
        self._answers = [*answers]
        self.seen: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> FakeAnswer:
        self.seen.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, TransportError):
            raise answer
        return answer


def _bytes(body: bytes | FilePiece) -> bytes:
    if isinstance(body, bytes):
        return body
    with body.path.open("rb") as file:
        file.seek(body.start)
        return file.read(body.size)


def _error(status: int, code: str, message: str) -> FakeAnswer:
    body = {"errors": [{"code": code, "message": message}]}
    return FakeAnswer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _unauthorized(challenge: str) -> FakeAnswer:
    answer = _error(401, "UNAUTHORIZED", "authentication required")
    answer.headers["www-authenticate"] = challenge
    return answer
