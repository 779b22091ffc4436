"""Through which proxy an API server is asked: the `kubernetes` package's own objects say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import urllib3

from cto.adapters.kubernetes.connection import _new_session
from cto.adapters.kubernetes.login import LoginPrograms
from cto.objects import dump_yaml
from cto.ports import Access
from fakes.runner import FakeRunner

PROXY = "http://proxy.example.com:3128"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def proxy_of(folder: Path, server: str, **cluster: str) -> str | None:
    """Return the proxy that the server of a kubeconfig is asked through."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "config"
    file.write_text(dump_yaml(document), encoding="utf-8")
    session = _new_session(Access(file, "x"), os.environ, LoginPrograms(FakeRunner()))
    session.close()
    pool = session._pool
    return str(pool.proxy) if isinstance(pool, urllib3.ProxyManager) else None


@pytest.fixture(autouse=True)
def _behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)


@pytest.mark.parametrize("no_proxy", ["", "10.0.0.0/8,.example.com"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_loopback_is_never_asked_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_of(tmp_path, f"https://{host}:6443") is None


def test_others_are_unless_they_are_excepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxy_of(tmp_path, "https://api.example.com") == PROXY
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert proxy_of(tmp_path, "https://api.example.com") is None


def test_a_proxy_in_the_kubeconfig_is_meant_for_its_server(tmp_path: Path) -> None:
    """The server's own loopback address, at the other end of a tunnel."""
    tunnel = "http://127.0.0.1:1080"
    assert proxy_of(tmp_path, "https://127.0.0.1:6443", **{"proxy-url": tunnel}) == tunnel
