"""Deliberate breakages of the rules, to show that the checker sees them."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

CORE = "aurora_operator.consensus"


@dataclass(frozen=True)
class Mutation:
    """Replaces pieces of one function's text: `where` is `module.function` or `module.Class.method`."""

    name: str
    where: str
    changes: tuple[tuple[str, str], ...]


def _mutated(original: FunctionType, changes: tuple[tuple[str, str], ...]) -> Any:
    text = textwrap.dedent(inspect.getsource(original))
    for before, after in changes:
        if before not in text:
            raise ValueError(f"{original.__qualname__} does not contain {before!r}: adapt the mutation to the rule")
        text = text.replace(before, after)
    scope: dict[str, Any] = {}
    exec(compile(text, f"<mutated {original.__qualname__}>", "exec"), original.__globals__, scope)
    return scope[original.__name__]


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Within, the core has this fault, wherever the function has been imported to."""
    module, *path = mutation.where.split(".")
    owner: Any = sys.modules[f"{CORE}.{module}"]
    for part in path[:-1]:
        owner = getattr(owner, part)
    original = inspect.getattr_static(owner, path[-1])
    if isinstance(original, property):
        getter = original.fget
        assert isinstance(getter, FunctionType)
        text = (("@property\n", ""), *mutation.changes)
        places: list[tuple[Any, Any]] = [(owner, property(_mutated(getter, text)))]
    else:
        replacement = _mutated(original, mutation.changes)
        places = [(owner, replacement)]
        if isinstance(owner, type(sys)):
            places += [
                (other, replacement)
                for name, other in list(sys.modules.items())
                if name.startswith(CORE) and getattr(other, path[-1], None) is original and other is not owner
            ]
    try:
        for place, value in places:
            setattr(place, path[-1], value)
        yield
    finally:
        for place, _ in places:
            setattr(place, path[-1], original)


MUTATIONS = (
    Mutation("skip the persist", "state.Turn.persist", (("self.effects.append(Persist(new))", "pass"),)),
    Mutation(
        "promise before the receiver is gone",
        "follower.on_prepare",
        (
            (
                "t.do(StopReceiver(prepare.epoch))",
                "t.do(StopReceiver(prepare.epoch)); "
                "t.send(sender, Promise(prepare.epoch, True, s.durable.promised, s.position, s.durable.config))",
            ),
        ),
    ),
    Mutation(
        "compare LSN alone",
        "election._check_elected",
        (
            ("(positions[c], c)", "(positions[c].lsn, c)"),
            ("positions[s.me] >= target", "positions[s.me].lsn >= target.lsn"),
        ),
    ),
    Mutation("promote before catch-up", "election._check_elected", (("if positions[s.me] >= target:", "if True:"),)),
    Mutation(
        "promote after an incomplete fetch", "election.on_fetched", (("event.position >= election.target", "True"),)
    ),
    Mutation("share epochs", "types.next_epoch", (("above + 1 + (residue - above - 1) % EPOCH_STRIDE", "above + 1"),)),
    Mutation(
        "no lease at the leader", "leader.on_tick", (("if not s.durable.config.can_read(", "if not (lambda _: True)("),)
    ),
    Mutation(
        "open before W copies reached the start",
        "leader.on_replication",
        (("s.durable.config.can_write(reached(s, led, led.start))", "True"),),
    ),
    Mutation(
        "one copy too few in the sync rule",
        "types._rule",
        (("return SyncRule(need,", "return SyncRule(max(need - 1, 0),"),),
    ),
    Mutation("one promise too few", "types.Quorum.read", (("- self.write + 1, 1", "- self.write, 1"),)),
    Mutation(
        "membership without a joint step",
        "membership.advance",
        (("config.joint(_next_key(led, config), target)", "Config(_next_key(led, config), target)"),),
    ),
    Mutation("sync rule before a quorum holds it", "membership.advance", (("config.can_write(holders)", "True"),)),
    Mutation("end the joint step at once", "membership.advance", (("if config.can_write(flushed):", "if True:"),)),
    Mutation(
        "accept lower heartbeats", "follower.on_heartbeat", (("if beat.epoch < s.durable.promised:", "if False:"),)
    ),
    Mutation("promise lower epochs", "follower.on_prepare", (("prepare.epoch > s.durable.promised and", ""),)),
    Mutation(
        "forget the promisers' memberships",
        "election._check_elected",
        (("max((p.config for p in election.promises.values()), key=lambda c: c.key)", "s.durable.config"),),
    ),
    Mutation("no quiet period after a start", "step.start", (("now + timing.lease", "now"),)),
    Mutation(
        "no pre-vote",
        "election._consider",
        (("if not config.can_read(granted):", "if False:"), ("if silent and", "if False and")),
    ),
    Mutation("promise while the leader is alive", "follower.on_prepare", (("and not t.leader_alive()", ""),)),
    Mutation("never mind refusals", "leader._check_refusals", (("if lost or", "if False and"),)),
)
