"""Which copies of a cluster's data are fit to be copied, by a snapshot of their volume or otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aurora_operator.planning.model.plan_model import SnapshotClass, StorageClass
from aurora_operator.planning.objects.snapshot import class_for
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.volume_expansion import class_of


@dataclass(frozen=True)
class Means:
    """How a snapshot of a volume is taken."""

    snapshot_class: str
    driver: str


def fit_copies(facts: Facts, lsn: int) -> tuple[Copy, ...]:
    """Healthy instances with everything up to `lsn` on their disk, the best to disturb first: readers, those that
    are promoted last, and the writer at the very end."""
    leader = facts.leader
    if leader is None:
        return ()

    def has(copy: Copy) -> bool:
        if copy.name == leader.name:
            return leader.lsn >= lsn
        replica = facts.replicas.get(copy.name)
        return replica is not None and replica.flush_lsn >= lsn

    fit = [c for c in facts.copies.values() if c.exists and not c.retired and facts.healthy(c) and has(c)]
    return tuple(sorted(fit, key=lambda c: (c.name == leader.name, -c.ordinal)))


def readers_are_behind(facts: Facts, lsn: int) -> bool:
    """Whether a healthy reader has not got so far yet, but will in a moment: worth waiting for, to spare the writer."""
    ready = {c.name for c in fit_copies(facts, lsn)}
    leader = facts.leader
    names = [c.name for c in facts.copies.values() if facts.healthy(c) and leader is not None and c.name != leader.name]
    return bool(names) and not ready.intersection(names)


def means_of(
    copies: Iterable[Copy], storage: Iterable[StorageClass], snapshots: Iterable[SnapshotClass]
) -> Means | str:
    """How to take a snapshot of some copy's volume, or a sentence why that cannot be of any."""
    storage, snapshots = tuple(storage), tuple(snapshots)
    found = [means_for(copy, storage, snapshots) for copy in copies]
    usable = [means for means in found if isinstance(means, Means)]
    return (usable or found or ["there is no volume"])[0]


def means_for(copy: Copy, storage: Iterable[StorageClass], snapshots: Iterable[SnapshotClass]) -> Means | str:
    """How to take a snapshot of a copy's volume, or a sentence why that cannot be."""
    classes = tuple(snapshots)
    if not classes:
        return "Kubernetes has no VolumeSnapshotClass"
    claim = copy.claim
    used = class_of(claim, tuple(storage)) if claim is not None else None
    if claim is None or used is None:
        return f"the StorageClass of the volume of {copy.name} is not known"
    chosen = class_for(used.provisioner, classes)
    if chosen is None:
        return f"there is no VolumeSnapshotClass for {used.provisioner}, the driver of StorageClass {used.name}"
    return Means(chosen.name, chosen.driver)
