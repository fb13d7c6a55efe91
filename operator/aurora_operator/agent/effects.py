"""Turns the consensus's effects into jobs on this copy's PostgreSQL."""

from __future__ import annotations

from functools import partial

from aurora_operator.agent.lifecycle.lifecycle import Lifecycle
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication.leader import Leader
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, SyncRule


class PostgresEffects:
    """See `ports.Effects`. What excludes what (`StopReceiver` cancels `Follow`, and so on) shares one job slot."""

    def __init__(self, copy: Instance, lifecycle: Lifecycle, leading: Leader) -> None:
        self._jobs = copy.jobs
        self._lifecycle = lifecycle
        self._replication = lifecycle.replication
        self._leading = leading

    def stop_receiver(self, epoch: int) -> None:
        """Cancels following and fetching."""
        self._jobs.start("stop-receiver", partial(self._replication.stop_receiver, epoch))

    def follow(self, leader: CopyId, epoch: int) -> None:
        """Runs until something else begins."""
        self._jobs.start("follow", partial(self._replication.follow, leader, epoch))

    def fetch(self, epoch: int, source: CopyId, target: Position) -> None:
        """Ends with the receiver stopped again."""
        self._jobs.start("fetch", partial(self._replication.fetch, epoch, source, target))

    def promote(self, epoch: int, rule: SyncRule) -> None:
        """Goes on with a leader's duties."""
        self._jobs.start("lead", partial(self._leading.promote, epoch, rule))

    def open(self, epoch: int) -> None:
        """While the duties run."""
        self._leading.open(epoch)

    def stop(self, mode: str) -> None:
        """The lifecycle notices PostgreSQL's end, and reports it."""
        self._leading.end_chores()
        self._lifecycle.stop(mode)

    def set_sync(self, key: ConfigKey, rule: SyncRule) -> None:
        """While the duties run."""
        self._leading.set_sync(key, rule)

    def read_record(self, asked: int) -> None:
        """Whether leading or standing."""
        self._leading.read_record(asked)

    def write_record(self, epoch: int, before: ConfigKey, after: Config) -> None:
        """While the duties run."""
        self._leading.write_record(epoch, before, after)
