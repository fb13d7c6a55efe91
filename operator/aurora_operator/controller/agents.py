"""The operator's side of the agents' API: mutual TLS to each pod's own address, all at once, with short time-outs.

By the pod's IP, because the name of a pod that is just starting may not be in the DNS yet; by its name in TLS, so that
an address that now belongs to another pod does not pass for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from aurora_operator.api.agent.messages import (
    AgentStatus,
    BackupRequest,
    ParameterCheck,
    ParameterCheckResult,
    SwitchoverRequest,
)
from aurora_operator.api.base import names
from aurora_operator.controller.errors import ControllerError
from aurora_operator.planning.certificates.certificates import OPERATOR_CRT, OPERATOR_KEY
from aurora_operator.planning.model.plan_model import (
    AcceptLoss,
    AgentCall,
    CheckParameters,
    PushSettings,
    Raw,
    Restart,
    StopWriter,
    Switchover,
    TakeBackup,
    TakeSnapshot,
    Unreachable,
)

TIMEOUT: Final = 3.0
"""Seconds for a whole call. An agent answers from memory; one that does not counts as one that cannot be reached."""
CALL_TIMEOUT: Final = 10.0
"""For calls that make PostgreSQL do something."""
CONNECT_TIMEOUT: Final = 1.5
MAX_BODY: Final = 1 << 20
"""Bytes of an answer. What runs in a database pod may be a user's own image, and one operator is there for all."""

MOST_CHARACTERS: Final = 500
"""Of an agent's own words in a message."""

Children = Mapping[str, Mapping[str, Raw]]
T = TypeVar("T", bound=BaseModel)


class AgentError(ControllerError):
    """An agent refused a call, or could not be reached; a sentence."""


@dataclass(frozen=True)
class Address:
    """Where an agent is."""

    instance: str
    ip: str
    host: str

    def url(self, path: str) -> str:
        """The address of one of its calls."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"https://{ip}:{names.API_PORT}{path}"


@dataclass
class _Session:
    fingerprint: str
    client: httpx.AsyncClient


@dataclass
class Agents:
    """Connections to the agents of all clusters, one pool for each cluster's certificates."""

    connect: Callable[[ssl.SSLContext], httpx.AsyncClient] = field(default=lambda context: _client(context))
    _sessions: dict[tuple[str, str], _Session] = field(default_factory=dict)

    async def statuses(self, key: tuple[str, str], children: Children) -> dict[str, AgentStatus | Unreachable]:
        """What each pod's agent says, by instance, for every pod that has an address."""
        addresses = addresses_of(key, children)
        if not addresses:
            return {}
        client = await self._session(key, children)
        if client is None:
            return {a.instance: Unreachable("the cluster's certificates are not there yet") for a in addresses}
        answers = await asyncio.gather(*(self._status(client, address) for address in addresses))
        return {address.instance: answer for address, answer in zip(addresses, answers, strict=True)}

    async def call(self, key: tuple[str, str], children: Children, call: AgentCall) -> ParameterCheckResult | None:
        """Carry out a call; the answer of a parameter check, None for all others. Raises AgentError."""
        instance = call.leader if isinstance(call, Switchover) else call.instance
        address = next((a for a in addresses_of(key, children) if a.instance == instance), None)
        client = await self._session(key, children)
        if address is None or client is None:
            raise AgentError(f"{instance} has no address yet")
        match call:
            case PushSettings():
                await self._send(client, address, "PUT", "/v1/settings", call.settings, tolerate=(409,))
            case TakeBackup():
                body = BackupRequest(kind=call.kind, token=call.token)
                await self._send(client, address, "POST", "/v1/backup", body)
            case TakeSnapshot():
                await self._send(client, address, "POST", "/v1/snapshot", call.request)
            case Restart():
                await self._send(client, address, "POST", "/v1/restart", None)
            case StopWriter():
                await self._send(client, address, "POST", "/v1/stop", None)
            case Switchover():
                await self._send(client, address, "POST", "/v1/switchover", SwitchoverRequest(target=call.target))
            case AcceptLoss():
                await self._send(client, address, "POST", "/v1/accept-data-loss", call.request)
            case CheckParameters():
                check = ParameterCheck(parameters=dict(call.parameters))
                answer = await self._send(client, address, "POST", "/v1/parameters/check", check)
                return _parse(ParameterCheckResult, answer, instance)
        return None

    async def forget(self, key: tuple[str, str]) -> None:
        """The cluster is gone: close its connections."""
        session = self._sessions.pop(key, None)
        if session is not None:
            await session.client.aclose()

    async def close(self) -> None:
        """Close all connections."""
        for key in list(self._sessions):
            await self.forget(key)

    async def _status(self, client: httpx.AsyncClient, address: Address) -> AgentStatus | Unreachable:
        try:
            answer = await self._send(client, address, "GET", "/v1/status", None, within=TIMEOUT)
            status = _parse(AgentStatus, answer, address.instance)
            if status.name != address.instance:
                raise AgentError(f"{address.instance} says that it is {status.name[:63]!r}")
            return status
        except AgentError as error:
            return Unreachable(str(error))

    async def _send(
        self,
        client: httpx.AsyncClient,
        address: Address,
        method: str,
        path: str,
        body: BaseModel | None,
        *,
        tolerate: tuple[int, ...] = (),
        within: float = CALL_TIMEOUT,
    ) -> bytes:
        content = None if body is None else body.model_dump_json(by_alias=True)
        # Nothing that is larger once it is unpacked.
        headers = {"Host": address.host, "Accept-Encoding": "identity"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        what = f"{method} {path}"
        try:
            async with (
                asyncio.timeout(within),
                client.stream(
                    method,
                    address.url(path),
                    content=content,
                    headers=headers,
                    extensions={"sni_hostname": address.host},
                    timeout=httpx.Timeout(within, connect=CONNECT_TIMEOUT),
                ) as response,
            ):
                answer = await _bounded(response)
        except TimeoutError as error:
            raise AgentError(f"{address.instance} does not answer {what} within {within:g} s") from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise AgentError(f"{address.instance} does not answer {what}: {why}") from error
        if answer is None:
            raise AgentError(f"{address.instance} answers {what} with more than {MAX_BODY >> 20} MiB, or packed")
        if response.is_success or response.status_code in tolerate:
            return answer
        raise AgentError(f"{address.instance} refuses {what}: {_error_of(response, answer)}")

    async def _session(self, key: tuple[str, str], children: Children) -> httpx.AsyncClient | None:
        material = certificates_of(key[1], children)
        if material is None:
            return None
        fingerprint = hashlib.sha256("\0".join(material).encode()).hexdigest()
        session = self._sessions.get(key)
        if session is None or session.fingerprint != fingerprint:
            await self.forget(key)
            session = _Session(fingerprint, self.connect(tls_context(*material)))
            self._sessions[key] = session
        return session.client


def addresses_of(key: tuple[str, str], children: Children) -> list[Address]:
    """Where the agents of a cluster are, in the order of their names."""
    namespace, cluster = key
    found = []
    for pod in children.get("Pod", {}).values():
        instance = (pod["metadata"].get("labels") or {}).get(names.LABEL_INSTANCE)
        status = pod.get("status") or {}
        ip = status.get("podIP")
        if instance and ip and status.get("phase") not in ("Succeeded", "Failed"):
            found.append(Address(instance, ip, names.pod_host(cluster, namespace, instance)))
    return sorted(found, key=lambda address: address.instance)


def certificates_of(cluster: str, children: Children) -> tuple[str, str, str] | None:
    """The authorities to trust, and the operator's certificate and key, all in PEM; None while one is missing."""
    secrets = children.get("Secret", {})
    ca = _data(secrets.get(names.ca_secret(cluster)))
    tls = _data(secrets.get(names.tls_secret(cluster)))
    trusted, certificate, key = tls.get("ca.crt"), ca.get(OPERATOR_CRT), ca.get(OPERATOR_KEY)
    return (trusted, certificate, key) if trusted and certificate and key else None


def tls_context(trusted: str, certificate: str, key: str) -> ssl.SSLContext:
    """A client's TLS settings. Raises ssl.SSLError for what is not PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=trusted)
    # OpenSSL reads keys from files only; this one is in memory and gone when closed.
    descriptor = os.memfd_create("operator-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(f"{certificate}\n{key}\n")
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _client(context: ssl.SSLContext) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=60.0)
    return httpx.AsyncClient(verify=context, limits=limits, trust_env=False)


def _data(secret: Raw | None) -> dict[str, str]:
    found = {}
    for name, value in ((secret or {}).get("data") or {}).items():
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found


async def _bounded(response: httpx.Response) -> bytes | None:
    """Its body; None for one that is too large, or packed, of which no more is read than that."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return body


def _parse(model: type[T], content: bytes, instance: str) -> T:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        why = error.errors()[0]["msg"][:MOST_CHARACTERS]
        raise AgentError(f"{instance} gives an answer that is not understood: {why}") from error


def _error_of(response: httpx.Response, body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    text = answer.get("error") if isinstance(answer, dict) else None
    return str(text or response.reason_phrase)[:MOST_CHARACTERS] + f" ({response.status_code})"
