"""Copies that are lost, and a loss of data that was accepted."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.recovery.dataloss import Acceptance
from aurora_operator.planning.recovery.lost_copies import Losses, sentences
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def losses(self) -> Losses: ...
    @property
    def acceptance(self) -> Acceptance: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """The step towards an accepted loss; a sentence for each copy that is missing."""
    loss = choices.acceptance
    return Contribution(
        apply=loss.claims,
        delete=loss.delete,
        calls=() if loss.call is None else (loss.call,),
        annotations=loss.annotations,
        events=loss.events,
        why=loss.why,
        faults=(*(() if loss.message is None else (loss.message,)), *sentences(choices.spec, choices.losses, view)),
        status={} if loss.statement is None else {"data_loss": loss.statement},
    )
