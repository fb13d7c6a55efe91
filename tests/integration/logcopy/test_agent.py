"""The whole agent of a log copy: heartbeats and prepares come over the peer port, WAL from a real server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.certificates import HOST
from tests.integration.copies import Cluster, Copy
from tests.integration.logcopy.receiving import leader, reader, until

from aurora_operator.agent.log_copy import pruning, receiving
from aurora_operator.agent.log_copy.agent import LogAgent
from aurora_operator.agent.member.environment import Environment
from aurora_operator.agent.peers import agent_client, peers
from aurora_operator.agent.peers.peers import Peers
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.ports import Ports, clock
from aurora_operator.agent.server import http
from aurora_operator.agent.server.http import Service, api
from aurora_operator.api.agent.messages import AgentStatus, ReplicaStatus
from aurora_operator.api.agent.settings import Member, Settings
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Message, Prepare, Promise, Resigned
from aurora_operator.consensus.step import relied_upon
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, Quorum
from aurora_operator.net.http_server import serve
from aurora_operator.postgres.config import configure
from aurora_operator.postgres.config.conf import Runtime, follower_name, slot_name
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import received
from aurora_operator.postgres.wal.timeline import render_history

LOG = "demo-log-1"


@dataclass
class Leader:
    """Speaks for a server as its agent would: heartbeats, its history, its status."""

    copy: Copy
    certificates: Certificates
    settings: Settings
    epoch: int
    start: int = 1
    heard: list[Message] = field(default_factory=list)
    replicas: tuple[ReplicaStatus, ...] = ()
    beating: bool = True

    def __post_init__(self) -> None:
        tls = self.certificates
        self.peers = Peers(
            lambda: self.copy.name, self.copy.address, tls.server, tls.client, self._received, lambda _: None
        )
        self.sender = ""

    def _received(self, sender: CopyId, message: Message) -> None:
        self.sender = sender
        self.heard.append(message)

    def wal_folder(self) -> Path:
        return self.copy.layout.wal

    def status(self) -> AgentStatus:
        return AgentStatus(
            name=self.copy.name.partition("/")[0],
            incarnation="00000001",
            phase="Leading",
            role="writer",
            epoch=self.epoch,
            lsn=1 << 40,
            replicas=self.replicas,
        )

    async def beat(self) -> None:
        config = Config(ConfigKey(1, 1), Quorum(frozenset({self.copy.name, f"{LOG}/x"}), 2))
        for number in itertools.count():
            if self.beating:
                lsn = (await queries.write_lsn(self.copy.session))[1]
                self.peers.broadcast(Heartbeat(self.epoch, number, config, self.start, lsn))
            await asyncio.sleep(0.1)

    async def ask(self, epoch: int) -> Position:
        """Stop beating, and have the copy promise; returns its position."""
        self.beating = False
        while True:
            self.heard.clear()
            self.peers.broadcast(Prepare(epoch))
            await asyncio.sleep(0.2)
            for message in self.heard:
                if isinstance(message, Promise) and message.granted and message.position is not None:
                    return message.position

    async def followed(self) -> bool:
        return any(isinstance(m, HeartbeatAck) and m.accepted for m in self.heard)


class World:
    """Servers with agents that speak for them, and one log copy's agent."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        self.cluster = cluster
        self.tasks: list[asyncio.Task[None]] = []
        self.port = port
        for module in (http, agent_client):
            monkeypatch.setattr(module, "API_PORT", port)
        monkeypatch.setattr(http, "HEALTH_PORT", port + 2)
        monkeypatch.setattr(pruning, "PERIOD_SECONDS", 0.2)
        monkeypatch.setattr(receiving, "LOOK_SECONDS", 0.1)
        monkeypatch.setattr(peers, "PEER_PORT", port + 1)
        self.blank = cluster.blank()
        self.blank.lock.release()
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
        monkeypatch.setattr("aurora_operator.net.kubernetes.trust", lambda _: Certificates(self.blank.layout).client)
        self.environment = Environment(
            cluster="demo",
            namespace="default",
            instance=LOG,
            pod_name=f"{LOG}-0",
            pod_ip=self.blank.address,
            pod_uid="",
            zone="a",
            cpu_millis=100,
            memory_bytes=1 << 27,
            kind="log",
        )
        self.ports = Ports(layout=self.blank.layout, tools=self.blank.tools, listen=self.blank.address)
        self.agent: LogAgent | None = None
        self.running: asyncio.Task[None] | None = None

    def settings(self, *instances: Copy) -> Settings:
        members = [
            Member(name=c.name.partition("/")[0], ordinal=n + 1, host=HOST, zone="a") for n, c in enumerate(instances)
        ]
        members.append(Member(name=LOG, ordinal=31, kind="log", host=HOST))
        return Settings(
            cluster="demo",
            namespace="default",
            cluster_uid="u",
            revision=1,
            engine_version="17",
            bootstrap=members[0].name,
            members=tuple(members),
            voters=tuple(m.name for m in members),
            write_quorum=2,
            database_name="app",
            master_username="app",
        )

    async def lead(self, copy: Copy, settings: Settings, epoch: int, start: int = 1) -> Leader:
        made = Leader(copy, Certificates(copy.layout), settings, epoch, start)
        made.peers.set_members({LOG: HOST})
        made.peers._links[LOG].address = self.blank.address
        app = api(cast(Service, made))
        self.tasks += [
            asyncio.create_task(made.peers.serve(copy.address)),
            asyncio.create_task(serve(app, self.port, made.certificates.server, host=copy.address)),
            asyncio.create_task(made.beat()),
        ]
        return made

    async def start(self, settings: Settings) -> LogAgent:
        self.agent = LogAgent(self.environment, settings, self.ports)
        self.running = asyncio.create_task(self.agent.run())
        return self.agent

    async def stop(self) -> None:
        if self.agent is not None and self.running is not None:
            self.agent.copy.closing.set()
            await self.running
            self.agent._lock.release()
            self.agent = self.running = None

    async def close(self) -> None:
        await self.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def world(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> AsyncIterator[World]:
    made = World(cluster, monkeypatch, unused_tcp_port_factory())
    try:
        yield made
    finally:
        with contextlib.suppress(Exception):
            await made.close()


async def _flushed(copy: Copy) -> int:
    rows = (await queries.replication(copy.session)).replicas
    return max((r.flush_lsn for r in rows if r.application_name.startswith(LOG)), default=0)


async def _slot(copy: Copy, agent: LogAgent) -> None:
    await queries.create_slot(copy.session, slot_name(agent.copy.id))


async def test_its_life(world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await leader(cluster)
    second = await reader(cluster, first)
    settings = world.settings(first, second)
    agent = await world.start(settings)
    await until(lambda: _answer(agent.ready()), True)
    incarnation = agent.copy.incarnation
    assert agent.status().role == "log" and agent.status().kind == "log"
    await _slot(first, agent)
    one = await world.lead(first, settings, 1)
    await until(lambda: _flushed(first), await queries.flush(first.session))
    await until(lambda: _answer(agent.copy.phase == "Following" and not agent.copy.message), True)
    # A position that cannot be read stops no stream, and is read again.
    streaming = agent._receiving._receiver.pid
    (stray := agent.wal_folder() / "000000030000000000000009.partial").write_bytes(bytes(SEGMENT_BYTES))
    await queries.flush(first.session)
    await until(lambda: _answer("no history" in agent.copy.message), True)
    stray.unlink()
    await queries.flush(first.session)
    await until(lambda: _answer(agent.copy.phase == "Following" and not agent.copy.message), True)
    assert agent._receiving._receiver.pid == streaming and agent.copy.ailment is None
    # A commit that only the log copy acknowledges; then the leader is gone.
    await first.standby.set_sync(1, (follower_name(agent.copy.id, 1),))
    await second.streams(1, await queries.flush(first.session))
    await second.standby.stop_receiving()
    await first.session.rows("BEGIN; SET LOCAL synchronous_commit = on; INSERT INTO public.t VALUES (7); COMMIT")
    committed = (await queries.write_lsn(first.session))[1]
    position = await one.ask(34)
    assert position.epoch == 1 and position.lsn >= committed - 100
    assert not await _flushed(first)  # nothing is acknowledged to the old leader any more
    await first.server.stop("immediate", 3)

    # A restart in the middle of a segment forgets nothing: neither the promise nor the WAL.
    await world.stop()
    agent = await world.start(settings)
    await until(lambda: _answer(agent.ready()), True)
    assert agent.copy.incarnation == incarnation
    assert agent.copy.driver.state.durable.promised == 34
    assert agent.copy.driver.state.position == position

    # The next leader does not have that tail: it is put aside, and the new history is received.
    promoted = await second.standby.promote(34)
    await _slot(second, agent)
    two = await world.lead(second, settings, 34, promoted.start)
    two.peers.history = (34, render_history(promoted.history))
    monkeypatch.setattr(receiving, "history_of", None)  # it was told, and has nobody to ask
    await until(lambda: _flushed(second), await queries.flush(second.session))
    assert promoted.switch < position.lsn
    kept = [p for p in agent.copy.layout.kept.rglob("*") if p.is_file()]
    assert [p.suffix for p in kept] == [".partial"]
    await until(lambda: _answer((agent.copy.driver.state.position or Position(0, 0)).epoch), 34)
    assert two.sender == agent.copy.id

    # All instances are past it: old WAL goes. One that is not there holds it, while there is room.
    await second.session.rows("INSERT INTO public.t SELECT generate_series(1, 1500000)", timeout=120)
    await until(lambda: _flushed(second), await queries.flush(second.session))
    count = len(received.segments(agent.wal_folder()))
    assert count >= 6
    await asyncio.sleep(1)
    assert len(received.segments(agent.wal_folder())) == count
    lsn = (await queries.write_lsn(second.session))[1]
    two.replicas = (_replica(first, lsn),)
    await until(lambda: _answer(len(received.segments(agent.wal_folder())) < count), True)
    assert min(s.first for s in received.segments(agent.wal_folder())) <= lsn - SEGMENT_BYTES


def _replica(copy: Copy, lsn: int) -> ReplicaStatus:
    return ReplicaStatus(
        name=copy.name.partition("/")[0],
        incarnation="00000001",
        state="streaming",
        flush_lsn=lsn,
        replay_lsn=lsn,
        lag_bytes=0,
        lag_seconds=0,
        voting=True,
    )


async def _answer(value: Any) -> Any:
    return value


async def test_after_an_end_in_order_it_promises_at_once(world: World, cluster: Cluster) -> None:
    """A cluster that wakes must not wait for a lease that nobody holds."""

    def free(agent: LogAgent) -> bool:
        return not relied_upon(agent.copy.driver.state, clock())

    first = await leader(cluster)
    settings = world.settings(first)
    agent = await world.start(settings)
    await _slot(first, agent)
    one = await world.lead(first, settings, 1)
    await until(lambda: _flushed(first), await queries.flush(first.session))
    assert not free(agent)
    await world.stop()
    agent = await world.start(settings)
    assert not free(agent), "its leader lived when it ended"
    await until(lambda: _answer(agent.copy.driver.state.leader is not None), True)
    one.beating = False
    one.peers.broadcast(Resigned(1, None))
    await until(lambda: _answer(free(agent)), True)
    await world.stop()
    agent = await world.start(settings)
    assert free(agent)


async def test_a_gap_keeps_the_old_wal_until_there_is_more(world: World, cluster: Cluster) -> None:
    first = await leader(cluster)
    settings = world.settings(first)
    agent = await world.start(settings)
    await _slot(first, agent)
    one = await world.lead(first, settings, 1)
    await until(lambda: _flushed(first), await queries.flush(first.session))
    await world.stop()
    await queries.drop_slot(first.session, slot_name(agent.copy.id))
    before = received.segments(agent.wal_folder())
    first.configure(Runtime(sync=(0, ())), standby=False, user={"wal_keep_size": "0", "max_wal_size": "32MB"})
    first.server.reload()
    for _ in range(5):
        await first.session.rows("SELECT pg_logical_emit_message(true, 'x', 'x')")
        await first.session.rows("SELECT pg_switch_wal()")
        await queries.checkpoint(first.session)
    agent = await world.start(settings)
    await _slot(first, agent)
    await until(lambda: _flushed(first), await queries.flush(first.session), timeout=30)
    await until(lambda: _answer((agent.copy.driver.state.position or Position(0, 0)).lsn > before[-1].end), True)
    assert not agent.copy.layout.received_before.exists()
    kept = {p.name for p in agent.copy.layout.kept.rglob("0*")}
    assert {s.path.name for s in before} <= kept
    position = await one.ask(34)
    assert position >= Position(1, before[-1].end)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small volume")
async def test_a_full_volume_is_reported_and_recovers(world: World, cluster: Cluster) -> None:
    first = await leader(cluster)
    slow = cluster.blank()
    settings = world.settings(first, slow)
    small = world.blank.layout.data
    configure.install_certificates(world.blank.layout)
    await _mount(small, "56m")
    try:
        agent = await world.start(settings)
        await _slot(first, agent)
        one = await world.lead(first, settings, 1)
        one.replicas = (_replica(slow, 17 << 20),)  # It streams, and is far behind: what it lacks is kept.
        await until(lambda: _flushed(first), await queries.flush(first.session))
        await first.session.rows("INSERT INTO public.t SELECT generate_series(1, 900000)", timeout=120)
        await until(lambda: _answer(agent.status().ailment), "full", timeout=30)
        assert agent.status().phase == "Failed" and "enlarge it" in agent.status().message
        assert world.running is not None and not world.running.done()
        assert agent.ready()
        assert (await agent._volume.position()).lsn >= await _flushed(first)
        # With more room it goes on by itself.
        await _run("mount", "-o", "remount,size=400m", str(small))
        await until(lambda: _flushed(first), await queries.flush(first.session), timeout=30)
        await until(lambda: _answer(agent.status().ailment is None), True)
        lsn = await _flushed(first)
        assert (await one.ask(34)).lsn >= lsn
    finally:
        await world.close()
        await _run("umount", "-l", str(small))


async def _mount(path: Path, size: str) -> None:
    await _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(path))
    shutil.chown(path, "postgres", "postgres")


async def _run(*args: str) -> None:
    process = await asyncio.create_subprocess_exec(*args)
    assert await process.wait() == 0
