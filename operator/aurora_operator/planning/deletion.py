"""Deleting a cluster: the instances first, then the volumes if that was asked for, then the finalizer. The rest goes
with its owner.

Where the volumes go too, a last AuroraSnapshot of the running cluster comes before everything, unless the spec says
`skipFinalSnapshot`: by the storage driver where that can, else as a backup where the cluster has a destination for it,
unless `finalSnapshotMethod` says which. The writer shuts its clients out first (`Settings.closed`), so that all that
they have written is in it; until it is there, all else goes on as if the cluster stayed. One that sleeps or is stopped
is started for it. Where none can be taken, the deletion waits, and says so.

`deletionProtection` is the business of the admission policy in the chart. Where that is missing, the finalizer stands
in: nothing is removed, and the cluster goes on, until protection is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, count
from typing import Any, Final, Protocol

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import SNAPSHOT_KIND
from aurora_operator.planning.bootstrap.seed_candidates import Means, means_of
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.model.plan_model import ObjectRef, Raw, parse_time
from aurora_operator.planning.objects.common import annotation, is_leaving
from aurora_operator.planning.ownership.whose import may_delete_claim
from aurora_operator.planning.view.facts import Facts

FINALIZER: Final = f"{names.GROUP}/cleanup"
PATIENCE: Final = timedelta(minutes=2)
"""How long to wait for pods to end. One on a lost node never says that it has."""
_FOREGROUND: Final = "foregroundDeletion"
"""What Kubernetes' garbage collector goes by (`--cascade=foreground`): it deletes all that the cluster owns."""


@dataclass(frozen=True)
class Deletion:
    """The next step."""

    delete: tuple[ObjectRef, ...]
    finalizers: tuple[str, ...] | None
    message: str
    why: tuple[str, ...]
    create: tuple[dict[str, Any], ...] = ()
    awaits_snapshot: bool = False
    """Nothing goes yet, and the cluster must live."""


class _Needs(Protocol):
    @property
    def ending(self) -> Deletion | None: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Our finalizer on a cluster that lives; the final snapshot of one that lives only for it."""
    finalizers = tuple(view.metadata.get("finalizers") or ())
    adds = FINALIZER not in finalizers and view.metadata.get("deletionTimestamp") is None
    return Contribution(
        create=() if choices.ending is None else choices.ending.create,
        finalizers=(*finalizers, FINALIZER) if adds else None,
    )


def in_our_order(facts: Facts, finalizers: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The finalizers of a plan (None: as they are), without the one that has the garbage collector delete everything
    first. While ours is there the order is ours, whatever the deletion asked for: until then the chart's policy refuses
    the garbage collector. The resource still stays until its instances, and volumes, have gone.
    """
    here = tuple(facts.metadata.get("finalizers") or ())
    wanted = here if finalizers is None else finalizers
    if FINALIZER not in here or _FOREGROUND not in wanted:
        return finalizers
    return tuple(f for f in wanted if f != _FOREGROUND)


def is_final_snapshot(snapshot: Raw, cluster: Raw) -> bool:
    """Whether an AuroraSnapshot holds what a cluster that is being deleted had last: its own, made by us or since it
    was deleted. What a user called alike before may be of any age, or of another cluster."""
    made, going = snapshot["metadata"], cluster["metadata"]
    if (snapshot.get("spec") or {}).get("cluster") != going["name"]:
        return False
    if annotation(snapshot, names.ANNOTATION_CLUSTER_UID) == going.get("uid", ""):
        return True
    created = made.get("creationTimestamp")
    return created is not None and parse_time(created) >= parse_time(going["deletionTimestamp"])


def clients_are_in(snapshot: Raw, facts: Facts) -> str | None:
    """What the final snapshot waits for: that nobody can write any more what would not be in it. None: for nothing. A
    writer whose agent does not know how to shut clients out is not waited for."""
    deleting = facts.metadata.get("deletionTimestamp") is not None
    if not deleting or facts.leader is None or facts.leader.closed is not False:
        return None
    if not is_deleting(facts) or not is_final_snapshot(snapshot, facts.observed.cluster):
        return None
    return f"Clients of {facts.name} are being shut out, so that all that they have written is in it."


def find_final_snapshot(cluster: Raw, snapshots: Mapping[str, Raw]) -> tuple[str, Raw | None]:
    """The AuroraSnapshot that is made before a cluster's volumes are deleted, by its name; the first name that nobody
    has taken, while there is none."""
    metadata = cluster["metadata"]
    stem = f"{metadata['name']}-final-{str(metadata.get('uid', ''))[:8]}"
    for name, snapshot in sorted(snapshots.items()):
        if name.startswith(stem) and is_final_snapshot(snapshot, cluster):
            return name, snapshot
    further = (f"{stem}-{number}" for number in count(2))
    return next(name for name in chain((stem,), further) if name not in snapshots), None


def is_deleting(facts: Facts) -> bool:
    """Whether the cluster is to go, and may."""
    return facts.metadata.get("deletionTimestamp") is not None and not is_protected(facts)


def is_protected(facts: Facts) -> bool:
    """Whether the spec, as it is written now, forbids deletion."""
    return bool((facts.observed.cluster.get("spec") or {}).get("deletionProtection"))


def without_finalizer(facts: Facts) -> tuple[str, ...]:
    """The resource's finalizers but ours."""
    return tuple(f for f in facts.metadata.get("finalizers") or () if f != FINALIZER)


def plan_deletion(facts: Facts) -> Deletion:
    """What to remove now."""
    waits = _final_snapshot(facts)
    if waits is not None:
        return waits
    delete = [_reference("StatefulSet", raw) for raw in _present(facts, "StatefulSet")]
    delete += [_reference("Job", raw) for raw in _present(facts, "Job")]
    if delete or facts.observed.children.get("StatefulSet"):
        return Deletion(tuple(delete), None, "The instances are shutting down.", _why(delete))
    pods = facts.observed.children.get("Pod", {})
    since = facts.now - parse_time(facts.metadata["deletionTimestamp"])
    if pods and since < PATIENCE:
        return Deletion((), None, f"The instances are shutting down: {', '.join(sorted(pods))}.", ())
    if _deletes_volumes(facts):
        claims = [c for c in _claims(facts) if may_delete_claim(c, facts.metadata)]
        delete = [_reference("PersistentVolumeClaim", dict(raw)) for raw in claims if not is_leaving(raw)]
        if claims:
            return Deletion(tuple(delete), None, "The volumes are being deleted.", _why(delete))
    return Deletion((), without_finalizer(facts), "All is removed.", ("let the cluster go",))


def _final_snapshot(facts: Facts) -> Deletion | None:
    """What is to be done for the final snapshot before anything may go, or None."""
    spec = facts.observed.cluster.get("spec") or {}
    claims = facts.observed.children.get("PersistentVolumeClaim", {})
    if not claims or not facts.initialised or not _deletes_volumes(facts) or spec.get("skipFinalSnapshot"):
        return None
    name, there = find_final_snapshot(facts.observed.cluster, facts.observed.snapshots)
    if there is None:
        made = {
            "apiVersion": names.API_VERSION,
            "kind": SNAPSHOT_KIND,
            "metadata": {
                "name": name,
                "namespace": facts.identity.namespace,
                "annotations": {names.ANNOTATION_CLUSTER_UID: facts.identity.uid},
            },
            "spec": {"cluster": facts.name, "method": _method(facts)},
        }
        message = f"The final snapshot {name} is being made."
        return Deletion((), None, message, (), (made,), awaits_snapshot=True)
    status = there.get("status") or {}
    if status.get("phase") == "Ready" and not is_leaving(there):
        return None
    return Deletion(
        (),
        None,
        f"Nothing is deleted before the final snapshot {name} is there. {status.get('message', '')} "
        "To delete the data without one, set skipFinalSnapshot: true. To have it made in another way, set "
        f"finalSnapshotMethod, and delete this AuroraSnapshot.",
        (),
        awaits_snapshot=True,
    )


def _method(facts: Facts) -> str:
    """What the spec says, as it is written now, else what can be done here."""
    spec = facts.observed.cluster.get("spec") or {}
    if chosen := spec.get("finalSnapshotMethod"):
        return str(chosen)
    seen = facts.observed
    means = means_of(facts.copies.values(), seen.storage_classes, seen.snapshot_classes)
    return "Backup" if spec.get("backup") and not isinstance(means, Means) else "VolumeSnapshot"


def _deletes_volumes(facts: Facts) -> bool:
    """As the spec is written now, even if it is not acceptable otherwise; by default volumes stay."""
    node = facts.observed.cluster.get("spec") or {}
    for key in ("storage", "volumeRetention"):
        node = node.get(key) or {}
    return bool(node.get("whenDeleted") == "Delete")


def _claims(facts: Facts) -> list[Raw]:
    return [raw for _, raw in sorted(facts.observed.children.get("PersistentVolumeClaim", {}).items())]


def _present(facts: Facts, kind: str) -> list[dict[str, object]]:
    objects = facts.observed.children.get(kind, {})
    return [dict(raw) for _, raw in sorted(objects.items()) if not is_leaving(raw)]


def _reference(kind: str, raw: dict[str, object]) -> ObjectRef:
    metadata = raw["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  for the type checker
    return ObjectRef(kind, metadata["name"], metadata.get("uid"))


def _why(delete: list[ObjectRef]) -> tuple[str, ...]:
    return tuple(f"delete {ref.kind} {ref.name}: the cluster is being deleted" for ref in delete)
