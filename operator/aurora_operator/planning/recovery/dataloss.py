"""When a quorum is lost for good: what would be lost by going on without it, and going on once somebody accepts that.

Nothing here happens by itself. The status states what is missing; an annotation that repeats the fingerprint of the
statement accepts it. Then the lost copies are fenced: their StatefulSets go, their volumes are kept and marked, and
only when none of their pods is left is the agent of a survivor told. A copy that still ran could be part of a quorum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aurora_operator.api.agent.messages import AcceptDataLoss, AgentStatus
from aurora_operator.api.base import names, reasons
from aurora_operator.api.status import DataLossStatus
from aurora_operator.planning.model.plan_model import AcceptLoss, EventSpec, ObjectRef
from aurora_operator.planning.objects.common import annotation, digest, is_leaving, label
from aurora_operator.planning.objects.volume import ANNOTATION_GIVEN_UP, build_claim
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts, member_name
from aurora_operator.planning.view.position import parse_position, position_text

WHY = "its loss was accepted by aurorapg.io/accept-data-loss"


@dataclass(frozen=True)
class Acceptance:
    """What is done about an accepted loss."""

    statement: DataLossStatus | None = None
    """What would be lost; None while there is a quorum, or it is not known."""
    given_up: frozenset[str] = frozenset()
    """Copies that are fenced."""
    claims: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    call: AcceptLoss | None = None
    message: str | None = None
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    events: tuple[EventSpec, ...] = ()
    why: tuple[str, ...] = ()


def judge_loss(facts: Facts) -> Acceptance:
    """The statement; the next step where it was accepted."""
    statement = _statement(facts)
    asked = annotation(facts.observed.cluster, names.ANNOTATION_ACCEPT_DATA_LOSS)
    if asked is None:
        return Acceptance(statement)
    gone: Mapping[str, str | None] = {names.ANNOTATION_ACCEPT_DATA_LOSS: None}
    if statement is None:
        if facts.blind or not facts.answering:
            return Acceptance(message="An accepted data loss waits until agents can be reached.")
        if _is_done(facts, asked):
            return Acceptance(annotations=gone, why=("the accepted data loss is in force",))
        return _refuse(None, gone, "The loss of data is not accepted: there is a quorum, or a writer.")
    if asked != accepted_text(statement):
        return _refuse(
            statement, gone, "The loss of data is not accepted: what would be lost has changed since it was stated."
        )
    leader = _best(facts, statement)
    if leader is None:
        return _refuse(
            statement, gone, "The loss of data is not accepted: no instance survives that could be the writer."
        )
    return _fence(facts, statement, leader)


def accepted_text(statement: DataLossStatus) -> str:
    """The annotation that accepts a statement: its fingerprint and the survivors."""
    return f"{statement.fingerprint}:{','.join(map(member_name, statement.survivors))}"


def _refuse(statement: DataLossStatus | None, gone: Mapping[str, str | None], why: str) -> Acceptance:
    event = EventSpec("Warning", reasons.DATA_LOSS_REFUSED, why)
    return Acceptance(statement, annotations=gone, events=(event,), why=(why,))


def _statement(facts: Facts) -> DataLossStatus | None:
    config = facts.known_config
    if facts.leader is not None or config is None or not facts.reachable:
        return None
    sides = [(frozenset(config.voters), config.write_quorum)]
    sides += [(frozenset(config.next_voters), config.next_write_quorum)] if config.next_voters else []
    voters = frozenset().union(*(side for side, _ in sides))
    agents = {a.copy_id: a for a in facts.answering if a.name in facts.reachable}
    survivors = sorted(voters & agents.keys())
    if all(len(side.intersection(survivors)) >= max(len(side) - write + 1, 1) for side, write in sides):
        return None
    lost = sorted(voters - agents.keys())
    newest = max((a.position_epoch, a.position_lsn) for a in (agents[s] for s in survivors))
    known = {m.name: m.position for m in facts.before.members}
    ends = {name: known.get(member_name(name)) for name in lost}
    missing = [_behind(newest, parse_position(text)) for text in ends.values()]
    positions = {s: position_text(agents[s].position_epoch, agents[s].position_lsn) for s in survivors}
    return DataLossStatus(
        survivors=tuple(survivors),
        lost=tuple(lost),
        positions={**{k: v for k, v in ends.items() if v is not None}, **positions},
        lost_bytes=max(missing, default=0),
        config_epoch=config.epoch,
        config_version=config.version,
        fingerprint=digest([config.epoch, config.version, positions, lost]),
    )


def _behind(survivor: tuple[int, int], lost: tuple[int, int] | None) -> int:
    """How many bytes of WAL the lost copy was known to have that no survivor has. An LSN of a later epoch counts from
    where the survivors end, as both go on from there at the earliest."""
    return max(lost[1] - survivor[1], 0) if lost is not None and lost >= survivor else 0


def _is_done(facts: Facts, asked: str) -> bool:
    config = facts.known_config
    survivors = asked.partition(":")[2].split(",")
    return (
        config is not None and config.floor_epoch > 0 and sorted(map(member_name, config.voters)) == sorted(survivors)
    )


def _fence(facts: Facts, statement: DataLossStatus, leader: AgentStatus) -> Acceptance:
    given_up = frozenset(map(member_name, statement.lost))
    copies = [facts.all_copies[name] for name in sorted(given_up) if name in facts.all_copies]
    claims = [_kept(facts, copy) for copy in copies if copy.claim is not None and not is_leaving(copy.claim)]
    sets = [c.statefulset for c in copies if c.statefulset is not None and not is_leaving(c.statefulset)]
    delete = [ObjectRef("StatefulSet", s["metadata"]["name"], s["metadata"].get("uid")) for s in sets]
    running = sorted(names.pod_name(c.name) for c in copies if c.pod is not None or c.statefulset is not None)
    unmarked = [c.name for c in copies if c.claim is not None and annotation(c.claim, ANNOTATION_GIVEN_UP) is None]
    if running or unmarked:
        message = (
            f"The loss of data was accepted. It waits until no pod of a lost copy is left: {', '.join(running)}. Where "
            "a node is off for good, delete it, or its pods with --force: what still ran there could go on by itself."
        )
        why = tuple(f"fence {ref.name}, whose loss was accepted" for ref in delete)
        return Acceptance(statement, given_up, tuple(claims), tuple(delete), message=message, why=why)
    request = AcceptDataLoss(
        survivors=statement.survivors,
        lost=statement.lost,
        config_epoch=statement.config_epoch,
        config_version=statement.config_version,
    )
    text = (
        f"{leader.name} goes on with {', '.join(map(member_name, statement.survivors))}; given up are "
        f"{', '.join(sorted(given_up))}, and at least {statement.lost_bytes} bytes of WAL."
    )
    event = EventSpec("Warning", reasons.DATA_LOSS_ACCEPTED, text)
    call = AcceptLoss(leader.name, request)
    return Acceptance(statement, given_up, tuple(claims), (), call, text, events=(event,), why=(f"data loss: {text}",))


def _best(facts: Facts, statement: DataLossStatus) -> AgentStatus | None:
    """The surviving instance that is furthest."""
    survivors = set(map(member_name, statement.survivors))
    able = [a for a in facts.answering if a.name in survivors and a.name not in _log_names(facts)]
    return max(able, key=lambda a: (a.position_epoch, a.position_lsn, a.name), default=None)


def _log_names(facts: Facts) -> set[str]:
    return {copy.name for copy in facts.log_copies.values()}


def _kept(facts: Facts, copy: Copy) -> dict[str, Any]:
    """The claim as it is, marked: nothing deletes it, and nothing uses its number again."""
    assert copy.claim is not None  # noqa: S101  checked by the caller
    spec = copy.claim["spec"]
    return build_claim(
        facts.identity,
        copy.name,
        zone=label(copy.claim, names.LABEL_ZONE),
        size=str(spec["resources"]["requests"]["storage"]),
        storage_class=spec.get("storageClassName"),
        retired="Retain",
        source=spec.get("dataSource"),
        component=copy.kind,
        given_up=annotation(copy.claim, ANNOTATION_GIVEN_UP) or WHY,
    )
