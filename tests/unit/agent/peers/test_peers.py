from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.certificates import write_certificates

from aurora_operator.agent.peers import peers as module
from aurora_operator.agent.peers.peers import Peers
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.consensus.messages import Message, PreVote
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.wal.timeline import History, Switch

FIRST_REASON = "no recovery target specified"
Got = list[tuple[str, Message]]


def make(name: str, certificates: Certificates, got: Got, dead: list[str]) -> Peers:
    return Peers(
        lambda: f"{name}/00000001",
        "127.0.0.1",
        certificates.server,
        certificates.client,
        lambda sender, message: got.append((sender, message)),
        dead.append,
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def met(certificates: Certificates) -> tuple[Peers, list[str], asyncio.Task[None]]:
    """One that is connected to demo-2, which it plays itself; who it finds dead; and what serves both."""
    dead: list[str] = []
    here = make("demo-1", certificates, [], dead)
    serving = asyncio.create_task(here.serve())
    here.set_members({"demo-2": "localhost"})
    await until(lambda: list(here.connected()) == ["demo-2"])
    here._links["demo-2"].copy = "demo-2/00000001"
    return here, dead, serving


@pytest.fixture(autouse=True)
def free_ports(unused_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEER_PORT", unused_tcp_port_factory())
    monkeypatch.setattr(module, "POSTGRES_PORT", unused_tcp_port_factory())


async def test_a_message_arrives_with_its_sender(certificates: Certificates) -> None:
    got: Got = []
    there = make("demo-2", certificates, got, [])
    here = make("demo-1", certificates, [], [])
    serving = asyncio.create_task(there.serve())
    there.set_members({"demo-1": "localhost"})
    here.set_members({"demo-2": "localhost"})
    await until(lambda: list(here.connected()) == ["demo-2"])
    here.send("demo-2/00000001", PreVote(7))
    here.send("demo-9/00000001", PreVote(8))
    await until(lambda: got)
    assert got == [("demo-1/00000001", PreVote(7))]
    assert there.address("demo-1/00000001") == ("localhost", "127.0.0.1")
    await here.close()
    await there.close()
    serving.cancel()


async def test_a_leaders_history_comes_with_its_messages(certificates: Certificates) -> None:
    got: Got = []
    there = make("demo-2", certificates, got, [])
    here = make("demo-1", certificates, [], [])
    serving = asyncio.create_task(there.serve())
    there.set_members({"demo-1": "localhost"})
    here.set_members({"demo-2": "localhost"})
    await until(lambda: list(here.connected()) == ["demo-2"])
    for told in ((35, "1\t0/502EA28\tno recovery target specified\n"), None):
        got.clear()
        here.history = told
        here.broadcast(PreVote(7))
        await until(lambda: got)
        assert there.history_of("demo-1/00000001", 35) == History(35, (Switch(1, 0x502EA28, FIRST_REASON),))
    assert there.history_of("demo-1/00000001", 67) is None, "of another epoch"
    assert there.history_of("demo-1/00000002", 35) is None, "of another copy"
    for worthless in ("", "?", "1\t0/9\tx\n2\t0/5\tx\n"):
        got.clear()
        here.history = (35, worthless)
        here.broadcast(PreVote(7))
        await until(lambda: got)
        assert there.history_of("demo-1/00000001", 35) is None
    await here.close()
    await there.close()
    serving.cancel()


async def test_a_peer_whose_ports_both_refuse_is_dead(certificates: Certificates) -> None:
    dead: list[str] = []
    here = make("demo-1", certificates, [], dead)
    there = make("demo-2", certificates, [], [])
    here_serving = asyncio.create_task(here.serve())
    here.set_members({"demo-2": "localhost"})
    await until(lambda: here_serving)
    # Both listen on one port here, so the one that "dies" is played by a server that we close.
    await asyncio.sleep(0)
    await until(lambda: list(here.connected()) == ["demo-2"])
    here._links["demo-2"].copy = "demo-2/00000001"
    here_serving.cancel()
    await asyncio.gather(here_serving, return_exceptions=True)
    for task in list(here._incoming):
        task.cancel()
    await until(lambda: dead)
    assert dead == ["demo-2/00000001"]
    await here.close()
    await there.close()


async def test_a_peer_whose_postgresql_outlives_its_agent_by_a_moment_is_dead(certificates: Certificates) -> None:
    here, dead, serving = await met(certificates)
    postgres = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "localhost", vars(module)["POSTGRES_PORT"]
    )
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    for task in list(here._incoming):
        task.cancel()
    await asyncio.sleep(0.2)
    assert dead == []
    postgres.close()
    await postgres.wait_closed()
    await until(lambda: dead)
    assert dead == ["demo-2/00000001"]
    await here.close()


async def test_a_peer_whose_port_outlives_its_connections_by_a_moment_is_dead(certificates: Certificates) -> None:
    here, dead, serving = await met(certificates)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    came: list[asyncio.StreamWriter] = []
    port = await asyncio.start_server(
        lambda _reader, writer: came.append(writer), "localhost", vars(module)["PEER_PORT"]
    )
    for task in list(here._incoming):
        task.cancel()
    await until(lambda: len(came) == 2)  # a look, and a handshake that nobody answers
    assert dead == []
    port.close()
    for writer in came:
        writer.transport.abort()
    await until(lambda: dead)
    assert dead == ["demo-2/00000001"]
    await here.close()


async def test_a_peer_that_may_be_starting_is_tried_without_longer_and_longer_pauses(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    here = make("demo-1", certificates, [], [])
    tries = 0

    async def connect(_: object, *, by_name: bool) -> None:
        nonlocal tries
        tries += 1
        raise OSError("nobody there")

    monkeypatch.setattr(here, "_connect", connect)
    here.set_members({"demo-2": "localhost"})
    async with asyncio.timeout(5):
        await until(lambda: tries == 50)
    await here.close()


async def test_a_peer_that_only_closed_a_connection_is_not_dead(certificates: Certificates) -> None:
    here, dead, serving = await met(certificates)
    for task in list(here._incoming):
        task.cancel()
    await asyncio.gather(*list(here._incoming), return_exceptions=True)
    await until(lambda: here._incoming and list(here.connected()) == ["demo-2"])
    assert dead == []
    await here.close()
    serving.cancel()


async def test_who_shows_no_agents_certificate_is_not_heard(certificates: Certificates, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    write_certificates(folder / "tls", agent_name="somebody")
    other = Certificates(Layout(folder, folder / "run", folder / "tls"))
    got: Got = []
    there = make("demo-2", other, got, [])
    serving = asyncio.create_task(there.serve())
    there.set_members({"demo-1": "localhost"})
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ConnectionRefusedError):  # it does not listen yet
                reader, writer = await asyncio.open_connection(
                    "localhost", vars(module)["PEER_PORT"], ssl=other.client, server_hostname="localhost"
                )
                break
        assert await reader.read() == b""
    writer.close()
    assert got == []
    await there.close()
    serving.cancel()


async def test_a_peer_that_comes_is_tried_at_once(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 60.0)
    here = make("demo-1", certificates, [], [])
    here.set_members({"demo-2": "localhost"})
    for _ in range(20):  # It has failed once by then, and would sleep for a minute.
        await asyncio.sleep(0.01)
    assert list(here.connected()) == []
    serving = asyncio.create_task(here.serve())
    there = make("demo-2", certificates, [], [])
    await asyncio.sleep(0.01)
    there.set_members({"demo-1": "localhost"})
    await until(lambda: list(there.connected()) == ["demo-1"] and list(here.connected()) == ["demo-2"])
    await here.close()
    await there.close()
    serving.cancel()


async def test_half_open_connections_keep_no_peer_out(certificates: Certificates) -> None:
    got: Got = []
    there = make("demo-2", certificates, got, [])
    here = make("demo-1", certificates, [], [])
    serving = asyncio.create_task(there.serve())
    there.set_members({"demo-1": "localhost"})
    here.set_members({"demo-2": "localhost"})
    await until(lambda: list(here.connected()) == ["demo-2"])
    with contextlib.ExitStack() as held:
        for _ in range(100):
            silent = held.enter_context(socket.socket())
            silent.setblocking(False)
            await asyncio.get_running_loop().sock_connect(silent, ("127.0.0.1", vars(module)["PEER_PORT"]))
        await until(lambda: there._listener.ended >= 90)
        assert there._listener.connections <= module.BOUNDS.per_address
        here.send("demo-2/00000001", PreVote(7))
        await until(lambda: got)
        assert got == [("demo-1/00000001", PreVote(7))]
    await here.close()
    await there.close()
    serving.cancel()
