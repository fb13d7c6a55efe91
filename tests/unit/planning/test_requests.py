"""Requests by annotations: each is done once, whoever writes it, and however often."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.backup.test_backup_flow import BACKUP, REPORT, planned, taken
from tests.unit.planning.power.test_waking import asleep
from tests.unit.planning.rehearsal_story import GOOD, Story
from tests.unit.planning.stories import calls, ready, reasons
from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.messages import BackupEntry, BackupRun
from aurora_operator.api.base import names
from aurora_operator.api.base.requests import REQUESTS, request
from aurora_operator.planning.model.plan_model import Switchover
from aurora_operator.planning.requests import LAST_APPLIED, is_declared

Object = dict[str, Any]
Writes = Callable[[Object, str, str], None]
SWITCHOVER = names.ANNOTATION_SWITCHOVER


def owned(resource: Object, name: str, manager: str, operation: str) -> None:
    """The API server notes who wrote the annotation, and that nobody else did."""
    fields: Object = {"f:metadata": {"f:annotations": {f"f:{name}": {}}}}
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    resource["metadata"]["managedFields"] = [entry]


def write(resource: Object, name: str, value: str, manager: str, operation: str = "Update") -> None:
    """Somebody writes an annotation. Who writes what is there already changes nothing, unless he applies."""
    there = resource["metadata"].setdefault("annotations", {})
    if there.get(name) != value or operation == "Apply":
        there[name] = value
        owned(resource, name, manager, operation)


def by_argo(resource: Object, name: str, value: str) -> None:
    write(resource, name, value, "argocd-controller", "Apply")


def by_helm(resource: Object, name: str, value: str) -> None:
    write(resource, name, value, "helm")


def by_apply(resource: Object, name: str, value: str) -> None:
    """`kubectl apply`: it is told by the last manifest, whoever else has set the same since."""
    write(resource, name, value, "kubectl-annotate")
    resource["metadata"]["annotations"][LAST_APPLIED] = json.dumps({"metadata": {"annotations": {name: value}}})


def by_hand(resource: Object, name: str, value: str) -> None:
    write(resource, name, value, "kubectl-annotate")


def writers(world: World) -> list[str]:
    """Who was asked to become the writer, one after another."""
    found = [call.target for call in calls(world, Switchover)]
    return [name for i, name in enumerate(found) if i == 0 or found[i - 1] != name]


def notes(world: World) -> Object:
    found: Object = world.resource["metadata"].get("annotations") or {}
    return found


@pytest.mark.parametrize("sync", [by_argo, by_helm, by_apply])
@pytest.mark.parametrize("asked", ["any", "demo-3", "any/monday"])
def test_what_stands_in_a_manifest_switches_over_once_in_fifty_syncs(sync: Writes, asked: str) -> None:
    world = ready()
    first = world.leader
    for _ in range(50):
        sync(world.resource, SWITCHOVER, asked)
        for _ in range(6):
            world.step()
    assert len(writers(world)) == 1 and world.leader == writers(world)[0] != first
    assert notes(world)[SWITCHOVER] == asked, "nobody is to put back what we took away"
    assert reasons(world).count("RequestOver") == 1
    assert world.resource["status"]["requests"] == [{"name": SWITCHOVER, "asked": asked}]
    assert not world.settle().changes


def test_another_value_in_the_manifest_is_another_request() -> None:
    world = ready()
    for asked in ("any/1", "any/1", "any/2", "any/2"):
        by_argo(world.resource, SWITCHOVER, asked)
        world.settle()
    assert len(writers(world)) == 2


def test_one_that_was_taken_out_of_the_manifest_can_be_asked_for_again() -> None:
    world = ready()
    for _ in range(2):
        by_argo(world.resource, SWITCHOVER, "any")
        world.settle()
        del world.resource["metadata"]["annotations"][SWITCHOVER]
        world.settle()
        assert "requests" not in world.resource["status"]
    assert len(writers(world)) == 2


@pytest.mark.parametrize("asked", [("any", "any"), ("any/1", "any/2")])
def test_a_command_is_carried_out_each_time_and_removed(asked: tuple[str, str]) -> None:
    world = ready()
    for value in asked:
        by_hand(world.resource, SWITCHOVER, value)
        world.settle()
        assert SWITCHOVER not in notes(world)
    assert len(writers(world)) == 2
    assert "RequestOver" not in reasons(world)


def test_a_command_over_what_the_manifest_says_is_done_and_then_the_manifest_stands_again() -> None:
    world = ready()
    by_argo(world.resource, SWITCHOVER, "any")
    world.settle()
    by_hand(world.resource, SWITCHOVER, "any")
    world.settle()
    assert len(writers(world)) == 1, "nothing was written, so nothing can have been asked"
    over = next(e.message for made in world.plans for e in made.events if e.reason == "RequestOver")
    again = over.partition("such as ")[2].rstrip(".")
    assert again == f"any/{again.partition('/')[2]}" != "any/"
    by_hand(world.resource, SWITCHOVER, again)
    world.settle()
    assert len(writers(world)) == 2
    assert notes(world)[SWITCHOVER] == "any"
    for _ in range(5):
        by_argo(world.resource, SWITCHOVER, "any")
        world.settle()
    assert len(writers(world)) == 2


def test_a_sync_in_the_middle_changes_nothing() -> None:
    world = ready()
    by_argo(world.resource, SWITCHOVER, "any")
    world.until(lambda: bool(world.resource["status"].get("requests")))
    stage = world.resource["status"]["requests"][0]["stage"]

    def over() -> bool:
        by_argo(world.resource, SWITCHOVER, "any")
        return request(world.resource, SWITCHOVER) is None

    world.until(over)
    assert writers(world) == [stage] == [world.leader]


def test_one_that_is_refused_is_refused_once() -> None:
    world = ready()
    for _ in range(10):
        by_argo(world.resource, SWITCHOVER, "demo-9")
        world.settle()
    assert reasons(world).count("SwitchoverRefused") == 1
    assert not writers(world)


def test_a_backup_in_a_manifest_is_taken_once() -> None:
    world = ready(backup=BACKUP)
    at = world.now.isoformat()
    entry = BackupEntry(label="F", kind="full", started_at=at, finished_at=at, size_bytes=1, stored_bytes=1)
    report, tokens = REPORT.model_copy(update={"backups": (entry,)}), []
    runs: dict[str, BackupRun] = {}
    for _ in range(50):
        by_argo(world.resource, names.ANNOTATION_BACKUP, "diff")
        for _ in range(4):
            made = planned(world, report, runs)
            for call in taken(made):
                tokens.append(call.token)
                at = world.now.isoformat()
                runs = {call.instance: BackupRun(kind="diff", token=call.token, started_at=at, finished_at=at)}
            world.resource["status"] = made.status
            assert not made.annotations
        runs = {}  # whoever took it has restarted, and knows nothing of it any more
    assert len(tokens) == 1 and tokens[0]


def test_a_rehearsal_in_a_manifest_is_made_once() -> None:
    story = Story()
    for _ in range(10):
        by_argo(story.world.resource, names.ANNOTATION_REHEARSAL, "now")
        story.steps()
        if story.jobs:
            story.end(GOOD, passed=True)
    assert len(story.made) == 1 and not story.jobs
    assert story.annotations[names.ANNOTATION_REHEARSAL] == "now"


def test_what_a_manifest_wakes_sleeps_again() -> None:
    world = asleep()
    phases = []
    for _ in range(10):
        by_argo(world.resource, names.ANNOTATION_WAKE, "please")
        for _ in range(20):
            world.step()
            phases.append(world.phase)
        world.idle = 301.0
        world.until(lambda: world.phase == "Paused")
    assert [phase for i, phase in enumerate(phases) if phase == "Resuming" != phases[i - 1]] == ["Resuming"]


def test_apply_now_in_a_manifest_is_about_what_is_pending_now_and_not_for_ever() -> None:
    world = ready(preferredMaintenanceWindow="mon:03:00-mon:04:00")
    image = world.image
    for number in (1, 2):
        world.image = f"{image}-{number}"
        by_argo(world.resource, names.ANNOTATION_APPLY_NOW, "true")
        world.settle()
    images = {pod["spec"]["containers"][0]["image"] for pod in world.objects["Pod"].values()}
    assert images == {f"{image}-1"}
    assert world.resource["status"]["pendingMaintenance"]["stage"] == "window"


JUNK = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(text=st.text() | JUNK.map(json.dumps) | JUNK.map(lambda v: json.dumps({"metadata": {"annotations": v}})))
def test_no_manifest_that_cannot_be_read_is_believed(text: str) -> None:
    resource = cluster()
    resource["metadata"]["annotations"] = dict.fromkeys(REQUESTS, "yes, it is") | {LAST_APPLIED: text}
    assert not any(is_declared(resource, name) for name in REQUESTS)
