"""One agent's process: an event loop of its own on the world's time, which can stand still, and end at any moment."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tests.simulation.volume import Killed

if TYPE_CHECKING:
    from tests.simulation.node import Node

LATE = 100.0
"""Most (ms) that a timer is late; never early."""
SYNC = 2.0
"""How long (ms, at most) work on a quick disk takes."""

STEPS = 6
"""Of a write, about: it may end before or after each."""


class Handle:
    """A call that is due at some time, unless it is cancelled."""

    __slots__ = ("arguments", "callback", "due")

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...], due: float) -> None:
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments
        self.due = due

    def cancel(self) -> None:
        """Do not call."""
        self.callback = None

    def cancelled(self) -> bool:
        """Whether it will not be called."""
        return self.callback is None

    def when(self) -> float:
        """Of the loop's clock, in seconds."""
        return self.due


class Process:
    """Runs the agent's real coroutines: each callback in its turn, without any other source of events than the world.

    What is due at once runs at once, within whatever event of the world made it due, so that a seed says all. Threads
    do their work in one moment, when it is over, or, if the process ends first, up to any step of it. It has what
    asyncio's tasks, futures, queues and sleeps ask of a loop, and no more.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._world = node.world
        self._ready: deque[Handle] = deque()
        self._threads: list[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]] = []
        self._begun: dict[asyncio.Task[Any], Coroutine[Any, Any, Any]] = {}
        self._running = self._dead = False
        self._loop: Any = self

    # --- what the world does to it -----------------------------------------------------------------------------------

    def run_ready(self) -> None:
        """Run what is due, unless the process stands still or has ended."""
        node = self._node
        if self._running or self._dead or node.paused:
            return
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        self._running = True
        try:
            while self._ready and not self._dead and not node.paused:
                handle = self._ready.popleft()
                if handle.callback is not None:
                    handle.callback(*handle.arguments)
        finally:
            self._running = False
            asyncio._set_running_loop(before)

    def idle(self) -> bool:
        """Whether it waits for nothing but time and news."""
        return not self._threads and not self._ready

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have the agent do something beside what it does already; an error in it ends the run."""
        task: asyncio.Task[Any] = self.create_task(coroutine)
        self._begun[task] = coroutine
        task.add_done_callback(self._ended)
        self.run_ready()
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._begun[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._node.failed(error)

    def abandon(self) -> None:
        """Run nothing any more; what has not been begun never is."""
        self._dead = True
        self._ready.clear()
        for coroutine in self._begun.values():
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()

    def die(self) -> None:
        """End between any two steps of what its threads do."""
        self.abandon()
        volume = self._node.volume
        for work, arguments, _ in self._threads:
            volume.kill_in = self._world.rng.randrange(STEPS)
            try:
                work(*arguments)
            except (Killed, OSError):
                pass
            finally:
                volume.kill_in = None

    # --- what the agent asks of its loop -----------------------------------------------------------------------------

    def time(self) -> float:
        return self._node.clock() / 1000

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        handle = Handle(callback, args, 0.0)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        node = self._node
        handle = Handle(callback, args, node.clock() / 1000 + delay)
        late = LATE * self._world.rng.random() if delay > 0 else 0.0
        self._world.at(delay * 1000 / node.rate + late, self._fire, handle)
        return handle

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_later(max(when - self.time(), 0), callback, *args)

    def _fire(self, handle: Handle) -> None:
        if handle.callback is not None and not self._dead:
            self._ready.append(handle)
            self.run_ready()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        work = (func, args, self.create_future())
        self._threads.append(work)
        self._world.at(SYNC * self._world.rng.random() + self._node.disk_delay(), self._work, work)
        return work[2]

    def _work(self, work: tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]) -> None:
        if self._dead:
            return
        if self._node.paused or self._node.volume.hangs:
            self._world.at(20, self._work, work)
            return
        self._threads.remove(work)
        function, arguments, future = work
        try:
            result = function(*arguments)
        except OSError as error:
            future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)
        self.run_ready()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._loop)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._loop, name=name)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Of tasks that an ended process leaves behind; errors are dealt with by `_ended`."""
