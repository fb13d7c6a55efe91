"""Passes that look at what is known before they ask the API server: cheap when nothing is to be done, and right however
late the news is."""

from __future__ import annotations

import copy
from collections.abc import Callable

from tests.unit.controller.test_reconcile import CLUSTER_PATH, KEY, STATUS, World, manifest
from tests.unit.kube.fake import FakeApi

from aurora_operator.kube.cache import Store
from aurora_operator.kube.errors import NoAnswer
from aurora_operator.planning.model.plan_model import EventSpec, ObjectRef, Observed, Plan

POD = "/api/v1/namespaces/ns/pods/demo-1-0"
OURS = {"labels": {"aurorapg.io/cluster": "demo"}, "ownerReferences": []}


class Known(World):
    """A world of which a part is known: what there was at the last `hear`."""

    def __init__(self, decide: Callable[[Observed], Plan] = lambda observed: Plan(status=STATUS)) -> None:
        super().__init__(decide)
        self.known = self.reconciler.known = FakeApi()
        self.hear()

    def hear(self) -> None:
        self.known.objects = copy.deepcopy(self.api.objects)

    async def steady(self) -> None:
        """Its status is written, and known."""
        await self.reconciler(KEY)
        self.hear()
        self.api.calls.clear()
        self.observed.clear()


async def test_a_steady_cluster_asks_the_api_server_nothing() -> None:
    world = Known()
    await world.steady()
    for _ in range(5):
        outcome = await world.reconciler(KEY)
        assert (outcome.failed, outcome.again_in) == (False, 10.0)
    assert [call for call in world.api.calls if "/nodes" not in call[1] and "/storageclasses" not in call[1]] == []
    assert len(world.observed) == 5
    assert world.seen.passes[-1] == ("Ready", False), "the metrics hear of it"


async def test_nothing_is_made_twice_however_late_the_news() -> None:
    def decide(observed: Observed) -> Plan:
        there = observed.children.get("ConfigMap", {})
        return Plan(status=STATUS, create=() if "demo-record" in there else (_owned(observed, "demo-record"),))

    world = Known(decide)
    for _ in range(4):  # nothing is heard of all that
        await world.reconciler(KEY)
    assert [call for call in world.api.writes if call[0] == "POST"] == [("POST", "/api/v1/namespaces/ns/configmaps")]


def _owned(observed: Observed, name: str) -> dict[str, object]:
    made = manifest("ConfigMap", name)
    uid = observed.cluster["metadata"]["uid"]
    made["metadata"]["ownerReferences"] = [{"kind": "AuroraCluster", "name": "demo", "uid": uid, "controller": True}]
    return made


async def test_what_was_just_made_is_not_deleted_for_what_was_there_before() -> None:
    """A pod that was to go has gone, and another one of its name runs; nothing of that has been heard."""

    def decide(observed: Observed) -> Plan:
        pod = observed.children["Pod"].get("demo-1-0")
        bad = pod is not None and pod["metadata"]["uid"] == "old"
        return Plan(status=STATUS, delete=(ObjectRef("Pod", "demo-1-0", "old"),) if bad else ())

    world = Known(decide)
    world.api.put(POD, metadata={**OURS, "uid": "old"})
    await world.reconciler(KEY)
    world.api.put(POD, metadata={**OURS, "uid": "new"})
    world.hear()
    world.known.put(POD, metadata={**OURS, "uid": "old"})
    await world.reconciler(KEY)
    assert [call for call in world.api.writes if call[0] == "DELETE"] == [("DELETE", POD)]
    assert world.api.objects[POD]["metadata"]["uid"] == "new"


async def test_a_status_is_not_written_by_what_was() -> None:
    def decide(observed: Observed) -> Plan:
        return Plan(status={"pods": len(observed.children["Pod"])})

    world = Known(decide)
    world.api.put(POD, metadata=OURS)
    await world.reconciler(KEY)
    assert world.status == {"pods": 1}
    world.hear()
    world.known.objects.pop(POD)
    world.api.calls.clear()
    await world.reconciler(KEY)
    assert world.api.writes == []


async def test_an_event_is_said_by_what_is_there_now() -> None:
    def decide(observed: Observed) -> Plan:
        events = () if observed.children["Pod"] else (EventSpec("Warning", "Lost", "it is gone"),)
        return Plan(status=STATUS, events=events)

    world = Known(decide)
    world.api.put(POD, metadata=OURS)
    await world.reconciler(KEY)
    assert world.events == []


async def test_what_is_not_known_or_cannot_be_planned_by_is_read() -> None:
    world = Known()
    world.known.objects.clear()
    assert not (await world.reconciler(KEY)).failed
    assert world.status == STATUS
    world.known.fail["GET", "/pods"] = NoAnswer("its watch is broken, and the API server does not answer")
    world.hear()
    assert not (await world.reconciler(KEY)).failed

    def decide(observed: Observed) -> Plan:
        raise ValueError("a fault") if observed.children["Pod"] else AssertionError

    world = Known(decide)
    world.known.put(POD, metadata=OURS)
    assert (await world.reconciler(KEY)).failed
    assert "AssertionError" in world.status["conditions"][-1]["message"], "of what is there, and not of what was"


async def test_a_cluster_that_is_known_no_more_or_still_is_gone_when_it_is() -> None:
    world = Known(lambda observed: Plan(status=STATUS, events=(EventSpec("Normal", "Any", "thing"),)))
    world.api.objects.pop(CLUSTER_PATH)
    assert (await world.reconciler(KEY)).gone
    world.hear()
    assert (await world.reconciler(KEY)).gone


async def test_agents_are_asked_once_in_a_pass_unless_their_pods_have_changed() -> None:
    world = Known()
    asked: list[int] = []
    answer = world.agents.statuses

    async def count(key, children):  # type: ignore[no-untyped-def]
        asked.append(len(children["Pod"]))
        return await answer(key, children)

    world.agents.statuses = count  # type: ignore[method-assign]
    await world.reconciler(KEY)
    assert asked == [0], "a status was to be written, so all but the agents was read again"
    world.api.put(POD, metadata=OURS)
    world.api.put(CLUSTER_PATH, metadata={"generation": 4}, spec={})
    await world.reconciler(KEY)
    assert asked == [0, 0, 1]


async def test_what_was_read_of_a_cluster_is_known() -> None:
    """Whatever became of the event that should have told of it."""
    world = Known()
    clusters = world.reconciler.clusters = Store()
    await world.reconciler(KEY)
    await world.reconciler(KEY)
    assert (clusters.get(*KEY) or {})["status"] == STATUS
