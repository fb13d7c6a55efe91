"""Events on our resources, for `kubectl describe` and `kubectl get events`.

The same thing said again becomes a count on the first event, written at most once a minute: an operator that retries
must not fill the API with words.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.kube.client import MERGE, Api
from aurora_operator.kube.errors import KubeError
from aurora_operator.kube.resources import EVENT
from aurora_operator.planning.model.plan_model import EventSpec, Raw

log = logging.getLogger(__name__)

CONTROLLER: Final = "aurora-operator"
_SAME_SECONDS: Final = 600.0  # said again within this time: the same event
_QUIET_SECONDS: Final = 60.0  # between two writes of its count
_REMEMBERED: Final = 256
_NOTE_LIMIT: Final = 1024  # the API's


@dataclass
class _Said:
    name: str
    count: int
    last: float
    written: float


class Recorder:
    """Says things about them. It never raises: words are not worth a failed reconciliation."""

    def __init__(self, api: Api, instance: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._instance = instance[:128]
        self._clock = clock
        self._said: OrderedDict[tuple[str, str, str, str], _Said] = OrderedDict()

    async def say(self, about: Raw, event: EventSpec) -> None:
        """Record the event on one of our resources."""
        metadata, kind = about["metadata"], str(about.get("kind") or names.KIND)
        key = (metadata["uid"], event.type, event.reason, event.message)
        now = self._clock()
        said = self._said.get(key)
        try:
            if said is None or now - said.last > _SAME_SECONDS:
                self._remember(key, _Said(f"{metadata['name']}.{uuid.uuid4().hex[:16]}", 1, now, now))
                await self._create(kind, metadata, self._said[key].name, event)
                return
            said.count, said.last = said.count + 1, now
            if now - said.written >= _QUIET_SECONDS:
                said.written = now
                await self._count(metadata["namespace"], said)
        except KubeError as error:
            log.warning("Could not record the event %s: %s", event.reason, error)

    def _remember(self, key: tuple[str, str, str, str], said: _Said) -> None:
        self._said[key] = said
        self._said.move_to_end(key)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)

    async def _create(self, kind: str, metadata: Raw, name: str, event: EventSpec) -> None:
        now = datetime.now(UTC)
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "firstTimestamp": _second(now),
            "lastTimestamp": _second(now),
            "count": 1,
            "source": {"component": CONTROLLER},
            "reportingComponent": CONTROLLER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "message": event.message if len(event.message) <= _NOTE_LIMIT else event.message[: _NOTE_LIMIT - 1] + "…",
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": kind,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        await self._api.request("POST", EVENT.path(metadata["namespace"]), body=body)

    async def _count(self, namespace: str, said: _Said) -> None:
        body = {"count": said.count, "lastTimestamp": _second(datetime.now(UTC))}
        await self._api.request("PATCH", EVENT.path(namespace, said.name), body=body, content_type=MERGE)


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
