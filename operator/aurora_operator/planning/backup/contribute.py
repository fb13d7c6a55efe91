"""Backups, and rehearsals of a restore."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.backup.backup import BackupPlan
from aurora_operator.planning.backup.rehearsal import plan_rehearsal
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.objects.rehearsal import build_rehearsal_policy
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def backups(self) -> BackupPlan: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """The backup that is due now, the rehearsal that is, and what is known of both."""
    backups, wanted = choices.backups, choices.spec.backup
    rehearsals = plan_rehearsal(choices.spec, view, backups.status)
    return Contribution(
        apply=() if wanted is None else (build_rehearsal_policy(view.identity, wanted.destination),),
        create=rehearsals.create,
        delete=rehearsals.delete,
        calls=() if backups.call is None else (backups.call,),
        annotations={**backups.annotations, **rehearsals.annotations},
        events=(*backups.events, *rehearsals.events),
        why=(*backups.why, *rehearsals.why),
        faults=backups.faults,
        conditions=tuple(c for c in (backups.condition, rehearsals.condition) if c is not None),
        status={} if rehearsals.backup is None else {"backup": rehearsals.backup},
    )
