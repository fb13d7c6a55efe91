"""One copy that is there in some form, an instance or a log copy, and what its objects say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from aurora_operator.api.agent.messages import AgentStatus, Ailment
from aurora_operator.api.base import names
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import annotation, is_leaving, label
from aurora_operator.planning.objects.instance import ANNOTATION_TEMPLATE
from aurora_operator.planning.objects.volume import ANNOTATION_ADDED, ANNOTATION_RETIRED, RETIRED

_STUCK: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
"""What a container waits for in vain."""


@dataclass(frozen=True)
class Copy:
    """One copy that is there in some form: its objects, and what its agent says."""

    ordinal: int
    """The number at the end of its name."""
    name: str
    statefulset: Raw | None
    pod: Raw | None
    claim: Raw | None
    agent: AgentStatus | None
    """None: its agent did not answer, or was not asked."""
    error: str | None = None
    """Why its agent did not answer."""
    kind: Literal["instance", "log"] = "instance"
    kubelet: VolumeUse | None = None
    """What the kubelet says about its volume, while its agent is silent."""
    standstill: str | None = None
    """Why it does not come to a pod that runs, where its objects and the events about them say so."""

    @property
    def retired(self) -> bool:
        """Whether it was decided before that it goes (or has gone)."""
        return annotation(self.claim, ANNOTATION_RETIRED) in RETIRED

    @property
    def added(self) -> bool:
        """Whether it is a reader that was added because of the load: nobody else is removed for the lack of one."""
        return bool(annotation(self.claim, ANNOTATION_ADDED))

    @property
    def zone(self) -> str | None:
        """Where it was placed."""
        if self.statefulset is not None:
            selector = self.statefulset["spec"]["template"]["spec"].get("nodeSelector") or {}
            zone: str | None = selector.get(names.LABEL_ZONE)
            return zone
        return label(self.claim, names.LABEL_ZONE)

    @property
    def placed(self) -> bool:
        """Whether something ties it to where it is: its volume, or its StatefulSet."""
        return self.statefulset is not None or (self.claim is not None and not is_leaving(self.claim))

    @property
    def exists(self) -> bool:
        """Whether it is an instance of the cluster: it has a StatefulSet, or a volume that awaits one."""
        if self.statefulset is not None and not is_leaving(self.statefulset):
            return True
        return self.claim is not None and not self.retired and not is_leaving(self.claim)

    @property
    def ailment(self) -> Ailment | None:
        """What is wrong with it, as its agent says."""
        return self.agent.ailment if self.agent is not None else None

    @property
    def pod_ready(self) -> bool:
        """Whether Kubernetes sees its pod as ready and staying."""
        if self.pod is None or is_leaving(self.pod):
            return False
        conditions = (self.pod.get("status") or {}).get("conditions") or []
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    @property
    def stuck(self) -> str | None:
        """Why it has no pod, or one that cannot run as it is (its image, its size…), or None. Replacing such a pod
        disturbs nobody."""
        if self.pod is None or is_leaving(self.pod):
            return self.standstill
        status = self.pod.get("status") or {}
        for condition in status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
                return f"{names.pod_name(self.name)} finds no node: {condition.get('message', '')}"
        for container in status.get("containerStatuses") or []:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _STUCK:
                return f"{names.pod_name(self.name)}: {waiting['reason']}: {waiting.get('message', '')}"
        return self.standstill

    @property
    def template(self) -> str | None:
        """The fingerprint of the template that its pod was made from."""
        return annotation(self.pod, ANNOTATION_TEMPLATE)

    @property
    def phase(self) -> str | None:
        """Its agent's phase, or None if unknown."""
        return self.agent.phase if self.agent is not None else None
