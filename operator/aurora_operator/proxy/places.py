"""Where things are in a proxy's pod."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aurora_operator.api.base import names


@dataclass(frozen=True, slots=True)
class Places:
    """Those of a pod, unless a test says otherwise."""

    tls: Path = Path(names.TLS_MOUNT)
    """The Secret `<cluster>-proxy`: ca.crt; server.crt/.key, for clients; proxy.crt/.key, to instances and agents."""
    run: Path = Path(names.PROXY_RUN_DIR)
    program: str = "pgbouncer"
    listen: str = "*"
    health: str = ""
    port: int = names.POSTGRES_PORT
    ro_port: int = names.PROXY_RO_PORT
    gate: int = names.PROXY_GATE_PORT
    """Of the writer's gate; the readers' has the next one."""
