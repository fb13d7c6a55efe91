"""The agent's TLS: contexts over the mounted certificates, renewed in place when the Secret changes."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final

from aurora_operator.postgres.config.configure import install_certificates
from aurora_operator.postgres.layout import Layout

_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_FILES: Final = ("ca.crt", "server.crt", "server.key", "agent.crt", "agent.key")


class Certificates:
    """Server and client contexts. `refresh` loads a rotated certificate into them; open connections go on."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._seen: tuple[bytes, ...] = ()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.minimum_version = ssl.TLSVersion.TLSv1_3
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.minimum_version = ssl.TLSVersion.TLSv1_3
        self.refresh()

    def refresh(self) -> bool:
        """Load the mounted files if they have changed; says whether they had. Raises OSError or ssl.SSLError."""
        folder = self._layout.tls
        now = tuple((folder / name).read_bytes() for name in _FILES)
        if now == self._seen:
            return False
        self.server.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.client.load_cert_chain(folder / "agent.crt", folder / "agent.key")
        for context in (self.server, self.client):
            context.load_verify_locations(folder / "ca.crt")
        install_certificates(self._layout)
        self._seen = now
        return True

    def not_after(self) -> datetime:
        """When the server certificate in use ends."""
        return not_after(self._seen[_FILES.index("server.crt")].decode())


def not_after(pem: str) -> datetime:
    """When the first certificate in a PEM text ends (RFC 5280, 4.1: Certificate, TBSCertificate, Validity). Pure.

    A parser of all of X.509 takes 8 MiB of memory in every pod. Raises ValueError.
    """
    end = "-----END CERTIFICATE-----"
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index(end)] + end + "\n")
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)
    if rest[0] == _EXPLICIT_VERSION:
        _, _, rest = _element(rest)
    for _ in ("serialNumber", "signature", "issuer"):
        _, _, rest = _element(rest)
    _, validity, _ = _element(rest)
    _, _, rest = _element(validity)
    kind, text, _ = _element(rest)
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    # Two digits of a year are of 1950 to 2049 here, of 1969 to 2068 there; no certificate of ours began before.
    return datetime.strptime(text.decode(), form).replace(tzinfo=UTC)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """(tag, content, what follows) of the DER element at the beginning."""
    tag, size, start = der[0], der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start])
    return tag, der[start : start + size], der[start + size :]
