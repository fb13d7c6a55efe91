"""Rehearsals of a restore: what their process is told, and what it answers."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel
from aurora_operator.api.spec.repository import Repository

TASK_VARIABLE: Final = "AURORA_REHEARSAL"
"""Environment variable with the task, as JSON. It holds no secret."""
ANSWER_BYTES: Final = 4096
"""What Kubernetes keeps of a container's last words."""

Step = Literal["restore", "checksums", "amcheck", "query", "done"]
"""What was being done; `done` when nothing is wrong."""


class RehearsalTask(WireModel):
    """What to restore and look at. The repository's Secrets are in `names.RESTORE_MOUNT`."""

    repository: Repository
    database: str
    query: str | None = None


class RehearsalReport(WireModel):
    """What came of it: the container's termination message."""

    step: Step = "restore"
    error: str | None = Field(default=None, description="What is wrong, in a sentence.")
    cause: str | None = Field(default=None, description="Why the destination cannot be used, where that is the matter.")
    backup: str | None = None
    timeline: int | None = None
    lsn: str | None = Field(default=None, description="How far the WAL went.")
    last_commit: str | None = Field(default=None, description="When the last transaction replayed was committed.")
    restore_seconds: float | None = None
    checksums: bool = Field(default=True, description="Whether the data have checksums.")

    def to_message(self) -> str:
        """As JSON that fits: the end of a long error is left out."""
        text = self.model_dump_json(by_alias=True, exclude_none=True, ensure_ascii=True)
        excess = len(text) - ANSWER_BYTES
        if excess <= 0 or self.error is None:
            return text
        # A character takes at most twelve bytes in it.
        kept = max(0, min(len(self.error) - excess, (ANSWER_BYTES - 1000) // 12))
        return self.model_copy(update={"error": f"{self.error[:kept]}…"}).to_message()
