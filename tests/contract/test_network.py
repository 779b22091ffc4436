"""Every HTTP client of ours on the same network: proxies, certificates, and nobody's log-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from cto.adapters.download import Downloader
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.errors import ConfigError, CtoError
from cto.objects import dump_yaml
from cto.ports import Access
from cto_airgap.logins import GivenLogins
from cto_airgap.reference import Endpoints, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.web import WebTransport
from fakes.certificates import AUTHORITY, authority, server_side
from fakes.clock import FakeClock
from fakes.proxies import FakeProxy
from fakes.webserver import WebServer, answer

DATA = b"a chart"
SHA256 = hashlib.sha256(DATA).hexdigest()
SECRET = "hunter2"
DIGEST = f"sha256:{hashlib.sha256(b'').hexdigest()}"
VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CTO_CA_FILE", "REQUESTS_CA_BUNDLE", "NETRC"),
)

Logs = list[str]
Client = Callable[[str, Path, Logs], None]
"""Asks a server once. Takes its address, a folder, and what the log is for."""


def download(url: str, folder: Path, log: Logs) -> None:
    downloader = Downloader(folder / "cache", clock=FakeClock(), log=log.append)
    downloader.fetch(f"{url}/file.tgz?signature={SECRET}", algorithm="sha256", digest=SHA256)


def registry(url: str, folder: Path, log: Logs) -> None:
    host = url.rpartition("/")[2]
    plain = frozenset({host} if url.startswith("http://") else ())
    with WebTransport(log=log.append) as transport:
        session = Session(transport, GivenLogins(), FakeClock(), Event())
        RegistryClient(session, Endpoints(plain=plain)).digest(
            parse_reference(f"{host}/team/app:1")
        )


def cluster(url: str, folder: Path, log: Logs) -> None:
    opened = KubeCluster(kubeconfig(folder, url), clock=FakeClock(), log=log.append)
    try:
        assert opened.server_version() == "v1.34.0"
    finally:
        opened.close()


def kubeconfig(folder: Path, url: str, **more: str) -> Access:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, **more}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(dump_yaml(document))
    return Access(file, "x")


clients = pytest.mark.parametrize("ask", [download, registry, cluster])


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def serve(server: WebServer) -> WebServer:
    server.on("GET", "/file.tgz", answer(200, DATA))
    server.on("GET", "/version", answer(200, {"gitVersion": "v1.34.0"}))
    server.on("HEAD", "/v2/team/app/manifests/1", answer(200, b"", Docker_Content_Digest=DIGEST))
    return server


@pytest.fixture
def plain() -> Iterator[WebServer]:
    with WebServer() as server:
        yield serve(server)


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[WebServer]:
    with WebServer(tls=server_side(tmp_path)) as server:
        yield serve(server)


@dataclass(frozen=True)
class Failure:
    error: CtoError

    @property
    def text(self) -> str:
        return f"{self.error.message}\n{self.error.details}\n{self.error.hint}"


def failing(ask: Client, url: str, folder: Path) -> Failure:
    log: Logs = []
    with pytest.raises(CtoError) as caught:
        ask(url, folder, log)
    failure = Failure(caught.value)
    assert SECRET not in f"{failure.text}{log}{caught.value!r}{caught.value.__cause__!r}"
    return failure


class TestLogInsOfTheEnvironment:
    @clients
    @pytest.mark.parametrize("entry", ["default", "machine 127.0.0.1"])
    @pytest.mark.parametrize("named", [True, False])
    def test_are_never_sent(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        plain: WebServer,
        ask: Client,
        entry: str,
        *,
        named: bool,
    ) -> None:
        file = tmp_path / ".netrc"
        file.write_text(f"{entry} login me password {SECRET}\n")
        file.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        if named:
            monkeypatch.setenv("NETRC", str(file))
        ask(plain.url, tmp_path, [])
        assert plain.seen
        assert not [seen for seen in plain.seen if "Authorization" in seen.headers]

    def test_are_not_sent_after_a_redirect_either(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: WebServer
    ) -> None:
        (tmp_path / ".netrc").write_text(f"default login me password {SECRET}\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        plain.on("GET", "/old", answer(302, b"", Location=f"{plain.url}/file.tgz"))
        downloader = Downloader(tmp_path / "cache", clock=FakeClock())
        downloader.fetch(f"{plain.url}/old", algorithm="sha256", digest=SHA256)
        assert [seen.path for seen in plain.seen] == ["/old", "/file.tgz"]
        assert not [seen for seen in plain.seen if "Authorization" in seen.headers]

    def test_those_of_a_mirror_s_own_address_are(self, tmp_path: Path, plain: WebServer) -> None:
        plain.on("GET", "/files.example.com/file.tgz", answer(200, DATA))
        mirror = plain.url.replace("://", f"://me:{SECRET}@")
        downloader = Downloader(tmp_path / "cache", mirror=mirror, clock=FakeClock())
        downloader.fetch("https://files.example.com/file.tgz", algorithm="sha256", digest=SHA256)
        assert plain.seen[0].headers["Authorization"].startswith("Basic ")


class TestProxies:
    @clients
    @pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/"])
    def test_tunnel_what_is_encrypted(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        ask: Client,
        *,
        form: str,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path)))
        with FakeProxy(safe.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", form.format(proxy.address))
            ask("https://server.test", tmp_path, [])
        assert proxy.seen == ["CONNECT server.test:443"]

    @clients
    @pytest.mark.parametrize("url", ["https://server.test", "http://server.test"])
    def test_may_be_asked_by_tls_themselves(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        plain: WebServer,
        ask: Client,
        *,
        url: str,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path)))
        server, name = (safe, "HTTPS_PROXY") if url[4] == "s" else (plain, "HTTP_PROXY")
        with FakeProxy(server.port, login="me:x", tls=server_side(tmp_path)) as proxy:
            monkeypatch.setenv(name, f"https://me:x@{proxy.address}")
            ask(url, tmp_path, [])
        assert len(proxy.seen) == 1

    @clients
    def test_take_what_is_not(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: WebServer, ask: Client
    ) -> None:
        with FakeProxy(plain.port, login=f"me:{SECRET}") as proxy:
            monkeypatch.setenv("http_proxy", f"me:{SECRET}@{proxy.address}")
            ask("http://server.test", tmp_path, [])
        assert len(proxy.seen) == 1
        assert "http://server.test/" in proxy.seen[0]

    @clients
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    @pytest.mark.parametrize("login", ["", f"me:{SECRET}"])
    def test_that_speak_socks_look_names_up_themselves(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        ask: Client,
        *,
        scheme: str,
        login: str,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path)))
        with FakeProxy(safe.port, login=login, socks=True) as proxy:
            at = f"{login}@" if login else ""
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{at}{proxy.address}")
            ask("https://server.test", tmp_path, [])
        assert proxy.seen == ["SOCKS server.test:443"]

    @clients
    @pytest.mark.parametrize("login", ["me:a b", "me:p@s#s/%", "müller:päss", "DOMAIN\\me:x:y"])
    def test_get_the_log_in_as_it_is(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        ask: Client,
        *,
        login: str,
    ) -> None:
        from urllib.parse import quote

        user, _, password = login.partition(":")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path)))
        with FakeProxy(safe.port, login=login) as proxy:
            quoted = f"{quote(user)}:{quote(password, safe='')}"
            monkeypatch.setenv("HTTPS_PROXY", f"{quoted}@{proxy.address}")
            ask("https://server.test", tmp_path, [])
        assert proxy.seen == ["CONNECT server.test:443"]

    @clients
    @pytest.mark.parametrize("given", ["", f"me:{SECRET}@"])
    @pytest.mark.parametrize("kind", ["tunnel", "plain", "socks"])
    def test_that_refuse_us_are_named_with_the_variable(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        plain: WebServer,
        ask: Client,
        *,
        kind: str,
        given: str,
    ) -> None:
        with FakeProxy(plain.port, login="me:right", socks=kind == "socks") as proxy:
            scheme = "socks5" if kind == "socks" else "http"
            name = "HTTP_PROXY" if kind == "plain" else "HTTPS_PROXY"
            monkeypatch.setenv(name, f"{scheme}://{given}{proxy.address}")
            url = "http://server.test" if kind == "plain" else "https://server.test"
            failure = failing(ask, url, tmp_path)
        assert f"the proxy {scheme}://{proxy.address} of {name}" in failure.error.details
        assert "407" in failure.error.details
        wanted = f"correct them in {name}" if given else f"set {name} to {scheme}://USER:PASSWORD@"
        assert wanted in failure.error.hint
        assert plain.seen == []

    @clients
    def test_that_let_a_host_not_through_are_named_with_what_to_change(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: WebServer, ask: Client
    ) -> None:
        with FakeProxy(plain.port, closed=True) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
            failure = failing(ask, "https://server.test", tmp_path)
        assert f"the proxy http://{proxy.address} of HTTPS_PROXY" in failure.error.details
        assert "(403): have the host allowed there" in failure.error.hint
        # It is for good: nobody tries it several times.
        assert proxy.seen == ["CONNECT server.test:443"]

    @clients
    def test_that_are_not_there_are_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Client
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@127.0.0.1:9")
        failure = failing(ask, "https://server.test", tmp_path)
        assert "the proxy http://127.0.0.1:9 of HTTPS_PROXY" in failure.error.details

    @clients
    def test_that_are_none_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Client
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"socks4://me:{SECRET}@proxy:1080")
        failure = failing(ask, "https://server.test", tmp_path)
        assert failure.error.code == "CTO-1360"
        assert "HTTPS_PROXY is not the address of a proxy: socks4://***@proxy" in failure.text

    @clients
    @pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
    def test_are_not_asked_for_loopback_addresses(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        plain: WebServer,
        ask: Client,
        *,
        name: str,
    ) -> None:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        ask(plain.url, tmp_path, [])
        assert plain.seen

    def test_of_a_kubeconfig_are_meant_for_its_server(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: WebServer
    ) -> None:
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with FakeProxy(plain.port) as proxy:
            url = {"proxy-url": f"http://{proxy.address}"}
            access = kubeconfig(tmp_path, "http://server.test", **url)
            opened = KubeCluster(access, clock=FakeClock())
            assert opened.server_version() == "v1.34.0"
            opened.close()
        assert proxy.seen == ["GET http://server.test/version"]


class TestCertificates:
    @clients
    def test_of_somebody_unknown_are_refused(
        self, tmp_path: Path, safe: WebServer, ask: Client
    ) -> None:
        assert "certificate verify failed" in failing(ask, safe.url, tmp_path).text

    @clients
    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
    def test_of_the_environment_are_trusted(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        ask: Client,
        *,
        name: str,
    ) -> None:
        file = authority(tmp_path / "trusted", "no-hash.crt")
        (file.parent / "README").write_text("not a certificate")
        folders = f"{tmp_path / 'missing'}:{file.parent}"
        monkeypatch.setenv(name, str(file) if name == "SSL_CERT_FILE" else folders)
        ask(safe.url, tmp_path, [])

    @pytest.mark.parametrize("ask", [download, registry])
    def test_of_our_own_variable_are_too(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, safe: WebServer, ask: Client
    ) -> None:
        monkeypatch.setenv("CTO_CA_FILE", str(authority(tmp_path)))
        (tmp_path / "other").mkdir()
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "other"))
        ask(safe.url, tmp_path, [])

    def test_of_an_option_are_too(self, tmp_path: Path, safe: WebServer) -> None:
        downloader = Downloader(tmp_path / "cache", ca_file=authority(tmp_path), clock=FakeClock())
        downloader.fetch(f"{safe.url}/file.tgz", algorithm="sha256", digest=SHA256)

    def test_a_server_shows_the_certificate_of_a_tunnel_s_end(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, safe: WebServer
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path)))
        with FakeProxy(safe.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.address)
            assert (
                "certificate verify failed"
                in failing(download, "https://other.test", tmp_path).text
            )

    @pytest.mark.parametrize(
        ("ask", "name"),
        [
            *((ask, "SSL_CERT_FILE") for ask in (download, registry, cluster)),
            # helm and kubectl do not know it: it is not for the cluster.
            *((ask, "CTO_CA_FILE") for ask in (download, registry)),
        ],
    )
    @pytest.mark.parametrize("text", [None, "", "nonsense", AUTHORITY[:300]])
    def test_that_are_none_are_refused_with_their_variable(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        safe: WebServer,
        ask: Client,
        *,
        name: str,
        text: str | None,
    ) -> None:
        file = tmp_path / "wrong"
        if text is not None:
            file.write_text(text)
        monkeypatch.setenv(name, str(file))
        failure = failing(ask, safe.url, tmp_path)
        assert isinstance(failure.error, ConfigError)
        assert failure.error.code == "CTO-1360"
        assert failure.error.message == f"{file} holds no certificates to trust ({name})"

    @clients
    def test_folders_that_are_none_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, safe: WebServer, ask: Client
    ) -> None:
        monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}/no:{tmp_path}/nor")
        failure = failing(ask, safe.url, tmp_path)
        assert failure.error.code == "CTO-1360"
        assert f"{tmp_path}/no:{tmp_path}/nor holds no certificates" in failure.error.message


class TestTheLog:
    @clients
    @pytest.mark.parametrize("proxied", [True, False])
    def test_tells_each_request_without_secrets(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        plain: WebServer,
        ask: Client,
        *,
        proxied: bool,
    ) -> None:
        log: Logs = []
        with FakeProxy(plain.port, login=f"me:{SECRET}") as proxy:
            if proxied:
                monkeypatch.setenv("HTTP_PROXY", f"me:{SECRET}@{proxy.address}")
            ask("http://server.test" if proxied else plain.url, tmp_path, log)
        assert len(log) == 1
        assert SECRET not in log[0]
        assert ": 200 after " in log[0]
        assert log[0].split()[0] in {"GET", "HEAD"}
        assert ("http://server.test/" if proxied else plain.url) in log[0]
