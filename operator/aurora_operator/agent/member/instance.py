"""What the parts of an instance's agent share: its basis, and its PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aurora_operator.agent.member.member import Member
from aurora_operator.api.base.volume import Brake
from aurora_operator.consensus.types import CopyId
from aurora_operator.postgres.config.conf import Source
from aurora_operator.postgres.config.door import Door
from aurora_operator.postgres.replication.standby import Standby
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql.queries import Status
from aurora_operator.postgres.sql.session import Session


class Size(NamedTuple):
    """What an instance may use."""

    cpu_millis: int
    memory_bytes: int


@dataclass(slots=True, kw_only=True)
class Instance(Member):
    """An instance."""

    server: Server
    door: Door
    session: Session
    watching: Session
    """For measurements: a slow answer to them must hold up nothing that matters more."""
    brake: Brake = "off"
    size: Size | None = None
    """Of one that scales: what PostgreSQL is to reckon with now."""

    @property
    def standby(self) -> Standby:
        """The server with what steers it."""
        return Standby(self.server, self.session, self.layout, self.id)

    @property
    def endpoint_mark(self) -> Path:
        """A file that is there once the writer's Service may point at this pod; it goes with the pod."""
        return self.layout.run / "writer-endpoint"

    def source(self, copy: CopyId | None) -> Source | None:
        """Where another copy's PostgreSQL is; None while that is not known."""
        host, address = (self.peers.address(copy) if copy is not None else None) or (None, None)
        return Source(host, address) if host is not None and address is not None else None

    def note_standby(self, now: Status) -> None:
        """Keep what the status shows of a standby's progress."""
        self.position_lsn = now.replay_lsn
        self.lag_bytes = max(self.leader_lsn - now.replay_lsn, 0)
        self.lag_seconds = now.replay_delay if self.lag_bytes else 0.0

    def follows_open_leader(self) -> bool:
        """Whether another copy leads, and has been promoted."""
        leader = self.driver.state.leader
        return leader is not None and leader.id != self.id and leader.alive and leader.relying
