"""Restarts that no user asked for: an operator's upgrade, a new default image. They wait for the cluster's window, and
for its turn among all clusters.

A user's edit is known by the generation: pods that are out of date although nothing was edited since all of them were
up to date are so because of us. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from aurora_operator.api.base import names
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.maintenance import in_maintenance_window
from aurora_operator.api.status import MaintenanceStage, PendingMaintenance
from aurora_operator.planning.view.facts import Facts


@dataclass(frozen=True)
class Maintenance:
    """Whether such restarts have to wait, and what the status says of them."""

    held: str | None = None
    """What out-of-date pods wait for; None: nothing."""
    pending: PendingMaintenance | None = None
    rolled_out: int | None = None
    """The generation of the spec at which all pods were last up to date."""


def judge_maintenance(spec: AuroraClusterSpec, outdated: tuple[str, ...], facts: Facts) -> Maintenance:
    """`outdated` are the copies whose pod is not what it should be."""
    generation: int | None = facts.metadata.get("generation")
    before = facts.before
    if not outdated:
        return Maintenance(rolled_out=generation)
    if before.rolled_out_generation is not None and before.rolled_out_generation != generation:
        return Maintenance(rolled_out=before.rolled_out_generation)
    state: MaintenanceStage
    if request(facts.observed.cluster, names.ANNOTATION_APPLY_NOW) is not None:
        state = "going"
    elif before.pending_maintenance is not None and before.pending_maintenance.waits_for is None:
        # What has begun is finished: a cluster of two kinds of pods is worse than one restart after the window.
        state = "going"
    elif not in_maintenance_window(spec.preferred_maintenance_window, facts.now):
        state = "window"
    else:
        state = "going" if facts.observed.turn is None else "turn"
    waits = {
        "window": f"the maintenance window {spec.preferred_maintenance_window} (UTC)",
        "turn": facts.observed.turn,
    }.get(state)
    since = before.pending_maintenance.since if before.pending_maintenance is not None else None
    pending = PendingMaintenance(
        instances=outdated, since=since or facts.now.replace(microsecond=0), waits_for=waits, stage=state
    )
    return Maintenance(waits, pending, before.rolled_out_generation)


def maintenance_done(maintenance: Maintenance, facts: Facts) -> dict[str, str | None]:
    """Changes to the cluster's annotations: a request to do it now is over once nothing is pending."""
    asked = request(facts.observed.cluster, names.ANNOTATION_APPLY_NOW) is not None
    return {names.ANNOTATION_APPLY_NOW: None} if asked and maintenance.pending is None else {}
