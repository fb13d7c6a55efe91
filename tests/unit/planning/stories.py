"""What the stories have in common."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.world import World, cluster


def ready(**spec: Any) -> World:
    """A cluster of three copies that are instances, unless told otherwise."""
    world = World(cluster(**{"instances": 3, "durability": {"copies": 3}, **spec}))
    world.settle()
    return world


def calls(world: World, kind: type) -> list[Any]:
    return [call for made in world.plans for call in made.calls if isinstance(call, kind)]


def reasons(world: World) -> list[str]:
    return [event.reason for made in world.plans for event in made.events]
