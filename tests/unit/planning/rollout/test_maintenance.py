"""Restarts that nobody asked for wait: for the window, and for the cluster's turn. Those of an edit do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.planning.stories import ready, reasons
from tests.unit.planning.world import World

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)
OTHERS_TURN = "its turn after default/other; 1 at a time"


def images(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in world.objects["Pod"].values()}


def pending(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.resource["status"].get("pendingMaintenance", {})
    return found


def upgraded(**spec: Any) -> World:
    """The operator was replaced by one of another default image; it is not this cluster's turn."""
    world = ready(instances=3, **spec)
    world.image, world.turn = "aurora-instance:next", OTHERS_TURN
    world.settle()
    return world


def test_an_upgrade_of_the_operator_waits_for_its_turn_and_the_cluster_stays_ready() -> None:
    world = upgraded()
    assert images(world) == {"aurora-instance:dev"}
    assert (pending(world)["stage"], pending(world)["waitsFor"]) == ("turn", OTHERS_TURN)
    assert set(pending(world)["instances"]) >= {"demo-1", "demo-2", "demo-3"}
    assert world.resource["status"]["phase"] == "Ready"
    assert reasons(world).count("MaintenancePending") == 1
    world.turn = None
    world.settle()
    assert images(world) == {"aurora-instance:next"}
    assert not pending(world)
    assert reasons(world).count("MaintenanceStarted") == 1


def test_what_has_begun_is_finished_whosever_turn_it_is() -> None:
    world = upgraded()
    world.turn = None
    world.until(lambda: len(images(world)) == 2)
    world.turn = OTHERS_TURN
    world.settle()
    assert images(world) == {"aurora-instance:next"}


def test_an_edit_is_carried_out_at_once_and_takes_what_is_pending_along() -> None:
    world = upgraded(preferredMaintenanceWindow="mon:03:00-mon:04:00")
    assert images(world) == {"aurora-instance:dev"}
    world.edit(resources={"requests": {"cpu": "300m"}})
    world.settle()
    assert images(world) == {"aurora-instance:next"}
    assert not pending(world)


@pytest.mark.parametrize(("window", "stage"), [("mon:03:00-mon:04:00", "window"), ("sun:00:00-sun:23:59", None)])
def test_the_window_is_kept(window: str, stage: str | None) -> None:
    world = ready(instances=3, preferredMaintenanceWindow=window)
    world.now = SUNDAY + timedelta(hours=12)
    world.image = "aurora-instance:next"
    world.settle()
    assert pending(world).get("stage") == stage
    assert images(world) == {"aurora-instance:dev" if stage else "aurora-instance:next"}


def test_the_window_opens() -> None:
    world = ready(instances=3, preferredMaintenanceWindow="mon:03:00-mon:04:00")
    world.image = "aurora-instance:next"
    world.settle()
    assert "mon:03:00-mon:04:00" in pending(world)["waitsFor"]
    world.now = SUNDAY + timedelta(days=1, hours=3, minutes=1)
    world.settle()
    assert images(world) == {"aurora-instance:next"}


def test_apply_now_waits_for_nothing_and_is_over_once_it_is_done() -> None:
    world = upgraded(preferredMaintenanceWindow="mon:03:00-mon:04:00")
    world.resource["metadata"]["annotations"] = {"aurorapg.io/apply-now": "true"}
    world.settle()
    assert images(world) == {"aurora-instance:next"}
    assert "aurorapg.io/apply-now" not in world.resource["metadata"]["annotations"]


def test_a_pod_that_cannot_run_waits_for_nobody() -> None:
    world = ready(instances=3)
    world.broken_images = {"bad"}
    world.edit(image={"name": "bad"})
    world.until(lambda: "bad" in images(world))
    world.turn = OTHERS_TURN
    world.edit(image={"name": "aurora-instance:dev"})
    world.settle()
    assert images(world) == {"aurora-instance:dev"}


def test_a_cluster_of_an_operator_that_kept_no_generation_waits_too() -> None:
    world = ready(instances=3)
    del world.resource["status"]["rolledOutGeneration"]
    world.image, world.turn = "aurora-instance:next", OTHERS_TURN
    world.settle()
    assert images(world) == {"aurora-instance:dev"}
    assert pending(world)["stage"] == "turn"
