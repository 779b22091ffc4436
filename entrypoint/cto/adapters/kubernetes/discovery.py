"""Which kinds an API server offers, where it has their objects, and its pages of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any
from urllib.parse import quote

from cto.adapters.kubernetes.connection import ApiAnswer, Request
from cto.adapters.kubernetes.errors import decoded, refused
from cto.errors import ApiError
from cto.objects import Manifest
from cto.ports import ApiKind, Clock

# One answer for all groups, since Kubernetes 1.30; a server that does not know it
# gives the plain list of groups instead.
# https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# Where the kinds of the core group are told, and those of all others: with hundreds of foreign
# definitions the second answer is long, and who looks at nodes alone can do without it.
_CORE, _GROUPS = "/api", "/apis"
# Somebody who asks again and again for a kind that nobody serves must not load the server.
_ASK_AGAIN_S = 1.0

_PAGE = "500"

Ask = Callable[[Request], ApiAnswer]


class Discovery:
    """Remembers the kinds; asks again when one is unknown.

    Args:
        ask: Sends a request; raises ApiError unless the status is 2xx.
        clock: Measures.
    """

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = RLock()
        self._kinds: dict[tuple[str, str], ApiKind] = {}
        self._unanswered: dict[str, ApiError] = {}
        self._asked_at: dict[str, float] = {}

    def all(self, *, fresh: bool = False) -> Sequence[ApiKind]:
        with self._lock:
            for root in (_CORE, _GROUPS):
                if fresh or root not in self._asked_at:
                    self._refresh(root)
            return tuple(self._kinds.values())

    def unanswered(self) -> Mapping[str, str]:
        """Return apiVersion -> why, of those whose kinds nobody tells."""
        with self._lock:
            self.all()
            return {name: error.message for name, error in self._unanswered.items()}

    def find(self, api_version: str, kind: str) -> ApiKind | None:
        """Return the kind; None if the server does not offer it.

        Raises:
            ApiError: Nobody tells: whoever serves that apiVersion does not answer.
        """
        root = _root_of(api_version)
        with self._lock:
            known = self._kinds.get((api_version, kind))
            if known is None and self._may_ask(root):
                self._refresh(root)
            found = self._kinds.get((api_version, kind))
            if found is None and api_version in self._unanswered:
                raise self._unanswered[api_version]
            return found

    def forget(self) -> None:
        """Ask again next time: definitions came or went."""
        with self._lock:
            self._asked_at = {}
            self._kinds = {}

    def _may_ask(self, root: str) -> bool:
        asked_at = self._asked_at.get(root)
        return asked_at is None or self._clock.monotonic() >= asked_at + _ASK_AGAIN_S

    def _refresh(self, root: str) -> None:
        if root == _GROUPS:
            # Those of the core group are the API server's own.
            self._unanswered = {}
        found = list(self._kinds_under(root))
        self._kinds = {key: kind for key, kind in self._kinds.items() if _root_of(key[0]) != root}
        for kind in found:
            self._kinds.setdefault((kind.api_version, kind.kind), kind)
        self._asked_at[root] = self._clock.monotonic()

    def _kinds_under(self, root: str) -> Iterable[ApiKind]:
        answer = self._ask(_request(root, f"{_AGGREGATED},application/json"))
        document = decoded(answer.body)
        if document.get("kind") == "APIGroupDiscoveryList":
            self._unanswered |= _stale(document)
            return _aggregated(document)
        return self._one_by_one(root, document)

    def _one_by_one(self, root: str, document: Mapping[str, Any]) -> Iterator[ApiKind]:
        versions = list(document.get("versions", ()))
        for group in document.get("groups", ()):
            versions.extend(version["groupVersion"] for version in group["versions"])
        for version in versions:
            yield from self._kinds_of(root, version)

    def _kinds_of(self, root: str, version: str) -> Iterator[ApiKind]:
        try:
            answer = self._ask(_request(f"{root}/{version}", "application/json"))
        except ApiError as error:
            if error.status == 404:
                return
            if error.status in (0, 401) or "/" not in version:
                raise
            # An aggregated API whose server is away must not hide all others.
            self._unanswered[version] = error
            return
        for resource in decoded(answer.body).get("resources", ()):
            if "/" not in resource["name"]:
                yield ApiKind(
                    version,
                    resource["kind"],
                    resource["name"],
                    resource["namespaced"],
                    frozenset(resource["verbs"]),
                )


def _root_of(api_version: str) -> str:
    return _GROUPS if "/" in api_version else _CORE


def _request(path: str, accept: str) -> Request:
    headers = {"Accept": accept}
    return Request(method="GET", path=path, what="ask for the kinds", headers=headers)


def _stale(document: Mapping[str, Any]) -> dict[str, ApiError]:
    """Return those of which the server has old news, or none: their own does not answer it."""
    found = {}
    for group in document.get("items", ()):
        for version in group.get("versions", ()):
            if version.get("freshness") == "Stale":
                name = f"{group.get('metadata', {}).get('name', '')}/{version['version']}"
                text = f"the API service of {name} does not answer"
                found[name] = ApiError("CTO-1600", text, status=503, reason="ServiceUnavailable")
    return found


def _aggregated(document: Mapping[str, Any]) -> Iterator[ApiKind]:
    for group in document.get("items", ()):
        name = group.get("metadata", {}).get("name", "")
        for version in group.get("versions", ()):
            api_version = f"{name}/{version['version']}" if name else version["version"]
            for resource in version.get("resources", ()):
                yield ApiKind(
                    api_version,
                    resource["responseKind"]["kind"],
                    resource["resource"],
                    resource["scope"] == "Namespaced",
                    frozenset(resource.get("verbs", ())),
                )


def list_request(
    kind: ApiKind, namespace: str, selectors: Mapping[str, str], headers: Mapping[str, str]
) -> Request:
    return Request(
        method="GET",
        path=path_of(kind, namespace),
        what=f"list {kind.plural}",
        query={"limit": _PAGE, **{key: value for key, value in selectors.items() if value}},
        headers=headers,
    )


def path_of(kind: ApiKind, namespace: str, name: str = "") -> str:
    root = "/apis" if "/" in kind.api_version else "/api"
    parts = [root, kind.api_version]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    if name:
        parts.append(quote(name, safe=""))
    return "/".join(parts)


def with_query(request: Request, query: Mapping[str, str]) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        what=request.what,
        query=query,
        headers=request.headers,
    )


def proxied(namespace: str, target: str, path: str) -> str:
    """Return the path of a service of a namespace, by way of the API server."""
    return f"/api/v1/namespaces/{quote(namespace)}/services/{target}/proxy/{path.lstrip('/')}"


@dataclass(frozen=True)
class ListPage:
    """A piece of a list. `anew` says that the list begins once more with it."""

    items: Sequence[Manifest]
    version: str
    anew: bool


def each_page(request: Request, send: Callable[[Request], ApiAnswer]) -> Iterator[ListPage]:
    """Yield the pages of a list, as long as each names a next one."""
    query, token, anew = request.query, "", False
    while True:
        page = with_query(request, {**query, "continue": token} if token else query)
        answer = send(page)
        if answer.status == 410 and token:
            # The first pages are too old to go on from: once more, in one piece.
            query = {key: value for key, value in query.items() if key != "limit"}
            token, anew = "", True
            continue
        document = decoded(checked(page, answer).body)
        metadata = document.get("metadata", {})
        yield ListPage(document.get("items") or (), metadata.get("resourceVersion", ""), anew=anew)
        token, anew = metadata.get("continue") or "", False
        if not token:
            return


def checked(request: Request, answer: ApiAnswer, *, confidential: bool = False) -> ApiAnswer:
    """Return the answer, if it is none that refuses.

    Raises:
        ApiError: It is.
    """
    if answer.status >= 300:
        raise refused(request.what, answer.status, answer.body, confidential=confidential)
    return answer
