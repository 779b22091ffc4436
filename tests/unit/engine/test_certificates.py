"""The platform's own authority: what it signs is trusted, for its own names, until its end."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cto.engine.certificates import authority, server
from cto.objects import Manifest

# Handshakes look at the machine's own clock.
NOW = datetime.now(UTC)
DOMAIN, HOST = "example.com", "argocd.example.com"


def secret(data: dict[str, str]) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "data": encoded}


AUTHORITY = secret(authority(None, DOMAIN, NOW))
OTHER = secret(authority(None, DOMAIN, NOW))
SERVER = secret(server(None, AUTHORITY, HOST, NOW))


def shake_hands(folder: Path, made: dict[str, str], name: str) -> None:
    """Let a client that trusts the authority talk to a server, in memory."""
    for key, text in made.items():
        (folder / key).write_text(text)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    text = base64.b64decode(AUTHORITY["data"]["tls.crt"]).decode()
    here = ssl.create_default_context(cadata=text)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = here.wrap_bio(down, up, server_hostname=name)
    host = there.wrap_bio(up, down, server_side=True)
    for side in (client, host, client, host):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_a_client_trusts_it_for_its_host_and_for_no_other(tmp_path: Path) -> None:
    made = server(None, AUTHORITY, HOST, NOW)
    assert base64.b64encode(made["ca.crt"].encode()).decode() == AUTHORITY["data"]["tls.crt"]
    shake_hands(tmp_path, made, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(tmp_path, made, "grafana.example.com")


def test_nobody_trusts_it_with_names_of_others(tmp_path: Path) -> None:
    """Whoever has its key cannot be a bank for those who trust it."""
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(tmp_path, server(None, AUTHORITY, "bank.com", NOW), "bank.com")


@pytest.mark.parametrize(
    ("found", "domain", "days", "made"),
    [
        (None, DOMAIN, 0, True),
        (AUTHORITY, DOMAIN, 0, False),
        (AUTHORITY, DOMAIN, 3000, False),
        (AUTHORITY, DOMAIN, 3200, True),
        (AUTHORITY, "example.org", 0, True),
        ({"data": {"tls.crt": AUTHORITY["data"]["tls.crt"]}}, DOMAIN, 0, True),
        (secret({"tls.crt": "text", "tls.key": "text"}), DOMAIN, 0, True),
        (SERVER, DOMAIN, 0, True),
    ],
)
def test_an_authority_is_made_once_and_again_before_its_end(
    found: Manifest | None, domain: str, days: int, *, made: bool
) -> None:
    assert bool(authority(found, domain, NOW + timedelta(days=days))) == made


@pytest.mark.parametrize(
    ("found", "signer", "host", "days", "made"),
    [
        (None, AUTHORITY, HOST, 0, True),
        (SERVER, AUTHORITY, HOST, 0, False),
        (SERVER, AUTHORITY, HOST, 240, False),
        (SERVER, AUTHORITY, HOST, 250, True),
        (SERVER, AUTHORITY, "web.example.com", 0, True),
        (SERVER, OTHER, HOST, 0, True),
        (secret({"tls.crt": "text", "tls.key": "text"}), AUTHORITY, HOST, 0, True),
        # Of before it had the authority's beside it.
        (
            {"data": {k: SERVER["data"][k] for k in ("tls.crt", "tls.key")}},
            AUTHORITY,
            HOST,
            0,
            True,
        ),
        (
            {"data": {**SERVER["data"], "tls.key": OTHER["data"]["tls.key"]}},
            AUTHORITY,
            HOST,
            0,
            True,
        ),
    ],
)
def test_a_server_s_is_made_again_before_its_end_and_when_it_fits_no_more(
    found: Manifest | None, signer: Manifest, host: str, days: int, *, made: bool
) -> None:
    assert bool(server(found, signer, host, NOW + timedelta(days=days))) == made
