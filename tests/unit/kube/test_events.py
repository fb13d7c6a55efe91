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
    assert made["regarding"]["name"] == "demo"
    assert made["regarding"]["uid"] == "u"
    assert (made["type"], made["reason"], made["note"]) == ("Normal", "Created", "made it")
    assert made["metadata"]["name"].startswith("demo.")


async def test_said_again_it_is_counted_and_rarely_written() -> None:
    api, now = FakeApi(), [0.0]
    recorder = Recorder(api, "operator-pod", clock=lambda: now[0])
    for _ in range(30):
        await recorder.say(CLUSTER, EVENT)
        now[0] += 5
    assert [method for method, _ in api.writes] == ["POST", "PATCH", "PATCH"]
    (made,) = api.objects.values()
    assert made["series"]["count"] == 25
    now[0] += 700
    await recorder.say(CLUSTER, EVENT)
    assert len(api.objects) == 2


async def test_other_words_are_another_event_and_long_ones_are_cut() -> None:
    api = FakeApi()
    recorder = Recorder(api, "operator-pod")
    await recorder.say(CLUSTER, EVENT)
    await recorder.say(CLUSTER, EventSpec("Normal", "Created", "x" * 2000))
    assert len(api.objects) == 2
    assert max(len(o["note"]) for o in api.objects.values()) == 1024


async def test_words_never_fail_a_pass() -> None:
    api = FakeApi()
    api.fail["POST", "events"] = Forbidden(403, "Forbidden", "namespace is being terminated")
    await Recorder(api, "operator-pod").say(CLUSTER, EVENT)
    assert api.objects == {}
