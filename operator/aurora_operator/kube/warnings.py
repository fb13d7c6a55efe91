"""What Kubernetes complains of: the newest event of type Warning about objects that somebody waits for.

Events are not cached by the API server, so they are asked for by object, seldom, and a few at a time. That they cannot
be read is no failure: the cluster is reconciled without them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import KubeError
from aurora_operator.kube.resources import EVENT
from aurora_operator.planning.model.plan_model import ObjectWarning, Raw

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Objects whose events are read in one pass; the others have their turn in the next ones."""
_LISTED: Final = 100
_LENGTH: Final = 512
_KEPT_SECONDS: Final = 60.0

_Key = tuple[str, str, str, str]
"""Namespace, kind, name and uid."""


class Warnings:
    """Reads them; what was read is good for some seconds."""

    def __init__(self, api: Api, *, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._seconds = seconds
        self._clock = clock
        self._read: dict[_Key, tuple[float, ObjectWarning | None]] = {}

    async def read(
        self, namespace: str, wanted: Mapping[tuple[str, str], str]
    ) -> Mapping[tuple[str, str], ObjectWarning]:
        """The newest warnings of the objects of these kinds and names, each with its uid, as far as there are any."""
        if not wanted:
            return {}
        now = self._clock()
        self._read = {key: value for key, value in self._read.items() if now - value[0] < _KEPT_SECONDS}
        keys = [(namespace, kind, name, uid) for (kind, name), uid in wanted.items()]
        due = [key for key in keys if key not in self._read or now - self._read[key][0] >= self._seconds]
        due.sort(key=lambda key: self._read[key][0] if key in self._read else float("-inf"))
        await asyncio.gather(*(self._ask(key) for key in due[:AT_ONCE]))
        known = ((key, self._read[key][1]) for key in keys if key in self._read)
        return {(key[1], key[2]): warning for key, warning in known if warning is not None}

    async def _ask(self, key: _Key) -> None:
        namespace, kind, name, uid = key
        fields = f"involvedObject.kind={kind},involvedObject.name={name},involvedObject.uid={uid}"
        query = {"fieldSelector": fields, "limit": str(_LISTED)}
        found: ObjectWarning | None = None
        try:
            answer = await self._api.request("GET", EVENT.path(namespace), query=query)
            found = newest_warning(kind, answer.get("items") or ())
        except KubeError as error:
            log.warning("%s/%s: cannot read the events about %s: %s", namespace, name, kind, error)
        self._read[key] = (self._clock(), found)


def newest_warning(kind: str, events: object) -> ObjectWarning | None:
    """The newest warning of an object's events, unless something better came after it. A claim is told again and again
    that it is waited for, which is nothing better."""
    listed = [event for event in events if isinstance(event, dict)] if isinstance(events, (list, tuple)) else []
    if kind == "PersistentVolumeClaim":
        listed = [event for event in listed if event.get("type") == "Warning"]
    newest = max(listed, key=lambda event: (_time(event), event.get("type") == "Warning"), default=None)
    if newest is None or newest.get("type") != "Warning":
        return None
    message = " ".join(str(newest.get("message") or "").split())
    cut = message if len(message) <= _LENGTH else f"{message[: _LENGTH - 1]}…"
    return ObjectWarning(str(newest.get("reason") or "Warning")[:64], cut)


def _time(event: Raw) -> str:
    """When it was last seen, to the second: such texts compare as times do."""
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"].get("creationTimestamp") or "")[:19]
