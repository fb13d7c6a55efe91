"""What is said of the spec, and the question to PostgreSQL that its acceptance waits for."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.base.conditions import SPEC_ACCEPTED
from aurora_operator.planning.contribution import Condition, Contribution
from aurora_operator.planning.spec.validation import Verdict
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def verdict(self) -> Verdict: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Also where no spec was ever accepted."""
    verdict = choices.verdict
    return Contribution(
        calls=() if verdict.check is None else (verdict.check,),
        progress=(verdict.message,) if verdict.status == "Unknown" else (),
        conditions=(Condition(SPEC_ACCEPTED, verdict.status, verdict.reason, verdict.message),),
    )
