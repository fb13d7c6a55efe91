from __future__ import annotations

from typing import Any

from tests.unit.kube.fake import FakeApi

from aurora_operator.kube.errors import Forbidden
from aurora_operator.kube.warnings import AT_ONCE, Warnings, newest_warning
from aurora_operator.planning.model.plan_model import ObjectWarning

KEY = ("StatefulSet", "demo-3")
WANTED = {KEY: "u3"}


def event(at: str, reason: str = "FailedCreate", message: str = "exceeded quota", **more: Any) -> dict[str, Any]:
    about = {"kind": "StatefulSet", "name": "demo-3", "uid": "u3"}
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-03-01T12:{at}Z",
        "involvedObject": about,
    } | more


def put(api: FakeApi, *events: dict[str, Any]) -> None:
    for number, item in enumerate(events):
        api.put(f"/api/v1/namespaces/ns/events/e{number}", **item)


async def test_the_newest_warning_of_that_very_object() -> None:
    api = FakeApi()
    put(
        api,
        event("00:01", message="old"),
        event("00:09", message="exceeded\n  quota"),
        event(
            "00:30", message="of an object that is gone", involvedObject={**event("")["involvedObject"], "uid": "u1"}
        ),
        event("00:31", message="of another", involvedObject={**event("")["involvedObject"], "name": "demo-2"}),
    )
    assert await Warnings(api).read("ns", WANTED) == {KEY: ObjectWarning("FailedCreate", "exceeded quota")}
    assert await Warnings(api).read("other", WANTED) == {}


def test_what_was_mended_is_not_told() -> None:
    made = event("00:05", "SuccessfulCreate", type="Normal")
    assert newest_warning("StatefulSet", [event("00:01"), made]) is None
    assert newest_warning("StatefulSet", [event("00:06"), made]) is not None
    # A claim hears all the time that its volume is waited for.
    assert newest_warning("PersistentVolumeClaim", [event("00:01"), made]) is not None


def test_times_of_events_of_either_form() -> None:
    series = event("00:01", message="again", lastTimestamp=None, series={"lastObservedTime": "2026-03-01T12:00:09.5Z"})
    single = event("00:01", message="once", lastTimestamp=None, eventTime="2026-03-01T12:00:05.000001Z")
    found = newest_warning("Pod", [single, series, event("00:03")])
    assert found is not None and found.message == "again"


def test_any_event_is_read_or_left_out_and_none_is_long() -> None:
    found = newest_warning("Pod", [{"type": "Warning", "message": "x" * 5000, "metadata": {}}, "?", None])
    assert found is not None and len(found.message) == 512
    assert newest_warning("Pod", None) is None
    assert newest_warning("Pod", [{"metadata": {}}]) is None


async def test_nothing_is_read_where_nothing_is_asked_and_little_where_much_is() -> None:
    api, now = FakeApi(), [0.0]
    put(api, event("00:01"))
    warnings = Warnings(api, clock=lambda: now[0])
    assert await warnings.read("ns", {}) == {}
    assert api.calls == []
    many = {("Pod", f"demo-{number}-0"): "u" for number in range(10)}
    for passes in range(1, 4):
        await warnings.read("ns", many)
        assert len(api.calls) == min(passes * AT_ONCE, 10)
    await warnings.read("ns", many)
    assert len(api.calls) == 10
    now[0] = 10.0
    await warnings.read("ns", many)
    assert len(api.calls) == 10 + AT_ONCE


async def test_that_events_cannot_be_read_is_no_failure() -> None:
    api = FakeApi()
    put(api, event("00:01"))
    api.fail["GET", "/events"] = Forbidden(403, "Forbidden", "not allowed")
    warnings = Warnings(api)
    assert await warnings.read("ns", WANTED) == {}
    assert await warnings.read("ns", WANTED) == {}
    assert len(api.calls) == 1
