"""Which log-ins are ended: many that stand still, and no others."""

from __future__ import annotations

import os
import subprocess
import sys

from aurora_operator.agent.lifecycle.login_guard import CROWD, PATIENCE_SECONDS, Waiting
from aurora_operator.postgres.server import processes

MANY = dict.fromkeys(range(CROWD), 0.01)


def test_a_crowd_that_stands_still_is_ended_and_a_few_are_not() -> None:
    waiting = Waiting()
    assert waiting.overdue(0.0, MANY) == []
    assert waiting.overdue(PATIENCE_SECONDS - 0.1, MANY) == []
    assert waiting.overdue(PATIENCE_SECONDS, MANY) == sorted(MANY)
    few = dict(list(MANY.items())[1:])
    assert waiting.overdue(60.0, few) == [], "PostgreSQL itself ends those"


def test_who_works_or_comes_later_is_left_alone() -> None:
    waiting = Waiting()
    waiting.overdue(0.0, MANY)
    now = {**MANY, 0: 0.02, 99: 0.01}
    assert waiting.overdue(PATIENCE_SECONDS, now) == sorted(MANY.keys() - {0})
    assert waiting.overdue(2 * PATIENCE_SECONDS, now) == sorted(now)


def test_they_are_known_by_their_titles() -> None:
    titles = ["postgres: app shop 10.0.0.1(4711) authentication", "postgres: app shop 10.0.0.1(4711) idle"]
    # Python that reads its program, which never comes.
    started = [subprocess.Popen([title], executable=sys.executable, stdin=subprocess.PIPE) for title in titles]
    try:
        assert processes.logging_in(os.getpid()) == [started[0].pid]
    finally:
        for process in started:
            process.kill()
            process.communicate()
