"""An event loop whose time passes only when nobody has anything to do: a minute's sleep takes no time, and is exact.

For code that waits by asyncio and does no I/O, and that is given the loop's clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """Instead of waiting it moves its clock on."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = selectors.DefaultSelector()
        real = selector.select

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self._now += max(timeout or 0.0, 0.0)
            return real(0)

        selector.select = select  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self._now


def run(main: Callable[[Callable[[], float]], Coroutine[Any, Any, T]]) -> T:
    """Run `main(clock)` to its end in a loop of its own; `clock` gives that loop's seconds."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main(runner.get_loop().time))
