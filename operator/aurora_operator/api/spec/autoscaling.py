"""What sizes itself: volumes that grow, readers that come and go. Names are Aurora's where it has one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.quantity import StorageQuantity, is_quantity, to_bytes
from aurora_operator.api.base.rules import Rule, RuledModel

LEAST_STEP: Final = "1Gi"
MOST_STORAGE: Final = "64Ti"
"""Aurora's limit."""
MAX_READERS: Final = 15


class StorageAutoscaling(RuledModel):
    """When volumes grow by themselves, by how much, and how far."""

    enabled: bool = Field(default=True, description="Whether volumes grow by themselves.")
    threshold_percent: Annotated[
        int,
        Rule(
            cel="self >= 50 && self <= 95",
            message="storage.autoscaling.thresholdPercent must be 50 to 95: the used part of a volume at which it "
            "grows.",
            check=lambda percent: 50 <= percent <= 95,
        ),
    ] = Field(
        default=80,
        description="A volume grows when more than this percent of it is used; earlier when it fills fast, and later "
        "when a whole step is still free.",
    )
    step: StorageQuantity = Field(default="10Gi", description="Volumes grow by multiples of this.")
    max: StorageQuantity = Field(default=MOST_STORAGE, description="No volume grows beyond this size by itself.")

    @property
    def step_bytes(self) -> int:
        """The step."""
        return to_bytes(self.step)

    @property
    def max_bytes(self) -> int:
        """The largest size."""
        return to_bytes(self.max)

    RULES: ClassVar = (
        Rule(
            field_path=".step",
            cel=f"!isQuantity(self.step) || quantity(self.step).compareTo(quantity('{LEAST_STEP}')) >= 0",
            message=f"storage.autoscaling.step must be at least {LEAST_STEP}.",
            check=lambda s: not is_quantity(s.step) or s.step_bytes >= to_bytes(LEAST_STEP),
        ),
        Rule(
            field_path=".max",
            cel=f"!isQuantity(self.max) || quantity(self.max).compareTo(quantity('{MOST_STORAGE}')) <= 0",
            message=f"storage.autoscaling.max must be at most {MOST_STORAGE}.",
            check=lambda s: not is_quantity(s.max) or s.max_bytes <= to_bytes(MOST_STORAGE),
        ),
    )


class ReaderTarget(RuledModel):
    """What the number of readers is meant to keep."""

    metric: Literal["CPUUtilization", "DatabaseConnections"] = Field(
        description="CPUUtilization, in percent of a reader's CPU limit, or DatabaseConnections, sessions per reader; "
        "the average of all readers counts."
    )
    value: Annotated[
        int,
        Rule(
            cel="self >= 1 && self <= 10000",
            message="readerAutoscaling.target.value must be 1 to 10000.",
            check=lambda value: 1 <= value <= 10000,
        ),
    ] = Field(description="The average to keep: percent for CPUUtilization, sessions for DatabaseConnections.")

    RULES: ClassVar = (
        Rule(
            field_path=".value",
            cel="self.metric != 'CPUUtilization' || self.value <= 100",
            message="readerAutoscaling.target.value is a percentage for CPUUtilization: use 1 to 100.",
            check=lambda t: t.metric != "CPUUtilization" or t.value <= 100,
        ),
    )


def _seconds(name: str, most: int) -> Rule:
    return Rule(
        cel=f"self >= 0 && self <= {most}",
        message=f"readerAutoscaling.{name} must be 0 to {most}.",
        check=lambda seconds: 0 <= seconds <= most,
    )


_CAPACITY: Final = Rule(
    cel=f"self >= 0 && self <= {MAX_READERS}",
    message=f"readerAutoscaling.minCapacity and maxCapacity must be 0 to {MAX_READERS}.",
    check=lambda count: 0 <= count <= MAX_READERS,
)


class ReaderAutoscaling(RuledModel):
    """Readers that come and go with the load, as Aurora Auto Scaling has them."""

    min_capacity: Annotated[int, _CAPACITY] = Field(
        default=1, description="The fewest readers, those of spec.instances included."
    )
    max_capacity: Annotated[int, _CAPACITY] = Field(
        default=MAX_READERS, description="The most readers, those of spec.instances included."
    )
    target: ReaderTarget = Field(description="What to measure, and the average to keep.")
    scale_in_cooldown_seconds: Annotated[int, _seconds("scaleInCooldownSeconds", 86400)] = Field(
        default=300, description="Seconds after any change in which no reader is removed."
    )
    scale_out_cooldown_seconds: Annotated[int, _seconds("scaleOutCooldownSeconds", 86400)] = Field(
        default=300, description="Seconds after readers were added in which no more are added."
    )
    disable_scale_in: bool = Field(default=False, description="Never remove a reader that was added.")
    drain_timeout_seconds: Annotated[int, _seconds("drainTimeoutSeconds", 3600)] = Field(
        default=300,
        description="How long the sessions of a reader that is to go may last, once it takes no new ones; then they "
        "are closed.",
    )

    RULES: ClassVar = (
        Rule(
            field_path=".maxCapacity",
            cel="self.minCapacity <= self.maxCapacity",
            message="readerAutoscaling.maxCapacity must not be less than minCapacity.",
            check=lambda s: s.min_capacity <= s.max_capacity,
        ),
    )
