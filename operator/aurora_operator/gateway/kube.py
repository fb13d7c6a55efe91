"""The two things a gateway does in the Kubernetes API, over plain HTTPS: it looks where the writer is, and marks its
own pod, so that the operator sees that somebody waits. Its service account may do nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.gateway.gateway import Address, Clients
from aurora_operator.net.kubernetes import Kubernetes, items

HEALTH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Where:
    """Who this gateway is."""

    cluster: str
    namespace: str
    pod_name: str
    pod_ip: str


class Kube:
    """A client bound to this pod's service account."""

    def __init__(self, where: Where, api: Kubernetes | None = None) -> None:
        self._where = where
        self._api = api or Kubernetes()

    async def writer(self) -> Address | None:
        """Where the writer's Service leads, unless that is here, once clients are let in there: an agent says where
        it is while it is still being promoted. Raises KubeError."""
        name = names.writer_endpointslice(self._where.cluster)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self._where.namespace}/endpointslices/{name}"
        live = await self._api.get(path)
        for endpoint in items(live, "endpoints"):
            for address in items(endpoint, "addresses"):
                if address != self._where.pod_ip and await serves(str(address)):
                    return str(address), names.POSTGRES_PORT
        return None

    async def tell(self, clients: Clients) -> None:
        """Mark this pod. Raises KubeError."""
        path = f"/api/v1/namespaces/{self._where.namespace}/pods/{self._where.pod_name}"
        await self._api.patch(path, {"metadata": {"annotations": {names.ANNOTATION_CLIENTS: clients}}})


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
