"""Deliberate breakages of the rules, to show that the checker sees them."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

CORE = "aurora_operator.consensus"
MODELS = ("shell", "database", "node", "world", "volume")
"""Modules of the simulator that stand for what an agent's shell, its PostgreSQL and its disk must keep."""

SHELL = {
    "files": "aurora_operator.postgres.files",
    "driver": "aurora_operator.agent.member.driver",
    "life": "aurora_operator.agent.member.life",
    "record_keeper": "aurora_operator.agent.replication.record_keeper",
}
"""Modules of the agent's own that the simulator runs."""


@dataclass(frozen=True)
class Change:
    """Replaces pieces of one function's text: `where` is `module.function` or `module.Class.method`, of the core, of
    the agent's shell or of the simulator's models."""

    where: str
    pieces: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mutation:
    """A fault of the core, and the schedules among which it should show."""

    name: str
    profile: str
    changes: tuple[Change, ...]
    begin: int = 0
    """The first seed to try. Where few schedules show the fault: one a little before such a schedule, to save time."""


def _mutated(original: FunctionType, pieces: tuple[tuple[str, str], ...]) -> Any:
    text = textwrap.dedent(inspect.getsource(original))
    for before, after in pieces:
        if before not in text:
            raise ValueError(f"{original.__qualname__} does not contain {before!r}: adapt the mutation to the rule")
        text = text.replace(before, after)
    scope: dict[str, Any] = {}
    exec(compile(text, f"<mutated {original.__qualname__}>", "exec"), original.__globals__, scope)
    return scope[original.__name__]


def _places(change: Change) -> Iterator[tuple[Any, str, Any, Any]]:
    """Owner, name, original and replacement, wherever the function has been imported to."""
    module, *path = change.where.split(".")
    known = f"tests.simulation.{module}" if module in MODELS else f"{CORE}.{module}"
    owner: Any = sys.modules[SHELL.get(module, known)]
    for part in path[:-1]:
        owner = getattr(owner, part)
    name = path[-1]
    original = inspect.getattr_static(owner, name)
    if isinstance(original, property):
        assert isinstance(original.fget, FunctionType)
        yield owner, name, original, property(_mutated(original.fget, (("@property\n", ""), *change.pieces)))
        return
    replacement = _mutated(original, change.pieces)
    yield owner, name, original, replacement
    if isinstance(owner, ModuleType):
        for other_name, other in list(sys.modules.items()):
            ours = other_name.startswith(("aurora_operator.", "tests.simulation"))
            if ours and other is not owner and getattr(other, name, None) is original:
                yield other, name, original, replacement


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Within, the core has this fault."""
    places = [place for change in mutation.changes for place in _places(change)]
    try:
        for owner, name, _, replacement in places:
            setattr(owner, name, replacement)
        yield
    finally:
        for owner, name, original, _ in places:
            setattr(owner, name, original)


def _mutation(name: str, profile: str, *changes: tuple[str, tuple[tuple[str, str], ...]], begin: int = 0) -> Mutation:
    return Mutation(name, profile, tuple(Change(where, pieces) for where, pieces in changes), begin)


MUTATIONS = (
    _mutation("skip the persist", "all", ("state.Turn.persist", (("self.effects.append(Persist(new))", "pass"),))),
    _mutation(
        "promise before the receiver is gone",
        "elections",
        (
            "follower.on_prepare",
            (
                (
                    "t.do(StopReceiver(prepare.epoch))",
                    "t.do(StopReceiver(prepare.epoch)); "
                    "t.send(sender, Promise(prepare.epoch, True, s.durable.promised, s.position, s.durable.config))",
                ),
            ),
        ),
    ),
    _mutation(
        "promise lower epochs",
        "elections",
        ("follower.on_prepare", (("(again or prepare.epoch > s.durable.promised)", "True"),)),
    ),
    _mutation(
        "promise while a leader is alive",
        "partitions",
        ("follower.on_prepare", (("and (not t.leader_alive() or (again and _is_candidate(t)))", ""),)),
    ),
    _mutation(
        "compare LSN alone",
        "elections",
        (
            "election._check_elected",
            (
                ("(positions[c], c)", "(positions[c].lsn, c)"),
                ("positions[s.me] >= target", "positions[s.me].lsn >= target.lsn"),
            ),
        ),
    ),
    _mutation(
        "promote before catch-up",
        "elections",
        ("election._check_elected", (("if positions[s.me] >= target:", "if True:"),)),
    ),
    _mutation(
        "promote after an incomplete fetch",
        "elections",
        ("election.on_fetched", (("event.position >= election.target", "True"),)),
    ),
    _mutation(
        "share epochs",
        "duels",
        ("types.next_epoch", (("above + 1 + (residue - above - 1) % EPOCH_STRIDE", "above + 1"),)),
    ),
    _mutation(
        "take a spent number again",
        "elections",
        ("election._promote", (("s.unspent = 0", "pass"),)),
    ),
    _mutation(
        "give a number back whose promotion may have begun",
        "elections",
        ("election.on_promoted", (("if not event.begun:", "if True:"),)),
    ),
    _mutation("one promise too few", "all", ("types.Quorum.read", (("- self.write + 1, 1", "- self.write, 1"),))),
    _mutation(
        "one copy too few in the sync rule", "all", ("types._rule", (("SyncRule(need,", "SyncRule(max(need - 1, 0),"),))
    ),
    _mutation(
        "no lease at the leader",
        "partitions",
        ("lease.lease_end", (("if led is None or", "if True or"),)),
    ),
    _mutation(
        "no margin of the leader's lease",
        "partitions",
        ("lease.lease_end", (("- s.timing.heartbeat // 2", ""),)),
        begin=3550,
    ),
    _mutation("no quiet period after a start", "partitions", ("step.start", (("now + timing.lease", "now"),))),
    _mutation("forget earlier leaders' leases", "partitions", ("state.Turn.follow", (("old.relying", "False"),))),
    _mutation(
        "open before W copies reached the start",
        "elections",
        ("leader._open", (("s.durable.config.can_write(reached(s, led, led.start) & free)", "True"),)),
    ),
    _mutation(
        "accept lower heartbeats",
        "partitions",
        ("follower.on_heartbeat", (("if beat.epoch < s.durable.promised or", "if"),)),
    ),
    _mutation("never mind refusals", "elections", ("leader._check_refusals", (("if lost or", "if False and"),))),
    _mutation(
        "no pre-vote",
        "bystander",
        (
            "election._consider",
            (
                ("enough = config.can_read(granted) and not denied", "enough = True"),
                ("if enough and not", "if False and not"),
                ("if silent and", "if False and"),
            ),
        ),
    ),
    _mutation(
        "stand without a write quorum in reach",
        "bystander",
        ("election._consider", (("enough = _can_do_with_fewer(t, config, waited)", "pass"),)),
    ),
    _mutation("ignore that a leader answers", "bystander", ("election._consider", (("and not denied", ""),))),
    _mutation(
        "membership without a joint step",
        "membership",
        (
            "membership.advance",
            (("config.joint(_next_key(led, config), target)", "config.settled(_next_key(led, config), target)"),),
        ),
    ),
    _mutation(
        "sync rule before a quorum holds it",
        "membership",
        ("membership._held_by_enough", (("return config.can_write(holders)", "return True"),)),
    ),
    _mutation(
        "never give up a joint step",
        "membership",
        (
            "membership._in_vain",
            (
                ("if not new.can_write(", "if False and not new.can_write("),
                ("return shrink.is_long(t)", "return False"),
            ),
        ),
    ),
    _mutation(
        "forget the others' memberships",
        "membership",
        (
            "election._check_elected",
            (
                (
                    "max((s.durable.config, *(p.config for p in election.promises.values())), key=lambda c: c.key)",
                    "s.durable.config",
                ),
            ),
        ),
        (
            "election._consider",
            (
                (
                    "max((s.durable.config, *(r.config for r in election.replies.values())), key=lambda c: c.key)",
                    "s.durable.config",
                ),
            ),
        ),
        begin=1680,
    ),
    _mutation(
        "let both halves shrink",
        "halves",
        ("membership.record_allows", (("held == wish.before if wish.after", "True if wish.after"),)),
        begin=1680,
    ),
    _mutation(
        "shrink without a lease's wait",
        "halves",
        ("shrink.can_end", (("or t.now - led.recorded < s.timing.lease", ""),)),
    ),
    _mutation(
        "shrink without a joint step",
        "halves",
        ("shrink.proposal", (("new=Quorum(", "old=Quorum("),)),
    ),
    _mutation(
        "follow a leader of before the shrink",
        "halves",
        ("follower.on_heartbeat", (("or beat.config.key < s.durable.config.floor", ""),)),
        begin=750,
    ),
    _mutation(
        "read on without the record",
        "halves",
        ("lease.lease_end", (("if s.role == Role.LEADING:", "if False:"),)),
    ),
    _mutation(
        "stand without the record",
        "bystander",
        ("shrink.may_follow", (("and record_fresh(t)", ""),)),
    ),
    _mutation(
        "no watchdog of the agent",
        "elections",
        (
            "node.Node._watchdog",
            (("self.world.at(KILLING * self.rng.random(), self.shell.kill, self.db.life)", "pass"),),
        ),
    ),
    _mutation(
        "stream without comparing the histories",
        "elections",
        ("shell.Shell._follow", (("db.common(source.db) < len(db.log)", "False"),)),
    ),
    _mutation(
        "complete a rewind from a leader alone",
        "torn",
        ("shell.Shell._whole_source", (("if epoch is None:", "if True:"),)),
    ),
    _mutation(
        "complete a rewind from any copy",
        "torn",
        ("shell.Shell._whole_source", (("n.db.position().epoch >= epoch", "True"),)),
    ),
    _mutation("let a log copy stand", "logs", ("state.Turn.rank", (("can_lead=s.instance", "can_lead=True"),))),
    _mutation(
        "take a log copy's WAL for another history",
        "logs",
        ("shell.Shell._fetch", (("if common < len(db.log):", "if common < len(db.log) and source.instance:"),)),
    ),
    _mutation(
        "a log copy mixes histories",
        "logs",
        ("database.Connection.deliver", (("target.truncate(common)", "pass"),)),
    ),
    _mutation(
        "accept a loss without every survivor's promise",
        "forced",
        (
            "forced.on_force",
            (
                (
                    "Quorum(survivors, 1), Quorum(survivors, majority(len(survivors)))",
                    "Quorum(survivors, majority(len(survivors)))",
                ),
            ),
        ),
    ),
    _mutation(
        "accept a loss while the lost still run",
        "forced",
        ("world.World.keep_aside", (("node.crash(1e9)", "return"),)),
    ),
    _mutation(
        "stand for the survivors without PostgreSQL",
        "forced",
        ("forced.on_force", (("if s.role != Role.DOWN:", "if True:"),)),
    ),
    _mutation(
        "forget the record's membership",
        "forced",
        ("forced.newest", (("max(s.durable.config, known, key=lambda config: config.key)", "s.durable.config"),)),
    ),
    _mutation("a disk that lies of a file", "disks", ("volume.Volume._sync", (("file.durable = file.data", "pass"),))),
    _mutation(
        "a disk that lies of a folder",
        "disks",
        ("volume.Volume._keep_names", (("self._kept = dict(self.names)", "pass"),)),
    ),
    _mutation(
        "rename a file before its content is durable",
        "disks",
        ("files.write_durably", (("sync=sync)", "sync=False)"),)),
    ),
    _mutation(
        "answer before a rename is durable",
        "disks",
        ("files.write_durably", (("if sync:", "if False:"),)),
    ),
    _mutation(
        "write a file where it stands",
        "disks",
        (
            "files.write_durably",
            (('path.with_name(path.name + ".tmp")', "path"), ("files.rename(temporary, path)", "")),
        ),
    ),
    _mutation(
        "do not wait for the disk",
        "disks",
        (
            "driver.Driver._carry_out",
            (("await asyncio.to_thread(", "asyncio.get_running_loop().run_in_executor(None, "),),
        ),
    ),
    _mutation(
        "tell the watchdog nothing",
        "elections",
        ("driver.Driver.handle", (("self._lease_moved()", "pass"),)),
    ),
    _mutation(
        "change a record that holds another membership",
        "halves",
        ("record_keeper.RecordKeeper.change", (("if record_allows(", "if True or record_allows("),)),
    ),
    _mutation(
        "rest while a leader relies on it",
        "disks",
        ("life.rest", (("if not relied_upon(state, now):", "if True:"),)),
    ),
)
