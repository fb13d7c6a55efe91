"""Aurora Serverless v1, for those who migrate: `engineMode: serverless` and `scalingConfiguration`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.capacity import (
    PAUSE_SECONDS,
    V1_SIZES,
    CapacityRange,
    PauseSeconds,
    ScalingPoint,
    TimeoutAction,
)

EngineMode = Literal["provisioned", "serverless"]
TIMEOUT_SECONDS: Final = (60, 600)
_SIZES: Final = ", ".join(f"{size:g}" for size in V1_SIZES)


def _size(name: str) -> Rule:
    return Rule(
        cel=f"self in [{_SIZES}]",
        message=f"{name} must be one of Serverless v1's capacities: {_SIZES} ACU.",
        check=lambda acu: acu in V1_SIZES,
    )


class ScalingConfiguration(RuledModel):
    """The range in which a cluster with engineMode serverless scales, in ACU, and how."""

    min_capacity: Annotated[int, _size("minCapacity")] = Field(
        default=2, description=f"Least capacity: {_SIZES}. 1 ACU is 2 GiB of memory and 0.25 CPU."
    )
    max_capacity: Annotated[int, _size("maxCapacity")] = Field(default=16, description=f"Most capacity: {_SIZES}.")
    auto_pause: bool = Field(default=True, description="Whether a cluster that nobody uses pauses.")
    seconds_until_auto_pause: PauseSeconds = Field(
        default=PAUSE_SECONDS[0], description="Seconds without a user's session after which it pauses."
    )
    seconds_before_timeout: Annotated[
        int,
        Rule(
            cel=f"self >= {TIMEOUT_SECONDS[0]} && self <= {TIMEOUT_SECONDS[1]}",
            message="secondsBeforeTimeout must be 60 to 600.",
            check=lambda seconds: TIMEOUT_SECONDS[0] <= seconds <= TIMEOUT_SECONDS[1],
        ),
    ] = Field(default=300, description="Seconds for which a change of capacity looks for a scaling point.")
    timeout_action: TimeoutAction = Field(
        default="RollbackCapacityChange",
        description="What happens without a scaling point in that time: RollbackCapacityChange keeps the capacity, "
        "ForceApplyCapacityChange changes it all the same. No session is ended for it.",
    )

    RULES: ClassVar = (
        Rule(
            cel="self.minCapacity <= self.maxCapacity",
            message="minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
            check=lambda c: c.min_capacity <= c.max_capacity,
        ),
    )

    @property
    def range(self) -> CapacityRange:
        """What each instance's agent scales by: the others are as large as the writer, to take over at once."""
        point = ScalingPoint(seconds_before_timeout=self.seconds_before_timeout, timeout_action=self.timeout_action)
        return CapacityRange(least=self.min_capacity, most=self.max_capacity, follows_writer=True, scaling_point=point)


def _is_v1(spec: Any) -> bool:
    return bool(spec.engine_mode == "serverless")


_V1: Final = "has(self.engineMode) && self.engineMode == 'serverless'"


def _without(field: str, message: str, attribute: str) -> Rule:
    return Rule(
        field_path=f".{field}",
        cel=f"!({_V1}) || !has(self.{field})",
        message=message,
        check=lambda s: not _is_v1(s) or getattr(s, attribute) is None,
    )


_NO_SIZE: Final = (
    "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources."
)


def serverless_v1_rules() -> tuple[Rule, ...]:
    """Rules of the spec."""
    return (
        Rule(
            field_path=".scalingConfiguration",
            cel=f"!has(self.scalingConfiguration) || ({_V1})",
            message="scalingConfiguration is Serverless v1's and needs engineMode serverless: add it, or use "
            "instanceClass db.serverless with serverlessV2ScalingConfiguration.",
            check=lambda s: s.scaling_configuration is None or _is_v1(s),
        ),
        _without(
            "serverlessV2ScalingConfiguration",
            "engineMode serverless is Serverless v1 and excludes serverlessV2ScalingConfiguration: use "
            "scalingConfiguration, or engineMode provisioned.",
            "serverless_v2_scaling_configuration",
        ),
        _without("instanceClass", _NO_SIZE, "instance_class"),
        _without("resources", _NO_SIZE, "resources"),
        Rule(
            field_path=".instanceSettings",
            cel=f"!({_V1}) || !has(self.instanceSettings) || "
            "self.instanceSettings.all(i, !has(i.instanceClass) && !has(i.resources))",
            message=_NO_SIZE,
            check=lambda s: (
                not _is_v1(s) or all(i.instance_class is None and i.resources is None for i in s.instance_settings)
            ),
        ),
        _without(
            "readerAutoscaling",
            "engineMode serverless has no readers: remove readerAutoscaling, or use Serverless v2.",
            "reader_autoscaling",
        ),
    )
