"""From a seed to a run and its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.checker import ViolationError
from tests.simulation.faults import Faults
from tests.simulation.world import World

PATIENCE = 40_000.0
"""Within this long (ms) after the last fault, a leader must commit and the membership be as wanted."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to; `problem` is None when all held."""

    seed: int
    problem: str | None
    steps: int
    commits: int
    leaders: int


def run(seed: int, *, tracing: bool = False) -> Outcome:
    """One schedule."""
    world = World(seed, tracing=tracing)
    problem = None
    try:
        _run(world)
    except ViolationError as error:
        problem = str(error)
    except Exception as error:
        if tracing:
            raise
        problem = f"at {world.now:.0f} ms: {error!r}"
    return Outcome(seed, problem, world.steps, world.checker.commits, world.checker.opened)


def _run(world: World) -> None:
    rng = world.rng
    if rng.random() < 0.1:
        _run_bystander(world)
        return
    count = rng.choice((1, 2, 3, 3, 3, 4, 5, 6, 6))
    world.form(count, bootstrap=rng.random() < 0.2)
    end = rng.choice((8_000.0, 14_000.0, 22_000.0))
    faults = Faults(world, end)
    if world.tracing:
        print(f"seed {world.seed}: {count} copies, faults {faults.kinds} until {end:.0f}")
    faults.begin()
    world.run(end + 1)
    _settle(world)


def _run_bystander(world: World) -> None:
    """Trouble with one copy, or with its links, must never cost a healthy leader its place."""
    world.form(world.rng.choice((2, 3, 3, 4, 6)), bootstrap=False)
    _settle(world)
    leader = world.leader()
    assert leader is not None
    epoch = leader.durable.promised
    if any(n.durable.promised > epoch for n in world.nodes.values()):
        return  # a duel at the start, which has to end in another election
    faults = Faults(world, world.now + 12_000)
    faults.bystander = world.rng.choice([n.name for n in world.nodes.values() if n is not leader])
    faults.begin_bystander()
    if world.tracing:
        print(f"seed {world.seed}: {len(world.nodes)} copies, faults {faults.kinds} of {faults.bystander}")
    opened = world.checker.opened
    world.run(faults.end + 1)
    _settle(world)
    if world.checker.opened != opened or world.leader() is not leader:
        world.checker.fail(f"{leader.id} lost its place through {faults.kinds} of {faults.bystander}")


def _settle(world: World) -> None:
    since = world.now
    if not world.run(since + PATIENCE, lambda: world.settled(since)):
        roles = {n.id: str(n.state.role) if n.state else "dead" for n in world.nodes.values()}
        configs = {n.id: n.durable for n in world.nodes.values()}
        world.checker.fail(f"not settled {PATIENCE:.0f} ms after the last fault: {roles} {configs} {world.wanted}")
