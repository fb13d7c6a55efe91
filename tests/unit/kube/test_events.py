from __future__ import annotations

from typing import Any

from tests.unit.kube.fake import FakeApi

from aurora_operator.kube.errors import Forbidden
from aurora_operator.kube.events import Recorder
from aurora_operator.planning.model.plan_model import EventSpec

CLUSTER: dict[str, Any] = {"metadata": {"name": "demo", "namespace": "ns", "uid": "u"}}
EVENT = EventSpec("Normal", "Created", "made it")


async def test_an_event_says_who_and_what() -> None:
    api = FakeApi()
    await Recorder(api, "operator-pod").say(CLUSTER, EVENT)
    (made,) = api.objects.values()
    assert made["involvedObject"]["name"] == "demo"
    assert made["involvedObject"]["uid"] == "u"
    assert (made["type"], made["reason"], made["message"]) == ("Normal", "Created", "made it")
    assert made["metadata"]["name"].startswith("demo.")


async def test_said_again_it_is_counted_and_rarely_written() -> None:
    api, now = FakeApi(), [0.0]
    recorder = Recorder(api, "operator-pod", clock=lambda: now[0])
    for _ in range(30):
        await recorder.say(CLUSTER, EVENT)
        now[0] += 5
    assert [method for method, _ in api.writes] == ["POST", "PATCH", "PATCH"]
    (made,) = api.objects.values()
    assert made["count"] == 25
    now[0] += 700
    await recorder.say(CLUSTER, EVENT)
    assert len(api.objects) == 2


async def test_other_words_are_another_event_and_long_ones_are_cut() -> None:
    api = FakeApi()
    recorder = Recorder(api, "operator-pod")
    await recorder.say(CLUSTER, EVENT)
    await recorder.say(CLUSTER, EventSpec("Normal", "Created", "x" * 2000))
    assert len(api.objects) == 2
    assert max(len(o["message"]) for o in api.objects.values()) == 1024


async def test_words_never_fail_a_pass() -> None:
    api = FakeApi()
    api.fail["POST", "events"] = Forbidden(403, "Forbidden", "namespace is being terminated")
    await Recorder(api, "operator-pod").say(CLUSTER, EVENT)
    assert api.objects == {}


async def test_events_can_be_sorted_by_time() -> None:
    api, now = FakeApi(), [0.0]
    recorder = Recorder(api, "operator-pod", clock=lambda: now[0])
    await recorder.say(CLUSTER, EVENT)
    (path,) = api.objects
    assert path.startswith("/api/v1/namespaces/ns/events/"), "elsewhere the API server lets neither of them change"
    made = dict(api.objects[path])
    assert made["firstTimestamp"] == made["lastTimestamp"] and made["lastTimestamp"].endswith("Z")
    assert made["count"] == 1 and made["eventTime"] > made["firstTimestamp"][:-1]
    now[0] = 61.0
    await recorder.say(CLUSTER, EVENT)
    assert api.bodies[-1].keys() == {"count", "lastTimestamp"} and api.bodies[-1]["count"] == 2
    assert api.objects[path]["firstTimestamp"] == made["firstTimestamp"]
