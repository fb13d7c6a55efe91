from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.planning.model.plan_model import Unreachable
from aurora_operator.planning.volumes.kubelet_stats import (
    SILENT_SECONDS,
    Silent,
    silent_copies,
    since_when,
    volume_of,
    worth_asking,
)

ANSWER = AgentStatus(name="demo-1", incarnation="0123abcd", phase="Leading", role="writer")
CUT_OFF = Unreachable("cut off")


def pod(copy: str | None, node: str | None, **metadata: Any) -> dict[str, Any]:
    labels = {names.LABEL_INSTANCE: copy} if copy is not None else {}
    return {"metadata": {"labels": labels, **metadata}, "spec": {"nodeName": node} if node else {}}


def test_who_is_silent() -> None:
    pods = {
        "demo-1-0": pod("demo-1", "a"),
        "demo-2-0": pod("demo-2", "b"),
        "demo-3-0": pod("demo-3", "c"),
        "demo-4-0": pod("demo-4", None),
        "demo-5-0": pod("demo-5", "a", deletionTimestamp="2026-03-01T12:00:00Z"),
        "demo-gateway-0": pod(None, "a"),
    }
    assert silent_copies(pods, {"demo-1": ANSWER, "demo-2": CUT_OFF}) == (Silent("demo-2", "b"), Silent("demo-3", "c"))


def test_for_how_long() -> None:
    two = (Silent("demo-2", "b"), Silent("demo-3", "c"))
    since = since_when(two, {"demo-1": 1.0, "demo-2": 5.0}, 20.0)
    assert since == {"demo-2": 5.0, "demo-3": 20.0}, "who has answered begins anew"
    assert worth_asking(two, since, 5.0 + SILENT_SECONDS) == (Silent("demo-2", "b"),)
    assert worth_asking(two, since, 4.9 + SILENT_SECONDS) == ()


def summary(**numbers: object) -> dict[str, Any]:
    volumes = [
        {"name": "tmp", "capacityBytes": 5, "availableBytes": 5},
        {"name": "data", "pvcRef": {"name": "data-demo-1", "namespace": "ns"}, **numbers},
    ]
    return {"node": {"nodeName": "a"}, "pods": [{"podRef": {"name": "demo-1-0"}, "volume": volumes}, {"podRef": {}}]}


def test_what_a_kubelet_says() -> None:
    told = summary(capacityBytes=1000, availableBytes=100, usedBytes=850, inodes=7)
    assert volume_of(told, "ns", "demo-1") == VolumeUse(size_bytes=1000, used_bytes=900)
    assert volume_of(told, "other", "demo-1") is None
    assert volume_of(told, "ns", "demo-2") is None


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"capacityBytes": 1000},
        {"capacityBytes": "1000", "availableBytes": 1},
        {"capacityBytes": 0, "availableBytes": 0},
        {"capacityBytes": 10, "availableBytes": 11},
    ],
)
def test_what_makes_no_sense_is_not_believed(numbers: dict[str, object]) -> None:
    assert volume_of(summary(**numbers), "ns", "demo-1") is None


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["pods", "volume", "pvcRef", "name", "namespace"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["pods", "node"]), _JSON))
def test_nonsense_is_survived(told: dict[str, Any]) -> None:
    assert volume_of(told, "ns", "demo-1") is None
