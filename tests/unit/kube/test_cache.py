from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kube.fake import FakeApi

from aurora_operator.api.base import names
from aurora_operator.kube import cache
from aurora_operator.kube.cache import Cache, Follower, Owner, Store
from aurora_operator.kube.errors import ApiError, Forbidden, NoAnswer, NotFound
from aurora_operator.kube.observe import children, get, get_cluster, list_objects
from aurora_operator.kube.resources import CHILDREN, CLUSTER, OPTIONAL, SNAPSHOT
from aurora_operator.planning.model.plan_model import Raw

PODS = CHILDREN["Pod"]


def pod(name: str, version: int, cluster: str | None = "demo", namespace: str = "ns") -> dict[str, Any]:
    labels = {} if cluster is None else {names.LABEL_CLUSTER: cluster}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": str(version), "labels": labels},
    }


def owner_of(obj: Raw) -> str | None:
    return obj["metadata"]["labels"].get(names.LABEL_CLUSTER)  # type: ignore[no-any-return]


NAMES = st.sampled_from(["a", "b", "c"])
OWNERS = st.sampled_from(["demo", "other", None])


@given(st.lists(st.tuples(st.sampled_from(["put", "remove", "replace"]), NAMES, OWNERS), max_size=30))
def test_a_store_finds_what_it_was_told(steps: list[tuple[str, str, str | None]]) -> None:
    """Against a dictionary; and whoever had or has an object that changes hears of it."""
    store = Store()
    model: dict[str, Raw] = {}
    for number, (step, name, owner) in enumerate(steps):
        before = dict(model)
        match step:
            case "put":
                model[name] = pod(name, number, owner)
                told = store.put(model[name])
            case "remove":
                told = store.remove(pod(name, number, owner))
                model.pop(name, None)
            case _:
                model = {name: pod(name, number, owner)}
                told = store.replace(model.values())
        changed = [n for n in before.keys() | model.keys() if before.get(n) != model.get(n)]
        owners = {owner_of(o) for n in changed for o in (before.get(n), model.get(n)) if o is not None}
        assert told == {("ns", owner) for owner in owners - {None}}
        for wanted in ("demo", "other"):
            assert {o["metadata"]["name"] for o in store.of_cluster("ns", wanted)} == {
                n for n, o in model.items() if owner_of(o) == wanted
            }
        assert list(store.of_cluster("elsewhere", "demo")) == []
        assert {o["metadata"]["name"] for o in store.of_namespace("ns")} == model.keys()
        assert len(store) == len(model)


def test_what_is_told_twice_is_no_news() -> None:
    store = Store()
    assert store.put(pod("a", 1)) == {("ns", "demo")}
    assert store.put(pod("a", 1)) == set()
    assert store.replace([pod("a", 1)]) == set()


class FakeWatch(FakeApi):
    """Watches that say what `events` holds: for each call the events, or an error at its end. Then they wait."""

    def __init__(self, *streams: list[Any]) -> None:
        super().__init__()
        self.streams = list(streams)
        self.watched: list[dict[str, str]] = []
        self.waiting = asyncio.Event()

    async def watch(self, path: str, *, query: Mapping[str, str], quiet: float) -> AsyncGenerator[dict[str, Any], None]:
        self.watched.append(dict(query))
        if not self.streams:
            self.waiting.set()
            await asyncio.Event().wait()
        for event in self.streams.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


def event(kind: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


GONE = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


class Followed:
    """A follower of pods that has come to the end of what the API has to tell."""

    def __init__(self, api: FakeWatch) -> None:
        self.api = api
        self.told: list[Owner] = []
        self.now = 0.0
        self.follower = Follower(
            api, PODS, None, self.told.append, selector=names.LABEL_CLUSTER, clock=lambda: self.now
        )

    async def until_quiet(self) -> Followed:
        task = asyncio.create_task(self.follower.run())
        await asyncio.wait_for(self.api.waiting.wait(), 10)
        task.cancel()
        await asyncio.wait([task])
        return self

    @property
    def names(self) -> list[str]:
        return sorted(o["metadata"]["name"] for o in self.follower.store.of_namespace("ns"))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_BACKOFF", (0.0,))


def put_pod(api: FakeApi, name: str, cluster: str = "demo") -> None:
    api.put(f"/api/v1/namespaces/ns/pods/{name}", metadata={"labels": {names.LABEL_CLUSTER: cluster}})


async def test_it_lists_once_and_follows_where_each_watch_has_ended() -> None:
    api = FakeWatch([event("ADDED", pod("b", 10)), bookmark(17)], [event("DELETED", pod("a", 18))])
    put_pod(api, "a")
    followed = await Followed(api).until_quiet()
    assert followed.names == ["b"]
    assert [query["resourceVersion"] for query in api.watched] == ["0", "17", "18"]
    assert [call for call in api.calls if call[0] == "GET"] == [("GET", "/api/v1/pods")]
    assert followed.told == [("ns", "demo")] * 3
    assert all(query["labelSelector"] == names.LABEL_CLUSTER for query in (*api.watched, *api.queries))


async def test_long_lists_are_read_in_pages() -> None:
    class Pages(FakeWatch):
        async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
            self.queries.append(dict(more["query"]))
            if "continue" in more["query"]:
                return {"items": [pod("b", 2)], "metadata": {"resourceVersion": "9"}}
            return {"items": [pod("a", 1)], "metadata": {"resourceVersion": "9", "continue": "token"}}

    api = Pages()
    followed = await Followed(api).until_quiet()
    assert followed.names == ["a", "b"]
    assert [query.get("continue") for query in api.queries] == [None, "token"]
    assert api.watched[0]["resourceVersion"] == "9"


async def test_what_went_while_nobody_looked_is_noticed() -> None:
    """The API server has forgotten the version: all is listed again."""
    api = FakeWatch([event("ADDED", pod("ghost", 10)), GONE])
    put_pod(api, "a")
    followed = await Followed(api).until_quiet()
    assert followed.names == ["a"]
    assert [call for call in api.calls if call[0] == "GET"] == [("GET", "/api/v1/pods")] * 2
    assert followed.told == [("ns", "demo")] * 3, "a, the ghost that came, and the ghost that went"


@pytest.mark.parametrize(
    "broken",
    [NoAnswer("nothing came"), ApiError(429, "TooManyRequests", "later"), Forbidden(403, "Forbidden", "no"),
     event("ERROR", {"code": 500, "message": "etcd"}), event("ADDED", {}), event("ADDED", {"metadata": None})],
)  # fmt: skip
async def test_a_watch_that_breaks_begins_again(broken: Any) -> None:
    api = FakeWatch([event("ADDED", pod("b", 10)), broken])
    put_pod(api, "a")
    followed = await Followed(api).until_quiet()
    assert followed.names == ["a"]
    assert followed.follower.good


async def test_a_broken_watch_answers_for_a_while() -> None:
    api = FakeWatch()
    followed = await Followed(api).until_quiet()
    api.fail["GET", "/pods"] = NoAnswer("cut off")
    api.streams = [[NoAnswer("cut off")]]
    task = asyncio.create_task(followed.follower.run())
    while not any("labelSelector" in query for query in api.queries[1:]):
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)  # further failures do not make it good for longer
    good = [followed.follower.good]
    followed.now = cache.GOOD_SECONDS
    good.append(followed.follower.good)
    assert good == [True, False]
    task.cancel()
    await asyncio.wait([task])


async def test_a_kind_that_is_not_served_has_no_objects() -> None:
    api = FakeWatch()
    follower = Follower(api, OPTIONAL["VolumeSnapshot"], None, lambda _: None, selector=names.LABEL_CLUSTER)
    task = asyncio.create_task(follower.run())
    await asyncio.wait_for(follower.listed(), 10)
    task.cancel()
    await asyncio.wait([task])
    reads = Cache(api, [follower])
    calls = len(api.calls)
    assert await list_objects(reads, OPTIONAL["VolumeSnapshot"], "ns", f"{names.LABEL_CLUSTER}=demo") == []
    assert len(api.calls) == calls


async def test_it_says_when_all_is_listed() -> None:
    api = FakeWatch()
    followed = Followed(api)
    assert not await Cache(api, [followed.follower]).listed(0.01)
    await followed.until_quiet()
    assert await Cache(api, [followed.follower]).listed(0.01)


async def test_reads_of_what_is_known_cost_nothing() -> None:
    api = FakeWatch()
    put_pod(api, "a")
    put_pod(api, "b", "other")
    followers = [Follower(api, kind, None, lambda _: None, selector=names.LABEL_CLUSTER) for kind in CHILDREN.values()]
    followers.append(Follower(api, SNAPSHOT, None, lambda _: None))
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    clusters = Store()
    reads = Cache(api, followers, {CLUSTER: clusters})
    assert await reads.listed(10)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    clusters.put({"metadata": {"namespace": "ns", "name": "demo", "resourceVersion": "1"}})
    calls = len(api.calls)
    assert (await get_cluster(reads, "ns", "demo") or {})["metadata"]["name"] == "demo"
    assert set((found := await children(reads, "ns", "demo"))["Pod"]) == {"a"}
    assert found["Pod"]["a"]["kind"] == "Pod"
    assert await list_objects(reads, SNAPSHOT, "ns") == []
    assert await get(reads, SNAPSHOT, "ns", "monday") is None
    # It may be there without our label, so it is asked for.
    assert api.calls[calls:] == [("GET", "/api/v1/namespaces/ns/secrets/demo-app")]
    calls = len(api.calls)
    assert await get_cluster(reads, "ns", "unknown") is None
    await list_objects(reads, PODS, "ns", "batch.kubernetes.io/job-name=x")
    await list_objects(reads, PODS, "ns")
    assert len(api.calls) == calls + 3, "what is not known is asked for"
    with pytest.raises(NotFound):
        await reads.request("DELETE", PODS.path("ns", "nobody"))
