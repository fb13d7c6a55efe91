"""Which of a log copy's files bring a standby to a position. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name, segment_name
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.wal.timeline import History, adoptable, history_name, is_part, render_history


class NotThere(PostgresError):
    """The log copy does not have what is missing, or this standby's history is another; the message says which."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to fetch, the name under which recovery asks for it, and how many of its bytes are needed."""

    file: str
    name: str
    size: int


def pieces(offered: Collection[str], history: History, here: Position, target: Position) -> list[Piece]:
    """The segments from `here` to `target`, in order. `history` is that of the target's timeline.

    Of each segment the newest timeline's file: it begins with its ancestors' bytes. Raises NotThere.
    """
    found: dict[tuple[int, int], str] = {}
    for file in sorted(offered, reverse=True):  # A whole file replaces a `.partial` one.
        parsed = parse_segment_name(file)
        if parsed is not None and history.includes(parsed[0]) and parsed[0] >= here.epoch:
            found[parsed] = file
    wanted = []
    for first in range(here.lsn // SEGMENT_BYTES * SEGMENT_BYTES, target.lsn, SEGMENT_BYTES):
        timeline = max((t for t, at in found if at == first), default=None)
        if timeline is None:
            raise NotThere(f"there is no WAL of {segment_name(history.timeline, first)} or its ancestors there")
        wanted.append(
            Piece(found[timeline, first], segment_name(timeline, first), min(target.lsn - first, SEGMENT_BYTES))
        )
    return wanted


def check_history(history: History, timeline: int, replayed: int) -> None:
    """Whether a standby that has replayed so far can go on in this history. Raises NotThere."""
    if not is_part(history, timeline, replayed):
        raise NotThere(f"this copy's WAL, on timeline {timeline}, is not part of the history of {history.timeline}")


def misleading(history: History, timeline: int, replayed: int, local: Mapping[int, History]) -> bool:
    """Whether recovery may have taken up another history than this one, by the files in its pg_wal."""
    beyond = any(t > history.timeline and not h.placeholder for t, h in local.items())
    return beyond or bool(adoptable(local.values(), timeline, replayed, history))


def history_files(history: History, above: int, local: Mapping[int, History]) -> dict[str, str]:
    """Contents of the history files that a standby on timeline `above` needs in pg_wal to reach this history.

    Recovery looks at one number after the other, so numbers between are filled with placeholders.
    """
    wanted = {}
    for number in range(above + 1, history.timeline + 1):
        known = local.get(number)
        if history.includes(number):
            real = history.ancestor(number)
            if known is None or known.switches != real.switches:
                wanted[history_name(number)] = render_history(real)
        elif known is None:
            wanted[history_name(number)] = ""
    return wanted
