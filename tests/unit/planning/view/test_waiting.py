"""A cluster that waits for Kubernetes says for what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World, cluster

from aurora_operator.planning.model.plan_model import ObjectWarning
from aurora_operator.planning.view.waiting import warnings_wanted

UNRECORDED = True

QUOTA = ObjectWarning(
    "FailedCreate",
    'create Pod demo-1-0 in StatefulSet demo-1 failed error: pods "demo-1-0" is forbidden: exceeded quota: q',
)
CLASS = ObjectWarning(
    "FailedCreate",
    'create Pod demo-1-0 in StatefulSet demo-1 failed error: pods "demo-1-0" is forbidden: '
    "no PriorityClass with name high was found",
)
RANGE = ObjectWarning("FailedCreate", "maximum memory usage per Container is 1Gi, but limit is 2Gi")
SECRET = ObjectWarning("FailedMount", 'MountVolume.SetUp failed for volume "x" : secret "key" not found')
DRIVER = ObjectWarning("ProvisioningFailed", "failed to provision volume: the pool is full.")


def waits(world: World, seconds: int) -> Any:
    for _ in range(seconds):
        world.step()
    return world.resource["status"]


def silent(world: World, what: str, warning: ObjectWarning | None, *copies: str) -> None:
    getattr(world, what).update(dict.fromkeys(copies, warning))


CAUSES = [
    ("no_pods", QUOTA, 'StatefulSet demo-1 cannot make its pod: pods "demo-1-0" is forbidden: exceeded quota: q.'),
    ("no_pods", CLASS, 'StatefulSet demo-1 cannot make its pod: pods "demo-1-0" is forbidden: no PriorityClass'),
    ("no_pods", RANGE, "StatefulSet demo-1 cannot make its pod: maximum memory usage per Container is 1Gi"),
    ("no_start", SECRET, "demo-1-0 does not start: FailedMount: MountVolume.SetUp failed"),
    (
        "no_volumes",
        DRIVER,
        "Claim data-demo-1 gets no volume: ProvisioningFailed: failed to provision volume: the pool",
    ),
    ("no_volumes", None, "Claim data-demo-1 gets no volume: the driver of StorageClass standard has not made one yet."),
]


@pytest.mark.parametrize(("what", "warning", "sentence"), CAUSES)
def test_a_new_cluster_that_waits_says_for_what_within_half_a_minute(
    what: str, warning: ObjectWarning | None, sentence: str
) -> None:
    world = World(cluster(instances=1, durability={"copies": 1}))
    silent(world, what, warning, "demo-1")
    status = waits(world, 30)
    assert status["phase"] == "Creating"
    assert sentence in status["message"]
    degraded = world.condition("Degraded")
    assert degraded["status"] == "True" and sentence in degraded["message"]
    assert sentence.rstrip(".") in status["members"][0]["message"]
    # Once it is there, nothing is said of it any more.
    getattr(world, what).clear()
    world.settle()
    assert world.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize(("what", "warning", "sentence"), CAUSES[:4])
def test_a_reader_that_does_not_come_back_says_why(what: str, warning: ObjectWarning | None, sentence: str) -> None:
    world = ready()
    silent(world, what, warning, "demo-3")
    world.kill("demo-3")
    status = waits(world, 30)
    assert status["phase"] == "Degraded"
    told = sentence.replace("demo-1-0 does", "demo-3-0 does").replace("StatefulSet demo-1 ", "StatefulSet demo-3 ")
    assert told in status["message"]


def test_a_log_copy_is_a_copy_too() -> None:
    world = World(cluster(instances=1, durability={"copies": 3}))
    silent(world, "no_pods", QUOTA, "demo-log-1")
    waits(world, 40)
    assert "StatefulSet demo-log-1 cannot make its pod: " in world.resource["status"]["message"]
    assert world.condition("Degraded")["status"] == "True"


def test_a_steady_cluster_and_one_that_is_made_in_time_read_no_events() -> None:
    world = ready()
    waits(world, 60)
    world.edit(image={"name": "aurora-instance:next"})
    world.settle()
    assert world.asked == []


def test_a_pod_that_cannot_start_is_replaced_when_its_template_changes() -> None:
    world = World(cluster(instances=1, durability={"copies": 1}))
    silent(world, "no_start", SECRET, "demo-1")
    waits(world, 30)
    before = world.objects["Pod"]["demo-1-0"]["metadata"]["uid"]
    world.edit(image={"name": "aurora-instance:next"})
    waits(world, 5)
    assert world.objects["Pod"]["demo-1-0"]["metadata"]["uid"] != before


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({}, True),
        ({"spec": {"replicas": 0}}, False),
        ({"metadata": {"name": "demo-1", "creationTimestamp": "2026-03-01T12:00:55Z"}}, False),
        ({"metadata": {"name": "demo-1"}}, False),
        ({"metadata": {"name": "demo-1", "deletionTimestamp": "2026-03-01T12:00:30Z"}}, False),
    ],
)
def test_events_are_read_of_copies_that_should_run_and_have_waited(changed: dict[str, Any], asked: bool) -> None:
    metadata = {"name": "demo-1", "uid": "u1", "creationTimestamp": "2026-03-01T12:00:00Z"}
    statefulset = {"metadata": metadata, "spec": {"replicas": 1}} | changed
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T12:00:10Z"}
    owner = {"status": {"conditions": [unready]}}
    now = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    expected = {("StatefulSet", "demo-1"): "u1"} if asked else {}
    assert warnings_wanted(owner, {"StatefulSet": {"demo-1": statefulset}}, now) == expected
    # Until somebody saw that it is not Ready, nothing has been waited for.
    assert warnings_wanted({}, {"StatefulSet": {"demo-1": statefulset}}, now) == {}
