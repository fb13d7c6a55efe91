"""The writer fails in one way after another: another one goes on, and no acknowledged row is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from tests.integration.agents.application import Application
from tests.integration.agents.cluster import Cluster
from tests.integration.agents.pod import Pod
from tests.integration.agents.writers import Writers, query
from tests.integration.copies import Measured, silent_host

from aurora_operator.agent.lifecycle.lifecycle import DEPOSED
from aurora_operator.postgres.server import processes

Fault = Callable[[Pod], Awaitable[None]]
Ending = Callable[[Pod], Awaitable[None]]


async def _nothing(_: Pod) -> None:
    pass


async def _kill_postgresql(pod: Pod) -> None:
    """Its first process alone; the others notice."""
    os.kill(pod.postmaster(), signal.SIGKILL)


async def _freeze_postgresql(pod: Pod) -> None:
    processes.send(pod.postgres(), signal.SIGSTOP)


async def _freeze_agent(pod: Pod) -> None:
    pod.signal_agent(signal.SIGSTOP)


async def _thaw_agent(pod: Pod) -> None:
    pod.signal_agent(signal.SIGCONT)


async def _freeze_all(pod: Pod) -> None:
    """As a node that is paused."""
    pod.signal_all(signal.SIGSTOP)


async def _thaw_all(pod: Pod) -> None:
    pod.signal_all(signal.SIGCONT)


async def _terminate(pod: Pod) -> None:
    assert await pod.terminate() == 0


async def _switch_over(pod: Pod) -> None:
    await pod.call("POST", "/v1/switchover", "{}")


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        pytest.param(Pod.kill, Pod.start, id="container-killed"),
        pytest.param(_kill_postgresql, _nothing, id="postgresql-killed"),
        pytest.param(_freeze_postgresql, _nothing, id="postgresql-frozen"),
        pytest.param(_freeze_agent, _thaw_agent, id="agent-frozen"),
        pytest.param(_freeze_all, _thaw_all, id="node-frozen"),
        pytest.param(_terminate, Pod.start, id="terminated"),
        pytest.param(_switch_over, _nothing, id="switchover"),
    ],
)
async def test_writing_goes_on(
    three: Cluster, fault: Fault, ending: Ending, measured: Measured, request: pytest.FixtureRequest
) -> None:
    async with (
        Writers(three, stale_reads=fault is _freeze_all).at_work() as writers,
        Application(three).at_work() as application,
    ):
        first = await three.writer()
        before = await writers.one_more()
        await fault(first)
        writer = await three.writer(but=first)
        measured(f"multi_host_uri_{request.node.callspec.id}", await application.finds(writer))
        after = await writers.one_more()
        assert after.server != first.name and after.epoch > before.epoch
        await ending(first)
        await three.ready()
        await application.finds()
        assert (await writers.one_more()).epoch >= after.epoch
    epochs = [epoch for epoch, _ in three.kubernetes.published]
    assert epochs == sorted(epochs)


def _says(pod: Pod, sentence: str) -> bool:
    """Whether a client has heard it there."""
    return sentence in pod.said()


async def test_the_node_of_the_first_host_is_gone(three: Cluster, measured: Measured) -> None:
    """What is sent to it is never answered."""
    async with Application(three).at_work() as application:
        first = await three.writer()
        await first.kill()
        with silent_host(first.address):
            writer = await three.writer(but=first)
            measured("multi_host_uri_node-gone", await application.finds(writer))
        await first.start()
        await three.ready()
        await application.finds()


@pytest.mark.parametrize("mode", ["refuses", "silent"])
async def test_the_api_is_gone_for_the_whole_failover(three: Cluster, mode: str) -> None:
    first = await three.writer()
    async with Writers(three).at_work() as writers, Application(three).at_work() as application:
        three.kubernetes.mode = "silent" if mode == "silent" else "refuses"
        before = await writers.one_more()
        await first.kill()
        await three.until("another one takes writes", lambda: any(a.epoch > before.epoch for a in writers.acknowledged))
        await application.finds()
        assert three.kubernetes.writer == first.address
        await first.start()
        await three.until("it is there, and closed", lambda: _says(first, DEPOSED))
        await application.finds()
        await writers.one_more()
        three.kubernetes.mode = "up"
        writer = await three.ready()
        assert three.kubernetes.writer == writer.address != first.address
        assert three.kubernetes.record.leader is not None
        assert three.kubernetes.record.leader.startswith(f"{writer.name}/")


async def test_what_nobody_else_has_is_rewound_and_kept(three: Cluster) -> None:
    """The writer dies with more WAL than the others' kernels could hold for them while they stood still."""
    first = await three.writer()
    await query(first, "CREATE TABLE unheard (text text)")
    others = three.others(first)
    for pod in others:
        pod.signal_all(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await query(first, "INSERT INTO unheard SELECT repeat('x', 1000) FROM generate_series(1, 40000)", timeout=1.5)
    await first.kill()
    for pod in others:
        pod.signal_all(signal.SIGCONT)
    async with Writers(three).at_work():
        await first.start()
        assert await three.ready() is not first
    assert "Rewinding" in first.said()
    assert any(path.is_file() for path in first.layout.kept.rglob("*"))
    assert await query(await three.writer(), "SELECT count(*) FROM unheard") == [(0,)]


async def test_a_switchover_goes_where_it_is_sent(three: Cluster) -> None:
    first = await three.writer()
    for target in three.others(first):
        writer = await three.ready()
        async with Writers(three).at_work():
            await writer.call("POST", "/v1/switchover", f'{{"target": "{target.name}"}}')
            assert await three.writer(but=writer) is target
