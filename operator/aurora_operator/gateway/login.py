"""How many held clients log in at a time.

More would only share the processors, and all come late; in turn, half of them are there in half the time. The gateway
cannot read what is encrypted: it counts how often the server has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aurora_operator.gateway.packets import First

AT_A_TIME: Final = 64
ANSWERS: Final = {First.STARTUP: 3, First.DIRECT: 4, First.SSL: 5, First.GSS: 6}
"""Of the server's until a session is there, by SCRAM-SHA-256: the challenge, the next, the end; before these, with TLS,
its part of the handshake, and its consent where that was asked for; before these, that it has no GSSAPI. Other ways
take fewer."""
SILENT_SECONDS: Final = 0.25
"""A client that has been answered and says nothing is there, or is in no hurry."""
MOST_SECONDS: Final = 5.0


class Login:
    """One client's, from what it first said until it has its session or has lost its turn to others."""

    def __init__(self, first: First, over: Callable[[], None]) -> None:
        """`first` is of those that wake; `over` is called once."""
        self._answers = ANSWERS[first]
        self._over: Callable[[], None] | None = over
        self._asked = True
        self._loop = asyncio.get_running_loop()
        self._limit = self._loop.call_later(MOST_SECONDS, self.end)
        self._silence: asyncio.TimerHandle | None = None

    def client_spoke(self) -> None:
        """It waits for an answer."""
        self._asked = True
        if self._silence is not None:
            self._silence.cancel()

    def server_spoke(self) -> None:
        """An answer, or more of one."""
        if self._over is None:
            return
        if self._asked:
            self._asked = False
            self._answers -= 1
        if self._answers <= 0:
            self.end()
            return
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(SILENT_SECONDS, self.end)

    def end(self) -> None:
        """The next one may log in."""
        over, self._over = self._over, None
        if over is None:
            return
        self._limit.cancel()
        if self._silence is not None:
            self._silence.cancel()
        over()
