"""One active operator: leader election by a Lease, as client-go does it.

The client library has an election too, but its calls have no time-out (a hung API server would leave two operators
active) and it judges by the wall clock. Here:

- another's lease has run out when its record has not changed for its whole duration, by *our* monotonic clock: clocks
  of different machines are never compared;
- it has run out at once where its holder is a pod that does not exist any more: what a pod leaves behind when its
  right to write the Lease went before it did, as in `helm uninstall`;
- ours counts as held for `deadline` from the *start* of the last renewal that succeeded, which is shorter than the
  duration that others wait for. After that we have lost it, whatever we hear.

The Lease is no fence: a process that was frozen may write once more when it wakes. Everything that the operator
writes is level-triggered and idempotent, and writers are fenced by the agents' epochs, so that does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from aurora_operator.kube import observe
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from aurora_operator.kube.resources import LEASE, resource_of
from aurora_operator.planning.model.plan_model import Raw

log = logging.getLogger(__name__)

DURATION: Final = 15.0
"""Seconds after which others may take over."""
DEADLINE: Final = 10.0
"""Seconds after which we give up."""
PERIOD: Final = 2.0
"""Seconds between two attempts."""


class LeaseLost(Exception):
    """Somebody else may be active now: stop at once. No KubeError, since who waits out those must not wait out this."""


class Election:
    """Our side of the election for one Lease."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._sleep = sleep
        self._held_until: float | None = None
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0
        self.attempted_at = clock()
        """Monotonic time of the last attempt, for the liveness probe."""

    @property
    def holding(self) -> bool:
        """Whether nobody else can be active now."""
        return self._held_until is not None and self._clock() < self._held_until

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        waiting_for: object = None
        while not await self._attempt():
            if self._seen is not None and self._seen[0] != waiting_for:
                waiting_for = self._seen[0]
                log.info("Waiting for the Lease %s, held by %s", self._name, waiting_for)
            await self._sleep(PERIOD)
        log.info("Holding the Lease %s as %s", self._name, self._identity)

    async def keep(self) -> None:
        """Renew the Lease for as long as that works. Raises LeaseLost; returns never."""
        while True:
            await self._sleep(PERIOD)
            if not await self._attempt() and not self.holding:
                self._held_until = None
                raise LeaseLost(f"the Lease {self._name} could not be renewed within {DEADLINE:g} s")

    async def release(self) -> None:
        """Let the next one take over at once, if the Lease is ours."""
        if not self.holding:
            return
        self._held_until = None
        try:
            lease = await observe.get(self._api, LEASE, self._namespace, self._name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                await self._put(lease, {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except KubeError as error:
            log.warning("Could not release the Lease %s: %s", self._name, error)

    async def _attempt(self) -> bool:
        """Take or renew the Lease; whether that worked. Raises LeaseLost when another holds what was ours."""
        started = self._clock()
        self.attempted_at = started
        try:
            async with asyncio.timeout(DEADLINE / 2):
                won = await self._take()
        except TimeoutError:
            log.warning("No answer about the Lease %s", self._name)
            return False
        except (Conflict, NotFound) as error:
            log.info("Somebody else wrote the Lease %s: %s", self._name, error)
            return False
        except KubeError as error:
            log.warning("No luck with the Lease %s: %s", self._name, error)
            return False
        if won:
            self._held_until = started + DEADLINE
        elif self._held_until is not None:
            self._held_until = None
            raise LeaseLost(f"the Lease {self._name} is held by another operator")
        return won

    async def _take(self) -> bool:
        lease = await observe.get(self._api, LEASE, self._namespace, self._name)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if lease is None:
            return await self._create(now)
        spec = lease.get("spec") or {}
        mine = spec.get("holderIdentity") == self._identity
        if not mine and not self._has_run_out(spec) and not await self._is_gone(str(spec.get("holderIdentity"))):
            return False
        transitions = int(spec.get("leaseTransitions") or 0)
        await self._put(
            lease,
            {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(DURATION),
                "acquireTime": spec.get("acquireTime", now) if mine else now,
                "renewTime": now,
                "leaseTransitions": transitions if mine else transitions + 1,
            },
        )
        return True

    def _has_run_out(self, spec: Raw) -> bool:
        if not spec.get("holderIdentity"):
            return True
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        return self._clock() - self._seen_at >= float(spec.get("leaseDurationSeconds") or DURATION)

    async def _is_gone(self, holder: str) -> bool:
        """Whether the holder's pod, `NAME_UID`, is not there. Where that cannot be told, it is."""
        name, found, uid = holder.rpartition("_")
        if not found:
            return False
        try:
            pod = await observe.get(self._api, resource_of("Pod"), self._namespace, name)
        except KubeError as error:
            log.debug("Cannot see whether the holder of the Lease %s is there: %s", self._name, error)
            return False
        return pod is None or pod["metadata"].get("uid") != uid

    async def _create(self, now: str) -> bool:
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(DURATION),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            await self._api.request("POST", LEASE.path(self._namespace), body=body)
        except AlreadyExists:
            return False
        return True

    async def _put(self, lease: Raw, spec: dict[str, Any]) -> None:
        body = {**lease, "spec": spec}
        await self._api.request("PUT", LEASE.path(self._namespace, self._name), body=body)
