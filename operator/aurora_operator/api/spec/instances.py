"""Instances that differ from the others: `spec.instanceSettings`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.resources import InstanceClassName, Resources

MAX_INSTANCES: Final = 16
"""Aurora's limit: one writer and 15 readers."""
MAX_ORDINAL: Final = 31

ZoneName = Annotated[str, Field(min_length=1, max_length=63)]
"""A value of the node label `topology.kubernetes.io/zone`."""

PromotionTier = Annotated[
    int,
    Rule(
        cel="self >= 0 && self <= 15",
        message="promotionTier must be 0 to 15; the lowest is promoted first.",
        check=lambda tier: 0 <= tier <= 15,
    ),
]
"""Aurora's order of promotion."""

exclusive: Final = Rule(
    cel="!(has(self.instanceClass) && has(self.resources))",
    message="instanceClass and resources exclude each other: keep one of them.",
    check=lambda model: model.instance_class is None or model.resources is None,
)


class InstanceSettings(RuledModel):
    """What is different about one instance."""

    instance: Annotated[
        int,
        Rule(
            cel=f"self >= 1 && self <= {MAX_ORDINAL}",
            message=f"instance must be 1 to {MAX_ORDINAL}; it is the number at the end of the instance's name.",
            check=lambda ordinal: 1 <= ordinal <= MAX_ORDINAL,
        ),
    ] = Field(description="The number at the end of its name: 2 is CLUSTER-2. An instance named here always exists.")
    instance_class: InstanceClassName | None = Field(
        default=None, description="Its size, as an Aurora class such as db.r6g.large."
    )
    resources: Resources | None = Field(default=None, description="Its size, as requests and limits.")
    promotion_tier: PromotionTier | None = Field(
        default=None, description="Its promotion tier, 0 to 15; the lowest is promoted first."
    )
    availability_zone: ZoneName | None = Field(
        default=None,
        description="The zone it must run in: a value of the node label topology.kubernetes.io/zone. "
        "An instance that is there already moves by being replaced.",
    )

    RULES: ClassVar = (exclusive,)


def _distinct(settings: Iterable[InstanceSettings]) -> bool:
    ordinals = [item.instance for item in settings]
    return len(ordinals) == len(set(ordinals))


def settings_rules() -> tuple[Rule, ...]:
    """Rules of the list."""
    return (
        Rule(
            cel="self.all(x, self.exists_one(y, y.instance == x.instance))",
            message="instanceSettings has two entries for the same instance: merge them into one.",
            check=_distinct,
        ),
    )


def instance_ordinals(count: int, named: Iterable[int] = (), taken: Iterable[int] = ()) -> tuple[int, ...]:
    """The ordinals of `count` instances, ascending: those `named`, filled up with the lowest that are free, and not
    `taken` by what is kept of another."""
    chosen = set(named)
    free: Any = (ordinal for ordinal in range(1, MAX_ORDINAL + 1) if ordinal not in {*chosen, *taken})
    while len(chosen) < count:
        ordinal = next(free, None)
        if ordinal is None:
            break
        chosen.add(ordinal)
    return tuple(sorted(chosen))
