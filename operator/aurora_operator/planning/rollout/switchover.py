"""A switchover that a user asks for by an annotation on the AuroraCluster: an instance's name, or `any`, and then
perhaps `/` and whatever tells this request from others.

`any` is first made into a name, so that asking twice, or an operator that dies in between, moves the writer once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import EventSpec
from aurora_operator.planning.rollout.rollout import best_target
from aurora_operator.planning.view.facts import Facts


@dataclass(frozen=True)
class Request:
    """What becomes of the request."""

    target: str | None = None
    """Who should be the writer."""
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    events: tuple[EventSpec, ...] = ()
    why: tuple[str, ...] = ()


def read_request(spec: AuroraClusterSpec, members: Members, facts: Facts) -> Request:
    """The request, as far as it can be decided now."""
    asked, leader = request(facts.observed.cluster, names.ANNOTATION_SWITCHOVER), facts.leader
    if asked is None:
        return Request()
    to, slash, identity = asked.partition("/")
    done: Mapping[str, str | None] = {names.ANNOTATION_SWITCHOVER: None}
    wanted = [names.instance_name(facts.name, ordinal) for ordinal in members.wanted]
    if to == "any":
        if wanted == [names.instance_name(facts.name, facts.leader_ordinal or 0)]:
            return _refuse("There is no other instance to switch over to: raise instances first.", done)
        target = best_target(spec, members, facts)
        if target is None:
            return Request()
        return Request(
            annotations={names.ANNOTATION_SWITCHOVER: f"{target.name}{slash}{identity}"},
            why=(f"the switchover that was asked for goes to {target.name}",),
        )
    if to not in wanted:
        return _refuse(f"Cannot switch over to {to}: the instances are {', '.join(wanted)}.", done)
    if leader is not None and leader.name == to:
        return Request(annotations=done, why=(f"{to} is the writer, as was asked for",))
    return Request(target=to)


def _refuse(message: str, done: Mapping[str, str | None]) -> Request:
    return Request(
        annotations=done, events=(EventSpec("Warning", reasons.SWITCHOVER_REFUSED, message),), why=(message,)
    )
