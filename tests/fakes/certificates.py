"""A server certificate of an authority that nobody trusts by himself, with a key that all know.

Valid from 2020 to 2120 for `server.test`, all below it, `localhost` and 127.0.0.1. Made by
`openssl ca`; the authority's key was thrown away.
"""

from __future__ import annotations

import ssl
from pathlib import Path

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBWTCB/6ADAgECAgEBMAoGCCqGSM49BAMCMBMxETAPBgNVBAMMCGN0by10ZXN0
MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjATMREwDwYDVQQDDAhj
dG8tdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJa8cWmVQjSNbyS7Giqc
oDJZGfFJeOMfW8t2atYYCsCBbK6Of2V2bZxKzWgZKqdiN3PmBRq8wljxs6q5w4UL
H42jQjBAMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFN6P2PUZre61BhnXC9xG
y4nhr9RiMA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQDAgNJADBGAiEAy0m4Y6og
0jYybZ4EbKSlCdFx0xlokiSJqcEClcYJqPcCIQCC6cNloLEGMD8JQ/CETVjmoDna
8l53u3SV7zsetxaYIA==
-----END CERTIFICATE-----
"""
_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIBAjAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhjdG8tdGVz
dDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UEAwwL
c2VydmVyLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ053/fNmFq65H1
2ihUr4OL3kB6jeOqP+XRq6SMBE++9y/RGWv1TFr+AKaFbhDt4gGjoTHdfE/xgheT
HAHIhWoOo4GGMIGDMDYGA1UdEQQvMC2CC3NlcnZlci50ZXN0gg0qLnNlcnZlci50
ZXN0gglsb2NhbGhvc3SHBH8AAAEwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBTej9j1
Ga3utQYZ1wvcRsuJ4a/UYjAdBgNVHQ4EFgQUl0Az8V4XKxzciip6saOQFFjMEJkw
CgYIKoZIzj0EAwIDSAAwRQIgSleplxy7sB8HPgtPkE9ix+YlXTzpirQn+CK/rkT2
Mz8CIQDAmIM0t/kqwTg9b4+VFWzy2KFkDHRigLqnwpUrrmx1Bg==
-----END CERTIFICATE-----
"""
_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3RaBzksiIMLtk7TD
WXvW7CC5qidfgcBBOZ9JGyyZ29ihRANCAAQ053/fNmFq65H12ihUr4OL3kB6jeOq
P+XRq6SMBE++9y/RGWv1TFr+AKaFbhDt4gGjoTHdfE/xgheTHAHIhWoO
-----END PRIVATE KEY-----
"""


def authority(folder: Path, name: str = "authority.pem") -> Path:
    """Write the authority's certificate."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(AUTHORITY)
    return file


def both(folder: Path) -> Path:
    """Write the server's certificate, with its key."""
    file = folder / "server.pem"
    file.write_text(_CERTIFICATE + _KEY)
    return file


def server_side(folder: Path) -> ssl.SSLContext:
    """Return what a server shows who it is with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(both(folder))
    return made
