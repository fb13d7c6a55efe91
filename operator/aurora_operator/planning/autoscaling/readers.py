"""Readers that come and go with the load: which ones were added, what they look like, who goes, and how far it is.

Nothing is remembered outside objects: a reader that was added has an annotation on its claim; the number that was
decided, and when, is in the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.api.spec.autoscaling import ReaderAutoscaling
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.instances import MAX_INSTANCES, MAX_ORDINAL, InstanceSettings
from aurora_operator.api.status import ReaderAutoscalingStatus
from aurora_operator.planning.autoscaling.target import Decision, Situation, decide
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import parse_time
from aurora_operator.planning.objects.common import annotation
from aurora_operator.planning.objects.volume import ANNOTATION_ADDED, ANNOTATION_DRAINING
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

TIER: Final = 15
YOUNG_SECONDS: Final = 30.0
"""Averages that are younger do not say much yet."""


@dataclass(frozen=True)
class Readers:
    """The decision, and the spec that follows from it."""

    spec: AuroraClusterSpec
    """With the readers that were added, those that are to go included."""
    stay: AuroraClusterSpec
    """With those that stay only: it says who should be there."""
    marks: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """Annotations on claims, by ordinal."""
    status: ReaderAutoscalingStatus | None = None
    going: frozenset[int] = frozenset()
    """Those that are to go: they take no new sessions."""
    draining: frozenset[int] = frozenset()
    """Of these, the ones that still have time for their sessions."""

    def without(self, members: Members, facts: Facts) -> Members:
        """The members that may vote. Who was added for a load does not: no commit should wait for more copies, and no
        log copy come and go, because there is more to read."""
        added = {o for o, marks in self.marks.items() if marks[ANNOTATION_ADDED]} - {facts.leader_ordinal}
        return replace(members, wanted=tuple(o for o in members.wanted if o not in added))


def plan_readers(spec: AuroraClusterSpec, facts: Facts) -> Readers:
    """Decide how many readers there are, and which."""
    policy = spec.reader_autoscaling
    named = {item.instance for item in spec.instance_settings}
    added = {o: c for o in facts.existing if (c := facts.copies[o]).added and o not in named}
    if policy is None and not any(copy.added for copy in facts.copies.values()):
        return Readers(spec, spec)
    before = facts.before.reader_autoscaling
    decision = _decision(spec, policy, added, facts, before)
    count = max(decision.readers - (spec.instances - 1), 0)
    keep = sorted(added, key=lambda o: _worth(added[o], facts))[:count]
    # A writer is nobody's reader to remove, whoever made it.
    keep += [o for o in added if o not in keep and o == facts.leader_ordinal]
    keep += _new(count - len(keep), named, facts) if policy is not None else []
    surplus = [o for o in added if o not in keep]
    # More of the user's own are wanted than there are: those that would go are as good as new ones.
    own = named | {o for o in facts.existing if not facts.copies[o].added}
    adopted = surplus[: max(spec.instances - len(own), 0)]
    goes = surplus[len(adopted) :]
    like = {o: annotation(c.claim, ANNOTATION_ADDED) or "" for o, c in added.items()}
    writer = facts.leader.name if facts.leader is not None else names.instance_name(facts.name, spec.ordinals[0])
    sizes = {o: _like(spec, o, like.get(o) or writer, facts) for o in (*keep, *goes)}
    since = {o: _since(added[o], facts.now) for o in goes}
    marks = {o: {ANNOTATION_ADDED: like.get(o) or writer} | _draining(added.get(o), since.get(o)) for o in sizes}
    no_longer = [*adopted, *(o for o in named if o in facts.copies and facts.copies[o].added)]
    marks |= {o: {ANNOTATION_ADDED: "", **_draining(facts.copies[o], None)} for o in no_longer}
    patience = timedelta(seconds=policy.drain_timeout_seconds if policy is not None else 0)
    return Readers(
        spec=_with(spec, keep, [sizes[o] for o in sizes]),
        stay=_with(spec, keep, [sizes[o] for o in keep]),
        marks=marks,
        status=_status(spec, decision, keep, facts, before) if policy is not None else None,
        going=frozenset(goes),
        draining=frozenset(o for o in goes if not _drained(added[o], since[o] + patience, facts)),
    )


def reading(copy: Copy, policy: ReaderAutoscaling, facts: Facts) -> float | None:
    """The policy's metric of a copy, averaged over a minute; None if it is not serving, or too young to say."""
    load = copy.agent.load if copy.agent is not None else None
    if load is None or load.seconds < YOUNG_SECONDS or not facts.healthy(copy):
        return None
    if policy.target.metric == "DatabaseConnections":
        return load.connections_60s
    return load.cpu_utilization_60s


def _decision(
    spec: AuroraClusterSpec,
    policy: ReaderAutoscaling | None,
    added: Mapping[int, Copy],
    facts: Facts,
    before: ReaderAutoscalingStatus | None,
) -> Decision:
    manual = spec.instances - 1
    staying = [copy for copy in added.values() if not copy.retired]
    if policy is None:
        # Switched off: what was added goes.
        return Decision(manual)
    now = before.readers if before is not None and before.readers is not None else manual + len(staying)
    if facts.leader is None:
        # Readings mean little while nobody can write, and nobody is added or removed then.
        return Decision(max(now, manual))
    going = {o for o, copy in added.items() if copy.retired}
    serving = [facts.copies[o] for o in facts.existing if o != facts.leader_ordinal and o not in going]
    leading = facts.copies[facts.leader_ordinal] if facts.leader_ordinal is not None else None
    return decide(
        policy,
        Situation(
            manual=manual,
            readers=now,
            readings=tuple(reading(copy, policy, facts) for copy in serving),
            writer=reading(leading, policy, facts) if leading is not None else None,
            last_out=before.last_scale_out if before is not None else None,
            last_in=before.last_scale_in if before is not None else None,
            now=facts.now,
        ),
    )


def _worth(copy: Copy, facts: Facts) -> tuple[bool, bool, bool, int]:
    """Who stays comes first: the writer, those that were not told to go, those that work, the oldest."""
    return (copy.ordinal != facts.leader_ordinal, copy.retired, not facts.healthy(copy), copy.ordinal)


def _new(count: int, named: set[int], facts: Facts) -> list[int]:
    """Numbers that nobody has, not even a volume that was kept."""
    free = [o for o in range(1, MAX_ORDINAL + 1) if o not in facts.copies and o not in named]
    return free[: max(count, 0)]


def _like(spec: AuroraClusterSpec, ordinal: int, instance: str, facts: Facts) -> InstanceSettings:
    ordinals = [*facts.copies, *spec.ordinals]
    pattern = next((o for o in ordinals if names.instance_name(facts.name, o) == instance), ordinal)
    source = spec.settings_of(pattern)
    return InstanceSettings(
        instance=ordinal,
        instance_class=source.instance_class if source is not None else None,
        resources=source.resources if source is not None else None,
        promotion_tier=TIER,
    )


def _with(spec: AuroraClusterSpec, keep: list[int], settings: list[InstanceSettings]) -> AuroraClusterSpec:
    """The spec with these readers."""
    if not settings and not keep:
        return spec
    return spec.model_copy(
        update={
            "instances": min(spec.instances + len(keep), MAX_INSTANCES),
            "instance_settings": (*spec.instance_settings, *settings),
        }
    )


def _draining(copy: Copy | None, since: datetime | None) -> dict[str, str]:
    """The mark of one that is to go; emptied, not left out, on one that stays after all."""
    if since is not None:
        return {ANNOTATION_DRAINING: since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    marked = copy is not None and annotation(copy.claim, ANNOTATION_DRAINING) is not None
    return {ANNOTATION_DRAINING: ""} if marked else {}


def _since(copy: Copy, now: datetime) -> datetime:
    text = annotation(copy.claim, ANNOTATION_DRAINING)
    try:
        return parse_time(text) if text else now.replace(microsecond=0)
    except ValueError:
        return now.replace(microsecond=0)


def _drained(copy: Copy, deadline: datetime, facts: Facts) -> bool:
    """Whether its sessions have had their time, or have ended after it was told, so that no new one can come."""
    if not annotation(copy.claim, ANNOTATION_DRAINING):
        return False
    agent, settings = copy.agent, facts.settings
    told = (
        agent is not None and settings is not None and any(m.name == copy.name and m.draining for m in settings.members)
    )
    if agent is None or settings is None or not told or agent.settings_revision < settings.revision:
        return facts.now >= deadline
    idle = agent.load is not None and agent.load.connections == 0 and not copy.pod_ready
    return idle or facts.now >= deadline


def _status(
    spec: AuroraClusterSpec,
    decision: Decision,
    keep: list[int],
    facts: Facts,
    before: ReaderAutoscalingStatus | None,
) -> ReaderAutoscalingStatus:
    moment = facts.now.replace(microsecond=0)
    return ReaderAutoscalingStatus(
        readers=decision.readers,
        added=tuple(names.instance_name(facts.name, o) for o in sorted(keep)),
        average=None if decision.average is None else round(decision.average),
        last_scale_out=moment if decision.direction == "out" else before.last_scale_out if before else None,
        last_scale_in=moment if decision.direction == "in" else before.last_scale_in if before else None,
        message=decision.why or None,
    )
