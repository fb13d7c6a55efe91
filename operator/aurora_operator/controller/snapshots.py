"""One pass for one AuroraSnapshot: observe, plan, carry out. No decision is made here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aurora_operator.api.snapshot import LABEL_SNAPSHOT_UID
from aurora_operator.controller.agents import AgentError
from aurora_operator.controller.fleet import Key
from aurora_operator.controller.loop import Outcome
from aurora_operator.controller.reconcile import AgentCalls, Stopped, discard, read_source
from aurora_operator.kube import observe, write
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import Conflict, Forbidden, KubeError
from aurora_operator.kube.resources import CHILDREN, OPTIONAL, SNAPSHOT
from aurora_operator.planning.model.plan_model import (
    EventSpec,
    Node,
    OperatorConfig,
    Raw,
    SnapshotClass,
    Source,
    StorageClass,
    TakeSnapshot,
)
from aurora_operator.planning.model.snapshot_model import SnapshotPlan, SnapshotSeen, by_backup, is_going, needs_source
from aurora_operator.planning.snapshots.snapshot import plan_snapshot

log = logging.getLogger(__name__)


@dataclass
class SnapshotReconciler:
    """Carries out passes. The fields are the seams to the world."""

    api: Api
    operator: OperatorConfig
    surroundings: Callable[[], Awaitable[tuple[tuple[Node, ...], tuple[StorageClass, ...]]]]
    classes: Callable[[], Awaitable[tuple[SnapshotClass, ...]]]
    agents: AgentCalls
    say: Callable[[Raw, EventSpec], Awaitable[None]]
    may_write: Callable[[], bool] = field(default=lambda: True)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    ending: set[str] = field(default_factory=set)
    """The uids of snapshots of whose namespace the API server has said that it is being deleted: there may be another
    one of its name later."""

    async def __call__(self, key: Key) -> Outcome:
        """Run a pass."""
        try:
            snapshot = await observe.get(self.api, SNAPSHOT, *key)
            if snapshot is None:
                return Outcome(gone=True)
            seen = await self._observe(key, snapshot)
            plan = plan_snapshot(seen, self.now())
        except KubeError as error:
            log.warning("snapshot %s/%s: cannot be read: %s", *key, error)
            return Outcome(failed=True)
        failed = not await self._carry_out(key, snapshot, plan)
        if plan.call is not None and seen.source is not None:
            await self._call(key, seen.source, plan.call)
        return Outcome(again_in=plan.requeue_seconds, failed=failed)

    async def _carry_out(self, key: Key, snapshot: Raw, plan: SnapshotPlan) -> bool:
        """Whether every step could be done. Finalizers go last, and only then."""
        api, namespace = self.api, key[0]
        removes = plan.finalizers is not None and len(plan.finalizers) < len(_finalizers(snapshot))
        done = True
        if plan.finalizers is not None and not removes:
            doing: Awaitable[object] = write.set_finalizers(api, namespace, snapshot, plan.finalizers, SNAPSHOT)
            done &= await self._step(snapshot, "set finalizers", doing)
        for manifest in plan.create:
            what = f"create {manifest['kind']} {manifest['metadata']['name']}"
            done &= await self._step(snapshot, what, write.create(api, namespace, manifest))
        for ref in plan.delete:
            done &= await self._step(snapshot, f"delete {ref.kind} {ref.name}", write.delete(api, namespace, ref))
        if plan.status != (snapshot.get("status") or {}):
            doing = write.replace_status(api, namespace, snapshot, plan.status, SNAPSHOT)
            done &= await self._step(snapshot, "write the status", doing)
        for event in plan.events:
            await self.say(snapshot, event)
        if removes and done:
            # Read anew: our own steps have changed the resource's version.
            newest = await observe.get(api, SNAPSHOT, *key)
            if newest is not None:
                doing = write.set_finalizers(api, namespace, newest, plan.finalizers or (), SNAPSHOT)
                done = await self._step(snapshot, "remove finalizers", doing)
        return done

    async def _call(self, key: Key, source: Source, call: TakeSnapshot) -> None:
        """A failed call is no failure of the pass: the next one sees how things are."""
        if not self.may_write():
            raise Stopped("the Lease is not ours any more")
        try:
            await self.agents.call((key[0], source.cluster["metadata"]["name"]), source.children, call)
        except AgentError as error:
            log.warning("snapshot %s/%s: %s", *key, error)

    async def _observe(self, key: Key, snapshot: Raw) -> SnapshotSeen:
        namespace, name = key
        (_, storage), classes = await asyncio.gather(self.surroundings(), self.classes())
        spec = snapshot.get("spec") or {}
        backed_up = by_backup(snapshot)
        # Where the API is not served, the answer is that there is none.
        held = None if backed_up else await observe.get(self.api, OPTIONAL["VolumeSnapshot"], namespace, name)
        source = copied = None
        if needs_source(snapshot) and spec.get("cluster"):
            source = await read_source(self.api, self.agents, namespace, spec["cluster"])
        if needs_source(snapshot) and spec.get("sourceSnapshot"):
            copied = await observe.get(self.api, SNAPSHOT, namespace, spec["sourceSnapshot"])
        jobs: list[Raw] = []
        pods: list[Raw] = []
        if backed_up and (is_going(snapshot) or (needs_source(snapshot) and spec.get("sourceSnapshot"))):
            selector = f"{LABEL_SNAPSHOT_UID}={snapshot['metadata']['uid']}"
            jobs = await observe.list_objects(self.api, CHILDREN["Job"], namespace, selector)
            pods = await observe.list_objects(self.api, CHILDREN["Pod"], namespace, selector)
        return SnapshotSeen(
            snapshot,
            self.operator,
            held,
            source,
            copied=copied,
            jobs={job["metadata"]["name"]: job for job in jobs},
            job_pods=tuple(pods),
            namespace_ends=snapshot["metadata"]["uid"] in self.ending,
            storage_classes=storage,
            snapshot_classes=classes,
        )

    async def _step(self, snapshot: Raw, what: str, doing: Awaitable[object]) -> bool:
        metadata = snapshot["metadata"]
        key = metadata["namespace"], metadata["name"]
        if not self.may_write():
            discard(doing)
            raise Stopped("the Lease is not ours any more")
        try:
            await doing
        except Conflict as error:
            log.info("snapshot %s/%s: overtaken when about to %s: %s", *key, what, error.reason)
            return False
        except KubeError as error:
            if isinstance(error, Forbidden) and "because it is being terminated" in error.message:
                self.ending.add(metadata["uid"])
            log.warning("snapshot %s/%s: cannot %s: %s", *key, what, error)
            return False
        return True


def _finalizers(snapshot: Raw) -> tuple[str, ...]:
    return tuple(snapshot["metadata"].get("finalizers") or ())
