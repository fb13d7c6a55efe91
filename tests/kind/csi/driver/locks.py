"""One call at a time per volume or snapshot."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from .errors import aborted


class Locks:
    """Locks by name. A call that would have to wait too long fails with ABORTED, as CSI wants it."""

    def __init__(self, patience: float = 8.0) -> None:
        """``patience``: seconds to wait for another call, below the sidecars' 10 seconds."""
        self._patience = patience
        self._held: set[str] = set()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, *names: str) -> Iterator[None]:
        """Hold all of ``names``, taken in one go so that two calls cannot wait for each other.

        Raises CsiError (ABORTED) if they are not free in time.
        """
        wanted = {name for name in names if name}
        deadline = time.monotonic() + self._patience
        with self._changed:
            while wanted & self._held:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise aborted(f"another call is at work on {', '.join(sorted(wanted & self._held))}")
                self._changed.wait(left)
            self._held |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._held -= wanted
                self._changed.notify_all()
