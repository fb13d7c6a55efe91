"""Asking other agents: a timeline's history, a status, WAL. Each raises ClientError."""

from __future__ import annotations

import asyncio
import json
import ssl
from http import HTTPStatus
from pathlib import Path

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.api.base.names import API_PORT
from aurora_operator.net.http_client import Answer, Client, ClientError
from aurora_operator.postgres.config.conf import Source
from aurora_operator.postgres.files import like_parent
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history

TIMEOUT_SECONDS = 2.0


def client(tls: ssl.SSLContext, source: Source) -> Client:
    """Requests to one copy's agent, by its address; close it afterwards."""
    return Client(source.address, API_PORT, tls, timeout=TIMEOUT_SECONDS, server_name=source.host)


def _checked(answer: Answer) -> Answer:
    if not answer.ok:
        raise ClientError(f"it answered {answer.status} {answer.text[:200]}")
    return answer


async def status_of(tls: ssl.SSLContext, source: Source) -> AgentStatus:
    """How a copy is."""
    async with client(tls, source) as connection:
        answer = _checked(await connection.request("GET", "/v1/status"))
    try:
        return AgentStatus.model_validate_json(answer.body)
    except ValueError as error:
        raise ClientError(f"the status of {source.host} cannot be read: {error}") from error


async def history_of(tls: ssl.SSLContext, source: Source, timeline: int) -> History:
    """A timeline's history, as the copy has it that promoted onto it. Not a placeholder."""
    if timeline == 1:
        return History(1)
    async with client(tls, source) as connection:
        return await fetch_history(connection, timeline)


async def fetch_history(connection: Client, timeline: int) -> History:
    """Likewise, over a connection."""
    name = history_name(timeline)
    answer = _checked(await connection.request("GET", f"/v1/wal/{name}"))
    try:
        history = await asyncio.to_thread(parse_history, timeline, answer.text)
    except ValueError as error:
        raise ClientError(f"{name} is damaged there: {error}") from error
    if history.placeholder or not history.contiguous():
        raise ClientError(f"{name} tells no history there")
    return history


async def list_wal(connection: Client) -> dict[str, int]:
    """Names and sizes of a copy's WAL files."""
    answer = _checked(await connection.request("GET", "/v1/wal"))
    try:
        return {str(name): int(size) for name, size in json.loads(answer.body)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClientError(f"the list of WAL cannot be read: {error}") from error


async def download(connection: Client, name: str, used: int, target: Path) -> bool:
    """Put the first `used` bytes of a segment at `target`, with zeros after them, whole or not at all.

    False when it is no longer there. Raises ClientError, OSError.
    """
    temporary = target.with_name(target.name + ".tmp")
    with temporary.open("wb") as file:
        answer = await connection.request("GET", f"/v1/wal/{name}?size={used}", sink=file.write)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        _checked(answer)
        if file.tell() != used:
            raise ClientError(f"{file.tell()} bytes of {name} came instead of {used}")
        # Recovery makes it durable when it puts it into pg_wal.
        file.truncate(SEGMENT_BYTES)
    like_parent(temporary)
    temporary.rename(target)
    return True
