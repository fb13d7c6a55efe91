"""Where things are on a copy's volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aurora_operator.api.base import names


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths, from the volume's mount and the socket directory."""

    data: Path = Path(names.DATA_MOUNT)
    run: Path = Path(names.RUN_DIR)
    tls: Path = Path(names.TLS_MOUNT)

    @property
    def pgdata(self) -> Path:
        """PostgreSQL's data directory."""
        return self.data / "pgdata"

    @property
    def new(self) -> Path:
        """A data directory that is being made; worth nothing until it is renamed to `pgdata`."""
        return self.data / "pgdata.new"

    @property
    def wal(self) -> Path:
        """pg_wal of the data directory."""
        return self.pgdata / "pg_wal"

    @property
    def received(self) -> Path:
        """On a log copy: the WAL that it receives."""
        return self.data / "wal"

    @property
    def received_before(self) -> Path:
        """On a log copy: what it has from before a gap, until it has more than that again."""
        return self.data / "wal.before"

    @property
    def fetched(self) -> Path:
        """On an instance: WAL that was fetched from a log copy, until PostgreSQL has it."""
        return self.data / "fetched"

    @property
    def state(self) -> Path:
        """The agent's durable state."""
        return self.data / "aurora"

    @property
    def kept(self) -> Path:
        """What was put aside before it was replaced."""
        return self.data / "kept"

    @property
    def lock(self) -> Path:
        """Held by every process that uses the volume."""
        return self.state / "lock"

    @property
    def rewinding(self) -> Path:
        """There while pg_rewind works on the data directory: its files are of two histories then."""
        return self.state / "rewinding"

    @property
    def server_key(self) -> Path:
        """The server's private key, copied here with the permissions that PostgreSQL demands."""
        return self.run / "tls" / "server.key"

    @property
    def server_certificate(self) -> Path:
        """The server's certificate, beside its key: the two change together."""
        return self.run / "tls" / "server.crt"

    @property
    def ca_certificate(self) -> Path:
        """The cluster's certificate authority, beside the server's certificate."""
        return self.run / "tls" / "ca.crt"

    def holds_data(self) -> bool:
        """Whether anything is there that was, or belongs to, a database: when in doubt, there is.

        What a restore or a clone has not completed is worth nothing.
        """
        return any(
            folder.is_dir() and next(folder.iterdir(), None) is not None
            for folder in (self.pgdata, self.received, self.received_before, self.fetched, self.kept)
        )

    def initialised(self) -> bool:
        """Whether there is a complete data directory."""
        return (self.pgdata / "PG_VERSION").is_file() and (self.pgdata / "global" / "pg_control").is_file()
