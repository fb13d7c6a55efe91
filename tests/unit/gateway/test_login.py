"""When one client's log-in is over, and that no more than so many go on at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.unit.gateway.test_gateway import STARTUP, World, running, until

from aurora_operator.gateway import login
from aurora_operator.gateway.login import ANSWERS, AT_A_TIME, Login
from aurora_operator.gateway.packets import First


@pytest.mark.parametrize("first", ANSWERS)
async def test_it_is_over_with_the_answer_that_brings_the_session(first: First) -> None:
    over: list[None] = []
    one = Login(first, lambda: over.append(None))
    for number in range(ANSWERS[first]):
        assert not over, number
        one.server_spoke()
        if number + 1 < ANSWERS[first]:
            one.server_spoke()  # the rest of an answer is not another one
            one.client_spoke()
    assert len(over) == 1
    one.server_spoke()
    one.end()
    assert len(over) == 1


async def test_who_owes_the_next_word_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "SILENT_SECONDS", 0.05)
    over = asyncio.Event()
    one = Login(First.SSL, over.set)
    await asyncio.sleep(0.1)
    assert not over.is_set(), "the server has yet to answer"
    one.server_spoke()
    one.client_spoke()
    await asyncio.sleep(0.1)
    assert not over.is_set(), "the server has yet to answer again"
    one.server_spoke()
    async with asyncio.timeout(5):
        await over.wait()


async def test_a_server_that_never_answers_does_not_keep_it_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MOST_SECONDS", 0.05)
    over = asyncio.Event()
    Login(First.STARTUP, over.set)
    async with asyncio.timeout(5):
        await over.wait()


class Slow(World):
    """A database that takes clients in when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0
        self.answer = asyncio.Event()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        with suppress(ConnectionError):
            while await reader.read(65536):
                await self.answer.wait()
                writer.write(b"!")
        writer.close()


async def test_so_many_log_in_at_a_time_and_the_rest_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MOST_SECONDS", 60)
    world = Slow()
    async with running(world):
        clients = [await world.connect() for _ in range(AT_A_TIME + 20)]
        for _, writer in clients:
            writer.write(STARTUP)
        await until(lambda: world.gateway.clients == "waiting")
        await world.wake()
        await until(lambda: world.came == AT_A_TIME)
        gone = clients[:5]
        for _, writer in gone:
            writer.close()
        await until(lambda: world.came == AT_A_TIME + 5)
        world.answer.set()

        async def log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(ANSWERS[First.STARTUP] - 1):
                assert await reader.read(1) == b"!"
                writer.write(b"?")
            assert await reader.read(1) == b"!"
            writer.close()

        async with asyncio.timeout(60):
            await asyncio.gather(*(log_in(*client) for client in clients[5:]))
        assert world.came == AT_A_TIME + 20
