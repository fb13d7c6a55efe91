"""A small world in memory: an API server that defaults fields, the controllers of Kubernetes, and agents that agree.

It plays what the plans of `planning.plan` are carried out against, and checks after each what must never happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.planning.recording import plan
from tests.unit.planning.safety import check_safety
from tests.unit.planning.world_agents import Agent, Agents, Disk

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.controller.failures import with_failure
from aurora_operator.planning.bootstrap.clone import source_wanted
from aurora_operator.planning.bootstrap.from_snapshot import snapshot_wanted
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.model.plan_model import (
    FIELD_MANAGER,
    Held,
    Node,
    ObjectRef,
    ObjectWarning,
    Observed,
    OperatorConfig,
    Plan,
    SnapshotClass,
    Source,
    StorageClass,
    Supplies,
    Unreachable,
)
from aurora_operator.planning.ownership.whose import sort_out
from aurora_operator.planning.rollout.prerequisites import references_wanted
from aurora_operator.planning.view.waiting import warnings_wanted

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@cache
def some_supplies() -> Supplies:
    """Supplies to reuse where it does not matter. They are the same in every run, so that plans can be recorded."""
    keys = (ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, pki.KEYS_NEEDED + 1))
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return Supplies("a-password-for-tests", tuple(key.private_bytes(pem, pkcs8, plain).decode() for key in keys))


def cluster(name: str = "demo", **spec: Any) -> dict[str, Any]:
    """An AuroraCluster as the API server holds it."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1, "finalizers": []}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


class World(Agents):
    """State, and `step()`: observe, plan, carry out, let everybody act."""

    def __init__(self, resource: dict[str, Any] | None = None, zones: tuple[str, ...] = ("a", "b", "c")) -> None:
        super().__init__()
        self.resource = resource or cluster(instances=3)
        self.nodes = tuple(Node(f"node-{zone}", f"zone-{zone}") for zone in zones)
        self.cluster_name = self.resource["metadata"]["name"]
        self.snapshot_classes: tuple[SnapshotClass, ...] = ()
        self.source: World | None = None
        self.held: Held | None = None
        self.classes: tuple[StorageClass, ...] = (
            StorageClass("standard", default=True, expandable=True, provisioner="csi.test"),
        )
        self.image = "aurora-instance:dev"
        self.turn: str | None = None
        self.broken_images: set[str] = set()
        self.now = START
        self.unreachable: set[str] = set()
        self.lost_zones: set[str] = set()
        self.lost_claims: set[str] = set()
        self.stuck_pods: set[str] = set()
        self.volume_stats: dict[str, VolumeUse] = {}
        """What kubelets say."""
        self.no_pods: dict[str, ObjectWarning] = {}
        """StatefulSets that cannot make their pods, and what their controller says of it."""
        self.no_start: dict[str, ObjectWarning] = {}
        """Copies whose pods never start, and what their kubelet says of it."""
        self.no_volumes: dict[str, ObjectWarning | None] = {}
        """Copies whose claims get no volume, and what the provisioner says of it, if it says anything."""
        self.priority_classes: set[str] = set()
        """Those that exist: no pod is made of one that does not."""
        self.asked: list[tuple[str, str]] = []
        """What events were read of."""
        self.met: set[tuple[str, str]] = set()
        """What was there already when it was to be created."""
        self.plans: list[Plan] = []
        self.gone = False
        self.quota: int | None = None
        """The largest claim that the namespace's ResourceQuota lets through, in bytes."""
        self.resizer_broken = False
        """Claims that ask for more get nothing."""
        self._serial = 0
        self._applied: dict[tuple[str, str], dict[str, Any]] = {}

    # --- observing -------------------------------------------------------------------------------------------

    def observe(self) -> Observed:
        """What the shell would see: good until the next step."""
        agents: dict[str, AgentStatus | Unreachable] = {}
        for name in self._pods():
            known = name in self.agents and name not in self.unreachable
            agents[name] = self.status_of(name) if known else Unreachable("no answer")
        # As the shell does: what has the label, what was met when it was to be created, the connection Secret.
        found = {
            kind: {name: obj for name, obj in objects.items() if self._is_found(kind, name, obj)}
            for kind, objects in self.objects.items()
            if kind != "AuroraSnapshot"
        }
        sorted_out = sort_out(self.resource, found)
        return Observed(
            cluster=self.resource,
            operator=OperatorConfig(self.image, "aurora-system", {"app": "aurora-operator"}),
            children=sorted_out.ours,
            taken=sorted_out.taken,
            nodes=self.nodes,
            storage_classes=self.classes,
            agents=agents,
            volume_stats=dict(self.volume_stats),
            warnings=self._warnings(sorted_out.ours),
            looked_up={key: self._exists(*key) for key in references_wanted(self.resource, sorted_out.ours)},
            parameter_checks=dict(self.checks),
            snapshot_classes=self.snapshot_classes,
            source=self._source(),
            held=self.held if snapshot_wanted(self.resource, self.objects) is not None else None,
            snapshots=self.objects.get("AuroraSnapshot", {}),
            turn=self.turn,
        )

    def _exists(self, kind: str, name: str) -> bool:
        """Whether there is an object of a user's. A claim for backups always is."""
        if kind == "PersistentVolumeClaim":
            return True
        return name in self.priority_classes if kind == "PriorityClass" else name in self.objects.get(kind, {})

    def _warnings(self, ours: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], ObjectWarning]:
        wanted = warnings_wanted(self.resource, ours, self.now)
        self.asked += wanted
        said: dict[tuple[str, str], ObjectWarning | None] = {
            **{("StatefulSet", name): warning for name, warning in self.no_pods.items()},
            **{("Pod", names.pod_name(name)): warning for name, warning in self.no_start.items()},
            **{("PersistentVolumeClaim", f"data-{name}"): warning for name, warning in self.no_volumes.items()},
        }
        return {key: warning for key in wanted if (warning := said.get(key)) is not None}

    def _is_found(self, kind: str, name: str, obj: Mapping[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        labelled = labels.get(names.LABEL_CLUSTER) == self.cluster_name
        return labelled or (kind, name) in self.met or name == names.app_secret(self.cluster_name)

    def _source(self) -> Source | None:
        if self.source is None or source_wanted(self.resource, self.objects) is None:
            return None
        theirs = self.source.observe()
        return Source(theirs.cluster, theirs.children, theirs.agents)

    def _pods(self) -> Iterator[str]:
        for pod in self.objects.get("Pod", {}).values():
            if pod["status"].get("phase") == "Running":
                yield pod["metadata"]["labels"][names.LABEL_INSTANCE]

    # --- acting ----------------------------------------------------------------------------------------------

    def step(self) -> Plan:
        """One pass of the operator, and a moment of everybody else's life."""
        made = plan(self.observe(), some_supplies(), self.now)
        check_safety(self, self.resource, self.unreachable, made)
        self.carry_out(made)
        self.live()
        return made

    def settle(self, steps: int = 80) -> Plan:
        """Step until a plan asks for nothing, twice in a row."""
        calm = 0
        for _ in range(steps):
            made = self.step()
            calm = 0 if made.changes or made.status["phase"] not in ("Ready", "Blocked") else calm + 1
            if calm == 2 or self.gone:
                return made
        raise AssertionError(f"never settled: {made.status['phase']} {made.status.get('message')} {made.why}")

    def live(self) -> None:
        """Controllers and agents do one thing each."""
        self.now += timedelta(seconds=1)
        self._controllers()
        self.live_agents()

    def carry_out(self, made: Plan) -> None:
        """What the shell does with a plan."""
        self.plans.append(made)
        refused = [obj for obj in (*made.create, *made.apply) if self._over_quota(obj)]
        for obj in made.create:
            if obj["metadata"]["name"] in self.objects.get(obj["kind"], {}):
                self.met.add((obj["kind"], obj["metadata"]["name"]))
            elif obj not in refused:
                self._apply(obj)
        for obj in made.apply:
            if obj not in refused:
                there = self.objects[obj["kind"]][obj["metadata"]["name"]]
                assert obj["metadata"]["uid"] == there["metadata"]["uid"], "applied to something else"
                self._apply(obj)
        for ref in made.delete:
            self._delete(ref)
        for call in made.calls:
            if getattr(call, "instance", self.leader) in self.agents:
                self.call(call)
        metadata = self.resource["metadata"]
        for key, value in made.annotations.items():
            metadata.setdefault("annotations", {})[key] = value
            if value is None:
                del metadata["annotations"][key]
        status = copied(made.status)
        if refused:
            why = (
                f"cannot apply {refused[0]['kind']} {refused[0]['metadata']['name']}: 403 Forbidden: exceeded quota: q"
            )
            status = with_failure(status, self.resource.get("status") or {}, [why], 1, self.now)
        self.resource["status"] = status
        if made.finalizers is not None:
            metadata["finalizers"] = list(made.finalizers)
            self.gone = "deletionTimestamp" in metadata and not made.finalizers

    def _over_quota(self, obj: dict[str, Any]) -> bool:
        if obj["kind"] != "PersistentVolumeClaim" or self.quota is None:
            return False
        return to_bytes(obj["spec"]["resources"]["requests"]["storage"]) > self.quota

    def edit(self, **spec: Any) -> None:
        """A user changes the spec."""
        self.resource["spec"] |= spec
        self.resource["metadata"]["generation"] += 1

    def _apply(self, wanted: dict[str, Any]) -> None:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        kinds = self.objects.setdefault(kind, {})
        before = kinds.get(name)
        obj = copied(wanted)
        self._serial += 1
        if before is None:
            obj["metadata"]["uid"] = f"uid-{self._serial}"
            obj["metadata"]["generation"] = 1
            if kind == "StatefulSet":
                obj["metadata"]["creationTimestamp"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            version = wanted["metadata"].get("resourceVersion")
            assert version in (None, before["metadata"].get("resourceVersion")), "conflict"
            obj = merge(before, obj, self._applied.get((kind, name)))
            obj["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        obj["metadata"]["resourceVersion"] = str(self._serial)
        others = [e for e in (before or obj)["metadata"].get("managedFields", ()) if e["manager"] != FIELD_MANAGER]
        obj["metadata"]["managedFields"] = [applied_by_us(wanted), *others]
        if kind == "PersistentVolumeClaim":
            obj["spec"].setdefault("storageClassName", "standard")
        if kind == "Service":
            obj["spec"].setdefault("clusterIP", "10.1.1.1")
            obj["spec"].setdefault("sessionAffinity", "None")
        kinds[name] = obj
        self._applied[kind, name] = copied(wanted)

    def _delete(self, ref: ObjectRef) -> None:
        there = self.objects.get(ref.kind, {}).get(ref.name)
        if there is None or there["metadata"]["uid"] != ref.uid:
            return
        if ref.kind == "Pod":
            self._kill(ref.name)
        elif ref.kind == "StatefulSet":
            there["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
        else:
            del self.objects[ref.kind][ref.name]
            if ref.kind == "PersistentVolumeClaim":
                self.disks.pop(ref.name.removeprefix("data-"), None)

    def _kill(self, pod: str) -> None:
        if self.objects.get("Pod", {}).pop(pod, None) is not None:
            name = pod.removesuffix("-0")
            self.agents.pop(name, None)
            if self.leader == name:
                self.leader = None

    def lose_zone(self, zone: str) -> None:
        """All nodes of a zone are off: what runs there does not any more, and nobody has said so to its pods."""
        self.lost_zones.add(zone)
        self.nodes = tuple(replace(n, ready=n.zone != zone and n.ready) for n in self.nodes)
        for name, where in self.all_zones().items():
            if where == zone:
                self.agents.pop(name, None)
                self.leader = None if self.leader == name else self.leader

    def find_zone(self, zone: str) -> None:
        """They are on again."""
        self.lost_zones.discard(zone)
        self.nodes = tuple(replace(n, ready=n.zone == zone or n.ready) for n in self.nodes)

    def kill(self, name: str) -> None:
        """A pod dies by itself."""
        self._kill(names.pod_name(name))

    # --- the controllers of Kubernetes -----------------------------------------------------------------------

    def _controllers(self) -> None:
        for name, statefulset in list(self.objects.get("StatefulSet", {}).items()):
            statefulset["status"] = {"observedGeneration": statefulset["metadata"]["generation"]}
            pod_name = names.pod_name(name)
            if "deletionTimestamp" in statefulset["metadata"]:
                if pod_name in self.stuck_pods:
                    continue
                self._kill(pod_name)
                del self.objects["StatefulSet"][name]
            elif pod_name not in self.objects.get("Pod", {}) and name not in self.no_pods:
                self._make_pod(name, pod_name, statefulset)
        for claim in self.objects.get("PersistentVolumeClaim", {}).values():
            capacity = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
            if not self.resizer_broken or "status" not in claim:
                claim["status"] = {"capacity": capacity}
            if claim["metadata"]["name"].removeprefix("data-") in self.no_volumes:
                claim["status"] = {"phase": "Pending"}
        for name in self.lost_claims:
            self.objects["PersistentVolumeClaim"][name]["status"]["phase"] = "Lost"
        for pod in self.objects.get("Pod", {}).values():
            zone = pod["spec"].get("nodeSelector", {}).get(names.LABEL_ZONE)
            if zone in self.lost_zones:
                pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
            else:
                pod["spec"].setdefault("nodeName", f"node-{(zone or 'x').removeprefix('zone-')}")
                self._run(pod)

    def _make_pod(self, name: str, pod_name: str, statefulset: dict[str, Any]) -> None:
        claim = self.objects.get("PersistentVolumeClaim", {}).get(f"data-{name}")
        priority = statefulset["spec"]["template"]["spec"].get("priorityClassName")
        if claim is None or (priority is not None and priority not in self.priority_classes):
            return
        pod = copied(statefulset["spec"]["template"])
        self._serial += 1
        made = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["metadata"] |= {"name": pod_name, "uid": f"uid-{self._serial}", "creationTimestamp": made}
        pod["status"] = {"phase": "Pending"}
        self.objects.setdefault("Pod", {})[pod_name] = pod

    def _run(self, pod: dict[str, Any]) -> None:
        name, image = pod["metadata"]["labels"][names.LABEL_INSTANCE], pod["spec"]["containers"][0]["image"]
        if name in self.no_start or name in self.no_volumes:
            pod["status"] = {"phase": "Pending"}
            return
        if image in self.broken_images:
            waiting = {"reason": "ImagePullBackOff", "message": "not found"}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
            return
        agent = self.agents.get(name)
        if agent is None:
            agent = self.agents[name] = Agent()
            self._serial += 1
            self.disks.setdefault(name, Disk(f"{self._serial:08x}"))
        settings = self.disks[name].settings
        member = settings.member(name) if settings is not None else None
        serves = agent.phase in ("Leading", "Following") and not (member is not None and member.draining)
        if serves and "-log-" not in name:
            pod["metadata"]["labels"][names.LABEL_ROLE] = "writer" if agent.phase == "Leading" else "reader"
        status = "True" if serves else "False"
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}

    # --- asking ----------------------------------------------------------------------------------------------

    @property
    def instances(self) -> list[str]:
        """Instances that have a StatefulSet."""
        return sorted(name for name in self.objects.get("StatefulSet", {}) if "-log-" not in name)

    @property
    def logs(self) -> list[str]:
        """Log copies that have a StatefulSet."""
        return sorted(name for name in self.objects.get("StatefulSet", {}) if "-log-" in name)

    def zones(self) -> dict[str, str]:
        """The zone of each instance."""
        return {name: zone for name, zone in self.all_zones().items() if name in self.instances}

    def all_zones(self) -> dict[str, str]:
        """The zone of each copy."""
        sets = self.objects.get("StatefulSet", {})
        return {n: s["spec"]["template"]["spec"]["nodeSelector"][names.LABEL_ZONE] for n, s in sets.items()}

    def condition(self, type_: str) -> Mapping[str, Any]:
        """A condition of the status."""
        found: Mapping[str, Any] = next(c for c in self.resource["status"]["conditions"] if c["type"] == type_)
        return found

    def until(self, holds: Callable[[], bool], steps: int = 80) -> None:
        """Step until something holds."""
        for _ in range(steps):
            if holds():
                return
            self.step()
        raise AssertionError(f"never came: {self.resource['status']}")


def applied_by_us(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What the API server notes of an apply, as far as anybody here reads it: labels and annotations."""
    marks: dict[str, Any] = {
        f"f:{what}": {f"f:{key}": {} for key in wanted["metadata"].get(what) or {}}
        for what in ("labels", "annotations")
    }
    return {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": marks}}


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares nothing with it."""
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def merge(there: Any, wanted: Any, before: Any = None) -> Any:
    """Server-side apply, roughly: maps are merged, all else is replaced. What we applied `before` and want no more
    goes; what others added stays."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        ours = before if isinstance(before, dict) else {}
        keys = {"selector", "matchLabels", "nodeSelector"}
        return {
            **{k: v for k, v in there.items() if k in wanted or k not in ours},
            **{k: v if k in keys or k not in there else merge(there[k], v, ours.get(k)) for k, v in wanted.items()},
        }
    return wanted
