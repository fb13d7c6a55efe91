from __future__ import annotations

from aurora_operator.postgres.server import log_line

STARTUP = "2026-12-01 10:00:00.123 UTC [12] startup XX001 FATAL:  invalid page in block 7 of relation base/5/16390"
CLIENT = (
    "2026-12-01 10:00:00.124 UTC [99] client backend 28P01 invalid page in block 1@app [unknown] "
    'FATAL:  password authentication failed for user "invalid page in block 1"'
)
EARLY = "2026-12-01 10:00:00.123 UTC [12] FATAL:  configuration file contains errors"


def test_a_clients_line_is_not_the_servers() -> None:
    assert log_line.kind(STARTUP) == "startup"
    assert log_line.kind(CLIENT) == "client backend"
    assert log_line.is_own(STARTUP, configured=True)
    assert not log_line.is_own(CLIENT, configured=False)
    assert not log_line.is_own("2026-12-01 10:00:00.124 UTC [9] walsender 00000 x@[unknown] y LOG:  z", configured=True)


def test_lines_without_a_kind_are_the_postmasters_until_it_is_configured() -> None:
    assert log_line.is_own(EARLY, configured=False)
    assert not log_line.is_own(EARLY, configured=True)
    assert not log_line.is_own("\tPANIC:  a query's second line", configured=True)


def test_the_complaint_is_the_newest_that_ended_it() -> None:
    assert log_line.complaint([EARLY, "LOG:  bye"]) == "configuration file contains errors"
    assert log_line.complaint(["LOG:  bye"]) == "LOG:  bye"
    assert log_line.complaint([]) == ""
