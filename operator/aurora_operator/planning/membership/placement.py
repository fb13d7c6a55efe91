"""Zones of instances: spread evenly; what is placed stays, because its volume cannot move.

Each cluster fills the zones from one of its own on, so that many small clusters do not meet in the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from zlib import crc32

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec

DEFAULT_ZONES = 3


def allowed_zones(spec: AuroraClusterSpec, available: Iterable[str]) -> tuple[str, ...]:
    """The zones that instances may be in: those the spec names, else all that nodes are in."""
    return spec.durability.availability_zones or tuple(sorted(set(available)))


def zones_in_turn(uid: str, zones: Iterable[str]) -> tuple[str, ...]:
    """The zones in the order in which the cluster of this uid fills them: always the same."""
    ordered = sorted(set(zones))
    first = crc32(uid.encode()) % len(ordered) if ordered else 0
    return (*ordered[first:], *ordered[:first])


def place(
    spec: AuroraClusterSpec,
    ordinals: Iterable[int],
    placed: Mapping[int, str | None],
    available: Iterable[str],
    *,
    uid: str = "",
    usable: Iterable[str] | None = None,
    leaving: Iterable[int] = (),
) -> dict[int, str | None]:
    """The zone of each of `ordinals`; None where nodes have no zones.

    `placed` has those that are placed already; of them, those `leaving` do not count as filling their zones. New ones
    go to zones in which pods can be started now (`usable`; None: all), as far as there are any; of equally empty ones
    to that whose turn it is for the cluster of this `uid`.
    """
    zones = allowed_zones(spec, available)
    if usable is not None:
        zones = tuple(zone for zone in zones if zone in set(usable)) or zones
    result: dict[int, str | None] = {o: placed[o] for o in ordinals if o in placed}
    new = [o for o in sorted(ordinals) if o not in placed]
    for ordinal in new:
        if (zone := spec.zone_of(ordinal)) is not None:
            result[ordinal] = zone
    crowd = Counter(zone for o, zone in result.items() if o not in set(leaving))
    count = min(spec.durability.zones or DEFAULT_ZONES, len(zones))
    # Zones in use come first: a cluster over three of five zones stays in its three.
    turn = zones_in_turn(uid, zones)
    chosen = sorted(turn, key=lambda zone: crowd[zone] == 0)[:count]
    for ordinal in new:
        if ordinal in result:
            continue
        if not chosen:
            result[ordinal] = None
            continue
        zone = min(chosen, key=lambda zone: (crowd[zone], turn.index(zone)))
        result[ordinal] = zone
        crowd[zone] += 1
    return result
