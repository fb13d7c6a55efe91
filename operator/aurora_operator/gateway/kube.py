"""The two things a gateway does in the Kubernetes API, over plain HTTPS: it looks where the writer is, and marks its
own pod, so that the operator sees that somebody waits. Its service account may do nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.gateway.gateway import Address, Clients
from aurora_operator.net.http_client import Client, ClientError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS: Final = 2.0
HEALTH_SECONDS: Final = 1.0


class KubeError(OSError):
    """The API could not be reached, or refused; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Where:
    """Who this gateway is."""

    cluster: str
    namespace: str
    pod_name: str
    pod_ip: str


class Kube:
    """A client bound to this pod's service account."""

    def __init__(self, where: Where) -> None:
        self._where = where
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._client = Client(host, int(port), context, timeout=TIMEOUT_SECONDS)

    async def writer(self) -> Address | None:
        """Where the writer's Service leads, unless that is here, once clients are let in there: an agent says where
        it is while it is still being promoted."""
        name = names.writer_endpointslice(self._where.cluster)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self._where.namespace}/endpointslices/{name}"
        live = await self._call("GET", path)
        for endpoint in live.get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                if address != self._where.pod_ip and await serves(str(address)):
                    return str(address), names.POSTGRES_PORT
        return None

    async def tell(self, clients: Clients) -> None:
        """Mark this pod."""
        path = f"/api/v1/namespaces/{self._where.namespace}/pods/{self._where.pod_name}"
        await self._call("PATCH", path, {"metadata": {"annotations": {names.ANNOTATION_CLIENTS: clients}}})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        token = (ACCOUNT / "token").read_text()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        content = b"" if body is None else json.dumps(body).encode()
        try:
            response = await self._client.request(method, path, headers=headers, body=content)
        except ClientError as error:
            raise KubeError(f"{method} {path}: {error}") from error
        if not response.ok:
            raise KubeError(f"{method} {path}: {response.status} {response.text[:200]}")
        answer: dict[str, Any] = json.loads(response.body)
        return answer


async def serves(address: str, port: int = names.HEALTH_PORT) -> bool:
    """Whether the agent there says that clients are let in."""
    request = b"GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(HEALTH_SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(request)
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    return False
