"""Certificates of an authority of the platform's own. Keys are in Secrets, and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cto.objects import Manifest

# How long each lasts, and how much of that is left when a run makes another one: an authority has
# to outlive what it signs. Browsers take no certificate that lasts longer than 398 days:
# https://cabforum.org/working-groups/server/baseline-requirements/
_AUTHORITY, _AUTHORITY_REST = timedelta(days=3650), timedelta(days=500)
_SERVER, _SERVER_REST = timedelta(days=365), timedelta(days=120)
# Clocks of browsers may be behind the cluster's.
_BEHIND = timedelta(hours=1)
_CERTIFICATE, _KEY, _ABOVE = "tls.crt", "tls.key", "ca.crt"


def authority(found: Manifest | None, domain: str, now: datetime) -> dict[str, str]:
    """Return a new authority for names below a domain; {} if the one that is found will do."""
    # Who trusts it trusts it with no other names.
    limits = x509.NameConstraints([x509.DNSName(domain)], None)
    if _will_do(found, limits, now, _AUTHORITY_REST):
        return {}
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"cto {domain}")
    builder = _builder(name, name, key.public_key(), now, _AUTHORITY)
    builder = builder.add_extension(limits, critical=True)
    return _pair(_signed(builder, key, authority=True), key)


def server(
    found: Manifest | None, signer: Manifest | None, host: str, now: datetime
) -> dict[str, str]:
    """Return a new certificate for a host; {} if the one that is found will do."""
    given = _data(signer)
    above = x509.load_pem_x509_certificate(given[_CERTIFICATE])
    signing = serialization.load_pem_private_key(given[_KEY], password=None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)  # noqa: S101 - `authority` made it
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    if _will_do(found, names, now, _SERVER_REST, above) and _ABOVE in _data(found):
        return {}
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = _builder(_name(f"cto {host}"), above.subject, key.public_key(), now, _SERVER)
    builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    # For programs that ask each other by these names; cert-manager calls it so, too.
    return {
        **_pair(_signed(builder, signing, authority=False), key),
        _ABOVE: given[_CERTIFICATE].decode(),
    }


def _will_do(
    found: Manifest | None,
    extension: x509.ExtensionType,
    now: datetime,
    rest: timedelta,
    above: x509.Certificate | None = None,
) -> bool:
    """Tell whether a pair is whole, has the extension, and lasts long enough."""
    data = _data(found)
    with suppress(KeyError, TypeError, ValueError, x509.ExtensionNotFound, InvalidSignature):
        known = x509.load_pem_x509_certificate(data[_CERTIFICATE])
        key = serialization.load_pem_private_key(data[_KEY], password=None)
        known.verify_directly_issued_by(above or known)
        same = known.extensions.get_extension_for_class(type(extension)).value == extension
        return (
            same
            and key.public_key() == known.public_key()
            and known.not_valid_after_utc - now > rest
        )
    return False


def _name(text: str) -> x509.Name:
    # RFC 5280 has 64 characters for it. Nobody compares it with a host.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEHIND)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    basic = x509.BasicConstraints(ca=authority, path_length=0 if authority else None)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return (
        builder.add_extension(basic, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(above, critical=False)
        .sign(key, hashes.SHA256())
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    pem = serialization.Encoding.PEM
    text = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {_CERTIFICATE: certificate.public_bytes(pem).decode(), _KEY: text}


def _data(found: Manifest | None) -> Mapping[str, bytes]:
    given = (found or {}).get("data") or {}
    return {key: base64.b64decode(value) for key, value in given.items()}
