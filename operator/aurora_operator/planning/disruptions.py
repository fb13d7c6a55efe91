"""What in a plan interrupts a copy that serves. No plan may hold two: the next waits until all is well again.

A disruption is

- a call that restarts PostgreSQL, or makes another instance the writer, or stops the writer;
- the deletion of a pod, whatever state it is in: it may serve by the time it is deleted;
- the deletion of the StatefulSet, or of the claim, of a copy that serves and stays;
- a StatefulSet that is to have no pod any more, of a copy that serves.

A copy serves while its agent says so, or the leader that it streams. It stays unless its claim says that it leaves and
an open leader that it is no member: copies that leave may be removed beside others, since no commit counts on them.

A cluster that is being deleted, or that sleeps with all its copies, is not disrupted: that is what was asked for, and
its writer stops first, which is the one disruption. Backups and snapshots interrupt nobody.
"""

from __future__ import annotations

from typing import Final

from aurora_operator.planning.model.plan_model import ObjectRef, Plan, Restart, StopWriter, Switchover
from aurora_operator.planning.view.facts import Facts

_CALLS: Final = (Restart, Switchover, StopWriter)


def disruptions(made: Plan, view: Facts) -> tuple[str, ...]:
    """Who is interrupted by a plan that was made from `view`, and how: `Restart demo-2`, one for each."""
    calls = [call for call in made.calls if isinstance(call, _CALLS)]
    found = [f"{type(c).__name__} {c.leader if isinstance(c, Switchover) else c.instance}" for c in calls]
    found += [f"delete {ref.kind} {ref.name}" for ref in made.delete if _interrupts(ref, view)]
    for obj in made.apply:
        if obj["kind"] == "StatefulSet" and _stops(obj["metadata"]["name"], obj["spec"].get("replicas", 1), view):
            found.append(f"scale StatefulSet {obj['metadata']['name']} to 0")
    return tuple(found)


def _interrupts(ref: ObjectRef, view: Facts) -> bool:
    if ref.kind == "Pod":
        return True
    name = ref.name.removeprefix("data-") if ref.kind == "PersistentVolumeClaim" else ref.name
    holds = ref.kind in ("StatefulSet", "PersistentVolumeClaim")
    return holds and _serves(name, view) and not _leaves(name, view)


def _stops(name: str, replicas: int, view: Facts) -> bool:
    return replicas == 0 and _serves(name, view)


def _serves(name: str, view: Facts) -> bool:
    copy = view.all_copies.get(name)
    return copy is not None and copy.agent is not None and (copy.agent.role != "none" or view.streaming(name))


def _leaves(name: str, view: Facts) -> bool:
    if view.metadata.get("deletionTimestamp") is not None:
        return True
    return view.all_copies[name].retired and view.is_member(name) is False
