"""Whose turn it is to be restarted, among all clusters: so many at a time, canaries first, and nobody more while one
does not come back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from aurora_operator.api.base import names
from aurora_operator.api.status import AuroraClusterStatus, MaintenanceStage
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import annotation

Key = tuple[str, str]
"""Namespace and name of an AuroraCluster."""


WELL: Final = frozenset({"Ready", "Paused", "Stopped", "Updating"})
"""Phases in which a cluster does not stand in the way of the next."""


@dataclass(frozen=True)
class Standing:
    """A cluster, as its last pass left it."""

    stage: MaintenanceStage | None = None
    """`going`: it is being restarted; `turn`: it could be; `window`: not now; None: nothing is out of date."""
    since: datetime | None = None
    """Since when its pods are out of date."""
    canary: bool = False
    well: bool = True
    """Ready, as far as is known."""


def give_turns(known: Collection[Key], standings: Mapping[Key, Standing], *, at_most: int) -> frozenset[Key]:
    """The clusters that may be restarted now, those that are being restarted included.

    Nobody new gets a turn before every known cluster has been looked at, since one may be in the middle of it; nor
    while one that had its turn is not well: what broke it may break the next.
    """
    going = {key for key, standing in standings.items() if standing.stage == "going"}
    if any(key not in standings for key in known) or len(going) >= at_most:
        return frozenset(going)
    if any(not standings[key].well for key in going):
        return frozenset(going)
    waiting = [key for key, standing in standings.items() if standing.stage == "turn" and standing.well]
    canaries = [key for key in waiting if standings[key].canary]
    trying = any(standings[key].canary for key in going)
    if canaries:
        waiting = canaries
    elif trying:
        waiting = []

    def order(key: Key) -> tuple[str, Key]:
        since = standings[key].since
        return (since.isoformat() if since is not None else "", key)

    return frozenset(going | set(sorted(waiting, key=order)[: at_most - len(going)]))


def waits_for(key: Key, known: Collection[Key], standings: Mapping[Key, Standing], *, at_most: int) -> str | None:
    """What a cluster's restarts wait for, in words; None when it is its turn."""
    turns = give_turns(known, standings, at_most=at_most)
    if key in turns:
        return None
    if turns:
        names_of = ", ".join("/".join(other) for other in sorted(turns)[:3])
        ill = [other for other in sorted(turns) if not standings[other].well]
        said = f" ({'/'.join(ill[0])} is not well)" if ill else ""
        return f"its turn after {names_of}{said}; {at_most} at a time"
    return "the operator to have looked at all clusters"


def standing_of(cluster: Raw, status: Mapping[str, Any]) -> Standing:
    """What an AuroraCluster and its status say; nothing, where the status cannot be read."""
    canary = annotation(cluster, names.ANNOTATION_CANARY) == "true"
    try:
        seen = AuroraClusterStatus.model_validate(status)
    except ValidationError:
        return Standing(canary=canary)
    pending = seen.pending_maintenance
    return Standing(
        stage=pending.stage if pending is not None else None,
        since=pending.since if pending is not None else None,
        canary=canary,
        well=seen.phase in WELL,
    )
