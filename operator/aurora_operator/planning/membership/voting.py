"""Who should vote: instances first, spread over the zones; log copies fill up, where instances are few.

No zone gets more than its share of the votes, if others can have them: six in three zones are two in each, so that a
zone and one more copy may be lost without losing a commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aurora_operator.api.base import names
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.durability import DEFAULT_ZONES
from aurora_operator.planning.membership.copy_count import copies_of
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.placement import allowed_zones, zones_in_turn
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

Zone = str | None


@dataclass(frozen=True)
class Votes:
    """The decision about who votes, and which log copies there are."""

    copies: int
    """V: how many votes there should be."""
    voters: tuple[str, ...]
    """Who is to vote now: V copies that are there, as far as there are so many."""
    logs: Mapping[int, Zone] = field(default_factory=dict)
    """Log copies that should be there, and their zones."""
    stand_ins: tuple[int, ...] = ()
    """Log copies that go when those they stand in for vote."""
    leaving_logs: tuple[int, ...] = ()
    """Log copies that are there and should go."""

    @property
    def present_logs(self) -> tuple[int, ...]:
        """All log copies that have objects for now."""
        return tuple(sorted({*self.logs, *self.stand_ins, *self.leaving_logs}))


def choose_votes(
    spec: AuroraClusterSpec,
    members: Members,
    zones: Mapping[int, Zone],
    facts: Facts,
    lost: frozenset[str] = frozenset(),
    given_up: frozenset[str] = frozenset(),
) -> Votes:
    """Who should vote. `zones` are those of the instances; `lost` are copies that are not waited for any longer,
    `given_up` those that are gone already.

    A writer that is to leave goes on voting until it is no longer the writer. While no writer is known, no log copy
    is told to leave.
    """
    copies = copies_of(spec, facts)
    chosen = _zones(spec, members, zones, facts, lost)
    share = -(-copies // len(chosen))
    instances = _instances(spec, members, zones, facts, lost, copies, share)
    crowd: Counter[Zone] = Counter(zones[o] for o in instances)
    usable = [c for c in facts.log_copies.values() if c.exists and not c.retired and c.name not in given_up]
    if facts.leader is None and facts.initialised:
        return _unchanged(copies, usable, instances, facts)
    usable = [c for c in usable if c.name not in lost]
    needed = _share_out(chosen, crowd, usable, copies - len(instances))
    logs, surplus = _keep(needed, usable, facts)
    logs |= _new_logs(needed, logs, facts)
    ideal = [names.instance_name(facts.name, o) for o in instances]
    ideal += [names.log_name(facts.name, number) for number in sorted(logs)]
    voters, stand_ins = _ready_first(ideal[: max(copies, len(instances))], surplus, facts)
    if members.writer_leaving is not None:
        voters.append(names.instance_name(facts.name, members.writer_leaving))
    there = {c.ordinal for c in facts.log_copies.values() if c.statefulset is not None or c.exists}
    gone = there - logs.keys() - set(stand_ins)
    return Votes(copies, tuple(sorted(set(voters))), logs, tuple(stand_ins), tuple(sorted(gone)))


def _unchanged(copies: int, logs: Sequence[Copy], instances: Sequence[int], facts: Facts) -> Votes:
    """As it was: only a writer can change who votes, and what there is may be needed to elect one."""
    there = [*(names.instance_name(facts.name, o) for o in instances), *(copy.name for copy in logs)]
    before = facts.settings.voters if facts.settings is not None else ()
    voters = tuple(before) or tuple(sorted(there))
    leaving = (c.ordinal for c in facts.log_copies.values() if c.retired and c.statefulset is not None)
    return Votes(copies, voters, {c.ordinal: c.zone for c in logs}, leaving_logs=tuple(leaving))


def _zones(
    spec: AuroraClusterSpec, members: Members, zones: Mapping[int, Zone], facts: Facts, lost: frozenset[str]
) -> tuple[Zone, ...]:
    """The zones to spread votes over, at least one; those in use come first, those of instances before others."""
    with_instances = {zones[o] for o in members.wanted}
    with_logs = {copy.zone for copy in facts.log_copies.values() if copy.exists and not copy.retired}
    # A zone may lose its nodes, and does not lose its copies by that.
    used = {zone for zone in with_instances | with_logs if zone is not None}
    allowed = allowed_zones(spec, {*facts.zones, *used})
    gone, good = lost_zones(facts, lost), {*facts.usable_zones, *with_instances, *with_logs}
    alive = [zone for zone in allowed if zone not in gone and zone in good] or list(allowed)
    turn = zones_in_turn(facts.identity.uid, alive)
    order = sorted(turn, key=lambda zone: (zone not in with_instances, zone not in with_logs))
    return tuple(order[: spec.durability.zones or DEFAULT_ZONES]) or (None,)


def lost_zones(facts: Facts, lost: frozenset[str]) -> frozenset[str]:
    """Zones that lost copies, have none that is up to date, and in which no pod could be started now."""
    gone: set[str] = set()
    for zone in {copy.zone for copy in facts.all_copies.values() if copy.name in lost and copy.zone is not None}:
        there = [copy for copy in facts.all_copies.values() if copy.zone == zone and copy.exists]
        if zone not in facts.usable_zones and not any(facts.streaming(copy.name) for copy in there):
            gone.add(zone)
    return frozenset(gone)


def _instances(
    spec: AuroraClusterSpec,
    members: Members,
    zones: Mapping[int, Zone],
    facts: Facts,
    lost: frozenset[str],
    copies: int,
    share: int,
) -> tuple[int, ...]:
    """The instances that should vote: the writer, who is asked to take over, those that vote now, then whoever spreads
    the votes over zones."""
    before = facts.voting_before
    asked = (request(facts.observed.cluster, names.ANNOTATION_SWITCHOVER) or "").partition("/")[0]
    chosen: list[int] = []
    crowd: Counter[Zone] = Counter()
    candidates = {o for o in members.wanted if names.instance_name(facts.name, o) not in lost}
    while candidates and len(chosen) < copies:

        def order(ordinal: int) -> tuple[int, bool, int, int, int]:
            name = names.instance_name(facts.name, ordinal)
            tier = spec.promotion_tier_of(ordinal)
            first = 0 if ordinal == facts.leader_ordinal else 1 if name == asked else 2
            return (first, name not in before, crowd[zones[ordinal]], tier, ordinal)

        best = min(candidates, key=order)
        candidates.remove(best)
        if crowd[zones[best]] < share or order(best)[0] < 2:
            chosen.append(best)
            crowd[zones[best]] += 1
    return tuple(sorted(chosen))


def _share_out(chosen: Sequence[Zone], crowd: Counter[Zone], there: Sequence[Copy], count: int) -> Counter[Zone]:
    """How many log copies each zone should have: the emptiest zones get them, of equal ones those that have some."""
    needed: Counter[Zone] = Counter()
    have = Counter(copy.zone for copy in there)
    for _ in range(count):
        zone = min(chosen, key=lambda z: (crowd[z] + needed[z], needed[z] >= have[z], str(z)))
        needed[zone] += 1
    return needed


def _keep(needed: Counter[Zone], there: Sequence[Copy], facts: Facts) -> tuple[dict[int, Zone], list[Copy]]:
    """Which of the log copies stay, and which are too many."""
    kept: dict[int, Zone] = {}
    surplus: list[Copy] = []
    room = Counter(needed)
    for copy in sorted(there, key=lambda c: (c.name not in facts.voting_before, c.ordinal)):
        if room[copy.zone] > 0:
            room[copy.zone] -= 1
            kept[copy.ordinal] = copy.zone
        else:
            surplus.append(copy)
    return kept, surplus


def _new_logs(needed: Counter[Zone], logs: Mapping[int, Zone], facts: Facts) -> dict[int, Zone]:
    """Log copies to make, under numbers that nothing has."""
    missing = needed - Counter(logs.values())
    count = max(needed.total() - len(logs), 0)
    free = (number for number in range(1, 1 << 20) if number not in facts.log_copies)
    return {next(free): zone for zone in sorted(missing.elements(), key=str)[:count]}


def _ready_first(ideal: Sequence[str], surplus: Sequence[Copy], facts: Facts) -> tuple[list[str], list[int]]:
    """Who of the `ideal` voters is to vote now. In place of those that are not up to date yet, log copies that are
    too many go on voting: so no change lowers the number of copies that hold a commit."""
    before = facts.voting or facts.voting_before
    ready = [n for n in ideal if n in before or facts.streaming(n)]
    waiting = [n for n in ideal if n not in ready]
    able = [c for c in surplus if c.name in facts.voting and facts.streaming(c.name)]
    stand_ins = able[: len(waiting)]
    names_of = [c.name for c in stand_ins]
    return [*ready, *names_of, *waiting[: len(waiting) - len(stand_ins)]], [c.ordinal for c in stand_ins]
