"""What `Observed` means: copies with their objects and agents, the open leader, who is healthy.

Everything here answers from what was seen. "Not seen" is never taken for "not there": an agent that did not answer is
neither healthy nor dead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from aurora_operator.api.agent.messages import AgentStatus, ConfigStatus, ReplicaStatus
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import AVAILABLE, get_condition
from aurora_operator.api.status import AuroraClusterStatus
from aurora_operator.planning.model.plan_model import Node, Observed, Raw, Unreachable
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.config import ACCEPTED_KEY, SETTINGS_KEY, ZONES_KEY
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.waiting import standstill

STANDSTILL_SECONDS: Final = 5.0
"""When a write quorum has acknowledged nothing for so long, though there is something, commits wait for it."""
CAUGHT_UP_BYTES: Final = 16 << 20
"""A copy that is behind by no more than a WAL segment is up to date enough to count, and to take over."""


@dataclass(frozen=True)
class Facts:
    """`Observed`, understood."""

    observed: Observed
    now: datetime

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The AuroraCluster's metadata."""
        value: Mapping[str, Any] = self.observed.cluster["metadata"]
        return value

    @cached_property
    def before(self) -> AuroraClusterStatus:
        """The status that is there; an empty one where it cannot be read."""
        try:
            return AuroraClusterStatus.model_validate(self.observed.cluster.get("status") or {})
        except ValidationError:
            return AuroraClusterStatus()

    @cached_property
    def identity(self) -> Identity:
        """The cluster's name, namespace and uid."""
        return Identity(self.metadata["name"], self.metadata.get("namespace", "default"), self.metadata.get("uid", ""))

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.identity.name

    @cached_property
    def copies(self) -> Mapping[int, Copy]:
        """The instances by ordinal: all that have a StatefulSet, a pod or a volume."""
        return self._find("instance", rf"{re.escape(self.name)}-([1-9]\d?)")

    @cached_property
    def log_copies(self) -> Mapping[int, Copy]:
        """The log copies by number: all that have a StatefulSet, a pod or a volume."""
        return self._find("log", rf"{re.escape(self.name)}-log-([1-9]\d{{0,5}})")

    @cached_property
    def all_copies(self) -> Mapping[str, Copy]:
        """Instances and log copies, by name."""
        return {copy.name: copy for copy in (*self.copies.values(), *self.log_copies.values())}

    def _find(self, copy_kind: Literal["instance", "log"], pattern_of_names: str) -> Mapping[int, Copy]:
        form = re.compile(pattern_of_names)
        found: set[int] = set()
        for kind, pattern in (("StatefulSet", "{}"), ("Pod", "{}-0"), ("PersistentVolumeClaim", "data-{}")):
            for name in self.observed.children.get(kind, {}):
                prefix, suffix = pattern.split("{}")
                match = form.fullmatch(name.removeprefix(prefix).removesuffix(suffix))
                if match is not None and pattern.format(match[0]) == name:
                    found.add(int(match[1]))
        return {number: self._copy(copy_kind, number) for number in sorted(found)}

    def _copy(self, kind: Literal["instance", "log"], ordinal: int) -> Copy:
        name = (names.instance_name if kind == "instance" else names.log_name)(self.name, ordinal)
        seen = self.observed
        agent = seen.agents.get(name)
        copy = Copy(
            ordinal=ordinal,
            name=name,
            statefulset=seen.child("StatefulSet", name),
            pod=seen.child("Pod", names.pod_name(name)),
            claim=seen.child("PersistentVolumeClaim", claim_name(name)),
            agent=agent if isinstance(agent, AgentStatus) else None,
            error=agent.error if isinstance(agent, Unreachable) else None,
            kind=kind,
            kubelet=seen.volume_stats.get(name),
        )
        about = (
            ("StatefulSet", name),
            ("Pod", names.pod_name(name)),
            ("PersistentVolumeClaim", claim_name(name)),
        )
        warnings = {key[0]: seen.warnings[key] for key in about if key in seen.warnings}
        return replace(copy, standstill=standstill(copy, warnings, self.now))

    @cached_property
    def existing(self) -> tuple[int, ...]:
        """Ordinals of the instances that are there."""
        return tuple(ordinal for ordinal, copy in self.copies.items() if copy.exists)

    @cached_property
    def answering(self) -> tuple[AgentStatus, ...]:
        """The agents that answered."""
        return tuple(a for a in self.observed.agents.values() if isinstance(a, AgentStatus))

    @cached_property
    def blind(self) -> bool:
        """Whether there are agents and none of them answered: then it may well be us."""
        return bool(self.observed.agents) and not self.answering

    @cached_property
    def leader(self) -> AgentStatus | None:
        """The open writer, or None if there is none or it is not known for sure.

        An agent that follows a later epoch proves that a leader which says it is open has not heard the news yet.
        """
        open_ones = [a for a in self.answering if a.phase == "Leading" and a.role == "writer"]
        newest = max((a.epoch for a in self.answering), default=0)
        current = [a for a in open_ones if a.epoch == newest]
        return current[0] if len(current) == 1 else None

    @cached_property
    def closed_for(self) -> timedelta:
        """For how long the status has said that no writer is open; zero if it does not say so."""
        available = get_condition(self.before.conditions, AVAILABLE)
        if available is None or available.status == "True":
            return timedelta(0)
        return self.now - available.last_transition_time

    @property
    def leader_ordinal(self) -> int | None:
        """The leader's ordinal."""
        leader = self.leader
        return None if leader is None else self.ordinal_of(leader.name)

    def ordinal_of(self, instance: str) -> int | None:
        """The ordinal in an instance's name, or None if it is not one of ours."""
        return next((o for o, copy in self.copies.items() if copy.name == instance), None)

    @cached_property
    def config(self) -> ConfigStatus | None:
        """The membership in force, from the leader."""
        return None if self.leader is None else self.leader.config

    @cached_property
    def known_config(self) -> ConfigStatus | None:
        """The membership in force; without a leader, the newest that anybody who can be asked knows of."""
        if self.leader is not None:
            return self.leader.config
        known = [a.config for a in self.answering if a.config is not None]
        known += [self.record.config] if self.record is not None and self.record.config is not None else []
        return max(known, key=lambda c: (c.epoch, c.version), default=None)

    @cached_property
    def reachable(self) -> frozenset[str]:
        """The voters whose agents answer and could vote for a writer: the same volume, with data on it."""
        known = self.known_config
        voters = (*known.voters, *known.next_voters) if known is not None else ()
        unable = ("Initialising", "Cloning", "Failed", "Stopping")
        return frozenset(a.name for a in self.answering if a.copy_id in voters and a.phase not in unable)

    def node_of(self, copy: str) -> str | None:
        """The node that a copy's pod is on, or was when it was last seen."""
        found = self.all_copies.get(copy)
        node: str | None = ((found.pod if found is not None else None) or {}).get("spec", {}).get("nodeName")
        return node

    @cached_property
    def replicas(self) -> Mapping[str, ReplicaStatus]:
        """What the leader sees of the others, by instance; of two incarnations, the one that is further."""
        found: dict[str, ReplicaStatus] = {}
        for replica in self.leader.replicas if self.leader is not None else ():
            if replica.name not in found or found[replica.name].flush_lsn < replica.flush_lsn:
                found[replica.name] = replica
        return found

    def streaming(self, instance: str) -> bool:
        """Whether the leader says that the copy has flushed what it writes, without much delay. How far it has
        replayed does not matter: commits and elections do not wait for that."""
        leader, replica = self.leader, self.replicas.get(instance)
        if leader is not None and leader.name == instance:
            return True
        if leader is None or replica is None or replica.state != "streaming":
            return False
        return leader.lsn - replica.flush_lsn <= CAUGHT_UP_BYTES

    @cached_property
    def _acknowledged(self) -> int | None:
        """Up to where a write quorum has flushed; None where that is not known."""
        leader, config = self.leader, self.config
        if leader is None or config is None or leader.commits_wait_seconds is None:
            return None
        others = [r for r in self.replicas.values() if r.state == "streaming" and r.name in self.voting]
        flushed = sorted((r.flush_lsn for r in others), reverse=True)
        needed = config.write_quorum - (leader.name in self.voting)
        if needed <= 0:
            return leader.lsn
        return flushed[needed - 1] if len(flushed) >= needed else None

    def holds_commits(self, instance: str) -> bool:
        """Whether a copy streams and has what clients were told is committed, to within `CAUGHT_UP_BYTES`.

        Under load all copies are behind the writer; what it has written beyond its quorum is nobody's commit yet.
        """
        replica, acknowledged = self.replicas.get(instance), self._acknowledged
        if replica is None or acknowledged is None:
            return self.streaming(instance)
        return replica.state == "streaming" and acknowledged - replica.flush_lsn <= CAUGHT_UP_BYTES

    @cached_property
    def acknowledging(self) -> frozenset[str]:
        """The voters on which a commit can count now, the writer included: they stream, however far behind they are.

        An agent that does not tell whether commits go through leaves only the lag to judge by.
        """
        leader = self.leader
        if leader is None or leader.commits_wait_seconds is None:
            return frozenset(filter(self.streaming, self.voting))
        names = {name for name, replica in self.replicas.items() if replica.state == "streaming"}
        return self.voting & (names | {leader.name})

    @cached_property
    def commits_flow(self) -> bool:
        """Whether the writer's PostgreSQL acknowledges commits: enough copies stream, and what they have flushed moves.

        A lag is no sign against it: a commit waits for whatever is before it, and goes through.
        """
        leader, config = self.leader, self.config
        if leader is None or config is None or len(self.acknowledging) < config.write_quorum:
            return False
        return leader.commits_wait_seconds is None or leader.commits_wait_seconds < STANDSTILL_SECONDS

    def healthy(self, copy: Copy) -> bool:
        """Whether everybody agrees that it works: Kubernetes, its agent, and the leader."""
        if copy.agent is None or not copy.pod_ready or self.leader is None:
            return False
        settled = copy.agent.phase == "Leading" or (copy.agent.phase == "Following" and not copy.agent.message)
        return settled and self.holds_commits(copy.name)

    def is_member(self, instance: str) -> bool | None:
        """Whether the membership in force, or the one that is coming, has the instance; None if it is not known."""
        if self.config is None:
            return None
        return instance in self.voting or instance in map(member_name, self.config.next_voters)

    @cached_property
    def voting(self) -> frozenset[str]:
        """The instances that vote now, as far as it is known."""
        return frozenset(map(member_name, self.config.voters)) if self.config is not None else frozenset()

    @cached_property
    def voting_before(self) -> frozenset[str]:
        """The copies that vote now, or were asked to."""
        return self.voting | frozenset(self.settings.voters if self.settings is not None else ())

    @cached_property
    def quorum_streams(self) -> bool:
        """Whether the leader is open and as many voters as a commit needs are up to date, itself included."""
        config = self.config
        if config is None or config.next_voters:
            return False
        return sum(map(self.streaming, self.voting)) >= config.write_quorum

    @cached_property
    def votes_settled(self) -> bool:
        """Whether exactly those vote that were asked to."""
        config, settings = self.config, self.settings
        return (
            config is not None
            and settings is not None
            and not config.next_voters
            and self.voting == frozenset(settings.voters)
        )

    @cached_property
    def settings(self) -> Settings | None:
        """The settings in force, from their ConfigMap."""
        return _parse(Settings, self._data(names.settings_configmap(self.name)).get(SETTINGS_KEY))

    @cached_property
    def accepted(self) -> Raw | None:
        """The last spec that was accepted, as it was written."""
        try:
            value = json.loads(self._data(names.settings_configmap(self.name)).get(ACCEPTED_KEY, ""))
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    @cached_property
    def zones_before(self) -> int:
        """In how many zones the cluster's copies have been spread so far; 0 if that is not known."""
        text = self._data(names.settings_configmap(self.name)).get(ZONES_KEY, "")
        return int(text) if text.isdecimal() else 0

    @cached_property
    def record(self) -> Record | None:
        """The cluster's record."""
        return _parse(Record, self._data(names.record_configmap(self.name)).get(RECORD_KEY))

    @cached_property
    def initialised(self) -> bool:
        """Whether there may be data: unless the record says that there is none, or nothing was ever made."""
        if self.record is not None:
            return self.record.state == "initialised"
        return any(copy.claim is not None for copy in self.copies.values())

    def _data(self, configmap: str) -> Mapping[str, str]:
        return (self.observed.child("ConfigMap", configmap) or {}).get("data") or {}

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are there for pods, whether or not they take any at the moment."""
        return tuple(node for node in self.observed.nodes if node.schedulable)

    @cached_property
    def zones(self) -> tuple[str, ...]:
        """The zones of those nodes, sorted."""
        return tuple(sorted({node.zone for node in self.nodes if node.zone is not None}))

    @cached_property
    def usable_zones(self) -> tuple[str, ...]:
        """The zones in which a pod can be started now."""
        usable = (node for node in self.nodes if node.ready and not node.cordoned)
        return tuple(sorted({node.zone for node in usable if node.zone is not None}))


def member_name(copy_id: str) -> str:
    """The instance in a copy id `name/incarnation`."""
    return copy_id.partition("/")[0]


_M = TypeVar("_M", bound=BaseModel)


def _parse(model: type[_M], text: str | None) -> _M | None:
    if text is None:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError:
        return None
