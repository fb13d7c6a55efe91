"""The few things an agent does in the Kubernetes API, over plain HTTPS: the client library is too heavy for a pod.

None of them is needed for an election or a commit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aurora_operator.agent.member.environment import Environment
from aurora_operator.api.agent.messages import ConfigStatus
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import capacity_resources
from aurora_operator.consensus.types import Config, ConfigKey, Quorum
from aurora_operator.net.http_client import Client, ClientError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 0.5


class KubeError(Exception):
    """The API could not be reached or refused; the message says what and why."""


class Conflict(KubeError):
    """Somebody else changed the object first."""


class KubeApi:
    """A client bound to this pod's service account and cluster."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self._client = Client(host, int(port), _verify(environment), timeout=TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def label_role(self, role: str | None) -> None:
        """Put the role on this pod, for the Services' selectors."""
        body = {"metadata": {"labels": {names.LABEL_ROLE: role}}}
        await self._call("PATCH", self._pod_path(), body, content_type="application/merge-patch+json")

    async def writer_address(self) -> str | None:
        """Where the writer Service points."""
        live = await self._call("GET", self._slice_path())
        endpoints = live.get("endpoints") or []
        return str(endpoints[0]["addresses"][0]) if endpoints else None

    def _pod_path(self) -> str:
        return f"/api/v1/namespaces/{self._environment.namespace}/pods/{self._environment.pod_name}"

    async def resize(self, acu: float) -> None:
        """Ask for another capacity of this pod, in place."""
        resources = capacity_resources(acu).to_kubernetes()
        body = {"spec": {"containers": [{"name": names.CONTAINER, "resources": resources}]}}
        path = f"{self._pod_path()}/resize"
        await self._call("PATCH", path, body, content_type="application/strategic-merge-patch+json")

    async def resize_obstacle(self) -> str | None:
        """Why the kubelet has not resized this pod yet, or None if it is about to."""
        pod = await self._call("GET", self._pod_path())
        for condition in pod.get("status", {}).get("conditions") or ():
            pending = condition["type"] == "PodResizePending"
            failed = condition["type"] == "PodResizeInProgress" and condition.get("reason") == "Error"
            if condition["status"] == "True" and (pending or failed):
                return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
        return None

    def _slice_path(self) -> str:
        name = names.writer_endpointslice(self._environment.cluster)
        return f"/apis/discovery.k8s.io/v1/namespaces/{self._environment.namespace}/endpointslices/{name}"

    async def publish_writer(self, epoch: int) -> bool:
        """Point the writer Service here, unless it does. False when a leader of a higher epoch has done so already."""
        environment = self._environment
        path = self._slice_path()
        live = await self._call("GET", path)
        annotations = live["metadata"].setdefault("annotations", {})
        before = int(annotations.get(names.ANNOTATION_EPOCH, 0))
        if before > epoch:
            return False
        annotations[names.ANNOTATION_EPOCH] = str(epoch)
        endpoint: dict[str, Any] = {
            "addresses": [environment.pod_ip],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {
                "kind": "Pod",
                "name": environment.pod_name,
                "namespace": environment.namespace,
                "uid": environment.pod_uid,
            },
        }
        if environment.zone:
            endpoint["zone"] = environment.zone
        ports = [{"name": "postgres", "port": names.POSTGRES_PORT, "protocol": "TCP"}]
        if before == epoch and live.get("endpoints") == [endpoint] and live.get("ports") == ports:
            return True
        live["endpoints"], live["ports"] = [endpoint], ports
        await self._call("PUT", path, live)
        return True

    async def read_record(self) -> tuple[Record, str]:
        """The cluster's record and its resourceVersion."""
        live = await self._call("GET", self._record_path())
        return Record.model_validate_json(live["data"][RECORD_KEY]), live["metadata"]["resourceVersion"]

    async def write_record(self, record: Record, version: str) -> None:
        """Compare-and-swap. Raises Conflict when the record is no longer at `version`."""
        name = names.record_configmap(self._environment.cluster)
        live = await self._call("GET", self._record_path())
        if live["metadata"]["resourceVersion"] != version:
            raise Conflict(f"ConfigMap {name} has changed")
        live["data"] = {RECORD_KEY: record.model_dump_json(by_alias=True)}
        await self._call("PUT", self._record_path(), live)

    def _record_path(self) -> str:
        name = names.record_configmap(self._environment.cluster)
        return f"/api/v1/namespaces/{self._environment.namespace}/configmaps/{name}"

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        token = (self._environment.service_account / "token").read_text()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        try:
            content = b"" if body is None else json.dumps(body).encode()
            response = await self._client.request(method, path, headers=headers, body=content)
        except ClientError as error:
            raise KubeError(f"{method} {path}: {error}") from error
        if response.status == HTTPStatus.CONFLICT:
            raise Conflict(f"{method} {path}: somebody else changed it")
        if not response.ok:
            raise KubeError(f"{method} {path}: {response.status} {response.text[:200]}")
        answer: dict[str, Any] = json.loads(response.body)
        return answer


def _verify(environment: Environment) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(environment.service_account / "ca.crt"))


def config_status(config: Config) -> ConfigStatus:
    """A membership as the record and the status show it."""
    return ConfigStatus(
        epoch=config.key.epoch,
        version=config.key.version,
        voters=tuple(sorted(config.old.voters)),
        write_quorum=config.old.write,
        next_voters=tuple(sorted(config.new.voters)) if config.new else (),
        next_write_quorum=config.new.write if config.new else 0,
        floor_epoch=config.floor.epoch,
        floor_version=config.floor.version,
    )


def config_of(status: ConfigStatus) -> Config:
    """The inverse of `config_status`."""
    new = Quorum(frozenset(status.next_voters), status.next_write_quorum) if status.next_voters else None
    old = Quorum(frozenset(status.voters), status.write_quorum)
    floor = ConfigKey(status.floor_epoch, status.floor_version)
    return Config(ConfigKey(status.epoch, status.version), old, new, floor)


async def until_done(what: str, attempt: Callable[[], Awaitable[object]]) -> None:
    """Call `attempt()` until it succeeds; each kind of failure is logged once."""
    last = ""
    while True:
        try:
            await attempt()
            return
        except KubeError as error:
            if str(error) != last:
                log.warning("%s: %s; trying again", what, error)
                last = str(error)
            await asyncio.sleep(RETRY_SECONDS)
