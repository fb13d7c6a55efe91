"""What planning reads (`Observed`) and what it answers (`Plan`): the interface to the operator's shell.

The shell observes, calls `planning.plan.plan(observed, supplies, now)`, and carries the answer out:

1. `finalizers` when not None; `create` (what exists already is read before the next plan); `apply` (server-side apply,
   `FIELD_MANAGER`, force; by the uid in it, to that one object only);
2. `delete` (with the uid as a precondition, background propagation; NotFound is fine) and `calls`;
3. `annotations` (merge patch; None removes), `wakes`, `status` (only when it differs from the observed one), `events`.

The steps of one plan do not depend on each other's success, at most one of them disrupts the database, and all are
safe to repeat: when one fails, log it, go on with the rest, and plan again. `finalizers` that end in an empty list
are the exception: they come last, and only when everything before has succeeded. Nothing is remembered between two
plans except what `Observed` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from aurora_operator.api.agent.messages import AcceptDataLoss, AgentStatus, ParameterCheckResult, SnapshotRequest
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base.volume import VolumeUse

FIELD_MANAGER: Final = "aurora-operator"

Raw = Mapping[str, Any]
"""A Kubernetes object as the API sends it (camelCase keys, plain JSON values)."""

CHILD_KINDS: Final[Mapping[str, str]] = {
    "StatefulSet": "apps/v1",
    "Deployment": "apps/v1",
    "Pod": "v1",
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "ServiceAccount": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Job": "batch/v1",
}
"""Kinds in `Observed.children` and their apiVersions. All are found by the label `names.LABEL_CLUSTER`; the Secret
`names.app_secret` is looked up by name besides, because a user may have made it before the cluster; and so is what was
there already when it was to be created."""


OPTIONAL_KINDS: Final[Mapping[str, str]] = {"VolumeSnapshot": "snapshot.storage.k8s.io/v1"}
"""Kinds in `Observed.children` that a Kubernetes cluster may not have; found by the same label."""


@dataclass(frozen=True)
class Held:
    """An AuroraSnapshot that this cluster is to be made from."""

    snapshot: Raw
    volume: Raw | None = None
    """Its VolumeSnapshot."""


@dataclass(frozen=True)
class OperatorConfig:
    """What the operator was started with."""

    default_image: str
    """Image of instances whose spec names none."""
    namespace: str
    """The operator's own namespace: the only one whose operator pods may reach the agents' API."""
    pod_labels: Mapping[str, str]
    """Labels that select the operator's pods in the NetworkPolicy of each cluster."""
    cluster_domain: str = "cluster.local"
    auto_pause_seconds: int | None = None
    """Instead of secondsUntilAutoPause, for tests."""


@dataclass(frozen=True)
class Node:
    """A Kubernetes node, as far as placement asks."""

    name: str
    zone: str | None
    """Its label `topology.kubernetes.io/zone`."""
    ready: bool = True
    schedulable: bool = True
    """No NoSchedule/NoExecute taint of role control-plane."""
    cordoned: bool = False
    """`spec.unschedulable`: it takes no new pods for now."""
    address: str | None = None
    """Its InternalIP."""
    memory_bytes: int = 0
    """What it can give to pods; 0 if it does not say."""
    cpu_millis: int = 0
    """Likewise, in thousandths."""


@dataclass(frozen=True)
class StorageClass:
    """A StorageClass, as far as storage asks."""

    name: str
    default: bool = False
    expandable: bool = False
    """Its `allowVolumeExpansion`."""
    provisioner: str = ""
    """The driver that makes its volumes."""


@dataclass(frozen=True)
class ObjectWarning:
    """The last thing that Kubernetes complained of about an object: an event of type Warning."""

    reason: str
    """Such as `FailedCreate`."""
    message: str
    """One line, cut where it is long."""


@dataclass(frozen=True)
class SnapshotClass:
    """A VolumeSnapshotClass: that its driver can make snapshots, and volumes from them."""

    name: str
    driver: str
    default: bool = False


@dataclass(frozen=True)
class Source:
    """Another cluster, that this one is to be cloned from."""

    cluster: Raw
    children: Mapping[str, Mapping[str, Raw]] = field(default_factory=dict)
    agents: Mapping[str, AgentStatus | Unreachable] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreachable:
    """An agent that did not answer. It says nothing about the agent: we may be the ones who are cut off."""

    error: str


@dataclass(frozen=True)
class Observed:
    """The world at one moment, all that planning may know. Whatever the shell could not read is absent from here
    only if it does not exist: when a list call fails, do not plan."""

    cluster: Raw
    """The AuroraCluster, whole."""
    operator: OperatorConfig
    children: Mapping[str, Mapping[str, Raw]] = field(default_factory=dict)
    """Kind -> name -> object, for the kinds of `CHILD_KINDS`: only what is the cluster's own, see
    `planning.ownership.whose`."""
    taken: Mapping[str, Mapping[str, Raw]] = field(default_factory=dict)
    """The same of what is somebody else's, as far as it was met."""
    nodes: tuple[Node, ...] = ()
    storage_classes: tuple[StorageClass, ...] = ()
    agents: Mapping[str, AgentStatus | Unreachable] = field(default_factory=dict)
    """By instance name, for every pod of the cluster that has an IP."""
    volume_stats: Mapping[str, VolumeUse] = field(default_factory=dict)
    """What kubelets say about the volumes of copies whose agent has been silent for a while, by name."""
    warnings: Mapping[tuple[str, str], ObjectWarning] = field(default_factory=dict)
    """By kind and name, of what `planning.view.waiting.warnings_wanted` asked for."""
    looked_up: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """Whether objects exist, by kind and name, of what `rollout.prerequisites.references_wanted` asked for. What could
    not be read is not in here."""
    parameter_checks: Mapping[str, ParameterCheckResult] = field(default_factory=dict)
    """Answers to `CheckParameters` by its `fingerprint`, kept in memory by the shell; the latest few suffice.
    A call that failed leaves no entry here, so that it is made again."""

    snapshot_classes: tuple[SnapshotClass, ...] = ()
    """Empty where Kubernetes knows no snapshots."""
    source: Source | None = None
    """What `bootstrap.clone.source_wanted` asked for, if it exists."""

    held: Held | None = None
    """What `bootstrap.from_snapshot.snapshot_wanted` asked for, if it exists."""
    turn: str | None = None
    """What restarts that nobody asked for wait for among all clusters; None: nothing (see `rollout.turns`)."""
    snapshots: Mapping[str, Raw] = field(default_factory=dict)
    """The AuroraSnapshots of the cluster's namespace, of whatever cluster, by name."""

    def child(self, kind: str, name: str) -> Raw | None:
        """The child of that kind and name, or None."""
        return self.children.get(kind, {}).get(name)


@dataclass(frozen=True)
class Supplies:
    """Randomness, brought in from outside (`certificates.entropy.fresh()` makes it; used only where something new
    is needed, and never used twice)."""

    password: str
    """For the master user."""
    private_keys: tuple[str, ...]
    """PEM (PKCS#8) keys, `pki.KEYS_NEEDED` of them."""


@dataclass(frozen=True)
class ObjectRef:
    """An object to delete."""

    kind: str
    name: str
    uid: str | None = None
    grace_period_seconds: int | None = None

    @property
    def api_version(self) -> str:
        """The kind's apiVersion."""
        return {**CHILD_KINDS, **OPTIONAL_KINDS}[self.kind]


@dataclass(frozen=True)
class PushSettings:
    """PUT /v1/settings. A 409 (it has a newer revision) needs no action."""

    instance: str
    settings: Settings


@dataclass(frozen=True)
class Restart:
    """POST /v1/restart, of a reader."""

    instance: str


@dataclass(frozen=True)
class Switchover:
    """POST /v1/switchover at the leader."""

    leader: str
    target: str | None


@dataclass(frozen=True)
class StopWriter:
    """POST /v1/stop at the leader of a cluster that is to pause or stop."""

    instance: str


@dataclass(frozen=True)
class CheckParameters:
    """POST /v1/parameters/check; the answer goes to `Observed.parameter_checks[fingerprint]`."""

    instance: str
    parameters: Mapping[str, str]
    fingerprint: str


@dataclass(frozen=True)
class AcceptLoss:
    """POST /v1/accept-data-loss at an instance that survives."""

    instance: str
    request: AcceptDataLoss


@dataclass(frozen=True)
class TakeBackup:
    """POST /v1/backup."""

    instance: str
    kind: Literal["full", "diff", "incr"]
    token: str


@dataclass(frozen=True)
class TakeSnapshot:
    """POST /v1/snapshot."""

    instance: str
    request: SnapshotRequest


AgentCall = PushSettings | Restart | Switchover | CheckParameters | AcceptLoss | StopWriter | TakeBackup | TakeSnapshot


@dataclass(frozen=True)
class EventSpec:
    """An event on the AuroraCluster."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    """Stable, CamelCase."""
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do now. See the module's text for the order."""

    status: dict[str, Any]
    """The whole status subresource (replace, not merge)."""
    apply: tuple[dict[str, Any], ...] = ()
    """Whole objects for server-side apply: only what was observed, and differs."""
    create: tuple[dict[str, Any], ...] = ()
    """Objects to create, and never to change: what was not observed."""
    delete: tuple[ObjectRef, ...] = ()
    calls: tuple[AgentCall, ...] = ()
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    """Changes to the AuroraCluster's annotations; None removes one."""
    wakes: str | None = None
    """Another AuroraCluster of its namespace, to be woken by its annotation."""
    finalizers: tuple[str, ...] | None = None
    """The AuroraCluster's finalizers from now on, or None for no change."""
    events: tuple[EventSpec, ...] = ()
    requeue_seconds: float = 10.0
    """Plan again after this long, if nothing wakes us earlier."""
    why: tuple[str, ...] = ()
    """A sentence a step, for the log."""

    @property
    def changes(self) -> bool:
        """Whether anything but the status is to be done."""
        return bool(
            self.apply
            or self.create
            or self.delete
            or self.calls
            or self.annotations
            or self.wakes
            or self.finalizers is not None
        )


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp (RFC 3339, UTC). Raises ValueError."""
    return datetime.fromisoformat(text)
