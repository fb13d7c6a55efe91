"""Serverless capacity: what an ACU is, the range that a user gives, and what an instance gets of it.

An Aurora Capacity Unit is 2 GiB of memory and a quarter of a virtual CPU. The memory is both request and limit. The
CPU is requested; the limit is twice as much, and a whole CPU at least: so a load that exceeds its share is seen, not
only felt, and the agent can always vote, start and recover PostgreSQL in time.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import Model, WireModel
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.resources import ComputeAmounts, Resources

ACU_BYTES: Final = 2 << 30
ACU_CPU_MILLIS: Final = 250
STEP: Final = 0.5
LEAST_RUNNING: Final = 0.5
"""What a cluster that may pause has at least while it runs."""
MOST: Final = 256.0
V1_SIZES: Final = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 192.0, 384.0)
"""The capacities of Aurora Serverless v1 with PostgreSQL."""
BURST: Final = 2
LEAST_CPU_LIMIT_MILLIS: Final = 1000
PAUSE_SECONDS: Final = (300, 86_400)


def cpu_limit_millis(acu: float) -> int:
    """The CPU limit of a capacity, in thousandths."""
    return max(LEAST_CPU_LIMIT_MILLIS, round(BURST * acu * ACU_CPU_MILLIS))


def capacity_resources(acu: float) -> Resources:
    """What a container of this capacity requests, and its limits."""
    memory = f"{round(acu * ACU_BYTES) >> 20}Mi"
    return Resources(
        requests=ComputeAmounts(cpu=f"{round(acu * ACU_CPU_MILLIS)}m", memory=memory),
        limits=ComputeAmounts(cpu=f"{cpu_limit_millis(acu)}m", memory=memory),
    )


def _in_steps(acu: float) -> bool:
    return (acu / STEP).is_integer()


def _range_rules(least: str) -> tuple[Rule, ...]:
    return (
        Rule(
            field_path=".maxCapacity",
            cel=f"self.maxCapacity >= 1.0 && self.maxCapacity <= {MOST}",
            message="maxCapacity must be 1 to 256 ACU.",
            check=lambda c: 1 <= c.max_capacity <= MOST,
        ),
        Rule(
            field_path=".minCapacity",
            cel=f"self.minCapacity <= {MOST} && ({least})",
            message="minCapacity must be 0, which lets an idle cluster pause, or 0.5 to 256 ACU.",
            check=lambda c: c.min_capacity == 0 or LEAST_RUNNING <= c.min_capacity <= MOST,
        ),
        Rule(
            cel="self.minCapacity * 2.0 == double(int(self.minCapacity * 2.0)) && "
            "self.maxCapacity * 2.0 == double(int(self.maxCapacity * 2.0))",
            message="Capacities go in steps of 0.5 ACU: round minCapacity and maxCapacity.",
            check=lambda c: _in_steps(c.min_capacity) and _in_steps(c.max_capacity),
        ),
        Rule(
            cel="self.minCapacity <= self.maxCapacity",
            message="minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
            check=lambda c: c.min_capacity <= c.max_capacity,
        ),
    )


PauseSeconds = Annotated[
    int,
    Rule(
        cel=f"self >= {PAUSE_SECONDS[0]} && self <= {PAUSE_SECONDS[1]}",
        message="secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
        check=lambda seconds: PAUSE_SECONDS[0] <= seconds <= PAUSE_SECONDS[1],
    ),
]


class ServerlessV2(RuledModel):
    """The range in which instances of class db.serverless scale, in ACU."""

    min_capacity: float = Field(
        default=0.5,
        description="Least capacity of each serverless instance: 0.5 to 256 ACU in steps of 0.5, or 0: then a cluster "
        "that nobody uses pauses. 1 ACU is 2 GiB of memory and 0.25 CPU.",
    )
    max_capacity: float = Field(description="Most capacity of each serverless instance: 1 to 256 ACU in steps of 0.5.")
    seconds_until_auto_pause: PauseSeconds = Field(
        default=PAUSE_SECONDS[0],
        description="With minCapacity 0: seconds without a user's session after which the cluster pauses.",
    )

    RULES: ClassVar = _range_rules("self.minCapacity == 0.0 || self.minCapacity >= 0.5")


class AutoPauseIgnore(Model):
    """Sessions that do not keep a cluster from pausing, such as those of monitoring."""

    users: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=32)] = Field(
        default=(), description="Names of database users."
    )
    applications: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=32)] = Field(
        default=(), description="Values of application_name."
    )


TimeoutAction = Literal["RollbackCapacityChange", "ForceApplyCapacityChange"]
CapacityChange = Literal["Waiting", "RolledBack", "Forced"]
"""What became of a change of capacity that looked for a scaling point, where it did not just find one."""


class ScalingPoint(WireModel):
    """How Serverless v1 waits for a moment at which a change disturbs nobody."""

    seconds_before_timeout: int = Field(default=300, description="How long it is looked for.")
    timeout_action: TimeoutAction = Field(default="RollbackCapacityChange", description="What happens then.")


class CapacityRange(WireModel):
    """What an instance's agent scales by."""

    least: float = Field(ge=LEAST_RUNNING, le=V1_SIZES[-1])
    most: float = Field(ge=LEAST_RUNNING, le=V1_SIZES[-1])
    follows_writer: bool = Field(
        default=False, description="Promotion tiers 0 and 1: never smaller than the writer, to take over at once."
    )
    scaling_point: ScalingPoint | None = Field(
        default=None, description="Of Serverless v1, whose rules then hold. None: those of v2."
    )

    @property
    def sizes(self) -> tuple[float, ...]:
        """Serverless v1's capacities within the range, ascending."""
        return tuple(size for size in V1_SIZES if self.least <= size <= self.most)

    def at_least(self, acu: float) -> float:
        """The smallest capacity of the range that is not below `acu`, else its largest."""
        if self.scaling_point is not None:
            return next((size for size in self.sizes if size >= acu), self.most)
        return max(self.least, min(round_up(acu), self.most))

    def at_most(self, acu: float) -> float:
        """The largest capacity that there is and that is not above `acu`; below the range too."""
        if self.scaling_point is not None:
            return max((size for size in V1_SIZES if size <= acu), default=0.0)
        return math.floor(acu / STEP) * STEP


def round_up(acu: float) -> float:
    """The next capacity that there is, in v2's steps."""
    return math.ceil(acu / STEP - 1e-9) * STEP


class CapacityStatus(WireModel):
    """A serverless instance's capacity, in ACU."""

    now: float = Field(description="In force: the container's memory limit.")
    wanted: float = Field(description="What the load asks for, within the range.")
    reason: str = Field(default="", description="What asks for it.")
    obstacle: str | None = Field(default=None, description="Why the wanted capacity is not in force; a sentence.")
    most: float = Field(default=0, description="The end of its range.")
    change: CapacityChange | None = Field(
        default=None,
        description="With Serverless v1: of a change that did not just find a scaling point.",
    )
