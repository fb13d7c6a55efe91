"""How a failure of the operator itself shows: a condition that is only there while something fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_operator.api.base.base import to_second
from aurora_operator.api.base.conditions import RECONCILED

_LIMIT: Final = 1024


def sentence(problems: Sequence[str]) -> str:
    """The first problem, and how many more there are."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problems[0][: _LIMIT - len(more)] + more


def with_failure(
    status: Mapping[str, Any], before: Mapping[str, Any], problems: Sequence[str], generation: int, now: datetime
) -> dict[str, Any]:
    """`status` with the condition added; its time is that of `before` (the observed status) if it failed then too."""
    old = next((c for c in before.get("conditions") or () if c["type"] == RECONCILED), None)
    since = old["lastTransitionTime"] if old is not None else to_second(now)
    condition = {
        "type": RECONCILED,
        "status": "False",
        "reason": "ReconcileFailed",
        "message": sentence(problems),
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
    others = [c for c in status.get("conditions") or () if c["type"] != RECONCILED]
    return {**status, "conditions": [*others, condition]}
