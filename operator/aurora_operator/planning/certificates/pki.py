"""X.509 as pure functions: certificates from keys that the caller brings, and what can be read from them.

ECDSA on P-256 everywhere: every TLS client of PostgreSQL knows it, and SCRAM channel binding is defined for its SHA-256
signatures (RFC 5929, section 4.1). Signing is deterministic (RFC 6979), serial numbers come from the key (a key is
certified once), so equal arguments give equal certificates. What was read of the last certificates is remembered,
since each plan asks the same of the same ones; keys are not.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEYS_NEEDED: Final = 8
"""Private keys that one plan can use up at most: an authority, a server, an agent, replication, the operator, a clone's
at its source, the proxy as a server and as a client."""
CLONE_KEY: Final = 5
PROXY_KEYS: Final = (6, 7)
CA_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=90)
BACKDATE: Final = LEAF_LIFE / 3
"""Certificates begin so long before they are made: a clock may be as far behind as, by `needs_renewal`, it may be
ahead. Nothing speaks against it, since nobody has a key before it is made."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: str
    key: str


def new_private_key() -> str:
    """A new P-256 key in PEM (PKCS#8). Not pure: only `planning.certificates.entropy` calls it."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority(name: str, key: str, now: datetime) -> Pair:
    """A self-signed certificate authority called `name`, for ten years from `now`."""
    private = _private(key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, subject, private.public_key(), now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    return Pair(_sign(builder, private), key)


def make_server(name: str, hosts: tuple[str, ...], key: str, authority: Pair, now: datetime) -> Pair:
    """A server certificate for `hosts` (DNS names, wildcards, IP addresses), for 90 days from `now`."""
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _leaf(name, key, authority, now, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)


def make_client(name: str, key: str, authority: Pair, now: datetime, life: timedelta = LEAF_LIFE) -> Pair:
    """A client certificate with the common name `name`, for 90 days from `now`, or for as long as `life`."""
    return _leaf(name, key, authority, now, ExtendedKeyUsageOID.CLIENT_AUTH, None, life)


def split_bundle(pem: str) -> tuple[str, ...]:
    """The certificates in a bundle that can be parsed, each in PEM, without repeats."""
    found: dict[str, None] = {}
    end = "-----END CERTIFICATE-----"
    for part in pem.split(end)[:-1]:
        try:
            certificate = x509.load_pem_x509_certificate((part + end).encode())
        except ValueError:
            continue
        found[_certificate_pem(certificate)] = None
    return tuple(found)


def is_pair(pair: Pair) -> bool:
    """Whether both parse and belong together."""
    try:
        certificate, key = _load(pair.certificate), _private(pair.key)
    except (ValueError, TypeError):
        return False
    return certificate.public_key() == key.public_key()


def is_authority(certificate: str) -> bool:
    """Whether it may sign others."""
    try:
        return _load(certificate).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


@lru_cache(maxsize=1024)
def signed_by(certificate: str, authority: str) -> bool:
    """Whether `authority` signed `certificate`."""
    try:
        _load(certificate).verify_directly_issued_by(_load(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def hosts_of(certificate: str) -> frozenset[str]:
    """The names that a server certificate covers. Raises ValueError for what is not a certificate."""
    try:
        names = _load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(names.get_values_for_type(x509.DNSName)) | {
        str(ip) for ip in names.get_values_for_type(x509.IPAddress)
    }


def common_name(certificate: str) -> str:
    """Its subject's common name, or an empty text."""
    attributes = _load(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else ""


def not_before(certificate: str) -> datetime:
    """Its first moment, in UTC."""
    return _load(certificate).not_valid_before_utc


def made_at(certificate: str) -> datetime:
    """When `make_…` made it, in UTC."""
    return not_before(certificate) + BACKDATE


def not_after(certificate: str) -> datetime:
    """Its last moment, in UTC."""
    return _load(certificate).not_valid_after_utc


def needs_renewal(certificate: str, now: datetime) -> bool:
    """Whether a third of its life or less is left."""
    end = not_after(certificate)
    return end - now <= (end - made_at(certificate)) / 3


def _leaf(
    name: str,
    key: str,
    authority: Pair,
    now: datetime,
    usage: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
    life: timedelta = LEAF_LIFE,
) -> Pair:
    private, issuer, issuer_key = _private(key), _load(authority.certificate), _private(authority.key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    life = min(life, issuer.not_valid_after_utc - now)
    builder = _builder(subject, issuer.subject, private.public_key(), now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return Pair(_sign(builder, issuer_key), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    moment = now.replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(identifier.digest) >> 2 | 1)
        .not_valid_before(moment - BACKDATE)
        .not_valid_after(moment + life)
        .add_extension(identifier, critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> str:
    return _certificate_pem(builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True))


@lru_cache(maxsize=1024)
def _load(certificate: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.encode())


def _private(key: str) -> ec.EllipticCurvePrivateKey:
    private = serialization.load_pem_private_key(key.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return private


def _certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
