"""How a failure of the operator itself shows: a condition that is only there while something fails, and in message and
Degraded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_operator.api.base.base import to_second
from aurora_operator.api.base.conditions import DEGRADED, RECONCILED
from aurora_operator.api.base.reasons import RECONCILE_FAILED

_LIMIT: Final = 1024


def sentence(problems: Sequence[str]) -> str:
    """The first problem, and how many more there are."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problems[0][: _LIMIT - len(more)] + more


def with_failure(
    status: Mapping[str, Any], before: Mapping[str, Any], problems: Sequence[str], generation: int, now: datetime
) -> dict[str, Any]:
    """`status` with the condition added, Degraded, and the problem at the beginning of its message. Conditions keep the
    time of those of `before` (the observed status) where that said the same."""
    why, listed = sentence(problems), list(status.get("conditions") or ())
    told = f"{why.rstrip('. ')}."
    # Where there was no plan, the status is the one that is there: with what we wrote after the failure before.
    said = next((f"{c['message'].rstrip('. ')}." for c in listed if c["type"] == RECONCILED), "")
    ill = next((c for c in listed if c["type"] == DEGRADED and c["status"] == "True"), None)
    reason = RECONCILE_FAILED if ill is None else ill["reason"]
    also = "" if ill is None else ill["message"].removeprefix(said).lstrip()
    degraded = _condition(DEGRADED, "True", reason, f"{told} {also}".rstrip(), before, generation, now)
    failed = _condition(RECONCILED, "False", RECONCILE_FAILED, why, before, generation, now)
    others = [degraded if c["type"] == DEGRADED else c for c in listed if c["type"] != RECONCILED]
    if degraded not in others:
        others.append(degraded)
    message = str(status.get("message") or "").removeprefix(said).lstrip()
    return {**status, "message": f"{told} {message}".rstrip(), "conditions": [*others, failed]}


def _condition(
    type_: str, status: str, reason: str, message: str, before: Mapping[str, Any], generation: int, now: datetime
) -> dict[str, Any]:
    conditions = before.get("conditions") or ()
    old = next((c for c in conditions if c["type"] == type_ and c["status"] == status), None)
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": old["lastTransitionTime"] if old is not None else to_second(now),
        "observedGeneration": generation,
    }
