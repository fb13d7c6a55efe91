"""For what a cluster that is paused or stopped runs all the same: a backup that is due, or an AuroraSnapshot. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import BackupStatus
from aurora_operator.planning.backup.backup import Kind, due, in_window
from aurora_operator.planning.bootstrap.seed_candidates import Means, means_of
from aurora_operator.planning.model.plan_model import parse_time
from aurora_operator.planning.model.snapshot_model import by_backup, is_going, status_of
from aurora_operator.planning.view.facts import Facts

WAKE_AGAIN: Final = timedelta(hours=1)
"""A paused cluster is woken for backups no more often: one that fails does not keep it awake."""
SAME_WAKING: Final = timedelta(minutes=1)
"""A decision to wake it that could not be carried out stands so long; so does one not to let it pause."""


def wakes(spec: AuroraClusterSpec, before: BackupStatus | None, now: datetime) -> Kind | None:
    """The backup for which a paused cluster is to be woken now. Of its backups it knows what its status tells. It
    writes nothing, so those that are taken more often than daily wait for the window, too; only one without a sound
    full backup is woken at any hour."""
    if spec.backup is None or before is None:
        return None
    if before.woken_at is not None and SAME_WAKING <= now - parse_time(before.woken_at) < WAKE_AGAIN:
        return None
    kind = due(spec, before.backups, now)
    nothing_to_restore = not any(b.type == "full" and not b.damaged for b in before.backups)
    return kind if in_window(spec.preferred_backup_window, now) or nothing_to_restore else None


def woken(before: BackupStatus | None, now: datetime) -> BackupStatus | None:
    """The status of a cluster that is woken for a backup now."""
    if before is None or (before.woken_at is not None and now - parse_time(before.woken_at) < SAME_WAKING):
        return before
    return before.model_copy(update={"woken_at": now.isoformat(timespec="seconds")})


def snapshot_awaited(spec: AuroraClusterSpec, facts: Facts) -> str | None:
    """The AuroraSnapshot for which the cluster must run: it is to be taken of it, and from all that is known without a
    writer it can be. Only an election tells which volume holds all that was committed, so none is taken at rest."""
    seen = facts.observed
    for name, snapshot in sorted(seen.snapshots.items()):
        of = (snapshot.get("spec") or {}).get("cluster")
        if of != facts.name or is_going(snapshot) or status_of(snapshot).completed_at is not None:
            continue
        if by_backup(snapshot):
            possible = spec.backup is not None
        else:
            means = means_of(facts.copies.values(), seen.storage_classes, seen.snapshot_classes)
            possible = isinstance(means, Means)
        if possible:
            return name
    return None


def without_writer(facts: Facts) -> str:
    """Why there is none that could be taken a snapshot of, as the end of a sentence."""
    if facts.settings is not None and facts.settings.power != "on":
        return ", which is started for it"
    return ", which none is known of now" if facts.leader is None else ""
