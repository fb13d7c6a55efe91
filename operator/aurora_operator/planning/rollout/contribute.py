"""The one voluntary disruption of a plan, and how many Kubernetes may add by draining nodes."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.base import reasons
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import EventSpec
from aurora_operator.planning.objects.access import build_disruption_budget
from aurora_operator.planning.rollout.maintenance import Maintenance, maintenance_done
from aurora_operator.planning.rollout.rollout import Rollout
from aurora_operator.planning.rollout.switchover import Request
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def votes(self) -> Votes: ...
    @property
    def request(self) -> Request: ...
    @property
    def maintenance(self) -> Maintenance: ...
    @property
    def rollout(self) -> Rollout: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """What was chosen, and what becomes of a switchover that was asked for."""
    now, request, copies = choices.rollout.now, choices.request, choices.votes.copies
    moved = (EventSpec("Normal", reasons.READER_MOVED, now.why),) if now is not None and now.kind == "move" else ()
    return Contribution(
        apply=(build_disruption_budget(view.identity, spare=copies - choices.spec.write_quorum(copies)),),
        delete=() if now is None or now.delete is None else (now.delete,),
        calls=() if now is None or now.call is None else (now.call,),
        annotations={**request.annotations, **maintenance_done(choices.maintenance, view)},
        events=(*request.events, *moved),
        why=(*request.why, *(() if now is None else (now.why,))),
        progress=_progress(choices.rollout),
        faults=_faults(choices.rollout),
        status={
            "rolled_out_generation": choices.maintenance.rolled_out,
            "pending_maintenance": choices.maintenance.pending,
        },
    )


def _faults(rollout: Rollout) -> tuple[str, ...]:
    if rollout.lacks is None:
        return ()
    return (f"Pods are not replaced, because {rollout.lacks} does not exist: make it, or change the spec.",)


def _progress(rollout: Rollout) -> tuple[str, ...]:
    found = []
    if rollout.now is not None:
        found.append(f"{rollout.now.why[0].upper()}{rollout.now.why[1:]}.")
    elif rollout.outdated:
        found.append(f"To be restarted: {', '.join(rollout.outdated)}.")
    if rollout.waits_for is not None and rollout.lacks is None:
        found.append(f"Waiting: {rollout.waits_for}.")
    return tuple(found)
