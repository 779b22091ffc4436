"""Secrets in what others say: by their value, and by their shape."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.redaction import HIDDEN, Lines, Secrets, redacted

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIBVQIBADANBgkqh\nkiG9w0BAQ\n-----END RSA PRIVATE KEY-----"
CERTIFICATE = KEY.replace("RSA PRIVATE KEY", "CERTIFICATE")
GITHUB = [f"{kind}_16C7e42F292c6912E7710c838347Ae178B4a" for kind in ("ghp", "gho", "ghs", "ghu")]
SHAPES = [
    JWT,
    KEY,
    CERTIFICATE,
    KEY.replace("RSA ", ""),
    KEY.replace("RSA", "EC"),
    *GITHUB,
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "glpat-abcdefghijklmnop1234",
    "xoxb-123456789012-abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdz",
]


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize(
    "text", ["{}", "error: {} is wrong", '{{"token":"{}"}}', "[{{a {{  {} <nil>}}}}]", "x={}, y"]
)
def test_a_secret_is_known_by_its_shape_wherever_it_stands(secret: str, text: str) -> None:
    shown = redacted(text.format(secret))
    assert secret not in shown
    assert HIDDEN in shown
    assert not any(line in shown for line in secret.splitlines())


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_it_is_hidden_too(secret: str, encode: type) -> None:
    encoded = encode(secret.encode()).decode()
    assert redacted(f"data: {encoded}.") == f"data: {HIDDEN}."
    assert redacted(encoded.rstrip("=")) == HIDDEN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc123.def456", f"Authorization: Bearer {HIDDEN}"),
        ("authorization: basic bWU6c2VjcmV0", f"authorization: basic {HIDDEN}"),
        ("GET https://me:secret@example.com/x", f"GET https://{HIDDEN}@example.com/x"),
        ("proxy socks5://u:p%40ss@10.0.0.1:1080", f"proxy socks5://{HIDDEN}@10.0.0.1:1080"),
        ("http://u:p@ss@proxy:1 and", f"http://{HIDDEN}@proxy:1 and"),
        ("https://x-access-token:ghs_1@github.com", f"https://{HIDDEN}@github.com"),
        ("client-key-data: c2VjcmV0", f"client-key-data: {HIDDEN}"),
        ('"client-certificate-data":"c2VjcmV0"', f'"client-certificate-data":"{HIDDEN}"'),
        ("password=hunter2hunter2&x=1", f"password={HIDDEN}&x=1"),
        ("token: 0123456789abcdef", f"token: {HIDDEN}"),
        ('{"identitytoken": "x.9y-z12345"}', f'{{"identitytoken": "{HIDDEN}"}}'),
    ],
)
def test_what_stands_behind_a_name_is_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication is not supported, use Bearer credentials",
        "token: required",
        "the token is invalid; password: must-not-be-empty",
        "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "quay.io/argoproj/argocd@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e88",
        "/root/.cache/cto/downloads/0f98a5e886266e7ae2c26b46b68ffc68ff99b453c1d304",
        "https://127.0.0.1:6443/api/v1/namespaces/default/configmaps?limit=500",
        "https://user@example.com/repository.git",
        "https://registry.example.com:5000/a/b@sha256:0123",
        "write [http://][USER:PASSWORD@]HOST[:PORT], as http://USER:PASSWORD@proxy:3128",
        "--set 'controller.service.annotations.service=internal-load-balancer-name'",
        "pod argo-events-controller-manager-6b8f7d9c4d-x2x7q in namespace argo-events",
        "customresourcedefinitions.apiextensions.k8s.io",
        "resourceVersionMatchNotOlderThan/IfNotPresent/ClusterFirstWithHostNet",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_key_that_was_cut_off_is_hidden_to_the_end() -> None:
    assert redacted(f"wrong: {KEY[:45]}") == f"wrong: {HIDDEN}"


def test_a_key_is_hidden_line_by_line() -> None:
    lines = Lines()
    shown = [lines.redacted(line) for line in f"before\n{KEY}\nafter\n{JWT}".splitlines()]
    assert shown == ["before", *[HIDDEN] * 4, "after", HIDDEN]


_values = st.text(min_size=6, max_size=40).filter(lambda text: text.strip() == text)


@given(value=_values, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_a_known_value_is_found_in_every_form(value: str, before: bytes, after: bytes) -> None:
    secrets = Secrets([value])
    data = value.encode()
    for form in (
        value,
        json.dumps({"a": value}),
        json.dumps({"a": value}, ensure_ascii=False),
        f"https://example.com/?q={quote(value, safe='')}",
        base64.b64encode(data).decode(),
    ):
        assert HIDDEN in secrets.redacted(f"<{form}>")
    if len(data) >= 9:
        within = base64.b64encode(before + data + after).decode()
        assert HIDDEN in secrets.redacted(within)


def test_the_longer_of_two_goes_first_and_short_ones_are_no_secrets() -> None:
    secrets = Secrets(["hunter2", "hunter2-and-more", "abc"])
    assert secrets.redacted("hunter2-and-more, hunter2, abc") == f"{HIDDEN}, {HIDDEN}, abc"
    secrets.add(["another-one"])
    assert secrets.redacted("another-one hunter2") == f"{HIDDEN} {HIDDEN}"


def test_what_go_prints_of_a_kubeconfig_shows_nothing_of_it() -> None:
    """A token without any shape: known, for it is in the file."""
    text = 'duplicate name "a" in list: [{a {  []   [] s3cr3t-t0ken  map[]   <nil> <nil> []}}]'
    shown = Secrets(["s3cr3t-t0ken"]).redacted(text)
    assert shown == text.replace("s3cr3t-t0ken", HIDDEN)
