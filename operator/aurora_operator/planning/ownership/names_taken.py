"""What of a plan may be carried out, given whose names are taken.

An object that was not seen is created, and never applied: should somebody else's be there, it stays as it is, and the
shell reads it before the next plan. What was seen is applied to that one object only, by its uid.

What would lean on an object that is somebody else's is held back: a StatefulSet that mounts it, a RoleBinding that
hands out its rights, an EndpointSlice that leads its clients elsewhere. An object that names others is made one pass
after them, so that this is known in time. A cluster without instances makes none while any of its names is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import NAME_TAKEN
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.model.plan_model import ObjectRef, Observed, Plan, Raw
from aurora_operator.planning.objects.common import label
from aurora_operator.planning.ownership.whose import controller_of, may_delete_claim

Key = tuple[str, str]
"""Kind and name."""

_NEW_DATA: Final = frozenset({"StatefulSet", "PersistentVolumeClaim", "VolumeSnapshot", "Job"})
_LISTED: Final = 5


@dataclass(frozen=True)
class Settled:
    """A plan that touches only what is ours."""

    plan: Plan
    fault: str | None = None
    """Which names are taken, and the way out."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Condition NameTaken, where it is to be there."""
        return () if self.fault is None else (Condition(NAME_TAKEN, "True", reasons.NAME_TAKEN, self.fault),)


def settle(plan: Plan, observed: Observed) -> Settled:
    """The plan without what is not ours to do."""
    wanted = [*plan.create, *plan.apply]
    taken = {_key(obj) for obj in wanted if _key(obj) in _keys(observed.taken)}
    seen = _keys(observed.children)
    new = {_key(obj) for obj in wanted} - seen - taken
    fresh = bool(taken) and not observed.children.get("StatefulSet")
    held = _held(wanted, taken, new, seen, fresh)
    blocked = taken | held
    created = [obj for obj in plan.create if _key(obj) not in blocked]
    created += [obj for obj in plan.apply if _key(obj) not in blocked | seen]
    applied = [
        _exactly(obj, observed.children[obj["kind"]][obj["metadata"]["name"]])
        for obj in plan.apply
        if _key(obj) in seen and _key(obj) not in blocked
    ]
    delete = tuple(ref for ref in plan.delete if _may_delete(ref, observed))
    quiet = {f"{verb} {kind} {name}" for verb in ("create", "apply") for kind, name in (*taken, *held)}
    made = replace(
        plan,
        create=tuple(created),
        apply=tuple(applied),
        delete=delete,
        why=tuple(why for why in plan.why if why not in quiet),
    )
    return Settled(made, _sentence(sorted(taken), observed, fresh) if taken else None)


def _key(obj: Raw) -> Key:
    return obj["kind"], obj["metadata"]["name"]


def _keys(objects: Any) -> set[Key]:
    return {(kind, name) for kind, by_name in objects.items() for name in by_name}


def _held(wanted: list[dict[str, Any]], taken: set[Key], new: set[Key], seen: set[Key], fresh: bool) -> set[Key]:
    """What waits: for a name that is taken, or for what it names to be there first."""
    held = {_key(obj) for obj in wanted if fresh and obj["kind"] in _NEW_DATA and _key(obj) not in seen}
    while True:
        missing = taken | held
        more = {
            key
            for obj in wanted
            if (key := _key(obj)) not in missing
            and any(used in missing or (key in new and used in new) for used in _uses(obj))
        }
        if not more:
            return held
        held |= more


def _exactly(obj: dict[str, Any], there: Raw) -> dict[str, Any]:
    """The object with the uid of the one that was seen: another one of its name is not changed."""
    uid = there["metadata"].get("uid")
    return obj if uid is None else {**obj, "metadata": {**obj["metadata"], "uid": uid}}


def _may_delete(ref: ObjectRef, observed: Observed) -> bool:
    there = observed.child(ref.kind, ref.name)
    if there is None or ref.uid != there["metadata"].get("uid"):
        return False
    return ref.kind != "PersistentVolumeClaim" or may_delete_claim(there, observed.cluster["metadata"])


def _uses(obj: Raw) -> Iterator[Key]:
    """The objects that this one leans on by name."""
    kind = obj["kind"]
    if kind == "EndpointSlice":
        service = label(obj, "kubernetes.io/service-name")
        if service is not None:
            yield "Service", service
    elif kind == "RoleBinding":
        yield obj["roleRef"]["kind"], obj["roleRef"]["name"]
        for subject in obj["subjects"]:
            yield subject["kind"], subject["name"]
    elif kind == "PersistentVolumeClaim":
        source = obj["spec"].get("dataSource") or {}
        if source:
            yield source["kind"], source["name"]
    elif kind in ("StatefulSet", "Job"):
        yield from _mounted((obj["spec"].get("template") or {}).get("spec") or {})
        if label(obj, names.LABEL_COMPONENT) == "rehearsal":
            yield "NetworkPolicy", names.rehearsal_policy(label(obj, names.LABEL_CLUSTER) or "")


def _mounted(pod: Raw) -> Iterator[Key]:
    if "serviceAccountName" in pod:
        yield "ServiceAccount", pod["serviceAccountName"]
    for volume in pod.get("volumes") or ():
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


def _sentence(taken: list[Key], observed: Observed, fresh: bool) -> str:
    listed = [_described(key, observed) for key in taken[:_LISTED]]
    more = f" and {len(taken) - _LISTED} more" if len(taken) > _LISTED else ""
    one = len(taken) == 1
    waits = "no instance is made" if fresh else "what needs it is not made"
    return (
        f"{', '.join(listed)}{more} {'was' if one else 'were'} there before, and {'is' if one else 'are'} not this "
        f"cluster's: {'it stays' if one else 'they stay'} as {'it is' if one else 'they are'}, and {waits} meanwhile. "
        f"Remove or rename {'it' if one else 'them'}, or give this cluster another name."
    )


def _described(key: Key, observed: Observed) -> str:
    controller = controller_of(observed.taken[key[0]][key[1]])
    of = "" if controller is None else f" (of {controller.get('kind')} {controller.get('name')})"
    return f"{key[0]} {key[1]}{of}"
