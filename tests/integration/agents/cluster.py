"""A database cluster on this host: real agents with real PostgreSQL, and the operator's part in it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from tests.integration.agents.kubernetes import NAMESPACE, Kubernetes
from tests.integration.agents.pod import CLUSTER, Pod
from tests.integration.certificates import Authority

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.agent.settings import Member, Settings
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.tools import Tools

USER: Final = "app"
DATABASE: Final = "app"
PATIENCE_SECONDS: Final = 60.0
"""For whatever a test waits for: nothing here is about speed."""
POLL_SECONDS: Final = 0.1


async def _say(settings: Settings) -> str:
    return settings.model_dump_json(by_alias=True)


@dataclass
class Cluster:
    """Its pods by name, the settings that they have, and the API that they share."""

    tools: Tools
    root: Path
    network: str
    authority: Authority
    kubernetes: Kubernetes
    api: tuple[str, int]
    operator: ssl.SSLContext
    door: Path
    pods: dict[str, Pod] = field(default_factory=dict)
    settings: Settings | None = None
    say: Callable[[Settings], Awaitable[str]] = _say
    """How the operator writes them down."""
    _members: dict[str, Member] = field(default_factory=dict)
    _revision: int = 0

    def add(self, kind: Literal["instance", "log"] = "instance") -> Pod:
        """One more copy that the operator wants, in a zone of its own; not started."""
        number = 1 + sum(p.kind == kind for p in self.pods.values())
        name = f"{CLUSTER}-{number}" if kind == "instance" else f"{CLUSTER}-log-{number}"
        address = f"{self.network}.{len(self.pods) + 1}"
        folder = self.root / name
        make_directory(folder)
        pod = Pod(name, address, folder, self.tools, self.authority, self.operator, self.api, self.door, kind)
        pod.zone = f"zone-{len(self.pods) + 1}"
        self.pods[name] = pod
        self.kubernetes.add_pod(pod.pod_name)
        ordinal = number if kind == "instance" else 0
        self._members[name] = Member(name=name, ordinal=ordinal, kind=kind, host=address, zone=pod.zone)
        return pod

    def remove(self, pod: Pod) -> None:
        """One copy less that the operator wants; its process stays."""
        del self._members[pod.name]

    async def tell(self, **changes: Any) -> Settings:
        """Give everybody the settings, as the operator does: where a container finds them, and to those that run."""
        self._revision += 1
        members = tuple(self._members.values())
        values = {
            "cluster": CLUSTER,
            "namespace": NAMESPACE,
            "cluster_uid": "uid",
            "engine_version": "17",
            "bootstrap": f"{CLUSTER}-1",
            "members": members,
            "voters": tuple(m.name for m in members),
            "write_quorum": len(members) // 2 + 1,
            "database_name": DATABASE,
            "master_username": USER,
        }
        if self.settings is not None:
            kept = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
            values = {**kept, **{n: values[n] for n in ("members", "voters", "write_quorum")}}
        self.settings = settings = Settings.model_validate({**values, **changes, "revision": self._revision})
        text = await self.say(settings)
        for pod in self.pods.values():
            pod.mount(text)
        for pod in [p for p in self.pods.values() if p.running]:
            await self.until(f"{pod.name} takes the settings", partial(self._take, pod, text, settings.revision))
        return settings

    async def _take(self, pod: Pod, settings: str, revision: int) -> bool:
        if not pod.running:
            return True
        with contextlib.suppress(ClientError):
            await pod.call("PUT", "/v1/settings", settings)
        status = await pod.status()
        return status is not None and status.settings_revision >= revision

    async def start(self, pods: Iterable[Pod] | None = None) -> None:
        await asyncio.gather(*(pod.start() for pod in (self.pods.values() if pods is None else pods)))

    async def statuses(self, pods: Iterable[Pod] | None = None) -> dict[str, AgentStatus]:
        """Of those that answer."""
        asked = [p for p in (self.pods.values() if pods is None else pods) if p.running]
        answers = await asyncio.gather(*(p.status() for p in asked))
        return {a.name: a for a in answers if a is not None}

    async def writer(self, *, but: Pod | None = None) -> Pod:
        """Wait for an open writer, other than `but`; returns it."""
        found: list[Pod] = []

        async def look() -> bool:
            others = [p for p in self.pods.values() if p is not but]
            found[:] = [self.pods[s.name] for s in (await self.statuses(others)).values() if s.role == "writer"]
            return len(found) == 1 and self.kubernetes.writer == found[0].address

        await self.until("a writer is open", look)
        return found[0]

    def others(self, *but: Pod) -> list[Pod]:
        return [p for p in self.pods.values() if p not in but]

    async def ready(self) -> Pod:
        """Wait until there is a writer, all others follow it, and all vote; returns the writer."""
        assert self.settings is not None
        wanted = {m.name: m.kind for m in self.settings.members}
        last: dict[str, AgentStatus] = {}

        async def look() -> bool:
            last.clear()
            last.update(await self.statuses([self.pods[name] for name in wanted]))
            writers = [s for s in last.values() if s.role == "writer"]
            if last.keys() != wanted.keys() or len(writers) != 1:
                return False
            (writer,) = writers
            config = writer.config
            voters = {name.partition("/")[0] for name in config.voters} if config is not None else set()
            follow = all(
                s.phase == "Following" and not s.message and s.leader == writer.name and s.role != "none"
                for s in last.values()
                if s is not writer
            )
            streaming = {r.name for r in writer.replicas if r.state == "streaming"}
            return (
                follow
                and voters == set(wanted)
                and config is not None
                and not config.next_voters
                and streaming >= wanted.keys() - {writer.name}
                and self.kubernetes.writer == self.pods[writer.name].address
            )

        await self.until("all copies are there", look, lambda: {n: _brief(s) for n, s in last.items()})
        return next(self.pods[s.name] for s in last.values() if s.role == "writer")

    async def until(self, what: str, look: Callable[[], Any], describe: Callable[[], object] = lambda: "") -> None:
        """Wait until `look`, which may be a coroutine function, says yes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = look()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() > deadline:
                shown = {n: _brief(s) for n, s in (await self.statuses()).items()}
                raise AssertionError(f"waited {PATIENCE_SECONDS:g} s until {what}: {describe() or shown}")
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        await asyncio.gather(*(pod.close() for pod in self.pods.values()))


def _brief(status: AgentStatus) -> str:
    voters = status.config.voters if status.config is not None else ()
    return f"{status.phase} {status.role} of {status.leader} in {status.epoch} ({status.message}), voters {voters}"


@contextlib.asynccontextmanager
async def making(tools: Tools, root: Path, network: str, authority: Authority, door: Path) -> AsyncIterator[Cluster]:
    """A cluster without copies, and its API; in the end nothing of it runs. `door` is the library of a copy's door."""
    tls = root / "operator"
    make_directory(tls)
    here = f"{network}.200"
    authority.fill(tls, "kubernetes", here)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tls / "server.crt", tls / "server.key")
    operator = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    operator.load_cert_chain(tls / "operator.crt", tls / "operator.key")
    kubernetes = Kubernetes(CLUSTER)
    async with kubernetes.serving(here, server) as port:
        cluster = Cluster(tools, root, network, authority, kubernetes, (here, port), operator, door)
        try:
            yield cluster
        finally:
            await cluster.close()
