"""Stories that nobody thought of: the same random ones in every run, so that their plans are recorded, too."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.unit.planning.recording import GOLDEN, HERE, RENEW, difference, read_golden, text_of
from tests.unit.planning.test_properties import happen
from tests.unit.planning.world import World, cluster

CHOICES: dict[str, list[object]] = {
    "scale": [1, 2, 3, 4, 5],
    "image": ["one", "two", "bad"],
    "parameter": ["100", "200"],
    "kill": [1, 2, 3, 4],
    "hide": [1, 2, 3, 4],
    "show": [1, 2, 3, 4],
    "freeze": [1, 2, 3, 4],
    "thaw": [1, 2, 3, 4],
    "drop": ["demo-settings", "demo-tls", "demo-app", "demo-pods", "demo"],
    "switch": [1, 2, 3, 4],
    "wait": [1, 4, 10],
}


@pytest.mark.parametrize("seed", range(12))
def test_a_random_story(seed: int) -> None:
    chosen = random.Random(seed)
    world = World(cluster(instances=chosen.randint(1, 4)))
    world.broken_images = {"bad"}
    for _ in range(10):
        what = chosen.choice(sorted(CHOICES))
        happen(world, what, chosen.choice(CHOICES[what]))
        world.step()
    world.unreachable.clear()
    world.frozen.clear()
    world.broken_images.clear()
    world.settle(steps=200)


def test_stories_are_recorded() -> None:
    """A folder that got lost would make the comparison vain."""
    sections = [section for file in GOLDEN.rglob("*.txt") for section in read_golden(file).values()]
    assert len(sections) > 300 and all(section.startswith("1 ") for section in sections)


def test_a_difference_names_the_step_and_the_object() -> None:
    world = World(cluster(instances=1))
    world.settle()
    recorded = text_of(world.plans)
    assert difference("story", recorded, world.plans) is None
    first, second, *rest = world.plans
    changed = replace(second, create=second.create[1:])
    found = difference("story", recorded, [first, changed, *rest])
    assert found is not None and "story: step 2 of" in found
    assert second.create[0]["metadata"]["name"] in found and RENEW in found
    assert difference("story", recorded, world.plans[:-1]) is not None


def test_nothing_is_recorded_of_modules_that_are_gone() -> None:
    gone = [file for file in GOLDEN.rglob("*.txt") if not (HERE / file.relative_to(GOLDEN)).with_suffix(".py").exists()]
    assert not gone, f"delete {gone}"
