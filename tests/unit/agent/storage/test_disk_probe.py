"""A volume that neither answers nor fails: the writer gives way, a reader says so."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.storage import disk_probe as module
from aurora_operator.agent.storage.disk_probe import EXIT_SECONDS, SILENT_SECONDS, DiskProbe, judge
from aurora_operator.consensus.state import Role


@given(st.floats(0, 1000), st.booleans(), st.booleans())
def test_only_a_writer_that_others_can_replace_gives_way(silent: float, leads: bool, others: bool) -> None:
    verdict = judge(silent, leads=leads, others=others)
    assert (verdict == "well") == (silent < SILENT_SECONDS)
    assert (verdict in ("resign", "exit")) == (silent >= SILENT_SECONDS and leads and others)
    assert (verdict == "exit") == (leads and others and silent >= SILENT_SECONDS + EXIT_SECONDS)


def test_another_leads_within_thirty_seconds() -> None:
    longest_lease = 5.0
    assert SILENT_SECONDS + EXIT_SECONDS + 2 * module.PERIOD_SECONDS + longest_lease <= 30


class Stand:
    """As much of an agent as the probe looks at, and a volume that can be made to hang."""

    def __init__(self, folder: Path, role: Role) -> None:
        self.hangs = threading.Event()
        self.goes_on = threading.Event()
        self.error: OSError | None = None
        self.stopped: int = 0
        self.ended: int = 0
        fake: Any = SimpleNamespace(
            layout=SimpleNamespace(state=folder),
            driver=SimpleNamespace(
                state=SimpleNamespace(role=role, durable=SimpleNamespace(config=SimpleNamespace(voters=("a", "b"))))
            ),
            ailment=None,
            said=[],
        )
        fake.say = lambda phase, message="": fake.said.append((phase, message))
        self.copy = fake
        self.ahead = 0.0
        clock: Callable[[], float] = lambda: time.monotonic() + self.ahead  # noqa: E731
        self.probe = DiskProbe(cast(Instance, fake), self._stop, write=self._write, end=self._end, clock=clock)

    def _write(self, path: Path) -> None:
        if self.error is not None:
            raise self.error
        if self.hangs.is_set():
            self.goes_on.wait(30)
        module.write_durably(path)

    def _stop(self) -> None:
        self.stopped += 1

    def _end(self, _code: int) -> None:
        self.ended += 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.3)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("quick")
async def test_a_writer_stops_and_ends_when_even_that_hangs(tmp_path: Path) -> None:
    stand = Stand(tmp_path, Role.LEADING)
    task = asyncio.create_task(stand.probe.run())
    await until((tmp_path / "probe").exists)
    assert (stand.copy.ailment, stand.stopped) == (None, 0)
    stand.hangs.set()
    await until(lambda: stand.stopped == 1)
    assert stand.copy.ailment == "disk" and "not answered" in stand.copy.said[-1][1]
    await until(lambda: stand.ended > 0)
    assert stand.stopped == 1
    stand.goes_on.set()
    task.cancel()


@pytest.mark.usefixtures("quick")
async def test_a_reader_says_so_until_its_volume_answers(tmp_path: Path) -> None:
    stand = Stand(tmp_path, Role.STANDBY)
    task = asyncio.create_task(stand.probe.run())
    stand.hangs.set()
    await until(lambda: stand.copy.ailment == "disk")
    stand.hangs.clear()
    stand.goes_on.set()
    await until(lambda: stand.copy.ailment is None)
    assert (stand.stopped, stand.ended) == (0, 0)
    task.cancel()


@pytest.mark.usefixtures("quick")
async def test_errors_count_as_no_answer_and_a_full_volume_as_one(tmp_path: Path) -> None:
    stand = Stand(tmp_path, Role.LEADING)
    stand.error = OSError(errno.ENOSPC, "No space left on device")
    task = asyncio.create_task(stand.probe.run())
    await asyncio.sleep(0.6)
    assert (stand.copy.ailment, stand.stopped) == (None, 0)
    stand.error = OSError(errno.EIO, "Input/output error")
    await until(lambda: stand.stopped == 1)
    assert "Input/output error" in stand.copy.said[-1][1]
    task.cancel()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("role", [Role.LEADING, Role.STANDBY])
async def test_a_node_that_was_paused_has_no_silent_volume(tmp_path: Path, role: Role) -> None:
    stand = Stand(tmp_path, role)
    task = asyncio.create_task(stand.probe.run())
    await until((tmp_path / "probe").exists)
    for _ in range(5):
        stand.ahead += 600.0
        await asyncio.sleep(0.05)
    assert (stand.copy.ailment, stand.copy.said, stand.stopped, stand.ended) == (None, [], 0, 0)
    task.cancel()
