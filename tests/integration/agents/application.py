"""An application with the Secret's `multi-host-uri` and a time-out, which comes back again and again: libpq's psql."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from psycopg.conninfo import make_conninfo
from tests.integration.agents.cluster import DATABASE, USER, Cluster
from tests.integration.agents.kubernetes import NAMESPACE
from tests.integration.agents.pod import CLUSTER, PASSWORD, Pod
from tests.integration.certificates import HOST

from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.secrets import build_app_secret

FINDS_SECONDS: Final = 3.0
"""What it takes at most, one host being silent."""
GIVES_UP_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.1
COMES_BACK: Final = 3
_REFUSED: Final = re.compile(rf"\b(28000|28P01) {USER}@{DATABASE}\b")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection, or none: `server` is the address of who answered, `said` what psql said."""

    began: float
    ended: float
    server: str | None
    said: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Application:
    """It never waits longer than libpq has it wait, unless a server stops in the middle of an answer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._skip = {name: len(pod.said()) for name, pod in cluster.pods.items()}
        self.attempts: list[Attempt] = []

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[Application]:
        """Connect until the end. No server may have told it that it is nobody."""
        task = asyncio.create_task(self._work())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for name, pod in self._cluster.pods.items():
            refused = [line for line in pod.said()[self._skip[name] :].splitlines() if _REFUSED.search(line)]
            assert not refused, f"{name}: {refused[0]}"

    async def finds(self, writer: Pod | None = None) -> float:
        """From now on each attempt finds a writer, this one if it is named; returns how long the quickest took.

        All take about the same time, which is that of silent hosts; more is that of a busy machine.
        """
        now = time.monotonic()

        def since() -> list[Attempt]:
            return [attempt for attempt in self.attempts if attempt.began > now]

        await self._cluster.until("the application has come back", lambda: len(since()) >= COMES_BACK)
        for attempt in since():
            assert attempt.server is not None, attempt
            assert writer is None or attempt.server == writer.address, attempt
        quickest = min(attempt.seconds for attempt in since())
        assert quickest < FINDS_SECONDS, since()
        return quickest

    async def _work(self) -> None:
        while True:
            self.attempts.append(await self._attempt())
            await asyncio.sleep(PAUSE_SECONDS)

    async def _attempt(self) -> Attempt:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(self._cluster.tools.path("psql"), "-X", "-A", "-t", "-w", "-c", "SELECT host(inet_server_addr())"),
            self._conninfo(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        )
        said = ""
        try:
            async with asyncio.timeout(GIVES_UP_SECONDS):
                output, _ = await process.communicate()
                said = output.decode().strip()
        except TimeoutError:
            said = f"no end after {GIVES_UP_SECONDS:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        server = said if process.returncode == 0 else None
        return Attempt(began, time.monotonic(), server, said)

    def _conninfo(self) -> str:
        """The Secret's, but for the names, which no DNS knows here."""
        pods = [pod for pod in self._cluster.pods.values() if pod.kind == "instance"]
        secret = build_app_secret(
            Identity(name=CLUSTER, namespace=NAMESPACE, uid="uid"),
            database=DATABASE,
            username=USER,
            password=PASSWORD,
            instances=[pod.name for pod in pods],
            ca="",
        )
        uri = base64.b64decode(secret["data"]["multi-host-uri"]).decode()
        hosts, addresses = ",".join(HOST for _ in pods), ",".join(pod.address for pod in pods)
        return make_conninfo(uri, host=hosts, hostaddr=addresses)
