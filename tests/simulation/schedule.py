"""From a seed to a run and its outcome."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tests.simulation.checker import ViolationError
from tests.simulation.faults import KINDS, Faults
from tests.simulation.forced import Forced
from tests.simulation.halves import Halves
from tests.simulation.node import Node
from tests.simulation.torn import Torn
from tests.simulation.world import World

AGENTS = logging.getLogger("aurora_operator.agent")
PATIENCE = 40_000.0
"""Within this long (ms) after the last fault, a leader must commit and the membership be as wanted."""


@dataclass(frozen=True)
class Profile:
    """A family of schedules."""

    copies: tuple[int | tuple[int, int], ...]
    """Instances, or instances and log copies."""
    kinds: tuple[str, ...]
    sample: tuple[int, ...]
    """How many of the kinds happen in one schedule; 0 is all of them."""
    bootstrap: float = 0.0
    """Part of the schedules that begin with one copy, which the others join."""
    rare: bool = False
    """Long schedules with few faults: what they bring about takes time."""


PROFILES = {
    "all": Profile((1, 2, 3, 3, 3, 4, 5, 6, 6, (3, 3), (2, 2)), tuple(KINDS), (1, 2, 3, 5, 0), bootstrap=0.3),
    "partitions": Profile(
        (2, 3, 4, 5, 6, 6),
        ("isolate", "split", "split-zone", "links", "bridge", "strand", "switchover", "network"),
        (1, 2, 4, 0),
    ),
    "elections": Profile(
        (3, 4, 6, 6),
        ("crash", "crash-in-step", "postgres", "pause", "links", "network", "failing", "duel"),
        (1, 2, 4, 0),
    ),
    "membership": Profile(
        (1, 2, 3, 4),
        (
            "membership",
            "deaf",
            "crash",
            "crash-in-step",
            "postgres",
            "isolate",
            "switchover",
            "api",
            "volume",
            "network",
        ),
        (2, 4, 0),
        bootstrap=0.3,
    ),
    "shrink": Profile(
        (2, 4, 4, 6, 6, (3, 3)),
        ("halves", "halves", "halves", "crash-half", "crash", "crash-in-step", "api-of-one", "pause"),
        (1, 2, 3, 5),
        rare=True,
    ),
    "halves": Profile((2, 4, 6, 6, (3, 3), (2, 2)), ("halves",), (0,)),
    "forced": Profile((3, 3, 4, 5, 6, 6, (3, 3), (2, 2)), ("forced",), (0,)),
    "logs": Profile(
        ((3, 3), (3, 3), (2, 2), (2, 1), (1, 2)),
        (
            *("crash", "crash-in-step", "postgres", "pause", "links", "isolate", "crash-zone", "split-zone", "network"),
            *("failing", "switchover", "membership", "volume", "lagging", "halves", "tail", "tail", "tail"),
        ),
        (1, 2, 4, 0),
        bootstrap=0.2,
    ),
    "disks": Profile(
        (2, 3, 3, 4, 6, (3, 3)),
        (
            *(
                "bad-disk",
                "bad-disk",
                "power",
                "power-in-step",
                "power-in-step",
                "slow-disk",
                "crash-all",
                "membership",
            ),
            *("end", "end", "pause"),
        ),
        (2, 3, 0),
    ),
    "torn": Profile((3, 3, 4, 5, (3, 3)), ("torn",), (0,)),
    "duels": Profile((4, 6, 6), ("duel",), (0,)),
    "bystander": Profile(
        (2, 3, 3, 4, 6),
        ("crash", "crash-in-step", "postgres", "pause", "isolate", "link", "slow-disk", "lagging", "clock"),
        (1, 2, 4),
    ),
}
SHARES = (
    *(("all",) * 4 + ("partitions",) * 2 + ("elections",) * 2 + ("membership",) * 3 + ("logs",) * 2),
    *("disks", "shrink", "halves", "forced", "torn", "duels", "bystander"),
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to; `problem` is None when all held."""

    seed: int
    problem: str | None
    steps: int
    commits: int
    leaders: int


def run(seed: int, *, profile: str | None = None, tracing: bool = False) -> Outcome:
    """One schedule: of this profile, or of one that the seed chooses."""
    world = World(seed, tracing=tracing)
    problem = None
    # What the agents log of a seed would drown what it comes to.
    level = AGENTS.level
    AGENTS.setLevel(logging.CRITICAL + 1)
    try:
        name = profile or world.rng.choice(SHARES)
        _RUNS.get(name, _run)(world, name)
    except ViolationError as error:
        problem = str(error)
    except Exception as error:
        if tracing:
            raise
        problem = f"at {world.now:.0f} ms: {error!r}"
    finally:
        AGENTS.setLevel(level)
        world.end()
    return Outcome(seed, problem, world.steps, world.checker.commits, world.checker.opened)


def _form(world: World, name: str) -> list[str]:
    """Make the cluster; returns the kinds of fault that it will see."""
    rng, profile = world.rng, PROFILES[name]
    shape = rng.choice(profile.copies)
    instances, logs = (shape, 0) if isinstance(shape, int) else shape
    world.form(instances, logs, bootstrap=rng.random() < profile.bootstrap)
    kinds = rng.sample(profile.kinds, rng.choice(profile.sample) or len(profile.kinds))
    if world.tracing:
        print(f"seed {world.seed}, {name}: {len(world.nodes)} copies, faults {kinds}")
    return kinds


def _run(world: World, name: str) -> None:
    kinds = _form(world, name)
    rare = PROFILES[name].rare
    faults = Faults(world, world.rng.choice((18_000.0, 26_000.0) if rare else (8_000.0, 14_000.0, 22_000.0)), kinds)
    if rare:
        world.repair_delay = world.rng.choice((500, 1500))
        faults.mean = world.rng.choice((1500.0, 4000.0))
    faults.begin(4500 if world.rng.random() < 0.8 else 100)
    world.run(faults.end + 1)
    _settle(world)


def _run_halves(world: World, name: str) -> None:
    """Neither side has a write quorum; see `Halves`."""
    _form(world, name)
    world.repair_delay = 500
    faults = Halves(world, _settled_leader(world))
    world.run(faults.end + 1)
    _settle(world)


def _run_torn(world: World, name: str) -> None:
    """Rewinds break off, and the leader that they were to is lost for a while; see `Torn`."""
    _form(world, name)
    faults = Torn(world, _settled_leader(world))
    world.run(faults.end + 1)
    _settle(world)


def _run_forced(world: World, name: str) -> None:
    """A read quorum is lost for good, and that is accepted; see `Forced`."""
    _form(world, name)
    world.repair_delay = world.rng.choice((500, 2500))
    _settle(world)
    faults = Forced(world)
    world.run(faults.end + 1)
    _settle(world)


def _run_bystander(world: World, name: str) -> None:
    """Trouble with one copy, or with its links, must never cost a healthy leader its place."""
    kinds = _form(world, name)
    if "clock" in kinds:
        world.repair_delay = 3_600_000  # one of two whose clock jumps would not wait for the other to give it up
    leader = _settled_leader(world)
    if any(n.durable.promised > leader.durable.promised for n in world.nodes.values()):
        return  # a duel at the start, which has to end in another election
    faults = Faults(world, world.now + 12_000, kinds)
    faults.bystander = world.rng.choice([n.name for n in world.nodes.values() if n is not leader])
    faults.begin(0)
    opened = world.checker.opened
    world.run(faults.end + 1)
    _settle(world)
    if world.checker.opened != opened or world.leader() is not leader:
        world.checker.fail(f"{leader.id} lost its place through {kinds} of {faults.bystander}")


def _settle(world: World) -> None:
    since = world.now
    if not world.run(since + PATIENCE, lambda: world.settled(since)):
        roles = {n.id: str(n.state.role) if n.state else "dead" for n in world.nodes.values()}
        configs = {n.id: n.durable for n in world.nodes.values()}
        world.checker.fail(f"not settled {PATIENCE:.0f} ms after the last fault: {roles} {configs} {world.wanted}")


def _settled_leader(world: World) -> Node:
    _settle(world)
    leader = world.leader()
    assert leader is not None
    return leader


_RUNS = {"bystander": _run_bystander, "halves": _run_halves, "torn": _run_torn, "forced": _run_forced}
"""Of families whose schedules are directed, or must not end as they began."""
