"""All clusters' loops: which exist, waking them, and whether they are alive.

A cluster's loop is a task of ours and not a `kopf.daemon`, although it is what one would be: Kopf puts a finalizer on
every resource that has a daemon, so that no AuroraCluster could be deleted any more once the operator is uninstalled,
and it never starts a daemon for a resource that is being deleted already, so that a restart in the middle of a deletion
would skip the rest of it. Here a deletion is one more state to reconcile, and finalizers are the plan's decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from typing import Final

from aurora_operator.controller.loop import Loop, Outcome

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of an AuroraCluster."""

RESYNC_SECONDS: Final = 60.0
"""How often all clusters are listed, in case a watch has missed one."""


class Fleet:
    """The loops. Knows of clusters at once, but acts for them only after `activate`."""

    def __init__(self, reconcile: Callable[[Key], Awaitable[Outcome]]) -> None:
        self._reconcile = reconcile
        self._known: dict[Key, Hashable] = {}
        self._loops: dict[Key, Loop] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._active = False

    @property
    def active(self) -> bool:
        """Whether we are the operator that acts."""
        return self._active

    @property
    def known(self) -> Collection[Key]:
        """The clusters that exist, as far as events have told."""
        return self._known.keys()

    def activate(self) -> None:
        """Start the loops of all known clusters, and of those to come."""
        self._active = True
        for key in list(self._known):
            self._ensure(key)

    def seen(self, key: Key, fingerprint: Hashable = None) -> None:
        """The cluster exists. Wakes it if the fingerprint is not the last one (None: always)."""
        before = self._known.get(key)
        self._known[key] = fingerprint
        if self._active:
            self._ensure(key)
            if fingerprint is None or fingerprint != before:
                self._loops[key].wake()

    def gone(self, key: Key) -> None:
        """The cluster was deleted; its loop finds out and ends."""
        self._known.pop(key, None)
        self.wake(key)

    def wake(self, key: Key) -> None:
        """Something of the cluster's has changed."""
        if key in self._loops:
            self._loops[key].wake()

    async def resync(self, find: Callable[[], Awaitable[Iterable[Key]]]) -> None:
        """For ever: notice what the watches have missed."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            try:
                found = set(await find())
            except Exception as error:
                log.warning("Could not list the clusters: %s", error)
                continue
            for key in found - self._known.keys():
                log.warning("Found the AuroraCluster %s/%s, which no event had told of", *key)
                self.seen(key)

    async def stop(self) -> None:
        """Cancel all loops and wait for them."""
        self._active = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def complaints(self) -> list[str]:
        """What does not look alive."""
        return [c for loop in self._loops.values() if (c := loop.complaint()) is not None]

    def _ensure(self, key: Key) -> None:
        if key in self._loops:
            return
        loop = Loop("/".join(key), lambda: self._reconcile(key))
        self._loops[key] = loop
        self._tasks[key] = asyncio.create_task(loop.run(), name=f"reconcile {loop.name}")
        self._tasks[key].add_done_callback(lambda task: self._ended(key, loop, task))

    def _ended(self, key: Key, loop: Loop, task: asyncio.Task[None]) -> None:
        self._loops.pop(key, None)
        self._tasks.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("The loop of %s ended", loop.name, exc_info=error)
        # Meanwhile another cluster of the same name may have been created.
        if self._active and key in self._known and loop.woken:
            self._ensure(key)
        else:
            self._known.pop(key, None)
