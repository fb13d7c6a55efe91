"""Exports in the destination of backups: what they may be called, and what is told of them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from pydantic import Field

from aurora_operator.api.base.base import WireModel

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
NAME_RULE: Final = "an export's name has letters, digits, dots, dashes and underscores, at most 100"


class ExportEntry(WireModel):
    """An export, as whoever lists them is told of it. Sizes in bytes."""

    name: str
    complete: bool = Field(description="Whether all of it is there.")
    time: datetime = Field(description="When it was complete, or was begun.")
    cluster: str | None = None
    database: str | None = None
    engine_version: str | None = None
    size: int = Field(default=0, description="Of what pg_dump wrote.")
    problem: str | None = Field(default=None, description="Why it cannot be imported, if so.")
