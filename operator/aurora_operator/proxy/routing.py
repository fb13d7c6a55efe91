"""Where a proxy's server sessions may go, from what the agents say. Pure.

An epoch is a leadership, and whoever follows a leader has heard from a quorum's choice. So the highest epoch that any
agent names is the only one whose writer counts: one of a lower epoch is deposed, whatever it says of itself. The
highest epoch that was ever heard of is remembered for it; it never goes down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aurora_operator.api.agent.proxy import Standing

Address = str
"""Of an instance: an IP address."""


@dataclass(frozen=True, slots=True)
class Route:
    """What is in force."""

    epoch: int = 0
    """The highest that was heard of: sessions with a writer of a lower one end."""
    writer: Address | None = None
    """Where new sessions of the writer's Service go; None: they wait."""
    leaving: bool = False
    """The writer is about to hand over: nobody begins a transaction, and its sessions end as they become free."""
    readers: frozenset[Address] = frozenset()
    """Where new sessions of the readers' Service go; empty: they wait."""
    serving: frozenset[Address] = frozenset()
    """Instances that serve anybody: sessions with others, at the readers' Service, are of no use to anybody."""
    proxies: int = 1
    """How many there are, this one included, as the writer sees it."""


def route(standings: Mapping[Address, Standing], before: Route, max_replica_lag: float) -> Route:
    """What follows from the newest line of each agent that is connected; `max_replica_lag` in seconds."""
    epoch = max((s.epoch for s in standings.values()), default=0)
    epoch = max(epoch, before.epoch)
    writers = [a for a, s in standings.items() if s.role == "writer" and s.epoch == epoch]
    writer = writers[0] if len(writers) == 1 else None
    leaving = writer is not None and standings[writer].leaving
    readers = frozenset(
        address
        for address, s in standings.items()
        if s.role == "reader" and not s.leaving and s.lag_seconds is not None and s.lag_seconds <= max_replica_lag
    )
    if not readers and writer is not None and not leaving:
        readers = frozenset({writer})
    serving = {a for a, s in standings.items() if s.role == "reader"} | ({writer} if writer is not None else set())
    proxies = max(standings[writer].proxies, 1) if writer is not None else before.proxies
    return Route(epoch, writer, leaving, readers, frozenset(serving), proxies)


def share(max_connections: int, percent: int, proxies: int) -> int:
    """How many sessions one of so many proxies may have at an instance: one at least."""
    return max(max_connections * percent // 100 // max(proxies, 1), 1)
