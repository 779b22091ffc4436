"""Logins that need no loader, and everything else, which does."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.kubernetes.login import plain_login
from cto.objects import dump_yaml
from cto.ports import Access

SERVER = "http://127.0.0.1:1"
SAFE = "https://127.0.0.1:1"
# An authority whose key nobody has.
PEM = """\
-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIUBJZdcQxpiZxAlBwV5EwYiWIdILwwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIY3RvLXRlc3QwIBcNMjYxMTIyMjM1MDU4WhgPMjEyNjEwMjky
MzUwNThaMBMxETAPBgNVBAMMCGN0by10ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEszSjsckUkZyL3FtVqTM6eNDCoTW0wIPpSFjADYgULRYPVHjDX6PSGw6x
vFRQMF81hr2eayATBXfgxvre6qQO8aNTMFEwHQYDVR0OBBYEFFXtg3cCK8vRvBW0
JUkKasFztXfYMB8GA1UdIwQYMBaAFFXtg3cCK8vRvBW0JUkKasFztXfYMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgOo8ja4ThVMjizq1Y6ZyDfRo4
y/JSpG+TZ2VfOSGVolMCICZ4zvn2lYyM/P0VWA2mkwhslP5VA+2BgdCJGbcmhPLN
-----END CERTIFICATE-----
"""


def kubeconfig(folder: Path, *, cluster: Any = None, user: Any = None) -> Access:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": SERVER} if cluster is None else cluster}],
        "users": [{"name": "u", "user": {} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    file = folder / "config"
    file.write_text(dump_yaml(document), encoding="utf-8")
    return Access(file, "x")


def test_a_token_is_enough(tmp_path: Path) -> None:
    access = kubeconfig(tmp_path, cluster={"server": SAFE}, user={"token": "t0ken"})
    login = plain_login(access, {})
    assert login is not None
    assert (login.server, login.identity.name) == (SAFE, "u")
    assert list(login.identity.headers()) == [("Authorization", "Bearer t0ken")]


@pytest.mark.parametrize("server", [SERVER, "127.0.0.1:1", "HTTP://127.0.0.1:1"])
@pytest.mark.parametrize(
    "user",
    [
        {"token": "t0ken"},
        {"tokenFile": "/not/there"},
        {"username": "me", "password": "secret"},
        {"exec": {"command": "aws"}},
        {"auth-provider": {"name": "oidc", "config": {"id-token": "t0ken"}}},
    ],
)
def test_without_tls_nobody_is_told_who_asks(tmp_path: Path, server: str, user: Any) -> None:
    """As client-go; whom to act as is no secret."""
    user = {**user, "as": "another"}
    login = plain_login(kubeconfig(tmp_path, cluster={"server": server}, user=user), {})
    assert login is not None
    assert login.tls is None
    assert list(login.identity.headers()) == [("Impersonate-User", "another")]


def test_a_login_does_not_show_its_token(tmp_path: Path) -> None:
    login = plain_login(kubeconfig(tmp_path, user={"token": "t0ken"}), {})
    assert "t0ken" not in repr(login)


def test_the_server_is_always_verified(tmp_path: Path) -> None:
    login = plain_login(kubeconfig(tmp_path, cluster={"server": SAFE + "/"}), {})
    assert login is not None
    assert login.server == SAFE
    assert login.tls is not None
    assert login.tls.verify_mode is ssl.CERT_REQUIRED
    assert login.tls.check_hostname


def test_another_name_for_the_certificate_is_kept(tmp_path: Path) -> None:
    cluster = {"server": SAFE, "tls-server-name": "api.example.com"}
    login = plain_login(kubeconfig(tmp_path, cluster=cluster), {})
    assert login is not None
    assert login.tls_name == "api.example.com"


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {"command": "aws"}},
        {"exec": {"command": "aws"}, "as": "another"},
        {"auth-provider": {"name": "oidc"}},
    ],
)
def test_other_ways_to_log_in_are_left_to_the_loader(tmp_path: Path, user: Any) -> None:
    access = kubeconfig(tmp_path, cluster={"server": SAFE}, user=user)
    assert plain_login(access, {}) is None


@pytest.mark.parametrize(
    "cluster",
    [
        {"server": SAFE, "insecure-skip-tls-verify": True},
        {"server": SAFE, "proxy-url": "http://proxy:1"},
        {"server": SAFE, "certificate-authority-data": "not base64"},
        {"server": SAFE, "certificate-authority-data": base64.b64encode(b"no PEM").decode()},
        {"server": SAFE, "certificate-authority": "missing.crt"},
        {},
    ],
)
def test_other_clusters_and_wrong_ones_are_left_to_the_loader(tmp_path: Path, cluster: Any) -> None:
    assert plain_login(kubeconfig(tmp_path, cluster=cluster), {}) is None


def test_names_of_files_are_relative_to_the_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_text(PEM, encoding="utf-8")
    monkeypatch.chdir("/")
    cluster = {"server": SAFE, "certificate-authority": "ca.crt"}
    login = plain_login(kubeconfig(tmp_path, cluster=cluster), {})
    assert login is not None
    assert login.tls is not None
    assert login.tls.cert_store_stats()["x509"] == 1


def test_what_stands_in_the_kubeconfig_comes_before_files(tmp_path: Path) -> None:
    data = base64.b64encode(PEM.encode()).decode()
    cluster = {
        "server": SAFE,
        "certificate-authority": "missing.crt",
        "certificate-authority-data": data,
    }
    assert plain_login(kubeconfig(tmp_path, cluster=cluster), {}) is not None


@pytest.mark.parametrize("text", ["", "[]", "contexts: 3", "{", "contexts: [{name: x}]"])
def test_a_damaged_file_is_left_to_the_loader(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text, encoding="utf-8")
    assert plain_login(Access(file, "x"), {}) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "no_proxy"])
def test_proxies_are_left_to_the_loader(tmp_path: Path, name: str) -> None:
    access = kubeconfig(tmp_path, user={"token": "t"})
    assert plain_login(access, {name: "http://proxy:1"}) is None
