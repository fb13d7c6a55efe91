"""`spec.restoreFrom.snapshot`: a new cluster from an AuroraSnapshot. What it was taken of need not exist any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aurora_operator.api.agent.origin import CloneOrigin, Origin, RestoreOrigin
from aurora_operator.api.base import names
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.snapshot import AuroraSnapshotStatus
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import OriginStatus
from aurora_operator.planning.bootstrap.first_data import Beginning, begun, moment, tidy
from aurora_operator.planning.membership.placement import allowed_zones
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.model.snapshot_model import by_backup, status_of
from aurora_operator.planning.objects.snapshot import data_source, is_usable, least_bytes, lsn_of, zone_of
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.facts import Facts


def snapshot_wanted(cluster: Raw, children: Mapping[str, Mapping[str, Raw]]) -> str | None:
    """The AuroraSnapshot that planning must know of to go on with this cluster, or None."""
    wanted = ((cluster.get("spec") or {}).get("restoreFrom") or {}).get("snapshot")
    return str(wanted) if wanted and not begun(cluster, children) else None


def plan_restored(
    spec: AuroraClusterSpec, snapshot: str, bootstrap: int, facts: Facts, before: OriginStatus | None
) -> Beginning:
    """The next step towards the first data."""
    status = before or OriginStatus(source=f"snapshot {snapshot}", started_at=moment(facts))
    if facts.initialised:
        return tidy(facts, status)
    waits = Beginning(ready=False, bootstrap=bootstrap, status=status)
    held = facts.observed.held
    told = status_of(held.snapshot) if held is not None else None
    old = facts.settings.origin if facts.settings is not None else None
    if isinstance(old, RestoreOrigin) or (held is not None and by_backup(held.snapshot)):
        return _from_backup(snapshot, told, old, waits)
    claim = facts.observed.child("PersistentVolumeClaim", claim_name(names.instance_name(facts.name, bootstrap)))
    begins = f"The first instance begins with snapshot {snapshot}."
    if held is None or held.volume is None or told is None or told.completed_at is None or not is_usable(held.volume):
        if claim is not None and old is not None:  # What was made of it does not need it any more.
            return replace(waits, origin=old, ready=True, message=begins)
        why = told.message if told is not None and told.message else "there is none, or nothing is known of it yet."
        return replace(waits, message=f"Waiting for the snapshot {snapshot}: {why}")
    lsn = lsn_of(held.volume)
    origin = CloneOrigin(source=f"snapshot {snapshot}", lsn=lsn)
    zone, asked = zone_of(held.volume), spec.zone_of(bootstrap)
    usable = zone if asked in (None, zone) and zone in allowed_zones(spec, facts.zones) else asked
    name = held.volume["metadata"]["name"]
    return Beginning(
        origin=origin,
        ready=old == origin,
        bootstrap=bootstrap,
        zone=usable,
        pinned=usable is not None,
        data_source=data_source(name),
        least_bytes=least_bytes(held.volume),
        status=status.model_copy(update={"method": "VolumeSnapshot", "consistency_point": format_lsn(lsn)}),
        message=begins,
    )


def _from_backup(snapshot: str, told: AuroraSnapshotStatus | None, old: Origin | None, waits: Beginning) -> Beginning:
    begins = f"The first instance is restored from snapshot {snapshot}."
    status = waits.status
    if isinstance(old, RestoreOrigin):  # What was begun goes on with what it was begun with.
        return replace(waits, origin=old, ready=True, message=begins)
    if told is None or told.completed_at is None or told.backup is None:
        why = told.message if told is not None and told.message else "nothing is known of it yet."
        return replace(waits, message=f"Waiting for the snapshot {snapshot}: {why}")
    origin = RestoreOrigin(source=f"snapshot {snapshot}", repository=told.backup.repository, set=told.backup.label)
    if status is not None:
        point = told.consistency_point
        status = status.model_copy(update={"method": "Restore", "consistency_point": point.lsn if point else None})
    # The pods are made once the settings say so, and never with an empty database.
    return replace(waits, origin=origin, status=status, message=begins)


def problems(spec: AuroraClusterSpec, facts: Facts) -> list[str]:
    """Why the cluster cannot be made from the snapshot that it asks for, a sentence each."""
    if spec.restore_from is None or spec.restore_from.snapshot is None:
        return []
    snapshot = spec.restore_from.snapshot
    held = facts.observed.held
    if facts.initialised:
        return []
    if held is None:
        where = facts.identity.namespace
        return [f"restoreFrom: there is no AuroraSnapshot {snapshot} in namespace {where}: name one that exists."]
    status, found = status_of(held.snapshot), []
    if status.source is not None:
        for name, mine, other in (
            ("databaseName", spec.database_name, status.source.database_name),
            ("masterUsername", spec.master_username, status.source.master_username),
        ):
            if mine != other:
                found.append(f"{name} must be that of the snapshot {snapshot}: set it to {other}.")
    return found
