"""Which certificates are trusted: the system's, and those that the environment names.

`SSL_CERT_FILE` and `SSL_CERT_DIR` are read as Go's programs read them, helm and kubectl included:
https://pkg.go.dev/crypto/x509#SystemCertPool. OpenSSL alone would say nothing of a file that it
cannot use, and find only files in a folder that are named by their hash.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cto.errors import ConfigError

CODE = "CTO-1360"
OWN = "CTO_CA_FILE"
_FILE, _FOLDERS = "SSL_CERT_FILE", "SSL_CERT_DIR"
# Where distributions keep theirs, for a Python that was built for another one.
_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def context(environ: Mapping[str, str], *, ca_file: Path | None = None) -> ssl.SSLContext:
    """Return what verifies servers of the outside: downloads and registries.

    Args:
        environ: Names files and folders of certificates.
        ca_file: One more file of them, from an option or the configuration.

    Raises:
        ConfigError: CTO-1360, a file or folder holds nothing to trust.
    """
    made = system(environ)
    named = {OWN: environ.get(OWN, ""), "--ca-file or registry.ca_file": str(ca_file or "")}
    for origin, path in named.items():
        if path:
            _add(made, Path(path), origin)
    return made


def system(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return what helm and kubectl trust as well.

    Raises:
        ConfigError: CTO-1360, a file or folder holds nothing to trust.
    """
    made = relaxed(ssl.create_default_context())
    if path := environ.get(_FILE):
        _add(made, Path(path), _FILE)
    if folders := environ.get(_FOLDERS):
        _add_folders(made, [Path(one) for one in folders.split(":") if one])
    if not made.cert_store_stats()["x509_ca"]:
        _add_usual(made)
    return made


def relaxed(made: ssl.SSLContext) -> ssl.SSLContext:
    """Let authorities be as Go lets them be.

    Python 3.13 made the strict check the default, Go has none, and the own authorities of many
    companies and clusters do not pass it: https://github.com/kubernetes-client/python/issues/2394
    """
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


def _add(made: ssl.SSLContext, path: Path, origin: str) -> None:
    try:
        made.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise _nothing(path, origin, str(error)) from None


def _add_folders(made: ssl.SSLContext, folders: list[Path]) -> None:
    """Add every file of the folders that holds certificates; pass by whatever else is there."""
    listed = 0
    for folder in folders:
        with suppress(OSError):
            files = sorted(folder.iterdir())
            listed += 1
            for file in files:
                with suppress(OSError, ssl.SSLError):
                    made.load_verify_locations(file)
    if not listed:
        names = ":".join(map(str, folders))
        raise _nothing(Path(names), _FOLDERS, "no such folder can be read")


def _add_usual(made: ssl.SSLContext) -> None:
    """Add the system's store where this Python looks for none."""
    if _hashed(ssl.get_default_verify_paths().capath):
        return
    import certifi  # noqa: PLC0415 - the last resort: a system without a store

    for place in (*_PLACES, certifi.where()):
        with suppress(OSError, ssl.SSLError):
            made.load_verify_locations(place)
            return


def _hashed(folder: str | None) -> bool:
    """Tell whether OpenSSL finds anything in a folder; it looks when it needs it, not now."""
    with suppress(OSError):
        return folder is not None and any(file.suffix == ".0" for file in Path(folder).iterdir())
    return False


def _nothing(path: Path, origin: str, cause: str) -> ConfigError:
    text = f"{path} holds no certificates to trust ({origin})"
    hint = f"Let {origin} name a PEM file with certificates of authorities, or leave it out."
    return ConfigError(CODE, text, details=cause, hint=hint)
