"""The agents of the world in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from aurora_operator.api.agent.messages import (
    AgentStatus,
    Ailment,
    ConfigStatus,
    ParameterCheckResult,
    Phase,
    ReplicaStatus,
)
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.api.base.load import Load
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.planning.model.plan_model import (
    AcceptLoss,
    AgentCall,
    CheckParameters,
    PushSettings,
    Restart,
    Switchover,
)
from aurora_operator.planning.objects.config import SETTINGS_KEY

RESTART_PARAMETERS = {"max_connections", "shared_buffers"}
Objects = dict[str, dict[str, dict[str, Any]]]


@dataclass
class Disk:
    """What a volume holds, as far as the agents go."""

    incarnation: str
    settings: Settings | None = None
    has_data: bool = False
    use: VolumeUse | None = None
    load: Load | None = None


@dataclass
class Agent:
    """An agent in a running pod."""

    phase: Phase = "Starting"
    parameters: dict[str, str] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    age: int = 0


class Agents:
    """The agents of a world: they take settings, elect, follow, and change their membership one by one."""

    def __init__(self) -> None:
        self.cluster_name = "demo"
        self.used_bytes = 0
        self.objects: Objects = {}
        self.disks: dict[str, Disk] = {}
        self.agents: dict[str, Agent] = {}
        self.leader: str | None = None
        self.epoch = 0
        self.config = ConfigStatus(version=0, voters=(), write_quorum=1)
        self.frozen: set[str] = set()
        """Instances whose readers do not come up."""
        self.positions: dict[str, tuple[int, int]] = {}
        self.ailments: dict[str, Ailment] = {}
        self.refused: dict[str, str] = {}
        """Parameters that PostgreSQL does not take."""
        self.checks: dict[str, ParameterCheckResult] = {}

    def status_of(self, name: str) -> AgentStatus:
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
            commits_wait_seconds=0.0 if leads else None,
            incarnation=disk.incarnation,
            pod_ip=f"10.0.{int(is_log(name))}.{names_ordinal(name)}",
            phase=agent.phase,
            ailment=self.ailments.get(name),
            position_epoch=self.positions.get(name, (0, 0))[0],
            position_lsn=self.positions.get(name, (0, 0))[1],
            role="writer" if leads else "reader" if agent.phase == "Following" and not is_log(name) else "none",
            epoch=self.epoch,
            lsn=100,
            holds_data=disk.has_data,
            volume_used_bytes=self.used_bytes,
            settings_revision=disk.settings.revision if disk.settings is not None else 0,
            applied_parameters=agent.parameters,
            pending_restart=agent.pending,
            server_version="17.12",
            volume=disk.use,
            load=disk.load,
            config=self.config,
            replicas=replicas if leads else (),
        )

    def following(self) -> list[str]:
        """Readers that stream from the writer."""
        if self.leader is None:
            return []
        return sorted(n for n, a in self.agents.items() if a.phase == "Following" and n != self.leader)

    def call(self, call: AgentCall) -> None:
        match call:
            case PushSettings(instance, settings):
                self._take(instance, settings)
            case CheckParameters(_, parameters, fingerprint):
                errors = {key: self.refused[key] for key in parameters if key in self.refused}
                self.checks[fingerprint] = ParameterCheckResult(errors=errors)
            case Restart(instance):
                assert instance != self.leader and not is_log(instance)
                self.agents[instance] = replace(self.agents[instance], phase="Starting", pending=(), age=0)
            case AcceptLoss(instance, request):
                assert self.leader is None and f"{instance}/{self.disks[instance].incarnation}" in request.survivors
                assert {*request.survivors, *request.lost} == set(self.config.voters)
                running = {voter for voter in request.lost if voter.split("/")[0] in self.agents}
                assert not running, f"not fenced: {running}"
                version, write = self.config.version + 1, len(request.survivors) // 2 + 1
                self.config = ConfigStatus(
                    epoch=self.epoch + 1,
                    version=version,
                    voters=request.survivors,
                    write_quorum=write,
                    floor_epoch=self.epoch + 1,
                    floor_version=version,
                )
            case Switchover(leader, target):
                assert leader == self.leader and target in self.following() and not is_log(target)
                self.epoch += 1
                self.agents[leader] = replace(self.agents[leader], phase="Starting", pending=(), age=0)
                self.leader = target
                self.agents[target].phase = "Leading"

    def _id(self, name: str) -> str:
        return f"{name}/{self.disks[name].incarnation}"

    def _take(self, name: str, settings: Settings) -> None:
        disk, agent = self.disks[name], self.agents[name]
        if disk.settings is None or disk.settings.revision < settings.revision:
            disk.settings = settings
            changed = {k for k in RESTART_PARAMETERS if agent.parameters.get(k) != settings.parameters.get(k)}
            if agent.phase in ("Leading", "Following") and not is_log(name):
                agent.pending = tuple(sorted({*agent.pending, *changed}))
            agent.parameters = dict(settings.parameters)

    def live_agents(self) -> None:
        mounted = self.objects.get("ConfigMap", {}).get(names.settings_configmap(self.cluster_name))
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
        record = self.objects["ConfigMap"].get(names.record_configmap(self.cluster_name))
        if record is None:
            return
        state = Record.model_validate_json(record["data"][RECORD_KEY]).state
        if state == "empty":
            settings = next((d.settings for d in self.disks.values() if d.settings), None)
            if settings is None or settings.bootstrap not in self.agents:
                return
            winner, self.config = settings.bootstrap, ConfigStatus(version=1, voters=(), write_quorum=1)
            self.config = self.config.model_copy(update={"voters": (self._id(winner),)})
        else:
            able = [n for n in self.agents if self.disks[n].has_data and self._id(n) in self.config.voters]
            if not able or len(able) < len(self.config.voters) - self.config.write_quorum + 1:
                return
            standing = [n for n in able if not is_log(n)]
            if not standing:
                return
            winner = min(standing, key=lambda n: (self.agents[n].phase != "Following", n))
        self.leader, self.epoch = winner, self.epoch + 1
        written = Record(state="initialised", leader=self._id(winner), epoch=self.epoch)
        record["data"][RECORD_KEY] = written.model_dump_json(by_alias=True)
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


def is_log(name: str) -> bool:
    """Whether that is a log copy's name."""
    return "-log-" in name


def names_ordinal(instance: str) -> int:
    """The number at the end of an instance's name."""
    return int(instance.rpartition("-")[2])
