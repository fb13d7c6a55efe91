"""The agent's TLS: contexts over the mounted certificates, renewed in place when the Secret changes."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from aurora_operator.api import names


class Certificates:
    """Server and client contexts. `refresh` loads a rotated certificate into them; open connections go on."""

    def __init__(self, folder: Path, postgres_folder: Path) -> None:
        """`postgres_folder` gets copies with the modes that PostgreSQL and libpq insist on."""
        self._folder = folder
        self._postgres = postgres_folder
        self._seen: tuple[bytes, ...] = ()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.minimum_version = ssl.TLSVersion.TLSv1_3
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.minimum_version = ssl.TLSVersion.TLSv1_3
        self.refresh()

    @property
    def postgres_folder(self) -> Path:
        """Where PostgreSQL finds ca.crt, server.crt/.key and replication.crt/.key."""
        return self._postgres

    def refresh(self) -> bool:
        """Load the mounted files if they have changed; says whether they had. Raises OSError or ssl.SSLError."""
        files = ("ca.crt", "server.crt", "server.key", "agent.crt", "agent.key", "replication.crt", "replication.key")
        now = tuple((self._folder / name).read_bytes() for name in files)
        if now == self._seen:
            return False
        self.server.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        self.client.load_cert_chain(self._folder / "agent.crt", self._folder / "agent.key")
        for context in (self.server, self.client):
            context.load_verify_locations(self._folder / "ca.crt")
        self._postgres.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in zip(files, now, strict=True):
            _write_private(self._postgres / name, content)
        self._seen = now
        return True

    def not_after(self) -> datetime:
        """When the server certificate in use ends."""
        return x509.load_pem_x509_certificate(self._seen[1]).not_valid_after_utc.astimezone(UTC)


def is_agent(peer: ssl.SSLObject | None) -> bool:
    """Whether the other end of a connection has shown an agent's certificate."""
    subject = (peer.getpeercert() or {}).get("subject", ()) if peer is not None else ()
    return any(("commonName", names.AGENT_CN) in part for part in subject if isinstance(part, tuple))


def _write_private(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
