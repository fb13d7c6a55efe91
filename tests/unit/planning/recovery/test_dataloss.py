"""A quorum is lost for good: nothing happens by itself, and what is accepted is what was stated."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.recovery.test_lost_copies import steps, voters, whole
from tests.unit.planning.stories import calls, reasons
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.api.status import DataLossStatus
from aurora_operator.planning.model.plan_model import AcceptLoss
from aurora_operator.planning.objects.volume import ANNOTATION_GIVEN_UP
from aurora_operator.planning.recovery.dataloss import accepted_text


def without_quorum() -> World:
    """Two zones of three are gone: two copies of six are left."""
    world = whole()
    world.positions = {"demo-1": (1, 2000), "demo-2": (1, 3000)}
    steps(world, 2)
    world.lose_zone("zone-b")
    world.lose_zone("zone-c")
    world.kill("demo-1")
    steps(world, 3)
    assert world.leader is None
    return world


def statement(world: World) -> DataLossStatus:
    return DataLossStatus.model_validate(world.resource["status"]["dataLoss"])


def accept(world: World, text: str | None = None) -> None:
    annotations = world.resource["metadata"].setdefault("annotations", {})
    annotations[names.ANNOTATION_ACCEPT_DATA_LOSS] = text or accepted_text(statement(world))


def annotation(world: World) -> Any:
    return world.resource["metadata"].get("annotations", {}).get(names.ANNOTATION_ACCEPT_DATA_LOSS)


def test_the_status_says_exactly_what_is_missing() -> None:
    world = without_quorum()
    status = world.resource["status"]
    assert status["phase"] == "Unavailable" and "aurora accept-data-loss demo" in status["message"]
    assert "demo-2 (zone-b, node node-b, at 1:0/BB8 when last seen)" in status["message"]
    stated = statement(world)
    assert [c.split("/")[0] for c in stated.survivors] == ["demo-1", "demo-log-1"] and len(stated.lost) == 4
    assert stated.lost_bytes == 1000
    assert status["durability"]["readAvailable"] is False


def test_nothing_happens_by_itself() -> None:
    world = without_quorum()
    steps(world, 60)
    assert not calls(world, AcceptLoss) and not any(made.delete for made in world.plans)
    assert world.leader is None and len(world.config.voters) == 6


def test_accepted_loss_is_fenced_first_and_then_carried_out() -> None:
    world = without_quorum()
    accept(world)
    world.step()
    assert not calls(world, AcceptLoss)
    assert "demo-2-0" in world.resource["status"]["message"]
    world.until(lambda: bool(calls(world, AcceptLoss)))
    world.until(lambda: world.leader == "demo-1")
    assert "DataLossAccepted" in reasons(world)
    world.until(lambda: annotation(world) is None)
    assert "DataLossRefused" not in reasons(world)
    for name in ("demo-2", "demo-3", "demo-log-2", "demo-log-3"):
        claim = world.objects["PersistentVolumeClaim"][f"data-{name}"]
        assert claim["metadata"]["annotations"][ANNOTATION_GIVEN_UP]
    world.find_zone("zone-b")
    world.find_zone("zone-c")
    world.settle(steps=120)
    assert world.instances == ["demo-1", "demo-4", "demo-5"] and len(voters(world)) == 6
    assert "data-demo-2" in world.objects["PersistentVolumeClaim"], "kept"
    assert "dataLoss" not in world.resource["status"]


def test_it_waits_for_pods_that_may_still_run() -> None:
    world = without_quorum()
    world.stuck_pods.add("demo-2-0")
    accept(world)
    steps(world, 20)
    assert not calls(world, AcceptLoss) and "demo-2-0" in world.resource["status"]["message"]
    world.stuck_pods.clear()
    world.until(lambda: bool(calls(world, AcceptLoss)))


def test_refused_while_there_is_a_quorum_or_when_it_changed() -> None:
    world = without_quorum()
    old = accepted_text(statement(world))
    accept(world, "0000:demo-1,demo-log-1")
    world.step()
    assert annotation(world) is None and reasons(world).count("DataLossRefused") == 1
    world.find_zone("zone-b")
    steps(world, 6)
    assert "dataLoss" not in world.resource["status"]
    accept(world, old)
    steps(world, 2)
    assert annotation(world) is None and reasons(world).count("DataLossRefused") == 2
    assert not calls(world, AcceptLoss)


def test_waits_while_nobody_can_be_asked() -> None:
    world = without_quorum()
    accept(world)
    world.unreachable = set(world.agents)
    steps(world, 5)
    assert annotation(world) is not None and not any(made.delete for made in world.plans)


def test_refused_before_anything_is_fenced_where_no_instance_survives() -> None:
    """A log copy cannot be the writer. Whatever comes back by itself must be able to."""
    world = without_quorum()
    world.unreachable = {"demo-1"}
    world.step()
    assert [c.split("/")[0] for c in statement(world).survivors] == ["demo-log-1"]
    accept(world)
    steps(world, 3)
    assert annotation(world) is None and "DataLossRefused" in reasons(world)
    assert not calls(world, AcceptLoss) and not any(made.delete for made in world.plans)
