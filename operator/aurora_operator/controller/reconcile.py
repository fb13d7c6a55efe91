"""One pass for one cluster: observe, plan, carry out. No decision is made here; planning makes them all.

It first looks at what is known of the cluster (`kube/cache.py`), which costs the API server nothing. What is known may
be a moment old, so a plan to change anything, were it only the status, is not carried out: the pass begins anew with
what the API server has now. So nothing is made twice, and nothing deleted that was just made, however late the news.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aurora_operator.api.agent.messages import AgentStatus, ParameterCheckResult
from aurora_operator.api.base import names
from aurora_operator.controller.agents import AgentError
from aurora_operator.controller.errors import ControllerError
from aurora_operator.controller.failures import sentence, with_failure
from aurora_operator.controller.fleet import Key
from aurora_operator.controller.kubelet import VolumeStats
from aurora_operator.controller.loop import Outcome
from aurora_operator.controller.turns import Turns
from aurora_operator.kube import observe, write
from aurora_operator.kube.cache import Store
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import ApiError, Conflict, KubeError
from aurora_operator.kube.resources import CHILDREN, OPTIONAL, SNAPSHOT
from aurora_operator.kube.warnings import Warnings
from aurora_operator.planning.bootstrap.clone import source_wanted
from aurora_operator.planning.bootstrap.from_snapshot import snapshot_wanted
from aurora_operator.planning.model.plan_model import (
    AgentCall,
    CheckParameters,
    EventSpec,
    Held,
    Node,
    ObjectWarning,
    Observed,
    OperatorConfig,
    Plan,
    Raw,
    SnapshotClass,
    Source,
    StorageClass,
    Supplies,
    Unreachable,
)
from aurora_operator.planning.model.snapshot_model import by_backup, is_held_by
from aurora_operator.planning.rollout.prerequisites import references_wanted
from aurora_operator.planning.view.waiting import warnings_wanted

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.5
"""When to plan again after somebody else was quicker."""
_CHECKS_KEPT: Final = 8


class AgentCalls(Protocol):
    """What reconciling asks of `agents.Agents`."""

    async def statuses(self, key: Key, children: observe.Children) -> Mapping[str, AgentStatus | Unreachable]:
        """See `Agents.statuses`."""

    async def call(self, key: Key, children: observe.Children, call: AgentCall) -> ParameterCheckResult | None:
        """See `Agents.call`."""

    async def forget(self, key: Key) -> None:
        """See `Agents.forget`."""


class Watcher(Protocol):
    """Who wants to know how passes end: the metrics."""

    def passed(self, key: Key, status: Mapping[str, Any], *, seconds: float, failed: bool) -> None:
        """A pass has ended."""

    def forget(self, key: Key) -> None:
        """The cluster is gone."""


class Stopped(ControllerError):
    """We are not the active operator any more: write nothing."""


@dataclass
class Reconciler:
    """Carries out passes. The fields are the seams to the world."""

    api: Api
    operator: OperatorConfig
    surroundings: Callable[[], Awaitable[tuple[tuple[Node, ...], tuple[StorageClass, ...]]]]
    snapshots: Callable[[Key, Api], Awaitable[tuple[tuple[SnapshotClass, ...], Mapping[str, Raw]]]]
    agents: AgentCalls
    say: Callable[[Raw, EventSpec], Awaitable[None]]
    plan: Callable[[Observed, Supplies, datetime], Plan]
    supplies: Callable[[], Supplies]
    watcher: Watcher
    known: Api | None = None
    """Answers reads from memory, as far as it can; None: every pass reads all from the API server."""
    clusters: Store | None = None
    """The AuroraClusters of `known`: what was read of one is known, too."""
    turns: Turns | None = None
    """Whose turn it is to be restarted; None: everybody's."""
    volume_stats: VolumeStats | None = None
    """Whom to ask about volumes when agents are silent."""
    warnings: Warnings | None = None
    """Whom to ask what Kubernetes complains of when copies wait."""
    may_write: Callable[[], bool] = field(default=lambda: True)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    checks: dict[Key, OrderedDict[str, ParameterCheckResult]] = field(default_factory=dict)
    """Answers of parameter checks."""
    met: dict[Key, set[observe.Key]] = field(default_factory=dict)
    """Kinds and names of what was there already when it was to be created: read by name, whatever its labels are.
    This and the checks are all that is remembered between passes."""

    async def __call__(self, key: Key) -> Outcome:
        """Run a pass."""
        started = asyncio.get_running_loop().time()
        namespace, name = key
        agents: Asked | None = None
        if self.known is not None:
            first = await self._look(key, self.known)
            if first is not None:
                if first.plan is not None:
                    return self._ended(key, first, Outcome(again_in=first.plan.requeue_seconds), started)
                agents = first.asked
        try:
            cluster = await observe.get_cluster(self.api, namespace, name)
        except KubeError as error:
            log.warning("%s/%s: cannot read the cluster: %s", namespace, name, error)
            return Outcome(failed=True)
        if cluster is None:
            log.info("%s/%s: gone", namespace, name)
            self.checks.pop(key, None)
            self.met.pop(key, None)
            self.watcher.forget(key)
            if self.turns is not None:
                self.turns.forget(key)
            if self.volume_stats is not None:
                self.volume_stats.forget(key)
            await self.agents.forget(key)
            return Outcome(gone=True)
        if self.clusters is not None:
            self.clusters.put(cluster)
        work = _Pass(self, key, cluster, self.api, agents)
        return self._ended(key, work, await work.run(), started)

    async def _look(self, key: Key, known: Api) -> _Pass | None:
        """Plan by what is known. None: that is not enough to plan by."""
        try:
            cluster = await observe.get_cluster(known, *key)
            if cluster is None:
                return None
            work = _Pass(self, key, cluster, known)
            await work.look()
        except Exception as error:
            # Whatever it is, it is told of when it happens to what the API server has now, too.
            log.debug("%s/%s: no plan by what is known: %s", *key, error)
            return None
        return work

    def _ended(self, key: Key, work: _Pass, outcome: Outcome, started: float) -> Outcome:
        seconds = asyncio.get_running_loop().time() - started
        self.watcher.passed(key, work.status, seconds=seconds, failed=outcome.failed)
        if self.turns is not None:
            self.turns.passed(key, work.cluster, work.status)
        return outcome


async def read_source(api: Api, agents: AgentCalls, namespace: str, cluster: str) -> Source | None:
    """A cluster with its objects and agents, or None when it does not exist. Raises KubeError."""
    found = await observe.get_cluster(api, namespace, cluster)
    if found is None:
        return None
    children = (await observe.belongings(api, found)).ours
    return Source(found, children, await agents.statuses((namespace, cluster), children))


@dataclass(frozen=True)
class Asked:
    """What agents have said, and the pods that they were asked in."""

    pods: Mapping[str, Raw]
    statuses: Mapping[str, AgentStatus | Unreachable]


class _Pass:
    def __init__(self, to: Reconciler, key: Key, cluster: Raw, reads: Api, asked: Asked | None = None) -> None:
        """`reads`: whom to read from; `asked`: what agents have said a moment ago."""
        self._to = to
        self._reads = reads
        self.asked = asked
        self.plan: Plan | None = None
        """There is nothing to do, which is how the next pass is planned."""
        self._key = key
        self._namespace = key[0]
        self._title = "/".join(key)
        self.cluster = cluster
        self._children: observe.Children = {}
        self._problems: list[str] = []
        self._overtaken = False  # somebody changed what we saw before we could act on it
        self.status: Mapping[str, Any] = cluster.get("status") or {}

    async def look(self) -> None:
        """Find out whether there is anything to do: there is not if `plan` is set afterwards."""
        plan = self._planned(await self._observe())
        if not plan.changes and not plan.events and plan.status == self.status:
            self.plan = plan

    async def run(self) -> Outcome:
        try:
            plan = self._planned(await self._observe())
        except Exception as error:
            # A fault of ours, or of the API: the cluster stays as it is, people see why, and we try again.
            log.exception("%s: no plan", self._title)
            self._problems.append(f"no plan could be made: {type(error).__name__}: {error}")
            await self._report(self.status)
            return Outcome(failed=True)
        for why in plan.why:
            log.info("%s: %s", self._title, why)
        await self._carry_out(plan)
        again_in = min(plan.requeue_seconds, AGAIN_SECONDS) if self._overtaken else plan.requeue_seconds
        return Outcome(again_in=again_in, failed=bool(self._problems))

    async def _observe(self) -> Observed:
        api = self._reads
        met = self._to.met.get(self._key, set())
        (nodes, classes), (snapshot_classes, of_volumes), snapshots = await asyncio.gather(
            self._to.surroundings(),
            self._to.snapshots(self._key, api),
            observe.list_objects(api, SNAPSHOT, self._namespace),
        )
        found = await observe.belongings(api, self.cluster, met, {"VolumeSnapshot": of_volumes})
        self._children = found.ours
        # What has gone, or is found by its label, need not be read by its name again.
        if api is self._to.api:
            self._to.met[self._key] = {key for key in met if key[1] in found.taken.get(key[0], {})}
        agents, stats = await self._ask(), self._to.volume_stats
        return Observed(
            cluster=self.cluster,
            operator=self._to.operator,
            children=self._children,
            taken=found.taken,
            nodes=nodes,
            storage_classes=classes,
            agents=agents,
            volume_stats=await stats.read(self._key, self._children, nodes, agents) if stats is not None else {},
            warnings=await self._warnings(),
            looked_up=await observe.exist(api, self._namespace, references_wanted(self.cluster, self._children)),
            parameter_checks=dict(self._to.checks.get(self._key) or {}),
            snapshot_classes=snapshot_classes,
            source=await self._source(),
            held=await self._held(),
            turn=self._to.turns.waits_for(self._key) if self._to.turns is not None else None,
            snapshots={item["metadata"]["name"]: item for item in snapshots},
        )

    async def _ask(self) -> Mapping[str, AgentStatus | Unreachable]:
        """The agents, unless they were asked a moment ago in just these pods."""
        pods = {name: pod["metadata"] for name, pod in self._children.get("Pod", {}).items()}
        if self.asked is None or self.asked.pods != pods:
            self.asked = Asked(pods, await self._to.agents.statuses(self._key, self._children))
        return self.asked.statuses

    async def _warnings(self) -> Mapping[observe.Key, ObjectWarning]:
        """What Kubernetes complains of, about copies that have waited for a while."""
        if self._to.warnings is None:
            return {}
        wanted = warnings_wanted(self.cluster, self._children, self._to.now())
        return await self._to.warnings.read(self._namespace, wanted)

    async def _held(self) -> Held | None:
        """The AuroraSnapshot that this cluster is to be made from, as long as planning needs it."""
        wanted = snapshot_wanted(self.cluster, self._children)
        snapshot = None if wanted is None else await observe.get(self._reads, SNAPSHOT, self._namespace, wanted)
        if wanted is None or snapshot is None:
            return None
        if by_backup(snapshot):
            return Held(snapshot)
        volume = await observe.get(self._reads, OPTIONAL["VolumeSnapshot"], self._namespace, wanted)
        return Held(snapshot, volume if volume is not None and is_held_by(snapshot, volume) else None)

    async def _source(self) -> Source | None:
        """The cluster that this one is to be cloned from, as long as planning needs it."""
        wanted = source_wanted(self.cluster, self._children)
        return None if wanted is None else await read_source(self._reads, self._to.agents, self._namespace, wanted)

    def _planned(self, observed: Observed) -> Plan:
        return self._to.plan(observed, self._to.supplies(), self._to.now())

    async def _carry_out(self, plan: Plan) -> None:
        """In the order that `plan_model` gives; a step that fails does not keep the others from being done."""
        api, namespace, name = self._to.api, *self._key
        if plan.finalizers:
            await self._step("set finalizers", write.set_finalizers(api, namespace, self.cluster, plan.finalizers))
        for manifest in plan.create:
            await self._step(_what("create", manifest), self._create(manifest))
        for manifest in plan.apply:
            there = self._children.get(manifest["kind"], {}).get(manifest["metadata"]["name"])
            await self._step(_what("apply", manifest), write.apply(api, namespace, manifest, there))
        for ref in plan.delete:
            await self._step(f"delete {ref.kind} {ref.name}", write.delete(api, namespace, ref))
        await asyncio.gather(*(self._call(call) for call in plan.calls))
        if plan.annotations:
            await self._step("annotate", write.annotate(api, namespace, name, plan.annotations))
        if plan.wakes is not None:
            asked = {names.ANNOTATION_WAKE: f"by {name}"}
            await self._step(f"wake {plan.wakes}", write.annotate(api, namespace, plan.wakes, asked))
        await self._report(plan.status)
        for event in plan.events:
            await self._to.say(self.cluster, event)
        if plan.finalizers == () and not self._problems and not self._overtaken:
            # Read anew: our own steps have changed the resource's version.
            cluster = await observe.get_cluster(api, namespace, name)
            if cluster is not None:
                await self._step("remove finalizers", write.set_finalizers(api, namespace, cluster, ()))

    async def _create(self, manifest: Mapping[str, Any]) -> None:
        """What is there already is not touched: the next plan sees it, and whose it is."""
        if not await write.create(self._to.api, self._namespace, manifest):
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            log.info("%s: %s %s is there already", self._title, kind, name)
            if kind in CHILDREN or kind in OPTIONAL:
                self._to.met.setdefault(self._key, set()).add((kind, name))
                self._overtaken = True

    async def _step(self, what: str, doing: Awaitable[object]) -> None:
        if not self._to.may_write():
            discard(doing)
            raise Stopped("the Lease is not ours any more")
        try:
            await doing
        except Conflict as error:
            log.info("%s: overtaken when about to %s: %s", self._title, what, error.reason)
            self._overtaken = True
        except KubeError as error:
            # What is refused about a Secret may quote what is in it.
            why = str(error)
            if isinstance(error, ApiError) and " Secret " in what:
                why = f"{error.status} {error.reason}"
            log.warning("%s: cannot %s: %s", self._title, what, why)
            self._problems.append(f"cannot {what}: {why}")

    async def _call(self, call: AgentCall) -> None:
        """A failed call is no failure of the pass: the next plan sees how things are, and decides anew."""
        if not self._to.may_write():
            raise Stopped("the Lease is not ours any more")
        try:
            answer = await self._to.agents.call(self._key, self._children, call)
        except AgentError as error:
            log.warning("%s: %s", self._title, error)
            return
        if isinstance(call, CheckParameters) and answer is not None:
            known = self._to.checks.setdefault(self._key, OrderedDict())
            known[call.fingerprint] = answer
            while len(known) > _CHECKS_KEPT:
                known.popitem(last=False)

    async def _report(self, status: Mapping[str, Any]) -> None:
        """Write the status, if it differs; after a failure, with the condition and an event that say so."""
        before = self.cluster.get("status") or {}
        metadata = self.cluster["metadata"]
        if self._problems:
            status = with_failure(status, before, self._problems, metadata.get("generation", 0), self._to.now())
            await self._to.say(self.cluster, EventSpec("Warning", "ReconcileFailed", sentence(self._problems)))
        self.status = status
        if status != before:
            doing = write.replace_status(self._to.api, self._namespace, self.cluster, status)
            await self._step("write the status", doing)


def _what(verb: str, manifest: Mapping[str, Any]) -> str:
    return f"{verb} {manifest['kind']} {manifest['metadata']['name']}"


def discard(doing: Awaitable[object]) -> None:
    """Give up a call that was not made."""
    close = getattr(doing, "close", None)
    if close is not None:
        close()
