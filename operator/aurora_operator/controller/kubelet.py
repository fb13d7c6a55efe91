"""Asks kubelets how full volumes are, for copies whose agent is silent (`planning.volumes.kubelet_stats`). Off unless
the chart's `kubeletStats.enabled` is set.

The token that a kubelet gets to see is not the operator's own, but one of a ServiceAccount that may do nothing but
read nodes' statistics, so that a node that is taken over gains nothing by it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.controller.errors import ControllerError
from aurora_operator.controller.fleet import Key
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import KubeError
from aurora_operator.planning.model.plan_model import Node, Raw, Unreachable
from aurora_operator.planning.volumes.kubelet_stats import silent_copies, since_when, volume_of, worth_asking

log = logging.getLogger(__name__)

KUBELET_PORT: Final = 10250
TIMEOUT: Final = httpx.Timeout(3.0, connect=1.5)
FRESH_SECONDS: Final = 15.0
"""An answer is used for so long; a kubelet looks at its volumes once a minute."""
TOKEN_SECONDS: Final = 600
"""How long a token is valid, the least that Kubernetes gives; used for half as long."""
CLUSTER_CA: Final = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

Children = Mapping[str, Mapping[str, Raw]]
Ask = Callable[[str, str], Awaitable[Mapping[str, Any]]]
"""Address and token to a summary. Raises KubeletError."""


class KubeletError(ControllerError):
    """A kubelet did not answer, or refused; a sentence."""


@dataclass
class VolumeStats:
    """Remembers who has been silent since when, and what kubelets said lately."""

    api: Api
    namespace: str
    account: str
    """The ServiceAccount whose token kubelets get."""
    ask: Ask
    clock: Callable[[], float] = time.monotonic
    _since: dict[Key, dict[str, float]] = field(default_factory=dict)
    _answers: dict[str, tuple[float, Mapping[str, Any] | None]] = field(default_factory=dict)
    _token: tuple[float, str] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(
        self, key: Key, children: Children, nodes: tuple[Node, ...], agents: Mapping[str, AgentStatus | Unreachable]
    ) -> Mapping[str, VolumeUse]:
        """The volumes of copies that have been silent for a while, by name, as far as their kubelets tell."""
        now = self.clock()
        silent = silent_copies(children.get("Pod", {}), agents)
        self._since[key] = since_when(silent, self._since.get(key, {}), now)
        # One whose kubelet is gone would only cost time.
        addresses = {node.name: node.address for node in nodes if node.address is not None and node.ready}
        found: dict[str, VolumeUse] = {}
        for quiet in worth_asking(silent, self._since[key], now):
            address = addresses.get(quiet.node)
            summary = await self._summary(quiet.node, address) if address is not None else None
            use = volume_of(summary, key[0], quiet.copy) if summary is not None else None
            if use is not None:
                found[quiet.copy] = use
        return found

    def forget(self, key: Key) -> None:
        """The cluster is gone."""
        self._since.pop(key, None)

    async def _summary(self, node: str, address: str) -> Mapping[str, Any] | None:
        async with self._lock:
            known = self._answers.get(node)
            if known is not None and self.clock() - known[0] < FRESH_SECONDS:
                return known[1]
            answer: Mapping[str, Any] | None = None
            try:
                answer = await self.ask(address, await self._a_token())
            except (KubeletError, KubeError) as error:
                log.warning("the kubelet of %s tells nothing about volumes: %s", node, error)
            self._answers[node] = (self.clock(), answer)
            return answer

    async def _a_token(self) -> str:
        if self._token is None or self.clock() - self._token[0] > TOKEN_SECONDS / 2:
            path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.account}/token"
            body = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": TOKEN_SECONDS},
            }
            answer = await self.api.request("POST", path, body=body)
            self._token = (self.clock(), str((answer.get("status") or {}).get("token") or ""))
        return self._token[1]


def over_https(*, verify: bool, port: int = KUBELET_PORT, authority: str = CLUSTER_CA) -> Ask:
    """Asks a kubelet itself, never by way of the API server, which would take the right to do anything on a node.
    `verify`: its certificate must be of the cluster's authority, and for its address. Raises OSError."""
    context = ssl.create_default_context(cafile=authority) if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

    async def ask(address: str, token: str) -> Mapping[str, Any]:
        host = f"[{address}]" if ":" in address else address
        try:
            async with httpx.AsyncClient(verify=context, timeout=TIMEOUT, trust_env=False) as client:
                response = await client.get(
                    f"https://{host}:{port}/stats/summary", headers={"Authorization": f"Bearer {token}"}
                )
        except httpx.HTTPError as error:
            raise KubeletError(_why(error)) from error
        if not response.is_success:
            raise KubeletError(f"it answers {response.status_code} {response.reason_phrase}")
        try:
            answer = response.json()
        except ValueError as error:
            raise KubeletError("its answer is not JSON") from error
        return answer if isinstance(answer, dict) else {}

    return ask


def _why(error: httpx.HTTPError) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"{text}. Have kubelets get their certificates from the cluster (serverTLSBootstrap), or set "
            "kubeletStats.insecureSkipTLSVerify"
        )
    return text
