"""A proxy's pod on this host: the real process, with PgBouncer, in front of the agents of a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from tests.integration import pgbouncer
from tests.integration.agents.cluster import DATABASE, USER, Cluster
from tests.integration.agents.kubernetes import NAMESPACE
from tests.integration.agents.pod import CLUSTER, PASSWORD, ROOT
from tests.integration.copies import give

from aurora_operator.api.agent.proxy import ProxySettings
from aurora_operator.api.spec.proxy import Proxy as Spec
from aurora_operator.postgres.files import make_directory
from aurora_operator.proxy.places import Places

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
HOST = "demo-proxy"


def _free_pair() -> int:
    """A port of `localhost` that nobody uses, nor the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Proxy:
    """Its process. `number` makes its address; `gateway` is where it has the cluster woken."""

    def __init__(self, cluster: Cluster, spec: Spec, number: int = 1, gateway: str | None = None) -> None:
        self._cluster = cluster
        self.address = f"{cluster.network}.{100 + number}"
        folder = cluster.root / f"proxy-{number}"
        self.places = Places(
            tls=folder / "tls",
            run=folder / "run",
            program=str(pgbouncer.find()),
            listen=self.address,
            health=self.address,
            gate=_free_pair(),
        )
        for path in (folder, self.places.tls, self.places.run):
            make_directory(path)
        cluster.authority.fill(self.places.tls, HOST, self.address)
        give(cluster.tools, folder)
        self._log = folder / "log"
        self._surroundings = {
            "settings": ProxySettings(cluster=CLUSTER, namespace=NAMESPACE, proxy=spec).model_dump_json(by_alias=True),
            "places": asdict(self.places),
            "me": f"proxy-{number}",
            "user": cluster.tools.user,
            "gateway": gateway,
            "copies": {pod.address: pod.name for pod in cluster.pods.values()},
        }
        self._file = folder / "surroundings.json"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Until it is ready."""
        self._file.write_text(json.dumps(self._surroundings, default=str))
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.integration.agents.proxy_process", str(self._file)),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "HOME": "/"},
            )
        await self._cluster.until("the proxy is ready", self.ready, self.said)

    async def ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.said()
        return (await self.get("/readyz")).startswith(b"HTTP/1.1 200")

    async def get(self, path: str) -> bytes:
        """An answer of its health port; empty where there is none."""
        try:
            reader, writer = await asyncio.open_connection(self.address, 8434)
        except OSError:
            return b""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer

    async def metric(self, name: str) -> float:
        """A metric without labels."""
        for line in (await self.get("/metrics")).decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"there is no {name}")

    async def connect(self, *, readers: bool = False, user: str = USER, password: str = PASSWORD) -> Connection:
        """A client's session. Raises psycopg.Error."""
        return await psycopg.AsyncConnection.connect(
            host=HOST,
            hostaddr=self.address,
            port=self.places.ro_port if readers else self.places.port,
            user=user,
            password=password,
            dbname=DATABASE,
            sslmode="verify-full",
            sslrootcert=str(self.places.tls / "ca.crt"),
            autocommit=True,
        )

    async def close(self) -> None:
        process = self.process
        if process is not None and process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def settings_of(surroundings: dict[str, Any]) -> tuple[ProxySettings, Places]:
    """What the process was given."""
    places: dict[str, Any] = surroundings["places"]
    places |= {name: Path(places[name]) for name in ("tls", "run")}
    return ProxySettings.model_validate_json(surroundings["settings"]), Places(**places)
