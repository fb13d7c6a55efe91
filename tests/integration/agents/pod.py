"""A database pod on this host: a volume, an address, and the real agent's process, which has PostgreSQL run."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import signal
import ssl
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from tests.integration.agents.kubernetes import NAMESPACE
from tests.integration.certificates import Authority
from tests.integration.copies import give

from aurora_operator.agent.member.environment import Environment
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.names import API_PORT
from aurora_operator.net.http_client import Client, ClientError
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.tools import Tools

ROOT: Final = Path(__file__).resolve().parents[3]
CLUSTER: Final = "demo"
PASSWORD: Final = "secret"
END_SECONDS: Final = 30.0
ASK_SECONDS: Final = 5.0
QUIT_SECONDS: Final = 3.0


def _descendants(pid: int) -> list[int]:
    """The living processes below one, which may have moved to sessions of their own."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, look = [], [pid]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


@dataclass(frozen=True, slots=True)
class Program:
    """The agents' program: this tree's, or another's."""

    python: str = sys.executable
    root: Path = ROOT

    def surroundings(self) -> dict[str, str]:
        """Environment variables with which its own package is found."""
        return {"PYTHONPATH": str(self.root / "operator")}


@dataclass
class Pod:
    """Its process can be killed, frozen and started again; its volume stays."""

    name: str
    address: str
    folder: Path
    tools: Tools
    authority: Authority
    operator: ssl.SSLContext
    api: tuple[str, int]
    door: Path
    kind: Literal["instance", "log"] = "instance"
    zone: str = "zone-a"
    program: Program = field(default_factory=Program)
    process: asyncio.subprocess.Process | None = None
    _client: Client | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.layout = Layout(data=self.folder / "data", run=self.folder / "run", tls=self.folder / "tls")
        self.log = self.folder / "log"
        for path in (self.layout.data, self.layout.run, self.layout.tls):
            make_directory(path)
        for name in ("app", "settings", "account"):
            (self.folder / name).mkdir()
        self.authority.fill(self.layout.tls, self.name, self.address)
        self.own()
        (self.folder / "app" / "password").write_text(PASSWORD)
        (self.folder / "account" / "token").write_text(self.pod_name)
        (self.folder / "account" / "ca.crt").write_bytes((self.layout.tls / "ca.crt").read_bytes())

    def own(self) -> None:
        """Give the server's user what is there."""
        give(self.tools, self.folder)

    @property
    def pod_name(self) -> str:
        return f"{self.name}-0"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def mount(self, settings: str) -> None:
        """What the settings' ConfigMap shows to a container that starts."""
        (self.folder / "settings" / "settings.json").write_text(settings)

    async def start(self) -> None:
        """Start the container."""
        assert not self.running
        environment = Environment(
            cluster=CLUSTER,
            namespace=NAMESPACE,
            instance=self.name,
            pod_name=self.pod_name,
            pod_ip=self.address,
            pod_uid=f"uid-of-{self.name}",
            zone=self.zone,
            cpu_millis=1000,
            memory_bytes=512 << 20,
            kind=self.kind,
            app=self.folder / "app",
            settings=self.folder / "settings",
            service_account=self.folder / "account",
        )
        surroundings = {
            "environment": asdict(environment),
            "layout": asdict(self.layout),
            "programs": self.tools.bin_dir,
            "user": self.tools.user,
            "listen": self.address,
            "door": self.door,
            "os_users": ["postgres", self.tools.user or "postgres", getpass.getuser()],
        }
        file = self.folder / "surroundings.json"
        file.write_text(json.dumps(surroundings, default=str))
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(self.program.python, "-m", "tests.integration.agents.process", str(file)),
                cwd=self.program.root,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    **self.program.surroundings(),
                    "KUBERNETES_SERVICE_HOST": self.api[0],
                    "KUBERNETES_SERVICE_PORT": str(self.api[1]),
                },
            )

    def postgres(self) -> list[int]:
        """PostgreSQL's processes."""
        return processes.of_data_directory(self.layout.pgdata)

    def postmaster(self) -> int:
        """PostgreSQL's first process. ValueError, OSError while there is none."""
        return int((self.layout.pgdata / "postmaster.pid").read_text().split()[0])

    def signal_agent(self, number: signal.Signals) -> None:
        """To the agent alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def signal_all(self, number: signal.Signals) -> None:
        """To every process of the container."""
        assert self.process is not None
        below = _descendants(self.process.pid)
        self.signal_agent(number)
        processes.send({*below, *_descendants(self.process.pid), *self.postgres()}, number)

    async def kill(self) -> None:
        """End the container at once, as the kernel does when its first process is killed."""
        if self.process is None:
            return
        if self.running:
            self.signal_all(signal.SIGKILL)
            await self.process.wait()
        while left := self.postgres():
            processes.send(left, signal.SIGKILL)
            await asyncio.sleep(0.01)

    async def terminate(self) -> int:
        """End it as the kubelet does, with all the time that it needs; returns how it ended."""
        self.signal_agent(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended by itself; returns how."""
        assert self.process is not None
        async with asyncio.timeout(END_SECONDS):
            code = await self.process.wait()
        assert not self.postgres()
        return code

    async def close(self) -> None:
        """End all that there is."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self.running and self.process is not None:
            # At once, but with its shared memory, which a server that is killed, by the watchdog too, leaves on this
            # host.
            others = {self.process.pid, *_descendants(self.process.pid)} - set(self.postgres())
            processes.send(others, signal.SIGKILL)
            processes.send(self.postgres(), signal.SIGCONT)
            processes.send(self.postgres(), signal.SIGQUIT)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIT_SECONDS):
                    while self.postgres():
                        await asyncio.sleep(0.02)
        await self.kill()

    async def call(self, method: str, path: str, body: str = "") -> str:
        """The operator's request to the agent. Raises ClientError, also for a refusal."""
        if self._client is None:
            self._client = Client(self.address, API_PORT, self.operator, timeout=ASK_SECONDS, server_name=self.name)
        answer = await self._client.request(
            method, path, headers={"Content-Type": "application/json"}, body=body.encode()
        )
        if not answer.ok:
            raise ClientError(f"{answer.status} {answer.text}")
        return answer.text

    async def status(self) -> AgentStatus | None:
        """What the agent says of itself; None where it does not answer."""
        if not self.running:
            return None
        try:
            return AgentStatus.model_validate_json(await self.call("GET", "/v1/status"))
        except ClientError:
            return None

    def said(self) -> str:
        """The agent's log and PostgreSQL's."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""
