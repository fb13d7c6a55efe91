"""How large a volume should be: a function of what it holds, how fast it fills, and what the user allows.

Bytes and seconds throughout. What only piles up (WAL that a dead slot or a failing archive keeps, temporary files) is
not paid for with disk: it does not count as used here, and is named as the cause (`causes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.api.spec.autoscaling import StorageAutoscaling

ACT_WITHIN: Final = 60.0
"""A volume that would be full within this time grows, however much of it is free."""
LOOK_AHEAD: Final = 2 * ACT_WITHIN
"""What is added lasts for this long at the present rate: until the next growth is decided, and as long again for that
to be carried out. A burst may end at any moment, and what was added is paid for from then on."""
MOST_STEPS: Final = 5
"""Because of the rate no more than this many steps are kept free, however fast it fills."""

Cause = Literal["SlotRetainsWal", "ArchiveFailing", "TemporaryFiles"]


@dataclass(frozen=True)
class Pile:
    """Something that piles up on a volume, and how much it is."""

    cause: Cause
    size: int
    detail: str
    """A sentence: what it is, and what to do about it."""


@dataclass(frozen=True)
class Need:
    """What a copy needs room for."""

    used: int
    """Without what only piles up."""
    rate: float = 0.0


@dataclass(frozen=True)
class Volume:
    """A volume as Kubernetes has it."""

    requested: int
    """What its claim asks for."""
    capacity: int
    """What Kubernetes says that it has."""
    size: int
    """What its file system has, which is a little less."""

    @property
    def coming(self) -> int:
        """The size of its file system once it is as large as was asked for."""
        return self.size + max(self.requested - self.capacity, 0)


def piles(use: VolumeUse) -> tuple[Pile, ...]:
    """What piles up there, the largest first. WAL counts beyond what PostgreSQL keeps by itself."""
    found: list[Pile] = []
    surplus = max(use.wal_bytes - 2 * use.wal_target_bytes, 0) if use.wal_target_bytes else 0
    dead = [s for s in use.slots if not s.active and s.retained_bytes > use.wal_target_bytes]
    if surplus and dead:
        worst = max(dead, key=lambda s: s.retained_bytes)
        kind = "logical replication slot" if worst.logical else "replication slot"
        found.append(
            Pile(
                "SlotRetainsWal",
                min(surplus, worst.retained_bytes),
                f"The {kind} {worst.name}, which nobody reads, keeps {gib(worst.retained_bytes)} of WAL: have its "
                f"consumer connect, or drop it with SELECT pg_drop_replication_slot('{worst.name}').",
            )
        )
    elif surplus and use.archive_failing is not None:
        found.append(
            Pile(
                "ArchiveFailing",
                surplus,
                f"WAL cannot be archived ({use.archive_failing} failed last, {use.archive_waiting} files wait), so "
                f"that {gib(use.wal_bytes)} of it pile up: repair the archive.",
            )
        )
    if use.temporary_bytes:
        found.append(
            Pile(
                "TemporaryFiles",
                use.temporary_bytes,
                f"Temporary files of queries take {gib(use.temporary_bytes)}: look for large sorts and hashes in "
                "pg_stat_activity, or limit them with the parameter temp_file_limit.",
            )
        )
    return tuple(sorted(found, key=lambda pile: -pile.size))


def need_of(use: VolumeUse) -> Need:
    """What a copy needs by itself. A rate that comes from what piles up is not one to grow for."""
    wasted = sum(pile.size for pile in piles(use))
    used = max(use.used_bytes - wasted, 0)
    return Need(used, use.growth_bytes_per_second if wasted < use.used_bytes // 10 else 0.0)


def follower_need(own: Need | None, writer: VolumeUse | None, own_wal: int) -> Need:
    """What an instance needs that may have to take over: its own, and never less than the writer's data take."""
    if writer is None:
        return own or Need(0)
    leading = need_of(writer)
    data = max(writer.used_bytes - writer.wal_bytes - writer.temporary_bytes, 0) + own_wal
    if own is None:
        return Need(data, leading.rate)
    return Need(max(own.used, data), max(own.rate, leading.rate) if data > own.used else own.rate)


def wanted_free(size: int, policy: StorageAutoscaling) -> int:
    """The free space below which a volume of this size grows: a share of it, and no more than a step."""
    return min(size * (100 - policy.threshold_percent) // 100, policy.step_bytes)


def is_short(size: int, need: Need, policy: StorageAutoscaling) -> bool:
    """Whether a volume of this size has too little room left."""
    free = size - need.used
    return free < wanted_free(size, policy) or free < _for_rate(need.rate, ACT_WITHIN, policy)


def _for_rate(rate: float, seconds: float, policy: StorageAutoscaling) -> int:
    """Room for so many seconds at this rate; of `LOOK_AHEAD`, at most so many steps, and of less, so much less."""
    return int(min(rate * seconds, MOST_STEPS * policy.step_bytes * seconds / LOOK_AHEAD))


def wanted_size(volume: Volume, need: Need, policy: StorageAutoscaling) -> int:
    """What the claim should ask for: what it asks for, or that and as many steps as leave room again.

    Never more than `policy.max`, and never less than is asked for already.
    """
    size = volume.coming
    if not policy.enabled or not is_short(size, need, policy):
        return volume.requested
    step = policy.step_bytes
    ahead = _for_rate(need.rate, LOOK_AHEAD, policy)
    steps = max((need.used + ahead - size) // step, 1)
    while (
        size + steps * step - need.used < max(wanted_free(size + steps * step, policy), ahead)
        and volume.requested + steps * step < policy.max_bytes
    ):
        steps += 1
    return max(min(volume.requested + steps * step, policy.max_bytes), volume.requested)


def first_size(least: int, need: Need, policy: StorageAutoscaling) -> int:
    """What a new claim should ask for, so that what it has to hold fits from the beginning."""
    return wanted_size(Volume(least, least, least), Need(need.used), policy)


def gib(size: int) -> str:
    """Bytes, for people."""
    if size >= 1 << 40:
        return f"{size / (1 << 40):.1f} TiB"
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"
