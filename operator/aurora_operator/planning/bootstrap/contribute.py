"""The first data of a cluster, and of copies that begin with a snapshot."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.planning.bootstrap.first_data import Beginning
from aurora_operator.planning.bootstrap.volume_seeding import Seeding
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def first_data(self) -> Beginning: ...
    @property
    def seeding(self) -> Seeding: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Snapshots and credentials on the way there, and away with them afterwards."""
    first, seeding = choices.first_data, choices.seeding
    return Contribution(
        apply=(*first.objects, *seeding.objects),
        delete=(*first.delete, *seeding.delete),
        annotations=first.annotations,
        wakes=first.wakes,
        why=seeding.why,
        progress=() if first.message is None else (first.message,),
        status={} if first.status is None else {"origin": first.status},
    )
