"""The proxy of a request, as golang.org/x/net/http/httpproxy has it.

The first two tables were run through that package (v0.51.0) as they stand here: it agrees.
"""

from __future__ import annotations

import base64

import pytest

from cto.errors import ConfigError
from cto.network.proxies import Proxies, Proxy, passwords, shown

PROXY = "http://proxy.example.com:3128"


def proxy(url: str, **environ: str) -> str | None:
    found = Proxies(environ).of(url)
    return found.address if found else None


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://a.io", None),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://a.io", "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy"}, "https://a.io", "http://proxy:80"),
        ({"HTTPS_PROXY": "10.0.0.1:3128"}, "https://a.io", "http://10.0.0.1:3128"),
        ({"HTTPS_PROXY": "[fd00::1]:3128"}, "https://a.io", "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "me:pw@proxy:3128"}, "https://a.io", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128/"}, "https://a.io", "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, "https://a.io", "https://proxy:443"),
        ({"HTTPS_PROXY": "HTTP://Proxy:1"}, "https://a.io", "http://proxy:1"),
        ({"HTTPS_PROXY": "socks5://proxy"}, "https://a.io", "socks5://proxy:1080"),
        ({"HTTPS_PROXY": "socks5h://me:pw@proxy:9"}, "https://a.io", "socks5h://proxy:9"),
        ({"https_proxy": "proxy:3128"}, "https://a.io", "http://proxy:3128"),
        ({"HTTPS_PROXY": "big:1", "https_proxy": "small:1"}, "https://a.io", "http://big:1"),
        ({"HTTPS_PROXY": "", "https_proxy": "small:1"}, "https://a.io", "http://small:1"),
        ({"HTTP_PROXY": "proxy:1"}, "https://a.io", None),
        ({"HTTPS_PROXY": "proxy:1"}, "http://a.io", None),
        ({"HTTP_PROXY": "proxy:1"}, "http://a.io", "http://proxy:1"),
        ({"ALL_PROXY": "proxy:1"}, "https://a.io", None),
        ({"HTTPS_PROXY": "proxy:1", "REQUEST_METHOD": "GET"}, "https://a.io", "http://proxy:1"),
    ],
)
def test_the_proxy_is_that_of_go_s_programs(
    environ: dict[str, str], url: str, expected: str | None
) -> None:
    assert proxy(url, **environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "localhost", True),
        ("", "localhost:6443", True),
        ("", "127.0.0.1", True),
        ("", "127.1.2.3:80", True),
        ("", "[::1]:6443", True),
        ("", "[::ffff:127.0.0.1]", True),
        ("", "a.localhost", False),
        ("foo.com", "foo.com", True),
        ("foo.com", "bar.foo.com", True),
        ("foo.com", "barfoo.com", False),
        ("foo.com", "foo.com.au", False),
        (".foo.com", "bar.foo.com", True),
        (".foo.com", "foo.com", False),
        ("*.foo.com", "bar.foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*foo.com", "foo.com", False),
        ("FOO.com", "foo.COM", True),
        ("foo.com:443", "foo.com", True),
        ("foo.com:443", "foo.com:443", True),
        ("foo.com:80", "foo.com", False),
        ("foo.com:8443", "foo.com:8443", True),
        (".foo.com:8443", "a.foo.com:8443", True),
        ("foo.com:", "foo.com:8443", True),
        (":443", "foo.com", False),
        ("other, foo.com ,", "foo.com", True),
        (" ", "foo.com", False),
        (",", "foo.com", False),
        ("*", "foo.com", True),
        ("*", "8.8.8.8", True),
        ("a.io,*", "foo.com", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1:6443", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1:6443", "10.0.0.1:6443", True),
        ("10.0.0.1:6443", "10.0.0.1", False),
        ("10.0.0.0/8", "10.200.0.1", True),
        ("10.1.2.3/8", "10.200.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "10.example.com", False),
        ("10.0.0.0/33", "10.0.0.1", False),
        ("10.0.0.0/255.0.0.0", "10.0.0.1", False),
        ("10.0.0.0/", "10.0.0.1", False),
        ("0.0.0.0/0", "8.8.8.8", True),
        ("fd00::/8", "[fd00::1]:6443", True),
        ("fd00::1", "[fd00::1]", True),
        ("[fd00::1]:6443", "[fd00::1]:6443", True),
        ("[fd00::1]:6443", "[fd00::1]", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/8", "[::ffff:10.0.0.1]", True),
        ("1", "10.0.0.1", False),
        (".0.0.1", "10.0.0.1", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_no_proxy_is_read_as_go_s_programs_read_it(
    no_proxy: str, host: str, *, direct: bool
) -> None:
    found = proxy(f"https://{host}/v2/", HTTPS_PROXY=PROXY, NO_PROXY=no_proxy)
    assert found == (None if direct else PROXY)
    small = proxy(f"https://{host}/v2/", https_proxy=PROXY, no_proxy=no_proxy)
    assert small == found


def test_the_big_no_proxy_wins() -> None:
    assert proxy("https://a.io", HTTPS_PROXY=PROXY, NO_PROXY="b.io", no_proxy="a.io") == PROXY


BROKEN = (
    "http://",
    "http://:3128",
    "://proxy",
    "proxy:no",
    "proxy:0",
    "proxy:70000",
    "socks4://proxy:1080",
    "ftp://proxy",
    "http://http://proxy:3128",
    "http://[::1:3128",
    "http://proxy :3128",
    "http://me:hunter2#x@proxy:3128",
    "http://me:1hunter2/x@proxy:3128",
    "http://me:77/hunter2@proxy:3128",
    "http://me:77?hunter2@proxy:3128",
    "me:hunter2#@proxy:3128",
    # Go's programs read these otherwise: they go straight, or ask a proxy that is called `http`.
    "DOMAIN\\me:hunter2@proxy:3128",
    "http://DOMAIN\\me:hunter2@proxy:3128",
    "http://me:hunter2^@proxy:3128",
    "http://me:hunter2|@proxy:3128",
    "http://me:{hunter2}@proxy:3128",
    'http://me:"hunter2"@proxy:3128',
    "http://me:<hunter2>@proxy:3128",
    "http://me:hunter2`@proxy:3128",
    "http://me:hunter2ü@proxy:3128",
    "http://me:hunter2%@proxy:3128",
    "http://me:hunter2%zz@proxy:3128",
    "me:hunter2%4@proxy:3128",
)


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_what_is_no_proxy_is_refused_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        proxy("https://a.io", **{name: value})
    error = caught.value
    assert error.code == "CTO-1360"
    assert name in error.message
    assert shown(value) in error.message
    assert "hunter2" not in f"{error.message}{error.details}{error.hint}"


@pytest.mark.parametrize("value", BROKEN)
def test_nobody_minds_a_proxy_that_is_not_asked(value: str) -> None:
    assert proxy("https://a.io", HTTP_PROXY=value) is None
    assert proxy("https://a.io", HTTPS_PROXY=value, NO_PROXY="a.io") is None


def test_a_proxy_set_by_a_caller_s_header_is_refused() -> None:
    with pytest.raises(ConfigError, match="HTTP_PROXY is not used, because REQUEST_METHOD is set"):
        proxy("http://a.io", HTTP_PROXY="evil:1", REQUEST_METHOD="GET")
    assert proxy("http://a.io", HTTP_PROXY="x:1", REQUEST_METHOD="GET", NO_PROXY="a.io") is None


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("me:pw", b"me:pw"),
        ("me", b"me:"),
        ("me:", b"me:"),
        ("me:a%23b%40c%2Fd%25", b"me:a#b@c/d%"),
        ("me:a:b", b"me:a:b"),
        ("me:p@w", b"me:p@w"),
        ("me:!$&'()*+,;=:~._-", b"me:!$&'()*+,;=:~._-"),
        ("DOMAIN%5Cme:pw", b"DOMAIN\\me:pw"),
        ("m%C3%BCller:p%C3%A4ss", "müller:päss".encode()),
    ],
)
def test_user_and_password_reach_the_proxy_as_they_are(login: str, expected: bytes) -> None:
    found = Proxy.parse(f"http://{login}@proxy:3128", "HTTPS_PROXY")
    encoded = base64.b64encode(expected).decode()
    assert found.headers == {"Proxy-Authorization": f"Basic {encoded}"}
    assert Proxy.parse(found.url, "").headers == found.headers


def test_without_a_log_in_nothing_is_sent() -> None:
    assert Proxy.parse("proxy:3128", "HTTPS_PROXY").headers == {}


def test_names_are_looked_up_by_a_socks_proxy_itself() -> None:
    found = Proxy.parse("socks5://me:p%20w@proxy", "HTTPS_PROXY")
    assert (found.url, found.headers) == ("socks5h://me:p%20w@proxy:1080", {})


def test_a_proxy_does_not_show_its_log_in() -> None:
    found = Proxy.parse("http://me:hunter2@proxy:3128", "HTTPS_PROXY")
    assert "hunter2" not in f"{found!r} {found} {found.address} {found.refusal}"
    assert found.refusal == (
        "the proxy http://proxy:3128 of HTTPS_PROXY refuses its user and password (407): "
        "correct them in HTTPS_PROXY"
    )
    bare = Proxy.parse("proxy:3128", "https_proxy")
    assert bare.refusal == (
        "the proxy http://proxy:3128 of https_proxy wants a log-in (407): "
        "set https_proxy to http://USER:PASSWORD@proxy:3128"
    )


@pytest.mark.parametrize("text", ["http://p:1", "https://p", "socks5://me:pw@p", "HTTP://p"])
def test_a_kubeconfig_s_proxy_has_a_scheme(text: str) -> None:
    assert Proxy.of_kubeconfig(text).host == "p"


@pytest.mark.parametrize(
    "text", ["p:3128", "p", "me:hunter2@p:1", "socks5h://me:hunter2@p", "ftp://p"]
)
def test_what_kubectl_and_helm_refuse_there_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no scheme that kubectl and helm know") as caught:
        Proxy.of_kubeconfig(text)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_passwords_are_known_as_they_are_written_and_as_they_are_meant() -> None:
    environ = {
        "HTTPS_PROXY": "http://me:p%40ss@proxy:1",
        "http_proxy": "me:pa^ss@proxy:1",
        "ALL_PROXY": "socks5://me:a@b/c@proxy",
        "NO_PROXY": "a,b",
        "FTP_PROXY": "http://me@proxy",
        "OTHER": "http://me:other@proxy",
    }
    assert set(passwords(environ)) == {"p%40ss", "p@ss", "pa^ss", "a@b/c"}
