"""How many copies are alive, where, and what that allows: `status.durability` and the condition DurabilityMet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import DURABILITY_MET
from aurora_operator.api.status import DurabilityStatus, ZoneStatus
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.view.facts import Facts, member_name


def durability_status(facts: Facts, picture: Picture) -> DurabilityStatus | None:
    """What is known of the copies; None while no spec was ever accepted."""
    spec, votes, config = picture.verdict.spec, picture.votes, facts.known_config
    if spec is None or votes is None:
        return None
    copies = votes.copies
    if config is None:
        write = spec.write_quorum(copies)
        return DurabilityStatus(copies=copies, alive=f"0/{copies}", write_quorum=write, read_quorum=copies - write + 1)
    voters = frozenset(map(member_name, config.voters))
    alive = frozenset(voter for voter in voters if is_alive(facts, voter))
    read = max(len(voters) - config.write_quorum + 1, 1)
    spread = _spread(facts, picture, alive)
    return DurabilityStatus(
        copies=copies,
        alive_copies=len(alive),
        alive=f"{min(len(alive), copies)}/{copies}",
        write_quorum=config.write_quorum,
        read_quorum=read,
        zones=tuple(z.zone for z in spread if z.alive),
        spread=spread,
        per_zone=", ".join(f"{z.zone} {z.alive}/{z.copies}" for z in spread) or None,
        write_available=facts.commits_flow,
        read_available=len(alive) >= read,
    )


def is_alive(facts: Facts, voter: str) -> bool:
    """Whether a copy counts: it has flushed what is committed; without a writer, it could vote for one."""
    if facts.leader is not None:
        return facts.holds_commits(voter)
    return voter in facts.reachable


def _spread(facts: Facts, picture: Picture, alive: frozenset[str]) -> tuple[ZoneStatus, ...]:
    wanted = Counter(zone for name in picture.voters if (zone := _zone(facts, picture, name)) is not None)
    have = Counter(zone for name in alive if (zone := _zone(facts, picture, name)) is not None)
    return tuple(ZoneStatus(zone=z, alive=have[z], copies=wanted[z]) for z in sorted(wanted.keys() | have.keys()))


def _zone(facts: Facts, picture: Picture, name: str) -> str | None:
    copy = facts.all_copies.get(name)
    if copy is not None:
        return copy.zone
    for ordinal, zone in picture.zones.items():
        if names.instance_name(facts.name, ordinal) == name:
            return zone
    logs = picture.votes.logs if picture.votes is not None else {}
    return next((zone for number, zone in logs.items() if names.log_name(facts.name, number) == name), None)


def durability_condition(facts: Facts, picture: Picture, durability: DurabilityStatus | None) -> Condition:
    """The condition DurabilityMet."""
    if durability is None or facts.leader is None:
        return Condition(
            DURABILITY_MET, "Unknown", reasons.WRITER_UNKNOWN, "Only the writer knows which copies are up to date."
        )
    wanted_zones = {zone for name in picture.voters if (zone := _zone(facts, picture, name)) is not None}
    empty = wanted_zones - set(durability.zones)
    copies = f"{durability.alive_copies} of {durability.copies} copies are up to date"
    if durability.alive_copies < durability.copies:
        missing = describe(facts, picture, (n for n in picture.voters if not facts.holds_commits(n)))
        return Condition(DURABILITY_MET, "False", reasons.COPIES_MISSING, f"{copies}. Missing: {missing}.")
    if empty:
        return Condition(
            DURABILITY_MET, "False", reasons.ZONES_MISSING, f"{copies}, but none in {', '.join(sorted(empty))}."
        )
    return Condition(DURABILITY_MET, "True", reasons.ALL_COPIES, f"{copies}.")


def describe(facts: Facts, picture: Picture, copies: Iterable[str]) -> str:
    """Copies with what helps to find them: zone, node, and how far they were known to be."""
    said = []
    for name in sorted(copies):
        copy, node = facts.all_copies.get(name), facts.node_of(name)
        position = next((m.position for m in facts.before.members if m.name == name), None)
        zone = _zone(facts, picture, name)
        parts = [zone] if zone else []
        parts += [f"node {node}"] if node else []
        parts += ["not made yet"] if copy is None else []
        parts += [f"at {position} when last seen"] if position else []
        said.append(f"{name} ({', '.join(parts)})" if parts else name)
    return ", ".join(said) or "none that is known"


def without_writer(facts: Facts, picture: Picture, durability: DurabilityStatus) -> str | None:
    """Why no writer can be elected now; None if one can."""
    alive, read, write = durability.alive_copies, durability.read_quorum, durability.write_quorum
    config = facts.known_config
    voters = [] if config is None else [member_name(v) for v in config.voters]
    missing = describe(facts, picture, (v for v in voters if not is_alive(facts, v)))
    if alive < read:
        return (
            f"There is no writer, and a new one needs {read} copies, of which {alive} can be reached: fewer might not "
            f"know of every commit. Missing: {missing}. If they never come back: "
            f"`aurora accept-data-loss {facts.name}` says what would be lost."
        )
    if alive < write and picture.verdict.spec is not None:
        delay = picture.verdict.spec.durability.repair_delay_seconds
        return (
            f"There is no writer. {alive} of {len(voters)} copies can be reached: they know every commit, and a commit "
            f"needs {write}. After {delay} s without more of them the cluster goes on with those. Missing: {missing}."
        )
    return None
