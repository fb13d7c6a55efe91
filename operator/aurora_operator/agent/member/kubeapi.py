"""The few things an agent does in the Kubernetes API, over plain HTTPS: the client library is too heavy for a pod.

None of them is needed for an election or a commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aurora_operator.agent.member.environment import Environment
from aurora_operator.api.agent.messages import ConfigStatus
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import capacity_resources
from aurora_operator.consensus.types import Config, ConfigKey, Quorum
from aurora_operator.net.kubernetes import Conflict, KubeError, Kubernetes, at, items

__all__ = ["Conflict", "KubeApi", "KubeError", "config_of", "config_status", "until_done"]

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
MOST_EPOCH: Final = (1 << 32) - 1
"""Epochs are timelines, which have 32 bits."""


class KubeApi:
    """A client bound to this pod's service account and cluster."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._api = Kubernetes(environment.service_account)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def label_role(self, role: str | None) -> None:
        """Put the role on this pod, for the Services' selectors."""
        body = {"metadata": {"labels": {names.LABEL_ROLE: role}}}
        await self._api.patch(self._pod_path(), body)

    async def writer_address(self) -> str | None:
        """Where the writer Service points."""
        address = at(await self._api.get(self._slice_path()), "endpoints", 0, "addresses", 0)
        return address if isinstance(address, str) else None

    def _pod_path(self) -> str:
        return f"/api/v1/namespaces/{self._environment.namespace}/pods/{self._environment.pod_name}"

    async def resize(self, acu: float) -> None:
        """Ask for another capacity of this pod, in place."""
        resources = capacity_resources(acu).to_kubernetes()
        body = {"spec": {"containers": [{"name": names.CONTAINER, "resources": resources}]}}
        path = f"{self._pod_path()}/resize"
        await self._api.patch(path, body, "application/strategic-merge-patch+json")

    async def resize_obstacle(self) -> str | None:
        """Why the kubelet has not resized this pod yet, or None if it is about to."""
        pod = await self._api.get(self._pod_path())
        for condition in items(pod, "status", "conditions"):
            kind, reason = at(condition, "type"), at(condition, "reason")
            pending = kind == "PodResizePending"
            failed = kind == "PodResizeInProgress" and reason == "Error"
            if at(condition, "status") == "True" and (pending or failed):
                return f"{reason or ''}: {at(condition, 'message') or ''}".strip(": ")
        return None

    def _slice_path(self) -> str:
        name = names.writer_endpointslice(self._environment.cluster)
        return f"/apis/discovery.k8s.io/v1/namespaces/{self._environment.namespace}/endpointslices/{name}"

    async def publish_writer(self, epoch: int) -> bool:
        """Point the writer Service here, unless it does. False when a leader of a higher epoch has done so already."""
        environment = self._environment
        path = self._slice_path()
        live = await self._api.get(path)
        metadata = at(live, "metadata")
        if not isinstance(metadata, dict):
            raise KubeError(f"GET {path}: the answer has no metadata")
        annotations = at(metadata, "annotations") or {}
        before = epoch_in(annotations)
        if before > epoch:
            return False
        metadata["annotations"] = {**annotations, names.ANNOTATION_EPOCH: str(epoch)}
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
        await self._api.put(path, live)
        return True

    async def read_record(self) -> tuple[Record, str]:
        """The cluster's record and its resourceVersion. Raises KubeError, for a damaged one, too."""
        return record_in(await self._api.get(self._record_path()))

    async def write_record(self, record: Record, version: str) -> None:
        """Compare-and-swap. Raises Conflict when the record is no longer at `version`."""
        name = names.record_configmap(self._environment.cluster)
        live = await self._api.get(self._record_path())
        if at(live, "metadata", "resourceVersion") != version:
            raise Conflict(f"ConfigMap {name} has changed")
        live["data"] = {RECORD_KEY: record.model_dump_json(by_alias=True)}
        await self._api.put(self._record_path(), live)

    def _record_path(self) -> str:
        name = names.record_configmap(self._environment.cluster)
        return f"/api/v1/namespaces/{self._environment.namespace}/configmaps/{name}"


def epoch_in(annotations: Mapping[str, Any]) -> int:
    """The epoch of the leader that published an endpoint; 0 where there is none, or none that can be one. Pure.

    A leader then publishes itself, which mends it: the endpoint is told by who leads, and decides nothing.
    """
    text = str(at(annotations, names.ANNOTATION_EPOCH) or "")
    epoch = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_EPOCH)) else 0
    return epoch if epoch <= MOST_EPOCH else 0


def record_in(live: dict[str, Any]) -> tuple[Record, str]:
    """The record that a ConfigMap holds, and the resourceVersion. Pure. Raises KubeError.

    What it says is checked as far as it can be wrong by itself: nobody may act on half a record.
    """
    name = f"ConfigMap {at(live, 'metadata', 'name')}"
    text, version = at(live, "data", RECORD_KEY), at(live, "metadata", "resourceVersion")
    if not isinstance(version, str):
        raise KubeError(f"{name} has no resourceVersion")
    if not isinstance(text, str):
        raise KubeError(f"{name} is damaged: it has no {RECORD_KEY}")
    try:
        record = Record.model_validate_json(text)
    except ValueError as error:
        raise KubeError(f"{name} is damaged: {RECORD_KEY}: {error}") from error
    wrong = _wrong_in(record)
    if wrong is not None:
        raise KubeError(f"{name} is damaged: {RECORD_KEY}: {wrong}")
    return record, version


def _wrong_in(record: Record) -> str | None:
    if not 0 <= record.epoch <= MOST_EPOCH:
        return f"{record.epoch} is no epoch"
    config = record.config
    if config is None:
        return None
    for epoch, version in ((config.epoch, config.version), (config.floor_epoch, config.floor_version)):
        if not 0 <= epoch <= MOST_EPOCH or version < 0:
            return f"{epoch}.{version} is no membership's number"
    for voters, quorum in ((config.voters, config.write_quorum), (config.next_voters, config.next_write_quorum)):
        if not min(len(voters), 1) <= quorum <= len(voters):
            return f"{quorum} of {len(voters)} voters is no write quorum"
    return None


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
