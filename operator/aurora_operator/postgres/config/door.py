"""The door of a copy: whether clients get in, and what those are told that do not."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aurora_operator.postgres.config.conf import Access
from aurora_operator.postgres.config.configure import write_hba
from aurora_operator.postgres.files import write_durably
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server.postmaster import Server

DOOR_FILE: Final = "aurora.door"
"""In the data directory; `images/instance/aurora_door.c` reads it."""
MAX_SENTENCE: Final = 250


def render_door(closed: str | None) -> str:
    """The door's file: open, or the sentence for those who stay outside. Raises ValueError for what is none."""
    if closed is None:
        return "open\n"
    if not closed or closed == "open" or len(closed) > MAX_SENTENCE or not (closed.isascii() and closed.isprintable()):
        raise ValueError(f"not a sentence for a closed door: {closed!r}")
    return closed + "\n"


@dataclass(slots=True)
class Door:
    """Opens and closes it; each start finds it closed.

    With the library that PostgreSQL loads for it, the file decides at the end of each log-in, and pg_hba.conf lists
    clients all the time. Without, pg_hba.conf lists them while it is open, and a reload goes with each change: what
    a server is started without must not be relied on later. A server that was to load the library and cannot does
    not start.
    """

    layout: Layout
    server: Server
    library: Path
    _loaded: bool = field(default=False, init=False)

    @property
    def preload(self) -> str | None:
        """What PostgreSQL is to load, by its path; None where it cannot say more than pg_hba.conf does."""
        return str(self.library.with_suffix("")) if self._loaded else None

    def prepare_start(self, closed: str) -> None:
        """Before a start, and before its configuration is written: close it, for clients who shall hear `closed`."""
        self._loaded = self.library.is_file()
        self._write(closed)

    def close(self, closed: str) -> bool:
        """Let nobody in from now on but our own people; whether that is news. Sessions stay.

        Who is in the middle of logging in may come in all the same. Raises OSError, ServerError.
        """
        return self._write(closed)

    def open(self) -> bool:
        """Let clients in; whether that is news. Raises OSError, ServerError."""
        return self._write(None)

    def _write(self, closed: str | None) -> bool:
        changed = self._write_file(closed)
        admitted: Access = "open" if closed is None or self._loaded else "closed"
        if write_hba(self.layout, admitted):
            changed = True
            if self.server.alive:
                self.server.reload()
        return changed

    def _write_file(self, closed: str | None) -> bool:
        path = self.layout.pgdata / DOOR_FILE
        try:
            return write_durably(path, render_door(closed), sync=False)
        except OSError:
            if closed is not None:
                # What is not there is closed, and to remove it needs no room.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
