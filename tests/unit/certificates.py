"""Certificates as a cluster's Secret holds them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from aurora_operator.planning.certificates import pki


def write_certificates(folder: Path, agent_name: str = "aurora-agent") -> None:
    """What the Secret `<cluster>-tls` holds, for servers on this host."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    authority = pki.make_authority("test", pki.new_private_key(), now)
    server = pki.make_server("demo", ("localhost",), pki.new_private_key(), authority, now)
    agent = pki.make_client(agent_name, pki.new_private_key(), authority, now)
    (folder / "ca.crt").write_text(authority.certificate)
    for name, pair in (("server", server), ("agent", agent), ("replication", agent)):
        (folder / f"{name}.crt").write_text(pair.certificate)
        (folder / f"{name}.key").write_text(pair.key)
