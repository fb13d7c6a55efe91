"""What new pods need of others, and whether it is there: looked up before a pod that runs is taken down for one that
could not be made.

Secrets of repositories are no such thing: a pod runs without them, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import annotation, label
from aurora_operator.planning.objects.instance import ANNOTATION_TEMPLATE, template_of
from aurora_operator.planning.objects.pod import LOG
from aurora_operator.planning.rollout.rollout import Rollout
from aurora_operator.planning.view.facts import Facts

Reference = tuple[str, str]
"""Kind and name."""

PRIORITY_CLASS: Final = "PriorityClass"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
"""What no object can be called is not looked up: a name becomes part of an address."""


@dataclass(frozen=True)
class Prerequisites:
    """What is missing."""

    lacking: Mapping[str, str] = field(default_factory=dict)
    """By copy whose next pod could not be made: what it needs that does not exist."""
    unchanged: frozenset[str] = frozenset()
    """Copies whose StatefulSet stays as it is: a pod of it can be made again at any time."""

    def told(self, rollout: Rollout) -> Rollout:
        """The rollout, and what it waits for."""
        if not self.lacking:
            return rollout
        lacks = self.lacking[min(self.lacking)]
        waits = f"{lacks} does not exist, and new pods need it" if rollout.now is None else rollout.waits_for
        return replace(rollout, lacks=lacks, waits_for=waits)


def references_wanted(cluster: Raw, children: Mapping[str, Mapping[str, Raw]]) -> frozenset[Reference]:
    """What `Observed.looked_up` should tell of: what the spec names and a StatefulSet has not yet, and all that pods
    need which are out of date. Of a cluster that is as it should be, nothing."""
    named = _named(cluster.get("spec") or {})
    wanted: set[Reference] = set()
    for name, statefulset in children.get("StatefulSet", {}).items():
        template = statefulset["spec"]["template"]
        there = references(template["spec"])
        log = label(statefulset, names.LABEL_COMPONENT) == LOG.component
        wanted |= {ref for ref in named - there if not (log and ref[0] == "PersistentVolumeClaim")}
        pod = children.get("Pod", {}).get(names.pod_name(name))
        if pod is not None and annotation(pod, ANNOTATION_TEMPLATE) != annotation(template, ANNOTATION_TEMPLATE):
            wanted |= there
    return frozenset(
        (kind, name) for kind, name in wanted if name not in children.get(kind, {}) and _NAME.fullmatch(name)
    )


def judge_prerequisites(made: Iterable[dict[str, Any]], facts: Facts) -> Prerequisites:
    """Which of the StatefulSets, as they should be, could not make their pods. What is not known counts as there."""
    lacking: dict[str, str] = {}
    unchanged: set[str] = set()
    for statefulset in made:
        name = statefulset["metadata"]["name"]
        copy = facts.all_copies.get(name)
        if copy is None or copy.statefulset is None or copy.template == template_of(statefulset):
            continue
        absent = _absent(statefulset, facts)
        if not absent:
            continue
        lacking[name] = " and ".join(f"{kind} {wanted}" for kind, wanted in absent)
        same = copy.statefulset["spec"].get("replicas", 1) == statefulset["spec"]["replicas"]
        if same and not _absent(copy.statefulset, facts):
            unchanged.add(name)
    return Prerequisites(lacking, frozenset(unchanged))


def references(pod: Raw) -> frozenset[Reference]:
    """The objects of others without which a pod of this spec cannot be made, or cannot start. Our own are made by the
    same plan."""
    found = {("Secret", item["name"]) for item in pod.get("imagePullSecrets") or ()}
    if pod.get("priorityClassName"):
        found.add((PRIORITY_CLASS, pod["priorityClassName"]))
    for volume in pod.get("volumes") or ():
        claim = volume.get("persistentVolumeClaim")
        if claim and volume.get("name") != "data":
            found.add(("PersistentVolumeClaim", claim["claimName"]))
    return frozenset(found)


def _named(spec: Raw) -> frozenset[Reference]:
    """The same of what a user's spec names; one that is not of the form of a spec names nothing."""
    try:
        volume = ((spec.get("backup") or {}).get("destination") or {}).get("volume")
        pod = {
            "priorityClassName": (spec.get("scheduling") or {}).get("priorityClassName"),
            "imagePullSecrets": (spec.get("image") or {}).get("pullSecrets"),
            "volumes": [{"persistentVolumeClaim": volume}] if volume else [],
        }
        return frozenset((kind, name) for kind, name in references(pod) if isinstance(name, str))
    except (AttributeError, KeyError, TypeError):
        return frozenset()


def _absent(statefulset: Raw, facts: Facts) -> list[Reference]:
    needed = references(statefulset["spec"]["template"]["spec"])
    return sorted(ref for ref in needed if facts.observed.looked_up.get(ref) is False)
