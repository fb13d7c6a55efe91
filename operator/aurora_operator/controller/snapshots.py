"""One pass for one AuroraSnapshot: observe, plan, carry out. No decision is made here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aurora_operator.controller.fleet import Key
from aurora_operator.controller.loop import Outcome
from aurora_operator.controller.reconcile import AgentCalls, Stopped, discard, read_source
from aurora_operator.kube import observe, write
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import Conflict, KubeError
from aurora_operator.kube.resources import OPTIONAL, SNAPSHOT
from aurora_operator.planning.model import EventSpec, Node, OperatorConfig, Raw, SnapshotClass, StorageClass
from aurora_operator.planning.snapshot import SnapshotPlan, SnapshotSeen, needs_source, plan_snapshot

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

    async def __call__(self, key: Key) -> Outcome:
        """Run a pass."""
        try:
            snapshot = await observe.get(self.api, SNAPSHOT, *key)
            if snapshot is None:
                return Outcome(gone=True)
            plan = plan_snapshot(await self._observe(key, snapshot), self.now())
        except KubeError as error:
            log.warning("snapshot %s/%s: cannot be read: %s", *key, error)
            return Outcome(failed=True)
        failed = not await self._carry_out(key, snapshot, plan)
        return Outcome(again_in=plan.requeue_seconds, failed=failed)

    async def _carry_out(self, key: Key, snapshot: Raw, plan: SnapshotPlan) -> bool:
        """Whether every step could be done. Finalizers go last, and only then."""
        api, namespace = self.api, key[0]
        removes = plan.finalizers is not None and len(plan.finalizers) < len(_finalizers(snapshot))
        done = True
        if plan.finalizers is not None and not removes:
            doing: Awaitable[object] = write.set_finalizers(api, namespace, snapshot, plan.finalizers, SNAPSHOT)
            done &= await self._step(key, "set finalizers", doing)
        for manifest in plan.apply:
            what = f"apply {manifest['kind']} {manifest['metadata']['name']}"
            done &= await self._step(key, what, write.apply(api, namespace, manifest))
        for ref in plan.delete:
            done &= await self._step(key, f"delete {ref.kind} {ref.name}", write.delete(api, namespace, ref))
        if plan.status != (snapshot.get("status") or {}):
            doing = write.replace_status(api, namespace, snapshot, plan.status, SNAPSHOT)
            done &= await self._step(key, "write the status", doing)
        for event in plan.events:
            await self.say(snapshot, event)
        if removes and done:
            # Read anew: our own steps have changed the resource's version.
            newest = await observe.get(api, SNAPSHOT, *key)
            if newest is not None:
                doing = write.set_finalizers(api, namespace, newest, plan.finalizers or (), SNAPSHOT)
                done = await self._step(key, "remove finalizers", doing)
        return done

    async def _observe(self, key: Key, snapshot: Raw) -> SnapshotSeen:
        namespace, name = key
        (_, storage), classes = await asyncio.gather(self.surroundings(), self.classes())
        # Where the API is not served, the answer is that there is none.
        held = await observe.get(self.api, OPTIONAL["VolumeSnapshot"], namespace, name)
        source = None
        wanted = (snapshot.get("spec") or {}).get("cluster")
        if needs_source(snapshot) and wanted:
            source = await read_source(self.api, self.agents, namespace, wanted)
        return SnapshotSeen(snapshot, self.operator, held, source, storage, classes)

    async def _step(self, key: Key, what: str, doing: Awaitable[object]) -> bool:
        if not self.may_write():
            discard(doing)
            raise Stopped("the Lease is not ours any more")
        try:
            await doing
        except Conflict as error:
            log.info("snapshot %s/%s: overtaken when about to %s: %s", *key, what, error.reason)
            return False
        except KubeError as error:
            log.warning("snapshot %s/%s: cannot %s: %s", *key, what, error)
            return False
        return True


def _finalizers(snapshot: Raw) -> tuple[str, ...]:
    return tuple(snapshot["metadata"].get("finalizers") or ())
