"""Custom endpoints: `spec.endpoints`, Aurora's of the same name."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.instances import MAX_INSTANCES, MAX_ORDINAL, PromotionTier, ZoneName
from aurora_operator.api.spec.services import ServiceSettings

MOST: Final = 5
"""Aurora's limit."""
MOST_NAME: Final = 20
RESERVED: Final = ("writer", "reader", "ro", "any", "pods", "log", "gateway", "proxy", "proxy-ro")
"""What the Services of every cluster end with, or may come to, and what its own endpoints are called."""

_NAME: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"

Ordinal = Annotated[
    int,
    Rule(
        cel=f"self >= 1 && self <= {MAX_ORDINAL}",
        message=f"A member is an instance's number, 1 to {MAX_ORDINAL}: 2 is CLUSTER-2.",
        check=lambda ordinal: 1 <= ordinal <= MAX_ORDINAL,
    ),
]


class CustomEndpoint(RuledModel):
    """An endpoint over some of the instances. What is left out of its conditions does not matter; all that is said must
    hold."""

    name: Annotated[
        str,
        Field(max_length=MOST_NAME),
        Rule(
            cel=f"self.matches('^{_NAME}$')",
            message="An endpoint's name must be lower-case letters, digits and dashes, begin with a letter and not end "
            "with a dash, because its Service is CLUSTER-NAME.",
            check=lambda name: re.fullmatch(_NAME, name, re.ASCII) is not None,
        ),
        Rule(
            cel=f"!(self in [{', '.join(repr(name) for name in RESERVED)}])",
            message=f"An endpoint cannot be called {', '.join(RESERVED)}: every cluster has Services of these names.",
            check=lambda name: name not in RESERVED,
        ),
    ] = Field(description="The Service is called CLUSTER-NAME.")
    type: Literal["reader", "any"] = Field(
        default="reader", description="reader: never the writer. any: the writer too, where it is a member."
    )
    static_members: Annotated[tuple[Ordinal, ...], Field(max_length=MAX_INSTANCES)] = Field(
        default=(),
        description="Numbers of the instances that may be members, and no others.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    excluded_members: Annotated[tuple[Ordinal, ...], Field(max_length=MAX_INSTANCES)] = Field(
        default=(),
        description="Numbers of the instances that are no members; all others may be, new ones too.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    promotion_tiers: Annotated[tuple[PromotionTier, ...], Field(max_length=16)] = Field(
        default=(),
        description="Promotion tiers of members. Default: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    availability_zones: Annotated[tuple[ZoneName, ...], Field(max_length=6)] = Field(
        default=(),
        description="Zones of members. Default: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    service: ServiceSettings | None = Field(default=None, description="How it is reached, as in services.")

    RULES: ClassVar = (
        Rule(
            cel="!has(self.staticMembers) || size(self.staticMembers) == 0 || !has(self.excludedMembers) || "
            "size(self.excludedMembers) == 0",
            message="staticMembers and excludedMembers exclude each other: keep one of them.",
            check=lambda e: not (e.static_members and e.excluded_members),
        ),
    )


def _distinct(endpoints: tuple[CustomEndpoint, ...]) -> bool:
    return len({endpoint.name for endpoint in endpoints}) == len(endpoints)


CustomEndpoints = Annotated[
    tuple[CustomEndpoint, ...],
    Field(max_length=MOST),
    Rule(
        cel="self.all(x, self.exists_one(y, y.name == x.name))",
        message="endpoints has two entries of the same name: rename one.",
        check=_distinct,
    ),
]
