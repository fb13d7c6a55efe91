"""An AuroraSnapshot, from its creation to its end: the next step, as a function of what was observed.

The VolumeSnapshot that holds the data is owned by nobody: only the deletion of its AuroraSnapshot, and that with the
policy `Delete`, removes it, whatever becomes of the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import READY, get_condition, set_condition
from aurora_operator.api.base.lsn import format_lsn, parse_lsn
from aurora_operator.api.base.rules import sentences
from aurora_operator.api.snapshot import (
    LABEL_SNAPSHOT,
    LABEL_SNAPSHOT_UID,
    AuroraSnapshot,
    AuroraSnapshotSpec,
    AuroraSnapshotStatus,
    ConsistencyPoint,
    SnapshotSource,
)
from aurora_operator.planning.bootstrap.seed_candidates import fit_copies, means_for, means_of, readers_are_behind
from aurora_operator.planning.deletion import clients_are_in
from aurora_operator.planning.model.plan_model import EventSpec, ObjectRef, Observed, Raw, parse_time
from aurora_operator.planning.model.snapshot_model import (
    STEADY_SECONDS,
    WAITING_SECONDS,
    SnapshotPlan,
    SnapshotSeen,
    Step,
    by_backup,
    is_going,
    is_held_by,
    ready_message,
    status_of,
)
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.snapshot import build_volume_snapshot, error_of, is_usable
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.power.waking import without_writer
from aurora_operator.planning.snapshots.snapshot_backup import plan_backed_up, plan_removal
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

FINALIZER: Final = f"{names.GROUP}/snapshot"


def plan_snapshot(seen: SnapshotSeen, now: datetime) -> SnapshotPlan:
    """The next step."""
    before = status_of(seen.snapshot)
    metadata = seen.snapshot["metadata"]
    step = _Planning(seen, before, now).step()
    generation = metadata.get("generation")
    ready = step.phase == "Ready"
    status = before.model_copy(
        update={"observed_generation": generation, "phase": step.phase, "message": step.message, **step.changes}
    )
    conditions = set_condition(
        before.conditions,
        READY,
        "True" if ready else "False",
        step.reason,
        step.message,
        now=now,
        observed_generation=generation,
    )
    status = status.model_copy(update={"conditions": conditions})
    said = get_condition(before.conditions, READY)
    news = said is None or said.reason != step.reason
    event = EventSpec("Warning" if step.reason in _WARN else "Normal", step.reason, step.message)
    return SnapshotPlan(
        status.to_kubernetes(),
        step.create,
        step.delete,
        step.call,
        step.finalizers,
        (event,) if news else (),
        step.seconds,
    )


_WARN: Final = frozenset(
    {reasons.CANNOT_TAKE_SNAPSHOT, reasons.SNAPSHOT_LOST, reasons.SNAPSHOT_FAILING, reasons.SNAPSHOT_LEFT}
)


@dataclass(frozen=True)
class _Planning:
    seen: SnapshotSeen
    before: AuroraSnapshotStatus
    now: datetime

    @property
    def name(self) -> str:
        name: str = self.seen.snapshot["metadata"]["name"]
        return name

    def step(self) -> Step:
        metadata = self.seen.snapshot["metadata"]
        if is_going(self.seen.snapshot):
            kept = tuple(f for f in metadata.get("finalizers") or () if f != FINALIZER)
            if by_backup(self.seen.snapshot):
                return plan_removal(self.seen, self.before, kept, self.now)
            return self._going(kept)
        try:
            spec = AuroraSnapshot.model_validate(
                {"metadata": metadata, "spec": self.seen.snapshot.get("spec") or {}}
            ).spec
        except ValidationError as error:
            return self._cannot(" ".join(sentences(error)))
        finalizers = tuple(metadata.get("finalizers") or ())
        if FINALIZER not in finalizers:
            message = f"A snapshot of {spec.cluster or spec.source_snapshot} is asked for."
            changes = {"started_at": self.now.replace(microsecond=0)}
            return Step("Pending", reasons.WAITING, message, changes, finalizers=(*finalizers, FINALIZER))
        if spec.method == "Backup":
            return plan_backed_up(self.seen, spec, self.before, self.now)
        there = self.seen.volume_snapshot
        if there is not None and not is_held_by(self.seen.snapshot, there):
            return self._cannot(
                f"There is a VolumeSnapshot {self.name} already, which is not this one's: choose another name, or "
                "remove it."
            )
        if there is None and self.name.endswith(names.RESERVED_SNAPSHOT_ENDINGS):
            endings = ", ".join(names.RESERVED_SNAPSHOT_ENDINGS)
            return self._cannot(f"A name that ends with {endings} is reserved for the operator: choose another name.")
        if self.before.completed_at is not None:
            return self._kept(there)
        return self._begin(spec) if there is None else self._follow(spec, there)

    def _cannot(self, message: str) -> Step:
        return Step("Pending", reasons.CANNOT_TAKE_SNAPSHOT, message, seconds=WAITING_SECONDS)

    def _wait(self, message: str, **changes: Any) -> Step:
        return Step("Pending", reasons.WAITING, message, changes)

    def _begin(self, spec: AuroraSnapshotSpec) -> Step:
        """Note how far the cluster is; then take an instance that has all of that."""
        facts = self._facts()
        if facts is None:
            where = self.seen.snapshot["metadata"].get("namespace", "default")
            return self._cannot(f"There is no AuroraCluster {spec.cluster} in namespace {where}.")
        means = means_of(facts.copies.values(), self.seen.storage_classes, self.seen.snapshot_classes)
        if isinstance(means, str):
            return self._cannot(f"No snapshot of a volume can be taken: {means}.")
        leader, settings = facts.leader, facts.settings
        if leader is None or settings is None:
            return self._wait(f"Waiting for a writer of {spec.cluster}{without_writer(facts)}.")
        if self.before.consistency_point is None:
            if (why := clients_are_in(self.seen.snapshot, facts)) is not None:
                return self._wait(why)
            point = ConsistencyPoint(lsn=format_lsn(leader.lsn), timeline=leader.epoch)
            message = f"The snapshot will hold all that {spec.cluster} has committed now."
            return self._wait(message, consistency_point=point)
        lsn = parse_lsn(self.before.consistency_point.lsn)
        copies = fit_copies(facts, lsn)
        if not copies or readers_are_behind(facts, lsn):
            return self._wait(f"Waiting for an instance of {spec.cluster} that has all up to {format_lsn(lsn)}.")
        means = means_for(copies[0], self.seen.storage_classes, self.seen.snapshot_classes)
        if isinstance(means, str):
            return self._cannot(f"No snapshot of a volume can be taken: {means}.")
        source = SnapshotSource(
            database_name=settings.database_name,
            master_username=settings.master_username,
            engine_version=leader.server_version,
            instance=copies[0].name,
            zone=copies[0].zone,
        )
        made = build_volume_snapshot(
            facts.identity,
            self.name,
            claim=claim_name(copies[0].name),
            snapshot_class=means.snapshot_class,
            zone=copies[0].zone,
            lsn=lsn,
            labels={LABEL_SNAPSHOT: self.name, LABEL_SNAPSHOT_UID: self.seen.snapshot["metadata"].get("uid", "")},
            owned=False,
        )
        changes = {"source": source, "volume_snapshot": self.name}
        return Step("Creating", reasons.TAKING_SNAPSHOT, _taking(copies[0]), changes, create=(made,))

    def _facts(self) -> Facts | None:
        seen, source = self.seen, self.seen.source
        if source is None:
            return None
        observed = Observed(
            cluster=source.cluster, operator=seen.operator, children=source.children, agents=source.agents
        )
        return Facts(observed, self.now)

    def _follow(self, spec: AuroraSnapshotSpec, there: Raw) -> Step:
        error = error_of(there)
        if not is_usable(there):
            if error is not None:
                message = f"The storage driver has not made the snapshot yet, and tries again: {error}"
                return Step("Creating", reasons.SNAPSHOT_FAILING, message, seconds=WAITING_SECONDS)
            message = f"The storage driver makes a snapshot of a volume of {spec.cluster}."
            return Step("Creating", reasons.TAKING_SNAPSHOT, message)
        taken = (there.get("status") or {}).get("creationTime")
        point = self.before.consistency_point
        if point is not None and taken is not None:
            point = point.model_copy(update={"time": parse_time(taken)})
        changes = {
            "consistency_point": point,
            "size": (there.get("status") or {}).get("restoreSize"),
            "completed_at": self.now.replace(microsecond=0),
            "volume_snapshot": self.name,
        }
        message = ready_message(self.name)
        return Step("Ready", reasons.SNAPSHOT_READY, message, changes, seconds=STEADY_SECONDS)

    def _kept(self, there: Raw | None) -> Step:
        if there is None or is_leaving(there):
            message = f"The VolumeSnapshot {self.name}, which held the data, was deleted by somebody."
            return Step("Failed", reasons.SNAPSHOT_LOST, message, seconds=STEADY_SECONDS)
        message = ready_message(self.name)
        return Step("Ready", reasons.SNAPSHOT_READY, message, seconds=STEADY_SECONDS)

    def _going(self, kept: tuple[str, ...]) -> Step:
        there = self.seen.volume_snapshot
        ours = there is not None and is_held_by(self.seen.snapshot, there)
        policy = (self.seen.snapshot.get("spec") or {}).get("deletionPolicy", "Delete")
        if there is None or not ours or policy == "Retain":
            return Step("Deleting", reasons.DELETING, "The snapshot is being let go.", finalizers=kept)
        delete = () if is_leaving(there) else (ObjectRef("VolumeSnapshot", self.name, there["metadata"].get("uid")),)
        return Step("Deleting", reasons.DELETING, "The data of the snapshot are being deleted.", delete=delete)


def _taking(copy: Copy) -> str:
    return f"A snapshot of the volume of {copy.name} is being made."
