"""Zones of instances: spread evenly; what is placed stays, because its volume cannot move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec

DEFAULT_ZONES = 3


def allowed_zones(spec: AuroraClusterSpec, available: Iterable[str]) -> tuple[str, ...]:
    """The zones that instances may be in: those the spec names, else all that nodes are in."""
    return spec.durability.availability_zones or tuple(sorted(set(available)))


def place(
    spec: AuroraClusterSpec,
    ordinals: Iterable[int],
    placed: Mapping[int, str | None],
    available: Iterable[str],
    *,
    usable: Iterable[str] | None = None,
    leaving: Iterable[int] = (),
) -> dict[int, str | None]:
    """The zone of each of `ordinals`; None where nodes have no zones.

    `placed` has those that are placed already; of them, those `leaving` do not count as filling their zones. New ones
    go to zones in which pods can be started now (`usable`; None: all), as far as there are any.
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
    chosen = sorted(zones, key=lambda zone: (crowd[zone] == 0, zone))[:count]
    for ordinal in new:
        if ordinal in result:
            continue
        if not chosen:
            result[ordinal] = None
            continue
        zone = min(chosen, key=lambda zone: (crowd[zone], zone))
        result[ordinal] = zone
        crowd[zone] += 1
    return result
