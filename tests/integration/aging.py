"""Copies with many leaderships behind them, real ones and such as the files alone tell of."""

from __future__ import annotations

import asyncio

from tests.integration.copies import Copy, give

from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import history_files, pg_wal
from aurora_operator.postgres.wal.timeline import History, Switch, history_name, render_history

STRIDE = 32


async def lead_again(copy: Copy, epoch: int) -> None:
    """A leadership in place: PostgreSQL stops and is promoted onto the next number."""
    await copy.session.close()
    await copy.server.stop("fast", 10)
    await pg_wal.clean_future_histories(copy.tools, copy.layout.pgdata)
    copy.configure(Runtime(sync=(0, ())))
    await copy.start()
    assert (await copy.standby.promote(epoch)).timeline == epoch


def make_old(copy: Copy, history: History, real: int | None = None) -> None:
    """All the files that leaders used to leave behind; of ancestors before the newest `real`, placeholders alone."""
    told = {s.parent for s in (history.switches if real is None else history.switches[-real:])}
    for number in range(2, history.timeline):
        path = copy.layout.wal / history_name(number)
        if not path.exists():
            path.write_text(render_history(history.ancestor(number)) if number in told else "")
    give(copy.tools, copy.layout.wal)


async def tidy_all(copy: Copy, timeline: int) -> int:
    removed = 0
    while True:
        control = await queries.checkpoint_timeline(copy.session)
        some = await asyncio.to_thread(history_files.tidy, copy.layout.pgdata, timeline, control)
        removed += some
        if some < history_files.AT_ONCE:
            return removed


async def age_by_promotion(copy: Copy, base: int, real: int | None = None) -> History:
    """A leadership more, whose history tells of all that could have been before `base`."""
    now = pg_wal.read_history(copy.layout.pgdata, base)
    assert now is not None
    past = list(range(2, base, STRIDE))
    end = now.switches[0].lsn
    # Where timeline 1 ended, all the others began and ended: between them there is no WAL.
    old = (now.switches[0], *(Switch(n, end, now.switches[0].reason) for n in past))
    aged = History(base, old)
    await copy.session.close()
    await copy.server.stop("fast", 10)
    (copy.layout.wal / history_name(base)).write_text(render_history(aged))
    make_old(copy, aged, real)
    copy.configure(Runtime(sync=(0, ())))
    await copy.start()
    await copy.standby.promote(base + STRIDE)
    history = pg_wal.read_history(copy.layout.pgdata, base + STRIDE)
    assert history is not None and history.switches[:-1] == aged.switches
    make_old(copy, history, real)
    return history
