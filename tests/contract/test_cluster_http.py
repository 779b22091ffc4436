"""How the adapter behaves when an API server misbehaves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from threading import Timer
from typing import Any

import pytest

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.errors import ApiError, CtoError, PreflightError
from cto.objects import Manifest, ObjectRef, dump_yaml
from cto.ports import Access, WatchType
from fakes.certificates import authority, server_side
from fakes.clock import FakeClock
from fakes.webserver import Line, WebServer, answer, hang_up

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
REF = ObjectRef("v1", "ConfigMap", "default", "a")
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
TOKEN = "token-of-the-user"
BUSY = answer(503, {"message": "busy"})
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def config_map(name: str = "a", version: int = 1) -> Manifest:
    metadata = {"name": name, "namespace": "default", "resourceVersion": str(version)}
    managed = {**metadata, "managedFields": [{"manager": "somebody"}]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": managed}


def resource(plural: str, kind: str) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": "Namespaced",
        "verbs": VERBS,
    }


def groups(name: str, *resources: dict[str, Any]) -> dict[str, Any]:
    version = {"version": "v1", "resources": list(resources)}
    group = {"metadata": {"name": name} if name else {}, "versions": [version]}
    return {"kind": "APIGroupDiscoveryList", "items": [group]}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        core = groups("", resource("configmaps", "ConfigMap"), resource("secrets", "Secret"))
        server.on("GET", "/api", answer(200, core))
        server.on(
            "GET", "/apis", answer(200, groups("apps", resource("deployments", "Deployment")))
        )
        yield server


def kubeconfig(file: Path, server: str, user: dict[str, Any], **cluster: Any) -> Access:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "somebody", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "somebody"}}],
        "current-context": "here",
    }
    file.write_text(dump_yaml(document))
    return Access(file, "here")


@pytest.fixture
def safe(server: WebServer, tmp_path: Path) -> Iterator[WebServer]:
    """The same answers over TLS: without it nobody is told who asks."""
    with WebServer(tls=server_side(tmp_path)) as safe:
        safe._scripts = server._scripts
        yield safe


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cluster(server: WebServer, clock: FakeClock, tmp_path: Path) -> Iterator[KubeCluster]:
    access = kubeconfig(tmp_path / "kubeconfig", server.url, {"token": TOKEN})
    cluster = KubeCluster(access, clock=clock)
    yield cluster
    cluster.close()


# repetitions


def test_reading_is_repeated_with_growing_pauses(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    server.on("GET", f"{CONFIG_MAPS}/a", BUSY, hang_up, BUSY, answer(200, config_map()))
    assert cluster.get(REF)
    assert clock.waits == [0.25, 0.5, 1.0]


def test_the_servers_wish_for_a_pause_is_heard(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    slow = answer(429, {"message": "slowly"}, Retry_After="3")
    endless = answer(429, {"message": "slowly"}, Retry_After="3600")
    server.on("GET", f"{CONFIG_MAPS}/a", slow, endless, answer(200, config_map()))
    assert cluster.get(REF)
    assert clock.waits == [3.0, 5.0]


def test_there_is_an_end_to_repetitions(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    server.on("GET", f"{CONFIG_MAPS}/a", BUSY)
    with pytest.raises(ApiError) as caught:
        cluster.get(REF)
    assert (caught.value.code, caught.value.status) == ("CTO-1600", 503)
    assert len(server.requests(f"{CONFIG_MAPS}/a")) == 5


def test_repetitions_end_when_their_time_is_over(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    def slow(line: Line) -> None:
        clock.advance(20)
        hang_up(line)

    server.on("GET", f"{CONFIG_MAPS}/a", slow)
    with pytest.raises(ApiError) as caught:
        cluster.get(REF)
    assert (caught.value.code, caught.value.status) == ("CTO-1601", 0)
    assert len(server.requests(f"{CONFIG_MAPS}/a")) == 2


def test_applying_and_deleting_are_repeated(server: WebServer, cluster: KubeCluster) -> None:
    server.on("PATCH", f"{CONFIG_MAPS}/a", BUSY, hang_up, answer(200, config_map()))
    assert "managedFields" not in cluster.apply(config_map())["metadata"]
    sent = server.requests(f"{CONFIG_MAPS}/a")[0]
    assert sent.query == {"fieldManager": "cto", "force": "true"}
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert "managedFields" not in json.loads(sent.body)["metadata"]


def test_a_deletion_that_was_repeated_may_find_nothing_left(
    server: WebServer, cluster: KubeCluster
) -> None:
    gone = answer(404, {"message": "not found"})
    server.on("DELETE", f"{CONFIG_MAPS}/a", hang_up, gone)
    assert cluster.delete(REF)
    server.on("DELETE", f"{CONFIG_MAPS}/a", gone)
    assert not cluster.delete(REF)


@pytest.mark.parametrize("trouble", [BUSY, hang_up])
def test_what_may_have_been_done_is_not_done_twice(
    server: WebServer, cluster: KubeCluster, trouble: Any
) -> None:
    server.on("POST", CONFIG_MAPS, trouble)
    server.on("PUT", f"{CONFIG_MAPS}/a", trouble)
    for write in (cluster.create, cluster.update):
        with pytest.raises(ApiError):
            write(config_map())
    assert [seen.method for seen in server.seen if seen.method != "GET"] == ["POST", "PUT"]


def test_what_was_not_done_for_sure_is_tried_again(server: WebServer, cluster: KubeCluster) -> None:
    server.on("POST", CONFIG_MAPS, answer(429, {}), answer(201, config_map()))
    assert cluster.create(config_map())["kind"] == "ConfigMap"


def test_what_cannot_heal_is_not_repeated(server: WebServer, cluster: KubeCluster) -> None:
    text = "failed to create typed patch object: field not declared in schema"
    server.on("PATCH", f"{CONFIG_MAPS}/a", answer(500, {"message": text}))
    with pytest.raises(ApiError) as caught:
        cluster.apply(config_map())
    assert caught.value.code == "CTO-1605"
    assert len(server.requests(f"{CONFIG_MAPS}/a")) == 1


def test_a_server_that_is_not_there_is_named(tmp_path: Path, clock: FakeClock) -> None:
    with WebServer() as gone:
        access = kubeconfig(tmp_path / "kubeconfig", gone.url, {})
    cluster = KubeCluster(access, clock=clock)
    with pytest.raises(ApiError) as caught:
        cluster.server_version()
    assert caught.value.code == "CTO-1601"
    assert "here" in caught.value.message
    assert "127.0.0.1" in caught.value.details
    assert clock.waits == [0.25, 0.5, 1.0, 2.0]
    with pytest.raises(ApiError) as caught:
        cluster.probe("default", "a", 80, "/", "http")
    assert caught.value.code == "CTO-1601"
    assert cluster.logs("default", "a", "a") == ""


WEB = "/api/v1/namespaces/default/services/http:web:80/proxy/healthz"


def test_the_clock_is_the_servers(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    def long_ago(line: Line) -> None:
        line.raw(b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n")
        line.raw(b'Content-Length: 19\r\n\r\n{"gitVersion":"v1"}')

    assert cluster.now() == clock.now()
    server.on("GET", "/version", long_ago)
    cluster.server_version()
    clock.advance(2.5)
    assert cluster.now() == datetime(2000, 1, 1, 0, 0, 2, 500_000, tzinfo=UTC)


def test_a_program_is_asked_for_as_long_as_is_said(server: WebServer, cluster: KubeCluster) -> None:
    over = Flag()

    def hang(line: Line) -> None:
        over.wait(10)
        line.hang_up()

    server.on("GET", WEB, hang)
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        cluster.probe("default", "web", 80, "/healthz", "http", timeout_s=0.2)
    assert caught.value.code == "CTO-1601"
    assert time.monotonic() - began < 2
    over.set()


def test_it_is_told_whether_the_program_or_the_server_refuses(
    server: WebServer, cluster: KubeCluster
) -> None:
    server.on("GET", WEB, answer(403, b"who are you?"))
    assert cluster.probe("default", "web", 80, "/healthz", "http") == 403
    text = 'services "web" is forbidden: User "u" cannot get resource "services/proxy"'
    server.on("GET", WEB, answer(403, {"kind": "Status", "message": text}))
    with pytest.raises(ApiError) as caught:
        cluster.probe("default", "web", 80, "/healthz", "http")
    assert (caught.value.code, caught.value.status) == ("CTO-1602", 403)


def test_closing_ends_repetitions(server: WebServer, cluster: KubeCluster) -> None:
    server.on("GET", f"{CONFIG_MAPS}/a", BUSY)
    cluster.kinds()
    cluster.close()
    with pytest.raises(ApiError) as caught:
        cluster.get(REF)
    assert caught.value.code == "CTO-1601"


# lists and kinds


def test_lists_come_in_pages(server: WebServer, cluster: KubeCluster) -> None:
    def page(*names: str, token: str = "") -> Any:
        items = [{"metadata": {"name": name}} for name in names]
        return answer(200, {"metadata": {"continue": token}, "items": items})

    server.on("GET", CONFIG_MAPS, page("a", "b", token="t1"), page("c"))
    found = cluster.list("v1", "ConfigMap", namespace="default", labels="x=y")
    assert [item["metadata"]["name"] for item in found] == ["a", "b", "c"]
    assert {item["kind"] for item in found} == {"ConfigMap"}
    first, second = server.requests(CONFIG_MAPS)
    assert first.query == {"limit": "500", "labelSelector": "x=y"}
    assert second.query == {**first.query, "continue": "t1"}


def test_a_list_whose_pages_expired_is_asked_for_in_one_piece(
    server: WebServer, cluster: KubeCluster
) -> None:
    first = {"metadata": {"continue": "t1"}, "items": [{"metadata": {"name": "a"}}]}
    whole = {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}
    expired = answer(410, {"reason": "Expired"})
    server.on("GET", CONFIG_MAPS, answer(200, first), expired, answer(200, whole))
    found = cluster.list("v1", "ConfigMap", namespace="default")
    assert [item["metadata"]["name"] for item in found] == ["b"]
    assert "limit" not in server.requests(CONFIG_MAPS)[2].query


def test_a_scan_holds_one_page_and_stops_when_enough_was_seen(
    server: WebServer, cluster: KubeCluster
) -> None:
    first = {"metadata": {"continue": "t1"}, "items": [{"metadata": {"name": "a", "uid": "1"}}]}
    rest = {"metadata": {}, "items": [{"metadata": {"name": "b", "uid": "2"}}]}
    server.on("GET", CONFIG_MAPS, answer(200, first), answer(200, rest))
    found = cluster.scan("v1", "ConfigMap", namespace="default")
    assert next(found)["metadata"]["name"] == "a"
    assert len(server.requests(CONFIG_MAPS)) == 1
    assert [item["metadata"]["name"] for item in found] == ["b"]


def test_a_scan_whose_pages_expired_yields_nothing_twice(
    server: WebServer, cluster: KubeCluster
) -> None:
    one, two = ({"metadata": {"name": name, "uid": name}} for name in "ab")
    first = {"metadata": {"continue": "t1"}, "items": [one]}
    whole = {"metadata": {}, "items": [one, two]}
    expired = answer(410, {"reason": "Expired"})
    server.on("GET", CONFIG_MAPS, answer(200, first), expired, answer(200, whole))
    found = cluster.scan("v1", "ConfigMap", namespace="default", metadata=True)
    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [
        ("ConfigMap", "a"),
        ("ConfigMap", "b"),
    ]


def test_a_kind_that_went_away_has_no_objects(server: WebServer, cluster: KubeCluster) -> None:
    server.on("GET", CONFIG_MAPS, answer(404, {"message": "not found"}), BUSY)
    assert cluster.list("v1", "ConfigMap", namespace="default") == ()
    with pytest.raises(ApiError) as caught:
        cluster.list("v1", "ConfigMap", namespace="default")
    assert caught.value.status == 503


def test_metadata_lists_ask_for_metadata_and_nothing_else(
    server: WebServer, cluster: KubeCluster
) -> None:
    item = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {}}
    server.on("GET", "/api/v1/secrets", answer(200, {"metadata": {}, "items": [item]}))
    (found,) = cluster.list_metadata("v1", "Secret")
    assert (found["apiVersion"], found["kind"]) == ("v1", "Secret")
    accepted = server.requests("/api/v1/secrets")[0].headers["Accept"]
    assert accepted == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def test_a_group_whose_server_is_away_is_named_and_hides_no_other(
    server: WebServer, cluster: KubeCluster
) -> None:
    stale = groups("metrics.k8s.io")["items"]
    stale[0]["versions"][0]["freshness"] = "Stale"
    found = groups("apps", resource("deployments", "Deployment"))
    server.on("GET", "/apis", answer(200, {**found, "items": [*stale, *found["items"]]}))
    assert ("apps/v1", "Deployment") in {(k.api_version, k.kind) for k in cluster.kinds()}
    assert list(cluster.unanswered()) == ["metrics.k8s.io/v1"]
    with pytest.raises(ApiError) as caught:
        cluster.list("metrics.k8s.io/v1", "PodMetrics")
    assert (caught.value.code, caught.value.status) == ("CTO-1600", 503)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_so_it_is_where_groups_are_asked_one_by_one(
    server: WebServer, cluster: KubeCluster, status: int
) -> None:
    versions = [{"groupVersion": "away/v1"}]
    listed = {"kind": "APIGroupList", "groups": [{"name": "away", "versions": versions}]}
    server.on("GET", "/apis", answer(200, listed))
    server.on("GET", "/apis/away/v1", answer(status, {"message": "no"}))
    assert cluster.kinds()
    assert list(cluster.unanswered()) == ["away/v1"]
    with pytest.raises(ApiError):
        cluster.get(ObjectRef("away/v1", "Thing", "default", "a"))


def test_kinds_are_asked_for_once(
    server: WebServer, cluster: KubeCluster, clock: FakeClock
) -> None:
    for _ in range(3):
        assert {kind.kind for kind in cluster.kinds()} == {"ConfigMap", "Secret", "Deployment"}
        assert cluster.get(ObjectRef("no/v1", "No", "", "a")) is None
    assert len(server.requests("/apis")) == 1
    clock.advance(2)
    assert cluster.get(ObjectRef("no/v1", "No", "", "a")) is None
    assert len(server.requests("/apis")) == 2
    assert server.requests("/apis")[0].headers["Accept"].startswith(AGGREGATED)


def test_who_looks_at_the_core_group_alone_is_not_told_of_all_others(
    server: WebServer, cluster: KubeCluster
) -> None:
    """With hundreds of foreign definitions that answer is long."""
    server.on("GET", CONFIG_MAPS, answer(200, {"metadata": {}, "items": []}))
    cluster.list("v1", "ConfigMap", namespace="default")
    assert server.requests("/apis") == []
    assert {kind.kind for kind in cluster.kinds()} == {"ConfigMap", "Secret", "Deployment"}
    assert cluster.get(ObjectRef("v1", "No", "", "a")) is None
    assert (len(server.requests("/api")), len(server.requests("/apis"))) == (1, 1)


def test_old_servers_are_asked_group_by_group(server: WebServer, cluster: KubeCluster) -> None:
    def resources(*names: str) -> Any:
        items = [
            {"name": name, "kind": name.split("s/")[0].title(), "namespaced": True, "verbs": VERBS}
            for name in names
        ]
        return answer(200, {"resources": items})

    def group(version: str) -> dict[str, Any]:
        return {"versions": [{"groupVersion": version}]}

    server.on("GET", "/api", answer(200, {"kind": "APIVersions", "versions": ["v1"]}))
    listed = [group("apps/v1"), group("metrics.k8s.io/v1"), group("broken/v1")]
    server.on("GET", "/apis", answer(200, {"kind": "APIGroupList", "groups": listed}))
    server.on("GET", "/api/v1", resources("pods", "pods/log"))
    server.on("GET", "/apis/apps/v1", resources("deployments", "deployments/scale"))
    server.on("GET", "/apis/metrics.k8s.io/v1", BUSY)
    server.on("GET", "/apis/broken/v1", resources("brokens"))
    found = {(kind.api_version, kind.plural) for kind in cluster.kinds()}
    assert found == {("v1", "pods"), ("apps/v1", "deployments"), ("broken/v1", "brokens")}


def test_a_server_that_refuses_to_tell_its_kinds_is_an_error(
    server: WebServer, cluster: KubeCluster
) -> None:
    server.on("GET", "/api", answer(200, {"versions": ["v1"]}))
    server.on("GET", "/api/v1", answer(403, {"message": 'User "x" cannot get path "/api/v1"'}))
    with pytest.raises(ApiError) as caught:
        cluster.kinds()
    assert caught.value.code == "CTO-1602"


def test_a_cluster_without_kube_system_has_no_identity(
    server: WebServer, cluster: KubeCluster
) -> None:
    namespaces = {**resource("namespaces", "Namespace"), "scope": "Cluster"}
    server.on("GET", "/api", answer(200, groups("", namespaces)))
    with pytest.raises(ApiError) as caught:
        cluster.uid()
    assert caught.value.code == "CTO-1603"


def test_the_end_of_a_log_is_asked_for_once(server: WebServer, cluster: KubeCluster) -> None:
    path = "/api/v1/namespaces/default/pods/p/log"
    server.on("GET", path, answer(200, b"one\ntwo\n"), BUSY)
    assert cluster.logs("default", "p", "main", previous=True, lines=2) == "one\ntwo"
    assert cluster.logs("default", "p", "main") == ""
    first, second = server.requests(path)
    assert first.query["tailLines"] == "2"
    assert first.query["previous"] == "true"
    assert "previous" not in second.query


# credentials


def trusting(folder: Path, server: WebServer, user: dict[str, Any]) -> Access:
    trusted = {"certificate-authority": str(authority(folder))}
    return kubeconfig(folder / "kubeconfig", server.url, user, **trusted)


def test_the_token_of_the_kubeconfig_is_sent(
    safe: WebServer, clock: FakeClock, tmp_path: Path
) -> None:
    KubeCluster(trusting(tmp_path, safe, {"token": TOKEN}), clock=clock).kinds()
    assert safe.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_refused_credentials_are_read_anew_once(
    safe: WebServer, clock: FakeClock, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    access = trusting(tmp_path, safe, {"tokenFile": str(token)})
    cluster = KubeCluster(access, clock=clock)

    def expired(line: Line) -> None:
        token.write_text("new")
        answer(401, {"message": "Unauthorized"})(line)

    safe.on("GET", "/version", expired, answer(200, {"gitVersion": "v1.34.4"}))
    assert cluster.server_version() == "v1.34.4"
    tokens = [seen.headers["Authorization"] for seen in safe.requests("/version")]
    assert tokens == ["Bearer old", "Bearer new"]


def test_credentials_that_stay_refused_name_the_user_and_not_the_token(
    server: WebServer, cluster: KubeCluster
) -> None:
    unauthorized = answer(401, {"message": "Unauthorized"})
    server.on("GET", "/version", unauthorized)
    server.on("GET", CONFIG_MAPS, unauthorized)
    with pytest.raises(ApiError) as caught:
        cluster.server_version()
    assert (caught.value.code, caught.value.status) == ("CTO-1602", 401)
    assert "'somebody'" in caught.value.message
    assert TOKEN not in caught.value.message + caught.value.details
    assert len(server.requests("/version")) == 2
    with pytest.raises(ApiError) as caught:
        next(cluster.watch("v1", "ConfigMap", namespace="default", stop=Flag()))
    assert caught.value.code == "CTO-1602"


def plugin(file: Path, script: str) -> dict[str, Any]:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(file), "interactiveMode": "Never"}}


def test_exec_plugins_give_tokens(safe: WebServer, clock: FakeClock, tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "fresh"},
    }
    user = plugin(tmp_path / "plugin", f"echo '{json.dumps(credential)}'")
    access = trusting(tmp_path, safe, user)
    KubeCluster(access, clock=clock).kinds()
    assert safe.seen[0].headers["Authorization"] == "Bearer fresh"


def test_an_exec_plugin_that_fails_is_told_with_its_user(
    safe: WebServer, clock: FakeClock, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user = plugin(tmp_path / "plugin", "echo 'log in first' >&2; exit 1")
    access = trusting(tmp_path, safe, user)
    with pytest.raises(ApiError) as caught:
        KubeCluster(access, clock=clock).kinds()
    assert caught.value.code == "CTO-1602"
    assert "'somebody'" in caught.value.message
    assert "log in first" in caught.value.details
    assert capfd.readouterr() == ("", "")
    assert safe.seen == []


def test_verification_is_never_switched_off(clock: FakeClock, tmp_path: Path) -> None:
    settings = {"insecure-skip-tls-verify": True}
    access = kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", {}, **settings)
    with pytest.raises(PreflightError) as caught:
        KubeCluster(access, clock=clock).kinds()
    assert caught.value.code == "CTO-1403"
    assert "certificate-authority-data" in caught.value.hint


@pytest.mark.parametrize("text", ["", "a: [", "contexts: []", "contexts: 1", "[]"])
def test_a_kubeconfig_that_cannot_be_used_is_named(
    clock: FakeClock, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(CtoError) as caught:
        KubeCluster(Access(file, "here"), clock=clock).kinds()
    assert caught.value.code == "CTO-1403"
    assert str(file) in caught.value.message


# watches


def listed(version: int, *names: str) -> Any:
    items = [{"metadata": {"name": name}} for name in names]
    return answer(200, {"metadata": {"resourceVersion": str(version)}, "items": items})


def change(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}).encode() + b"\n"


class Changes:
    """Lets the list and watch requests of one path have scripts of their own."""

    def __init__(self, server: WebServer) -> None:
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        server.on("GET", CONFIG_MAPS, self.script)

    def script(self, line: Line) -> None:
        scripts = self.watches if "watch" in line.seen.query else self.lists
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        script(line)


@pytest.fixture
def changes(server: WebServer) -> Changes:
    return Changes(server)


def pieces(*parts: bytes, whole: bool = True) -> Any:
    def script(line: Line) -> None:
        line.head(200, {"Transfer-Encoding": "chunked"})
        for part in parts:
            line.chunk(part)
        if whole:
            line.chunk(b"")
        else:
            line.hang_up()

    return script


def versions_watched(server: WebServer) -> list[str]:
    seen = server.requests(CONFIG_MAPS)
    return [item.query["resourceVersion"] for item in seen if "watch" in item.query]


def test_a_watch_goes_on_from_the_last_version(
    server: WebServer, cluster: KubeCluster, clock: FakeClock, changes: Changes
) -> None:
    bookmark = change("BOOKMARK", {"metadata": {"resourceVersion": "20"}})
    both = change("ADDED", config_map("b", 11)) + bookmark

    def first(line: Line) -> None:
        pieces(both[:30], both[30:])(line)
        clock.advance(50)

    changes.lists = [listed(10, "a")]
    changes.watches = [first, pieces(change("MODIFIED", config_map("a", 21)))]
    stop = Flag()
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=stop)
    events = [next(watch) for _ in range(3)]
    stop.set()
    assert list(watch) == []
    assert [event.type.value for event in events] == ["SYNC", "ADDED", "MODIFIED"]
    assert "managedFields" not in events[1].items[0]["metadata"]
    assert versions_watched(server) == ["10", "20"]
    assert server.requests(CONFIG_MAPS)[1].query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(
            pieces(change("ERROR", {"code": 410, "reason": "Expired"})), id="expired-in-stream"
        ),
        pytest.param(answer(410, {"reason": "Expired"}), id="expired-at-once"),
        pytest.param(pieces(b'{"type": "ADD', whole=False), id="broken-off"),
        pytest.param(hang_up, id="no-answer"),
        pytest.param(BUSY, id="busy"),
        pytest.param(pieces(b"<html>Please log in</html>\n"), id="a-proxys-words"),
        pytest.param(pieces(b'["ADDED"]\n'), id="no-change"),
        pytest.param(pieces(b'{"type": "ADDED", "object": null}\n'), id="no-object"),
        pytest.param(pieces(b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"\n"), id="too-deep"),
    ],
)
def test_a_watch_that_breaks_begins_again(
    cluster: KubeCluster, changes: Changes, trouble: Any
) -> None:
    changes.lists = [listed(10, "a"), listed(30, "b")]
    changes.watches = [trouble, pieces(change("DELETED", config_map("b", 31)))]
    stop = Flag()
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=stop)
    events = [next(watch) for _ in range(3)]
    stop.set()
    assert [event.type.value for event in events] == ["SYNC", "SYNC", "DELETED"]
    assert [event.items[0]["metadata"]["name"] for event in events] == ["a", "b", "b"]


def test_a_server_that_ends_every_watch_is_asked_less_and_less(
    cluster: KubeCluster, clock: FakeClock, changes: Changes
) -> None:
    changes.lists = [listed(10)]
    changes.watches = [pieces()]
    stop = Flag()
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=stop)
    assert {next(watch).type for _ in range(8)} == {WatchType.SYNC}
    stop.set()
    assert clock.waits[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_watch_survives_a_server_that_is_away(
    cluster: KubeCluster, clock: FakeClock, changes: Changes
) -> None:
    changes.lists = [listed(10, "a"), hang_up, BUSY, listed(20, "b")]
    changes.watches = [hang_up, pieces()]
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=Flag())
    names = [next(watch).items[0]["metadata"]["name"] for _ in range(2)]
    assert names == ["a", "b"]
    assert clock.waits == [0.2, 0.4, 0.8]


def test_what_is_not_allowed_is_told_at_once(cluster: KubeCluster, changes: Changes) -> None:
    changes.lists = [answer(403, {"message": 'User "x" cannot list resource "configmaps"'})]
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=Flag())
    with pytest.raises(ApiError) as caught:
        next(watch)
    assert caught.value.code == "CTO-1602"


def test_a_watch_over_a_silent_connection_can_be_ended(
    cluster: KubeCluster, changes: Changes
) -> None:
    release = Flag()

    def silent(line: Line) -> None:
        line.head(200, {"Transfer-Encoding": "chunked"})
        release.wait(30)
        line.hang_up()

    changes.lists = [listed(10)]
    changes.watches = [silent]
    stop = Flag()
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=stop)
    assert next(watch).type is WatchType.SYNC
    Timer(0.3, stop.set).start()
    start = time.monotonic()
    assert list(watch) == []
    assert time.monotonic() - start < 1.8
    release.set()


def test_a_watch_can_be_left_without_a_stop(cluster: KubeCluster, changes: Changes) -> None:
    changes.lists = [listed(10)]
    changes.watches = [pieces(change("ADDED", config_map("b", 11)), b"\n", whole=False)]
    watch = cluster.watch("v1", "ConfigMap", namespace="default", stop=Flag())
    assert [next(watch).type.value for _ in range(2)] == ["SYNC", "ADDED"]
    watch.close()  # type: ignore[attr-defined] # it is a generator
    assert list(watch) == []
