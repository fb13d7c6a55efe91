"""The Kubernetes API over plain HTTPS, for pods that have no memory for its client library: JSON in and out, by the
token of the pod's service account."""

from __future__ import annotations

import json
import os
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

from aurora_operator.net.errors import NetError
from aurora_operator.net.http_client import Client, ClientError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS: Final = 2.0
"""For a whole call."""
MAX_BODY: Final = 4 << 20
"""Bytes of an answer. etcd itself takes no object above 1.5 MiB."""
ERROR_CHARACTERS: Final = 200

Patch = Literal["application/merge-patch+json", "application/strategic-merge-patch+json"]


class KubeError(NetError):
    """The API could not be reached, refused, or answered what is not understood; the message says what and why."""


class Conflict(KubeError):
    """Somebody else changed the object first."""


class Kubernetes:
    """A client of the API server, as this pod's service account."""

    def __init__(self, account: Path = ACCOUNT, client: Client | None = None) -> None:
        """`account` is the folder with `token` and `ca.crt`. Raises OSError, KeyError outside of a pod."""
        self._account = account
        self._client = client or _client(account)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, path: str) -> dict[str, Any]:
        """An object. Raises KubeError."""
        return await self._call("GET", path, None, "application/json")

    async def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace an object. Raises Conflict where its resourceVersion is another one by now, KubeError."""
        return await self._call("PUT", path, body, "application/json")

    async def patch(
        self, path: str, body: dict[str, Any], kind: Patch = "application/merge-patch+json"
    ) -> dict[str, Any]:
        """Change a part of an object. Raises KubeError."""
        return await self._call("PATCH", path, body, kind)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None, content_type: str) -> dict[str, Any]:
        what = f"{method} {path}"
        try:
            # It is renewed from time to time.
            token = (self._account / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
            content = b"" if body is None else json.dumps(body).encode()
            response = await self._client.request(method, path, headers=headers, body=content)
        except (ClientError, OSError, UnicodeDecodeError) as error:
            raise KubeError(f"{what}: {error}") from error
        if response.status == HTTPStatus.CONFLICT:
            raise Conflict(f"{what}: somebody else changed it")
        if not response.ok:
            raise KubeError(f"{what}: {response.status} {response.text[:ERROR_CHARACTERS]}")
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise KubeError(f"{what}: the answer is no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise KubeError(f"{what}: the answer is no object")
        return answer


def at(value: object, *keys: str | int) -> Any:
    """What stands at a path of keys and indexes in an answer; None where there is nothing of the kind. Pure."""
    for key in keys:
        if isinstance(key, str):
            value = value.get(key) if isinstance(value, dict) else None
        else:
            value = value[key] if isinstance(value, list) and -len(value) <= key < len(value) else None
    return value


def items(value: object, *keys: str | int) -> list[Any]:
    """The list there; an empty one where there is none. Pure."""
    found = at(value, *keys)
    return found if isinstance(found, list) else []


def _client(account: Path) -> Client:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    return Client(host, port, trust(account), timeout=TIMEOUT_SECONDS, max_body=MAX_BODY)


def trust(account: Path) -> ssl.SSLContext:
    """Whom the service account's folder says to trust. Raises OSError."""
    return ssl.create_default_context(cafile=str(account / "ca.crt"))
