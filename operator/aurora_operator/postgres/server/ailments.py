"""What PostgreSQL's complaints, and those of its tools, say about the volume below. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from aurora_operator.api.agent.messages import Ailment

_SIGNS: Final[tuple[tuple[Ailment, re.Pattern[str]], ...]] = (
    ("full", re.compile(r"No space left on device|Disk quota exceeded")),
    ("disk", re.compile(r"Input/output error|Read-only file system|Structure needs cleaning")),
    (
        "corruption",
        re.compile(
            r"invalid page in block|page verification failed|checksum mismatch|checksum errors? occurred"
            r"|calculated CRC checksum does not match|incorrect checksum in control file"
            r"|WAL contains references to invalid pages|could not locate a valid checkpoint record"
            r"|invalid (?:primary )?checkpoint record|could not locate required checkpoint record"
            r"|is not a valid data directory|could not read file \"[^\"]*\": read \d+ of \d+"
            r"|could not open file \"(?:global|base|pg_xact|pg_multixact|pg_subtrans)[^\"]*\": No such file",
        ),
    ),
)
SENTENCES: Final[dict[Ailment, str]] = {
    "full": "the volume is full; enlarge it",
    "disk": "the volume fails; if that lasts, delete its claim and its pod, and this copy is made anew on another one",
    "corruption": "what is on the volume is damaged; this copy is cloned again as soon as another one leads",
    "diverged": "the history of this copy is not the leader's",
}


def diagnose(complaints: Iterable[str]) -> Ailment | None:
    """What is wrong with the volume, by its first sign in this order: full, disk, corruption; None if nothing is.

    Only of what made a server or a tool end: anybody who may log in can have any text logged.
    """
    text = "\n".join(complaints)
    return next((ailment for ailment, sign in _SIGNS if sign.search(text)), None)
