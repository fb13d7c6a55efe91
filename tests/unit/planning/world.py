"""A small world in memory: an API server that defaults fields, the controllers of Kubernetes, and agents that agree.

It plays what the plans of `planning.plan` are carried out against, and checks after each what must never happen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from aurora_operator.api import names
from aurora_operator.api.agent import AgentStatus, ConfigStatus, ParameterCheckResult, Phase, ReplicaStatus
from aurora_operator.api.record import RECORD_KEY, Record
from aurora_operator.api.settings import Settings
from aurora_operator.planning import supplies
from aurora_operator.planning.model import (
    AgentCall,
    CheckParameters,
    Node,
    ObjectRef,
    Observed,
    OperatorConfig,
    Plan,
    PushSettings,
    Restart,
    StorageClass,
    Supplies,
    Switchover,
    Unreachable,
)
from aurora_operator.planning.objects.config import SETTINGS_KEY
from aurora_operator.planning.plan import plan

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESTART_PARAMETERS = {"max_connections", "shared_buffers"}
Objects = dict[str, dict[str, dict[str, Any]]]


@cache
def some_supplies() -> Supplies:
    """Supplies to reuse where it does not matter: making keys takes longer than planning."""
    return supplies.fresh()


def cluster(**spec: Any) -> dict[str, Any]:
    """An AuroraCluster as the API server holds it."""
    metadata = {"name": "demo", "namespace": "default", "uid": "uid-demo", "generation": 1, "finalizers": []}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


@dataclass
class Disk:
    """What a volume holds, as far as the agents go."""

    incarnation: str
    settings: Settings | None = None
    has_data: bool = False


@dataclass
class Agent:
    """An agent in a running pod."""

    phase: Phase = "Starting"
    parameters: dict[str, str] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    age: int = 0


class World:
    """State, and `step()`: observe, plan, carry out, let everybody act."""

    def __init__(self, resource: dict[str, Any] | None = None, zones: tuple[str, ...] = ("a", "b", "c")) -> None:
        self.resource = resource or cluster(instances=3)
        self.objects: Objects = {}
        self.nodes = tuple(Node(f"node-{zone}", f"zone-{zone}") for zone in zones)
        self.classes = (StorageClass("standard", default=True, expandable=True),)
        self.image = "aurora-instance:dev"
        self.broken_images: set[str] = set()
        self.now = START
        self.disks: dict[str, Disk] = {}
        self.agents: dict[str, Agent] = {}
        self.leader: str | None = None
        self.epoch = 0
        self.config = ConfigStatus(version=0, voters=(), write_quorum=1)
        self.unreachable: set[str] = set()
        self.frozen: set[str] = set()
        """Instances whose readers do not come up."""
        self.refused: dict[str, str] = {}
        """Parameters that PostgreSQL does not take."""
        self.checks: dict[str, ParameterCheckResult] = {}
        self.plans: list[Plan] = []
        self.gone = False
        self._serial = 0

    # --- observing -------------------------------------------------------------------------------------------

    def observe(self) -> Observed:
        """What the shell would see: good until the next step."""
        agents: dict[str, AgentStatus | Unreachable] = {}
        for name in self._pods():
            known = name in self.agents and name not in self.unreachable
            agents[name] = self._status(name) if known else Unreachable("no answer")
        return Observed(
            cluster=self.resource,
            operator=OperatorConfig(self.image, "aurora-system", {"app": "aurora-operator"}),
            children=self.objects,
            nodes=self.nodes,
            storage_classes=self.classes,
            agents=agents,
            parameter_checks=dict(self.checks),
        )

    def _pods(self) -> Iterator[str]:
        for pod in self.objects.get("Pod", {}).values():
            if pod["status"].get("phase") == "Running":
                yield pod["metadata"]["labels"][names.LABEL_INSTANCE]

    def _status(self, name: str) -> AgentStatus:
        agent, disk = self.agents[name], self.disks[name]
        leads = name == self.leader and agent.phase == "Leading"
        replicas = tuple(
            ReplicaStatus(
                name=other,
                incarnation=self.disks[other].incarnation,
                state="streaming",
                flush_lsn=100,
                replay_lsn=100,
                lag_bytes=0,
                lag_seconds=0.0,
                voting=self._id(other) in self.config.voters,
            )
            for other in self.following()
        )
        return AgentStatus(
            name=name,
            incarnation=disk.incarnation,
            pod_ip=f"10.0.0.{names_ordinal(name)}",
            phase=agent.phase,
            role="writer" if leads else "reader" if agent.phase == "Following" else "none",
            epoch=self.epoch,
            settings_revision=disk.settings.revision if disk.settings is not None else 0,
            applied_parameters=agent.parameters,
            pending_restart=agent.pending,
            server_version="17.12",
            config=self.config,
            replicas=replicas if leads else (),
        )

    def following(self) -> list[str]:
        """Readers that stream from the writer."""
        if self.leader is None:
            return []
        return sorted(n for n, a in self.agents.items() if a.phase == "Following" and n != self.leader)

    # --- acting ----------------------------------------------------------------------------------------------

    def step(self) -> Plan:
        """One pass of the operator, and a moment of everybody else's life."""
        made = plan(self.observe(), some_supplies(), self.now)
        check_safety(self, made)
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
        self._agents()

    def carry_out(self, made: Plan) -> None:
        """What the shell does with a plan."""
        self.plans.append(made)
        for obj in made.create:
            if obj["metadata"]["name"] not in self.objects.get(obj["kind"], {}):
                self._apply(obj)
        for obj in made.apply:
            self._apply(obj)
        for ref in made.delete:
            self._delete(ref)
        for call in made.calls:
            if getattr(call, "instance", self.leader) in self.agents:
                self._call(call)
        metadata = self.resource["metadata"]
        for key, value in made.annotations.items():
            metadata.setdefault("annotations", {})[key] = value
            if value is None:
                del metadata["annotations"][key]
        self.resource["status"] = copy.deepcopy(made.status)
        if made.finalizers is not None:
            metadata["finalizers"] = list(made.finalizers)
            self.gone = "deletionTimestamp" in metadata and not made.finalizers

    def edit(self, **spec: Any) -> None:
        """A user changes the spec."""
        self.resource["spec"] |= spec
        self.resource["metadata"]["generation"] += 1

    def _apply(self, wanted: dict[str, Any]) -> None:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        kinds = self.objects.setdefault(kind, {})
        before = kinds.get(name)
        obj = copy.deepcopy(wanted)
        self._serial += 1
        if before is None:
            obj["metadata"]["uid"] = f"uid-{self._serial}"
            obj["metadata"]["generation"] = 1
        else:
            version = wanted["metadata"].get("resourceVersion")
            assert version in (None, before["metadata"]["resourceVersion"]), "conflict"
            obj = merge(before, obj)
            obj["metadata"]["generation"] = before["metadata"]["generation"] + 1
        obj["metadata"]["resourceVersion"] = str(self._serial)
        if kind == "PersistentVolumeClaim":
            obj["spec"].setdefault("storageClassName", "standard")
        if kind == "Service":
            obj["spec"].setdefault("clusterIP", "10.1.1.1")
            obj["spec"].setdefault("sessionAffinity", "None")
        kinds[name] = obj

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

    def kill(self, name: str) -> None:
        """A pod dies by itself."""
        self._kill(names.pod_name(name))

    def _call(self, call: AgentCall) -> None:
        match call:
            case PushSettings(instance, settings):
                self._take(instance, settings)
            case CheckParameters(_, parameters, fingerprint):
                errors = {key: self.refused[key] for key in parameters if key in self.refused}
                self.checks[fingerprint] = ParameterCheckResult(errors=errors)
            case Restart(instance):
                assert instance != self.leader
                self.agents[instance] = replace(self.agents[instance], phase="Starting", pending=(), age=0)
            case Switchover(leader, target):
                assert leader == self.leader and target in self.following()
                self.epoch += 1
                self.agents[leader] = replace(self.agents[leader], phase="Starting", pending=(), age=0)
                self.leader = target
                self.agents[target].phase = "Leading"

    # --- the controllers of Kubernetes -----------------------------------------------------------------------

    def _controllers(self) -> None:
        for name, statefulset in list(self.objects.get("StatefulSet", {}).items()):
            statefulset["status"] = {"observedGeneration": statefulset["metadata"]["generation"]}
            pod_name = names.pod_name(name)
            if "deletionTimestamp" in statefulset["metadata"]:
                self._kill(pod_name)
                del self.objects["StatefulSet"][name]
            elif pod_name not in self.objects.get("Pod", {}):
                self._make_pod(name, pod_name, statefulset)
        for claim in self.objects.get("PersistentVolumeClaim", {}).values():
            claim["status"] = {"capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]}}
        for pod in self.objects.get("Pod", {}).values():
            self._run(pod)

    def _make_pod(self, name: str, pod_name: str, statefulset: dict[str, Any]) -> None:
        claim = self.objects.get("PersistentVolumeClaim", {}).get(f"data-{name}")
        if claim is None:
            return
        pod = copy.deepcopy(statefulset["spec"]["template"])
        self._serial += 1
        pod["metadata"] |= {"name": pod_name, "uid": f"uid-{self._serial}"}
        pod["status"] = {"phase": "Pending"}
        self.objects.setdefault("Pod", {})[pod_name] = pod

    def _run(self, pod: dict[str, Any]) -> None:
        name, image = pod["metadata"]["labels"][names.LABEL_INSTANCE], pod["spec"]["containers"][0]["image"]
        if image in self.broken_images:
            waiting = {"reason": "ImagePullBackOff", "message": "not found"}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
            return
        agent = self.agents.get(name)
        if agent is None:
            agent = self.agents[name] = Agent()
            self._serial += 1
            self.disks.setdefault(name, Disk(f"{self._serial:08x}"))
        serves = agent.phase in ("Leading", "Following")
        if serves:
            pod["metadata"]["labels"][names.LABEL_ROLE] = "writer" if agent.phase == "Leading" else "reader"
        status = "True" if serves else "False"
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}

    # --- the agents ------------------------------------------------------------------------------------------

    def _id(self, name: str) -> str:
        return f"{name}/{self.disks[name].incarnation}"

    def _take(self, name: str, settings: Settings) -> None:
        disk, agent = self.disks[name], self.agents[name]
        if disk.settings is None or disk.settings.revision < settings.revision:
            disk.settings = settings
            changed = {k for k in RESTART_PARAMETERS if agent.parameters.get(k) != settings.parameters.get(k)}
            if agent.phase in ("Leading", "Following"):
                agent.pending = tuple(sorted({*agent.pending, *changed}))
            agent.parameters = dict(settings.parameters)

    def _agents(self) -> None:
        mounted = self.objects.get("ConfigMap", {}).get(names.settings_configmap("demo"))
        for name, agent in self.agents.items():
            if self.disks[name].settings is None and mounted is not None:
                self._take(name, Settings.model_validate_json(mounted["data"][SETTINGS_KEY]))
            agent.age += 1
            if agent.phase == "Starting" and self.leader is not None and agent.age > 1 and name not in self.frozen:
                agent.phase = "Following"
                self.disks[name].has_data = True
        if self.leader is None and self.agents:
            self._elect()
        if self.leader is not None:
            self._reconfigure()

    def _elect(self) -> None:
        record = self.objects["ConfigMap"][names.record_configmap("demo")]
        state = Record.model_validate_json(record["data"][RECORD_KEY]).state
        if state == "empty":
            settings = next((d.settings for d in self.disks.values() if d.settings), None)
            if settings is None or settings.bootstrap not in self.agents:
                return
            winner, self.config = settings.bootstrap, ConfigStatus(version=1, voters=(), write_quorum=1)
            self.config = self.config.model_copy(update={"voters": (self._id(winner),)})
            record["data"][RECORD_KEY] = Record(state="initialised").model_dump_json(by_alias=True)
        else:
            able = [n for n in self.agents if self.disks[n].has_data and self._id(n) in self.config.voters]
            if not able or len(able) < len(self.config.voters) - self.config.write_quorum + 1:
                return
            winner = min(able, key=lambda n: (self.agents[n].phase != "Following", n))
        self.leader, self.epoch = winner, self.epoch + 1
        self.agents[winner].phase = "Leading"
        self.disks[winner].has_data = True

    def _reconfigure(self) -> None:
        leader = self.leader
        settings = self.disks[leader].settings if leader is not None else None
        if leader is None or settings is None:
            return
        streaming = {self._id(n) for n in (leader, *self.following())}
        voters = set(self.config.voters)
        leaving = sorted(v for v in voters if v.split("/")[0] not in settings.voters and v != self._id(leader))
        joining = sorted(v for v in streaming - voters if v.split("/")[0] in settings.voters)
        lost = {v for v in voters for j in joining[:1] if v.split("/")[0] == j.split("/")[0]}
        new = (voters - lost | set(joining[:1])) if joining else voters - set(leaving[:1])
        write = settings.write_quorum if {v.split("/")[0] for v in new} == set(settings.voters) else len(new) // 2 + 1
        if len(new & streaming) >= write and (tuple(sorted(new)), write) != (
            self.config.voters,
            self.config.write_quorum,
        ):
            self.config = ConfigStatus(version=self.config.version + 1, voters=tuple(sorted(new)), write_quorum=write)

    # --- asking ----------------------------------------------------------------------------------------------

    @property
    def instances(self) -> list[str]:
        """Instances that have a StatefulSet."""
        return sorted(self.objects.get("StatefulSet", {}))

    def zones(self) -> dict[str, str]:
        """The zone of each instance."""
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


def names_ordinal(instance: str) -> int:
    """The number at the end of an instance's name."""
    return int(instance.rpartition("-")[2])


def merge(there: Any, wanted: Any) -> Any:
    """Server-side apply, roughly: maps are merged, all else is replaced."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = {"selector", "matchLabels", "nodeSelector"}
        return {
            **there,
            **{k: v if k in keys or k not in there else merge(there[k], v) for k, v in wanted.items()},
        }
    return wanted


def disruptions(made: Plan) -> list[Any]:
    """What in a plan interrupts a serving instance."""
    pods = [ref for ref in made.delete if ref.kind == "Pod"]
    return [*pods, *(call for call in made.calls if isinstance(call, (Restart, Switchover)))]


def check_safety(world: World, made: Plan) -> None:
    """What no plan may ever do, whatever the world."""
    hits = disruptions(made)
    assert len(hits) <= 1, made.why
    members = {voter.split("/")[0] for voter in world.config.voters}
    serving = {n for n, a in world.agents.items() if a.phase in ("Leading", "Following")}
    for hit in hits:
        target = hit.name.removesuffix("-0") if isinstance(hit, ObjectRef) else getattr(hit, "instance", None)
        if target in serving:
            assert members <= serving, f"{made.why} while {members - serving} are down"
            assert target != world.leader or len(serving) == 1, f"the writer is interrupted: {made.why}"
        if isinstance(hit, (Restart, Switchover)):
            assert world.leader not in world.unreachable
    if "deletionTimestamp" in world.resource["metadata"]:
        return
    for ref in made.delete:
        if ref.kind == "StatefulSet":
            assert ref.name != world.leader and ref.name not in members, made.why
        if ref.kind == "PersistentVolumeClaim":
            assert ref.name.removeprefix("data-") not in members, made.why
