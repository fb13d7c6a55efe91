from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aurora_operator.postgres.errors import DataError, ToolError, Unavailable
from aurora_operator.postgres.export import servers
from aurora_operator.postgres.export.server import Server
from aurora_operator.postgres.export.servers import Servers, may_pass

ONE = Server("one", "app", "secret", Path("/ca.crt"))
OTHER = replace(ONE, host="other")
REFUSED = "connection failed: Connection refused"
BROKEN = ToolError("pg_dump", 1, "the server closed the connection")

Answers = dict[str, list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """By host what it says, one after the other, the last of it for ever: since when it runs, or `!` and why not."""
    given: Answers = {}

    async def started(server: Server, database: str) -> str:
        said = given[server.host]
        answer = said.pop(0) if len(said) > 1 else said[0]
        if answer.startswith("!"):
            raise Unavailable(answer[1:])
        return answer

    monkeypatch.setattr(servers, "started", started)
    monkeypatch.setattr(servers, "PAUSE_SECONDS", 0)
    return given


def made(*, patience: float = 60, say: Callable[[str], None] = lambda _: None) -> Servers:
    return Servers([ONE, OTHER], "shop", say, patience=patience)


async def test_the_first_that_answers_is_taken(answers: Answers) -> None:
    answers |= {"one": [f"!{REFUSED}", "monday"], "other": ["tuesday"]}
    assert await made().answering() == (OTHER, "tuesday")


async def test_it_waits_and_says_so_once(answers: Answers) -> None:
    said: list[str] = []
    answers |= {"one": [f"!{REFUSED}"] * 3 + ["monday"], "other": [f"!{REFUSED}"]}
    assert await made(say=said.append).answering() == (ONE, "monday")
    assert said == [f"waiting for a server: {REFUSED}"]


async def test_what_stays_so_is_not_waited_for(answers: Answers) -> None:
    answers |= {host: ['!failed: FATAL:  database "shop" does not exist'] for host in ("one", "other")}
    with pytest.raises(Unavailable, match="does not exist"):
        await made().answering()


async def test_patience_has_an_end(answers: Answers) -> None:
    answers |= {"one": [f"!{REFUSED}"], "other": [f"!{REFUSED}"]}
    with pytest.raises(Unavailable, match="refused"):
        await made(patience=0).answering()


@pytest.mark.parametrize("after", ["tuesday", f"!{REFUSED}"])
async def test_the_next_one_begins_anew_where_one_goes(answers: Answers, after: str) -> None:
    answers |= {"one": ["monday", after], "other": ["sunday"]}
    tried: list[str] = []

    async def work(server: Server) -> str:
        tried.append(server.host)
        if len(tried) == 1:
            raise BROKEN
        return "done"

    assert await made().persist(work) == "done"
    assert tried == ["one", "other"]


@pytest.mark.parametrize("error", [BROKEN, Unavailable("permission denied"), DataError("no")])
async def test_an_error_of_one_that_stays_is_final(answers: Answers, error: Exception) -> None:
    answers |= {"one": ["monday"], "other": ["sunday"]}
    tried: list[str] = []

    async def work(server: Server) -> None:
        tried.append(server.host)
        raise error

    with pytest.raises(type(error)):
        await made().persist(work)
    assert tried == ["one"]


async def test_it_does_not_go_on_for_ever(answers: Answers) -> None:
    answers |= {"one": [str(n) for n in range(100)], "other": [str(n) for n in range(100)]}
    tried: list[str] = []

    async def work(server: Server) -> None:
        tried.append(server.host)
        raise BROKEN

    with pytest.raises(ToolError):
        await made().persist(work)
    assert tried == ["one", "other", "one", "other", "one"]


@pytest.mark.parametrize(
    ("why", "passes"),
    [
        (REFUSED, True),
        ("timeout expired", True),
        ("failed: FATAL:  the database system is starting up", True),
        ("failed: FATAL:  the database system is shutting down", True),
        ("failed: FATAL:  sorry, too many clients already", True),
        ('failed: FATAL:  password authentication failed for user "app"', False),
        ('failed: FATAL:  database "shop" does not exist', False),
    ],
)
def test_what_may_pass(why: str, passes: bool) -> None:
    assert may_pass(why) is passes
