"""`plan`: everything that the operator decides, as one function of what was observed.

First what must be known before anything else is chosen (`planning.choices`), then each room contributes
(`planning.contribution` is the contract), then the sum becomes a plan, and the status tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from aurora_operator.planning import deletion, settings
from aurora_operator.planning.access import contribute as access
from aurora_operator.planning.autoscaling import contribute as autoscaling
from aurora_operator.planning.backup import contribute as backup
from aurora_operator.planning.bootstrap import contribute as bootstrap
from aurora_operator.planning.choices import Choices, choose
from aurora_operator.planning.contribution import (
    Contribution,
    calls_in_order,
    deletions_in_order,
    in_order,
    total,
)
from aurora_operator.planning.deletion import Deletion, is_deleting, is_protected, plan_deletion
from aurora_operator.planning.instances import contribute as instances
from aurora_operator.planning.model.plan_model import Observed, Plan, Supplies
from aurora_operator.planning.network import contribute as network
from aurora_operator.planning.objects.compare import matches
from aurora_operator.planning.ownership.names_taken import settle
from aurora_operator.planning.power import contribute as power
from aurora_operator.planning.proxy import contribute as proxy
from aurora_operator.planning.recovery import contribute as recovery
from aurora_operator.planning.requests import settle_requests
from aurora_operator.planning.rollout import contribute as rollout
from aurora_operator.planning.spec import contribute as spec
from aurora_operator.planning.spec.validation import Verdict, judge
from aurora_operator.planning.status.events import events_between
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.status.status import make_status
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes import contribute as volumes

STEADY_SECONDS: Final = 10.0
ILL_SECONDS: Final = 3.0
BUSY_SECONDS: Final = 1.0

Room = Callable[[Facts, Choices], Contribution]

ROOMS: tuple[Room, ...] = (
    access.contribute,
    network.contribute,
    power.contribute,
    proxy.contribute,
    spec.contribute,
    recovery.contribute,
    bootstrap.contribute,
    settings.contribute,
    rollout.contribute,
    instances.contribute,
    volumes.contribute,
    autoscaling.contribute,
    backup.contribute,
    deletion.contribute,
)
"""All that is contributed to the plan of a cluster that lives. Sentences stand in messages in this order."""


def plan(observed: Observed, supplies: Supplies, now: datetime) -> Plan:
    """What to do about a cluster. Equal arguments give equal plans; see `plan_model` for how to carry one out."""
    view = Facts(observed, now)
    verdict = judge(view)
    ending = plan_deletion(view) if is_deleting(view) else None
    if ending is not None and (verdict.spec is None or not ending.awaits_snapshot):
        return _going(view, verdict, ending)
    if verdict.spec is None:
        said = spec.contribute(view, _Nothing(verdict))
        return _fold(view, said, _picture(view, verdict, said))
    choices = choose(view, verdict, verdict.spec, supplies, ending)
    said = total(room(view, choices) for room in ROOMS)
    return _fold(view, said, _told(view, choices, said))


@dataclass(frozen=True)
class _Nothing:
    """The choices about a cluster of which no spec was ever accepted."""

    verdict: Verdict


def _going(view: Facts, verdict: Verdict, ending: Deletion) -> Plan:
    """Of a cluster that goes, no room has a say."""
    said = Contribution(
        create=ending.create,
        delete=ending.delete,
        finalizers=ending.finalizers,
        why=ending.why,
        conditions=spec.contribute(view, _Nothing(verdict)).conditions,
    )
    return _fold(view, said, _picture(view, verdict, said, deleting=ending.message))


def _fold(view: Facts, said: Contribution, picture: Picture) -> Plan:
    """The sum as a plan: without what is there already or is not ours, in order, with status, events, and when to look
    again."""
    seen, going = view.observed, {(ref.kind, ref.name) for ref in said.delete}

    def differs(obj: dict[str, Any]) -> bool:
        """What goes by the same plan is not changed any more."""
        kind, name = obj["kind"], obj["metadata"]["name"]
        return (kind, name) not in going and not matches(seen.child(kind, name), obj)

    apply = in_order(filter(differs, said.apply))
    create = in_order(said.create)
    requests = settle_requests(view, said.annotations)
    made = Plan(
        status={},
        apply=apply,
        create=create,
        delete=deletions_in_order(said.delete),
        calls=calls_in_order(said.calls),
        annotations=requests.annotations,
        wakes=said.wakes,
        finalizers=deletion.in_our_order(view, said.finalizers),
        events=said.events,
        why=(
            *said.why,
            *(f"create {obj['kind']} {obj['metadata']['name']}" for obj in create),
            *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply),
        ),
    )
    settled = settle(made, seen)
    if settled.fault is not None:
        faults, stated = (settled.fault, *picture.faults), (*picture.conditions, *settled.conditions)
        picture = replace(picture, faults=faults, conditions=stated)
    status = make_status(view, replace(picture, fields={**picture.fields, "requests": requests.status}))
    events = (*said.events, *requests.events, *events_between(view.before, status))
    made = replace(settled.plan, status=status, events=events)
    pause = {"Degraded": ILL_SECONDS, "Unavailable": ILL_SECONDS}
    pause |= dict.fromkeys(("Ready", "Blocked", "Paused", "Stopped"), STEADY_SECONDS)
    moves = made.changes or requests.status != view.before.requests
    seconds = BUSY_SECONDS if moves else pause.get(status["phase"], BUSY_SECONDS)
    return replace(made, requeue_seconds=seconds)


def _picture(view: Facts, verdict: Verdict, said: Contribution, deleting: str | None = None) -> Picture:
    """What every cluster's status tells."""
    return Picture(
        verdict=verdict,
        progress=said.progress,
        faults=said.faults,
        decided=said.phase,
        conditions=said.conditions,
        fields=said.status,
        deleting=deleting,
        protected=view.metadata.get("deletionTimestamp") is not None and is_protected(view),
    )


def _told(view: Facts, choices: Choices, said: Contribution) -> Picture:
    """What the status tells of a cluster that lives: the choices about copies, too."""
    ending, now = choices.ending, choices.rollout.now
    asleep = view.leader is None and choices.power.mode == "on"
    return replace(
        _picture(view, choices.verdict, said),
        wanted=choices.members.wanted,
        present=choices.members.present,
        zones=choices.zones,
        voters=choices.settings.voters if choices.settings is not None else (),
        votes=choices.votes,
        losses=choices.losses,
        moves=choices.moves,
        switching=now is not None and now.kind == "switchover",
        deleting=None if ending is None else f"{ending.message} {choices.power.message}" if asleep else ending.message,
    )
