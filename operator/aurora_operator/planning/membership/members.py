"""Which instances should be there: explicit ones first, then those that are there, then the lowest free numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.instances import instance_ordinals
from aurora_operator.planning.objects.common import annotation
from aurora_operator.planning.objects.volume import ANNOTATION_GIVEN_UP
from aurora_operator.planning.view.facts import Facts


@dataclass(frozen=True)
class Members:
    """The decision about who exists."""

    wanted: tuple[int, ...]
    """Instances that should be there, ascending."""
    leaving: tuple[int, ...] = ()
    """Instances that are there and should go: first from the membership, then altogether."""
    writer_leaving: int | None = None
    """The writer, if it should go; it stays all it is until another has taken over."""

    @property
    def present(self) -> tuple[int, ...]:
        """All that have objects for now: wanted, leaving, and the writer."""
        extra = () if self.writer_leaving is None else (self.writer_leaving,)
        return tuple(sorted({*self.wanted, *self.leaving, *extra}))


def choose_members(
    spec: AuroraClusterSpec, facts: Facts, broken: frozenset[int] = frozenset(), given_up: frozenset[str] = frozenset()
) -> Members:
    """Who should be there. While the leader is not known, nobody is told to leave who was not told before.

    `broken` are instances whose volumes do not come back: others take their places, unless the spec names them. Those
    `given_up` are gone already.
    """
    taken = {o for o, c in facts.copies.items() if annotation(c.claim, ANNOTATION_GIVEN_UP) is not None}
    gone = {o for o, copy in facts.copies.items() if copy.name in given_up}
    broken |= taken
    taken |= gone
    named = {item.instance for item in spec.instance_settings} - taken
    existing = set(facts.existing) - gone
    writer = facts.leader_ordinal
    if writer is None:
        decided = {o for o in existing - named if facts.copies[o].retired}
        stay = existing - decided
        if len(stay | named) < spec.instances:
            # Those that were told to leave, and are wanted again.
            again = sorted(decided - taken)[: spec.instances - len(stay | named)]
            stay |= set(again)
            decided -= set(again)
        wanted = instance_ordinals(max(spec.instances, len(stay | named)), stay | named, taken)
        return Members(wanted, tuple(sorted(decided)))
    kept = existing - named
    surplus = sorted((broken & kept) - {writer})
    kept -= set(surplus)
    taken |= set(surplus)
    while kept and len(kept) + len(named) > spec.instances:
        goner = _least_needed(kept, named, facts, writer)
        kept.remove(goner)
        surplus.append(goner)
    wanted = instance_ordinals(spec.instances, kept | named, taken)
    leaving = tuple(sorted(o for o in surplus if o != writer))
    return Members(wanted, leaving, writer if writer in surplus else None)


def _least_needed(kept: set[int], named: set[int], facts: Facts, writer: int) -> int:
    """Who goes next: never the writer while there is another; readers that were added for a load that is gone; those
    told before; those that do not work; then one from the fullest zone; then the highest number."""
    crowd = Counter(facts.copies[o].zone for o in kept | named if o in facts.copies)

    def order(ordinal: int) -> tuple[bool, bool, bool, bool, int, int]:
        copy = facts.copies[ordinal]
        return (ordinal != writer, copy.added, copy.retired, not facts.healthy(copy), crowd[copy.zone], ordinal)

    return max(kept, key=order)
