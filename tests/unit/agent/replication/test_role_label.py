"""The role label: at once for a role that is taken up, and not for one that is about to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import KubeError
from aurora_operator.agent.replication import role_label as module
from aurora_operator.agent.replication.role_label import RoleLabel


class Pod:
    """A copy with a role, and the labels that its pod got."""

    def __init__(self) -> None:
        self.labels: list[str | None] = []
        self.failures = 0
        self.copy: Any = SimpleNamespace(
            role="none", role_changed=asyncio.Event(), kube=SimpleNamespace(label_role=self._label)
        )

    async def _label(self, role: str | None) -> None:
        if self.failures:
            self.failures -= 1
            raise KubeError("not now")
        self.labels.append(role)

    def become(self, role: str) -> None:
        self.copy.role = role
        self.copy.role_changed.set()


@asynccontextmanager
async def labelled(pod: Pod) -> AsyncIterator[None]:
    task = asyncio.create_task(RoleLabel(cast(Instance, pod.copy)).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNLABEL_SECONDS", 0.2)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)


async def test_a_role_is_shown_at_once_and_its_end_when_no_other_follows() -> None:
    pod = Pod()
    pod.become("reader")
    async with labelled(pod):
        await until(lambda: pod.labels == ["reader"])
        pod.become("none")
        await asyncio.sleep(0)
        pod.become("writer")
        await until(lambda: pod.labels == ["reader", "writer"])
        pod.become("none")
        await until(lambda: pod.labels == ["reader", "writer", None])


async def test_who_never_serves_loses_a_label_of_an_earlier_life() -> None:
    pod = Pod()
    async with labelled(pod):
        await until(lambda: pod.labels == [None])


async def test_it_is_tried_again() -> None:
    pod = Pod()
    pod.failures = 2
    pod.become("reader")
    async with labelled(pod):
        await until(lambda: pod.labels == ["reader"])
