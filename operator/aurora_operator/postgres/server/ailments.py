"""What can be wrong with a volume, by what our own reads and writes of it end in; and where it is worth to read. Pure.

Nothing that stands in a log is evidence: whoever reaches the port, logged in or not, can have any text logged there.
Text only says where to look (`hinted_blocks`, `hinted_files`); what is found there decides (`examination`).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from aurora_operator.api.agent.messages import Ailment
from aurora_operator.postgres.disk import FULL

SENTENCES: Final[dict[Ailment, str]] = {
    "full": "the volume is full; enlarge it",
    "disk": "the volume fails; if that lasts, delete its claim and its pod, and this copy is made anew on another one",
    "corruption": "what is on the volume is damaged; this copy is cloned again as soon as another one leads",
    "diverged": "the history of this copy is not the leader's",
}
MAX_HINTS: Final = 8
"""So many places are looked at: a log can name any number."""

_BROKEN: Final = frozenset({errno.EIO, errno.EROFS, errno.EUCLEAN, errno.ENXIO, errno.ENODEV, errno.ESTALE})
_RELATION: Final = r"(?:base/\d{1,10}|global|pg_tblspc/\d{1,10}/PG_\d+_\d+/\d{1,10})/\d{1,10}(?:_fsm|_vm|_init)?"
_BLOCK: Final = re.compile(rf'invalid page in block (\d{{1,10}}) of relation "?({_RELATION})(?![\w/.])', re.ASCII)
_FILE: Final = re.compile(
    rf"(?<![\w/])({_RELATION}(?:\.\d{{1,6}})?|pg_(?:xact|subtrans|multixact/(?:offsets|members))/[0-9A-F]{{4,6}}"
    r"|pg_wal/[0-9A-F]{24})(?![\w/.])",
    re.ASCII,
)


class Block(NamedTuple):
    """A page of a relation: the file of its first segment, relative to the data directory, and its number."""

    relation: str
    number: int


def of_error(error: OSError) -> Ailment | None:
    """What the error of one of our own reads or writes says of the volume; None where it says nothing of it."""
    if error.errno in FULL:
        return "full"
    return "disk" if error.errno in _BROKEN else None


def hinted_blocks(lines: Iterable[str]) -> tuple[Block, ...]:
    """Pages that somebody calls damaged, the newest line's first: no more than a reason to read them."""
    found = (Block(match[2], int(match[1])) for line in _newest(lines) for match in _BLOCK.finditer(line))
    return tuple(dict.fromkeys(found))[:MAX_HINTS]


def hinted_files(lines: Iterable[str]) -> tuple[str, ...]:
    """Files of the data directory that are named, the newest line's first; none outside of it."""
    found = (match[1] for line in _newest(lines) for match in _FILE.finditer(line))
    return tuple(dict.fromkeys(found))[:MAX_HINTS]


def _newest(lines: Iterable[str]) -> Iterable[str]:
    return reversed(list(lines))
