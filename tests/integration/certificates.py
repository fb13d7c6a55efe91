"""A certificate authority and certificates like those that the operator makes, for servers on this host."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aurora_operator.api.base.names import AGENT_CN, OPERATOR_CN, PROXY_USER

HOST = "demo-pods.test"


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _write(path: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    path.with_suffix(".crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.with_suffix(".key").write_bytes(pem)
    path.with_suffix(".key").chmod(0o600)


class Issuer(Protocol):
    """Whoever makes certificates for a server."""

    def fill(self, directory: Path) -> None:
        """Write what the Secret `<cluster>-tls` holds."""


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @classmethod
    def make(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        cert = _builder("test-ca", "test-ca", key).add_extension(basic, critical=True).sign(key, hashes.SHA256())
        return cls(key, cert)

    def fill(self, directory: Path, host: str = HOST, address: str = "127.0.0.1") -> None:
        """Write what the Secret `<cluster>-tls` holds for a server of this name and address."""
        (directory / "ca.crt").write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        for file, common, usage in (
            ("server", host, ExtendedKeyUsageOID.SERVER_AUTH),
            ("replication", "aurora_replication", ExtendedKeyUsageOID.CLIENT_AUTH),
            ("agent", AGENT_CN, ExtendedKeyUsageOID.CLIENT_AUTH),
            ("operator", OPERATOR_CN, ExtendedKeyUsageOID.CLIENT_AUTH),
            ("proxy", PROXY_USER, ExtendedKeyUsageOID.CLIENT_AUTH),
        ):
            key = ec.generate_private_key(ec.SECP256R1())
            names = [x509.DNSName(host), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
            cert = (
                _builder(common, "test-ca", key)
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .sign(self.key, hashes.SHA256())
            )
            _write(directory / file, cert, key)
