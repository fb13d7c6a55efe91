"""How many readers the load asks for, in the status; the readers themselves are members like others."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.planning.autoscaling.readers import Readers
from aurora_operator.planning.contribution import NOTHING, Contribution
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def readers(self) -> Readers: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Nothing where no number is to be chosen."""
    status = choices.readers.status
    return NOTHING if status is None else Contribution(status={"reader_autoscaling": status})
