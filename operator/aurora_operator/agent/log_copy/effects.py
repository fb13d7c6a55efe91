"""What the consensus can ask of a log copy. It never stands, so nothing of a leader's is ever asked."""

from __future__ import annotations

from functools import partial

from aurora_operator.agent.errors import AgentError
from aurora_operator.agent.log_copy.receiving import Receiving
from aurora_operator.agent.member.member import Member
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, SyncRule


class NotForLogCopies(AgentError):
    """The consensus has asked a log copy to lead, or to prepare for it."""


class LogEffects:
    """See `ports.Effects`."""

    def __init__(self, copy: Member, receiving: Receiving) -> None:
        self._jobs = copy.jobs
        self._receiving = receiving

    def stop_receiver(self, epoch: int) -> None:
        """Ends following first."""
        self._jobs.start("stop-receiver", partial(self._receiving.stop_receiver, epoch))

    def follow(self, leader: CopyId, epoch: int) -> None:
        """Runs until something else begins."""
        self._jobs.start("follow", partial(self._receiving.follow, leader, epoch))

    def fetch(self, epoch: int, source: CopyId, target: Position) -> None:
        """Never."""
        raise NotForLogCopies(f"fetch for epoch {epoch}")

    def promote(self, epoch: int, rule: SyncRule) -> None:
        """Never."""
        raise NotForLogCopies(f"promote to epoch {epoch}")

    def open(self, epoch: int) -> None:
        """Never."""
        raise NotForLogCopies(f"open epoch {epoch}")

    def stop(self, mode: str) -> None:
        """Never."""
        raise NotForLogCopies(f"stop PostgreSQL ({mode})")

    def set_sync(self, key: ConfigKey, rule: SyncRule) -> None:
        """Never."""
        raise NotForLogCopies(f"set the sync rule of {key}")

    def read_record(self, asked: int) -> None:
        """Never."""
        raise NotForLogCopies("read the record")

    def write_record(self, epoch: int, before: ConfigKey, after: Config) -> None:
        """Never."""
        raise NotForLogCopies(f"write the record of epoch {epoch}")
