"""What the API server has told of the objects that we look after, kept up to date by watches.

Each kind is listed once, and then followed by a watch (`Follower`); what it tells is kept in a `Store`. `Cache` is an
`Api` that answers reads of those kinds from the stores, and passes on all else.

What is read here may be a moment old. It is good for finding that there is nothing to do; whoever wants to change
something reads from the API server first (`controller/reconcile.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from aurora_operator.api.base import names
from aurora_operator.kube.client import JSON, Api
from aurora_operator.kube.errors import ApiError, Invalid, KubeError, NotFound
from aurora_operator.kube.resources import Resource
from aurora_operator.planning.model.plan_model import Raw

log = logging.getLogger(__name__)

PAGE: Final = 500
"""Objects in one answer to a list."""
WATCH_SECONDS: Final = 300.0
"""After about so long the API server ends a watch, and the next one begins where it ended."""
QUIET_SECONDS: Final = 150.0
"""A watch on which nothing comes for so long is dead: the API server sends a bookmark about every minute."""
LIST_SECONDS: Final = 1800.0
"""After about so long all is listed anew, in case that a watch has missed something."""
GOOD_SECONDS: Final = 60.0
"""For so long a store answers after its watch has broken; then reads go to the API server again."""
ABSENT_SECONDS: Final = 60.0
"""How often we look whether a kind that the API does not serve is there now."""
_BACKOFF: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_GONE: Final = 410

Owner = tuple[str, str]
"""Namespace and name of an AuroraCluster."""
Changed = Callable[[Owner], None]
"""Who wants to know that something of a cluster's has changed."""

_PATH: Final = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?")


class Watching(Api, Protocol):
    """An `Api` that can follow what happens, too."""

    def watch(self, path: str, *, query: Mapping[str, str], quiet: float) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a watch, as the API sends them, until it ends. Raises KubeError; `NoAnswer` after `quiet`
        seconds in which nothing came."""


class Store:
    """The objects of a kind, by namespace and name, and by the cluster that their label names. No I/O."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Raw] = {}
        self._of_cluster: dict[Owner, dict[str, Raw]] = {}
        self._of_namespace: dict[str, dict[str, Raw]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Raw | None:
        """One object."""
        return self._objects.get((namespace, name))

    def of_cluster(self, namespace: str, cluster: str) -> Iterable[Raw]:
        """Those whose label names a cluster."""
        return self._of_cluster.get((namespace, cluster), {}).values()

    def of_namespace(self, namespace: str) -> Iterable[Raw]:
        """All of a namespace."""
        return self._of_namespace.get(namespace, {}).values()

    def replace(self, objects: Iterable[Raw]) -> set[Owner]:
        """These are all there are. Returns the clusters to which anything of it makes a difference."""
        listed = {_key(obj): obj for obj in objects}
        changed: set[Owner] = set()
        for key in self._objects.keys() - listed.keys():
            changed |= self.remove(self._objects[key])
        for obj in listed.values():
            changed |= self.put(obj)
        return changed

    def put(self, obj: Raw) -> set[Owner]:
        """It is so now. Returns the clusters that it belonged and belongs to, none if it was just so before."""
        key = _key(obj)
        before = self._objects.get(key)
        if before is not None and before["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion"):
            return set()
        changed = set() if before is None else self.remove(before)
        namespace, name = key
        self._objects[key] = obj
        self._of_namespace.setdefault(namespace, {})[name] = obj
        owner = _owner(obj)
        if owner is not None:
            self._of_cluster.setdefault(owner, {})[name] = obj
            changed.add(owner)
        return changed

    def remove(self, obj: Raw) -> set[Owner]:
        """It is gone. Returns the cluster that it belonged to."""
        namespace, name = key = _key(obj)
        before = self._objects.pop(key, None)
        if before is None:
            return set()
        _drop(self._of_namespace, namespace, name)
        owner = _owner(before)
        if owner is None:
            return set()
        _drop(self._of_cluster, owner, name)
        return {owner}


class Follower:
    """Keeps the store of one kind, in one namespace or in all, up to date."""

    def __init__(
        self,
        api: Watching,
        resource: Resource,
        namespace: str | None,
        changed: Changed,
        *,
        selector: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`selector`: only what has such labels."""
        self.resource = resource
        self.namespace = namespace
        self.selector = selector
        self.store = Store()
        self._api = api
        self._changed = changed
        self._clock = clock
        self._good_until: float | None = None
        self._listed = asyncio.Event()
        self._failures = 0

    @property
    def good(self) -> bool:
        """Whether the store is what the API server has, but for a moment."""
        return self._good_until is not None and self._clock() < self._good_until

    async def listed(self) -> None:
        """Wait until it has been listed for the first time."""
        await self._listed.wait()

    async def run(self) -> None:
        """List and follow, for ever."""
        while True:
            try:
                await self._follow(await self._list())
                pause = random.uniform(0, _BACKOFF[0])  # noqa: S311 - spreads what would all come at once
            except NotFound:
                self._tell(self.store.replace(()))
                self._is_good(2 * ABSENT_SECONDS)
                self._listed.set()
                pause = ABSENT_SECONDS
            except KubeError as error:
                self._is_broken()
                pause = _BACKOFF[min(self._failures, len(_BACKOFF) - 1)] * random.uniform(0.5, 1.5)  # noqa: S311
                self._failures += 1
                log.warning("Cannot follow %s: %s; again in %.0f s", self.resource.plural, error, pause)
            await asyncio.sleep(pause)

    async def _list(self) -> str:
        """Read all of it; the resource version to follow from. Raises KubeError."""
        found: list[Raw] = []
        query = self._query(limit=str(PAGE))
        while True:
            answer = await self._api.request("GET", self.resource.path(self.namespace), query=query)
            found += (self._typed(item) for item in answer.get("items") or ())
            metadata = answer.get("metadata") or {}
            if not metadata.get("continue"):
                break
            query = self._query(limit=str(PAGE)) | {"continue": metadata["continue"]}
        self._tell(self.store.replace(found))
        self._is_good(QUIET_SECONDS)
        self._listed.set()
        return str(metadata.get("resourceVersion") or "0")

    async def _follow(self, version: str) -> None:
        """Take in what happens after a version; returns when all is to be listed again. Raises KubeError."""
        until = self._clock() + random.uniform(0.8, 1.2) * LIST_SECONDS  # noqa: S311 - as above
        while self._clock() < until:
            query = self._query(
                watch="true",
                resourceVersion=version,
                allowWatchBookmarks="true",
                timeoutSeconds=str(int(random.uniform(0.8, 1.2) * WATCH_SECONDS)),  # noqa: S311 - as above
            )
            try:
                async for event in self._api.watch(
                    self.resource.path(self.namespace), query=query, quiet=QUIET_SECONDS
                ):
                    self._failures = 0
                    if event.get("type") == "ERROR":
                        raise _error_of(event.get("object"))
                    version = self._take(event) or version
                    self._is_good(QUIET_SECONDS)
            except ApiError as error:
                if error.status == _GONE:
                    return
                raise

    def _take(self, event: Mapping[str, Any]) -> str | None:
        """The version that it leads to. Raises Invalid."""
        obj = event.get("object")
        if event.get("type") == "BOOKMARK":
            metadata = obj.get("metadata") if isinstance(obj, dict) else None
            return _version(metadata) if isinstance(metadata, dict) else None
        typed = self._typed(obj)
        self._tell(self.store.remove(typed) if event.get("type") == "DELETED" else self.store.put(typed))
        return _version(typed["metadata"])

    def _typed(self, item: object) -> Raw:
        """As an object by itself looks: a list's items lack two fields. Raises Invalid for what is no object."""
        metadata = item.get("metadata") if isinstance(item, dict) else None
        named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
        if not isinstance(item, dict) or not named or not isinstance((metadata or {}).get("labels") or {}, dict):
            raise Invalid(0, "Invalid", f"an object of {self.resource.plural} that is not understood")
        return {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **item}

    def _tell(self, owners: Iterable[Owner]) -> None:
        for owner in owners:
            self._changed(owner)

    def _is_good(self, seconds: float) -> None:
        self._good_until = self._clock() + seconds

    def _is_broken(self) -> None:
        """It answers for a while longer, once, however often we fail to follow it again."""
        if self._good_until is not None:
            self._good_until = min(self._good_until, self._clock() + GOOD_SECONDS)

    def _query(self, **more: str) -> dict[str, str]:
        return {**({} if self.selector is None else {"labelSelector": self.selector}), **more}


class Cache:
    """`Api`, with reads of what is known answered from memory. What it returns must not be changed."""

    def __init__(self, api: Api, followers: Iterable[Follower], told: Mapping[Resource, Store] | None = None) -> None:
        """`told`: objects of which others tell; one that is not there is asked for."""
        self._api = api
        self._followers = tuple(followers)
        self._by_place = {
            (f.resource.path().rsplit("/", 1)[0], f.resource.plural, f.namespace): f for f in self._followers
        }
        self._told = {(r.path().rsplit("/", 1)[0], r.plural): store for r, store in (told or {}).items()}

    async def listed(self, within: float) -> bool:
        """Whether all kinds have been listed within so many seconds."""
        try:
            async with asyncio.timeout(within):
                for follower in self._followers:
                    await follower.listed()
        except TimeoutError:
            return False
        return True

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
        if method == "GET":
            answer = self._answer(path, query or {})
            if answer is not None:
                return dict(answer)
        return await self._api.request(method, path, query=query, body=body, content_type=content_type, within=within)

    def _answer(self, path: str, query: Mapping[str, str]) -> Raw | None:
        """None for what is not known here. Raises NotFound."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        group, namespace, plural, name = match.groups()
        told = self._told.get((group, plural))
        if told is not None:
            return told.get(namespace, name) if name is not None else None
        follower = self._by_place.get((group, plural, None)) or self._by_place.get((group, plural, namespace))
        if follower is None or not follower.good:
            return None
        if name is not None:
            found = follower.store.get(namespace, name)
            if found is None and follower.selector is None:
                raise NotFound(404, "NotFound", f"{plural} {name} not found")
            return found
        key, _, cluster = query.get("labelSelector", "").partition("=")
        if key == names.LABEL_CLUSTER and cluster and query.keys() == {"labelSelector"}:
            return {"items": list(follower.store.of_cluster(namespace, cluster))}
        if not query and follower.selector is None:
            return {"items": list(follower.store.of_namespace(namespace))}
        return None


def _error_of(status: object) -> ApiError:
    given = status if isinstance(status, dict) else {}
    code = given.get("code")
    return ApiError(
        code if isinstance(code, int) else 0, str(given.get("reason") or ""), str(given.get("message") or "")
    )


def _version(metadata: Mapping[str, Any]) -> str | None:
    version = metadata.get("resourceVersion")
    return None if version is None else str(version)


def _key(obj: Raw) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"])


def _owner(obj: Raw) -> Owner | None:
    cluster = (obj["metadata"].get("labels") or {}).get(names.LABEL_CLUSTER)
    return None if cluster is None else (str(obj["metadata"].get("namespace") or ""), cluster)


def _drop(index: dict[Any, dict[str, Raw]], key: object, name: str) -> None:
    objects = index[key]
    del objects[name]
    if not objects:
        del index[key]
