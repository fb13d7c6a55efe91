"""The agent's TLS: contexts over the mounted certificates, renewed in place when the Secret changes."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from aurora_operator.api import names
from aurora_operator.postgres.configure import install_certificates
from aurora_operator.postgres.layout import Layout

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
        return x509.load_pem_x509_certificate(self._seen[_FILES.index("server.crt")]).not_valid_after_utc.astimezone(
            UTC
        )


def is_agent(peer: ssl.SSLObject | None) -> bool:
    """Whether the other end of a connection has shown an agent's certificate."""
    subject = (peer.getpeercert() or {}).get("subject", ()) if peer is not None else ()
    return any(("commonName", names.AGENT_CN) in part for part in subject if isinstance(part, tuple))
