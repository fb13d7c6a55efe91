"""One connection pool to the Kubernetes API, for plain JSON objects.

The official client brings configuration, credentials and their renewal, TLS and the pool; its generated models are
not used, because they drop fields that are newer than they are and cost much time and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, Protocol

import aiohttp
from kubernetes.aio import config as _untyped_config
from kubernetes.aio.client import ApiClient, Configuration

from aurora_operator.kube.errors import ApiError, NoAnswer, NotFound, from_response

config: Any = _untyped_config

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds for one call, its answer included. The client's own default is five minutes: a hung API server would
keep a reconcile loop, or the renewal of the Lease, waiting for as long."""


class Api(Protocol):
    """One call to the Kubernetes API; the seam where tests put a fake."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        within: float | None = None,
    ) -> dict[str, Any]:
        """Call and return the JSON object that comes back. Raises KubeError; takes no more than `within` seconds."""


class Client:
    """`Api` over HTTP."""

    def __init__(self, api: ApiClient, within: float = DEFAULT_TIMEOUT) -> None:
        self._api = api
        self._within = within

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        within: float | None = None,
    ) -> dict[str, Any]:
        """See `Api.request`."""
        seconds = within if within is not None else self._within
        try:
            async with asyncio.timeout(seconds):
                call = await self._api.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params={"Accept": JSON, "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response: Any = await self._api.call_api(*call, _request_timeout=aiohttp.ClientTimeout(total=seconds))
                data: bytes = await response.read()
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise NoAnswer(f"{method} {path}: {_describe(error, seconds)}") from error
        if not 200 <= response.status <= 299:
            raise from_response(response.status, data)
        return _json_object(data, f"{method} {path}", response.status)

    async def watch(self, path: str, *, query: Mapping[str, str], quiet: float) -> AsyncGenerator[dict[str, Any], None]:
        """See `cache.Watching.watch`."""
        try:
            call = await self._api.param_serialize(
                "GET", path, query_params=list(query.items()), header_params={"Accept": JSON},
                auth_settings=["BearerToken"],
            )  # fmt: skip
            timeout = aiohttp.ClientTimeout(total=None, connect=self._within, sock_read=quiet)
            response: Any = await self._api.call_api(*call, _request_timeout=timeout)
            try:
                if not 200 <= response.status <= 299:
                    raise from_response(response.status, await response.read())
                async for line in _lines(response.content.iter_any()):
                    yield _json_object(line, f"WATCH {path}", response.status)
            finally:
                response.close()
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise NoAnswer(f"WATCH {path}: {_describe(error, quiet)}") from error


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An event is a line, which may be longer than what aiohttp takes for one."""
    begun: list[bytes] = []
    async for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield b"".join((*begun, line))
            begun.clear()
        if rest:
            begun.append(rest)


def _json_object(data: bytes, what: str, status: int) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise ApiError(status, "NotJson", f"{what}: the answer is not JSON") from error
    return answer if isinstance(answer, dict) else {}


@contextlib.asynccontextmanager
async def connect(
    *, kubeconfig: str | None = None, context: str | None = None, within: float = DEFAULT_TIMEOUT
) -> AsyncIterator[Client]:
    """A client with the pod's service account, or else with a kubeconfig (`context`: its current one by default).

    Raises `ConfigException` (see `ConfigError`) when there is neither.
    """
    settings = Configuration()
    in_cluster = False
    if kubeconfig is None and context is None:
        with contextlib.suppress(ConfigError):
            config.load_incluster_config(client_configuration=settings)
            in_cluster = True
    if not in_cluster:
        await config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=settings, persist_config=False
        )
    async with ApiClient(settings) as api:
        api.user_agent = "aurora-operator"
        yield Client(api, within)


ConfigError: type[Exception] = _untyped_config.ConfigException
"""Neither a service account nor a usable kubeconfig."""


def default_namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """The namespace of a kubeconfig's context, as kubectl would choose it. Raises `ConfigError`."""
    contexts, active = config.list_kube_config_contexts(config_file=kubeconfig)
    chosen = active if context is None else next((c for c in contexts if c["name"] == context), None)
    return str(((chosen or {}).get("context") or {}).get("namespace") or "default")


async def served(api: Api, group_version: str, *plurals: str) -> bool:
    """Whether the API knows this group and version (such as `aurorapg.io/v1alpha1`) and these kinds in it yet."""
    try:
        answer = await api.request("GET", f"/apis/{group_version}")
    except NotFound:
        return False
    return {item.get("name") for item in answer.get("resources") or ()}.issuperset(plurals)


def _describe(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {seconds:g} s"
    return str(error) or type(error).__name__
